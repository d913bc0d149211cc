#!/usr/bin/perl

# Queries through proxies that add a credential: what they cost this module,
# nginx with a header that stands in its configuration, and a proxy written in
# Go; and the memory of each.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;
use Queries;
use Sides;

use constant AT_ONCE => 16;

my $quick  = grep { $_ eq '-q' } @ARGV;
my $starts = $quick ? 1 : 9;
my $rounds = $quick ? 5 : 21;
my $count  = $quick ? 320 : 128;

my $query = '/api/v1/query';
my $range = '/api/v1/query_range';
my $asked = "$query?query=up%7Bjob%3D%22node%22%7D&time=1790000000";
my $form = 'query=' . 'sum+by+%28instance%29+%28rate%28node_cpu_seconds_total'
    . '%7Bmode%21%3D%22idle%22%2Cinstance%3D~%22host-.%2A%22%7D%5B5m%5D%29%29'
    . '+%2F+count+by+%28instance%29+%28node_cpu_seconds_total%7Bmode%3D%22idle'
    . '%22%2Cinstance%3D~%22host-.%2A%22%7D%29'
    . '&start=1789996400&end=1790000000&step=15';

my @sides = ([ 'fixed header', 'fixed' ], [ 'this one', 'bearer' ],
    [ 'this one, nothing to add', 'none' ], [ 'this one, signing', 'signed' ],
    [ 'Go', 'go' ]);

# what is done, by https to the remote or not, on how many connections, and
# what forward.c gets

my @kinds = (
    [ 'GET, 10 kB', 0, 1, $asked ],
    [ 'GET, 10 kB, ' . AT_ONCE . ' at once', 0, AT_ONCE, $asked ],
    [ 'POST, 90 kB', 0, 1, $range, $form ],
    [ 'POST, 90 kB, ' . AT_ONCE . ' at once', 0, AT_ONCE, $range, $form ],
    [ 'GET, 10 kB, TLS to the remote', 1, 1, $asked ] );

my (%got, %memory, %instructions);


sub start_all
{
    my ($https) = @_;

    Queries::secure($https);

    return map { my ($name, $start) = @$_; $name => Queries->$start } @sides;
}


sub queries
{
    my ($side, $what, undef, $connections, $path, @body) = @_;

    my $rows = Sides::rounds($rounds, sub { $count }, map {
        $_ => $side->{$_}->connections('query', $side->{$_}{port}, $path,
            $connections, @body) } keys %$side);

    push @{ $got{$what}{$_} }, @{ $rows->{$_} } for keys %$rows;
}


# Of a proxy that was just started, after one query and after some at once, and
# the instructions of nginx for a query, where it has no worker besides.

sub alone
{
    for (@sides) {
        my ($name, $start) = @$_;

        note("$name, alone");

        my $side = Queries->$start;

        for my $connections (1, AT_ONCE) {
            my $some = $side->connections('query', $side->{port}, $asked,
                $connections);
            Sides::round($some, AT_ONCE * 20);
            push @{ $memory{$name} }, $side->memory;
            Sides::end($some);
        }

        if ($side->{master}) {
            $side->stop_nginx;
            $instructions{$name} = instructions($side->{name}, $side->{port},
                $asked);
        }

        $side->down;
    }
}


sub query_table
{
    print "### Queries\n\n$starts starts, $rounds rounds of $count queries "
        . "each. Medians, of CPU also what the middle half is between; "
        . "microseconds. The last three columns are this one's: its CPU above "
        . "nginx's with a fixed header, and its ratios to that proxy, round by "
        . "round.\n\n";

    table([ '', 'proxy', 'CPU of the proxy', 'answer after', '99 %',
        'CPU above a fixed header', 'this one\'s CPU, ratio',
        'this one\'s 99 %, ratio' ],
        map {
            my ($what) = @$_;
            my $fixed = $got{$what}{'fixed header'};
            my $ours = $got{$what}{'this one'};

            map {
                my $name = $_->[0];
                my $rows = $got{$what}{$name};
                my @cpu = Sides::figures($rows, 'cpu');
                my @above = map { $cpu[$_] - $fixed->[$_]{cpu} } 0 .. $#cpu;

                [ $what, $name, quartiles('%.1f', @cpu),
                    map({ sprintf '%.0f', median(Sides::figures($rows, $_)) }
                        qw(median p99)),
                    $rows == $fixed ? '' : quartiles('%.1f', @above),
                    $rows == $ours ? ('', '')
                        : map({ Sides::over($ours, $rows, $_) } qw(cpu p99)) ];
            } @sides;
        } @kinds);
}


sub alone_table
{
    print "### Alone\n\nMemory (PSS) of all processes, with the program that "
        . "keeps the token, after queries on one connection, and on "
        . AT_ONCE . "; and instructions of nginx for a query (GET, 10 kB), "
        . "without the kernel's.\n\n";

    table([ 'proxy', 'one, MB', AT_ONCE . ', MB', 'instructions',
        'above a fixed header' ],
        map {
            my $name = $_->[0];
            my $n = $instructions{$name};
            [ $name, map({ sprintf '%.1f', $_ / 1024 } @{ $memory{$name} }),
                $n ? (sprintf('%.0f', $n), sprintf('%.0f',
                    $n - $instructions{'fixed header'})) : ('', '') ];
        } @sides);
}


Queries::remote($query => 10_000, $range => 90_000);

# Where a process has its memory is luck, which may cost it more than what is
# measured: so all start anew, again and again.

for my $start (1 .. $starts) {
    note("start $start of $starts");

    for my $https (0, 1) {
        my %side = start_all($https);

        queries(\%side, @$_) for grep { $_->[1] == $https } @kinds;
        $_->down for values %side;
    }
}

Queries::secure(0);
alone();

query_table();
alone_table();
