#!/usr/bin/perl

# The CPU of a scrape by the number of targets, all of them in turn: of the
# module, and of plain nginx with one location per target.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;
use Plot;

use constant PORT => 19120;
use constant BODY => 90_000;
use constant KEPT => 10_000;     # connections; a process may open 20,000 files

my $quick    = grep { $_ eq '-q' } @ARGV;
my $rounds   = $quick ? 3 : 9;
my $requests = $quick ? 1_000 : 3_000;
my @targets  = $quick ? (10, 1_000) : (10, 100, 1_000, 10_000, 50_000);

my @kinds = (
    [ 'plain', 'plain nginx, a location per target' ],
    [ 'fresh', 'module, no connection kept' ],
    [ 'kept', 'module, connections kept' ] );

my (@rows, %line);


sub configure
{
    my ($kind, $port, $targets) = @_;

    if ($kind ne 'plain') {
        write_file("$kind.targets", join '',
            map { address($_) . ' ' . name($_) . "\n" } 0 .. $targets - 1);

        return module_config($kind, $port, peer => $kind eq 'kept'
            ? 'idle=' . KEPT . ' timeout=600s' : 'idle=0');
    }

    write_file('locations', join '', map { 'location /' . name($_)
        . '/ { proxy_pass http://' . address($_) . "/; }\n" }
        0 .. $targets - 1);

    return config($kind, "worker_processes 1;\n", <<"HTTP", 19_000);
    server {
        listen 127.0.0.1:$port;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        proxy_buffer_size 16k;
        proxy_buffers 4 32k;
        proxy_max_temp_file_size 0;
        include @{[work()]}/locations;
    }
HTTP
}


sub scrapes
{
    my ($worker, $port, $targets, $count) = @_;

    my $before = cpu($worker);
    load_requests($port, '/host-#/metrics', $count, 200, $targets);

    return (cpu($worker) - $before) / $count / 1000;
}


exporter(BODY);

for my $targets (@targets) {
    note("scrapes of $targets targets");

    my (@running, %used);

    for my $i (0 .. $#kinds) {
        my $kind = $kinds[$i][0];

        $kind eq 'kept' && $targets > KEPT and next;

        configure($kind, PORT + $i, $targets);
        my ($master) = start($kind);
        my ($worker) = workers($master);

        scrapes($worker, PORT + $i, $targets,
            $kind eq 'kept' ? $targets + 500 : 500);

        push @running, [ $kind, $master, $worker, PORT + $i ];
    }

    # in turns, and from another one each time

    for my $round (1 .. $rounds) {
        push @running, shift @running;

        push @{ $used{$_->[0]} }, scrapes(@$_[2, 3], $targets, $requests)
            for @running;
    }

    stop($_->[1]) for @running;

    push @rows, [ $targets,
        map { $used{$_->[0]} ? quartiles('%.1f', @{ $used{$_->[0]} }) : '' }
        @kinds ];

    push @{ $line{$_} }, [ $targets, median(@{ $used{$_} }) ] for keys %used;
}

plot('scrape', 'CPU of nginx for a scrape of 90 kB',
    'CPU per scrape, microseconds', 'yrange [0:]',
    map { [ $_->[1], @{ $line{$_->[0]} } ] } @kinds);

print "## Growth: CPU of the worker per scrape, by the number of targets\n\n",
    "$rounds rounds of $requests scrapes of @{[BODY]} bytes, microseconds; "
    . "medians, and what the middle half is between.\n\n";

table([ 'targets', map { $_->[1] } @kinds ], @rows);
