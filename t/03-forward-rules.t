#!/usr/bin/perl

# t/03-forward-rules.t: what an allow-list may say, what it lets through, and
# what is told
#
# In the cases behind __DATA__, a line with "? " asks: "ADDRESS PORT", "NAME
# PORT", "NAME PORT ADDRESS", which is what the name has been resolved to, or
# "place ADDRESS".

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = rules_dumper();


sub told {
    my ($text, @args) = @_;

    push @args, $1 while $text =~ s/^\? ([^\n]*)\n?//m;

    my ($status, $out, $errors) = run($text, $dumper, @args);

    return $status ? "status $status\n$errors" : $out;
}


for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;

    is(told($text), $told, $title);
}

my $label = 'n' x 63;
my $long = join '.', ($label) x 3, 'n' x 61;

is(told("$long. *.@{[substr $long, 2]}\n"), "rc=0 rules=2\n",
    'a name of 253 bytes');
is(told("n$long\n"), "1:1: name of 254 bytes; 253 are allowed\n"
    . "rc=1 rules=0\n", 'not of 254');
like(told("n$label.a\n"), qr/has a part of 64 bytes between dots; 1 to 63 /,
    'and no part of 64');

my $said = told("a:0 b\n" x 30);
my $count = () = $said =~ /^\d+:3: /mg;

is($count, 20, '20 mistakes are told one by one');
like($said, qr/^rc=1 rules=30$/m, 'and what is right is taken beside them');

is(told("a\n", $_), "rc=-1\n", "no memory after $_ allocations") for 0 .. 4;
is(told("# a\n\n? a 80\n? 1.2.3.4 80\n", 0), "none\nnone\nrc=0 rules=0\n",
    'a file without rules takes no memory, and allows nothing');

# of one name and of one network, rules with a port each

my $many = join '', map { "a:$_ 10.0.0.0/8:$_ !b:$_ !*:$_\n" }
    grep { $_ % 2 } 1 .. 20_000;

is(told("$many? a 4000\n? a 3999\n? b 9999\n? 10.1.1.1 20001\n"),
    "none\ndeny 2000:" . length('a:3999 10.0.0.0/8:3999 !b:3999  ')
    . " !*:3999\ndeny 5000:" . length('a:9999 10.0.0.0/8:9999  ')
    . " !b:9999\nnone\nrc=0 rules=40000\n", 'rules with many ports');

$many = join '', map { ($_ % 5 ? '' : '!')
    . sprintf("10.%d.%d.0/24 n%d.internal *.s%d.internal\n",
        $_ >> 8, $_ & 255, $_, $_) } 0 .. 19_999;

my $start = (times)[2] + (times)[3];
is(told("$many? 10.1.1.77 9100\n? 10.78.27.1 9100\n? 10.79.0.1 9100\n"
    . "? x.s777.internal 9100\n"),
    "allow 258:1 10.1.1.0/24\ndeny 19996:1 !10.78.27.0/24\nnone\nallow 778:"
    . length('10.3.9.0/24 n777.internal  ') . " *.s777.internal\n"
    . "rc=0 rules=60000\n", '60,000 rules');
cmp_ok((times)[2] + (times)[3] - $start, '<', 3, 'in little time');

# the index against a walk over all rules

for my $seed (1 .. 4) {
    my ($status, $out) = run('', $dumper, 'random', $seed, 100);
    is($out, "100 sets agree\n", "random rules and targets, seed $seed");
}

done_testing();

__DATA__
=== a network, with ports
10.20.0.0/16:9100,9182
? 10.20.0.0 9100
? 10.20.255.255 9182
? 10.20.1.1 9101
? 10.21.0.0 9100
? 10.19.255.255 9100
---
allow 1:1 10.20.0.0/16:9100,9182
allow 1:1 10.20.0.0/16:9100,9182
none
none
none
rc=0 rules=1
=== the same of IPv6
[fd00::]/8:9100 [2001:db8::7]:9100
? fd00:1::1 9100
? fe00::1 9100
? 2001:db8::7 9100
? 2001:db8::8 9100
---
allow 1:1 [fd00::]/8:9100
none
exact allow 1:17 [2001:db8::7]:9100
none
rc=0 rules=2
=== a name; case and a trailing dot are no matter
DB-1.Internal.:9100
? db-1.internal 9100
? db-1.internal 9101
? x.db-1.internal 9100
? internal 9100
---
allow 1:1 DB-1.Internal.:9100
none
none
none
rc=0 rules=1
=== names that end so, at any depth, and not that name itself
*.db.internal:9100-9199 *.INTERNAL.:22
? a.db.internal 9100
? a.b.c.db.internal 9199
? db.internal 9100
? xdb.internal 9100
? db.internal 22
---
allow 1:1 *.db.internal:9100-9199
allow 1:1 *.db.internal:9100-9199
none
none
allow 1:25 *.INTERNAL.:22
rc=0 rules=2
=== everything
*:9100
? anything 9100
? 192.0.2.1 9100
? 2001:db8::1 9100
? anything 9101
---
allow 1:1 *:9100
allow 1:1 *:9100
allow 1:1 *:9100
none
rc=0 rules=1
=== without ports
a !b 10.0.0.0/8
? a 80
? a 443
? a 1024
? a 65535
? a 79
? a 22
? a 1023
? a 65536
? a 0
? b 1
? b 65535
? 10.0.0.1 22
---
allow 1:1 a
allow 1:1 a
allow 1:1 a
allow 1:1 a
none
none
none
none
none
deny 1:3 !b
deny 1:3 !b
none
rc=0 rules=3
=== several rules of one name and network, each with its ports
a:1 a:5-9 a:3,2 10.0.0.0/8:4-6 10.0.0.0/8:1-5 10.0.0.0/8:5
? a 1
? a 2
? a 3
? a 4
? a 9
? 10.0.0.1 5
? 10.0.0.1 6
---
allow 1:1 a:1
allow 1:11 a:3,2
allow 1:11 a:3,2
none
allow 1:5 a:5-9
allow 1:32 10.0.0.0/8:1-5
allow 1:17 10.0.0.0/8:4-6
rc=0 rules=6
=== of several, the most exact rule is told
* *.internal a.internal 0.0.0.0/0 10.0.0.0/8 10.1.0.0/16 10.1.1.1
? a.internal 80
? b.internal 80
? c 80
? 10.1.1.1 80
? 10.1.1.2 80
? 10.2.0.0 80
? 11.0.0.0 80
? 2001:db8:: 80
---
allow 1:14 a.internal
allow 1:3 *.internal
allow 1:1 *
exact allow 1:58 10.1.1.1
allow 1:46 10.1.0.0/16
allow 1:35 10.0.0.0/8
allow 1:25 0.0.0.0/0
allow 1:1 *
rc=0 rules=7
=== what denies wins, in any order and however exact
10.0.0.0/8:9100 !10.20.9.0/24 10.20.9.1:9100
!*.secret.internal *.internal a.secret.internal
? 10.1.1.1 9100
? 10.20.9.1 9100
? 10.20.9.2 443
? a.secret.internal 443
? b.internal 443
---
allow 1:1 10.0.0.0/8:9100
exact deny 1:17 !10.20.9.0/24
deny 1:17 !10.20.9.0/24
deny 2:1 !*.secret.internal
allow 2:20 *.internal
rc=0 rules=6
=== at its ports only
10.0.0.0/8:1-100 !0.0.0.0/0:22 a:1-100 !*:25
? 10.0.0.1 21
? 10.0.0.1 22
? 10.0.0.1 25
? a 22
? a 25
---
allow 1:1 10.0.0.0/8:1-100
deny 1:18 !0.0.0.0/0:22
deny 1:40 !*:25
allow 1:32 a:1-100
deny 1:40 !*:25
rc=0 rules=4
=== a name and its address have both to pass
*.internal !bad.internal !10.6.6.0/24 192.0.2.0/24:9100
? a.internal 9100 10.1.1.1
? a.internal 9100 10.6.6.6
? bad.internal 9100 192.0.2.1
? elsewhere 9100 192.0.2.1
? elsewhere 9100 10.1.1.1
? a.internal 9100 192.0.2.1
? a.internal 22 10.1.1.1
---
allow
deny 1:26 !10.6.6.0/24
deny 1:12 !bad.internal
allow 1:39 192.0.2.0/24:9100
none
allow 1:39 192.0.2.0/24:9100
none
rc=0 rules=4
=== special addresses are in no network, and no name leads to them
* 0.0.0.0/0 [::]/0 127.0.0.0/8 169.254.0.0/16 *.internal
? 127.0.0.1 9100
? 127.0.0.1 443
? 169.254.169.254 80
? 0.0.0.0 80
? 224.0.0.1 80
? 255.255.255.255 80
? ::1 80
? :: 80
? fe80::1 80
? ff02::1 80
? fd00:ec2::254 80
? rebound.internal 80 127.0.0.1
? rebound.internal 80 ::1
? rebound.internal 80 ::ffff:127.0.0.1
? rebound.internal 80 10.0.0.1
---
special
special
special
special
special
special
special
special
special
special
special
special
special
special
allow 1:3 0.0.0.0/0
rc=0 rules=6
=== unless a rule is exactly that, at this port
127.0.0.1:9100 [::1]:9100 169.254.169.254/32:80 [fe80::1]/128 *.internal
? 127.0.0.1 9100
? 127.0.0.1 9101
? 127.0.0.2 9100
? ::1 9100
? ::ffff:127.0.0.1 9100
? 169.254.169.254 80
? fe80::1 9100
? a.internal 9100 127.0.0.1
? a.internal 9101 127.0.0.1
---
exact allow 1:1 127.0.0.1:9100
special
special
exact allow 1:16 [::1]:9100
exact allow 1:1 127.0.0.1:9100
exact allow 1:27 169.254.169.254/32:80
exact allow 1:49 [fe80::1]/128
exact allow 1:1 127.0.0.1:9100
special
rc=0 rules=5
=== which may still be denied
127.0.0.1:9100 !127.0.0.0/8 [::1] !*:80
? 127.0.0.1 9100
? ::1 80
? ::1 443
---
exact deny 1:16 !127.0.0.0/8
exact deny 1:35 !*:80
exact allow 1:29 [::1]
rc=0 rules=4
=== an IPv4-mapped address is the IPv4 address, in rules too
[::ffff:10.0.0.0]/104:80 [::ffff:c000:201]:80
? 10.1.1.1 80
? ::ffff:10.1.1.1 80
? 192.0.2.1 80
---
allow 1:1 [::ffff:10.0.0.0]/104:80
allow 1:1 [::ffff:10.0.0.0]/104:80
exact allow 1:26 [::ffff:c000:201]:80
rc=0 rules=2
=== no network of IPv6 has IPv4 in it, and none of IPv4 has IPv6
[::]/0:80 ![::]/64:81 0.0.0.0/0:81 ![::]/95:82 0.0.0.0/0:82
? 192.0.2.1 80
? 192.0.2.1 81
? 192.0.2.1 82
? 2001:db8::1 80
? 2001:db8::1 81
---
none
allow 1:23 0.0.0.0/0:81
allow 1:48 0.0.0.0/0:82
allow 1:1 [::]/0:80
none
rc=0 rules=5
=== an IPv4 address inside is denied with it, but not allowed with it
[::]/0 !10.0.0.0/8 192.0.2.0/24
? 64:ff9b::10.1.1.1 80
? 2002:a01:101::1 80
? ::10.1.1.1 80
? ::ffff:0:10.1.1.1 80
? 64:ff9b:1::10.1.1.1 80
? 64:ff9b:1:a01:1:100:: 80
? 64:ff9b:1:ff0a:1:101:: 80
? 64:ff9b:1:ffff:a:101:100:0 80
? 64:ff9b::11.1.1.1 80
? 2002:b01:101::1 80
? 64:ff9b:1::11.1.1.1 80
? 2001:db8::10.1.1.1 80
---
deny 1:8 !10.0.0.0/8
deny 1:8 !10.0.0.0/8
deny 1:8 !10.0.0.0/8
deny 1:8 !10.0.0.0/8
deny 1:8 !10.0.0.0/8
deny 1:8 !10.0.0.0/8
deny 1:8 !10.0.0.0/8
deny 1:8 !10.0.0.0/8
allow 1:1 [::]/0
allow 1:1 [::]/0
allow 1:1 [::]/0
allow 1:1 [::]/0
rc=0 rules=3
=== and so it is with 192.0.2.1 inside, where IPv6 isn't allowed
192.0.2.0/24
? 64:ff9b::192.0.2.1 80
? 2002:c000:201:: 80
? ::ffff:192.0.2.1 80
---
none
none
allow 1:1 192.0.2.0/24
rc=0 rules=1
=== a special one inside
[::]/0 127.0.0.1 [64:ff9b::7f00:2]
? 64:ff9b::127.0.0.1 80
? 64:ff9b::127.0.0.2 80
? 2002:7f00:1:: 80
? 64:ff9b::169.254.169.254 80
---
special
exact allow 1:18 [64:ff9b::7f00:2]
special
special
rc=0 rules=3
=== places of IPv4
? place 0.0.0.0
? place 0.1.2.3
? place 1.0.0.0
? place 126.255.255.255
? place 127.0.0.0
? place 127.255.255.255
? place 128.0.0.0
? place 169.253.255.255
? place 169.254.0.0
? place 169.254.255.255
? place 169.254.169.254
? place 169.254.170.2
? place 169.254.170.23
? place 169.254.0.23
? place 169.254.42.42
? place 100.100.100.200
? place 100.100.100.201
? place 168.63.129.16
? place 168.63.129.17
? place 192.0.0.192
? place 192.0.0.1
? place 192.0.1.0
? place 192.88.99.1
? place 223.255.255.255
? place 224.0.0.0
? place 239.255.255.255
? place 240.0.0.0
? place 255.255.255.254
? place 255.255.255.255
? place 10.0.0.1
? place 172.16.0.1
? place 192.168.0.1
? place 100.64.0.1
? place 198.18.0.1
? place 192.0.2.1
---
unspecified
this network
-
-
loopback
loopback
-
-
link-local
link-local
metadata service
metadata service
metadata service
metadata service
metadata service
metadata service
-
metadata service
-
metadata service
protocol assignment
-
6to4 relay
-
multicast
multicast
reserved
reserved
broadcast
-
-
-
-
-
-
rc=0 rules=0
=== places of IPv6
? place ::
? place ::1
? place ::2
? place ::ffff:127.0.0.1
? place ::ffff:10.0.0.1
? place ::127.0.0.1
? place ::8.8.8.8
? place ::ffff:0:127.0.0.1
? place 64:ff9b::127.0.0.1
? place 64:ff9b::0.0.0.0
? place 64:ff9b::8.8.8.8
? place 64:ff9b:1::169.254.169.254
? place 64:ff9b:1:7f00:0:100::
? place 64:ff9b:1:7f:0:1::
? place 64:ff9b:1:0:7f:0:100:0
? place 64:ff9b:1::10.0.0.1
? place 64:ff9b:2::127.0.0.1
? place 2002:7f00:1::1
? place 2002:a00:1::1
? place fe80::1
? place fe80::a9fe:a9fe
? place febf:ffff::
? place fec0::1
? place ff02::1
? place feff:ffff::
? place fd00:ec2::254
? place fd00:ec2::23
? place fd00:ec3::254
? place fd20:ce::254
? place fd20:ce::253
? place fd00:c1::a9fe:a9fe
? place fd00:42::42
? place fd00:a9fe:a9fe::1
? place fd00:100::100:200
? place fd00::1
? place 100::1
? place 100:0:0:1::1
? place 2001:db8::1
---
unspecified
loopback
this network
loopback
-
loopback
-
loopback
loopback
unspecified
-
metadata service
loopback
loopback
loopback
-
-
loopback
-
link-local
metadata service
link-local
-
multicast
-
metadata service
metadata service
-
metadata service
-
metadata service
metadata service
metadata service
metadata service
-
discard-only
-
-
rc=0 rules=0
=== comments, blank lines, CRLF, a byte order mark, no line end at last
<ef><bb><bf># rules<0d>

	 # more
  a	  b	<0d>
#c
c # d
d#e:80 !f<EOF>
---
7:2: name "d#e" has "#" in it; a name is letters, digits and "._-"
rc=1 rules=4
=== a byte order mark elsewhere
a <ef><bb><bf>b
---
1:3: byte order mark; it is allowed only at the start of the file
rc=1 rules=0
=== control characters
a<00>b
c<0b>d
e<0d>f
g
---
1:2: control character 0x00; the only one allowed is tab
2:2: control character 0x0b; the only one allowed is tab
3:2: carriage return within the line; lines end with LF or CRLF
rc=1 rules=1
=== an empty file
<EOF>
---
rc=0 rules=0
=== ports that are none
a:0
a:65536
a:99999999999999999999
a:080
a:x
a:*
a:
a:1,
a:,1
a:1,,2
a:-
a:1-
a:-1
a:1-2-3
a:+1
a:9100/metrics
---
1:3: "0" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
2:3: "65536" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
3:3: "99999999999999999999" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
4:3: "080" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
5:3: "x" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
6:3: "*" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
7:3: a port is missing; ports are separated by commas, as in 9100,9200-9299, and rules by white space
8:5: a port is missing; ports are separated by commas, as in 9100,9200-9299, and rules by white space
9:3: a port is missing; ports are separated by commas, as in 9100,9200-9299, and rules by white space
10:5: a port is missing; ports are separated by commas, as in 9100,9200-9299, and rules by white space
11:3: "-" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
12:3: "1-" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
13:3: "-1" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
14:3: "1-2-3" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
15:3: "+1" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
16:3: "9100/metrics" is not a port; ports are 1 to 65535 without leading zeros, as in 9100,9200-9299
rc=1 rules=0
=== ports in the wrong order
10.0.0.1:80,9199-9100
---
1:13: ports "9199-9100" end before they begin; the range is 9100-9199
rc=1 rules=0
=== other notations of IPv4
127.1
0x7f.1
0X7F000001
017700000001
2130706433:80
127.0.0.01
1.2.3.4.5
1.2.3.256
10.0.0/8
*.1
1.2.3.4.
---
1:1: "127.1" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
2:1: "0x7f.1" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
3:1: "0X7F000001" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
4:1: "017700000001" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
5:1: "2130706433" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
6:1: "127.0.0.01" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
7:1: "1.2.3.4.5" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
8:1: "1.2.3.256" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
9:1: "10.0.0" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
10:1: "*.1" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
11:1: "1.2.3.4." is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros, and a network is written as in 10.0.0.0/8
rc=1 rules=0
=== bits below the prefix
10.0.0.1/8 !10.20.9.7/24:80
[fd00:1::1]/16:9100 [::ffff:10.0.0.1]/104
---
1:1: "10.0.0.1/8" has bits below its prefix; the network is 10.0.0.0/8, an address has no prefix
1:13: "10.20.9.7/24" has bits below its prefix; the network is 10.20.9.0/24, an address has no prefix
2:1: "[fd00:1::1]/16" has bits below its prefix; the network is [fd00::]/16, an address has no prefix
2:21: "[::ffff:10.0.0.1]/104" has bits below its prefix; the network is [::ffff:10.0.0.0]/104, an address has no prefix
rc=1 rules=0
=== prefix lengths that are none
10.0.0.0/33
10.0.0.0/
10.0.0.0/08
10.0.0.0/255.0.0.0
10.0.0.0/-1
[fd00::]/129
[fd00::]/
---
1:9: prefix length "33" is not a number from 0 to 32 without leading zeros
2:9: prefix length "" is not a number from 0 to 32 without leading zeros
3:9: prefix length "08" is not a number from 0 to 32 without leading zeros
4:9: prefix length "255.0.0.0" is not a number from 0 to 32 without leading zeros
5:9: prefix length "-1" is not a number from 0 to 32 without leading zeros
6:9: prefix length "129" is not a number from 0 to 128 without leading zeros
7:9: prefix length "" is not a number from 0 to 128 without leading zeros
rc=1 rules=0
=== brackets of IPv6
fd00::/8
::1
[fd00::/8]:80
[fd00::
[fd00::]x
[10.0.0.1]
[fe80::1%eth0]
[]
a:80:81
10.0.0.1:80,10.0.0.2:80
---
1:1: "fd00::/8" has several ":"; rules are separated by white space, and an IPv6 address is written as in [fd00::]/8:9100
2:1: "::1" has several ":"; rules are separated by white space, and an IPv6 address is written as in [fd00::]/8:9100
3:1: prefix length within "[" and "]"; it stands behind, as in [fd00::]/8:9100
4:1: "[" is not closed; an IPv6 address is written as in [fd00::]/8:9100
5:9: "x" after "]"; "/PREFIX" and ":PORTS" are allowed
6:1: "[10.0.0.1]" is not an IPv6 address; it is written as in [fd00::]/8:9100
7:1: "[fe80::1%eth0]" is not an IPv6 address; it is written as in [fd00::]/8:9100
8:1: "[]" is not an IPv6 address; it is written as in [fd00::]/8:9100
9:1: "a:80:81" has several ":"; rules are separated by white space, and an IPv6 address is written as in [fd00::]/8:9100
10:1: "10.0.0.1:80,10.0.0.2:80" has several ":"; rules are separated by white space, and an IPv6 address is written as in [fd00::]/8:9100
rc=1 rules=0
=== a star where none may be
a*.internal
db.*.internal
**
*.*.internal
*internal
*/8
---
1:2: name "a*.internal" has "*" in it; it is allowed alone, or as the first part of a name as in *.db.internal
2:4: name "db.*.internal" has "*" in it; it is allowed alone, or as the first part of a name as in *.db.internal
3:1: name "**" has "*" in it; it is allowed alone, or as the first part of a name as in *.db.internal
4:3: name "*.*.internal" has "*" in it; it is allowed alone, or as the first part of a name as in *.db.internal
5:1: name "*internal" has "*" in it; it is allowed alone, or as the first part of a name as in *.db.internal
6:2: "/8" behind a name; only an address has a prefix length, and a rule has no path
rc=1 rules=0
=== names that are none
:80
!:80
!
! 10.0.0.0/8
/8
.
a..b
.a
*.
*..
a..
!!a
-a_b
a,b
a/metrics
---
1:1: no host; a rule is [!]HOST[/PREFIX][:PORTS]
2:2: no host; a rule is [!]HOST[/PREFIX][:PORTS]
3:1: "!" without a rule; it is written as in !10.0.0.0/8
4:1: "!" without a rule; it is written as in !10.0.0.0/8
5:1: no host; a rule is [!]HOST[/PREFIX][:PORTS]
6:1: name "." has a part of 0 bytes between dots; 1 to 63 are allowed
7:1: name "a..b" has a part of 0 bytes between dots; 1 to 63 are allowed
8:1: name ".a" has a part of 0 bytes between dots; 1 to 63 are allowed
9:1: name "*." has a part of 0 bytes between dots; 1 to 63 are allowed
10:1: name "*.." has a part of 0 bytes between dots; 1 to 63 are allowed
11:1: name "a.." has a part of 0 bytes between dots; 1 to 63 are allowed
12:2: name "!a" has "!" in it; a name is letters, digits and "._-"
14:2: name "a,b" has "," in it; rules are separated by white space, only ports by commas
15:2: "/metrics" behind a name; only an address has a prefix length, and a rule has no path
rc=1 rules=2
=== other letters
bücher.example
---
1:2: name "b\xc3\xbccher.example" has "\xc3" in it; other letters than ASCII's are written in punycode, as in xn--bcher-kva.example
rc=1 rules=0
=== what is pasted from elsewhere
http://a.internal:9100
HTTPS://a
user:secret@a.internal
"a"
---
1:1: scheme "http"; a rule is [!]HOST[/PREFIX][:PORTS]
2:1: scheme "HTTPS"; a rule is [!]HOST[/PREFIX][:PORTS]
3:12: user information before "@"; a rule is [!]HOST[/PREFIX][:PORTS]
4:1: name "\"a\"" has "\"" in it; a name is letters, digits and "._-"
rc=1 rules=0
