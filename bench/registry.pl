#!/usr/bin/perl

# The registry against one location per target: how long nginx takes to load
# N targets, and how much memory all its processes take then.

use warnings;
use strict;

use FindBin;
use List::Util qw(max sum);
use lib $FindBin::Bin;
use Bench;
use Plot;

use constant WORKERS => 2;
use constant PORT    => 19080;

my @registry = (10, 100, 1_000, 10_000, 50_000, 100_000);
my @plain    = (10, 100, 1_000, 10_000, 50_000);

my $quick = grep { $_ eq '-q' } @ARGV;

@plain = grep { $_ < 50_000 } @plain if $quick;


sub registry_config
{
    my ($targets) = @_;

    write_file('targets',
        join '', map { address($_) . ' ' . name($_) . "\n" }
        0 .. $targets - 1);

    return config('registry', <<"MAIN", <<"HTTP");
load_module @{[module()]};
worker_processes @{[WORKERS]};
MAIN
    prom_proxy_zone targets 128m;
    prom_proxy_targets @{[work()]}/targets;
    upstream prom_proxy { prom_proxy_peer; }
    server {
        listen 127.0.0.1:@{[PORT]} reuseport;
        absolute_redirect off;
        keepalive_requests 1000000;
        location \@targets {
            prom_proxy targets;
            proxy_pass \$prom_proxy_scheme://prom_proxy\$prom_proxy_uri;
        }
    }
HTTP
}


sub plain_config
{
    my ($targets) = @_;

    write_file('locations', join '', map { 'location /' . name($_)
        . '/ { proxy_pass http://' . address($_) . "/; }\n" }
        0 .. $targets - 1);

    return config('plain', <<"MAIN", <<"HTTP");
worker_processes @{[WORKERS]};
MAIN
    server {
        listen 127.0.0.1:@{[PORT]} reuseport;
        absolute_redirect off;
        keepalive_requests 1000000;
        include @{[work()]}/locations;
    }
HTTP
}


sub measure
{
    my ($name, $runs, $targets) = @_;

    my (@test, @start);

    for (1 .. $runs) {
        my (undef, $took) = command(nginx(), '-q', '-t', '-p', work(),
            '-e', work() . "/$name.log", '-c', work() . "/$name.conf");

        push @test, $took;
    }

    for (1 .. $runs) {
        my ($master, $took) = start($name);

        push @start, $took;
        stop($master);
    }

    my $master = start_here($name);
    my $peak = peak($master);

    # a look-up brings the pages that it needs into its worker

    if ($targets) {
        load_requests(PORT, '/host-#', $targets > 10_000 ? $targets : 10_000,
            301, $targets) for 1 .. 2 * WORKERS;
    }

    my ($memory, @workers) = map { pss($_) / 1024 } $master, workers($master);

    stop($master);

    return {
        test   => median(@test),
        start  => median(@start),
        shown  => spread('%.3f', @start),
        all    => sum($memory, @workers),
        master => $memory,
        worker => max(@workers),
        peak   => $peak / 1024,
    };
}


sub row
{
    my ($what, $targets, $m, $empty) = @_;

    return [ $what, $targets,
        sprintf('%.3f s', $m->{test}), "$m->{shown} s",
        sprintf('%.3f s', $m->{start} - $empty->{start}),
        map { sprintf '%.1f MB', $m->{$_} } qw(all master worker peak) ];
}


my (@rows, %with, %without);

for my $targets (0, @registry) {
    note("registry of $targets targets");
    registry_config($targets);

    my $runs = $quick ? 3 : $targets > 50_000 ? 7 : 15;

    $with{$targets} = measure('registry', $runs, $targets);
    push @rows, row('registry', $targets, $with{$targets}, $with{0});
}

for my $targets (0, @plain) {
    note("$targets locations");
    plain_config($targets);

    my $runs = $targets >= 50_000 ? 1 : $targets >= 10_000 ? 3 : 7;

    $without{$targets} = measure('plain', $runs, $targets);
    push @rows, row('locations', $targets, $without{$targets}, $without{0});
}

sub line
{
    my ($what, $from, $of) = @_;

    return [ $what, map { [ $_, $from->{$_}{$of} ] }
        grep { $_ && $_ <= 50_000 } sort { $a <=> $b } keys %$from ];
}


my @how = ([ 'plain nginx, a location per target', \%without ],
    [ 'module', \%with ]);

plot('load', 'Start of nginx', 'start, seconds', 'logscale y',
    map { line(@$_, 'start') } @how);
plot('memory', 'Memory of all of nginx, two workers', 'memory, MB',
    'logscale y',
    map { line(@$_, 'all') } @how);

print "## Registry: load time and memory\n\n";

table([ 'how', 'targets', '`nginx -t`', 'start (min to max)',
    'start above none', 'memory of all', 'master', 'a worker',
    'peak of the master at load' ], @rows);

my $time   = $with{50_000}{start} - $with{0}{start};
my $memory = $with{50_000}{all};

printf "Goal for 50,000 targets: under 0.15 s and 40 MB in all. "
    . "Measured: %.3f s (whole start: %.3f s), %.1f MB (of which nginx "
    . "without targets: %.1f MB): %s.\n\n", $time, $with{50_000}{start},
    $memory, $with{0}{all},
    $with{50_000}{start} < 0.15 && $memory < 40 ? 'met' : 'NOT MET';

for my $targets (grep { $with{$_} } @plain) {
    printf "%d targets: locations take %.1f x the time to start and %.1f x "
        . "the memory of the registry.\n", $targets,
        $without{$targets}{start} / $with{$targets}{start},
        $without{$targets}{all} / $with{$targets}{all};
}

print "\n";
