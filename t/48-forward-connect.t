#!/usr/bin/perl

# t/48-forward-connect.t: tunnels by CONNECT: how they begin, what is refused
# and why, and how they end

use warnings;
use strict;

use FindBin;
use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Socket qw(SOCK_STREAM SHUT_WR SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Dns;
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my @children;

END {
    my $status = $?;
    kill 'KILL', @children;
    $? = $status;
}

$SIG{PIPE} = 'IGNORE';


# A target: each connection is handled by the sub, in a process of its own.

sub target {
    my ($handler, %o) = @_;

    my $listen = IO::Socket::IP->new(LocalHost => $o{host} // '127.0.0.1',
        LocalPort => 0, Listen => 1024) or die "target: $@\n";
    my $port = $listen->sockport;
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        $SIG{CHLD} = 'IGNORE';
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';

        while (1) {
            my $s = $listen->accept or next;
            next if fork // 1;
            close $listen;
            $handler->($s);
            POSIX::_exit(0);
        }
    }

    push @children, $pid;

    return $port;
}

sub echo {
    my ($s) = @_;

    while (sysread $s, my $text, 65536) {
        syswrite $s, $text;
    }
}

# What a text that ends by a half-close comes back as, which is half-closed,
# too, only then.

sub reversed {
    my ($s) = @_;

    my $all = '';
    1 while sysread $s, $all, 65536, length $all;
    syswrite $s, scalar reverse $all;
}

# says all it has at once, and then listens until the other end is done

sub talker {
    my ($s) = @_;

    syswrite $s, "all I have\n";
    shutdown $s, SHUT_WR;
    my $all = '';
    1 while sysread $s, $all, 65536, length $all;
    open my $fh, '>', "$ENV{MP_HEARD}.new";
    print $fh $all;
    close $fh;
    rename "$ENV{MP_HEARD}.new", $ENV{MP_HEARD};
}

# one whose queue is full: it answers no connection, and refuses none

my @full;

sub silent {
    my $listen = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
        Listen => 1) or die "silent: $@\n";

    push @full, $listen, map { IO::Socket::IP->new(PeerHost => '127.0.0.1',
        PeerPort => $listen->sockport, Blocking => 0) } 1 .. 8;
    sleep 0.1;

    return $listen->sockport;
}


my $nginx = Nginx->new;
my $heard = $ENV{MP_HEARD} = $nginx->dir . '/heard';
my ($echo, $reversed, $talker) = map { target($_) } \&echo, \&reversed,
    \&talker;
my ($silent, $closed) = (silent(), free_port());
my ($v6) = eval { target(\&echo, host => '::1') };
my $denied = target(\&echo);

my $dns = Dns->new('db.test' => '127.0.0.1', 'bad.test' => '127.0.0.2',
    'two.test' => '127.0.0.3 127.0.0.1', 'quiet.test' => 'silence',
    'calm.test' => 'silence', 'still.test' => 'silence',
    'off.test' => '127.0.0.1', 'metadata.test' => '169.254.169.254');
my %port = map { $_ => free_port() } qw(plain tls idle short small alone);

sub certificate {
    my ($dir, $name) = @_;

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        . "-nodes -days 2 -subj /CN=$name -addext subjectAltName=DNS:$name "
        . "-keyout $dir/$name.key -out $dir/$name.crt 2>$dir/openssl.log")
        == 0 or die "openssl: " . Nginx::slurp("$dir/openssl.log");
}

certificate($nginx->dir, 'localhost');

my $allowed = join ' ', (map { "127.0.0.1:$_" } $echo, $reversed, $talker,
    $silent, $closed), "127.0.0.3:$echo", "[::1]:" . ($v6 // 1),
    "*.test:1-65535", "!off.test";

my $block = "allow $allowed; resolver 127.0.0.1:" . $dns->port
    . " valid=1s ipv6=off; resolver_timeout 500ms; verify off;";

$nginx->configure(
    targets => "", connections => 6000,
    main => "prom_forward bastion { $block connect_timeout 500ms;"
        . "zone tunnels 1m; }"
        . "prom_forward patient { $block connect_timeout 20s; }"
        . "prom_forward short { $block total 700ms; }",
    stream => <<"END",
log_format tunnels '\$server_port \$prom_forward_target '
    '\$prom_forward_address \$prom_forward_decision \$status \$prom_forward_rule';
access_log %%DIR%%/logs/tunnels.log tunnels;
proxy_half_close on;
proxy_timeout 60s;
upstream prom_forward { prom_forward_peer; }
server {
    listen 127.0.0.1:$port{plain};
    prom_forward bastion;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{tls} ssl;
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
    prom_forward bastion;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{idle};
    proxy_timeout 1s;
    prom_forward patient;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{short};
    prom_forward short;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{small};
    preread_buffer_size 512;
    preread_timeout 500ms;
    prom_forward bastion;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{alone};
    proxy_pass prom_forward;
}
END
)->start;


# connects, and says something

sub opened {
    my ($text, $where) = @_;

    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
        PeerPort => $port{$where // 'plain'}, Timeout => 5) or die "$@\n";
    syswrite $s, $text if defined $text;

    return $s;
}

sub head {
    my ($target) = @_;

    return "CONNECT $target HTTP/1.1\r\nHost: $target\r\n\r\n";
}

# Reads until the sub is content with the text, or the end.

sub read_until {
    my ($s, $done, $seconds) = @_;

    my ($text, $end) = ('', time + ($seconds // 10) * $slow);
    my $select = IO::Select->new($s);

    while (!$done->($text)) {
        return "$text (late)" if !$select->can_read($end - time);

        # what is behind a head stays there

        my $n = sysread $s, $text, 1, length $text;
        return "$text (reset)" if !defined $n;
        last if !$n;
    }

    return $text;
}

sub read_head { read_until($_[0], sub { $_[0] =~ /\r\n\r\n\z/ }) }
sub read_line { read_until($_[0], sub { $_[0] =~ /\n\z/ }) }
sub read_all { read_until($_[0], sub { 0 }, $_[1]) }

sub ask {
    my ($text, $where) = @_;

    my $s = opened($text, $where);

    return (read_head($s) =~ s/\r\n.*//sr, $s);
}

# a tunnel that is up

sub tunnel {
    my ($port, $where) = @_;

    my ($line, $s) = ask(head("127.0.0.1:$port"), $where);

    $line =~ /\AHTTP\/1\.1 200 / or die "no tunnel: $line\n";
    return $s;
}

my $seen = 0;

# the next lines of the log, as soon as there is one that matches

sub logged {
    my ($pattern) = @_;

    my $log;

    my $found = await(sub {
        $log = substr Nginx::slurp($nginx->dir . '/logs/tunnels.log'), $seen;
        return $log =~ /^(.*$pattern.*\n)/m;
    }, 10 * $slow);

    $seen += length $log if $found;

    return $log;
}

sub refused {
    my ($target, $line, $promise, $where) = @_;

    my ($got, $s) = ask(head($target), $where);
    is($got, "HTTP/1.1 $line", $promise);
}


# how it begins

my ($line, $s) = ask(head("127.0.0.1:$echo"));
is($line, 'HTTP/1.1 200 Connection established', 'a tunnel is made');
syswrite $s, "ping\n";
is(read_line($s), "ping\n", 'and is there both ways');
close $s;
is(logged($echo), "$port{plain} 127.0.0.1:$echo 127.0.0.1:$echo allowed 200 "
    . "allow 127.0.0.1:$echo\n", 'it has a line in the log');

$s = opened(head("127.0.0.1:$echo") . "early\n");
is(read_until($s, sub { $_[0] =~ /early\n/ }),
    "HTTP/1.1 200 Connection established\r\n\r\nearly\n",
    'nothing is lost that came right behind the head');

$s = opened();
syswrite $s, $_ for split //, head("127.0.0.1:$echo");
like(read_head($s), qr/\AHTTP\/1\.1 200 /, 'a head in single bytes');

$s = opened("CONNECT 127.0.0.1:$echo HTTP/1.0\n\n");
like(read_head($s), qr/\AHTTP\/1\.1 200 /, 'HTTP/1.0, with bare LFs');

SKIP: {
    skip 'no IPv6 here', 1 if !$v6;
    ($line, $s) = ask(head("[::1]:$v6"));
    is($line, 'HTTP/1.1 200 Connection established', 'to an IPv6 address');
}

($line, $s) = ask(head("db.test:$echo"));
is($line, 'HTTP/1.1 200 Connection established', 'to a name');
close $s;
like(logged('db\.test'), qr/^\S+ db\.test:$echo 127\.0\.0\.1:$echo allowed /m,
    'whose address is in the log');

($line, $s) = ask(head("two.test:$echo"));
is($line, 'HTTP/1.1 200 Connection established',
    'to the second address of a name, if the first is dead');

my $twice = head("127.0.0.1:$echo");
$s = opened($twice . $twice);
read_head($s);
is(read_head($s), $twice, 'a second request is the target\'s');


# what is refused

for my $where (qw(plain tls)) {
    my $options = "-sS -m 20 --proxytunnel -o /dev/null -w '%{http_connect}' "
        . "--proxy-cacert " . $nginx->dir . "/localhost.crt";
    my $scheme = $where eq 'tls' ? 'https' : 'http';

    my $said = `curl $options --proxy $scheme://localhost:$port{$where} \\
        http://127.0.0.1:$denied/ 2>&1`;
    like($said, qr/\b403/, "curl is told, $where");
}

refused("127.0.0.1:$denied", "403 127.0.0.1:$denied is not allowed: "
    . "127.0.0.1 is loopback, which a rule has to name exactly",
    'an address that no rule names');
refused("192.0.2.1:80", "403 192.0.2.1:80 is not allowed: no rule is for "
    . '192.0.2.1', 'another');
refused("off.test:$echo", "403 off.test:$echo is denied by rule",
    'a name that is denied');
refused("metadata.test:80", '403 metadata.test:80 is not allowed: '
    . '169.254.169.254 is metadata service, which a rule has to name exactly',
    'a name that leads to where no name may');
refused("none.test:80", '502 none.test:80: Host not found',
    'a name without an address');
refused("quiet.test:80", '502 quiet.test:80: Operation timed out',
    'a name server without an answer');
refused("127.0.0.1:$closed",
    "502 connect to 127.0.0.1:$closed: connection refused",
    'a port that nobody listens on');
refused("two.test:$closed",
    "502 connect to two.test:$closed (127.0.0.1:$closed): connection refused",
    'which of a name\'s addresses was the last');
refused("127.0.0.1:$silent",
    "504 connect to 127.0.0.1:$silent: connection timed out",
    'a target that doesn\'t answer');
refused('127.0.0.1', '400 the target has no port; it is HOST:PORT',
    'no port');
refused('0x7f.1:80', '400 a target is a name, an IPv4 address of four decimal '
    . 'numbers, or an IPv6 address in brackets', 'another notation');
refused('u:p@a:1', '400 the target has a user; it is HOST:PORT', 'a user');

my $all = logged('u:p@a:1');
like($all, qr/^\S+ 127\.0\.0\.1:$denied - special 403 /m,
    'the log has the decision: special');
like($all, qr/^\S+ 192\.0\.2\.1:80 - denied 403 /m, 'denied');
like($all, qr/^\S+ off\.test:$echo - denied 403 \S*\s?!off\.test$/m,
    'and the rule');
like($all, qr/^\S+ none\.test:80 - unresolved 502 /m, 'unresolved');
like($all, qr/:$closed 127\.0\.0\.1:$closed unreachable 502 /,
    'unreachable');
like($all, qr/:$silent 127\.0\.0\.1:$silent late 504 /, 'late');
like($all, qr/^\S+ u:p\@a:1 - bad 400 -$/m, 'bad');

for ([ "CONNECT a:1\r\n\r\n",
        'the first line is not CONNECT HOST:PORT HTTP/1.1' ],
    [ "CONNECT a:1 HTTP/2.0\r\n\r\n", 'the version is none of HTTP/1' ],
    [ "CONNECT a:1 HTTP/1.1\r\n\r\n", 'there is no Host header' ],
    [ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        'a header is not NAME: VALUE' ],
    [ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        'CONNECT has no body, and no Content-Length but 0' ])
{
    my ($head, $reason) = @$_;
    is(read_all(opened($head)) =~ s/Content-Length: \d+\r\n//r,
        "HTTP/1.1 400 $reason\r\nContent-Type: text/plain\r\n"
        . "Connection: close\r\n\r\n$reason\n", "a bad head: $reason");
}

# what a target would not read must not keep the refusal from being read

$s = opened(head("127.0.0.1:$denied") . 'x' x 100_000);
like(read_all($s), qr/\AHTTP\/1\.1 403 .*exactly\n\z/s,
    'early data doesn\'t reset the connection under the refusal');

like(read_all(opened('CONNECT a:1 HTTP/1.1' . "\r\nX: " . 'x' x 600, 'small')),
    qr/\AHTTP\/1\.1 431 the head of the request is too large\r\n/,
    'a head that is too large');

my $start = time;
$s = opened("CONNECT a:1 HTTP/1.1\r\nHo", 'small');
my $drip = fork // die;

if ($drip == 0) {
    for (1 .. 100) {
        syswrite $s, 'o';
        sleep 0.1;
    }

    POSIX::_exit(0);
}

like(read_all($s),
    qr/\AHTTP\/1\.1 408 the head of the request came too slowly\r\n/,
    'a head that drips');
cmp_ok(time - $start, '<', 5 * $slow, '... has its time in all');
kill 'KILL', $drip;
waitpid $drip, 0;

is(read_all(opened(undef, 'small')), '', 'who says nothing hears nothing');
is(read_all(opened(undef, 'alone')), '',
    'without prom_forward there is nothing to pass');
like($nginx->log, qr/"prom_forward" has the targets that "prom_forward" has /,
    'which the log tells');


# how it ends

$s = tunnel($reversed);
syswrite $s, 'stressed';
shutdown $s, SHUT_WR;
is(read_all($s), 'desserts', 'a client that half-closes has its answer');

my $large = join '', map { "$_ " } 1 .. 50_000;
$s = tunnel($reversed);

if ((fork // die) == 0) {
    syswrite $s, $large, 10_000, $_ * 10_000
        for 0 .. int(length($large) / 10_000);
    shutdown $s, SHUT_WR;
    POSIX::_exit(0);
}

ok(read_all($s) eq reverse($large), '... as has one that says much');

$s = tunnel($talker);
is(read_all($s), "all I have\n", 'a target that half-closes is heard');
syswrite $s, 'and more';
close $s;
ok(await(sub { Nginx::slurp($heard) eq 'and more' }, 10 * $slow),
    '... and hears the client');

$s = tunnel($echo, 'idle');
my $left = tunnel($echo, 'idle');
$start = time;

for (1 .. 4) {
    sleep 0.4;
    syswrite $s, "$_\n";
    $line = read_line($s);
}

is($line, "4\n", 'a tunnel that drips is not idle');
is(read_all($left), '', 'one that is idle is closed');
is(read_all($s), '', 'as is the other then');

$s = tunnel($echo, 'short');
$start = time;
my $said = '';

while (time - $start < 10 * $slow) {
    syswrite $s, 'x';
    my $n = sysread $s, $said, 100;
    last if !$n;
    sleep 0.05;
}

cmp_ok(time - $start, '<', 5 * $slow, 'a busy tunnel ends after its time');
like($nginx->log, qr/the tunnel to 127\.0\.0\.1:$echo is closed after its /,
    'which the log tells');

# who leaves

$seen = length Nginx::slurp($nginx->dir . '/logs/tunnels.log');
$s = opened(head("127.0.0.1:$silent"), 'idle');
sleep 0.3;
$start = time;
close $s;
like(logged("$silent.* 499"), qr/allowed 499/, 'a client leaves the dial');
cmp_ok(time - $start, '<', 5 * $slow, '... which ends at once');

$s = opened(head("127.0.0.1:$silent"), 'idle');
sleep 0.1;
setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
close $s;
like(logged("$silent.* 499"), qr/allowed 499/, 'or by a reset');

$s = opened(head("calm.test:80"));
sleep 0.1;
close $s;
like(logged('calm\.test'), qr/calm\.test:80 - - 499 /,
    'a client leaves while its name is resolved');

$s = tunnel($echo);
setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
close $s;
like(logged($echo), qr/allowed 200/, 'a tunnel that is reset');


# TLS

sub s_client {
    my ($input, $seconds) = @_;

    $nginx->write('input', $input);
    my $dir = $nginx->dir;

    return `{ cat $dir/input; sleep $seconds; } | timeout 20 openssl \\
        s_client -quiet -nocommands -no_ign_eof -verify_return_error \\
        -servername localhost -CAfile $dir/localhost.crt -connect 127.0.0.1:$port{tls} 2>&1`;
}

like(s_client(head("127.0.0.1:$echo") . "early\n", $slow),
    qr/^HTTP\/1\.1 200 Connection established\r\n\r\nearly$/m,
    'a tunnel in TLS, with early data');
$said = s_client(head("127.0.0.1:$talker"), 2 * $slow);
like($said, qr/^all I have$/m, 'a target that closes');
unlike($said, qr/unexpected eof/, '... is no cut to a client with TLS');
$said = s_client(head("127.0.0.1:$denied") . "early\n", $slow);
like($said, qr/^HTTP\/1\.1 403 .*exactly\r$/m, 'a refusal in TLS');
unlike($said, qr/unexpected eof/, '... which has an end');

# in a tunnel in TLS, TLS to the target, whose certificate is checked by curl

my $tls = free_port();
my $server = fork // die;

if ($server == 0) {
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    exec 'openssl', 's_server', '-www', '-quiet', '-accept',
        "127.0.0.1:$tls", '-cert', $nginx->dir . '/localhost.crt', '-key',
        $nginx->dir . '/localhost.key';
}

push @children, $server;

$nginx->write('nginx.conf', Nginx::slurp($nginx->dir . '/nginx.conf')
    =~ s/127\.0\.0\.1:$closed/127.0.0.1:$tls/gr);

await(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $tls) });
ok($nginx->reload, 'another rule, by a reload');

for my $proxy ("http://localhost:$port{plain}",
    "https://localhost:$port{tls}")
{
    my $dir = $nginx->dir;

    is(`curl -sS -m 20 --proxy $proxy --proxy-cacert $dir/localhost.crt \\
        --cacert $dir/localhost.crt -o $dir/page -w '%{http_code}' \\
        --resolve localhost:$tls:127.0.0.1 \\
        --connect-to localhost:$tls:127.0.0.1:$tls https://localhost:$tls/ \\
        2>&1`, 200, "curl by $proxy, and TLS end to end");
}


# reload: tunnels live on

$s = tunnel($echo);
my ($old) = $nginx->workers;
$nginx->signal('HUP');
ok(await(sub { grep { $_ != $old } $nginx->workers }, 10 * $slow),
    'a reload brings a new worker');
syswrite $s, "still here\n";
is(read_line($s), "still here\n", 'and leaves tunnels as they are');
ok((grep { $_ == $old } $nginx->workers) > 0, '... in the old one');
close $s;
ok(await(sub { !grep { $_ == $old } $nginx->workers }, 10 * $slow),
    'which ends with the last of them');


# many

my $limit = POSIX::sysconf(&POSIX::_SC_OPEN_MAX) - 200;
my $many = $ENV{MP_SLOW} ? 200 : $limit < 4400 ? int($limit / 2.2) : 2000;

my $crowd = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $closed,
    Listen => 4096, ReuseAddr => 1) or die "$@\n";
my $pid = fork // die;

if ($pid == 0) {
    my (@accepted, $peer);
    push @accepted, $peer while $peer = $crowd->accept;
    POSIX::_exit(0);
}

push @children, $pid;
close $crowd;

$nginx->write('nginx.conf', Nginx::slurp($nginx->dir . '/nginx.conf')
    =~ s/127\.0\.0\.1:$tls\b/127.0.0.1:$closed/gr);
ok($nginx->reload, 'a reload again');

my @tunnels;

for (1 .. $many) {
    my $s = eval { tunnel($closed) } or last;
    push @tunnels, $s;
}

is(scalar @tunnels, $many, "$many tunnels at once");
@tunnels = ();
kill 'KILL', $pid;
ok(await(sub { () = Nginx::slurp($nginx->dir . '/logs/tunnels.log')
    =~ /:$closed allowed 200/g; }, 20 * $slow), 'and they end');

$nginx->finish;


# no worker is held longer than worker_shutdown_timeout

my $second = Nginx->new;

$second->configure(targets => "",
    main => "worker_shutdown_timeout 300ms;"
        . "prom_forward bastion { $block connect_timeout 60s; }",
    stream => <<"END",
upstream prom_forward { prom_forward_peer; }
server {
    listen 127.0.0.1:$port{plain};
    prom_forward bastion;
    proxy_pass prom_forward;
}
END
)->start;

my @held = (tunnel($echo), opened(head("127.0.0.1:$silent")), opened('CONN'),
    opened(), opened(head('still.test:80')));
sleep 0.2;
ok($second->reload, 'a worker that is to end does');
is(scalar(grep { read_all($_) =~ /\A(?:HTTP.*)?\z/s } @held), scalar @held,
    'and closes what it has');

$second->finish;

done_testing();
