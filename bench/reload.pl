#!/usr/bin/perl

# Reloads of 50,000 targets of which 100 changed, while nginx runs and is
# scraped: how long its event loops were away, which scrapes failed, how soon
# the file was in effect, and what memory it takes after many.

use warnings;
use strict;

use FindBin;
use List::Util qw(max sum);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);
use lib $FindBin::Bin;
use Bench;
use Live;

use constant PORT    => 19086;
use constant TARGETS => 50_000;
use constant CHANGED => 100;
use constant NAMES   => 1_000;      # that are scraped, all changed ones too
use constant RATE    => 1_000;
use constant BODY    => 90_000;
use constant GOAL    => 10;         # ms
use constant WAIT    => 20;         # seconds for a reload, at most

my $quick  = grep { $_ eq '-q' } @ARGV;
my $spaced = $quick ? 5 : 20;
my $dense  = $quick ? 100 : 1_000;

my $log     = work() . '/reload.notice';
my @lines   = map { address($_) . ' ' . name($_) . " env=prod\n" }
    0 .. TARGETS - 1;

my (@gaps, @memory);
my $read = 0;       # of the log


# every tenth of those that are scraped gets another address, in turns

sub replace
{
    my ($generation) = @_;

    for (0 .. CHANGED - 1) {
        my $i = $_ * NAMES / CHANGED;

        $lines[$i] = address($i + TARGETS * ($generation % 2)) . ' '
            . name($i) . " env=prod generation=$generation\n";
    }

    write_file('reload.new', join '', @lines);
    rename work() . '/reload.new', work() . '/reload.targets'
        or die "reload.targets: $!\n";
}


# returns the seconds until the new file was in effect

sub reload
{
    my ($generation) = @_;

    replace($generation);

    my $begin = clock_gettime(CLOCK_MONOTONIC);

    until (loaded()) {
        clock_gettime(CLOCK_MONOTONIC) - $begin < WAIT
            or die "the targets were not reloaded\n";

        sleep 0.005;
    }

    return clock_gettime(CLOCK_MONOTONIC) - $begin;
}


# Whether that is new in the log: no request disturbs the workers. It is said
# there within 10 ms of the new targets' being in use.

sub loaded
{
    open my $fh, '<', $log or die "$log: $!\n";
    seek $fh, $read, 0;

    my $new = grep { /: targets loaded: / } <$fh>;
    $read = tell $fh;

    return $new;
}


sub begin
{
    my ($interval) = @_;

    replace(0);

    module_config('reload', PORT, workers => 2,
        main => "error_log $log notice;",
        options => "interval=$interval", peer => 'idle=4096 timeout=600s',
        locations => 'location = /own { prom_proxy_metrics per_target=off; }');

    my ($master) = start_watched('reload');

    load_begin(PORT, '/host-#/metrics', RATE, NAMES);

    loaded();

    # Both workers have met all targets that are scraped, and hold their
    # connections; and the counters of all targets, which that page sums up.

    sleep($quick ? 5 : 20);
    metric(PORT, 'monitoring_proxy_targets') for 1 .. 20;

    return $master;
}


sub end
{
    my ($what, $away, $master, @took) = @_;

    my ($count, $failed, @after) = load_end();

    push @gaps, [ $what,
        map({ sprintf '%.1f', $_ } @$away{qw(longest busy run)}),
        @$away{qw(many many_busy)}, $count, $failed,
        join(' / ', map { sprintf '%.2f', $_ } @after),
        @took ? spread('%.2f', @took) : '' ];

    stop($master) if $master;
}


sub memory
{
    my ($master, $after) = @_;

    my @workers = workers($master);

    push @memory, [ $after,
        map({ sprintf '%.1f', $_ / 1024 } max(map { resident($_) } @workers),
            sum(map { pss($_) } $master, @workers)),
        sprintf('%.2f', metric(PORT, 'monitoring_proxy_zone_used_bytes')
            / 1048576) ];

    return sum(map { pss($_) } @workers);
}


exporter(BODY);

note('load without reloads');
my $master = begin('1s');
forget_gaps();
sleep($quick ? 5 : 30);
end('no reload', away());

note("$spaced reloads, looked for every second");
load_begin(PORT, '/host-#/metrics', RATE, NAMES);
forget_gaps();
my @took = map { reload($_) } 1 .. $spaced;
my $with = away();
end("$spaced reloads, `interval=1s`", $with, $master, @took);

note("$dense reloads, as fast as they go");
$master = begin('50ms');
forget_gaps();

my ($first, $last);

for my $number (1 .. $dense) {
    reload($number);

    $first = memory($master, 10) if $number == 10;
    $last = memory($master, $number) if $number == 100 || $number == $dense;
}

my $many = away();
end("$dense reloads, `interval=50ms`", $many, $master);

my $failed = sum(map { $_->[7] } @gaps);
my $longest = max($with->{longest}, $many->{longest});
my $busy = max($with->{busy}, $many->{busy});

print "## Reload of @{[TARGETS]} targets, @{[CHANGED]} changed\n\n",
    "Two workers, @{[RATE]} scrapes a second of @{[NAMES]} targets, of @{[BODY]} "
    . "bytes each. The changed targets are among them.\n\n";

table([ '', 'longest gap, ms', 'busy, ms', 'run, ms', 'gaps over 10 ms',
    'busy',
    'scrapes', 'failed', 'answer after, ms (median / p99 / max)',
    'in effect after, s' ], @gaps);

table([ 'after reloads', 'larger worker, MB resident', 'all of nginx, MB',
    'zone used, MB' ], @memory);

printf "Goal: no gap over %d ms, no scrape failed, memory after %d reloads as "
    . "after 10. Measured: %.1f ms (busy: %.1f ms), %d failed, workers' memory "
    . "%+.1f %%: %s.\n\n", GOAL, $dense, $longest, $busy, $failed,
    100 * ($last / $first - 1),
    $busy <= GOAL && !$failed && $last < 1.05 * $first ? 'met' : 'NOT MET';
