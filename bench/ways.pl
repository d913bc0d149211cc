#!/usr/bin/perl

# The ways from the proxy to a host behind NAT, side by side: an ssh tunnel, a
# client that polls by TLS, and WireGuard, with wireguard-go on both ends. What
# a scrape of 90 kB takes of CPU, on either side, and how long it takes.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;
use Fleet;

use constant HTTP  => 19090;
use constant BYTES => 90_000;

my $quick  = grep { $_ eq '-q' } @ARGV;
my $rounds = $quick ? 3 : 21;
my $count  = $quick ? 100 : 300;
my $image  = $ENV{BENCH_IMAGE} || die "BENCH_IMAGE is not set\n";
my $tools  = $ENV{BENCH_TOOLS} || die "BENCH_TOOLS is not set\n";
my $client = $ENV{BENCH_CLIENT} || die "BENCH_CLIENT is not set\n";

my @ways = ([ wire => 'WireGuard, wireguard-go' ], [ tunnel => 'ssh tunnel' ],
    [ poll => 'poll, TLS 1.3' ], [ plain => 'no encryption' ]);
my %got;


sub text_of
{
    my ($file) = @_;

    open my $fh, '<', work() . "/$file" or die "$file: $!\n";
    chomp(my $text = do { local $/; <$fh> });

    return $text;
}


sub run_tool
{
    return docker('run', '--rm', '-v', work() . ':/setup', '-w', '/setup',
        $tools, 'sh', '-c', @_);
}


# The keys of both sides, the proxy's files, and what the host's nginx serves.

sub prepare
{
    mkdir work() . "/$_" for qw(monitoring monitoring/wireguard www);

    run_tool(<<'END');
umask 077
for name in proxy host; do
    wg genkey > $name.wg
    wg pubkey < $name.wg > $name.wg.pub
    ssh-keygen -q -t ed25519 -N '' -C '' -f $name.ssh
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj /CN=proxy -addext subjectAltName=DNS:proxy -quiet \
    -keyout monitoring/poll.key -out monitoring/poll.crt
chmod 644 *.pub monitoring/poll.crt
END

    my @ssh = split ' ', text_of('host.ssh.pub');
    my $wg = 'monitoring/wireguard';

    write_file('monitoring/hosts', "tunnel @ssh[0, 1] port=20001\n");
    write_file('monitoring/targets', "host:9100 plain\n");
    write_file("$wg/nodes", join(' ', 'wire', text_of('host.wg.pub'),
        '10.87.0.2') . "\n");
    write_file("$wg/wg0.conf", "[Interface]\nListenPort = 51820\n"
        . "Address = 10.87.0.1/16\nPrivateKey = " . text_of('proxy.wg')
        . "\n");
    chmod 0600, work() . "/$wg/wg0.conf";

    write_file('wg0.conf', "[Interface]\nAddress = 10.87.0.2/32\n"
        . 'PrivateKey = ' . text_of('host.wg') . "\n\n[Peer]\nPublicKey = "
        . text_of('proxy.wg.pub') . "\nEndpoint = proxy:51820\n"
        . "AllowedIPs = 10.87.0.1/32\nPersistentKeepalive = 25\n");

    @ssh = split ' ', text_of('proxy.ssh.pub');
    write_file('known_hosts', "proxy @ssh[0, 1]\n");

    my $text = '';

    for (my $i = 0; length $text < BYTES; $i++) {
        $text .= sprintf "node_cpu_seconds_total{cpu=\"%d\",mode=\"idle\"} "
            . "%.2f\n", $i, $i * 1234.56;
    }

    write_file('www/metrics', substr $text, 0, BYTES);

    write_file('exporter.conf', <<'END');
user root;
pid /tmp/exporter.pid;
events { }
http {
    access_log off;
    server {
        listen 9100;
        root /setup/www;
        types { }
        default_type "text/plain; version=0.0.4";
        sendfile on;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
    }
}
END
}


sub start_proxy
{
    server('proxy', '--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun',
        '-p', '127.0.0.1:' . HTTP . ':80',
        '-v', work() . '/monitoring:/etc/monitoring',
        '-v', work() . '/proxy.ssh:/etc/ssh/ssh_host_ed25519_key:ro',
        '-e', 'MONITORING_PROXY_ADVERTISE=proxy',
        '-e', 'MONITORING_PROXY_POLL=on',
        '-e', 'MONITORING_PROXY_POLL_CERTIFICATE=/etc/monitoring/poll.crt',
        '-e', 'MONITORING_PROXY_POLL_KEY=/etc/monitoring/poll.key', $image);
}


# One container with all three, as a host may have them.

sub start_host
{
    server('host', '--init', '--cap-add', 'NET_ADMIN',
        '--device', '/dev/net/tun', '-v', work() . ':/setup:ro',
        '-v', "$client:/usr/bin/monitoring-proxy-client:ro", $tools,
        'sh', '-c', <<'END');
set -eu
umask 077
mkdir -p /etc/wireguard
cp /setup/wg0.conf /etc/wireguard/wg0.conf
cp /setup/host.ssh /root/key
cp /setup/known_hosts /root/known_hosts
nginx -p /tmp -e /tmp/exporter.log -c /setup/exporter.conf
wg-quick up wg0
monitoring-proxy-client --proxy-url=https://proxy:8080 --fqdn=poll \
    --tls.cacert=/setup/monitoring/poll.crt \
    --pull-url=http://localhost:9100/metrics &
while :; do
    ssh -F none -N -T -i /root/key -o BatchMode=yes \
        -o UserKnownHostsFile=/root/known_hosts -o ExitOnForwardFailure=yes \
        -R 20001:localhost:9100 monitoring@proxy || sleep 1
done
END
}


sub scrapes
{
    my ($way, $times) = @_;

    my @before = map { cpu_of($_) } qw(proxy host);
    my @took = load_requests(HTTP, "/$way/metrics", $times, 200);
    my @after = map { cpu_of($_) } qw(proxy host);

    $took[4] == BYTES or die "$way: an answer of $took[4] bytes\n";

    my ($proxy, $host) = map { 1e6 * ($after[$_] - $before[$_]) / $times } 0, 1;

    return { proxy => $proxy, host => $host, both => $proxy + $host,
        median => $took[0], p99 => $took[1] };
}


sub figures
{
    my ($way, $figure) = @_;

    return map { $_->{$figure} } @{ $got{$way} };
}


prepare();
note('the proxy, and a host that it reaches by all ways');
start_proxy();
start_host();

for (@ways) {
    my ($way) = @$_;

    await(60, sub { eval { scrapes($way, 1) } })
        or die "$way: no answer:\n", docker('logs', 'mp-bench-proxy'),
            docker('logs', 'mp-bench-host');
}

note("$rounds rounds of $count scrapes");

my @order = map { $_->[0] } @ways;

for my $round (0 .. $rounds) {
    @order = reverse @order;

    for (@order) {
        my $row = scrapes($_, $count);
        push @{ $got{$_} }, $row if $round;     # the first warms up
    }
}

print "## Ways to a host\n\n$rounds rounds of $count scrapes of "
    . BYTES / 1000 . " kB, one after the other. Medians, of CPU of both sides "
    . "also what the middle half is between; microseconds. The ratio is to "
    . "WireGuard's CPU, round by round.\n\n";

table([ 'way', 'CPU of both sides', 'of the proxy', 'of the host',
    'answer after', '99 %', 'CPU, ratio to WireGuard' ],
    map {
        my ($way, $name) = @$_;

        [ $name, quartiles('%.0f', figures($way, 'both')),
            map({ sprintf '%.0f', median(figures($way, $_)) }
                qw(proxy host median p99)),
            $way eq 'wire' ? '' : sprintf '%.2f', median(ratio(
                [ figures($way, 'both') ], [ figures('wire', 'both') ])) ];
    } @ways);
