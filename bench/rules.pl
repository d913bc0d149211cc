#!/usr/bin/perl

# The cost of a look-up in the forward proxy's allow-list, by the number of
# rules, and the instructions that it takes.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;

use constant COUNTED => 10_000;
use constant GOAL    => 5_000;      # nanoseconds of a request, 10,000 rules

my $rules = $ENV{BENCH_RULES} || die "BENCH_RULES is not set\n";
my @kinds = ('address', 'denied address', 'name and its address',
    'unknown name and address');


# of a request of the kind, with the making of the question

sub counted
{
    my ($size, $kind) = @_;

    my @collected;

    for my $count (COUNTED, 3 * COUNTED) {
        my $log = work() . '/callgrind';

        command('valgrind', '--tool=callgrind', "--log-file=$log",
            '--callgrind-out-file=/dev/null', $rules, $size, $count, $kind);

        open my $fh, '<', $log or die "$log: $!\n";
        my $text = do { local $/; <$fh> };

        $text =~ /Collected : (\d+)/ or die "valgrind counted nothing\n$text";
        push @collected, $1;
    }

    return ($collected[1] - $collected[0]) / (2 * COUNTED);
}


note('look-ups in the allow-list');

my ($output) = command($rules);
my (@rows, $slowest);

for (split /\n/, $output) {
    my ($size, @took) = split ' ';
    my $walk = pop @took;

    push @rows, [ $size, map({ sprintf '%.0f', $_ } @took),
        sprintf('%.0f', $walk) ];

    next if $size != 10_000;
    ($slowest) = sort { $b <=> $a } @took;
}

print "### Allow-list\n\n",
    "Nanoseconds for a request, medians; at last, an address that is compared "
    . "with each rule.\n\n";

table([ 'rules', @kinds, 'a walk' ], @rows);

print "Instructions, less those that make the question:\n\n";

table([ 'rules', @kinds ], map {
    my $size = $_;
    my $none = counted($size, 0);
    [ $size, map { sprintf '%.0f', counted($size, $_) - $none } 1 .. @kinds ];
} 10, 10_000);

printf "The slowest of 10,000 rules takes %.2f µs; the goal is %.0f: %s.\n\n",
    $slowest / 1000, GOAL / 1000, $slowest <= GOAL ? 'met' : 'NOT MET';
