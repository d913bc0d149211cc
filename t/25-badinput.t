#!/usr/bin/perl

# t/25-badinput.t: what each port, file and exporter may throw at the image

use warnings;
use strict;

use FindBin;
use IO::Compress::Gzip;
use IO::Select;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await directory write_file);
use Http;
use Proxy;

my $zeros = "\0" x 20_000_000;
IO::Compress::Gzip::gzip(\$zeros, \my $bomb);
undef $zeros;

my $type = "Content-Type: text/plain\r\n";
my $ok = "HTTP/1.1 200 OK\r\n$type";
my $chunked = "Transfer-Encoding: chunked\r\n";
my $whole = "${ok}Content-Length: 3\r\n\r\nok\n";

# what an exporter can do to its reader, by path

my %answers = (
    '/early'       => '',
    '/early-head'  => "HTTP/1.1 200 OK\r\nConte",
    '/early-body'  => "${ok}Content-Length: 1000\r\n\r\n0123456789",
    '/early-chunk' => "$ok$chunked\r\n5\r\n01234\r\n",
    '/no-type'     => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
    '/accel'       => "${ok}X-Accel-Redirect: /-/ready\r\n"
        . "Content-Length: 3\r\n\r\nok\n",
    '/two-lengths' => "${ok}Content-Length: 3\r\nContent-Length: 4\r\n\r\n"
        . "ok\n",
    '/both'        => "${ok}Content-Length: 3\r\nTransfer-Encoding: chunked"
        . "\r\n\r\n0\r\n\r\n",
    '/big-header'  => "${ok}X-Big: " . 'x' x 200_000 . "\r\n\r\nok\n",
    '/1xx'         => "HTTP/1.1 103 Early Hints\r\n\r\n" x 20_000 . $whole,
    '/gzip'        => "${ok}Content-Encoding: gzip\r\nContent-Length: "
        . length($bomb) . "\r\n\r\n$bomb",
);

my $exporter = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($path) = $request =~ m{^\S+ (?:/base)?(/[^ ?]*)};

    if (defined $answers{$path}) {
        print $s $answers{$path};
        return 0;
    }

    if ($path eq '/hang') {
        sleep 60;
        return 0;
    }

    if ($path eq '/drip-head') {
        print $s "HTTP/1.1 200 OK\r\n";
        for (1 .. 200) {
            $s->flush;
            select undef, undef, undef, 0.1;
            print $s "X-$_: y\r\n" or last;
        }
        return 0;
    }

    if ($path eq '/drip') {
        print $s "$ok$chunked\r\n";
        for (1 .. 200) {
            print $s "1\r\nx\r\n" or last;
            $s->flush;
            select undef, undef, undef, 0.1;
        }
        return 0;
    }

    if ($path eq '/endless') {
        my $lines = "metric{label=\"value\"} 1\n" x 1000;
        print $s "$ok\r\n";
        while (syswrite $s, $lines) { }
        return 0;
    }

    # longer than it says

    if ($path eq '/liar') {
        print $s $whole . "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlie\n";
        $s->flush;
        return 1;
    }

    print $s "${ok}Content-Length: " . length($request) . "\r\n\r\n$request";
    $s->flush;

    return 1;
});

my $proxy = Proxy->start(targets => "localhost:20001/base a\n"
    . "localhost:20001/other b\n");
ok($proxy->tunnel(20001, $exporter->port), 'a tunnel') or diag $proxy->{error};


sub raw {
    my ($raw, %o) = @_;

    return $proxy->http(raw => $raw, timeout => 10, %o);
}


sub get {
    my ($path, @headers) = @_;

    return $proxy->http(path => $path, headers => \@headers, timeout => 15);
}


sub alive {
    my ($what) = @_;

    my $r = get('/a/alive');
    is($r->{status}, 200, "$what: scrapes go on") or diag $r->{line};
}


# The first line of the request that the exporter got of a GET.

sub reached {
    my ($path) = @_;

    my $r = raw("GET $path HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n");

    return $r->{body} =~ m{^GET (\S+)} ? $1 : $r->{status};
}


# slow clients, to be looked at in the end

my %slow = map { $_ => Http::connection(80, $proxy->address) }
    qw(silent header body);
syswrite $slow{header}, "GET /a/x HTTP/1.1\r\nHo";
syswrite $slow{body}, "POST /a/slow-body HTTP/1.1\r\nHost: p\r\n"
    . "Content-Length: 100\r\n\r\nx";
my $slow_ssh = Http::connection(22, $proxy->address);


# requests that are refused, and what stands behind them on the connection

my $get = 'GET /a/x HTTP/1.1';
my $post = "POST /a/x HTTP/1.1\r\nHost: p\r\n";
my $next = "GET /a/smuggled HTTP/1.1\r\nHost: p\r\n\r\n";

is(raw("$post${chunked}Connection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    ->{status}, 200, 'a chunked request as it should be is taken');

for my $case (
    [ 'length and chunks', 400,
        "${post}Content-Length: 5\r\n$chunked\r\n0\r\n\r\n" ],
    [ 'two lengths', 400,
        "${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx" ],
    [ 'two equal lengths', 400,
        "${post}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx" ],
    [ 'a space in front of a colon', 400,
        "${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" ],
    [ 'an unknown transfer encoding', 501,
        "${post}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n" ],
    [ 'two transfer encodings', 501,
        "${post}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" ],
    [ 'a length with a sign', 400,
        "${post}Content-Length: +1\r\n\r\nx" ],
    [ 'a length too long for a number', 400,
        "${post}Content-Length: 99999999999999999999\r\n\r\nx" ],
    [ 'a folded header', 400, "$get\r\nHost: p\r\nX: a\r\n b\r\n\r\n" ],
    [ 'two hosts', 400, "$get\r\nHost: p\r\nHost: q\r\n\r\n" ],
    [ 'no host', 400, "$get\r\n\r\n" ],
    [ 'a path for a host', 400, "$get\r\nHost: p/../x\r\n\r\n" ],
    [ 'NUL in a header', 400, "$get\r\nHost: p\r\nX: a\0b\r\n\r\n" ],
    [ 'NUL in the path', 400, "GET /a/\0 HTTP/1.1\r\nHost: p\r\n\r\n" ],
    [ 'NUL in the path, escaped', 400,
        "GET /a/%00 HTTP/1.1\r\nHost: p\r\n\r\n" ],
    [ 'a control character in a name', 400,
        "$get\r\nHost: p\r\nX\x01Y: a\r\n\r\n" ],
    [ 'CONNECT', 400, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" ],
    [ 'TRACE', 405, "TRACE /a/x HTTP/1.1\r\nHost: p\r\n\r\n" ],
    [ 'a header of 40 kB', 400,
        "$get\r\nHost: p\r\nX: " . 'x' x 40_000 . "\r\n\r\n" ],
    [ 'a path of 40 kB', 414,
        'GET /a/' . 'x' x 40_000 . " HTTP/1.1\r\nHost: p\r\n\r\n" ],
    [ 'a chunk too long for a number', 400,
        "$post$chunked\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n" ],
    [ 'a chunk of negative length', 400,
        "$post$chunked\r\n-1\r\nx\r\n0\r\n\r\n" ],
    [ 'HTTP/2 without asking', 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" ],
    [ 'TLS', 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" ],
) {
    my ($what, $status, $request) = @$case;

    $exporter->arrived;
    my $r = raw($request . $next);

    is($r->{status}, $status, "$what: refused");
    is(scalar(() = $r->{raw} =~ m{^HTTP/1}mg), 1,
        "$what: nothing behind it is answered");
    is(scalar(grep { /smuggled/ } $exporter->arrived), 0,
        "$what: nothing of it reaches the exporter");
}

# a control: this is how it would look

is(scalar(() = raw("$get\r\nHost: p\r\n\r\n$next"
    . "GET /a/x HTTP/1.0\r\n\r\n", timeout => 1)->{raw} =~ m{^HTTP/1}mg) > 0,
    1, 'a request behind a good one is answered');
ok(await(60, sub { grep { /smuggled/ } $exporter->arrived }),
    'and reaches the exporter');


# requests that are taken, for what they mean

like(raw("GET /a/old\r\n")->{raw}, qr{^GET /base/old HTTP/1\.1\r\n},
    'HTTP/0.9 is passed on as HTTP/1.1');
like(raw("$get\nHost: p\nConnection: close\n\n")->{body},
    qr{^GET /base/x HTTP/1\.1\r\nHost: }, 'bare LF is passed on as CRLF');
like(raw("$post${chunked}Connection: close\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n")
    ->{body}, qr{^Content-Length: 1\r\n\r\nx\z}m,
    'chunk extensions are not passed on');
like(raw("GET http://evil.example:99/a/x HTTP/1.1\r\nHost: p\r\n"
    . "Connection: close\r\n\r\n")->{body},
    qr{^GET /base/x HTTP/1\.1\r\nHost: localhost:20001\r\n},
    'absolute form: path and host are the target\'s');

my $r = get('/a/x', 'Connection: X-Secret', 'X-Secret: 1',
    'Keep-Alive: 5', 'Proxy-Authorization: Basic x', 'Proxy-Connection: x',
    'HTTP2-Settings: AA', 'Upgrade: h2c', 'TE: trailers',
    'X-Forwarded-For: 192.0.2.1', 'X-Real-IP: 192.0.2.1',
    'X-Forwarded-Proto: https', 'Authorization: Bearer token');

unlike($r->{body}, qr/^$_:/mi, "$_ is for one hop and not passed on")
    for qw(Connection X-Secret Keep-Alive Proxy-Authorization
    Proxy-Connection HTTP2-Settings Upgrade TE);
like($r->{body}, qr/^X-Forwarded-For: 192\.0\.2\.1, (?!192\.0\.2\.)\S+\r$/m,
    'the address is appended to X-Forwarded-For');
unlike($r->{body}, qr/^X-Real-IP: 192\.0\.2\.1/m,
    "a client's X-Real-IP is not believed");
like($r->{body}, qr/^X-Forwarded-Proto: http\r$/m,
    "nor its X-Forwarded-Proto");
like($r->{body}, qr/^Authorization: Bearer token\r$/m,
    'Authorization is for the exporter');

# paths

is(reached('/a/x'), '/base/x', 'a path is below the base path');

for my $case (
    [ '/a/..%2f..%2fb/x', 400 ],
    [ '/a/../../b/x', 400 ],
    [ '/a/..;/b/x', 404 ],
    [ '/a/..%5cb/x', 404 ],
    [ '/a/%252e%252e/b/x', '/base/%252e%252e/b/x' ],
    [ '//a//x', '/base/x' ],
    [ '//n//x', 404 ],
    [ '/a/x%0d%0aX-Evil:%201', '/base/x%0D%0AX-Evil:%201' ],
    [ '/a/x?y=%0d%0aX-Evil:%201', '/base/x?y=%0d%0aX-Evil:%201' ],
    [ '/a/x%3fy', '/base/x%3Fy' ],
    [ '/A/x', 404 ],
) {
    my ($path, $expected) = @$case;
    is(reached($path), $expected, "$path: $expected");
}


# answers

for my $path ('/early', '/early-head', '/two-lengths', '/both',
    '/big-header')
{
    $r = get("/a$path");
    is($r->{status}, 502, "exporter's $path: 502") or diag $r->{raw};
    like($r->{body}, qr/\Aa: [^\n]+\n\z/, "exporter's $path: in one line");
}

for my $path ('/early-body', '/early-chunk') {
    $r = get("/a$path");
    ok($r->{closed}, "exporter's $path: is not taken for whole")
        or diag $r->{raw};
}

$r = get('/a/no-type');
is("$r->{status} $r->{body}", "200 ok\n", 'an answer without a type passes');
ok(!exists $r->{headers}{'content-type'}, 'and gets none');

is(get('/a/liar')->{body}, "ok\n", 'of a longer body, what was announced');
unlike(get('/a/next')->{body}, qr/lie/, 'and the next scrape is its own');

is(get('/a/accel')->{body}, "ok\n",
    'an exporter cannot send its reader elsewhere by X-Accel-Redirect');

$r = get('/a/gzip', 'Accept-Encoding: gzip');
ok($r->{body} eq $bomb, 'a gzip bomb passes as it is, not unpacked');

my $started = time;
$r = get('/a/1xx', 'X-Prometheus-Scrape-Timeout-Seconds: 3');
cmp_ok(time - $started, '<', 20, 'a flood of 1xx ends');
alive('a flood of 1xx');

for my $path ('/hang', '/drip-head') {
    $started = time;
    $r = get("/a$path", 'X-Prometheus-Scrape-Timeout-Seconds: 1');
    my $took = time - $started;

    is($r->{status}, 504, "exporter's $path: 504");
    like($r->{body}, qr/\Aa: [^\n]+\n\z/, "exporter's $path: in one line");
    ok($took > 0.5 && $took < 10, "exporter's $path: at the deadline")
        or diag "after $took s";
}

for my $path ('/drip', '/endless') {
    $started = time;
    my $s = Http::connection(80, $proxy->address);
    Http::send_request($s, path => "/a$path",
        headers => [ 'X-Prometheus-Scrape-Timeout-Seconds: 1' ]);

    my ($bytes, $end) = (0, '');

    while (time - $started < 25 && IO::Select->new($s)->can_read(5)) {
        my $n = sysread $s, my $text, 1 << 20 or last;
        $bytes += $n;
        $end = substr $text, -5;
    }

    cmp_ok(time - $started, '<', 20, "exporter's $path: ends at the deadline");
    cmp_ok($bytes, '>', 5, "exporter's $path: passed while it came");
    isnt($end, "0\r\n\r\n", "exporter's $path: is not taken for whole");
}

# ones that nobody reads

my @unread = map {
    my $s = Http::connection(80, $proxy->address);
    Http::send_request($s, path => '/a/endless');
    $s } 1 .. 20;

alive('unread answers');
my ($rss) = sort { $b <=> $a } map {
    $proxy->exec('cat', "/proc/$_/status")->{out} =~ /^VmRSS:\s+(\d+)/m }
    $proxy->pids(qr/^nginx: worker/);
cmp_ok($rss, '<', 60_000, 'unread endless answers take no memory');
@unread = ();

# a tunnel that is cut

my $cut = Http::connection(80, $proxy->address);
Http::send_request($cut, path => '/a/drip');
IO::Select->new($cut)->can_read(5);
$proxy->close_tunnel(shift @{ $proxy->{tunnels} });
$r = Http::read_response($cut, timeout => 10);
ok($r->{closed}, 'a tunnel cut in the body: it is not taken for whole')
    or diag $r->{line};
is(get('/a/x')->{status}, 502, 'and the next scrape says that it is gone');
ok($proxy->tunnel(20001, $exporter->port), 'it comes back');
alive('a tunnel that came back');


# many and slow clients

my @idle = map { Http::connection(80, $proxy->address) } 1 .. 10_000;
alive('10,000 idle connections');
@idle = ();

my $half = Http::connection(80, $proxy->address);
Http::send_request($half, path => '/a/half-closed');
shutdown $half, 1;
$r = Http::read_response($half, timeout => 10);
isnt($r->{line}, 'timeout', 'a half-closed connection is not left open');
alive('a half-closed connection');

for my $what (sort keys %slow) {
    my $closed = await(60, sub {
        IO::Select->new($slow{$what})->can_read(0)
            && !sysread $slow{$what}, my $text, 65536 });
    ok($closed, "a client's slow $what is cut off");
}

ok(await(60, sub { IO::Select->new($slow_ssh)->can_read(0)
    && !sysread $slow_ssh, my $text, 65536 }),
    'a client that never logs in is cut off');

# sshd's side of it

for my $bytes ("GET / HTTP/1.1\r\n\r\n", "\0" x 1000, 'x' x 100_000,
    "SSH-1.5-old\r\n", "SSH-2.0-x\r\n" . "\xff" x 1000)
{
    my $s = eval { Http::connection(22, $proxy->address) };
    ok($s, 'port 22 takes a connection') or diag $proxy->logs;
    next unless $s;

    local $SIG{PIPE} = 'IGNORE';
    syswrite $s, $bytes;
    close $s;
}

like($proxy->banner, qr/^SSH-2/, 'garbage on port 22: sshd goes on');
alive('garbage on port 22');
is($proxy->inspect('{{.RestartCount}}'), 0, 'nothing of this restarted it');
unlike($proxy->logs, qr/\[alert\]|\[emerg\]|signal (?:6|11)\b|ended by/,
    'and nothing crashed');
$proxy->remove;


# no files, no space

$proxy = Proxy->start(targets => "localhost:20001 a\n",
    options => [ '--ulimit', 'nofile=512:512', '--read-only',
        '--tmpfs', '/run:size=2m' ]);
ok($proxy->tunnel(20001, $exporter->port), 'with few files and little space');
alive('few files');

@idle = map { eval { Http::connection(80, $proxy->address) } } 1 .. 1500;
@idle = ();
ok(await(60, sub { get('/a/x')->{status} == 200 }),
    'few files: after a flood of connections scrapes go on');
ok($proxy->running, 'few files: it still runs');
ok(get('/a/gzip')->{body} eq $bomb, 'little space: a long answer passes');
$proxy->remove;


$r = Proxy->refused(options => [ '--ulimit', 'nofile=128:128' ]);
is($r->{status}, 1, 'too few files: the container stops');
like($r->{out}, qr/^monitoring-proxy: open files: at most 128 are allowed/m,
    'too few files: says so');


# files

my $mount = directory();
my $file = "$mount/targets";
my $path = '/etc/monitoring/targets';
my @mount = (options => [ '-v', "$mount:/etc/monitoring:ro" ]);

write_file($file, '');
$proxy = Proxy->start(@mount);

sub check {
    my ($text) = @_;

    write_file($file, $text);
    my $started = time;
    my $r = $proxy->exec({ seconds => 30 }, 'monitoring-proxy', 'check');
    $r->{time} = time - $started;

    return $r;
}

for my $case (
    [ 'an empty file', '', ],
    [ 'a byte order mark and CRLF',
        "\xef\xbb\xbf# x\r\nlocalhost:1024 a\r\n" ],
    [ 'no newline at the end', 'localhost:1024 a' ],
    [ '64 MB of comments', ('#' x 1023 . "\n") x 65536 ],
) {
    my ($what, $text) = @$case;
    $r = check($text);
    is($r->{status}, 0, "$what: taken") or diag substr $r->{out}, -1000;
    cmp_ok($r->{time}, '<', 60, "$what: in time");
}

for my $case (
    [ 'binary', join('', map { chr } 0 .. 255) x 100, '1:\d+' ],
    [ 'UTF-16', "\xff\xfel\0o\0c\0a\0l\0", '1:\d+' ],
    [ 'half-written', "localhost:1024 a\nlocalhost:10", '2:\d+' ],
    [ 'NUL', "localhost:1024 a\0b\n", '1:17' ],
    [ 'a line of 10 MB', 'localhost:1024 ' . 'a' x 10_000_000, '1:\d+' ],
    [ 'two lines with one name', "localhost:1 a\nlocalhost:2 /a/\n", '2:\d+' ],
) {
    my ($what, $text, $place) = @$case;
    $r = check($text);
    is($r->{status}, 1, "$what: refused");
    like($r->{out}, qr{^\Q$path\E:$place: \S}m, "$what: says where");
    unlike($r->{out}, qr/[^\n\x20-\x7e]/, "$what: in text that can be read");
    cmp_ok(length $r->{out}, '<', 20_000, "$what: and in short");
}

is($proxy->scrape('/-/ready')->{status}, 200, 'what runs is not touched');
$proxy->remove;

# in its place

sub stops {
    my ($what, $line, %options) = @_;

    my $started = time;
    my $r = Proxy->refused(%options);

    is($r->{status}, 1, "$what: the container stops") or diag $r->{out};
    like($r->{out}, $line, "$what: says why");
    cmp_ok(time - $started, '<', 30, "$what: at once");
}

my $line = qr{^monitoring-proxy: \Q$path\E: \S}m;

unlink $file;
mkdir $file;
stops('a directory', qr{^monitoring-proxy: \Q$path\E: is a directory}m,
    @mount);
rmdir $file;

symlink 'nowhere', $file;
stops('a symbolic link to nothing', qr{\Q$path\E: \S}, @mount);
unlink $file;

POSIX::mkfifo($file, 0644);
stops('a named pipe', $line, @mount);
unlink $file;

write_file($file, "localhost:20001 a\n", 0600);
chown 12345, 12345, $file;
stops('a file that only another user may read',
    qr{^monitoring-proxy: \Q$path\E: is not readable}m, @mount);
unlink $file;

# as Kubernetes mounts a ConfigMap

mkdir "$mount/..1";
write_file("$mount/..1/targets", "localhost:20001 a\n");
symlink '..1', "$mount/..data";
symlink '..data/targets', $file;

$proxy = Proxy->start(@mount);
ok($proxy->tunnel(20001, $exporter->port)
    && get('/a/x')->{status} == 200, 'a symbolic link is followed');
$proxy->remove;

# own locations

my $conf = '/etc/nginx/conf.d/monitoring-proxy.conf';
my $place = directory();

stops('a directory for own locations', qr{\Q$conf\E},
    options => [ '-v', "$place:$conf:ro" ]);
stops('binary for own locations', qr{\Q$conf\E:\d+\b},
    conf => join '', map { chr } 0 .. 255);
Proxy->start(conf => '')->remove;
pass('an empty file for own locations is none');

done_testing();
