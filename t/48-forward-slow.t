#!/usr/bin/perl

# t/48-forward-slow.t: tunnels of which nobody reads: the buffers that go from
# one to the next keep apart what is in them

use warnings;
use strict;

use FindBin;
use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my (@children, @groups);

END {
    my $status = $?;
    kill 'KILL', @children, map { -$_ } @groups;
    $? = $status;
}

$SIG{PIPE} = 'IGNORE';


# says all that it hears, and hears nothing more until that is taken

sub echo {
    my ($s) = @_;

    while (sysread $s, my $text, 65536) {
        my $done = 0;

        while ($done < length $text) {
            $done += syswrite($s, $text, length($text) - $done, $done)
                // POSIX::_exit(1);
        }
    }
}

my $listen = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
    Listen => 100) or die "target: $@\n";
my $target = '127.0.0.1:' . $listen->sockport;

# smaller ones are less than a packet of lo, and slow for that

setsockopt $listen, SOL_SOCKET, SO_RCVBUF, 262144;

# with a process for each connection, which must not outlive this one

push @groups, fork // die "fork: $!\n";

if ($groups[-1] == 0) {
    setpgrp;
    $SIG{CHLD} = 'IGNORE';

    while (1) {
        my $s = $listen->accept or next;
        next if fork // 1;
        close $listen;
        echo($s);
        POSIX::_exit(0);
    }
}

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my %port = map { $_ => free_port() } qw(plain tls);

system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
    . "-days 2 -subj /CN=localhost -keyout $dir/localhost.key "
    . "-out $dir/localhost.crt 2>$dir/openssl.log") == 0
    or die 'openssl: ' . Nginx::slurp("$dir/openssl.log");

$nginx->configure(targets => '',
    main => "prom_forward bastion { allow $target; verify off; }",
    stream => <<"END",
upstream prom_forward { prom_forward_peer; }
server {
    listen 127.0.0.1:$port{plain} sndbuf=256k rcvbuf=256k;
    prom_forward bastion;
    proxy_pass prom_forward;
    proxy_buffer_size 4k;
}
server {
    listen 127.0.0.1:$port{tls} ssl sndbuf=256k rcvbuf=256k;
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
    prom_forward bastion;
    proxy_pass prom_forward;
    proxy_buffer_size 4k;
}
END
)->start;


# a socket with a client of TLS behind it

sub by_tls {
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";

    push @children, fork // die "fork: $!\n";
    return $ours if $children[-1];

    close $ours;
    open STDIN, '<&', $theirs or die "stdin: $!\n";
    open STDOUT, '>&', $theirs or die "stdout: $!\n";
    open STDERR, '>', "$dir/client.log" or die "stderr: $!\n";
    exec 'openssl', 's_client', '-quiet', '-connect',
        "127.0.0.1:$port{tls}" or POSIX::_exit(1);
}

sub tunnel {
    my ($how) = @_;

    my $s = $how eq 'tls' ? by_tls() : IO::Socket::IP->new(
        PeerHost => '127.0.0.1', PeerPort => $port{plain}) // die "$@\n";

    syswrite $s, "CONNECT $target HTTP/1.1\r\nHost: $target\r\n\r\n";

    my $text = '';
    1 while $text !~ /\r\n\r\n\z/ && sysread $s, $text, 1, length $text;

    $text =~ /\AHTTP\/1\.1 200 / or die "no tunnel: $text\n";
    $s->blocking(0);

    return $s;
}

# what a tunnel says from a place on: no two say the same anywhere

sub text {
    my ($number, $from, $len) = @_;

    my $first = int $from / 16;
    my $text = join '', map { sprintf "%02d %012d\n", $number, $_ }
        $first .. $first + $len / 16 + 1;

    return substr $text, $from % 16, $len;
}

# Each in turn, until none takes any more; returns how much each has taken.

sub fill {
    my (@tunnels) = @_;

    my @sent = (0) x @tunnels;
    my $last = time;

    while (time - $last < 0.5 * $slow) {
        for my $i (0 .. $#tunnels) {
            my $n = syswrite $tunnels[$i], text($i, $sent[$i], 50_000);
            next if !$n;
            $sent[$i] += $n;
            $last = time;
        }

        sleep 0.01 if time - $last > 0.01;
    }

    return @sent;
}

# Reads in turn, too; returns the numbers of those that had all, and just that.

sub drain {
    my ($tunnels, @sent) = @_;

    my @got = (0) x @$tunnels;
    my %wrong;
    my $until = time + 30 * $slow;

    while (grep({ $got[$_] < $sent[$_] && !$wrong{$_} } 0 .. $#sent)
        && time < $until)
    {
        IO::Select->new(@$tunnels)->can_read(1);

        for my $i (0 .. $#sent) {
            my $n = sysread $tunnels->[$i], my $text, 50_000;
            next if !$n;
            $wrong{$i} = 1 if $text ne text($i, $got[$i], $n);
            $got[$i] += $n;
        }
    }

    return grep { $got[$_] == $sent[$_] && !$wrong{$_} } 0 .. $#sent;
}


for my $how (qw(plain tls)) {
    my @tunnels = map { tunnel($how) } 1 .. 3;
    my @sent = fill(@tunnels);

    cmp_ok((sort { $a <=> $b } @sent)[0], '>', 200_000,
        "$how: tunnels whose clients don't read take much");

    my $other = tunnel($how);
    syswrite $other, "hello\n";
    IO::Select->new($other)->can_read(10 * $slow);
    sysread $other, my $text, 100;
    is($text, "hello\n", '... and another goes on');

    is(join(' ', drain(\@tunnels, @sent)), '0 1 2',
        '... and each gives back what it took, and nothing else');

    syswrite $_, "once more\n" for @tunnels;
    my @once = map {
        IO::Select->new($_)->can_read(10 * $slow);
        sysread $_, my $line, 100;
        $line // '';
    } @tunnels;
    is(join('', @once), "once more\n" x 3, '... and goes on, too');

    # some end with bytes in their buffers

    fill(@tunnels);
    @tunnels = ();
    syswrite $other, "still there\n";
    IO::Select->new($other)->can_read(10 * $slow);
    sysread $other, $text, 100;
    is($text, "still there\n", '... nor do those matter that are cut');
}

# they don't end of themselves

kill 'KILL', splice @children, 1;

$nginx->finish;

done_testing();
