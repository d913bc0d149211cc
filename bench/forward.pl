#!/usr/bin/perl

# Scrapes through forward proxies: what they cost this module, squid, tinyproxy
# and one written in Go, in absolute form and by CONNECT, and the memory that a
# tunnel takes while nothing is asked through it.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;
use Forwards;
use Sides;
use Time::HiRes qw(sleep);

use constant BODY    => 90_000;
use constant AT_ONCE => 16;

my $quick   = grep { $_ eq '-q' } @ARGV;
my $rounds  = $quick ? 3 : 9;
my $count   = $quick ? 320 : 960;
my $tunnels = $quick ? 500 : 2000;

my @sides = ([ 'this one', 'ours' ], [ 'squid', 'squid' ], [ 'Go', 'go' ],
    [ 'tinyproxy', 'tinyproxy' ]);

# what is done, how, on how many connections, and which part of the count

my @kinds = (
    [ 'absolute form', 'https', 1, 1 ],
    [ 'absolute form, ' . AT_ONCE . ' at once', 'https', AT_ONCE, 2 ],
    [ 'a tunnel that is kept', 'tunnel', 1, 1 ],
    [ 'a tunnel each', 'tunnel-each', 1, 1 / 4 ],
    [ 'a tunnel that is kept, no TLS to the proxy', 'plain', 1, 1 ],
    [ 'a tunnel each, no TLS to the proxy', 'plain-each', 1, 1 / 4 ] );

my (%side, %got, %held);


sub sides_of
{
    my ($how) = @_;

    return grep { $how =~ /^plain/ || $side{$_}{tls} } map { $_->[0] } @sides;
}


# All sides run all the time.

sub scrapes
{
    my ($what, $how, $connections, $part) = @{ $_[0] };

    note($what);

    # tinyproxy waits 40 ms for each

    $got{$what} = Sides::rounds($rounds,
        sub { $count * ($_[0] eq 'tinyproxy' ? $part / 8 : $part) },
        map { $_ => $side{$_}->scrapers($how, $connections) } sides_of($how));
}


# Of a proxy that was just started, as what it needed before may be used again.

sub memory
{
    my ($how) = @_;

    for (@sides) {
        my ($name, $start) = @$_;

        next unless grep { $_ eq $name } sides_of($how);
        note("$tunnels tunnels of $name, $how");

        my $side = Forwards->$start;
        Sides::end($side->scrapers($how, 1));

        my $empty = $side->memory;
        my $scrapers = $side->scrapers($how, $tunnels);

        sleep 1;
        $held{$how}{$name} = [ $empty, $side->memory ];

        Sides::end($scrapers);
        $side->down;
    }
}


sub scrape_table
{
    print "### Scrapes\n\n$rounds rounds of $count scrapes of ", BODY,
        " bytes, of twice as many where several are made at once, and of a "
        . "quarter with a tunnel each; of an eighth of these with tinyproxy. "
        . "Medians, of CPU also what the middle half is between; "
        . "microseconds. The last two columns are this one's "
        . "over that proxy's, round by round.\n\n";

    table([ '', 'proxy', 'CPU of the proxy', 'scrapes in a second of that',
        'by the clock', 'answer after', '99 %', 'CPU, ratio',
        'answer, ratio' ],
        map {
            my ($what, $how) = @$_;
            map {
                my $name = $_;
                my $rows = $got{$what}{$name};
                my @cpu = Sides::figures($rows, 'cpu');
                [ $what, $name, quartiles('%.0f', @cpu),
                    sprintf('%.0f', 1e6 / median(@cpu)),
                    map({ sprintf '%.0f', median(Sides::figures($rows, $_)) }
                        qw(rate median p99)),
                    $name eq 'this one' ? ('', '')
                        : map({ Sides::over($got{$what}{'this one'}, $rows,
                            $_) } qw(cpu median)) ];
            } sides_of($how);
        } @kinds);
}


sub memory_table
{
    print "### Tunnels that wait\n\nMemory (PSS) of all processes of a proxy "
        . "that was just started: after one tunnel, and with $tunnels, each of "
        . "which has been scraped once.\n\n";

    table([ '', 'proxy', 'none, MB', 'all, MB', 'a tunnel, bytes', 'ratio' ],
        map {
            my ($how, $title) = @$_;
            my %each = map { my ($empty, $full) = @{ $held{$how}{$_} };
                $_ => 1024 * ($full - $empty) / $tunnels } sides_of($how);
            map { [ $title, $_,
                map({ sprintf '%.1f', $_ / 1024 } @{ $held{$how}{$_} }),
                sprintf('%.0f', $each{$_}), $_ eq 'this one' ? ''
                    : sprintf '%.3f', $each{'this one'} / $each{$_} ]
            } sides_of($how);
        } [ 'tunnel', 'TLS to the proxy' ], [ 'plain', 'none' ]);
}


Forwards::exporter_with_tls(BODY);

for (@sides) {
    my ($name, $start) = @$_;
    $side{$name} = Forwards->$start;
}

scrapes($_) for @kinds;
$_->down for values %side;
memory($_) for qw(tunnel plain);

scrape_table();
memory_table();
