#!/usr/bin/perl

# t/02-prove.t: what the suite makes of files that fail, once and always

use warnings;
use strict;

use File::Temp;
use FindBin;
use Test::More;

my $prove = "$FindBin::Bin/../scripts/test.d/prove";
my $dir = File::Temp::tempdir(CLEANUP => 1);

my %file = (
    passes => 'print "1..2\nok 1\nok 2\n"',
    fails => 'print "1..2\nok 1\nnot ok 2\n"; exit 1',
    breaks => 'print "1..2\nok 1\n"',
    once => 'print "1..1\n"; -e "$0.was" and print "ok 1\n" and exit;'
        . 'open my $f, ">", "$0.was"; print "not ok 1\n"; exit 1',
);

for my $name (keys %file) {
    open my $fh, '>', "$dir/$name.t" or die "$name.t: $!\n";
    print $fh $file{$name}, "\n";
    close $fh;
}


# the exit status, and what it said

sub prove {
    my (@names) = @_;

    unlink glob("$dir/*.was"), glob("$dir/totals*");
    my @files = map { "$dir/$_.t" } @names;
    my $said = `$^X $prove PART $dir/totals @files 2>&1`;

    return ($? >> 8, $said);
}


sub lines {
    my ($what) = @_;

    open my $fh, '<', "$dir/totals$what" or return '';
    local $/;
    return <$fh> =~ s/\Q$dir\E\///gr;
}


my ($status, $said) = prove('passes');
is($status, 0, 'a file that passes');
is(lines(''), "2\t0\tPART\n", '... is counted');
like(lines('.times'), qr/^\d+\tpasses\.t\tPART\n\z/, '... and its time told');
is(lines('.flaky'), '', '... and it is not flaky');

($status, $said) = prove('once', 'passes');
is($status, 0, 'one that fails, and passes by itself');
is(lines(''), "3\t0\tPART\n", '... is counted as it was then');
is(lines('.flaky'), "once.t\tPART\n", '... and kept in mind');
like($said, qr/^FLAKY: \S*once\.t: failed beside others, passed by itself$/m,
    '... and told');
like($said, qr/^not ok 1$/m, '... with what failed at first');

($status, $said) = prove('fails', 'breaks', 'passes');
is($status, 1, 'one that fails twice');
is(lines(''), "4\t2\tPART\n", '... is a failure, as is one that breaks');
is(lines('.flaky'), '', '... and no flake');

($status, $said) = prove('once', 'fails', 'breaks', 'passes');
is($status, 1, 'beside those that fail');
is(lines('.flaky'), "once.t\tPART\n", '... one that is flaky is told still');

symlink "$dir/fails.t", "$dir/fails$_.t" for 1 .. 3;
($status, $said) = prove('once', map { "fails$_" } 1 .. 3);
is(lines(''), "3\t4\tPART\n", 'many that fail are not run again');

done_testing();
