#!/usr/bin/perl

# t/05-sshd-log.t: what sshd-log passes on of sshd's lines, and what it counts
# of them; the lines are what OpenSSH 10.0 and 9.2 said

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use POSIX qw(mkfifo);
use Test::More;

use Sessions;

my $sanitize = '-fsanitize=address,undefined -fno-sanitize-recover=all';
my $tool = build('asan', 'CC=gcc', "CFLAGS='-O1 -g $sanitize'",
    'FILTER=sshd_log.c') . '/sshd-log';

my $dir = Sessions::workdir();
my $board = "$dir/tunnels";
my @reasons = qw(key user certificate protocol timeout limit connected closed);

my $noise = qr/^(?:Connection[ ]from|Accepted[ ]key|Accepted[ ]certificate
    |Postponed|User[ ]child|srclimit|Transferred|Closing)/x;

sub empty_board {
    spew($board, pack('L2', 0x3174706d, 128) . "\0" x (4096 - 8));
    truncate $board, 4096 + 128 * 65536 or die "$board: $!\n";
}

# Returns what is passed on, and what was counted, as "reason=1 ...".

sub filter {
    my ($text, $file) = @_;

    empty_board();
    spew("$dir/lines", $text);

    my $out = `'$tool' '@{[ $file // $board ]}' < '$dir/lines' 2>&1`;
    my @counts = unpack 'Q8', substr slurp($board), 8, 64;

    return ($out, join ' ', map { "$reasons[$_]=$counts[$_]" }
        grep { $counts[$_] } 0 .. 7);
}


# one connection each, as sshd told it

my @cases = do { local $/ = ''; <DATA> };

for (@cases) {
    my ($title, $counted, @lines) = split /\n/;
    my ($out, $count) = filter(join '', map { "$_\r\n" } @lines);

    is($count, $counted eq '-' ? '' : $counted, "$title: $counted");
    is($out, join('', map { "$_\n" } grep { !/$noise/ } @lines),
        '... and the lines are passed on, less what tells nothing');
}

my ($all, $count) = filter(join '', map { my (undef, undef, @lines)
    = split /\n/; map { "$_\r\n" } @lines } @cases);
is($count, 'key=5 user=2 certificate=1 protocol=4 timeout=2 limit=7 closed=4',
    'all of them in a row count the same');


# anything else

for (["no line feed", 'abc', "abc\n"], ['no line', '', ''],
    ['empty lines', "\n\r\n\n", "\n\n\n"], ['a CR within', "a\rb\r\r\n",
    "a\rb\n"], ['a penalty', "srclimit_penalise: ipv4: new 192.0.2.1/32 " .
    "deferred penalty of 90 seconds for penalty: crash\n", "srclimit_penalise: "
    . "ipv4: new 192.0.2.1/32 deferred penalty of 90 seconds for penalty: "
    . "crash\n"], ['what sessions tells itself',
    "mm_reap: preauth child terminated by signal 15\r\nPAM: pam_open_session(): "
    . "Cannot make/remove an entry for the specified session\r\n", ''],
    ['that there is no pam_sessions.so',
    "PAM: pam_open_session(): Module is unknown\r\n",
    "PAM: pam_open_session(): Module is unknown\n"])
{
    my ($title, $in, $expected) = @$_;
    is_deeply([ filter($in) ], [$expected, ''], $title);
}

my ($long) = filter('x' x 100_000 . "\nend\n");
like($long, qr/\A[x\n]+\nend\n\z/, 'a line without end is passed on');
is($long =~ tr/x//, 100_000, '... whole');

my ($binary) = filter(join '', map { chr($_ % 256) } 0 .. 70_000);
ok(length $binary > 60_000, 'bytes of any kind are passed on');

my ($user) = filter("Invalid user Connection closed by x from a port 1\n");
is((filter("Invalid user drop connection #1 from a port 1\n"))[1], '',
    'a name cannot look like a line');

my $more = 'logging rate-limited: additional';

for ("kex_exchange_identification: client sent invalid protocol identifier "
    . "\"hello $more 2000000 b\"", "Received disconnect from 127.0.0.1 port 1:"
    . "11: M $more 5 connections dropped", "Invalid user M $more 5 connections "
    . "dropped from 127.0.0.1 port 1", "M $more 5 connections dropped x",
    "M $more -1 connections dropped", " $more 5 connections dropped",
    "M $more 4294967296 connections dropped",
    "M $more 99999999999999999999 connections dropped")
{
    is((filter("$_\n"))[1], '', 'nothing is counted of: ' . substr $_, 0, 60);
}

is((filter("M $more 4294967295 connections dropped\n"))[1],
    'limit=4294967295', 'as many can be dropped as sshd can tell');

like((filter("drop connection #1 x\n", "$dir/none"))[0], qr/^drop/,
    'without a board the lines are passed on');
spew("$dir/short", 'no board');
like((filter("drop connection #1 x\n", "$dir/short"))[0], qr/^drop/,
    '... and with one that is none');


# at once, and by a board that comes later

unlink $board;
mkfifo("$dir/in", 0600) or die "fifo: $!\n";
open my $out, '-|', "exec '$tool' '$board' < '$dir/in'" or die "$!\n";
open my $in, '>', "$dir/in" or die "$!\n";
syswrite $in, "drop connection #1 x\r\nhalf";
is(scalar readline $out, "drop connection #1 x\n",
    'a line is passed on at once');
empty_board();
syswrite $in, " a line\ndrop connection #2 x\n";
is(scalar readline $out, "half a line\n", '... whole');
readline $out;
is(unpack('Q', substr slurp($board), 8 + 8 * 5, 8), 1,
    'a board that comes later is used');
empty_board();
syswrite $in, "drop connection #3 x\n";
readline $out;
is(unpack('Q', substr slurp($board), 8 + 8 * 5, 8), 1, '... and a new one');
close $in;
is(readline $out, undef, 'the end of its input is its own');
ok(close $out, '... and no mistake');

`'$tool' > '$dir/usage' 2>&1`;
is($? >> 8, 100, 'wrong usage');
like(slurp("$dir/usage"), qr/^usage: sshd-log BOARD/, '... gets the right one');

done_testing();

__DATA__
a login
-
Connection from 127.0.0.1 port 42924 on 127.0.0.1 port 2222 rdomain ""
Accepted key ED25519 SHA256:tmwtTpQ/T1yw found at /tmp/c/ak:1
Postponed publickey for monitoring from 127.0.0.1 port 42924 ssh2 [preauth]
Accepted key ED25519 SHA256:tmwtTpQ/T1yw found at /tmp/c/ak:1
Accepted publickey for monitoring from 127.0.0.1 port 42924 ssh2: ED25519 SHA256:tmwtTpQ/T1yw
User child is on pid 30
Received disconnect from 127.0.0.1 port 42924:11: disconnected by user
Disconnected from user monitoring 127.0.0.1 port 42924

a login whose end is a lost connection
-
Connection from 127.0.0.1 port 42080 on 127.0.0.1 port 2222 rdomain ""
Accepted publickey for monitoring from 127.0.0.1 port 42080 ssh2: ED25519 SHA256:tmwtTpQ/T1yw
User child is on pid 225
Received request from 127.0.0.1 port 42080 to remote forward to host localhost port 20002, but the request was denied.
Connection closed by 127.0.0.1 port 42080
Transferred: sent 3180, received 3476 bytes
Closing connection to 127.0.0.1 port 42080

let in by the third key
-
Connection from 127.0.0.1 port 42926 on 127.0.0.1 port 2222 rdomain ""
Failed publickey for monitoring from 127.0.0.1 port 42926 ssh2: ED25519 SHA256:2pNIFsGbA+4m
Failed publickey for monitoring from 127.0.0.1 port 42926 ssh2: ED25519 SHA256:hpCR9505wGrp
Accepted publickey for monitoring from 127.0.0.1 port 42926 ssh2: ED25519 SHA256:tmwtTpQ/T1yw
User child is on pid 36
Disconnected from user monitoring 127.0.0.1 port 42926

let in by a certificate
-
Connection from 127.0.0.1 port 44838 on 127.0.0.1 port 2222 rdomain ""
Accepted certificate ID "id h1" (serial 0) signed by ED25519 CA SHA256:NTzPruS6bOs7 via /tmp/c/ca.pub
Postponed publickey for monitoring from 127.0.0.1 port 44838 ssh2 [preauth]
Accepted publickey for monitoring from 127.0.0.1 port 44838 ssh2: ED25519-CERT SHA256:2pNIFsGbA+4m ID id h1 (serial 0) CA ED25519 SHA256:NTzPruS6bOs7

two wrong keys are one
key=1
Connection from 127.0.0.1 port 42942 on 127.0.0.1 port 2222 rdomain ""
Failed publickey for monitoring from 127.0.0.1 port 42942 ssh2: ED25519 SHA256:2pNIFsGbA+4m
Failed publickey for monitoring from 127.0.0.1 port 42942 ssh2: ED25519 SHA256:hpCR9505wGrp
Connection closed by authenticating user monitoring 127.0.0.1 port 42942 [preauth]
srclimit_penalise: ipv4: new 127.0.0.1/32 deferred penalty of 0 seconds for penalty: failed authentication

too many wrong keys are one
key=1
Connection from 127.0.0.1 port 42954 on 127.0.0.1 port 2222 rdomain ""
Failed publickey for monitoring from 127.0.0.1 port 42954 ssh2: ED25519 SHA256:gjSur2rszSGn
maximum authentication attempts exceeded for monitoring from 127.0.0.1 port 42954 ssh2 [preauth]
Disconnecting authenticating user monitoring 127.0.0.1 port 42954: Too many authentication failures [preauth]

no key at all
key=1
Connection from 127.0.0.1 port 42982 on 127.0.0.1 port 2222 rdomain ""
Connection closed by authenticating user monitoring 127.0.0.1 port 42982 [preauth]

a short RSA key
key=1
Connection from 127.0.0.1 port 53162 on 127.0.0.1 port 2222 rdomain ""
refusing RSA key: Invalid key length [preauth]
Connection closed by authenticating user monitoring 127.0.0.1 port 53162 [preauth]

a client that says goodbye
key=1
Connection from 127.0.0.1 port 53163 on 127.0.0.1 port 2222 rdomain ""
Received disconnect from 127.0.0.1 port 53163:14: No supported authentication methods available [preauth]
Disconnected from authenticating user monitoring 127.0.0.1 port 53163 [preauth]

another user, which there is
user=1
Connection from 127.0.0.1 port 42958 on 127.0.0.1 port 2222 rdomain ""
User root from 127.0.0.1 not allowed because not listed in AllowUsers
Connection closed by invalid user root 127.0.0.1 port 42958 [preauth]

another user, which there isn't
user=1
Connection from 127.0.0.1 port 42966 on 127.0.0.1 port 2222 rdomain ""
Invalid user nobody-such from 127.0.0.1 port 42966
Connection closed by invalid user nobody-such 127.0.0.1 port 42966 [preauth]

a certificate, and its key behind it
certificate=1
Connection from 127.0.0.1 port 53082 on 127.0.0.1 port 2222 rdomain ""
Certificate invalid: expired
Failed publickey for monitoring from 127.0.0.1 port 53082 ssh2: ED25519-CERT SHA256:2pNIFsGbA+4m ID id h1 (serial 0) CA ED25519 SHA256:NTzPruS6bOs7
Failed publickey for monitoring from 127.0.0.1 port 53082 ssh2: ED25519 SHA256:2pNIFsGbA+4m
Connection closed by authenticating user monitoring 127.0.0.1 port 53082 [preauth]

a certificate, and then a key that is let in
-
Connection from 127.0.0.1 port 53156 on 127.0.0.1 port 2222 rdomain ""
Certificate does not contain an authorized principal
Failed publickey for monitoring from 127.0.0.1 port 53156 ssh2: ED25519-CERT SHA256:2pNIFsGbA+4m ID id h2 (serial 0) CA ED25519 SHA256:NTzPruS6bOs7
Accepted publickey for monitoring from 127.0.0.1 port 53156 ssh2: ED25519 SHA256:tmwtTpQ/T1yw
Disconnected from user monitoring 127.0.0.1 port 53156

what speaks no ssh
protocol=1
Connection from 127.0.0.1 port 40752 on 127.0.0.1 port 2222 rdomain ""
kex_exchange_identification: client sent invalid protocol identifier "GET / HTTP/1.0"
banner exchange: Connection from 127.0.0.1 port 40752: invalid format
srclimit_penalise: ipv4: new 127.0.0.1/32 deferred penalty of 0 seconds for penalty: connections without attempting authentication

what speaks an old one
protocol=1
Connection from 127.0.0.1 port 40794 on 127.0.0.1 port 2222 rdomain ""
Protocol major versions differ: 2 vs. 1
banner exchange: Connection from 127.0.0.1 port 40794: could not read protocol version

what stops speaking it
protocol=1
Connection from 127.0.0.1 port 40780 on 127.0.0.1 port 2222 rdomain ""
Bad packet length 2396193613. [preauth]
ssh_dispatch_run_fatal: Connection from 127.0.0.1 port 40780: message authentication code incorrect [preauth]

no algorithm that both have
protocol=1
Connection from 127.0.0.1 port 40808 on 127.0.0.1 port 2222 rdomain ""
Unable to negotiate with 127.0.0.1 port 40808: no matching cipher found. Their offer: aes128-cbc [preauth]

too slow
timeout=1
Connection from 127.0.0.1 port 40826 on 127.0.0.1 port 2222 rdomain ""
Timeout before authentication for connection from 127.0.0.1 to 127.0.0.1, pid = 113
srclimit_penalise: ipv4: new 127.0.0.1/32 deferred penalty of 0 seconds for penalty: exceeded LoginGraceTime

too slow, as 9.2 tells it
timeout=1
Timeout before authentication for 127.0.0.1 port 40826

too many, and more of them than are told
limit=6
drop connection #3 from [127.0.0.1]:53198 on [127.0.0.1]:2222 Maxstartups
Maxstartups logging rate-limited: additional 5 connections dropped

too many, as 9.2 tells it
limit=1
drop connection #3 from [127.0.0.1]:53198 on [127.0.0.1]:2222 past MaxStartups

left at once
closed=1
Connection from 127.0.0.1 port 40754 on 127.0.0.1 port 2222 rdomain ""
kex_exchange_identification: Connection closed by remote host
Connection closed by 127.0.0.1 port 40754

cut off at once
closed=1
Connection from 127.0.0.1 port 40756 on 127.0.0.1 port 2222 rdomain ""
kex_exchange_identification: read: Connection reset by peer
Connection reset by 127.0.0.1 port 40756

left, as it doesn't know the host key
closed=1
Connection from 127.0.0.1 port 40742 on 127.0.0.1 port 2222 rdomain ""
Connection closed by 127.0.0.1 port 40742 [preauth]

cut off a bit later
closed=1
Connection from 127.0.0.1 port 40770 on 127.0.0.1 port 2222 rdomain ""
Connection reset by 127.0.0.1 port 40770 [preauth]
