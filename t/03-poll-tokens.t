#!/usr/bin/perl

# t/03-poll-tokens.t: what a file of tokens may say, and what is told
#
# In the cases behind __DATA__, {a} is the hash of the token "a".

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = tokens_dumper();


sub line {
    my ($text) = @_;

    $text =~ s/\{(\w+)\}/'sha256:' . sha256_hex($1)/ge;

    return $text;
}


sub told {
    my ($text, @args) = @_;

    my ($status, $out, $errors) = run(line($text), $dumper, @args);

    return $status ? "status $status\n$errors" : $out;
}


for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;

    $told =~ s/\{(\w+)\}/sha256_hex($1)/ge;
    is(told($text), $told, $title);
}

my $long = 'n' x 255;

is(told("$long {a}\n"), "$long " . sha256_hex('a') . "\nrc=0\n",
    'a name of 255 bytes');
is(told("n$long {a}\n"), "1:1: name of 256 bytes; 255 are allowed\nrc=1\n",
    'not of 256');

my @tokens = map { "secret-$_" } 1 .. 30;
my $said = told(join '', map { "$_ host-1\n$_ $_\nhost-1 $_\n" } @tokens);
my $count = () = $said =~ /^\d+:\d+: /mg;

is($count, 20, '20 mistakes are told one by one');
unlike($said, qr/secret-/, 'no message has a token in it');

is(told("a {a}\n", $_), "rc=-1\n", "no memory after $_ allocations")
    for 0, 1;
is(told("# a\n\n", 0), "rc=0\n", 'a file without tokens takes no memory');

my $many = join '', map { "host-$_ {$_}\n" } 1 .. 20_000;
my $start = (times)[2] + (times)[3];
my $lines = () = told($many) =~ /\n/g;

is($lines, 20_001, '20,000 tokens');
cmp_ok((times)[2] + (times)[3] - $start, '<', 2, 'in little time');

done_testing();

__DATA__
=== a token
host-1 {a}
---
host-1 {a}
rc=0
=== case is no matter
Host-1.Example.COM sha256:CA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB
---
host-1.example.com {a}
rc=0
=== a name with two tokens, while one follows the other
host-1 {a}
HOST-1 {b} # since today
---
host-1 {a}
host-1 {b}
rc=0
=== comments, blank lines, CRLF, a byte order mark, no line end at last
<ef><bb><bf># tokens<0d>

	 # more
  a	  {a}	<0d>
#b {b}
b {b}<EOF>
---
a {a}
b {b}
rc=0
=== an empty file
<EOF>
---
rc=0
=== one token of two names
a {a}
b {a}
---
2:3: token is on line 1 already; each client has one of its own
a {a}
rc=1
=== a name alone
a
b # {b}
---
1:1: no hash behind the name; a line is NAME sha256:HEX
2:1: no hash behind the name; a line is NAME sha256:HEX
rc=1
=== a hash alone, or in front
{a}
{a} a
---
1:1: no NAME in front of the hash; a line is NAME sha256:HEX
2:1: no NAME in front of the hash; a line is NAME sha256:HEX
rc=1
=== the token itself
a Zm9vYmFy
---
1:3: not a token's hash; expected sha256:HEX, never the token itself
rc=1
=== another hash
a md5:0cc175b9c0f1b6a831c399e269772661
---
1:3: not a token's hash; expected sha256:HEX, never the token itself
rc=1
=== a hash that was cut off, or is longer
a sha256:
b sha256:ca978112
c {a}0
---
1:10: hash of 0 digits; it has 64
2:10: hash of 8 digits; it has 64
3:10: hash of 65 digits; it has 64
rc=1
=== no digits
a sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bg
---
1:73: no hexadecimal digit; the hash is 64 of them
rc=1
=== names that no client has
a:9100 {a}
a/b {b}
"a" {c}
é {d}
---
1:2: name has ":" in it; a client's name is letters, digits and "._-", without a port
2:2: name has "/" in it; a client's name is letters, digits and "._-", without a port
3:1: name has "\"" in it; a client's name is letters, digits and "._-", without a port
4:1: name has "\xc3" in it; a client's name is letters, digits and "._-", without a port
rc=1
=== more than two words
a {a} env=prod
---
1:75: more than a name and a hash; a line is NAME sha256:HEX
rc=1
=== what is right is taken beside what is wrong
a {a}
b
c {c}
---
2:1: no hash behind the name; a line is NAME sha256:HEX
a {a}
c {c}
rc=1
=== binary
a<00>b {a}
---
1:2: control character 0x00; the only one allowed is tab
rc=1
