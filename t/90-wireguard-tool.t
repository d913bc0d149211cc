#!/usr/bin/perl

# t/90-wireguard-tool.t: monitoring-proxy-wireguard makes and checks the files
# of WireGuard, invites nodes, removes and lists them

use warnings;
use strict;

use Digest::SHA qw(sha256_base64 sha256_hex);
use FindBin;
use JSON::PP;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use WireGuard qw(await key slurp spew);

# keys of RFC 7748: one that is private, its public half, and another one

my $private = 'XasIfmJKikt54X+Lg4AO5m87sSkmGLb9HC+LJ/+I4Os=';
my $public = '3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=';
my $own = 'hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=';
my $interface = "[Interface]\nPrivateKey = $private\n";

my $wg = WireGuard->new;
my $dir = $wg->dir;
my $made = $wg->file('wg0.conf');

sub conf {
    my ($text) = @_;

    unlink map { "$dir/$_" } qw(nodes invitations next);
    $wg->put('wg0.conf', $text);
}

sub says {
    my (@args) = @_;

    my ($status, $out, $told) = $wg->tool(@args);

    return "$status $out$told";
}

sub invites {
    my (@args) = @_;

    my ($status, $out, $told) = $wg->invite(@args);

    return "$status $told";
}


# usage

for my $args ([], ['check'], ['init'], ['invite', $dir], ['rotate', $dir],
    ['rotate', $dir, 'a', 'b=c'], ['remove', $dir], ['list', '--xml', $dir],
    ['list', $dir, 'a'], ['invite', $dir, 'a', '--ttl'], ['frobnicate'],
    ['enrol', $dir, 'a'], ['rotate', '--ports', '1', $dir, 'a'],
    ['check', $dir, 'a', 'b', 'c'])
{
    my ($status, $out, $told) = $wg->tool(@$args);
    is("$status $out", '2 ', 'wrong usage: ' . join ' ', @$args);
    like($told, qr/^usage: monitoring-proxy-wireguard init/, '... is helped');
}

like(says('--help'), qr/^0 usage: /, '--help is not a mistake');
like(says('invite', $dir, 'a'), qr/^2 .*--host is missing/,
    'an invitation to nowhere');


# init

like($made, qr{\A\[Interface\]\nPrivateKey\ =\ [A-Za-z0-9+/]{43}=\n
    ListenPort\ =\ 51820\n
    Address\ =\ 10\.87\.0\.1/16,\ fd[0-9a-f]{2}:[0-9a-f]{4}:[0-9a-f]{4}::1/64
    \n\z}x, 'init makes a key, and a network');
is(sprintf('%o %o', map { (stat)[2] & 07777 } $dir, "$dir/wg0.conf"),
    '700 600', '... that root alone can read');
is(says('init', $dir), '0 ', 'a second time');
is($wg->file('wg0.conf'), $made, '... changes nothing');
is(says('check', $dir), '0 ', 'what it makes is right');
isnt(WireGuard->new->file('wg0.conf') =~ s/Address.*//sr,
    $made =~ s/Address.*//sr, 'another one has another key');

spew("$dir/../file", '');
is(says('init', "$dir/../file/wg"), "1 DIR/../file/wg: not a directory\n",
    'where no directory can be made');


# wg0.conf

my $peer = "[Peer]\nPublicKey = $own\n";
my $good = $interface . "Address = 10.87.0.1/16\n";
my $is_key = '44 characters of base64, as wg';

for my $case (
    [ 'no file at all', undef, 'wg0.conf: no such file or directory' ],
    [ 'an empty file', '', 'wg0.conf:1:1: no [Interface] in the file' ],
    [ 'no key', "[Interface]\nAddress=10.0.0.1/24\n",
        'wg0.conf:1:1: no PrivateKey in [Interface]; wg genkey makes one' ],
    [ 'no address', $interface, 'wg0.conf:1:1: no Address in [Interface]; it '
        . "is the monitor's own with the network's prefix, as in "
        . '10.87.0.1/16' ],
    [ 'a key that is none', $good =~ s/=$/A/mr,
        "wg0.conf:2:14: not a private key, which is $is_key genkey prints" ],
    [ 'a key of zeros', $good =~ s/\Q$private\E/'A' x 43 . '='/er,
        "wg0.conf:2:14: not a private key, which is $is_key genkey prints" ],
    [ 'something to be executed', "${good}PostUp = rm -rf /\n",
        'wg0.conf:4:1: PostUp is not allowed: the proxy sets the interface up '
        . 'by itself, and executes nothing of this file; PrivateKey, '
        . 'ListenPort, Address and MTU are allowed' ],
    [ 'in small letters', "${good}saveconfig = true\n",
        'wg0.conf:4:1: SaveConfig is not allowed: the proxy sets the interface '
        . 'up by itself, and executes nothing of this file; PrivateKey, '
        . 'ListenPort, Address and MTU are allowed' ],
    [ 'another name', "$good  Foo = 1\n", 'wg0.conf:4:3: "Foo" is nothing that '
        . '[Interface] has; PrivateKey, ListenPort, Address and MTU are '
        . 'allowed' ],
    [ 'a name of the other section', "${good}[Peer]\nPublicKey=$own\nMTU=1\n",
        'wg0.conf:6:1: "MTU" is nothing that [Peer] has; PublicKey, '
        . 'PresharedKey, AllowedIPs, Endpoint and PersistentKeepalive are '
        . 'allowed' ],
    [ 'a key alone, which is not repeated', "$good$own\n",
        'wg0.conf:4:1: not NAME = VALUE, as lines below a [SECTION] are' ],
    [ 'no "="', "${good}MTU 1400\n",
        'wg0.conf:4:1: not NAME = VALUE, as lines below a [SECTION] are' ],
    [ 'no value', "${good}MTU =\n", 'wg0.conf:4:1: MTU has no value' ],
    [ 'a name twice', "${good}PrivateKey = $private\n",
        'wg0.conf:4:1: PrivateKey is in the section already' ],
    [ 'a section twice', "$good\[interface]\n",
        'wg0.conf:4:1: [Interface] is on line 1 already' ],
    [ 'a section that is none', "$good\[Foo]\nx=y\n",
        'wg0.conf:4:1: "[Foo]" is not [Interface] or [Peer]' ],
    [ 'a name in front', "MTU = 1400\n$good",
        'wg0.conf:1:1: "MTU" is in front of [Interface]' ],
    [ 'a port', "${good}ListenPort = 0\n", 'wg0.conf:4:14: port "0" is not a '
        . 'number from 1 to 65535 without leading zeros' ],
    [ 'an MTU', "${good}MTU = 1279\n",
        'wg0.conf:4:7: MTU "1279" is not a number from 1280 to 65535' ],
    [ 'an address without a prefix', $good =~ s{/16}{}r, 'wg0.conf:3:11: '
        . '"10.87.0.1" is not ADDRESS/PREFIX, such as 10.87.0.1/16 or '
        . 'fd00::1/64' ],
    [ 'a network too large', $good =~ s{/16}{/15}r, 'wg0.conf:3:11: prefix of '
        . '"10.87.0.1/15" is not from /16 to /30; nodes get their addresses '
        . 'from this network' ],
    [ 'a network too small', $good =~ s{/16}{/16, fd00::1/128}r,
        'wg0.conf:3:25: prefix of "fd00::1/128" is not from /64 to /112; '
        . 'nodes get their addresses from this network' ],
    [ 'a public network of IPv6', $good =~ s{/16}{/16, 2001:db8::1/64}r,
        'wg0.conf:3:25: "2001:db8::1/64" is not in fc00::/7, where private '
        . 'networks of IPv6 are' ],
    [ 'the address of the network', $good =~ s{0\.1/16}{0.0/16}r,
        'wg0.conf:3:11: "10.87.0.0/16" is the address of the network, not '
        . 'that of the monitor in it' ],
    [ 'two addresses of IPv4', "${good}Address = 10.1.0.1/16\n",
        'wg0.conf:4:11: "10.1.0.1/16" is a second address of IPv4; one is '
        . 'allowed' ],
    [ 'a peer without a key', "${good}[Peer]\nAllowedIPs = 10.0.0.0/8\n",
        'wg0.conf:4:1: no PublicKey in [Peer]' ],
    [ 'a peer with the monitor\'s key', "${good}[Peer]\nPublicKey = $public\n",
        'wg0.conf:4:1: the PublicKey of this [Peer] is the monitor\'s own' ],
    [ 'a peer twice', "$good$peer$peer", 'wg0.conf:6:1: the PublicKey of this '
        . '[Peer] is that of another one already' ],
    [ 'a preshared key', "$good${peer}PresharedKey = $own=\n",
        "wg0.conf:6:16: not a preshared key, which is $is_key genpsk prints" ],
    [ 'an endpoint', "$good${peer}Endpoint = \$(id):1\n",
        'wg0.conf:6:12: "$(id):1" is not HOST:PORT' ],
    [ 'a keepalive', "$good${peer}PersistentKeepalive = 25s\n",
        'wg0.conf:6:23: "25s" is not a number of seconds, from 0 to 65535, or '
        . 'off' ],
    [ 'allowed addresses', "$good${peer}AllowedIPs = 10.0.0.0/33, x\n",
        "wg0.conf:6:14: \"10.0.0.0/33\" is not ADDRESS/PREFIX\n"
        . 'DIR/wg0.conf:6:27: "x" is not ADDRESS/PREFIX' ])
{
    my ($what, $text, $told) = @$case;

    if (defined $text) {
        conf($text);
    } else {
        unlink "$dir/wg0.conf";
    }

    is(says('check', $dir), "1 DIR/$told\n", "wg0.conf: $what");
    is(says('conf', $dir), "1 DIR/$told\n", '... and conf prints nothing');
}

conf("\xef\xbb\xbf# mine\r\n[interface]\r\n privatekey=$private # not\r\n"
    . "Address = fd00::1/112\r\n\r\n[PEER]\r\nPublicKey=$own\r\n"
    . "AllowedIPs = 10.9.0.0/16\r\nAllowedIPs=fd09::/16,10.8.0.1\r\n"
    . "PresharedKey = $public\r\nEndpoint = [2001:db8::1]:51820\r\n"
    . 'PersistentKeepalive = off');
$wg->put('nodes', "a @{[key('a')]} FD00::a0 # x\n");

is(says('check', $dir), '0 ', 'wg0.conf in any case, with CRLF and comments');
is(says('conf', $dir), <<"END", 'conf prints what wg syncconf takes');
0 [Interface]
PrivateKey = $private
ListenPort = 51820

[Peer]
PublicKey = $own
PresharedKey = $public
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = off
AllowedIPs = 10.9.0.0/16, fd09::/16, 10.8.0.1/32

[Peer]
PublicKey = @{[key('a')]}
AllowedIPs = FD00::a0/128
END
is(says('addresses', $dir), "0 fd00::1/112\n", 'addresses of IPv6 alone');

conf("${good}Address = fd00::1/64\nMTU = 1400\nListenPort = 1234\n");
is(says('addresses', $dir), "0 10.87.0.1/16\nfd00::1/64\nmtu 1400\n",
    'addresses of both, and an MTU');


# nodes beside it

conf("$good$peer" . "AllowedIPs = 10.87.0.9/32, 10.87.1.0/24\n");

for my $case (
    [ 'the monitor\'s key', "a $public 10.87.0.2",
        '1:3: key is that of the monitor itself, of wg0.conf' ],
    [ 'a peer\'s key', "a $own 10.87.0.2",
        '1:3: key is that of the [Peer] on line 4 of wg0.conf' ],
    [ 'the monitor\'s address', "a @{[key('a')]} 10.87.0.1",
        '1:48: address "10.87.0.1" is the monitor\'s own, of wg0.conf' ],
    [ 'a peer\'s address', "a @{[key('a')]} 10.87.0.9", '1:48: address '
        . '"10.87.0.9" is that of the [Peer] on line 4 of wg0.conf' ],
    [ 'an address outside', "a @{[key('a')]} 10.88.0.2", '1:48: address '
        . '"10.88.0.2" is outside of the network that wg0.conf has as '
        . 'Address' ],
    [ 'an address of no network', "a @{[key('a')]} fd00::2", '1:48: address '
        . '"fd00::2" is of IPv6, and wg0.conf has no Address of that' ],
    [ 'a mistake of its own', 'a b c', '1:3: not a public key, which is '
        . "$is_key pubkey prints; a line is NAME PUBLICKEY ADDRESS[,ADDRESS] "
        . '[ports=PORTS] [LABEL=VALUE ...]' ])
{
    my ($what, $text, $told) = @$case;

    $wg->put('nodes', "$text\n");
    is(says('check', $dir), "1 DIR/nodes:$told\n", "nodes: $what");
    is(says('conf', $dir), "1 DIR/nodes:$told\n", '... and conf prints nothing');
}

$wg->put('nodes', "a @{[key('a')]} 10.87.1.5\n");
is(says('check', $dir), '0 ', 'an address within a peer\'s network');

spew("$dir/../targets", "localhost:1 a\nlocalhost:2 t/x\n");
spew("$dir/../hosts", "h - port=2000\n");
is(says('check', $dir, "$dir/../targets", "$dir/../hosts"), '1 DIR/nodes:1:1: '
    . "target \"a\" is on line 1 of the targets file already\n",
    'a target\'s name');
is(says('check', $dir, '/dev/null', "$dir/none"), '0 ',
    'other files that can\'t be read are passed over');

conf($interface);
$wg->put('nodes', "a\n");
$wg->put('invitations', "b\n");
is(scalar(() = says('check', $dir) =~ /^(?:1 )?DIR\/(wg0\.conf|nodes|invitations):/mg),
    3, 'mistakes of all files are told at once');


# invitations

conf("${good}Address = fd00::1/64\n");

my $pin = `openssl x509 -in $dir/tls.crt -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64 -A`
    =~ tr{+/=}{-_}dr;
my ($status, $url, $told) = $wg->invite('/site-b/db-1/', '--ports',
    'node:9100,m:9104', '--ttl', '10m', 'env=prod', 'team=a "b" c', 'x=');

is($status, 0, 'a node is invited');
like($url, qr{\Ahttps://proxy\.example\.com:4443/site-b/db-1/[\w-]{43}\.\Q$pin\E\n\z},
    '... by a URL with the pin of the certificate');
like($told, qr{^site-b/db-1: good for one key, until \S+Z \(10m\); on the node},
    '... and what to do with it is on stderr');
unlike($told, qr/\Q$pin\E/, '... without the URL');

my ($token) = $url =~ m{/([\w-]{43})\.};
my $hash = sha256_hex($token);

like($wg->file('invitations'), qr{\A$hash site-b/db-1 \d+ 10\.87\.0\.2,fd00::2 ports=node:9100,m:9104 env=prod team="a \\"b\\" c" x=""\n\z},
    'the file has its hash, and all that the node gets');
cmp_ok(abs((split / /, $wg->file('invitations'))[2] - time - 600), '<', 5,
    '... for as long as was said');
is(sprintf('%o', (stat "$dir/invitations")[2] & 07777), '600',
    '... and root alone can read it');
is($wg->file('next'), "3\n", 'the next number is kept');
is(says('check', $dir), '0 ', 'the file is right');

my ($line) = $wg->file('invitations');
($status, $url, $told) = $wg->invite('site-b/db-1', '--json');
my $json = decode_json($url);
is(join(' ', sort keys %$json), 'address expires name url', 'as JSON');
is($json->{address}, '10.87.0.2,fd00::2',
    'a second invitation has the addresses of the first');
is(scalar(() = $wg->file('invitations') =~ /^/mg), 1,
    '... and takes its place');
like(invites('site-b/db-1'),
    qr/^0 .*the former invitation of this name is no longer valid\n/,
    '... which is told');

($status, $url) = $wg->tool('invite', '--host', 'fd00::1', $dir, 'v6');
like($url, qr{^https://\[fd00::1\]:4443/v6/}, 'a host that is an IPv6 address');

$wg->put('nodes', "n @{[key('n')]} 10.87.0.9 ports=e:1\n");

my @files = ('--targets', "$dir/../targets", '--hosts', "$dir/../hosts");

for my $case (
    [ 'a node', [ 'n' ], '"n" is a node already; monitoring-proxy wg rotate n '
        . 'changes its key, monitoring-proxy wg remove n takes it out' ],
    [ 'a target', [ 'a' ],
        'target "a" is on line 1 of the targets file already' ],
    [ 'a host', [ 'h' ],
        'target "h" is on line 1 of the hosts file already' ],
    [ 'a target of an exporter', [ 't', '--ports', 'x:1' ],
        'target "t/x" is on line 2 of the targets file already' ],
    [ 'a node\'s exporter', [ 'n/e' ],
        'target "n/e" is made by exporter "e" on line 1 already' ],
    [ 'an exporter that is invited', [ 'site-b', '--ports', 'db-1:1' ],
        qr{target "site-b/db-1" is made by exporter "db-1" on line \d already} ],
    [ 'a name that is none', [ 'a:b' ], 'name "a:b" has ":" in it; segments '
        . 'are letters, digits and "._~-"' ],
    [ 'a name of two words', [ "a b" ],
        'the name is not one word of letters, digits and "._~-/"' ],
    [ 'a name with a line end', [ "a\nb" ],
        'the name is not one word of letters, digits and "._~-/"' ],
    [ 'no name', [ '/' ],
        'the name is not one word of letters, digits and "._~-/"' ],
    [ 'a port', [ 'b', '--ports', '0' ], '"0" is not PORT, from 1 to 65535, '
        . 'or EXPORTER:PORT,..., as in ports=node:9100,mysqld:9104' ],
    [ 'ports with a blank', [ 'b', '--ports', '1 x=y' ],
        'PORTS is not PORT or EXPORTER:PORT,...' ],
    [ 'a label', [ 'b', 'job=x' ], 'label "job" is set by Prometheus; names '
        . 'other than job and instance are allowed' ],
    [ 'no label', [ 'b', 'env' ],
        'what comes behind NAME is LABEL=VALUE, and options' ],
    [ 'a label that would be more', [ 'b', "x y=z" ],
        'what comes behind NAME is LABEL=VALUE, and options' ],
    [ 'a value with a control character', [ 'b', "x=a\rb" ],
        qr/carriage return within the line/ ],
    (map { [ "a time of $_", [ 'b', '--ttl', $_ ],
        'TIME is not from 1s to 30d, such as 90s, 10m, 1h or 1d' ] }
        '0s', '31d', '1', 'h', '1h30m', '-1s', '99999999999999999999s'),
    [ 'a host with a port', [ 'b', '--host', 'a:80' ],
        'HOST is not a name, or an address without a port or []' ])
{
    my ($what, $args, $reason) = @$case;

    my %before = map { $_ => $wg->file($_) } qw(nodes invitations next);
    my $says = invites(@files, @$args);

    if (ref $reason) {
        like($says, $reason, "not invited: $what");
    } else {
        is($says, "1 monitoring-proxy-wireguard invite: $reason\n",
            "not invited: $what");
    }

    is_deeply({ map { $_ => $wg->file($_) } qw(nodes invitations next) },
        \%before, '... and nothing changes');
}

like(invites(@files, 'b', '--ttl', $_), qr/^0 /, "a time of $_")
    for '1s', '30d';

rename "$dir/tls.crt", "$dir/tls.away";
is(invites('b'), '1 DIR/tls.crt: is not there; the proxy makes it when it '
    . "starts with WireGuard\n", 'no certificate');
spew("$dir/tls.crt", 'x');
is(invites('b'), "1 DIR/tls.crt: is not a certificate in PEM\n",
    'another file in its place');
rename "$dir/tls.away", "$dir/tls.crt";

$wg->put('next', "x\n");
is(invites('new-1'),
    "1 DIR/next: is not the number of the next address\n", 'a wrong number');
unlink "$dir/next";

$wg->put('invitations', 'a' x 64 . " old " . int(time - 1) . " 10.87.0.3\n"
    . 'b' x 64 . " new " . int(time + 99) . " 10.87.0.4\n");
$wg->invite('other');
is(join(' ', $wg->file('invitations') =~ /^\S+ (\S+)/mg), 'new other',
    'those that have expired go with the next change');


# numbers

conf("$interface" . "Address = 10.87.0.3/16\n[Peer]\nPublicKey = $own\n"
    . "AllowedIPs = 10.87.0.5/32, 10.87.0.0/24\n");

sub address {
    my ($name) = @_;

    my (undef, $json) = $wg->invite($name, '--json');
    return decode_json($json)->{address};
}

is(join(' ', map { address("n-$_") } 1 .. 4),
    '10.87.0.1 10.87.0.2 10.87.0.4 10.87.0.6',
    'neither the monitor\'s address is given, nor that of a peer');

$wg->tool('remove', $dir, 'n-4');
is(address('n-4'), '10.87.0.7', 'an address of one that is removed stays so');
$wg->put('nodes', "by-hand @{[key('x')]} 10.87.1.244\n");
is(address('n-5'), '10.87.1.245', 'nor does one that came by hand come again');
$wg->put('nodes', "by-hand @{[key('x')]} 10.87.2.0\n");
is((split / /, says('remove', $dir, 'by-hand'))[0], 0, '... nor after it goes');
is(address('n-6'), '10.87.2.1', '... is its address given');
$wg->put('next', "9000\n");
is(address('n-7'), '10.87.35.40', 'a number that somebody has set is kept to');

conf("$interface" . "Address = 10.87.0.1/30\n");
is(address('n-1'), '10.87.0.2', 'a small network has one');
is(invites('n-2'), '1 monitoring-proxy-wireguard invite: no address is left '
    . "in the network of DIR/wg0.conf, as none is given twice; one with a "
    . "shorter prefix has more\n", '... and not two');
$wg->put('wg0.conf', "$interface" . "Address = 10.87.0.1/29\n");
is(address('n-2'), '10.87.0.3', 'a larger one has more');

conf("$interface" . "Address = 10.87.0.1/16\n");
$wg->put('next', "65534\n");
is(address('last'), '10.87.255.254', 'the last address of a /16');
like(invites('none'), qr/^1 .*no address is left/, '... is the last');
conf("$interface" . "Address = fd00::1/64\n");
is(address('six'), 'fd00::2', 'IPv6 alone');
$wg->put('next', "65535\n");
is(address('last'), 'fd00::ffff', 'the last number');
like(invites('none'), qr/^1 .*no address is left/, '... is the last');


# at once

conf("$interface" . "Address = 10.87.0.1/16, fd00::1/64\n");

my @pids;

for my $n (1 .. 20) {
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', "$dir/../out-$n";
        open STDERR, '>', '/dev/null';
        exec WireGuard::program(), 'invite', '--host', 'h', '--json', $dir,
            "many-$n" or POSIX::_exit(127);
    }

    push @pids, $pid;
}

waitpid $_, 0 for @pids;
my %given = map { (decode_json(slurp("$dir/../out-$_"))->{address} => 1) }
    1 .. 20;
is(scalar(keys %given), 20, '20 invitations at once have 20 addresses');
is(scalar(() = $wg->file('invitations') =~ /^\S+ many-\d+ /mg), 20,
    '... and are all written');

open my $lock, '<', $dir or die "$dir: $!\n";
flock $lock, 2;
my $pid = fork // die "fork: $!\n";
exec "$^X", '-e', 'open STDOUT, ">", shift; open STDERR, ">&", \*STDOUT;'
    . 'exec @ARGV', "$dir/../waits", WireGuard::program(), 'invite', '--host',
    'h', $dir, 'waits' if $pid == 0;
sleep 0.2;
is($wg->file('invitations') =~ / waits /, '', 'while another has the files, '
    . 'one waits');
flock $lock, 8;
waitpid $pid, 0;
is($?, 0, '... and goes on once they are free');
like($wg->file('invitations'), qr/ waits /, '... with nothing lost');


# rotate and remove

conf($good);
my $nodes = "# mine\r\na @{[key('a')]} 10.87.0.2\r\n b  @{[key('b')]} "
    . "10.87.0.3 x=\"1 2\" # b\n/c/ @{[key('c')]} 10.87.0.4";
$wg->put('nodes', $nodes);

is(says('rotate', '--host', 'h', $dir, 'none'), '3 '
    . 'monitoring-proxy-wireguard rotate: no node "none"; monitoring-proxy wg '
    . "invite none invites one\n", 'a node that isn\'t there has no other key');
like(says('rotate', '--host', 'h', $dir, 'b'), qr{^0 https://h:4443/b/},
    'another key for a node');
like($wg->file('invitations'), qr/^\S+ b \d+ rotate$/m, '... is invited');
is($wg->file('nodes'), $nodes, '... and nothing changes until it comes');
$wg->tool('rotate', '--host', 'h', $dir, 'b');
is(scalar(() = $wg->file('invitations') =~ /^/mg), 1, '... once at a time');
is(says('check', $dir), '0 ', '... and the files are right');

is(says('remove', $dir, 'none'),
    "3 monitoring-proxy-wireguard remove: no node \"none\"\n",
    'a node that isn\'t there');
is(says('remove', $dir, '/b/'), '0 ' . key('b') . "\n",
    'a node that goes leaves its key, to be cut off');
is($wg->file('nodes'), $nodes =~ s/^ b.*\n//mr, '... its line alone is out');
is($wg->file('invitations'), '', '... and its invitations');
is(says('remove', $dir, 'c'), '0 ' . key('c') . "\n", 'the last line');
$wg->put('nodes', "a @{[key('a')]} 10.87.0.2 y\nwhat is\nb nonsense\n");
is(says('remove', $dir, 'a'), '0 ' . key('a') . "\n",
    'a node goes, whatever is wrong elsewhere, or in its line');
is($wg->file('nodes'), "what is\nb nonsense\n", '... and nothing else');
is(says('remove', $dir, 'b'), '0 ', 'one that has no key leaves none');
$wg->put('nodes', '');
$wg->invite('invited');
is(says('remove', $dir, 'invited'), '0 ', 'one that is only invited');
is($wg->file('invitations'), '', '... isn\'t any more');


# list

conf($good);
$wg->put('nodes', "up @{[key('up')]} 10.87.0.2\n"
    . "down @{[key('down')]} 10.87.0.3 x=y\nnever @{[key('never')]} "
    . "10.87.0.4\nunknown @{[key('unknown')]} 10.87.0.5\n");
$wg->invite('new', '--ttl', '1d');
$wg->tool('rotate', '--host', 'h', $dir, 'up');

my $now = int time;
my $dump = join '', map { join("\t", @$_) . "\n" }
    [ $private, $public, 51820, 'off' ],
    [ key('up'), '(none)', '192.0.2.1:1234', '10.87.0.2/32', $now - 10, 1000,
        2000, 25 ],
    [ key('down'), '(none)', '[2001:db8::1]:1', '10.87.0.3/32', $now - 200, 1,
        2, 'off' ],
    [ key('never'), '(none)', '(none)', '10.87.0.4/32', 0, 0, 0, 'off' ],
    [ $own, $public, '(none)', '10.9.0.0/16', 0, 0, 0, 'off' ],
    [ 'nonsense' ];

my @list = $wg->says($dump, 'list', '--json', $dir);
my $list = decode_json($list[1]);
is(join(' ', map { "$_->{name}=$_->{state}" } @$list),
    'up=up down=down never=never unknown=never new=invited', 'states');
is(join(' ', map { $_->{addresses}[0] } @$list),
    '10.87.0.2 10.87.0.3 10.87.0.4 10.87.0.5 10.87.0.6', 'addresses');
cmp_ok(abs($list->[0]{handshake} - 10), '<', 5, 'the last handshake');
is_deeply([ @{ $list->[0] }{qw(received sent endpoint key until)} ],
    [ 1000, 2000, '192.0.2.1:1234', key('up'), undef ], 'and what else is known');
is_deeply([ @{ $list->[3] }{qw(received sent endpoint handshake)} ],
    [ undef, undef, undef, undef ], '... or isn\'t');
is($list->[4]{key}, undef, 'one that is invited has no key');
like($list->[4]{until}, qr/^\d{4}-.*Z$/, '... and a time');

@list = $wg->says($dump, 'list', $dir);
my @lines = split /\n/, $list[1];
like($lines[1], qr{^up       10\.87\.0\.2  up       1\d s +1000 +2000 +\Q@{[key('up')]}\E  192\.0\.2\.1:1234$},
    'the same in a table');
like($lines[5], qr/^new +10\.87\.0\.6  invited  until /, '... of all');
is(decode_json(($wg->says('', 'list', '--json', $dir))[1])->[0]{state},
    'never', 'nothing is known of wg0');

$wg->put('nodes', "what\nup @{[key('up')]} 10.87.0.2\n");
@list = $wg->says($dump, 'list', '--json', $dir);
is("$list[0] " . decode_json($list[1])->[0]{name}, '1 up',
    'what is right is listed, beside a mistake');
like($list[2], qr{^DIR/nodes:1:1: no key behind the name}, '... that is told');

$wg->put('nodes', '');
unlink "$dir/invitations";
is(($wg->says('', 'list', '--json', $dir))[1], "[]\n", 'none at all');


# board

my $board = "$dir/../board";

sub head {
    my ($magic, $size, $seq, $nodes, $loaded, $failures, $failed, $len,
        $reason) = unpack 'L<4Q<2L<2a512', slurp($board);

    return { seq => $seq, nodes => $nodes, loaded => $loaded,
        failures => $failures, failed => $failed,
        reason => substr($reason, 0, $len) };
}

sub record {
    my ($number) = @_;

    return unpack 'L<2Q<3a32Z64', substr slurp($board), 4096 + 128 * $number,
        128;
}

is(($wg->says('', 'board', $board))[0], 0, 'a board without peers');
is(-s $board, 4096 + 65536 * 128, '... has room for all');
is(unpack('a4', slurp($board)), 'mpw1', '... and says that it is one');
is(head()->{loaded}, 0, '... and nothing of the file');
my $inode = (stat $board)[1];

$wg->put('nodes', "up @{[key('up')]} 10.87.0.2\n");
is(($wg->says($dump, 'board', $board, $dir))[0], 0, 'a board with peers');
is((stat $board)[1], $inode, '... is the same file');
is_deeply([ record(87 * 0 + 2) ], [ 2, 0, $now - 10, 1000, 2000,
    decode_base64(key('up')), '192.0.2.1:1234' ], 'a record by the number');
is((record(4))[2], 0, '... of one that never came');
is(head()->{nodes}, 1, 'the file has one node');
cmp_ok(abs(head()->{loaded} / 1000 - time), '<', 10, '... since now');

my $loaded = head()->{loaded};
$wg->says($dump, 'board', $board, $dir);
is(head()->{loaded}, $loaded, 'a file that hasn\'t changed is not newer');
is(head()->{seq} % 2, 0, 'nobody writes it at the end');

$wg->put('nodes', "what\n");
$wg->says($dump, 'board', $board, $dir) for 1, 2;
is(head()->{reason} =~ s/\Q$dir\E/DIR/r, 'DIR/nodes:1:1: no key behind the '
    . 'name; a line is NAME PUBLICKEY ADDRESS[,ADDRESS] [ports=PORTS] '
    . '[LABEL=VALUE ...]', 'a mistake is on the board');
is_deeply([ @{ head() }{qw(failed failures nodes)} ], [ 1, 1, 1 ],
    '... once, and what is in use stays');
$wg->put('nodes', '');
$wg->says($dump, 'board', $board, $dir);
is_deeply([ @{ head() }{qw(failed failures nodes reason)} ], [ 0, 1, 0, '' ],
    '... until the file is right');

spew($board, 'x');
$wg->says($dump, 'board', $board);
is(-s $board, 4096 + 65536 * 128, 'another file in its place is replaced');

done_testing();
