#!/usr/bin/perl

# t/02-shell.t: shellcheck has nothing to say about any shell script

use warnings;
use strict;

use File::Find;
use FindBin;
use Test::More;

my $root = "$FindBin::Bin/..";
my @scripts;

# a script is known by its first line, wherever it lies, or by its name if it
# is read by others

sub shell {
    my ($file) = @_;

    return 1 if $file =~ /\.sh$/;

    open my $fh, '<:raw', $file or die "$file: $!\n";
    my $line = <$fh> // '';

    return $line =~ m{^#!\s*/(?:usr/)?bin/(?:env\s+)?(?:sh|bash|dash)\b};
}

find({ no_chdir => 1, wanted => sub {
    if (m{/\.(?:git|run|test)$}) {
        $File::Find::prune = 1;
        return;
    }

    push @scripts, $_ if -f && !-l && !m{/join/[^/]+$} && shell($_);
} }, $root);

cmp_ok(scalar @scripts, '>=', 8, 'shell scripts are found');

for my $script (sort @scripts) {
    # SC1091: what the image's scripts read is at its place in the image only

    my $said = `shellcheck -e SC1091 '$script' 2>&1`;

    ok($? == 0, substr($script, length("$root/"))) or diag $said;
}

# monitoring-proxy-join, of its parts

is(`'$root/scripts/join' | shellcheck - 2>&1`, '', 'scripts/join');

# a checker that finds nothing in this is no checker

{
    open my $pipe, '|-', 'shellcheck - > /dev/null 2>&1' or die "$!\n";
    print $pipe "#!/bin/sh\nrm -rf \$1/*\n";
    ok(!close $pipe, 'shellcheck finds an unquoted variable');
}

done_testing();
