#!/usr/bin/perl

# t/92-wireguard.t: a monitor and three nodes joined by WireGuard, scraped by a
# real Prometheus: who reaches what, removal, rotation and restarts

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Container qw(await directory docker network read_file write_file);
use Node;
use Prometheus;
use Proxy qw(@confined);

my $network = network();
my $other = network();

my $monitor = Node::monitor(network => $network, options => \@confined);
docker('network', 'connect', $other, $monitor->name);

my $etc = $monitor->{wireguard};


sub in_monitor { $monitor->exec('sh', '-c', $_[0])->{out} }


sub peers { join ' ', sort split ' ', in_monitor('wg show wg0 peers') }


sub scraped { $monitor->scrape("/$_[0]/metrics")->{status} }


# what is made

my $conf = read_file("$etc/wg0.conf");
my $mine = await(10, sub {
    (in_monitor('wg show wg0 public-key') =~ m{^([\w/+]+=)$})[0] });

like($conf, qr{^Address = 10\.87\.0\.1/16, fd[0-9a-f:]+::1/64$}m,
    'a configuration is made, with a network of its own');
is((stat "$etc/wg0.conf")[2] & 0777, 0600, '... for root alone');
like($monitor->logs, qr/^monitoring-proxy: WireGuard: .*public key \Q$mine\E/m,
    'the log has the public key');
unlike($monitor->logs, qr/\Q@{[ $conf =~ m{^PrivateKey = (\S+)}m ]}\E/,
    '... and not the private one');
is($monitor->exec('monitoring-proxy', 'check')->{status}, 0,
    'check finds no mistake');


# three nodes: two by hand, as the protocol is, and one by monitoring-proxy-join

my %invited = ('web-1' => ['rack=a'],
    'site-b/db-1' => [ '--ports', 'node:9100,other:9101' ], 'edge-3' => []);
my (%node, %url, %key, %answer);
my $script = $monitor->exec('monitoring-proxy', 'join')->{out};

for my $name (sort keys %invited) {
    $url{$name} = Node::wg($monitor, 'invite', $name, @{ $invited{$name} });
    like($url{$name}, qr{^https://monitor:4443/\Q$name\E/[\w-]{43}\.[\w-]{43}$},
        "$name: invite prints the URL, and nothing else")
        or diag $monitor->{said};

    my $node = $node{$name} = Node->start(network => $network,
        options => [ '--hostname', $name =~ s{/}{-}r ]);

    my $scraped = $name =~ /db/ ? "$name/node" : $name;

    if ($name eq 'web-1') {
        my $r = $node->exec({ input => $script, seconds => 60 }, 'sh', '-s',
            '--', '--wireguard', $url{$name});

        is($r->{status}, 0, "$name: monitoring-proxy-join joins it")
            or diag $r->{out}, $monitor->logs;
        $key{$name} = $node->exec('wg', 'show', 'wg0', 'public-key')->{out}
            =~ s/\n//r;
    } else {
        $key{$name} = $node->key;
        my $answer = $answer{$name} = $node->enrol($url{$name}, $key{$name});

        is($answer->{status}, 200, "$name: enrols") or diag $answer->{body},
            $monitor->logs;
        is("@{ $answer->{name} // [] } @{ $answer->{peer} // [] }",
            "$name $mine", '... the answer has its name and the monitor\'s key');
        like("@{ $answer->{address} // [] }",
            qr{^10\.87\.\d+\.\d+/32 fd\S+/128$},
            '... an address of each kind, of it alone');
        like(peers(), qr/\Q$key{$name}\E/, '... its peer is there by then');
        ok($node->up($answer), '... wg-quick brings wg0 up')
            or diag $node->{up};
    }

    ok(await(15, sub { scraped($scraped) == 200 }), "$name: is scraped")
        or diag $monitor->logs;
}

my %line = read_file("$etc/nodes") =~ m{^(\S+) \S+ (\S+)}mg;
my %ip = map { $_ => $line{$_} =~ s/,.*//r } keys %line;
my %ip6 = map { $_ => $line{$_} =~ s/.*,//r } keys %line;
my ($own, $own6) = $conf =~ m{^Address = ([\d.]+)/16, (\S+)/64$}m;

my $used = Node::parts($url{'web-1'})->{token};
unlike(join('', map { read_file($_) } glob "$etc/*"), qr/\Q$used\E/,
    'a token is in no file');
unlike($monitor->logs, qr/\Q$used\E/, '... nor in the log');


# tokens

my $stranger = $node{'edge-3'};
my $new = $stranger->key('/tmp/key');
my $open = Node::wg($monitor, 'invite', 'open');
my $short = Node::wg($monitor, 'invite', 'short', '--ttl', '1s');
my $token = Node::parts($open)->{token};
my %refused = (
    'used already'    => [ $url{'web-1'}, $new ],
    'for another name' => [ $open, $new, name => 'web-2' ],
    'tampered with'   => [ $open, $new,
        token => $token =~ s/^(.)/$1 eq 'A' ? 'B' : 'A'/er ],
);
my %said;

for my $what (sort keys %refused) {
    my ($url, $key, @changed) = @{ $refused{$what} };
    my $answer = $stranger->enrol($url, $key, @changed);

    is($answer->{status}, 403, "a token that is $what is refused");
    $said{ $answer->{body} } = 1;
}

sleep 1.1;
my $late = $stranger->enrol($short, $new);
is($late->{status}, 403, 'a token whose time is over is refused');
$said{ $late->{body} } = 1;

is(scalar keys %said, 1, 'all in the same words') or diag explain \%said;

my $again = $stranger->enrol($url{'edge-3'}, $key{'edge-3'});
is($again->{body}, $answer{'edge-3'}{body},
    'who has used one gets the same answer with the same key');
is($stranger->enrol($open, $key{'web-1'})->{status}, 409,
    'another node\'s key is refused');
isnt($stranger->enrol($open, $new, pin => 'A' x 43 . '=')->{status}, 200,
    'a node with another pin sends nothing');


# Prometheus

my $config = directory();
write_file("$config/prometheus.yml", <<'EOT');
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: nodes
    http_sd_configs: [ { url: 'http://monitor/targets', refresh_interval: 1s } ]
  - job_name: monitor
    static_configs: [ { targets: [ 'monitor:80' ] } ]
EOT

my $prometheus = Prometheus->start($config, $network);


sub up {
    my ($name) = @_;

    my $series = eval { $prometheus->query("up{instance=\"$name\"}") } // [];

    return @$series && $series->[0]{value}[1];
}

for my $name ('edge-3', 'site-b/db-1/node', 'web-1') {
    ok(await(30, sub { up($name) }), "Prometheus scrapes $name")
        or diag explain eval { $prometheus->targets };
}

is_deeply([ map { $_->{metric}{rack} }
    @{ $prometheus->query('up{instance="web-1"}') } ], ['a'],
    'with the labels of its invitation');
is_deeply([ map { $_->{metric}{nodename} } @{ $prometheus->query(
    'node_uname_info{instance="site-b/db-1/node"}') } ], ['site-b-db-1'],
    'each one is who it should be');

ok(await(20, sub { @{ $prometheus->query(
    'time()-monitoring_proxy_peer_last_handshake_timestamp_seconds'
    . '{target="web-1"}<180') } }), 'the monitor\'s metrics have the handshake');
ok(await(20, sub { @{ $prometheus->query(
    'monitoring_proxy_peer_receive_bytes_total{target="web-1"}>10000') } }),
    '... and what was received');

my $list = Node::wg($monitor, 'list');
like($list, qr{^web-1\s.*\bup\b}m, 'wg list: a node that is up') or diag $list;
like($list, qr{^open\s.*\binvited\b}m, '... and one that hasn\'t come');


# the exporter is closed from everywhere else

my $web = $node{'web-1'};
my $db = $node{'site-b/db-1'};
my $bystander = Node->start(network => $network);
my $eth = $web->ip($network);

ok($bystander->pings($eth), 'a machine beside a node reaches it');
ok(!$bystander->gets("http://$eth:9100/metrics"), '... but not its exporter');
ok(!$db->gets("http://$eth:9100/metrics"), 'nor does another node, beside wg0');
ok(!$db->gets("http://$ip{'web-1'}:9100/metrics", '--interface', 'wg0'),
    '... or over wg0');
ok(!$db->gets("http://[$ip6{'web-1'}]:9100/metrics", '--interface', 'wg0'),
    '... by IPv6 either');

# though it had a route, and the monitor forwarded

$db->exec('sh', '-c', "ip route add $ip{'web-1'}/32 dev wg0; "
    . "wg set wg0 peer $mine allowed-ips 10.87.0.0/16,fd00::/8");
ok($db->pings($own), 'a node pings the monitor');
ok(!$db->gets("http://$ip{'web-1'}:9100/metrics", '--interface', 'wg0'),
    '... which passes nothing on to another');
ok(!$db->pings($ip{'web-1'}), '... not even a ping');

my $away = $monitor->ip($other);



# Whether the monitor opens a connection, from SOURCE if given.

sub opens {
    my ($address, $source) = @_;

    my $route = "ip route replace $ip{'web-1'}/32 dev wg0";

    in_monitor("$route src $source") if $source;
    my $r = $monitor->exec('timeout', '3', 'bash', '-c',
        "exec 3<> /dev/tcp/$address/9100");
    in_monitor("ip route delete $ip{'web-1'}/32 dev wg0") if $source;

    return $r->{status} == 0;
}

ok(opens($ip{'web-1'}), 'the monitor reaches the exporter over wg0');
ok(!opens($eth), '... and not beside it');
ok(!opens($ip{'web-1'}, $away), '... nor over it from another address');
ok(opens($ip{'web-1'}, $own), '... but from its own');

# nor has a node any business at the monitor

for my $port (22, 80, 4443) {
    my $scheme = $port == 80 ? 'http' : $port == 22 ? 'telnet' : 'https';

    for my $address ($own, "[$own6]", $away) {
        my $name = $address eq $away ? 'its other address' : $address;

        ok(!$db->gets("$scheme://$address:$port/"),
            "a node reaches no port $port of the monitor, by $name");
    }
}

ok($bystander->gets('http://monitor/'), '... which is there');


# on the wire

docker('exec', '-d', $web->name, 'tcpdump', '-i', 'eth0', '-s', '0', '-U',
    '-w', '/tmp/wire', 'not arp and not icmp6');
await(10, sub { $web->exec('test', '-s', '/tmp/wire')->{status} == 0 });

my $scrapes = grep { scraped('web-1') == 200 } 1 .. 5;
is($scrapes, 5, 'scrapes, with a capture at the node');
$web->exec('busybox', 'pkill', 'tcpdump');

my $packets = $web->exec('tcpdump', '-nn', '-q', '-r', '/tmp/wire')->{out};
my $addresses = join '|', map { quotemeta } $eth, $monitor->ip($network);
my @others = grep { /^\d/
    && !/ IP (?:$addresses)\.51820 > (?:$addresses)\.\d+: UDP, /
    && !/ IP (?:$addresses)\.\d+ > (?:$addresses)\.51820: UDP, / }
    split /\n/, $packets;

like($packets, qr/UDP, length \d{3,}/, 'there are packets');
is("@others", '', '... all of them WireGuard\'s, between the two');
isnt($web->exec('grep', '-q', '-a', '-e', 'node_', '-e', 'HTTP/', '/tmp/wire')
    ->{status}, 0, '... and nothing of an exposition can be read in them');


# a node that takes another's address

$db->exec('ip', 'addr', 'add', "$ip{'web-1'}/32", 'dev', 'wg0');
$db->exec('ip', 'addr', 'add', '10.87.200.200/32', 'dev', 'wg0');

ok($db->pings($own, '-I', $ip{'site-b/db-1'}), 'a node\'s own address works');
ok(!$db->pings($own, '-I', $ip{'web-1'}), 'another\'s gets it no answer');
ok(!$db->pings($own, '-I', '10.87.200.200'), 'nor does one that nobody has');
like($monitor->scrape('/web-1/metrics')->{body},
    qr/^node_uname_info\{.*nodename="web-1"/m,
    'and whose it is goes on being scraped');

done_testing();
