#!/usr/bin/perl

# The CPU of a scrape on a kept connection, over 5,000 targets and over one, of
# the module, and of plain nginx with its "keepalive".

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;

use constant PORT => 19087;
use constant MANY => 5_000;
use constant BODY => 90_000;
use constant GOAL => 1.15;

my $quick    = grep { $_ eq '-q' } @ARGV;
my $pairs    = $quick ? 5 : 15;
my $requests = 5_000;       # once each of many
my $port     = PORT;


sub with_module
{
    my ($targets) = @_;

    my $name = 'idle-' . ++$port;

    write_file("$name.targets",
        join '', map { address($_) . ' ' . name($_) . "\n" } 0 .. $targets - 1);

    module_config($name, $port,
        peer => 'idle=' . 2 * MANY . ' timeout=600s');

    return [ $name, $port, $targets ];
}


# "random" finds its server in a few steps, where the other balancers look at
# one after the other

sub plain
{
    my ($targets) = @_;

    my $name = 'idle-' . ++$port;
    my $servers = join '', map { 'server ' . address($_) . ";\n" }
        0 .. $targets - 1;

    config($name, <<"MAIN", <<"HTTP", 19_000);
worker_processes 1;
MAIN
    upstream exporters {
        random;
        $servers
        keepalive @{[MANY]};
        keepalive_requests 10000000;
        keepalive_timeout 600s;
    }
    server {
        listen 127.0.0.1:$port;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        proxy_buffer_size 16k;
        proxy_buffers 4 32k;
        proxy_max_temp_file_size 0;
        location ~ ^/[^/]*/(.*) {
            proxy_pass          http://exporters/\$1;
            proxy_http_version  1.1;
            proxy_set_header    Connection  "";
        }
    }
HTTP

    return [ $name, $port, $targets ];
}


# microseconds of the worker for a scrape, all targets in turn

sub scrapes
{
    my ($worker, $port, $targets, $count) = @_;

    my $before = cpu($worker);
    load_requests($port, '/host-#/metrics', $count, 200, $targets);

    return (cpu($worker) - $before) / $count / 1000;
}


# A pair in turns, both running all the time with their connections open. A
# random choice has to be made often until all are.

sub compare
{
    my ($what, $few, $many, $goal) = @_;

    note($what);

    my (@workers, @masters, @used);

    for my $side ($few, $many) {
        my ($master) = start($side->[0]);

        push @masters, $master;
        push @workers, workers($master);
        scrapes($workers[-1], @$side[1, 2], $side->[2] * 4 + 100);
    }

    for my $pair (1 .. $pairs) {
        for my $turn ($pair % 2 ? (0, 1) : (1, 0)) {
            my $side = $turn ? $many : $few;

            push @{ $used[$turn] },
                scrapes($workers[$turn], @$side[1, 2], $requests);
        }
    }

    stop($_) for @masters;

    my @ratio = ratio($used[1], $used[0]);

    return [ $what, map({ quartiles('%.1f', @$_) } @used),
        quartiles('%.3f', @ratio), $goal || '',
        !$goal ? '' : median(@ratio) <= $goal ? 'met' : 'NOT MET' ];
}


exporter(BODY);

my @rows = (
    compare('module', with_module(1), with_module(MANY), GOAL),
    compare("plain nginx, `random` and `keepalive @{[MANY]}`", plain(1),
        plain(MANY)) );

print "## Idle connections: CPU of the worker per scrape\n\n",
    "$pairs pairs of $requests scrapes of @{[BODY]} bytes; medians, and what "
    . "the middle half is between.\n\n";

table([ '', 'over 1 target, microseconds', 'over ' . MANY,
    'ratio, pair by pair', 'goal', '' ], @rows);
