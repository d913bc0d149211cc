#!/usr/bin/perl

# What counting costs: the CPU of a scrape by the module, and by the same one
# built without the handler that counts.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;

use constant A    => 19110;
use constant B    => 19111;
use constant BODY => 1_000;
use constant GOAL => 2;             # microseconds

my $quick    = grep { $_ eq '-q' } @ARGV;
my $pairs    = $quick ? 15 : 151;
my $requests = 1_000;
my $without  = $ENV{BENCH_UNCOUNTED} || die "BENCH_UNCOUNTED is not set\n";


# microseconds of the worker for a scrape, of a fresh nginx: where one happens
# to lie in memory makes a difference as large as what is looked for

sub microseconds
{
    my ($name, $port) = @_;

    my ($master) = start($name);
    my ($worker) = workers($master);

    load_requests($port, '/host-#/metrics', 300, 200, 100);

    my $before = cpu($worker);
    load_requests($port, '/host-#/metrics', $requests, 200, 100);
    my $used = (cpu($worker) - $before) / $requests / 1000;

    stop($master);

    return $used;
}


exporter(BODY);

for my $name (qw(a b)) {
    write_file("$name.targets",
        join '', map { address($_) . ' ' . name($_) . "\n" } 0 .. 999);
}

module_config('a', A);
module_config('b', B, module => $without);

my (@a, @b);

for my $pair (1 .. $pairs) {
    for my $turn ($pair % 2 ? (0, 1) : (1, 0)) {
        push @{ $turn ? \@b : \@a },
            $turn ? microseconds('b', B) : microseconds('a', A);
    }
}

my @more = map { $a[$_] - $b[$_] } 0 .. $#a;
my @instructions = (instructions('a', A, '/host-00001/metrics'),
    instructions('b', B, '/host-00001/metrics'));

print "## Counting: CPU of the worker per scrape\n\n",
    "$pairs pairs of $requests scrapes of @{[BODY]} bytes, on kept "
    . "connections, a fresh nginx for each; medians, and what the middle half "
    . "is between.\n\n";

table([ '', 'with', 'without', 'difference', 'goal', '' ],
    [ 'microseconds', map({ quartiles('%.2f', @$_) } \@a, \@b, \@more), GOAL,
        median(@more) <= GOAL ? 'met' : 'NOT MET' ],
    [ 'instructions, without the kernel',
        map({ sprintf '%.0f', $_ } @instructions,
            $instructions[0] - $instructions[1]), '', '' ]);
