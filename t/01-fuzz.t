#!/usr/bin/perl

# t/01-fuzz.t: nothing that a targets file may hold upsets the grammar
#
# MP_FUZZ_SECONDS is how long it tries for, 20 if not set. What it finds is
# printed in base64: decode that into a file, and run the fuzzer on it.

use warnings;
use strict;

use File::Temp;
use FindBin;
use MIME::Base64;
use Test::More;

my $fuzz = "$FindBin::Bin/fuzz";
my $grammar = "$FindBin::Bin/../ngx_prom_proxy_module";
my $seconds = $ENV{MP_FUZZ_SECONDS} // 20;
my $dir = File::Temp->newdir;

plan skip_all => 'clang is not installed'
    if !grep { -x "$_/clang" } split /:/, $ENV{PATH};

plan tests => 3;


# Runs a command; what it says is printed only if it fails.

sub succeeds {
    my ($promise, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', "$dir/out" or die "out: $!\n";
        open STDERR, '>&', \*STDOUT or die "stderr: $!\n";
        exec { $command[0] } @command or die "$command[0]: $!\n";
    }

    waitpid $pid, 0;
    my $ok = ok($? == 0, $promise);

    if (!$ok) {
        my @lines = split /\n/, slurp("$dir/out");
        diag(join "\n", @lines > 60 ? @lines[-60 .. -1] : @lines);
        diag("$_:\n" . encode_base64(slurp($_))) for glob "$dir/found-*";
    }

    return $ok;
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or die "$file: $!\n";
    local $/;

    return <$fh> // '';
}


mkdir "$dir/new" or die "new: $!\n";

SKIP: {
    succeeds('the fuzzer is built', '/usr/bin/env', 'clang',
        qw(-std=c17 -g -O1 -Wall -Wextra -Werror),
        '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all',
        "-I$grammar", "$fuzz/targets_fuzz.c",
        glob("$grammar/ngx_prom_targets*.c"), '-o', "$dir/targets_fuzz")
        or skip 'no fuzzer', 2;

    my @fuzzer = ("$dir/targets_fuzz", "-artifact_prefix=$dir/found-",
        "-dict=$fuzz/targets.dict", '-timeout=5');

    succeeds('each file of the corpus', @fuzzer, '-runs=0', "$fuzz/corpus");
    skip 'MP_FUZZ_SECONDS is 0', 1 if !$seconds;

    succeeds("$seconds s of anything", @fuzzer, '-max_len=8192',
        "-max_total_time=$seconds", "$dir/new", "$fuzz/corpus");
}
