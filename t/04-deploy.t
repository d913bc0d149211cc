#!/usr/bin/perl

# t/04-deploy.t: the files that users copy are ones that their programs take

use warnings;
use strict;

use File::Temp;
use FindBin;
use Test::More;

my $deploy = "$FindBin::Bin/../deploy";


# systemd-analyze wants the unit's user, and exits with 0 for a wrong
# directive too: any word is a mistake.

sub verify {
    my ($text) = @_;

    my $dir = File::Temp->newdir;
    my $unit = "$dir/monitoring-proxy-tunnel.service";

    $text =~ s/^User=.*/User=daemon/m;

    open my $fh, '>', $unit or die "$unit: $!\n";
    print $fh $text;
    close $fh or die "$unit: $!\n";

    return scalar `systemd-analyze verify --man=no $unit 2>&1`;
}


my $unit = do {
    open my $fh, '<', "$deploy/systemd/monitoring-proxy-tunnel.service"
        or die "unit: $!\n";
    local $/;
    <$fh>;
};

is(verify($unit), '', 'systemd takes the unit');
isnt(verify($unit =~ s/RestartSec/RestartSeconds/r), '',
    'and would not take a wrong one');

like($unit, qr/^Restart=always$/m, 'a tunnel that ended is opened again');
like($unit, qr/ExitOnForwardFailure=yes/, 'a connection without its port ends');

# Prometheus' configurations, of the examples and of make run

for my $file ("$deploy/compose/prometheus.yml",
    "$FindBin::Bin/../scripts/run.d/prometheus.yml")
{
    my $said = `promtool check config --syntax-only $file 2>&1`;

    ok($? == 0, $file =~ s{.*\.\./}{}r) or diag $said;
}

SKIP: {
    skip 'no built monitoring-proxy-targets', 1 unless $ENV{MP_TARGETS_TOOL};

    my $said = `$ENV{MP_TARGETS_TOOL} check $deploy/compose/monitoring/targets`;
    ok($? == 0, 'the example of targets is right') or diag $said;
}

done_testing();
