#!/usr/bin/perl

# t/05-pam-sessions.t: pam_sessions.so asks the service, does what it says, and
# refuses when it says nothing; loaded by PAM itself

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

use Sessions;

plan skip_all => 'the service is for root alone' if $> != 0;

my $root = "$FindBin::Bin/..";
my $dir = Sessions::workdir();
my $build = build('gcc', 'CC=gcc', "CFLAGS='-O2 -g $Sessions::user'");

system('sh', '-c', "cc -std=c17 -Wall -Wextra -Werror -O1 -g \\
    -o '$dir/pam_open' '$root/t/unit/pam_open.c' -lpam -lpthread") == 0
    or BAIL_OUT('cannot build pam_open');

mkdir "$dir/pam.d";

my $p = ports(4);
my @ports = ($p .. $p + 3);
my $socket = "$dir/answers.sock";

# without a kernel's limits all ports can be had

my $landlock = `make -s -C '$root/landlock' OUT='$dir/landlock-tcp';
    '$dir/landlock-tcp' --available && echo 1`;

sub stack {
    my ($path) = @_;

    spew("$dir/pam.d/sshd", "auth required pam_deny.so\n"
        . "session required $build/pam_sessions.so socket=$path\n");
}

# What pam_open says, in one line; of a login by this key.

sub opened {
    my ($info, $connection) = @_;

    stack($socket);
    my $said = join ' ', split /\s+/, `'$dir/pam_open' '$dir/pam.d' \\
        'publickey $info' '$connection' @ports 2> '$dir/stderr'`;

    return $said;
}

# The same, while a service answers this, in pieces.

sub answered {
    my ($answer, %o) = @_;

    unlink $socket;
    my $listen = IO::Socket::UNIX->new(Local => $socket, Listen => 4);
    pipe my $in, my $out or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my $conn = $listen->accept;
        syswrite $out, readline($conn) // '';
        close $out;
        $SIG{PIPE} = 'IGNORE';
        syswrite $conn, $_ for $answer =~ /(.{1,7})/gs;
        sleep 20 if $o{silent};
        POSIX::_exit(0);
    }

    close $out;
    close $listen;

    my $said = opened('ssh-ed25519 AAAA+/==', '192.0.2.1 5 192.0.2.2 22');
    my $asked = join '', readline $in;

    kill KILL => $pid;
    waitpid $pid, 0;
    unlink $socket;

    return wantarray ? ($said, $asked) : $said;
}

sub limited {
    my (@may) = @_;

    my %may = map { $_ => 1 } @may;
    return join ' ', 'success', map { ($_,
        $may{$_} || !$landlock ? 'yes' : 'no') } @ports;
}

my $free = join ' ', map { "$_ yes" } @ports;


my ($said, $asked) = answered("ok host\n$p\n");

like($asked, qr/^open \d+ ssh-ed25519 AAAA\+\/== 192\.0\.2\.1 5\n\z/,
    'it asks as the protocol has it');
is($said, limited($p), 'a session is limited to its port');
is(answered("ok host\n$ports[1]-$ports[2]\n"), limited(@ports[1, 2]),
    '... to a range of them');
is(answered("ok -\n$p\n" . join('', map { "$_\n" } 30000 .. 34000)
    . "$ports[3]\n"), limited(@ports[0, 3]), '... to a long list');
is(answered("ok host\n"), limited(), '... to none');
is(answered("ok -\n*\n"), "success $free", '... or not at all');

is(answered("no because\n"), "failure $free", 'no is no');
is(slurp("$dir/stderr"), '', '... and told by the service, not here');

for (["nothing", ''], ["half a line", 'ok'], ["garbage", "\0\1\2garbage\n"],
    ["something else", "yes\n"], ["a line without end", 'o' x 100_000],
    ['much without end', "ok x\n" . 'x' x 100_000])
{
    is(answered($_->[1]), "failure $free", "$_->[0] is no answer");
    like(slurp("$dir/stderr"), qr/^session refused: \S+: [A-Z].*\r\n\z/,
        '... and told in a line');
}

SKIP: {
    skip 'the kernel has no limits', 3 if !$landlock;

    for ("ok x\n0\n", "ok x\n70000\n", "ok x\n$p") {
        is(answered($_), "failure $free", 'what is no port is no answer');
    }
}

# sshd's processes after that: one that nobody says yes to doesn't go on

my $start = time;
{
    local $ENV{PAM_OPEN_STAY} = 1;
    local $SIG{ALRM} = sub { die "it stays\n" };
    alarm 20;
    is(answered("no because\n"), "failure $free", 'a session with a no');
    alarm 0;
}
my $took = time - $start;
ok($took > 2 && $took < 8, '... is ended in time, with its child') or diag $took;

$start = time;
is(answered('', silent => 1), "failure $free", 'a service that is silent');
$took = time - $start;
ok($took > 14 && $took < 17, '... is waited for, 15 s') or diag $took;

$start = time;
is(opened('ssh-ed25519 AAAA', '192.0.2.1 5 192.0.2.2 22'), "failure $free",
    'a service that isn\'t there');
$took = time - $start;
ok($took > 4.5 && $took < 7, '... is tried for 5 s') or diag $took;

# one that comes meanwhile

my $later = fork // die "fork: $!\n";

if ($later == 0) {
    select undef, undef, undef, 1;
    my $listen = IO::Socket::UNIX->new(Local => $socket, Listen => 4);
    my $conn = $listen->accept;
    readline $conn;
    syswrite $conn, "ok host\n$p\n";
    POSIX::_exit(0);
}

is(opened('ssh-ed25519 AAAA', '192.0.2.1 5 192.0.2.2 22'), limited($p),
    'one that is started meanwhile is found');
waitpid $later, 0;

for (["ssh-ed25519 AA;AA", '192.0.2.1 5'], ['ssh-ed25519', '192.0.2.1 5'],
    ["ssh-ed25519 AAAA", ''], ['ssh-ed25519 AAAA', "1.2.3.4\n 5"],
    ['', '192.0.2.1 5'], ['ssh-ed25519 ' . 'A' x 40_000, '192.0.2.1 5'])
{
    is(opened(@$_), "failure $free", 'it asks nothing that is no login: '
        . substr("@$_", 0, 20) =~ s/\n/ /gr);
}


# with the service itself

my $s = Sessions->new(command => ["$build/sessions"],
    hosts => 'host-a ' . key('a') . " port=$p ports=x:1,y:2\n", keys => '');

$socket = "$s->{state}/sessions.sock";
is(opened(key('a'), '192.0.2.1 5 192.0.2.2 22'), limited(@ports[0, 1]),
    'a host has its ports and no other');
ok($s->logged(qr/^host-a: disconnected/m), '... and its end is seen');
is(opened(key('b'), '192.0.2.1 5 192.0.2.2 22'), "failure $free",
    'a key that is none of them has no session');

done_testing();
