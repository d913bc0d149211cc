#!/usr/bin/perl

# t/03-forward-users.t: what a file of users may say, and what is told
#
# In the cases behind __DATA__, {b} is a hash of bcrypt.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = users_dumper();
my $bcrypt = '$2y$05$' . 'a' x 22 . 'b' x 31;

sub told {
    my ($text, @args) = @_;

    my ($status, $out, $errors) = run($text =~ s/\{b\}/$bcrypt/gr, $dumper,
        @args);

    return $status ? "status $status\n$errors" : $out;
}

for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;

    is(told($text), $told =~ s/\{b\}/$bcrypt/gr, $title);
}

is(told("$_:{b}\n"), "$_ $bcrypt\nrc=0\n", "a name: $_")
    for 'a', 'A.b_c-d@example.org', "\xc3\xa9", 'n' x 255;
is(told('n' x 256 . ":{b}\n"), "1:1: user of 256 bytes; 255 are allowed\n"
    . "rc=1\n", 'not of 256');

is(told("u:$_\n"), "u $_\nrc=0\n", 'a hash: ' . substr $_, 0, 4)
    for '$2a$05$' . 'a' x 53, '$2b$05$' . 'a' x 53, '$y$j9T$ab$cd',
    '$gy$j9T$ab$cd', '$7$CU..../....a$b', '$6$rounds=5000$a$b', '$5$a$b';
like(told("u:$_\n"), qr/\A1:3: no hash of bcrypt.*\nrc=1\n\z/,
    'not a hash: ' . substr $_, 0, 6)
    for '$apr1$a$b', '$1$a$b', 'ab12cd34ef567', 'password', '$2$05$a', '$2x$',
    '$sha1$a', '$3$$a';
is(told('u:$2y$05$' . 'a' x 52 . "\n"),
    "1:3: hash of bcrypt with 59 characters; it has 60\nrc=1\n",
    'one that was cut off');

my @names = map { sprintf 'user-%02d', $_ } 1 .. 40;
is(told(join('', map { "$_:{b}\n" } reverse @names), 8, @names, 'user',
    'user-011', 'zz', ''), join('', map { "$_ $bcrypt\n" } @names) . "rc=0\n"
    . join('', map { "$_: $bcrypt\n" } @names)
    . "user: nobody\nuser-011: nobody\nzz: nobody\n: nobody\n",
    'each is found, and nobody else');

unlike(told(join '', map { "u$_:secret-$_\nu$_:secret!\nsecret\tu:{b}\n" }
    1 .. 30), qr/secret-/, 'no message has a part of a hash in it');

is(told("a:{b}\n", $_), "rc=-1\n", "no memory after $_ allocations")
    for 0, 1;

done_testing();

__DATA__
=== an empty file
<EOF>
---
rc=0
=== comments and empty lines
# users

   # another
u:{b}
---
u {b}
rc=0
=== no end of the last line
a:{b}
b:{b}
<EOF>
---
a {b}
b {b}
rc=0
=== CRLF, white space and a byte order mark
<ef><bb><bf>a:{b}<0d>
  b:{b}<09><0d>
c:{b} # a comment
---
a {b}
b {b}
c {b}
rc=0
=== sorted by name
b:{b}
a:{b}
ab:{b}
---
a {b}
ab {b}
b {b}
rc=0
=== mistakes
user
:{b}
u:
v:{b} more
w:{b}:x
---
1:1: no colon; a line is USER:HASH
2:1: no user in front of the colon; a line is USER:HASH
3:3: no hash of bcrypt, yescrypt, scrypt or SHA-crypt; "htpasswd -B" makes one, others are no protection
4:64: more than a user and a hash; a line is USER:HASH, without white space
5:63: the hash has characters that crypt(3) doesn't use; a line is USER:HASH
rc=1
=== lines too short for a hash, which there is no room for
a:x
b:y
c:z
a:x
---
1:3: no hash of bcrypt, yescrypt, scrypt or SHA-crypt; "htpasswd -B" makes one, others are no protection
2:3: no hash of bcrypt, yescrypt, scrypt or SHA-crypt; "htpasswd -B" makes one, others are no protection
3:3: no hash of bcrypt, yescrypt, scrypt or SHA-crypt; "htpasswd -B" makes one, others are no protection
4:3: no hash of bcrypt, yescrypt, scrypt or SHA-crypt; "htpasswd -B" makes one, others are no protection
rc=1
=== one user twice
u:{b}
v:{b}
u:{b}
---
3:1: user "u" is in line 1, too
u {b}
v {b}
rc=1
