#!/usr/bin/perl

# t/51-tunnel-unit.t: the unit of a monitored host's tunnel, under systemd

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await docker test_image);
use Systemd;

my $unit = 'monitoring-proxy-tunnel';
my $deploy = "$FindBin::Bin/../deploy/systemd";
my $host = Systemd->boot(image => test_image());


# What the script said; what it and the unit did, if it failed.

sub on_host {
    my ($promise, $script) = @_;

    my $r = $host->exec('sh', '-ec', $script);

    is($r->{status}, 0, $promise) or diag $r->{out},
        $host->exec('journalctl', '-n', 50, '-u', $unit)->{out};

    return $r->{out};
}


docker('cp', "$deploy/$unit.service", $host->name . ':/etc/systemd/system/');

# the five steps of docs/tunnels.md; its sshd stands for the proxy's, and for
# the exporter

on_host('it starts', <<"END");
useradd --system --no-create-home --home-dir /nonexistent \\
    --shell /usr/sbin/nologin $unit
mkdir /etc/$unit
ssh-keygen -q -t ed25519 -N '' -f /etc/$unit/key
chown $unit /etc/$unit/key

useradd --system --no-create-home --home-dir /nonexistent monitoring
mkdir -p /run/sshd
rm -f /run/nologin
cp /etc/$unit/key.pub /srv/keys
ssh-keygen -q -t ed25519 -N '' -f /srv/host
/usr/sbin/sshd -p 2222 -o HostKey=/srv/host -o AuthorizedKeysFile=/srv/keys

echo "[127.0.0.1]:2222 \$(cat /srv/host.pub)" > /etc/$unit/known_hosts
printf '%s\\n' PROXY=127.0.0.1 PORT=2222 \\
    'FORWARDS="-R 20001:localhost:2222 -R 20002:localhost:2222"' \\
    > /etc/$unit/tunnel.conf
systemctl daemon-reload
systemctl enable --now $unit
END

for my $port (20001, 20002) {
    ok(await(60, sub {
        $host->exec('bash', '-c', "read -r line < /dev/tcp/127.0.0.1/$port "
            . '&& echo $line')->{out} =~ /^SSH-2\.0/;
    }), "port $port leads to the host")
        or diag $host->exec('journalctl', '-u', $unit)->{out};
}

my $pid = $host->exec('systemctl', 'show', '-P', 'MainPID', $unit)->{out};

like($host->exec('sh', '-c', 'grep -h "^CapBnd\|^NoNewPrivs\|^Seccomp:" '
    . "/proc/${\ ($pid + 0)}/status")->{out},
    qr/^CapBnd:\s0+\nNoNewPrivs:\s1\nSeccomp:\s2$/, 'it is confined');

on_host('it can be stopped', "systemctl stop $unit");
is($host->exec('systemctl', 'is-active', $unit)->{out}, "inactive\n",
    'which is no failure');

done_testing();
