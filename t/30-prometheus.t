#!/usr/bin/perl

# t/30-prometheus.t: a real Prometheus scrapes a host that it can't reach

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await directory docker network read_file write_file);
use Host;
use Prometheus;
use Proxy;

my $targets = <<'EOF';
localhost:20001 external-host-1
localhost:20002 dead-host
EOF

# what people are told to write without discovery, hosts and port being ours

my $page = 'docs/discovery.md';
my ($example) = grep { /static_configs/ }
    read_file("$FindBin::Bin/../$page")
    =~ /^(    scrape_configs:\n(?:    .*\n|\n(?=    ))*)/mg;

ok(defined $example, "$page has scrape_configs") or die;

$example =~ s/^    //mg;

my $config = "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n$example";
$config =~ s/\bproxy:8000\b/proxy:80/ or die "$page: no port 8000\n";
$config =~ s/\bexternal-host-2\b/dead-host/ or die "$page: one host\n";

# Prometheus' network, and by Host the host's own; the proxy is on both

my $network = network();
my $host = Host->start;
my $proxy = Proxy->start(targets => $targets, network => $network,
    options => [ '--network', $network, '--network-alias', 'proxy' ]);

$host->reaches($proxy, 'proxy');

my $etc = directory();
write_file("$etc/prometheus.yml", $config);

my $prometheus = Prometheus->start($etc, $network);


# The newest value of a query's only series, if it was scraped after a time.

sub value {
    my ($query, $after) = @_;

    my $result = $prometheus->query($query);
    @$result == 1 or return;

    my $time = $prometheus->query("timestamp($query)")->[0]{value}[1];

    return $time >= ($after // 0) ? $result->[0]{value}[1] : undef;
}


sub up {
    my ($instance, $after) = @_;

    return value("up%7Binstance%3D%22$instance%22%7D", $after);
}


sub target {
    my ($instance) = @_;

    my ($target) = grep { $_->{labels}{instance} eq $instance }
        @{ $prometheus->targets };

    return $target;
}


sub becomes {
    my ($instance, $state, $seconds) = @_;

    my $now = time;

    return await($seconds // 60, sub {
        my $up = up($instance, $now);
        defined $up && $up == $state });
}


# before a tunnel is there

ok(becomes('external-host-1', 0, 30), 'without a tunnel up is 0')
    or diag $prometheus->logs;

# the way there

my $reach = 'curl -s -f -m 3 http://%s:9100/metrics > /dev/null';
my $address = $host->ip($host->{network});

isnt($prometheus->exec('sh', '-c', sprintf $reach, $address)->{status}, 0,
    'Prometheus can not reach the host');

docker('exec', '-d', '-e', 'AUTOSSH_GATETIME=0', $host->name, 'autossh',
    '-M', '0', '-F', '/keys/config', '-i', '/keys/id', '-N',
    '-R', '20001:localhost:9100', 'proxy');

ok(becomes('external-host-1', 1), 'with autossh on the host up is 1')
    or diag $proxy->logs;

my $target = target('external-host-1');
is($target->{health}, 'up', 'the target is shown as up');
is($target->{lastError}, '', 'without an error');
is($target->{scrapeUrl}, 'http://proxy:80/external-host-1/metrics',
    'scraped at the proxy');

cmp_ok(value('count(node_cpu_seconds_total)') // 0, '>', 0,
    "the host's metrics are in Prometheus");
is(value('node_uname_info%7Binstance%3D%22external-host-1%22%7D'), 1,
    'one series of the host');

my $nodename = $prometheus->query('node_uname_info')->[0]{metric};
is($nodename->{nodename}, $host->inspect('{{.Config.Hostname}}'),
    'and it is that host');


# the other one

ok(becomes('dead-host', 0), 'a dead tunnel: up is 0');

$target = target('dead-host');
is($target->{health}, 'down', 'a dead tunnel: the target is shown as down');
like($target->{lastError}, qr/^server returned HTTP status 502 Bad Gateway/,
    'a dead tunnel: lastError says why');
is(up('external-host-1'), 1, 'a dead tunnel: the other host is still up');


# the ssh connection dies; autossh sees to a new one

my @ssh = grep { $_ ne '' } $host->pids(qr/^\S*\bssh .*-R 20001/);
my @autossh = $host->pids(qr/^\S*autossh /);
@ssh = grep { my $pid = $_; !grep { $_ == $pid } @autossh } @ssh;

is(scalar @ssh, 1, 'autossh has one ssh');
$host->kill('KILL', @ssh);
ok(becomes('external-host-1', 1), 'ssh killed on the host: up is 1 again');

my @now = $host->pids(qr/^\S*\bssh .*-R 20001/);
ok(!(grep { $_ == $ssh[0] } @now), 'by another ssh');

my @sessions = $proxy->pids(qr/^sshd-session: monitoring/);
ok(scalar @sessions, 'the proxy has a session');
$proxy->kill('KILL', @sessions);
ok(becomes('external-host-1', 1),
    'session killed at the proxy: up is 1 again');

# a proxy that starts anew, at the same address or not

docker('restart', '-t', '10', $proxy->name);
ok($proxy->ready, 'the proxy restarts');
ok(becomes('external-host-1', 1, 45), 'proxy restarted: up is 1 again')
    or diag $proxy->logs;

# a host that hangs, tunnel and all

docker('pause', $host->name);
ok(becomes('external-host-1', 0), 'a host that hangs: up is 0');
docker('unpause', $host->name);
ok(becomes('external-host-1', 1), 'it goes on: up is 1 again');


# promtool

write_file("$etc/example.yml", $example);
my $r = $prometheus->exec('promtool', 'check', 'config',
    '/etc/prometheus/example.yml');
is($r->{status}, 0, "scrape_configs of $page pass promtool")
    or diag $r->{out};

write_file("$etc/example.yml", $example . "  - nonsense: 1\n");
isnt($prometheus->exec('promtool', 'check', 'config',
    '/etc/prometheus/example.yml')->{status}, 0, 'promtool would notice');

done_testing();
