#!/usr/bin/perl

# t/00-hosts.t: what a hosts file may say, what becomes of it, and what is told
#
# The cases behind __DATA__ are as in t/00-mistakes.t, with {ed a} for a key.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use MIME::Base64;
use Test::More;

use Keys;
use Unit;

my $tool = hosts_tool();
my $dumper = hosts_dumper();
my $dir = workdir();


sub told {
    my ($text) = @_;

    my ($status, $out, $errors) = check($tool, line($text));

    return "$status $out$errors";
}


# Hosts and targets, as the dumper prints them.

sub dump_of {
    my ($text, @args) = @_;

    my ($status, $out, $errors) = run(line($text), $dumper, @args);

    return $status ? "status $status\n$errors" : $out;
}


for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;

    if ($told =~ /^(?:host|target|rc)=/m) {
        is(dump_of($text), $told, $title);
        is(told($text), '0 ', "$title: and check agrees");

    } else {
        is(told($text), "1 $told", $title);
    }
}


# keys of all types, and what may be wrong with each

for my $type ('{ed a}', '{rsa 2048 a}', '{rsa 4096 a}', '{rsa 16384 a}',
    '{ecdsa 256 a}', '{ecdsa 384 a}', '{ecdsa 521 a}', '{sk a}')
{
    is(told("a $type port=2000\n"), '0 ', "a key $type");
}

my $cut = 'key is not valid; cut off or changed?';
my $ed = ed25519('a');

sub bytes {
    my ($bytes, $type) = @_;

    my $told = told('a ' . key($bytes, $type) . "\n");
    $told =~ s/^1 1:\d+: //;

    return $told;
}

my %wrong = (
    'no bytes at all' => [ '', 'ssh-ed25519',
        'no base64 key behind ssh-ed25519; copy the whole line of the .pub '
        . 'file' ],
    'a byte less' => [ substr($ed, 0, -1) ],
    'a byte more' => [ "${ed}x" ],
    'Ed25519 of 31 bytes' => [ wire('ssh-ed25519') . wire('a' x 31) ],
    'Ed25519 of 33 bytes' => [ wire('ssh-ed25519') . wire('a' x 33) ],
    'a length that lies' => [ wire('ssh-ed25519') . pack('N', 33) . 'a' x 32 ],
    'the longest length' => [ wire('ssh-ed25519') . "\xff" x 4 . 'a' x 32 ],
    'a type whose length lies' => [ "\xff\xff\xff\xf0ssh-ed25519",
        'ssh-ed25519' ],
    'nothing behind the type' => [ wire('ssh-rsa') ],
    'another key inside' => [ ed25519('a'), 'ssh-rsa', 'key is of type '
        . 'ssh-ed25519, not ssh-rsa; copy the whole line of the .pub file' ],
    'a certificate inside' => [ wire('ssh-ed25519-cert-v01@openssh.com'),
        'ssh-ed25519', 'key is a certificate; give the plain public key' ],
    'nonsense inside' => [ wire('nonsense'), 'ssh-ed25519' ],
    'RSA of 1024 bits' => [ rsa(1024, 'a'), undef,
        'key is RSA of 1024 bits; at least 2048 are needed' ],
    'RSA of 2047 bits' => [ rsa(2047, 'a'), undef,
        'key is RSA of 2047 bits; at least 2048 are needed' ],
    'RSA of 16385 bits' => [ rsa(16385, 'a'), undef,
        'key is RSA of 16385 bits; at most 16384 are allowed' ],
    'RSA with a negative number' => [ wire('ssh-rsa') . wire("\1\0\1")
        . wire("\x80" . 'a' x 255) ],
    'RSA with a zero too many' => [ wire('ssh-rsa') . wire("\1\0\1")
        . wire("\0\1" . 'a' x 255) ],
    'RSA with an exponent of zero' => [ wire('ssh-rsa') . wire("\0")
        . mpint(2048, 'a') ],
    'RSA with no exponent' => [ wire('ssh-rsa') . wire('')
        . mpint(2048, 'a') ],
    'ECDSA of another curve' => [ wire('ecdsa-sha2-nistp256')
        . wire('nistp384') . wire("\4" . 'a' x 64) ],
    'ECDSA with a compressed point' => [ wire('ecdsa-sha2-nistp256')
        . wire('nistp256') . wire("\2" . 'a' x 32) ],
    'ECDSA with another first byte' => [ wire('ecdsa-sha2-nistp256')
        . wire('nistp256') . wire("\3" . 'a' x 64) ],
    'FIDO without its application' => [ wire('sk-ssh-ed25519@openssh.com')
        . wire('a' x 32) ],
    'FIDO with an empty application' => [ wire('sk-ssh-ed25519@openssh.com')
        . wire('a' x 32) . wire('') ],
);

for my $what (sort keys %wrong) {
    my ($bytes, $type, $told) = @{ $wrong{$what} };

    is(bytes($bytes, $type), ($told // $cut) . "\n", $what);
}

my $base64 = encode_base64($ed, '');

for ([ 'padding too much', "$base64=" ], [ 'four bytes of padding', '====' ],
    [ 'padding inside', substr($base64, 0, 40) . '=' . substr $base64, 41 ],
    [ 'a byte that is none of base64', substr($base64, 0, -1) . '!' ],
    [ 'three bytes of four', substr $base64, 0, -1 ],
    [ 'a long line cut off', substr $base64, 0, 40 ],
    [ 'bits that no encoder leaves',
        encode_base64(rsa(2056, 'a'), '') =~ s/Q==$/R==/r, 'ssh-rsa' ])
{
    my ($what, $text, $type) = @$_;

    $type //= 'ssh-ed25519';
    is(told("a $type $text\n"), '1 1:' . (length($type) + 4) . ": $cut\n",
        "base64: $what");
}

like(told('a ssh-rsa ' . 'AAAA' x 2000 . "\n"),
    qr/^1 1:11: key has 8000 bytes; at most 5464 are allowed$/m,
    'a key of any length');

for my $bytes (0 .. length $ed) {
    my $part = substr $ed, 0, $bytes;
    next if $bytes == length $ed;

    unlike(bytes($part, 'ssh-ed25519'), qr/^0/,
        "a key cut off after $bytes bytes is none");
}


# a private key: told once, nothing of it repeated

my $private = "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    . 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2g' . "\n"
    . 'QyNTUxOQAAACCqOiYc==' . "\n-----END OPENSSH PRIVATE KEY-----\n";

is(told("a -\n${private}b -\nc\n"), '1 2:1: a private key; it stays at its '
    . "host, give the .pub file's line\n"
    . '7:1: no key behind the name; a line is NAME TYPE BASE64 [port=PORT] '
    . '[ports=EXPORTER:PORT,...] [LABEL=VALUE ...], with "-" for TYPE BASE64 '
    . "where the host has none\n",
    'a private key is one mistake, and the lines behind it are read');
like(told("host-1 $private"), qr/\A1 1:\d+: a private key; [^\n]*\n\z/,
    'a private key behind a name');
unlike(told($private =~ s/^.*\n//r), qr/b3Blb|QyNT/,
    'the body of a private key alone is not repeated');
unlike(told($private =~ s/^.*\n/host-1 /r), qr/b3Blb/,
    'nor is it behind a name');


# ports

my %pinned = ('external-host-1' => 22756, 'a' => 21099, 'b' => 25521,
    'site-b/db-1' => 24950, 'fleet-0042' => 17169);

for my $name (sort keys %pinned) {
    my ($port) = dump_of("$name -\n") =~ / port=(\d+) /;
    is($port, $pinned{$name}, "the port of $name follows from its name");
}

my @ports = map { dump_of("host-$_ -\n") =~ /^host=.* port=(\d+) / }
    1 .. 20;
is(scalar(grep { $_ < 10_000 || $_ > 32_767 - 63 } @ports), 0,
    'ports that follow from names are from 10000 to 32704');

my @lines = map { "host-$_ - env=prod\n" } 1 .. 30;
my %ports = dump_of(join '', @lines) =~ /^host=(\S+) .* port=(\d+) /gm;
my %same = dump_of(join '', reverse(@lines[3 .. 20]), "# x\n", 'new -')
    =~ /^host=(\S+) .* port=(\d+) /gm;
delete $same{new};
is_deeply(\%same, { map { $_ => $ports{$_} } keys %same },
    'a port stays when other lines come, go or are reordered');
is(scalar(keys %same), 18, 'those of all lines that are left');


# targets of both files

spew("$dir/other", "localhost:1 a/node\nlocalhost:2 c\n");

is(dump_of("a - port=2000 ports=node:1\n", 16, "$dir/other"), <<'END',
host=a type= key=0 port=2000 ports=1 given=1 line=1 [node]:1
1:1: target "a/node" is on line 1 of the targets file already
target=a/node address=localhost:1 host=localhost port=1 tunnel=0 kind=2 line=1
target=c address=localhost:2 host=localhost port=2 tunnel=0 kind=2 line=2
rc=1
END
    'a target that the targets file has too is a mistake, and changes nothing');
is(dump_of("a - port=2000\nb - port=2001 x=y\n", 16, "$dir/other"), <<'END',
host=a type= key=0 port=2000 ports=1 given=1 line=1 []:9100
host=b type= key=0 port=2001 ports=1 given=1 line=2 []:9100
target=a/node address=localhost:1 host=localhost port=1 tunnel=0 kind=2 line=1
target=c address=localhost:2 host=localhost port=2 tunnel=0 kind=2 line=2
target=a address=localhost:2000 host=localhost port=2000 tunnel=2000 kind=2 line=1
target=b address=localhost:2001 host=localhost port=2001 tunnel=2001 kind=2 line=2 x=[y]
rc=0
END
    'targets of hosts come behind those of the targets file');


# limits

is(told('n' x 255 . " -\n"), '0 ', 'a name of 255 bytes');
like(told('n' x 256 . " -\n"), qr/^1 1:1: name of 256 bytes; 255 are/,
    'not of 256');
is(told('n' x 250 . " - ports=aaaa:1\n"), '0 ', 'NAME/EXPORTER of 255 bytes');
like(told('n' x 250 . " - ports=a:1,aaaaa:1\n"),
    qr{^1 1:264: target NAME/EXPORTER of 256 bytes; 255 are}, 'not of 256');
is(told('a - ports=' . join(',', map { "e$_:$_" } 1 .. 64) . "\n"), '0 ',
    '64 exporters of a host');
like(told('a - ports=' . join(',', map { "e$_:$_" } 1 .. 65) . "\n"),
    qr/^1 1:\d+: more than 64 exporters of one host$/m, 'not 65');
like(told('a - ' . join(' ', map { "l$_=v" } 1 .. 65) . "\n"),
    qr/^1 1:\d+: more than 64 labels in the line$/m, '64 labels, not 65');
is(told('a - port=20001 ports=n:1 ' . join(' ', map { "l$_=v" } 1 .. 64)
    . "\n"), '0 ', 'beside port= and ports=');


# memory

for my $allocs (0 .. 6) {
    is(dump_of("a - port=2000\n", $allocs) =~ s/^[ht].*\n//gmr, "rc=-1\n",
        "no memory after $allocs allocations")
        if $allocs != 6;
}

is(dump_of("# a\n\n", 0), "rc=0\n", 'a file without hosts takes no memory');


# time

my $many = join '', map { "site-" . $_ % 100 . "/host-$_ " . key(
    wire('ssh-ed25519') . wire(pack 'N8', ($_) x 8)) . ' port='
    . (10_000 + $_) . " env=prod\n" } 1 .. 10_000;
my $took = seconds($many);
cmp_ok($took, '<', 0.15, "10,000 hosts in $took s");

$took = seconds(join '', map { "a$_ - port=10000\n" } 1 .. 10_000);
cmp_ok($took, '<', 0.5, "10,000 times one port in $took s");

$took = seconds(join '', map { "a$_ - port=10000\n" } 1 .. 70_000);
cmp_ok($took, '<', 0.8, "70,000 times one port in $took s");

$took = seconds("a - port=10000\n" x 10_000);
cmp_ok($took, '<', 0.15, "10,000 times one name in $took s");


# CPU time, since others may have the machine too

sub seconds {
    my ($text) = @_;

    my $before = (times)[2] + (times)[3];
    check($tool, $text);

    return sprintf '%.2f', (times)[2] + (times)[3] - $before;
}

done_testing();

__DATA__
=== a host, and all that follows from its line
external-host-1 {ed a} port=20001 env=prod
---
host=external-host-1 type=ssh-ed25519 key=68 port=20001 ports=1 given=1 line=1 []:9100
target=external-host-1 address=localhost:20001 host=localhost port=20001 tunnel=20001 kind=2 line=1 env=[prod]
rc=0
=== several exporters, in their order
site-b/db-1 {ed a} ports=node:9100,mysqld:9104 port=20001 team="data base"
---
host=site-b/db-1 type=ssh-ed25519 key=68 port=20001 ports=2 given=1 line=1 [node]:9100 [mysqld]:9104
target=site-b/db-1/node address=localhost:20001 host=localhost port=20001 tunnel=20001 kind=2 line=1 team=[data base]
target=site-b/db-1/mysqld address=localhost:20002 host=localhost port=20002 tunnel=20001 kind=2 line=1 team=[data base]
rc=0
=== labels on all sides of port= and ports=
a - x=1 y="2 \"3\"" ports=n:1,m:2 z=4 port=3000 w=""
---
host=a type= key=0 port=3000 ports=2 given=1 line=1 [n]:1 [m]:2
target=a/n address=localhost:3000 host=localhost port=3000 tunnel=3000 kind=2 line=1 x=[1] y=[2 "3"] z=[4] w=[]
target=a/m address=localhost:3001 host=localhost port=3001 tunnel=3000 kind=2 line=1 x=[1] y=[2 "3"] z=[4] w=[]
rc=0
=== a host without a key, slashes around its name
/fleet/7/ - port=1024 # by certificate
---
host=fleet/7 type= key=0 port=1024 ports=1 given=1 line=1 []:9100
target=fleet/7 address=localhost:1024 host=localhost port=1024 tunnel=1024 kind=2 line=1
rc=0
=== comments, blank lines, CRLF, a byte order mark, no line end at last
<ef><bb><bf># hosts<0d>

<0d>
  a	-   port=65535	<0d>
#b - port=65535
b - port=65534#c<EOF>
---
6:10: port "65534#c" is not a number from 1024 to 65535 without leading zeros
=== the same, right
<ef><bb><bf># hosts<0d>

<0d>
  a	-   port=65535	<0d>
#b - port=65535
b - port=65534 #c<EOF>
---
host=a type= key=0 port=65535 ports=1 given=1 line=4 []:9100
host=b type= key=0 port=65534 ports=1 given=1 line=6 []:9100
target=a address=localhost:65535 host=localhost port=65535 tunnel=65535 kind=2 line=4
target=b address=localhost:65534 host=localhost port=65534 tunnel=65534 kind=2 line=6
rc=0
=== an empty file
<EOF>
---
rc=0
=== a target below another host's name
a - port=2000 ports=n:1
a/m - port=2001
a/n/o - port=2002
---
host=a type= key=0 port=2000 ports=1 given=1 line=1 [n]:1
host=a/m type= key=0 port=2001 ports=1 given=1 line=2 []:9100
host=a/n/o type= key=0 port=2002 ports=1 given=1 line=3 []:9100
target=a/n address=localhost:2000 host=localhost port=2000 tunnel=2000 kind=2 line=1
target=a/m address=localhost:2001 host=localhost port=2001 tunnel=2001 kind=2 line=2
target=a/n/o address=localhost:2002 host=localhost port=2002 tunnel=2002 kind=2 line=3
rc=0
=== a name alone
a
---
1:1: no key behind the name; a line is NAME TYPE BASE64 [port=PORT] [ports=EXPORTER:PORT,...] [LABEL=VALUE ...], with "-" for TYPE BASE64 where the host has none
=== a name and a comment
 a # ssh-ed25519
---
1:2: no key behind the name; a line is NAME TYPE BASE64 [port=PORT] [ports=EXPORTER:PORT,...] [LABEL=VALUE ...], with "-" for TYPE BASE64 where the host has none
=== a key without a name
{ed a} root@host
---
1:1: no NAME in front of the key; a line is NAME TYPE BASE64 [port=PORT] [ports=EXPORTER:PORT,...] [LABEL=VALUE ...]
=== options in place of a name
command="id" {ed a}
---
1:1: no NAME in front of the key; a line is NAME TYPE BASE64 [port=PORT] [ports=EXPORTER:PORT,...] [LABEL=VALUE ...]
=== options in front of the key
a command="id" {ed a}
b restrict,port-forwarding,permitlisten="localhost:1" {ed b}
c cert-authority {ed c}
d environment="A=b c" {ed d}
---
1:3: options in front of the key; give the key alone, the proxy sets its own
2:3: options in front of the key; give the key alone, the proxy sets its own
3:3: options in front of the key; give the key alone, the proxy sets its own
4:3: options in front of the key; give the key alone, the proxy sets its own
=== a key's comment
a {ed a} root@host
---
1:84: "root@host" is the key's comment, it seems: leave it out, or write it behind "#"; what comes here is port=PORT, ports=EXPORTER:PORT,... and LABEL=VALUE
=== a word behind "-"
a - foo
---
1:5: "foo" is the key's comment, it seems: leave it out, or write it behind "#"; what comes here is port=PORT, ports=EXPORTER:PORT,... and LABEL=VALUE
=== two keys in a line
a {ed a} {ed b}
b {ed c} AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh
---
1:84: a second key; a line has one
2:84: a second key; a line has one
=== one key for two hosts
a {ed a} port=2000
b {ed a} port=2001
---
2:15: key is on line 1 already; each host has one of its own
=== one name twice, and with slashes
a - port=2000
/a/ - port=2001
---
2:2: name "a" is on line 1 already
=== a type without its base64
a ssh-ed25519
---
1:3: no base64 key behind ssh-ed25519; copy the whole line of the .pub file
=== base64 without its type
a AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh
---
1:3: no TYPE in front of the key, such as ssh-ed25519; copy the whole line of the .pub file
=== a certificate
a ssh-ed25519-cert-v01@openssh.com AAAA
---
1:3: a certificate; give the plain public key, or "-" for a host that logs in by certificate
=== DSA
a ssh-dss AAAA
---
1:3: a DSA key, which OpenSSH has dropped; use ssh-ed25519
=== no key at all
a key
---
1:3: "key" is not the type of a public key; expected TYPE BASE64 as in a .pub file, or "-"
=== an address, as in a targets file
localhost:20001 a
---
1:10: name "localhost:20001" has ":" in it; segments are letters, digits and "._~-"
=== a key in SSH2 format
---- BEGIN SSH2 PUBLIC KEY ----
Comment: "256-bit ED25519, converted by root@host"
AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh
---- END SSH2 PUBLIC KEY ----
b - port=x
---
1:1: a key in another format than OpenSSH's; ssh-keygen -i converts it
5:10: port "x" is not a number from 1024 to 65535 without leading zeros
=== ports that are none
a - port=
b - port=0
c - port=1023
d - port=65536
e - port=020001
f - port=+20001
g - port=20001,20002
h - port="20001"
i - port=99999999999999999999
---
1:10: port "" is not a number from 1024 to 65535 without leading zeros
2:10: port "0" is not a number from 1024 to 65535 without leading zeros
3:10: port "1023" is not a number from 1024 to 65535 without leading zeros
4:10: port "65536" is not a number from 1024 to 65535 without leading zeros
5:10: port "020001" is not a number from 1024 to 65535 without leading zeros
6:10: port "+20001" is not a number from 1024 to 65535 without leading zeros
7:10: port "20001,20002" is not a number from 1024 to 65535 without leading zeros
8:10: port "\"20001\"" is not a number from 1024 to 65535 without leading zeros
9:10: port "99999999999999999999" is not a number from 1024 to 65535 without leading zeros
=== port= and ports= twice
a - port=2000 port=2001
b - ports=a:1 ports=b:2
---
1:15: "port=" is in the line already
2:15: "ports=" is in the line already
=== exporters that are none
a - ports=
b - ports=9100
c - ports=node
d - ports=node:9100,
e - ports=:9100
f - ports=node:
g - ports=node:0
h - ports=node:65536
i - ports=a/b:1
j - ports=..:1
k - ports=a:1,b:2,a:3
l - ports=a:1:2
---
1:10: "" is not EXPORTER:PORT, as in ports=node:9100,mysqld:9104
2:11: "9100" is not EXPORTER:PORT, as in ports=node:9100,mysqld:9104
3:11: "node" is not EXPORTER:PORT, as in ports=node:9100,mysqld:9104
4:20: "" is not EXPORTER:PORT, as in ports=node:9100,mysqld:9104
5:11: ":9100" is not EXPORTER:PORT, as in ports=node:9100,mysqld:9104
6:16: port "" of exporter "node" is not a number from 1 to 65535 without leading zeros
7:16: port "0" of exporter "node" is not a number from 1 to 65535 without leading zeros
8:16: port "65536" of exporter "node" is not a number from 1 to 65535 without leading zeros
9:12: exporter "a/b" has "/" in it; it is letters, digits and "._~-"
10:11: exporter ".." is not a segment of a name
11:19: exporter "a" is in the line already
12:13: port "1:2" of exporter "a" is not a number from 1 to 65535 without leading zeros
=== more ports than there are
a - port=65535 ports=a:1,b:2
---
1:10: 2 ports from 65535 on go over 65535
=== two lines with one port
a - port=20001
b - port=20001
c - port=20001
---
2:10: port 20001 of "b" is that of "a" on line 1; port=20002 is free
3:10: port 20001 of "c" is that of "a" on line 1; port=20003 is free
=== exporters that reach into another's ports
a - port=20001 ports=a:1,b:2,c:3
b - port=20003
c - port=20000 ports=a:1,b:2
---
2:10: port 20003 of "b" is that of "a" on line 1; port=20004 is free
3:10: port 20001 of "c" is that of "a" on line 1; port=20005 is free
=== two names with one port
host-1 -
host-99 -
---
2:1: port 14535 of "host-99", which follows from its name, is that of "host-1" on line 1; port=20001 is free
=== a line that says its port keeps it, wherever it is
a -
b - port=21099
---
1:1: port 21099 of "a", which follows from its name, is that of "b" on line 2; port=20001 is free
=== a host that is another's exporter
a/n - port=2000
a - port=2001 ports=m:1,n:2
---
1:1: target "a/n" is made by exporter "n" on line 2 already
=== mistakes in labels, told as those of targets
a - job=x
b - x=1 x=2
c - x="1
---
1:5: label "job" is set by Prometheus; names other than job and instance are allowed
2:9: label "x" is in the line already
3:7: value of "x" has no closing quote in its line
=== binary
a<00>b - port=2000
---
1:2: control character 0x00; the only one allowed is tab
