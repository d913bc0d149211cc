#!/usr/bin/perl

# t/94-wireguard-mistakes.t: what WireGuard's files, its environment and its
# rights may have wrong, and what port 4443 may be asked

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory read_file replace write_file);
use Node;
use Proxy;

my @with = ('--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun');
my $key = 'A' x 42 . 'E=';
my $other = 'B' x 42 . 'E=';
my $conf = "[Interface]\nPrivateKey = $key\nAddress = 10.87.0.1/16\n";
my $etc = '/etc/monitoring/wireguard';


# A directory with files for WireGuard.

sub files {
    my (%text) = @_;

    my $dir = directory();
    mkdir "$dir/wireguard", 0700;
    write_file("$dir/wireguard/$_", $text{$_}, 0600) for keys %text;

    return $dir;
}


# What a proxy says that is refused.

sub refused {
    my ($what, $pattern, %o) = @_;

    my $r = Proxy->refused(key => undef, writable => 1, options => \@with,
        env => { MONITORING_PROXY_WIREGUARD => 'on' }, %o);

    is($r->{status}, 1, "$what: ends with status 1");
    like($r->{out}, $pattern, "$what: ... and says why") or diag $r->{out};
}


# rights

refused('no NET_ADMIN', qr/NET_ADMIN; docker run --cap-add NET_ADMIN/,
    options => [ '--device', '/dev/net/tun' ]);
refused('no tun', qr{/dev/net/tun,.*; docker run --device /dev/net/tun},
    options => [ '--cap-add', 'NET_ADMIN' ]);
refused('read-only without a configuration',
    qr{^monitoring-proxy: $etc.*(?:read-only|can't be)}mi,
    directory => directory(), writable => 0);

# the environment

refused('neither on nor off',
    qr/MONITORING_PROXY_WIREGUARD: "yes" is not allowed; "on" or "off" is/,
    env => { MONITORING_PROXY_WIREGUARD => 'yes' });
refused('a typo', qr/MONITORING_PROXY_WIREGARD: no such variable/,
    env => { MONITORING_PROXY_WIREGARD => 'on' });

# the configuration

my %wrong = (
    'no key' => [ $conf =~ s/^PrivateKey.*\n//mr, qr/PrivateKey/ ],
    'a key that is none' => [ $conf =~ s/\Q$key/abc/r, qr/:2:\d+: / ],
    'no address' => [ $conf =~ s/^Address.*\n//mr, qr/Address/ ],
    'an address without a network' => [ $conf =~ s{/16}{/32}r, qr/:3:\d+: / ],
    'a public address' => [ $conf =~ s/10\.87/9.87/r,
        qr{:3:\d+: "9\.87\.0\.1/16" is in none of 10\.0\.0\.0/8} ],
    'a command' => [ "${conf}PostUp = touch /tmp/x\n", qr/:4:\d+: .*PostUp/ ],
    'a typo' => [ "${conf}ListenPrt = 1\n", qr/:4:\d+: .*ListenPrt/ ],
);

for my $what (sort keys %wrong) {
    my ($text, $pattern) = @{ $wrong{$what} };

    refused("wg0.conf: $what", qr{^monitoring-proxy: $etc/wg0\.conf$pattern|
        ^monitoring-proxy:\ $etc/wg0\.conf.*$pattern}mx,
        directory => files('wg0.conf' => $text), env => {});
}

# nodes

my %lines = (
    'no address' => [ "a $other\n", qr/:1:/ ],
    'a key that is none' => [ "a abc 10.87.0.2\n", qr/:1:3: / ],
    'a prefix' => [ "a $other 10.87.0.2/32\n", qr/:1:\d+: / ],
    'outside of the network' => [ "a $other 10.88.0.2\n", qr/:1:\d+: / ],
    'the monitor\'s address' => [ "a $other 10.87.0.1\n", qr/:1:\d+: / ],
    'two with one address' => [ "a $other 10.87.0.2\nb ${\('C' x 42)}E= "
        . "10.87.0.2\n", qr/:2:\d+: .*line 1/ ],
    'two with one key' => [ "a $other 10.87.0.2\nb $other 10.87.0.3\n",
        qr/:2:\d+: .*line 1/ ],
    'two with one name' => [ "a $other 10.87.0.2\na ${\('C' x 42)}E= "
        . "10.87.0.3\n", qr/:2:\d+: .*line 1/ ],
);

for my $what (sort keys %lines) {
    my ($text, $pattern) = @{ $lines{$what} };

    refused("nodes: $what", qr{^monitoring-proxy: $etc/nodes$pattern}m,
        directory => files('wg0.conf' => $conf, nodes => $text), env => {});
}

my $both = files('wg0.conf' => $conf, nodes => "a $other 10.87.0.2\n");
write_file("$both/targets", "localhost:20001 a\n");
refused('nodes: a target\'s name', qr{^monitoring-proxy: $etc/nodes:1:1: .*targets}m,
    directory => $both, env => {});

# the pair

refused('a certificate without its key',
    qr{^monitoring-proxy: $etc/tls\.key: does not exist}m,
    directory => files('wg0.conf' => $conf, 'tls.crt' => "x\n"),
    env => { MONITORING_PROXY_ADVERTISE => 'monitor' });


# off

my $off = Proxy->start(key => undef, directory => files('wg0.conf' => $conf),
    env => { MONITORING_PROXY_WIREGUARD => 'off' });

like($off->logs, qr{^monitoring-proxy: $etc: not read, as}m,
    'off beside a configuration is told');
ok(!$off->listens(4443), '... and nothing listens');
isnt($off->exec('monitoring-proxy', 'wg', 'list')->{status}, 0,
    '... and wg says so');
$off->remove;


# read-only with a configuration: nodes are followed, nobody is invited

my $fixed = files('wg0.conf' => $conf =~ s{/16}{/16, fd00:6d70::1/64}r,
    nodes => "a $other 10.87.0.2,fd00:6d70::2\n");
my $proxy = Proxy->start(key => undef, directory => $fixed, options => [ @with,
    '--sysctl', 'net.ipv6.conf.default.disable_ipv6=1' ],
    env => { MONITORING_PROXY_ADVERTISE => 'monitor' });

like($proxy->logs, qr{^monitoring-proxy: warning: $etc can't be written}m,
    'read-only is told');
ok(await(10, sub { $proxy->exec('wg', 'show', 'wg0', 'peers')->{out}
    =~ /\Q$other\E/ }), '... its nodes are peers');
ok(!$proxy->listens(4443), '... and nothing listens on port 4443');
Node::wg($proxy, 'invite', 'b');
is($proxy->{status}, 1, '... and nobody is invited');
like($proxy->{said}, qr/^monitoring-proxy wg invite: .*can't be written/,
    '... as it says');
like($proxy->logs, qr/^monitoring-proxy: warning: no IPv6 .*disable_ipv6=0/m,
    'no IPv6 is told');
like($proxy->exec('ip', '-o', 'addr', 'show', 'dev', 'wg0')->{out},
    qr{\A(?!.*inet6).*inet 10\.87\.0\.1/16}s, '... and IPv4 alone will do');
$proxy->remove;


# check, of files that are yet to be used

my $empty = directory();
my $check = Container->run_to_end(options => [ '-v', "$empty:/etc/monitoring",
    '-e', 'MONITORING_PROXY_WIREGUARD=on', '-e',
    'MONITORING_PROXY_ADVERTISE=monitor' ], command => ['check']);

is($check->{status}, 0, 'check without any right') or diag $check->{out};
like($check->{out}, qr/^warning: .*NET_ADMIN/m, '... warns of what start needs');
is_deeply([ glob "$empty/*" ], [], '... and makes nothing');


# while it runs

$proxy = Node::monitor();
my $dir = $proxy->{wireguard};
my $good = "a $other 10.87.0.2\n";


sub is_peer {
    my ($which) = @_;

    return $proxy->exec('wg', 'show', 'wg0', 'peers')->{out} =~ /\Q$which\E/;
}

replace("$dir/nodes", $good);
ok(await(10, sub { is_peer($other) }), 'a line that is written is a peer');

replace("$dir/nodes", $good . "b abc 10.87.0.3\n");
ok($proxy->logged(qr{^nodes: $etc/nodes:2:3: }m, 10),
    'a mistake is told with its place');
ok(is_peer($other), '... and changes nothing');
is($proxy->exec('monitoring-proxy', 'check')->{status}, 1, 'check finds it');
Node::wg($proxy, 'invite', 'c');
isnt($proxy->{status}, 0, 'nobody is invited beside it');

Node::wg($proxy, 'remove', 'a');
ok(!is_peer($other), 'but a node is removed and cut off');

replace("$dir/nodes", $good);
ok(await(10, sub { is_peer($other) }), '... and back with its line');
ok(await(10, sub { $proxy->exec('monitoring-proxy', 'check')->{status} == 0 }),
    'check has nothing against the file without it');

unlink "$dir/nodes";
ok(!await(3, sub { !is_peer($other) }), 'a file that is gone changes nothing');
replace("$dir/nodes", '');
ok(await(10, sub { !is_peer($other) }), '... and an empty one has no nodes');

Node::wg($proxy, 'invite', 'a/../b');
isnt($proxy->{status}, 0, 'a name that no target may have is not invited');

my $none = $proxy->exec('sh', '-c', 'unset MONITORING_PROXY_ADVERTISE; '
    . 'monitoring-proxy wg invite x');
isnt($none->{status}, 0, 'without MONITORING_PROXY_ADVERTISE there is no invite');
like($none->{out}, qr/MONITORING_PROXY_ADVERTISE is not set/, '... as it says');

for (['wg'], ['wg', 'nonsense'], ['wg', 'invite'], ['wg', 'remove', 'a', 'b'],
    ['wg', 'list', 'x'])
{
    is($proxy->exec('monitoring-proxy', @$_)->{status}, 2,
        "@$_: is told its usage");
}


# the configuration, live

my $text = read_file("$dir/wg0.conf");


sub has {
    return $proxy->exec('ip', 'addr', 'show', 'dev', 'wg0')->{out} =~ $_[0];
}


# Writes another one, as root alone may read.

sub configure {
    write_file("$dir/wg0.conf.new", $_[0], 0600);
    rename "$dir/wg0.conf.new", "$dir/wg0.conf" or die "rename: $!\n";
}

configure($text =~ s{^(Address = )10\.87\.0\.1}{MTU = 1300\n${1}10.87.0.9}mr);
ok(await(10, sub { has(qr/ mtu 1300 /) && has(qr{ 10\.87\.0\.9/16 }) }),
    'another MTU and address are in effect');
ok(!has(qr{ 10\.87\.0\.1/16 }), '... in place of that before');

configure("${text}PreUp = touch /tmp/x\n");
ok($proxy->logged(qr{^nodes: $etc/wg0\.conf:\d+:\d+: .*PreUp}m, 10),
    'a command is told with its place');
ok(has(qr/ mtu 1300 /), '... and nothing is changed');
configure($text);


# port 4443

my $at = 'https://' . $proxy->address . ':4443';


sub asks {
    my (@words) = @_;

    my $r = Container::command({ input => 'x' x 100_000 }, 'curl', '-sS', '-k',
        '-m', '20', '-w', '\n%{http_code}', @words);
    my ($body, $status) = $r->{out} =~ /\A(.*)\n(\d+)\z/s;

    return ($status, $body);
}

my $json = '{"name":"x","token":"' . 'A' x 43 . "\",\"public_key\":\"$key\"}";
my @type = ('-H', 'Content-Type: application/json');
my %asked = (
    'GET' => [ 404, "$at/enrol" ],
    'PUT' => [ 404, '-X', 'PUT', '-d', $json, "$at/enrol" ],
    'another path' => [ 404, '-d', $json, "$at/" ],
    'a path below' => [ 404, '-d', $json, "$at/enrol/x" ],
    'a page of the scrape side' => [ 404, "$at/metrics" ],
    'a body of 100 kB' => [ 413, '--data-binary', '@-', "$at/enrol" ],
    'no JSON' => [ 400, @type, '-d', 'x', "$at/enrol" ],
    'JSON that is no object' => [ 400, @type, '-d', '[]', "$at/enrol" ],
    'no body' => [ 400, @type, '-d', '', "$at/enrol" ],
    'a name that is a number' => [ 400, @type, '-d',
        $json =~ s/"x"/1/r, "$at/enrol" ],
    'a key that is none' => [ 400, @type, '-d', $json =~ s/\Q$key/abc/r,
        "$at/enrol" ],
    'an unknown token' => [ 403, @type, '-d', $json, "$at/enrol" ],
    'no TLS' => [ 400, @type, '-d', $json, $at =~ s/https/http/r . '/enrol' ],
);

for my $what (sort keys %asked) {
    my ($expected, @words) = @{ $asked{$what} };
    my ($status, $body) = asks(@words);

    is($status, $expected, "$what: $expected");
    like($body // '', qr/\A[^\n<]+\n\z/, "$what: one line of text");
}

isnt((asks('--tls-max', '1.1', '--ciphers', 'DEFAULT@SECLEVEL=0', "$at/enrol"))[0],
    404, 'TLS 1.1 is refused');
is($proxy->scrape('/-/ready')->{status}, 200, 'the proxy is well after that');

done_testing();
