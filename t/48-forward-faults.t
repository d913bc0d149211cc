#!/usr/bin/perl

# t/48-forward-faults.t: clients and targets that are slow, large, silent, or
# leave half-way: none of them keeps the proxy from serving others

use warnings;
use strict;

use FindBin;
use IO::Compress::Gzip qw(gzip $GzipError);
use POSIX ();
use Socket qw(SHUT_WR);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Forward;
use Http qw(connection read_response send_request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my $backend = Backend->new;
my $target = '127.0.0.1:' . $backend->port;

# 50 MB that are some 50 kB

my $zeroes = "\0" x 50_000_000;
gzip(\$zeroes, \my $bomb) or die "gzip: $GzipError\n";
undef $zeroes;

sub misbehaving {
    my ($answer) = @_;

    return '127.0.0.1:' . Backend->new(answer => $answer)->port;
}

sub drip {
    my ($s, $text) = @_;

    while (syswrite $s, $text) {
        sleep 0.1;
    }

    return 0;
}

my $head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
my $chunk = "5\r\nup 1\n\r\n";

my %bad = (
    typeless => misbehaving(sub {
        syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n";
    }),
    bomb => misbehaving(sub {
        my ($s) = @_;

        print $s "${head}Content-Encoding: gzip\r\nContent-Length: "
            . length($bomb) . "\r\n\r\n$bomb";
        $s->flush;
    }),
    cut => misbehaving(sub {
        syswrite $_[0], "${head}Transfer-Encoding: chunked\r\n\r\n$chunk";
        0;
    }),
    head => misbehaving(sub {
        syswrite $_[0], "${head}X: ";
        drip($_[0], 'x');
    }),
    body => misbehaving(sub {
        syswrite $_[0], "${head}Transfer-Encoding: chunked\r\n\r\n";
        drip($_[0], $chunk);
    }),
    large => misbehaving(sub {
        my ($s) = @_;

        print $s $head . 'X: ' . 'x' x 1_000_000 . "\r\n\r\n";
        0;
    }),
    lines => misbehaving(sub {
        my ($s) = @_;

        print $s $head . "X: 1\r\n" x 100_000 . "\r\n";
        0;
    }),
    endless => misbehaving(sub {
        my ($s) = @_;

        my $lines = "up 1\n" x 4000;
        my $text = sprintf("%x\r\n", length $lines) . "$lines\r\n";
        syswrite $s, "${head}Transfer-Encoding: chunked\r\n\r\n";
        1 while syswrite $s, $text;
        0;
    }),
    late => misbehaving(sub { sleep 60 }),
);

my $allowed = join ' ', $target, values %bad;
my $log = 'log_format forward \'$prom_forward_target $prom_forward_decision '
    . '$status\';';

$nginx->configure(
    targets => '',
    main => "prom_forward open { allow $allowed; scheme http; }",
    stream => "upstream prom_forward { prom_forward_peer; } $log "
        . 'access_log %%DIR%%/logs/connect.log forward;'
        . forward_stream('open', "127.0.0.1:$port",
            'preread_timeout 1s; proxy_timeout 2s;'),
    http => "$log access_log %%DIR%%/logs/http.log forward; "
        . 'client_header_timeout 1s; client_body_timeout 1s; send_timeout 1s; '
        . forward_server('open', 'unix:%%DIR%%/unused',
            'proxy_request_buffering off; proxy_max_temp_file_size 0;'),
)->start;

my $deadline = 'X-Prometheus-Scrape-Timeout-Seconds: 1';

sub served {
    my ($promise) = @_;

    is(asked($_, $port, $target)->{status}, 200, "$promise, $_")
        for qw(http connect);
}

sub logged {
    my ($side, $line, $promise) = @_;

    ok(await(sub { Nginx::slurp("$dir/logs/$side.log") =~ /^$line$/m },
        20 * $slow), $promise);
}

# true if the other end closes within some seconds, whatever it says

sub ends {
    my ($s, $seconds) = @_;

    my $r = read_response($s, timeout => $seconds * $slow);

    return $r->{line} ne 'timeout';
}

sub resident {
    my ($pid) = $nginx->workers;

    return Nginx::slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}


# what passes as it is

served('a target that does nothing of that');

for my $form (qw(http connect)) {
    my $before = resident();
    my $s = connection($port);
    my $url = "http://$bad{bomb}/";

    if ($form eq 'connect') {
        send_request($s, raw => "CONNECT $bad{bomb} HTTP/1.1\r\nHost: x"
            . "\r\n\r\n");
        connect_head($s);
        $url = '/';
    }

    send_request($s, path => $url, headers => [ 'Host: x',
        'Accept-Encoding: gzip' ]);
    my $r = read_response($s);
    is($r->{headers}{'content-encoding'}, 'gzip', "$form: a gzip bomb");
    ok($r->{body} eq $bomb, '... passes as it is');

    SKIP: {
        skip 'memory is the sanitizer\'s', 1 if $ENV{MP_SLOW};
        cmp_ok(resident() - $before, '<', 5000, '... and unpacked by nobody');
    }
}

my $r = asked('http', $port, $bad{typeless});
is("$r->{status} $r->{body}", "200 up 1\n", 'an answer without a type');
is($r->{headers}{'content-type'}, undef, '... is given none');
ok(asked('http', $port, $bad{cut})->{closed},
    'chunks that end too early are no whole answer');


# targets that are slow, or say too much

my $start = time;
$r = asked('http', $port, $bad{head}, headers => [$deadline]);
is($r->{line}, "HTTP/1.1 504 $bad{head}: no answer from $bad{head} within the "
    . 'scrape timeout of 1s', 'a head that drips');
cmp_ok(time - $start, '<', 1 + 2 * $slow, '... until the deadline');

$start = time;
$r = asked('http', $port, $bad{body}, headers => [$deadline]);
is($r->{status}, 200, 'a body that drips');
ok($r->{closed}, '... is cut');
cmp_ok(time - $start, '<', 1 + 2 * $slow, '... at the deadline');

for my $what (qw(large lines)) {
    $r = asked('http', $port, $bad{$what});
    is($r->{status}, 502, "a head that is too large: $what");
    logged('http', "\Q$bad{$what}\E unreachable 502", '... is none');
}

served('others are served');


# clients that are slow

sub dripping {
    my ($text, $by, $seconds) = @_;

    my $s = connection($port);
    my $drip = fork // die "fork: $!\n";

    if ($drip == 0) {
        for (unpack "(a$by)*", $text) {
            syswrite $s, $_ or last;
            sleep $seconds;
        }

        POSIX::_exit(0);
    }

    return ($s, $drip);
}

my $get = "GET http://$target/ HTTP/1.1\r\nHost: x\r\n";
my ($s, $drip) = dripping($get . 'X: ' . 'x' x 200, 1, 0.1);
$start = time;
ok(ends($s, 10), 'a head that drips from a client');
cmp_ok(time - $start, '<', 4 * $slow, '... has its time in all');
kill 'KILL', $drip;
waitpid $drip, 0;
$backend->arrived;

($s, $drip) = dripping("POST http://$target/ HTTP/1.1\r\nHost: x\r\n"
    . "Connection: close\r\nContent-Length: 50\r\n\r\n" . 'x' x 50, 25, 0.2);
is(read_response($s)->{status}, 200, 'a body that drips');
like(($backend->arrived)[0], qr/\r\n\r\nx{50}\z/, '... arrives');
waitpid $drip, 0;

$s = connection($port);
send_request($s, raw => "POST http://$target/stalls HTTP/1.1\r\nHost: x\r\n"
    . "Content-Length: 50\r\n\r\nx");
$start = time;
ok(ends($s, 10), 'a body that stalls');
cmp_ok(time - $start, '<', 4 * $slow, '... has its time');
is($backend->arrived, 0, '... and is no request of a target\'s');
logged('http', "\Q$target\E allowed 408", '... in the log');

# they don't read

my @unread = map {
    my $s = connection($port);
    send_request($s, path => "http://$bad{endless}/", headers => ['Host: x']);
    my $t = connection($port);
    send_request($t, raw => "CONNECT $bad{endless} HTTP/1.1\r\nHost: x\r\n\r\n"
        . "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    ($s, $t);
} 1 .. 5;

served('others are served while some don\'t read');
logged($_, "\Q$bad{endless}\E allowed 200", "... who are left alone, $_")
    for qw(http connect);
@unread = ();

# they are done before they are answered

$s = connection($port);
send_request($s, raw => "GET http://$bad{late}/ HTTP/1.1\r\nHost: x\r\n\r\n");
sleep 0.2;
shutdown $s, SHUT_WR;
$start = time;
ok(ends($s, 10), 'a client that is done before it is answered');
cmp_ok(time - $start, '<', 3 * $slow, '... has left');
logged('http', "\Q$bad{late}\E allowed 499", '... in the log, too');

$s = connection($port);
send_request($s, raw => "CONNECT $target HTTP/1.1\r\nHost: x\r\n\r\n");
is(connect_head($s)->{status}, 200, 'a tunnel');
send_request($s, raw => "GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
shutdown $s, SHUT_WR;
is(read_response($s)->{body}, "GET /half HTTP/1.1\n",
    '... has its answer after its client is done');

$nginx->finish;

done_testing();
