#!/usr/bin/perl

# The pages about 50,000 targets: how soon they come, how large they are, what
# memory they take, and how long the event loops were away meanwhile.

use warnings;
use strict;

use FindBin;
use List::Util qw(max);
use Time::HiRes qw(sleep);
use lib $FindBin::Bin;
use Bench;
use Live;

use constant PORT    => 19088;
use constant TARGETS => 50_000;
use constant NAMES   => 1_000;      # of the load
use constant RATE    => 1_000;
use constant BODY    => 10_000;
use constant GOAL    => 10;         # ms, of a gap
use constant FIRST   => 20;         # ms

my $quick  = grep { $_ eq '-q' } @ARGV;
my $rounds = $quick ? 3 : 15;
my @pages  = qw(/targets /metrics / /?q=9&sort=latency);

my (@rows, @loaded, $worker);


sub forget_peak
{
    my ($pid) = @_;

    open my $fh, '>', "/proc/$pid/clear_refs" or die "clear_refs: $!\n";
    print $fh 5;
    close $fh or die "clear_refs: $!\n";
}


sub measure
{
    my ($page) = @_;

    note("page $page");

    my (@first, @total, $bytes);

    fetch(PORT, $page);
    forget_gaps();
    forget_peak($worker);

    my $before = resident($worker);

    for (1 .. $rounds) {
        my $of = fetch(PORT, $page);

        push @first, 1000 * $of->{first};
        push @total, $of->{total};
        $bytes = $of->{bytes};
    }

    my $away = away();
    my $grown = peak($worker) - $before;
    my $stopped;

    # its reader stops with most of it still to come, if it is a large one

    $before = resident($worker);
    fetch(PORT, $page, slow => sub { $stopped = resident($worker) - $before });

    push @rows, [ "`$page`", sprintf('%.2f', $bytes / 1e6),
        spread('%.1f', @first), spread('%.2f', @total),
        map { sprintf '%.1f', $_ } @$away{qw(longest busy run)}, $grown / 1024,
        $stopped / 1024 ];

    return (max(@first), $away);
}


# the same while targets are scraped

sub loaded
{
    my ($page) = @_;

    note($page ? "page $page under load" : 'load alone');

    load_begin(PORT, '/host-#/metrics', RATE, NAMES);
    sleep 2;
    forget_gaps();

    my @first;

    for (1 .. $rounds) {
        if ($page) {
            push @first, 1000 * fetch(PORT, $page)->{first};

        } else {
            sleep 1;
        }
    }

    my $away = away();
    my ($count, $failed, @after) = load_end();

    push @loaded, [ $page ? "`$page`" : 'none', $page
        ? spread('%.1f', @first) : '',
        map({ sprintf '%.1f', $_ } @$away{qw(longest busy run)}),
        @$away{qw(many many_busy)}, $count, $failed,
        join(' / ', map { sprintf '%.2f', $_ } @after) ];

    return ($away, $failed);
}


exporter(BODY);

write_file('pages.targets', join '',
    map { address($_) . ' ' . name($_) . " env=prod\n" } 0 .. TARGETS - 1);

module_config('pages', PORT, peer => 'idle=4096 timeout=600s',
    locations => <<'END');
location = /targets { prom_proxy_sd; }
        location = /metrics { prom_proxy_metrics; }
        location = / { prom_proxy_status; }
END

my ($master) = start_watched('pages');
($worker) = workers($master);

note('each target is scraped once');
load_requests(PORT, '/host-#/metrics', TARGETS, 200, TARGETS);

my (@first, @away, $failed);

for my $page (@pages) {
    my ($first, $away) = measure($page);

    push @first, $first;
    push @away, $away;
}

loaded();

for my $page (@pages) {
    my ($away, $lost) = loaded($page);

    push @away, $away;
    $failed += $lost;
}

stop($master);

print "## Pages of @{[TARGETS]} targets\n\n",
    "Each $rounds times, by one worker; each target has one label and was "
    . "scraped.\n\n";

table([ 'page', 'MB', 'first byte, ms (min to max)', 'whole, s',
    'longest gap, ms', 'busy, ms', 'run, ms', 'worker grew by, MB',
    'while a reader stopped' ], @rows);

print "While @{[NAMES]} targets are scraped, @{[RATE]} times a second in all:"
    . "\n\n";

table([ 'page', 'first byte, ms (min to max)', 'longest gap, ms', 'busy, ms',
    'run, ms',
    'gaps over 10 ms', 'busy', 'scrapes', 'failed',
    'answer after, ms (median / p99 / max)' ], @loaded);

my $longest = max(map { $_->{longest} } @away);
my $busy = max(map { $_->{busy} } @away);

printf "Goal: first byte within %d ms, no gap over %d ms. Measured: %.1f ms, "
    . "%.1f ms (busy: %.1f ms), %d scrapes failed: %s.\n\n", FIRST, GOAL,
    max(@first), $longest, $busy, $failed,
    max(@first) <= FIRST && $busy <= GOAL && !$failed ? 'met' : 'NOT MET';
