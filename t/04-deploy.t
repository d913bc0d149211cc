#!/usr/bin/perl

# t/04-deploy.t: the files that users copy are ones that their programs take

use warnings;
use strict;

use File::Temp;
use FindBin;
use Test::More;

my $deploy = "$FindBin::Bin/../deploy";


sub unit {
    my ($name) = @_;

    open my $fh, '<', "$deploy/systemd/$name.service" or die "$name: $!\n";
    local $/;

    return <$fh>;
}


# systemd-analyze wants the unit's user and program, and exits with 0 for a
# wrong directive too: any word is a mistake.

sub verify {
    my ($text) = @_;

    my $dir = File::Temp->newdir;
    my $unit = "$dir/monitoring-proxy-tunnel.service";

    $text =~ s/^User=.*/User=daemon/m;
    $text =~ s{^ExecStart=/usr/bin/monitoring-proxy-client}{ExecStart=/bin/true}m;

    open my $fh, '>', $unit or die "$unit: $!\n";
    print $fh $text;
    close $fh or die "$unit: $!\n";

    return scalar `systemd-analyze verify --man=no $unit 2>&1`;
}


my $unit = unit('monitoring-proxy-tunnel');

is(verify($unit), '', 'systemd takes the unit');
isnt(verify($unit =~ s/RestartSec/RestartSeconds/r), '',
    'and would not take a wrong one');

like($unit, qr/^Restart=always$/m, 'a tunnel that ended is opened again');
like($unit, qr/ExitOnForwardFailure=yes/, 'a connection without its port ends');

# the poll client's

my $client = unit('monitoring-proxy-client');

is(verify($client), '', 'systemd takes the client\'s unit');
like($client, qr/^DynamicUser=yes$/m, 'its user is made for it');

my $threat = do {
    my $dir = File::Temp->newdir;
    open my $fh, '>', "$dir/client.service" or die "unit: $!\n";
    print $fh $client;
    close $fh or die "unit: $!\n";

    `systemd-analyze security --offline=true $dir/client.service 2>&1`
        =~ /exposure level .*: ([\d.]+)/ ? $1 : 'unknown';
};

cmp_ok($threat, '<=', 2, 'systemd-analyze finds little that it could do');

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
