#!/usr/bin/perl

# t/00-nodes.t: what a file of WireGuard's nodes may say, what becomes of it,
# and what is told
#
# The cases behind __DATA__ are as in t/00-mistakes.t, with {a} for a key.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use MIME::Base64;
use Test::More;

use Unit;

my $dumper = nodes_dumper();
my $dir = workdir();
my $form = 'a line is NAME PUBLICKEY ADDRESS[,ADDRESS] [ports=PORTS] '
    . '[LABEL=VALUE ...]';


# {a} is the key of 32 bytes "a".

sub wg_key {
    my ($seed) = @_;

    return encode_base64(substr($seed x 32, 0, 32), '');
}


sub dump_of {
    my ($text, @args) = @_;

    $text =~ s/\{(\w+)\}/wg_key($1)/ge;
    my ($status, $out, $errors) = run($text, $dumper, @args);

    return $status ? "status $status\n$errors" : $out;
}


sub told {
    my ($text) = @_;

    return dump_of($text) =~ s/^rc=1\n\z//mr;
}


for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;
    $told =~ s/; FORM$/; $form/gm;

    is($told =~ /^rc=/m ? dump_of($text) : told($text), $told, $title);
}


# keys

my $cut = '1:3: not a public key, which is 44 characters of base64, as wg '
    . "pubkey prints; $form\n";

for ([ 'a byte less' => wg_key('a') =~ s/.=$/=/r ],
    [ 'a byte more' => wg_key('a') . '=' ],
    [ '31 bytes' => encode_base64('a' x 31, '') ],
    [ '33 bytes' => encode_base64('a' x 33, '') ],
    [ 'no padding' => wg_key('a') =~ s/=$/A/r ],
    [ 'bits that no encoder leaves' => wg_key('a') =~ s/E=$/F=/r ],
    [ 'a character that is none of base64' => wg_key('a') =~ s/^./-/r ],
    [ 'nothing but zeros' => encode_base64("\0" x 32, '') ],
    [ 'a key of ssh' => 'ssh-ed25519' ],
    [ 'an address' => '10.87.0.2' ],
    [ 'any length' => 'A' x 5000 ])
{
    my ($what, $key) = @$_;

    is(told("a $key 10.87.0.2\n"), $cut, "$what is no key, and not repeated");
}


# targets of other files

spew("$dir/other", "localhost:1 a/node\nlocalhost:2 c\n");
spew("$dir/hosts", "h - port=2000\nk - port=3000 ports=e:1\n");

my @files = (32, "$dir/other", "$dir/hosts");
my $others = <<'END';
target=a/node address=localhost:1 host=localhost port=1 tunnel=0 kind=2 line=1
target=c address=localhost:2 host=localhost port=2 tunnel=0 kind=2 line=2
target=h address=localhost:2000 host=localhost port=2000 tunnel=2000 kind=2 line=1
target=k/e address=localhost:3000 host=localhost port=3000 tunnel=3000 kind=2 line=2
END

is(dump_of("a {a} 10.87.0.2 ports=node:1\nh {b} fd00::2\n", @files),
    <<"END", 'targets that other files have are mistakes, and change nothing');
node=a key=YWFh at=3 ip4=10.87.0.2 ip6= at=48 number=2 line=1 [node]:1
node=h key=YmJi at=3 ip4= ip6=fd00::2 at=48 number=2 line=2 []:9100
1:1: target "a/node" is on line 1 of the targets file already
2:1: target "h" is on line 1 of the hosts file already
${others}rc=1
END

is(dump_of("a {a} 10.87.0.2 x=y\n", @files), <<"END",
node=a key=YWFh at=3 ip4=10.87.0.2 ip6= at=48 number=2 line=1 []:9100
${others}target=a address=10.87.0.2:9100 host=10.87.0.2 port=9100 tunnel=0 kind=0 line=1 node=aaaa x=[y]
rc=0
END
    'targets of nodes come behind those of other files');


# limits

is(dump_of('n' x 255 . " {a} 10.87.0.2\n") =~ /^rc=(.*)/m && $1, 0,
    'a name of 255 bytes');
like(told('n' x 256 . " {a} 10.87.0.2\n"),
    qr/^1:1: name of 256 bytes; 255 are/, 'not of 256');
like(told('n' x 250 . " {a} 10.87.0.2 ports=a:1,aaaaa:1\n"),
    qr{^1:317: target NAME/EXPORTER of 256 bytes; 255 are},
    'nor NAME/EXPORTER');
like(told('a {a} 10.87.0.2 ports=' . join(',', map { "e$_:$_" } 1 .. 65)
    . "\n"), qr/^1:\d+: more than 64 exporters of one host$/m,
    '64 exporters, not 65');
like(told('a {a} 10.87.0.2 ' . join(' ', map { "l$_=v" } 1 .. 65) . "\n"),
    qr/^1:\d+: more than 64 labels in the line$/m, '64 labels, not 65');
like(told("a $_ 10.87.0.2\n" x 1000), qr/\A(?:\d+:\d+: [^\n]+\n){20}\z/,
    'as many mistakes as there may be, 20 are told')
    for '{a}';


# memory

for my $allocs (0 .. 6) {
    is(dump_of("a {a} 10.87.0.2 ports=a:1\n", $allocs) =~ s/^[nt].*\n//gmr,
        "rc=-1\n", "no memory after $allocs allocations");
}

is(dump_of("# a\n\n", 0), "rc=0\n", 'a file without nodes takes no memory');


# time

my $many = join '', map { "site-" . $_ % 100 . "/node-$_ "
    . encode_base64(pack('N8', ($_) x 8), '') . ' 10.87.' . int($_ / 256)
    . '.' . $_ % 256 . ',fd00::' . sprintf('%x', $_) . " env=prod\n" }
    1 .. 10_000;
my $before = (times)[2] + (times)[3];
like(dump_of($many), qr/^rc=0$/m, '10,000 nodes are right');
my $took = (times)[2] + (times)[3] - $before;
cmp_ok($took, '<', 1, "10,000 nodes in $took s under ASan, printed");

done_testing();

__DATA__
=== a node, and all that follows from its line
web-1 {a} 10.87.0.2,fdaa:bbbb:cccc::2 env=prod
---
node=web-1 key=YWFh at=7 ip4=10.87.0.2 ip6=fdaa:bbbb:cccc::2 at=52 number=2 line=1 []:9100
target=web-1 address=10.87.0.2:9100 host=10.87.0.2 port=9100 tunnel=0 kind=0 line=1 node=aaaa env=[prod]
rc=0
=== IPv6 alone, written at length, and first
a {a} FD00:0:0:0:0:0:0:0102
b {b} fd00::3,10.87.1.3
---
node=a key=YWFh at=3 ip4= ip6=FD00:0:0:0:0:0:0:0102 at=48 number=258 line=1 []:9100
node=b key=YmJi at=3 ip4=10.87.1.3 ip6=fd00::3 at=48 number=259 line=2 []:9100
target=a address=[fd00::102]:9100 host=fd00::102 port=9100 tunnel=0 kind=1 line=1 node=aaaa
target=b address=10.87.1.3:9100 host=10.87.1.3 port=9100 tunnel=0 kind=0 line=2 node=bbbb
rc=0
=== one port, several exporters, labels on all sides
a {a} 10.87.0.2 ports=9200
site/b {b} 10.87.0.3 x=1 ports=node:9100,mysqld:9104 y="2 3"
---
node=a key=YWFh at=3 ip4=10.87.0.2 ip6= at=48 number=2 line=1 []:9200
node=site/b key=YmJi at=8 ip4=10.87.0.3 ip6= at=53 number=3 line=2 [node]:9100 [mysqld]:9104
target=a address=10.87.0.2:9200 host=10.87.0.2 port=9200 tunnel=0 kind=0 line=1 node=aaaa
target=site/b/node address=10.87.0.3:9100 host=10.87.0.3 port=9100 tunnel=0 kind=0 line=2 node=bbbb x=[1] y=[2 3]
target=site/b/mysqld address=10.87.0.3:9104 host=10.87.0.3 port=9104 tunnel=0 kind=0 line=2 node=bbbb x=[1] y=[2 3]
rc=0
=== comments, blank lines, CRLF, a byte order mark, no line end at last
<ef><bb><bf># nodes<0d>

  /a/	{a}   10.87.0.2	<0d>
#b {b} 10.87.0.2
b {b} 10.87.0.3 #c<EOF>
---
node=a key=YWFh at=7 ip4=10.87.0.2 ip6= at=54 number=2 line=3 []:9100
node=b key=YmJi at=3 ip4=10.87.0.3 ip6= at=48 number=3 line=5 []:9100
target=a address=10.87.0.2:9100 host=10.87.0.2 port=9100 tunnel=0 kind=0 line=3 node=aaaa
target=b address=10.87.0.3:9100 host=10.87.0.3 port=9100 tunnel=0 kind=0 line=5 node=bbbb
rc=0
=== an empty file
<EOF>
---
rc=0
=== what is missing
a
b {b}
{c} 10.87.0.2
---
1:1: no key behind the name; FORM
2:3: no address behind the key; FORM
3:1: a key in place of a NAME; FORM
=== addresses that are none
a {a} 10.87.0.2/32
b {b} fd00::2/128
c {c} 10.87.0
d {d} 10.87.0.256
e {e} 10.87.0.02
f {f} fd00::g
g {g} host-1
h {h} 10.87.0.2:9100
i {i} 10.87.0.2,
j {j} ,10.87.0.2
k {k} 10.87.0.2,,fd00::2
l {l} fd00::2%wg0
m {m} [fd00::2]
n {n} 0000:0000:0000:0000:0000:0000:0000:0000:0000:0000
---
1:48: address "10.87.0.2/32" has a prefix; a node has one address, without it
2:48: address "fd00::2/128" has a prefix; a node has one address, without it
3:48: "10.87.0" is not an address, such as 10.87.0.2 or fd00::2; FORM
4:48: "10.87.0.256" is not an address, such as 10.87.0.2 or fd00::2; FORM
5:48: "10.87.0.02" is not an address, such as 10.87.0.2 or fd00::2; FORM
6:48: "fd00::g" is not an address, such as 10.87.0.2 or fd00::2; FORM
7:48: "host-1" is not an address, such as 10.87.0.2 or fd00::2; FORM
8:48: "10.87.0.2:9100" is not an address, such as 10.87.0.2 or fd00::2; FORM
9:58: "" is not an address, such as 10.87.0.2 or fd00::2; FORM
10:48: "" is not an address, such as 10.87.0.2 or fd00::2; FORM
11:58: "" is not an address, such as 10.87.0.2 or fd00::2; FORM
12:48: "fd00::2%wg0" is not an address, such as 10.87.0.2 or fd00::2; FORM
13:48: "[fd00::2]" is not an address, such as 10.87.0.2 or fd00::2; FORM
14:48: "0000:0000:0000:0000:0000:0000:0000:0000:0000:000..." is not an address, such as 10.87.0.2 or fd00::2; FORM
=== addresses that no node has
a {a} 0.0.0.1
b {b} 127.0.0.1
c {c} 224.0.0.1
d {d} 255.255.255.255
e {e} ::
f {f} ::1
g {g} ::ffff:10.87.0.2
h {h} ::10.87.0.2
i {i} ff02::1
j {j} fe80::1
k {k} febf::1
---
1:48: address "0.0.0.1" is of no machine; it is the node's own in the network
2:48: address "127.0.0.1" is a loopback one; it is the node's own in the network
3:48: address "224.0.0.1" is of no single machine; it is the node's own in the network
4:48: address "255.255.255.255" is of no single machine; it is the node's own in the network
5:48: address "::" is of no machine; it is the node's own in the network
6:48: address "::1" is a loopback one; it is the node's own in the network
7:48: address "::ffff:10.87.0.2" is one of IPv4 in disguise; it is the node's own in the network
8:48: address "::10.87.0.2" is of no machine; it is the node's own in the network
9:48: address "ff02::1" is of no single machine; it is the node's own in the network
10:48: address "fe80::1" is a link-local one; it is the node's own in the network
11:48: address "febf::1" is a link-local one; it is the node's own in the network
=== two of one kind
a {a} 10.87.0.2,10.87.0.3
b {b} fd00::2,10.87.0.2,fd00::3
---
1:58: address "10.87.0.3" is a second one of IPv4; a node has at most one
2:66: address "fd00::3" is a second one of IPv6; a node has at most one
=== two nodes that have the same
a {a} 10.87.0.2,fd00::2
/a/ {b} 10.87.0.3
c {a} 10.87.0.4
d {d} 10.87.0.2
e {e} 10.87.0.5,FD00:0::2
f {f} fd00::2,10.87.0.2
---
2:2: name "a" is on line 1 already
3:3: key is on line 1 already; each node has one of its own
4:48: address "10.87.0.2" is on line 1 already
5:58: address "FD00:0::2" is on line 1 already
6:56: address "10.87.0.2" is on line 1 already
6:48: address "fd00::2" is on line 1 already
=== an address of a line that is wrong is free
a {a} 10.87.0.2 port
b {b} 10.87.0.2
c {c} 10.87.0.3,fd00::1
d {d} 10.87.0.4,fd00::1
e {e} 10.87.0.4
---
1:58: "port" has no "="; what comes here is ports=PORTS and LABEL=VALUE, with spaces LABEL="VALUE"
4:58: address "fd00::1" is on line 3 already
=== a node that is another's exporter
a {a} 10.87.0.2 ports=n:1,m:2
a/m {b} 10.87.0.3
a/o {c} 10.87.0.4
a/n {d} 10.87.0.5 ports=o:1
---
2:1: target "a/m" is made by exporter "m" on line 1 already
=== ports that are none
a {a} 10.87.0.2 ports=
b {b} 10.87.0.3 ports=0
c {c} 10.87.0.4 ports=65536
d {d} 10.87.0.5 ports=node
e {e} 10.87.0.6 ports=9100,9101
f {f} 10.87.0.7 ports=node:0
g {g} 10.87.0.8 ports=9100 ports=9101
h {h} 10.87.0.9 ports=9100 ports=a:1
i {i} 10.87.0.10 ports=a:1 ports=9100
j {j} 10.87.0.11 ports=a:1 ports=b:1
k {k} 10.87.0.12 port=9100
---
1:63: "" is not PORT, from 1 to 65535, or EXPORTER:PORT,..., as in ports=node:9100,mysqld:9104
2:64: "0" is not PORT, from 1 to 65535, or EXPORTER:PORT,..., as in ports=node:9100,mysqld:9104
3:64: "65536" is not PORT, from 1 to 65535, or EXPORTER:PORT,..., as in ports=node:9100,mysqld:9104
4:64: "node" is not PORT, from 1 to 65535, or EXPORTER:PORT,..., as in ports=node:9100,mysqld:9104
5:64: "9100" is not EXPORTER:PORT, as in ports=node:9100,mysqld:9104
6:69: port "0" of exporter "node" is not a number from 1 to 65535 without leading zeros
7:69: "ports=" is in the line already
8:69: "ports=" is in the line already
9:69: "ports=" is in the line already
10:69: "ports=" is in the line already
11:59: "port=" is of a hosts file; here it is ports=PORT or ports=EXPORTER:PORT,...
=== mistakes in names and labels, told as those of targets
a:b {a} 10.87.0.2
b {b} 10.87.0.3 job=x
c {c} 10.87.0.4 x="
---
1:2: name "a:b" has ":" in it; segments are letters, digits and "._~-"
2:58: label "job" is set by Prometheus; names other than job and instance are allowed
3:60: value of "x" has no closing quote in its line
