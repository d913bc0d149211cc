#!/usr/bin/perl

# t/93-wireguard-nat.t: WireGuard's nodes behind a router that masquerades, and
# forgets, on a way with a smaller MTU

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await docker network test_image);
use Node;

# after so many seconds without a packet, about as the quickest routers do; a
# node has something to say until 10 s after a scrape

my $forgets = 28;
my $silent = 10;

my $outside = network();
my $inside = network();
my $monitor = Node::monitor(network => $outside);
my $address = $monitor->ip($outside);

my $router = Container->run(image => test_image(), options => [ '--network',
    $outside, @Node::rights, '--sysctl', 'net.ipv4.ip_forward=1',
    map { ('--sysctl', "net.netfilter.nf_conntrack_$_=$forgets") }
        qw(udp_timeout udp_timeout_stream) ],
    command => [ 'sleep', 'infinity' ]);
docker('network', 'connect', $inside, $router->name);


sub interface {
    my ($network) = @_;

    my $ip = $router->ip($network);
    my ($name) = $router->exec('ip', '-o', 'addr')->{out}
        =~ /^\d+: (\S+) +inet \Q$ip\E\//m;

    return $name;
}

my $out = interface($outside);
my $rules = $router->exec({ input => <<"EOT" }, 'nft', '-f', '-');
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat;
        oifname "$out" masquerade
    }
}
EOT

is($rules->{status}, 0, 'a router masquerades') or diag $rules->{out};


sub scrape {
    my ($name, $seconds) = @_;

    return $monitor->http(path => "/$name/metrics", timeout => $seconds // 6);
}


my %node;

for my $name (qw(awake asleep)) {
    my $node = $node{$name} = Node->start(network => $inside, options => [
        '--add-host', "monitor:$address" ]);

    $node->exec('ip', 'route', 'replace', 'default', 'via',
        $router->ip($inside));

    my $answer = $node->enrol(Node::wg($monitor, 'invite', $name), $node->key);
    is($answer->{status}, 200, "$name: enrols from behind it")
        or diag $answer->{body} || $answer->{status};
    is($answer->{keepalive}[0] // '', 25, "$name: is told to keep it open");

    $answer->{keepalive} = ['off'] if $name eq 'asleep';
    ok($node->up($answer), "$name: has wg0") or diag $node->{up};
    $node->pings('10.87.0.1');
    ok(await(20, sub { scrape($name)->{status} == 200 }),
        "$name: is scraped at first") or diag $monitor->logs;
}

my $from = $router->ip($outside);
my %endpoint = $monitor->exec('wg', 'show', 'wg0', 'endpoints')->{out}
    =~ /^(\S+)\t(\S+)$/mg;

is(scalar(grep { /^\Q$from\E:/ } values %endpoint), 2,
    'both come by the router\'s address');


# Nobody asks for longer than the router remembers, which is what is tried; nor
# are there connections, on which exporters in Go send something every 15 s.

$monitor->exec('nginx', '-s', 'reload');

sleep $silent + $forgets + 3;

isnt(scrape('asleep')->{status}, 200,
    'without keepalive the router has forgotten a node');
is(scrape('awake')->{status}, 200, 'with it, a node is reached at once');


# a smaller MTU, from the router on: what is larger doesn't pass in one piece

my $to = 1180;
my ($mtu) = $node{awake}->exec('ip', 'link', 'show', 'dev', 'wg0')->{out}
    =~ / mtu (\d+) /;

is($router->exec('ip', 'link', 'set', 'dev', $out, 'mtu', $to)->{status}, 0,
    "the way is for packets of $to bytes from now on");
cmp_ok($mtu, '>', $to, '... of which wg0 knows nothing');

$node{awake}->exec('sh', '-c', 'for i in $(seq 1500); do echo "metric_with_a'
    . '_name_of_some_length{number=\\"$i\\"} $i"; done > /tmp/large.prom');

my $large = scrape('awake', 30);

is($large->{status}, 200, 'a scrape passes');
cmp_ok(length $large->{body}, '>', 90_000, '... of more than 90 kB');
like($large->{body}, qr/number="1500"/, '... as a whole');

done_testing();
