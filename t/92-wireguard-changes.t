#!/usr/bin/perl

# t/92-wireguard-changes.t: WireGuard's nodes that change or go while they are
# scraped, and a monitor that starts again

use warnings;
use strict;

use FindBin;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Container qw(await docker network read_file replace);
use Http;
use Node;

my $network = network();
my $monitor = Node::monitor(network => $network);
my $etc = $monitor->{wireguard};


sub in_monitor { $monitor->exec('sh', '-c', $_[0])->{out} }


sub peers { join ' ', sort split ' ', in_monitor('wg show wg0 peers') }


sub scraped { $monitor->http(path => "/$_[0]/metrics", timeout => 5)->{status} }


sub joins {
    my ($name) = @_;

    my $node = Node->start(network => $network);

    $node->{url} = Node::wg($monitor, 'invite', $name);
    $node->{key} = $node->key;
    my $answer = $node->{answer} = $node->enrol($node->{url}, $node->{key});
    $node->up($answer) or die "$name: $node->{up}$answer->{body}\n";
    await(20, sub { scraped($name) == 200 }) or die $monitor->logs;

    return $node;
}


# Scrapes a node again and again in another process; the sub ends it, and
# returns the times of those that succeeded, and how many failed.

sub scrapes {
    my ($name, $every) = @_;

    my $address = $monitor->address;
    pipe my $end, my $tell or die "pipe: $!\n";
    my $pid = open(my $from, '-|') // die "fork: $!\n";

    if ($pid == 0) {
        close $tell;
        my $bits = '';
        vec($bits, fileno $end, 1) = 1;

        until (select(my $ready = $bits, undef, undef, $every)) {
            my $status = Http::request(80, host => $address, timeout => 5,
                path => "/$name/metrics")->{status};
            printf "%.3f %s\n", time, $status;
            STDOUT->flush;
        }

        POSIX::_exit(0);
    }

    close $end;

    return sub {
        close $tell;
        my @lines = map { [ split ] } <$from>;
        close $from;
        return ([ map { $_->[0] } grep { $_->[1] == 200 } @lines ],
            scalar grep { $_->[1] != 200 } @lines);
    };
}


my %node = map { $_ => joins($_) } qw(a b c);
my $all = peers();

is(scalar(split ' ', $all), 3, 'three nodes are peers');


# NET_ADMIN, in <linux/capability.h>'s bits: for what serves wg0 alone

sub net_admin {
    my ($process) = @_;

    return join ' ', map { hex($_) & 0x1000 ? 'has' : 'hasn\'t' }
        map { $monitor->exec('cat', "/proc/$_/status")->{out}
            =~ /^Cap(?:Bnd|Prm|Eff|Inh):\s+([0-9a-f]+)$/mg }
        ($monitor->pids($process))[0];
}

like(net_admin(qr/watch-nodes/), qr/has has has$/, 'who serves wg0 may');

is(net_admin(qr/^nginx: $_ process/), join(' ', ('hasn\'t') x 4),
    "nginx's $_ may not") for qw(master worker);


# rotation

my $done = scrapes('a', 0.5);
my $rotation = Node::wg($monitor, 'rotate', 'a');
my $new = $node{a}->key('/etc/wireguard/key.new');
my $answer = $node{a}->enrol($rotation, $new);

is($answer->{status}, 200, 'a node enrols another key') or diag $answer->{body};
is("@{ $answer->{address} // [] }", "@{ $node{a}{answer}{address} }",
    '... and keeps its addresses');

$node{a}->exec('sh', '-c', 'wg set wg0 private-key /etc/wireguard/key.new; '
    . "for k in 0 25; do wg set wg0 peer $answer->{peer}[0] "
    . 'persistent-keepalive $k; done');
sleep 3;

my ($good, $bad) = $done->();
cmp_ok($bad, '<=', 1, 'at most one scrape is lost');
cmp_ok($good->[-1] // 0, '>', time - 2, '... and the next ones succeed');

my $rotated = peers();
like($rotated, qr/\Q$new\E/, 'the new key is a peer');
unlike($rotated, qr/\Q$node{a}{key}\E/, '... and the old one is none');
is($node{a}->enrol($rotation, $node{a}->key('/tmp/third'))->{status}, 403,
    'the token is no good for a third key');


# removal by command

my $key_b = $node{b}{key};
$done = scrapes('b', 0.1);
sleep 1;
my $begin = time;
Node::wg($monitor, 'remove', 'b');

is($monitor->{status}, 0, 'remove succeeds') or diag $monitor->{said};
unlike(peers(), qr/\Q$key_b\E/, '... and the peer is gone when it returns');
ok(await(15, sub { scraped('b') == 404 }), '... its target, too');
sleep 1;
($good, $bad) = $done->();
cmp_ok(($good->[-1] // 0) - $begin, '<', 2, 'nothing of it is scraped 2 s on');
cmp_ok(scalar @$good, '>', 3, '... as it was before');
ok(!$node{b}->pings('10.87.0.1'), 'it reaches the monitor no more');

Node::wg($monitor, 'remove', 'b');
is($monitor->{status}, 3, 'there is none to remove twice');
is($node{b}->enrol($node{b}{url}, $key_b)->{status}, 403,
    'its invitation is gone with it');

my $next = Node::wg($monitor, 'invite', 'b');
my $back = $node{b}->enrol($next, $node{b}->key);
is($back->{status}, 200, 'it may be invited again');
isnt($back->{address}[0], $node{b}{answer}{address}[0],
    '... and has another address then');
Node::wg($monitor, 'remove', 'b');


# removal in the file

$done = scrapes('c', 0.1);
sleep 1;
my $nodes = read_file("$etc/nodes");
$begin = time;
replace("$etc/nodes", $nodes =~ s/^c .*\n//mr);
ok(await(5, sub { peers() !~ /\Q$node{c}{key}\E/ }),
    'a line that is deleted is a peer no more');
sleep 1.5;
($good) = $done->();
cmp_ok(($good->[-1] // 0) - $begin, '<', 2, '... within 2 s');

# a node that has something to say begins anew after 15 s without an answer

replace("$etc/nodes", $nodes);
ok(await(40, sub { $node{c}->pings('10.87.0.1'); scraped('c') == 200 }),
    'and is one when it comes back');


# services that end, once it is written down where each node is

ok(await(20, sub {
    my $known = read_file("$etc/endpoints");
    $known =~ /^\Q$new\E \S+:\d+$/m && $known =~ /^\Q$node{c}{key}\E /m }),
    'where nodes are is written down');

for my $service (qw(wireguard nodes enrol)) {
    my $before = peers();
    my $pid = in_monitor('s6-svstat -o pid '
        . "/run/monitoring-proxy/service/$service");
    $monitor->kill('KILL', $pid =~ s/\s+//gr);

    ok(await(15, sub { peers() eq $before }), "$service killed: no peer is lost");
    ok(await(20, sub { scraped('a') == 200 && scraped('c') == 200 }),
        '... and each is scraped');
}

$monitor->kill('KILL', $monitor->pids(qr/^wireguard-go/));
ok(await(15, sub { scraped('a') == 200 }), 'wireguard-go killed: a is scraped');


# what is for a node goes by wg0, or not at all

my $wireguard = '/run/monitoring-proxy/service/wireguard';
my ($ip) = $node{a}{answer}{address}[0] =~ m{^([\d.]+)/};

in_monitor("s6-svc -wD -T 10000 -d $wireguard");
like(in_monitor("ip route get $ip"), qr/ via \S+ dev eth0 /,
    'without wg0 the way to a node is that to the world');
like(in_monitor("perl -MIO::Socket::INET -e 'IO::Socket::INET->new("
    . "PeerAddr => \"$ip:9100\") or print \$!'"),
    qr/^No route to host$/, '... but what is for it doesn\'t take it');
in_monitor("s6-svc -wu -T 10000 -u $wireguard");
ok(await(20, sub { scraped('a') == 200 }), 'with wg0 a is scraped again');


# the container

my $public = in_monitor('wg show wg0 public-key');
my $peers = peers();
docker('restart', '-t', '20', $monitor->name);
ok($monitor->ready, 'the container starts again');
ok(await(15, sub { peers() eq $peers }), '... with the same peers');
is(in_monitor('wg show wg0 public-key'), $public, '... and the same key');
ok(await(40, sub { scraped('a') == 200 && scraped('c') == 200 }),
    '... and scrapes them') or diag $monitor->logs;

done_testing();
