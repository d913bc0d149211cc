#!/usr/bin/perl

# t/00-targets.t: what a targets file may say, and what becomes of it
#
# The cases behind __DATA__ are as in t/00-mistakes.t.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = dumper();
my $tool = tool();

for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;

    my ($status, $out, $errors) = run($text, $dumper);
    $out =~ s/^rc=0 count=\d+ errors=0 allocs=\d bytes=\d+\n//;
    is("$status $out$errors", "0 $told\n", $title);
}


# limits: the most that is allowed, and one more

sub limit {
    my ($promise, $make, $most, $reason) = @_;

    my ($status, undef, $errors) = check($tool, $make->($most));
    is("$status $errors", '0 ', "$promise: $most");

    my $more = $most + 1;
    ($status, undef, $errors) = check($tool, $make->($more));
    is("$status $errors", "1 $reason\n", "$promise: not $more");
}

limit('bytes of NAME', sub { 'a:1 /' . 'n' x $_[0] . "/\n" }, 255,
    '1:5: name of 256 bytes; 255 are allowed');
limit('bytes of VALUE', sub { 'a:1 a b=' . 'v' x $_[0] . "\n" }, 4096,
    '1:9: value of "b" is 4097 bytes; 4096 are allowed');
limit('bytes of VALUE without its escapes',
    sub { 'a:1 a b="' . '\n' x $_[0] . "\"\n" }, 4096,
    '1:9: value of "b" is 4097 bytes; 4096 are allowed');
limit('bytes of a line', sub { 'a:1 a #' . ' ' x ($_[0] - 7) . "\n" }, 65536,
    '1:65537: line of 65537 bytes; 65536 are allowed');
limit('bytes of a line with CRLF',
    sub { 'a:1 a #' . ' ' x ($_[0] - 7) . "\r\n" }, 65536,
    '1:65537: line of 65537 bytes; 65536 are allowed');
limit('bytes of the last line',
    sub { 'a:1 a #' . ' ' x ($_[0] - 7) }, 65536,
    '1:65537: line of 65537 bytes; 65536 are allowed');
limit('labels of a line',
    sub { 'a:1 a ' . join(' ', map { "l$_=v" } 10 .. 9 + $_[0]) . "\n" }, 64,
    '1:391: more than 64 labels in the line');
limit('bytes of a host',
    sub { ('a' x 63 . '.') x 3 . 'a' x ($_[0] - 192) . ":1 a\n" }, 253,
    '1:1: host of 254 bytes; 253 are allowed');
limit('bytes of a host with a dot at its end',
    sub { ('a' x 63 . '.') x 3 . 'a' x ($_[0] - 192) . ".:1 a\n" }, 253,
    '1:1: host of 254 bytes; 253 are allowed');
limit('bytes between dots', sub { 'a' x $_[0] . ".b:1 a\n" }, 63,
    '1:1: host "' . 'a' x 48 . '..." has a part of 64 bytes between dots; '
    . '1 to 63 are allowed');
limit('bytes of a unix path',
    sub { 'unix:/' . 'p' x ($_[0] - 1) . ":/base a\n" }, 107,
    '1:1: unix path of 108 bytes; 107 are allowed');
limit('the highest port', sub { "a:$_[0] a\n" }, 65535,
    '1:3: port "65536" is not a number from 1 to 65535 without leading zeros');


# many mistakes

sub mistakes {
    my ($n) = @_;

    my (undef, undef, $errors) = check($tool,
        join '', map { "a:0 n$_\n" } 1 .. $n);
    return [ split /\n/, $errors ];
}

is(scalar @{ mistakes(20) }, 20, '20 mistakes are told one by one');
is(scalar @{ mistakes(21) }, 21, 'there is a line more if there are more');
is(mistakes(21)->[20], 'and 1 more mistakes', 'it counts the others');
is(mistakes(50_000)->[20], 'and 49980 more mistakes', 'all of them');

my (undef, $dump) = run("a:0 a\nb:1 b c=d\nc:x c\nd:1 d\n", $dumper);
is_deeply([ $dump =~ /^name=(\w+)/gm ], [ 'b', 'd' ],
    'the lines that were right are there all the same');
like($dump, qr/^rc=1 count=2 errors=2 allocs=2 /m, 'and all are counted');


# memory

for my $allocs (0, 1) {
    my ($status, $out) = run("a:1 a\n", $dumper, $allocs);
    is("$status $out", "0 rc=-1\n", "no memory after $allocs allocations");
}

my ($plain) = (run("a:1 a\n", $dumper))[1] =~ /(allocs=2 bytes=\d+)/;
my ($blank) = (run("a:1 a\n" . "#\n\n" x 9999, $dumper))[1] =~ /(allocs.*)/;
is($blank, $plain, 'blank lines and comments take no memory');
like((run("# a\n\n", $dumper, 0))[1], qr/^rc=0 .* allocs=0 bytes=0$/m,
    'a file without targets takes none at all');


# time

my $many = join '', map { "localhost:20001 site/host-$_ env=prod\n" }
    1 .. 50_000;
my $took = seconds($many);
cmp_ok($took, '<', 0.15, "50,000 targets in $took s");

my $same = 'localhost:20001 site/host-1 env=prod' . "\n";
$took = seconds($same x 50_000);
cmp_ok($took, '<', 0.15, "50,000 times one NAME in $took s");

$took = seconds('a' x 10_000_000);
cmp_ok($took, '<', 0.15, "a line of 10 MB in $took s");

$took = seconds("a:1 a " . join(' ', map { "l$_=" . 'v' x 900 } 1 .. 64)
    . "\n", 100);
cmp_ok($took, '<', 0.5, "100 lines full of labels in $took s");


# CPU time, since others may have the machine too

sub seconds {
    my ($text, $times) = @_;

    my $before = (times)[2] + (times)[3];
    check($tool, $text x ($times // 1));

    return sprintf '%.2f', (times)[2] + (times)[3] - $before;
}

done_testing();

__DATA__
=== the first example of the design
localhost:20001 external-host-1
---
name=external-host-1 address=localhost:20001 authority=localhost:20001 host=localhost base= line=1 port=20001 tls=0 kind=localhost
=== labels, bare and in quotes
[fd00::2]:9100  site-b/db-1        env=prod team="data base" __scrape_interval__=30s
---
name=site-b/db-1 address=[fd00::2]:9100 authority=[fd00::2]:9100 host=fd00::2 base= line=1 port=9100 tls=0 kind=ipv6 ip=fd00::2 env=[prod] team=[data base] __scrape_interval__=[30s]
=== a unix socket
unix:/run/e.sock local-exporter
---
name=local-exporter address=unix:/run/e.sock authority=unix:/run/e.sock host=/run/e.sock base= line=1 port=0 tls=0 kind=unix
=== https and a base path
https://exporter.internal:9443/base  tls-host
---
name=tls-host address=https://exporter.internal:9443/base authority=exporter.internal:9443 host=exporter.internal base=/base line=1 port=9443 tls=1 kind=dns
=== no text at all
<EOF>
---
=== comments and blank lines only
# a

  # b
<09>
---
=== comments behind a NAME, a bare and a quoted value
a:1 a # x="
a:1 b e=f# # x
a:1 c e="# f" # "x
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=b address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns e=[f#]
name=c address=a:1 authority=a:1 host=a base= line=3 port=1 tls=0 kind=dns e=[# f]
=== a comment without a space behind its sign
a:1 a #x
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
=== tabs and spaces around everything
<09> a:1 <09> a <09> b=c <09>
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns b=[c]
=== CRLF
a:1 a<0d>
<0d>
b:1 b c=d<0d>
c:1 c d="e"<0d>
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=b address=b:1 authority=b:1 host=b base= line=3 port=1 tls=0 kind=dns c=[d]
name=c address=c:1 authority=c:1 host=c base= line=4 port=1 tls=0 kind=dns d=[e]
=== the last line without its end
a:1 a
b:1 b c=d
<EOF>
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=b address=b:1 authority=b:1 host=b base= line=2 port=1 tls=0 kind=dns c=[d]
=== a last line in quotes without its end
b:1 b c="d"
<EOF>
---
name=b address=b:1 authority=b:1 host=b base= line=1 port=1 tls=0 kind=dns c=[d]
=== a byte order mark at the start
<ef><bb><bf>a:1 a
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
=== a byte order mark alone
<ef><bb><bf>
<EOF>
---
=== an empty line first

a:1 a
---
name=a address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns
=== the shortest line
a:1 a
<EOF>
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
=== IPv4
127.0.0.1:9100 a
255.255.255.255:65535 b
0.0.0.0:1 c
---
name=a address=127.0.0.1:9100 authority=127.0.0.1:9100 host=127.0.0.1 base= line=1 port=9100 tls=0 kind=ipv4 ip=127.0.0.1
name=b address=255.255.255.255:65535 authority=255.255.255.255:65535 host=255.255.255.255 base= line=2 port=65535 tls=0 kind=ipv4 ip=255.255.255.255
name=c address=0.0.0.0:1 authority=0.0.0.0:1 host=0.0.0.0 base= line=3 port=1 tls=0 kind=ipv4 ip=0.0.0.0
=== IPv6
[::1]:9100 a
[2001:DB8::1]:9100/x b
[::ffff:10.0.0.1]:9100 c
---
name=a address=[::1]:9100 authority=[::1]:9100 host=::1 base= line=1 port=9100 tls=0 kind=ipv6 ip=::1
name=b address=[2001:DB8::1]:9100/x authority=[2001:DB8::1]:9100 host=2001:DB8::1 base=/x line=2 port=9100 tls=0 kind=ipv6 ip=2001:db8::1
name=c address=[::ffff:10.0.0.1]:9100 authority=[::ffff:10.0.0.1]:9100 host=::ffff:10.0.0.1 base= line=3 port=9100 tls=0 kind=ipv6 ip=::ffff:10.0.0.1
=== localhost in any case, and with the dot of a complete name
localhost:1 a
LocalHost:1 b
localhost.:1 c
---
name=a address=localhost:1 authority=localhost:1 host=localhost base= line=1 port=1 tls=0 kind=localhost
name=b address=LocalHost:1 authority=LocalHost:1 host=LocalHost base= line=2 port=1 tls=0 kind=localhost
name=c address=localhost.:1 authority=localhost.:1 host=localhost. base= line=3 port=1 tls=0 kind=localhost
=== names that only look like localhost
localhost.localdomain:1 a
localhost4:1 b
my-localhost:1 c
local:1 d
---
name=a address=localhost.localdomain:1 authority=localhost.localdomain:1 host=localhost.localdomain base= line=1 port=1 tls=0 kind=dns
name=b address=localhost4:1 authority=localhost4:1 host=localhost4 base= line=2 port=1 tls=0 kind=dns
name=c address=my-localhost:1 authority=my-localhost:1 host=my-localhost base= line=3 port=1 tls=0 kind=dns
name=d address=local:1 authority=local:1 host=local base= line=4 port=1 tls=0 kind=dns
=== names for DNS
Node-1.example_2.com:1 a
example.com.:1 b
1a:1 c
0x7g:1 d
1.2.3.4.example:1 e
web.1:1 i
xn--bcher-kva.example:1 f
http:1 g
https:1 h
---
name=a address=Node-1.example_2.com:1 authority=Node-1.example_2.com:1 host=Node-1.example_2.com base= line=1 port=1 tls=0 kind=dns
name=b address=example.com.:1 authority=example.com.:1 host=example.com. base= line=2 port=1 tls=0 kind=dns
name=c address=1a:1 authority=1a:1 host=1a base= line=3 port=1 tls=0 kind=dns
name=d address=0x7g:1 authority=0x7g:1 host=0x7g base= line=4 port=1 tls=0 kind=dns
name=e address=1.2.3.4.example:1 authority=1.2.3.4.example:1 host=1.2.3.4.example base= line=5 port=1 tls=0 kind=dns
name=i address=web.1:1 authority=web.1:1 host=web.1 base= line=6 port=1 tls=0 kind=dns
name=f address=xn--bcher-kva.example:1 authority=xn--bcher-kva.example:1 host=xn--bcher-kva.example base= line=7 port=1 tls=0 kind=dns
name=g address=http:1 authority=http:1 host=http base= line=8 port=1 tls=0 kind=dns
name=h address=https:1 authority=https:1 host=https base= line=9 port=1 tls=0 kind=dns
=== the ports of the schemes
http://a a
https://a b
http://[::1] c
https://a:80 d
http://a:443 e
---
name=a address=http://a authority=a host=a base= line=1 port=80 tls=0 kind=dns
name=b address=https://a authority=a host=a base= line=2 port=443 tls=1 kind=dns
name=c address=http://[::1] authority=[::1] host=::1 base= line=3 port=80 tls=0 kind=ipv6 ip=::1
name=d address=https://a:80 authority=a:80 host=a base= line=4 port=80 tls=1 kind=dns
name=e address=http://a:443 authority=a:443 host=a base= line=5 port=443 tls=0 kind=dns
=== base paths
a:1/ a
a:1/b b
a:1/b/ c
http://a/b/c/ d
a:1/A-z._~!$&'()*+,;=:@%2F%c3%A9 e
a:1/..b/c../.d/... f
a:1/b:c g
---
name=a address=a:1/ authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=b address=a:1/b authority=a:1 host=a base=/b line=2 port=1 tls=0 kind=dns
name=c address=a:1/b/ authority=a:1 host=a base=/b line=3 port=1 tls=0 kind=dns
name=d address=http://a/b/c/ authority=a host=a base=/b/c line=4 port=80 tls=0 kind=dns
name=e address=a:1/A-z._~!$&'()*+,;=:@%2F%c3%A9 authority=a:1 host=a base=/A-z._~!$&'()*+,;=:@%2F%c3%A9 line=5 port=1 tls=0 kind=dns
name=f address=a:1/..b/c../.d/... authority=a:1 host=a base=/..b/c../.d/... line=6 port=1 tls=0 kind=dns
name=g address=a:1/b:c authority=a:1 host=a base=/b:c line=7 port=1 tls=0 kind=dns
=== unix sockets
unix:/run/a a
unix:/run/a:/ b
unix:/run/a:/b/ c
http://unix:/run/a d
https://unix:/run/a:/b e
unix:/run/a"b\c#d@e?f f
unix:/a:/b:c g
---
name=a address=unix:/run/a authority=unix:/run/a host=/run/a base= line=1 port=0 tls=0 kind=unix
name=b address=unix:/run/a:/ authority=unix:/run/a host=/run/a base= line=2 port=0 tls=0 kind=unix
name=c address=unix:/run/a:/b/ authority=unix:/run/a host=/run/a base=/b line=3 port=0 tls=0 kind=unix
name=d address=http://unix:/run/a authority=unix:/run/a host=/run/a base= line=4 port=0 tls=0 kind=unix
name=e address=https://unix:/run/a:/b authority=unix:/run/a host=/run/a base=/b line=5 port=0 tls=1 kind=unix
name=f address=unix:/run/a"b\c#d@e?f authority=unix:/run/a"b\c#d@e?f host=/run/a"b\c#d@e?f base= line=6 port=0 tls=0 kind=unix
name=g address=unix:/a:/b:c authority=unix:/a host=/a base=/b:c line=7 port=0 tls=0 kind=unix
=== names of several segments
a:1 a/b/c
a:1 a/b
a:1 a
---
name=a/b/c address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=a/b address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns
name=a address=a:1 authority=a:1 host=a base= line=3 port=1 tls=0 kind=dns
=== one slash in front of and behind a NAME is dropped
a:1 /a
a:1 b/
a:1 /c/d/
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=b address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns
name=c/d address=a:1 authority=a:1 host=a base= line=3 port=1 tls=0 kind=dns
=== each byte that NAME may have
a:1 ABCXYZabcxyz0189._~-
a:1 ...
a:1 .a/b./-/_/~
---
name=ABCXYZabcxyz0189._~- address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=... address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns
name=.a/b./-/_/~ address=a:1 authority=a:1 host=a base= line=3 port=1 tls=0 kind=dns
=== names that the proxy uses itself
a:1 metrics
a:1 targets
a:1 -/healthy
---
name=metrics address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=targets address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns
name=-/healthy address=a:1 authority=a:1 host=a base= line=3 port=1 tls=0 kind=dns
=== names differ by case
a:1 a
a:1 A
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns
name=A address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns
=== escapes
a:1 a b="\"\\\n\"" c="" d="\\n" e="\\\""
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns b=["\<0a>"] c=[] d=[\n] e=[\"]
=== an equals sign, a hash sign and UTF-8 in values
a:1 a b==c d=e=f g=#h i=j,k l=<c3><a9><e2><82><ac><f0><9f><98><80> m="<c2><a0>"
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns b=[=c] d=[e=f] g=[#h] i=[j,k] l=[é€😀] m=[ ]
=== the ends of UTF-8's ranges
a:1 a b=<c2><80> c=<df><bf> d=<e0><a0><80> e=<ed><9f><bf> f=<ee><80><80> g=<ef><bf><bf> h=<f0><90><80><80> i=<f4><8f><bf><bf>
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns b=[] c=[߿] d=[ࠀ] e=[퟿] f=[] g=[￿] h=[𐀀] i=[􏿿]
=== white space of all kinds within quotes
a:1 a b=" c<09>d " e="f  "<09>g=h
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns b=[ c	d ] e=[f  ] g=[h]
=== an apostrophe within quotes
a:1 a b="it's"
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns b=[it's]
=== each byte that a label may have
a:1 a _=b AZaz09_=c _a_=d
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns _=[b] AZaz09_=[c] _a_=[d]
=== labels that only look like those refused
a:1 a Job=b instances=c _job=d _=e
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns Job=[b] instances=[c] _job=[d] _=[e]
=== the labels that steer the scrape
a:1 a __metrics_path__=/m?x __scrape_interval__=1m30s __scrape_timeout__=90s __param_x=y __param___=z
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns __metrics_path__=[/m?x] __scrape_interval__=[1m30s] __scrape_timeout__=[90s] __param_x=[y] __param___=[z]
=== the timeout without an interval
a:1 a __scrape_timeout__=5h
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns __scrape_timeout__=[5h]
=== each line has an interval and a timeout of its own
a:1 a __scrape_interval__=1s
a:1 b __scrape_timeout__=2s
a:1 c __scrape_interval__=1s
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns __scrape_interval__=[1s]
name=b address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns __scrape_timeout__=[2s]
name=c address=a:1 authority=a:1 host=a base= line=3 port=1 tls=0 kind=dns __scrape_interval__=[1s]
=== durations
a:1 a __scrape_interval__=1ms
a:1 b __scrape_interval__=1y1w1d1h1m1s1ms
a:1 c __scrape_interval__=0h01m
a:1 d __scrape_interval__=292y
a:1 e __scrape_interval__=9223372036854ms
---
name=a address=a:1 authority=a:1 host=a base= line=1 port=1 tls=0 kind=dns __scrape_interval__=[1ms]
name=b address=a:1 authority=a:1 host=a base= line=2 port=1 tls=0 kind=dns __scrape_interval__=[1y1w1d1h1m1s1ms]
name=c address=a:1 authority=a:1 host=a base= line=3 port=1 tls=0 kind=dns __scrape_interval__=[0h01m]
name=d address=a:1 authority=a:1 host=a base= line=4 port=1 tls=0 kind=dns __scrape_interval__=[292y]
name=e address=a:1 authority=a:1 host=a base= line=5 port=1 tls=0 kind=dns __scrape_interval__=[9223372036854ms]
