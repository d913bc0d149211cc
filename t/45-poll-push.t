#!/usr/bin/perl

# t/45-poll-push.t: what clients push reaches the scraper as it is, streamed,
# and however a push or a scrape ends, the other half ends with it

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Compress::Gzip qw(gzip);
use Socket qw(SOL_SOCKET SO_RCVBUF SO_SNDBUF);
use Test::More;
use Time::HiRes qw(sleep time);

use Http qw(connection read_response request send_request);
use Nginx;
use Poll;

my $slow = $ENV{MP_SLOW} ? 10 : 1;
my $name = 'c1';
my $port = free_port();
my $nginx = Nginx->new->configure(targets => '', http => poll_http(port => $port,
    http => 'map $http_x_identity $identity {
        ""      c1;
        none    "";
        default $http_x_identity;
    }',
    push => 'prom_poll_header_size 2k; client_body_buffer_size 64k;
        prom_poll_identity $identity; client_body_timeout 2s;',
    server => 'error_log %%DIR%%/logs/error.log info;'))->start;

sub start_scrape {
    my (%o) = @_;

    my $poll = poll($port, $name);
    my $s = scrape($port, "http://$name:9100/metrics", timeout => 10 * $slow,
        %o);
    my $id = handed($poll)->{id} or die "no scrape was handed out\n";

    return ($s, $id);
}

# The bytes of a push. Options: chunked, the length of its own chunks; length,
# if more of it is to come.

sub push_of {
    my ($text, %o) = @_;

    my @length = $o{chunked} ? 'Transfer-Encoding: chunked'
        : 'Content-Length: ' . ($o{length} // length $text);
    my $body = $o{chunked} ? chunks($text =~ /(.{1,$o{chunked}})/gs) : $text;

    return join("\r\n", 'POST /push HTTP/1.1', 'Host: p', @length,
        @{ $o{push_headers} // [] }, '', '') . $body;
}

# Sends them, and returns the socket.

sub start_push {
    my ($text, %o) = @_;

    my $s = $o{on} // connection($port);
    send_request($s, raw => push_of($text, %o));

    return $s;
}

# A scrape and the push that answers it: returns what each of them got.

sub answered {
    my ($text, %o) = @_;

    my ($s, $id) = start_scrape(%o);
    my $pushed = read_response(start_push($text =~ s/\bID\b/$id/r, %o));

    return (scraped($s, method => $o{method}), $pushed);
}

sub response {
    my ($body, @headers) = @_;

    return join "\r\n", 'HTTP/1.1 200 OK', 'Id: ID', @headers, '', $body;
}

sub chunks {
    return join '', (map { sprintf "%x\r\n%s\r\n", length, $_ } @_),
        "0\r\n\r\n";
}

sub memory {
    my ($worker) = $nginx->workers;
    my ($kb) = Nginx::slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m;

    return $kb;
}

sub readable {
    my ($s, $seconds) = @_;

    my $read = '';
    vec($read, fileno $s, 1) = 1;

    return select $read, undef, undef, $seconds // 5 * $slow;
}

# How long until the socket is closed or reset; undef if it isn't in 5 s.

sub closes {
    my ($s) = @_;

    my $start = time;

    while (readable($s)) {
        my $n = sysread $s, my $bytes, 65536;
        return time - $start if !$n;
    }

    return;
}

sub is_whole {
    my ($got, $status, $body, $promise) = @_;

    is("$got->{status} " . ($got->{closed} ? 'broken off ' : '')
        . $got->{body}, "$status $body", $promise);
}


# it must be known before a scrape waits for it

poll($port, $name);
await(sub { request($port, path => '/clients')->{body} =~ /$name/ });


# bodies and headers

my ($got, $pushed) = answered(response("up 1\n",
    'Connection: close, X-Hop', 'X-Hop: 1', 'Content-Length: 5',
    'Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8',
    'Date: Sat, 21 Nov 2026 16:44:11 GMT', 'Server: exporter', 'X-Own: a',
    'X-Own: b', 'X-Prometheus-Scrape-Timeout: 9.99',
    'X-Prometheus-Scrape-Timeout-Seconds: 9.99', 'X-Accel-Redirect: /other',
    'Keep-Alive: timeout=5', 'ETag: "1"', 'Location: /else'));

is_whole($got, 200, "up 1\n", 'a response reaches the scraper');
is($pushed->{line}, 'HTTP/1.1 200 OK', '... and the push succeeds');
is($pushed->{headers}{'content-length'}, 0, '... without a body');
is_deeply($got->{headers}, { connection => 'keep-alive',
    'content-length' => 5, date => 'Sat, 21 Nov 2026 16:44:11 GMT',
    'content-type' => 'application/openmetrics-text; version=1.0.0; '
        . 'charset=utf-8',
    server => 'exporter', 'x-own' => 'a, b', etag => '"1"',
    location => '/else' },
    '... with all headers but those of the way');

gzip(\('up 1' x 5000), \my $gzipped);
($got) = answered(response($gzipped, 'Content-Encoding: gzip',
    'Content-Length: ' . length $gzipped));
is($got->{body}, $gzipped, 'a compressed body is left as it is');
is($got->{headers}{'content-encoding'}, 'gzip', '... and told to be one');

($got, $pushed) = answered(response(chunks("up 1\n", 'x' x 40000, "\r\n",
    map { chr } 0 .. 255), 'Transfer-Encoding: chunked'));
is_whole($got, 200, "up 1\n" . 'x' x 40000 . "\r\n" . pack('C*', 0 .. 255),
    'a chunked response has its chunks taken off');
is($got->{headers}{'transfer-encoding'}, 'chunked',
    '... and gets those of nginx');
is($pushed->{status}, 200, '... and its push succeeds');

($got) = answered("HTTP/1.0 200 OK\r\nId: ID\r\n\r\nup 1\n");
is_whole($got, 200, "up 1\n", 'one without a length ends with the push');
($got, $pushed) = answered("HTTP/0.0 500 Internal Server Error\r\nId: ID\r\n"
    . "X-Prometheus-Scrape-Timeout: 9.9\r\n\r\nfailed to scrape");
is_whole($got, 500, 'failed to scrape', 'so does an error of the Go client');
is($pushed->{status}, 200, '... which has been pushed rightly');

($got) = answered("HTTP/1.1 404 No Such Thing\r\nId: ID\r\n"
    . "Content-Length: 0\r\n\r\n");
is($got->{line}, 'HTTP/1.1 404 No Such Thing', 'a status keeps its words');
($got) = answered("HTTP/1.1 204 No Content\r\nId: ID\r\n\r\n");
is_whole($got, 204, '', 'a status without a body');
($got) = answered("HTTP/1.1 304 Not Modified\r\nId: ID\r\nETag: \"1\"\r\n\r\n",
    headers => [ 'If-None-Match: "2"' ]);
is_whole($got, 304, '', 'a target that says that nothing has changed');
($got) = answered(response("up 1\n", 'ETag: "1"', 'Content-Length: 5'),
    headers => [ 'If-None-Match: "1"' ]);
is_whole($got, 200, "up 1\n", '... and one that doesn\'t');
($got) = answered(response('', 'Content-Length: 5'), method => 'HEAD');
is("$got->{status} $got->{headers}{'content-length'}", '200 5',
    'the answer to a HEAD has a length and no body');
($got) = answered(response(chunks('abc'), 'Transfer-Encoding: chunked'),
    version => '1.0');
is_whole($got, 200, 'abc', 'a scraper of HTTP/1.0 gets no chunks');


# ways to push

my $text = response("up 1\n", 'Content-Length: 5');

($got, $pushed) = answered($text, chunked => 7);
is_whole($got, 200, "up 1\n", 'a push may be chunked itself');
is($pushed->{status}, 200, '... and succeeds');

($got) = answered(response(chunks('ab', 'c' x 300, 'd'),
    'Transfer-Encoding: chunked'), chunked => 1);
is_whole($got, 200, 'ab' . 'c' x 300 . 'd', '... as may what it pushes');

my ($s, $id) = start_scrape();
my $push = connection($port);

for my $byte (split //, push_of($text =~ s/ID/$id/r)) {
    send_request($push, raw => $byte);
    sleep 0.001;
}

is_whole(scraped($s), 200, "up 1\n", 'a push may come byte by byte');
is(read_response($push)->{status}, 200, '... and succeeds');

($s, $id) = start_scrape();
$text = $text =~ s/ID/$id/r;
$push = connection($port);
send_request($push, raw => substr(push_of($text,
    push_headers => ['Expect: 100-continue']), 0, -length $text));
sysread $push, my $continue, 100;
is($continue, "HTTP/1.1 100 Continue\r\n\r\n", 'a push may wait for a 100');
send_request($push, raw => $text);
is_whole(scraped($s), 200, "up 1\n", '... and goes on then');
is(read_response($push)->{status}, 200, '... and succeeds');

my @scrapes = map { [start_scrape()] } 1 .. 3;
send_request($push, raw => join '', map { push_of(response("up $_->[1]\n",
    'Content-Length: 40') =~ s/ID/$_->[1]/r, chunked => 100) } @scrapes);
is(join(' ', map { scraped($_->[0])->{body} } @scrapes),
    join(' ', map { "up $_->[1]\n" } @scrapes),
    'pushes may follow each other on one connection');
sub two_hundreds { my $t = ''; await(sub { sysread $push, $t, 9999, length $t;
    3 == (() = $t =~ /200 OK\r\n/g) }) }
ok(two_hundreds(), '... and each is answered');

($s, $id) = start_scrape();
$push = start_push(response('abc' . 'x' x 2000, 'Content-Length: 3')
    =~ s/ID/$id/r);
is_whole(scraped($s), 200, 'abc', 'what is behind a response is none of it');
is(read_response($push)->{status}, 200, '... and its push succeeds');


# pushes that are refused, and what their scrapers are told

sub refused {
    my ($text, $status, $reason, $promise, %o) = @_;

    my $start = time;
    my $pushed = read_response(start_push($text, %o));

    is("$pushed->{status} $pushed->{body}", "$status $reason\n", $promise);
    cmp_ok(time - $start, '<', 8 * $slow, '... at once');
}

my $other = '00000000-0000-4000-8000-000000000000';
my $no_id = 'the pushed response is refused: it has no Id of a scrape, or more '
    . 'than one';
my $unknown = 'unknown Id: no scrape waits for this answer, or not any more';

refused('', 400, 'a push has an HTTP response as its body, and this one has no '
    . 'body', 'a push of nothing');
refused("<html>\r\n\r\n", 400, 'the pushed response is refused: its first line '
    . 'is not an HTTP status', 'a push of a page');
refused(response("up 1\n") =~ s/Id: ID\r\n//r, 400, $no_id,
    'a push without an Id');
refused(response("up 1\n", "Id: $other") =~ s/ID/$other/r, 400, $no_id,
    'a push with two Ids');
refused(response("up 1\n") =~ s/ID/$_/r, 400, $no_id,
    'a push with a strange Id') for 'x', 'x' x 500;
refused(response("up 1\n") =~ s/ID/$_/r, 500, $unknown, 'a push for nobody')
    for $other, 'x' x 36, "ffffffff-ffff-4fff-bfff-ffffffffffff", $id;

($s, $id) = start_scrape();
refused(response("up 1\n", 'Content-Length: 5') =~ s/ID/$id/r, 403,
    'the scrape with this Id was handed to another client than "c2"',
    'a push of another identity', push_headers => [ 'X-Identity: c2' ]);
refused(response("up 1\n", 'Content-Length: 5') =~ s/ID/$id/r, 403,
    'a push needs an identity, and this one has none',
    '... or of none', push_headers => [ 'X-Identity: none' ]);
$pushed = read_response(start_push(response("up 3\n", 'Content-Length: 5')
    =~ s/ID/$id/r, push_headers => [ 'X-Identity: C1' ]));
is("$pushed->{status} " . scraped($s)->{body}, "200 up 3\n",
    '... and the scrape waits on for its own client');

sub fails {
    my ($text, $status, $line, $promise, %o) = @_;

    my ($s, $id) = start_scrape();
    my $push = start_push($text =~ s/ID/$id/r, %o);
    close $push if $o{close};

    my $start = time;
    my $got = scraped($s);

    is("$got->{status} $got->{body}", "$status $name: $line\n", $promise);
    cmp_ok(time - $start, '<', 8 * $slow, '... at once');

    is(read_response($push)->{status}, 400, '... and the push fails')
        if !$o{close};
}

fails("HTTP/1.1 200 OK\r\nId: ID\r\nX: " . 'x' x 3000, 502,
    'its header is too long', 'a header longer than prom_poll_header_size');
fails(response('0', 'Content-Length: 1', 'Transfer-Encoding: chunked'), 502,
    'it has both Content-Length and Transfer-Encoding',
    'a header that could be read in two ways');
fails("HTTP/1.1 200 OK\r\nId: ID\r\nX: 1\r\n", 502,
    'it ends within its header', 'a push that ends in the header');
fails("HTTP/1.1 200 OK\r\nId: ID\r\nX: 1\r\n", 502,
    'its client broke off its answer', 'a push that breaks off there',
    length => 100, close => 1);

($s, $id) = start_scrape();
$push = start_push(response("up", 'Content-Length: 5') =~ s/ID/$id/r,
    length => 200);
refused(response("up 2\n", 'Content-Length: 5') =~ s/ID/$id/r, 500, $unknown,
    'a second push with one Id');
close $push;
ok(scraped($s)->{closed}, '... which ends nothing but itself');


# pushes that end in the body: what the scraper got must not look whole

sub breaks {
    my ($text, $promise, %o) = @_;

    my ($s, $id) = start_scrape(%o);
    my $push = start_push($text =~ s/ID/$id/r, %o);

    if ($o{close}) {
        readable($s);
        close $push;
    }

    my $start = time;
    my $got = scraped($s, timeout => 9 * $slow);

    ok($got->{closed} && $got->{raw} !~ /\r\n0\r\n\r\n\z/,
        "$promise: the scrape is broken off");
    cmp_ok(time - $start, '<', 8 * $slow, '... at once');

    is(read_response($push)->{status}, 400, '... and the push fails')
        if !$o{close};
}

my $chunked = 'Transfer-Encoding: chunked';

breaks(response('up', 'Content-Length: 5'), 'a body that is too short');
breaks(response("5\r\nup 1\n\r\n", $chunked), 'no last chunk');
breaks(response("5\r\nup 1\nx\r\n0\r\n\r\n", $chunked), 'a broken chunk');
breaks(response("5\r\nup 1\n\r\nx\r\n", $chunked), 'a broken size');
breaks(response('up', 'Content-Length: 500'), 'a push that breaks off',
    length => 1000, close => 1);
breaks(response("5\r\nup 1\n\r\n", $chunked), '... in chunks',
    length => 1000, close => 1);
breaks(response('up 1'), '... without a length', length => 1000, close => 1);

($s, $id) = start_scrape(version => '1.0');
$push = start_push(response("4\r\nup 1\r\n", $chunked) =~ s/ID/$id/r,
    length => 1000);
readable($s);
close $push;
1 while sysread $s, my $bytes, 65536;
ok($!{ECONNRESET}, 'one of HTTP/1.0 without a length is reset');

my $start = time;
($s, $id) = start_scrape(timeout => 3);
$push = start_push(response('up', 'Content-Length: 5') =~ s/ID/$id/r,
    length => 1000);
$got = scraped($s, timeout => 9 * $slow);
ok($got->{closed}, 'a push that stalls is broken off');
cmp_ok(time - $start, '>', 2.9, '... at the deadline');
is(read_response($push)->{status}, 500, '... and fails then');

($s, $id) = start_scrape();
$push = start_push("HTTP/1.1 200 OK\r\nId: $id\r\n", length => 1000);
is(scraped($s)->{body}, "c1: its client has stopped sending its answer\n",
    'one that stalls in its header after client_body_timeout');


# scrapers that go away

($s, $id) = start_scrape();
$push = start_push(response('up', 'Content-Length: 5') =~ s/ID/$id/r,
    length => 1000);
sysread $s, $bytes, 1000;
close $s;
$got = read_response($push);
is($got->{status}, 500, 'a push whose scraper has gone is told so');
ok(defined closes($push), '... and its connection is closed');

($s, $id) = start_scrape();
close $s;
ok(await(sub { read_response(start_push(response("up 1\n",
    'Content-Length: 5') =~ s/ID/$id/r))->{status} == 500 }),
    'one that comes after that, too');


# large bodies

my $size = $ENV{MP_SLOW} ? 40_000_000 : 100_000_000;
my $block = join '', map { sprintf "metric_%06d 1\n", $_ } 1 .. 16384;

# Pushes so much, in a process of its own, and writes how far it got.

sub sender {
    my ($id, %o) = @_;

    my $push = connection($port);
    setsockopt $push, SOL_SOCKET, SO_SNDBUF, 65536;
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my $sent = 0;
        my $head = response('', $o{chunked} ? $chunked
            : "Content-Length: $size") =~ s/ID/$id/r;
        my $length = $o{chunked} ? $chunked
            : 'Content-Length: ' . ($size + length $head);

        send_request($push, raw => "POST /push HTTP/1.1\r\nHost: p\r\n"
            . "$length\r\n\r\n" . ($o{chunked} ? sprintf("%x\r\n%s\r\n",
            length $head, $head) : $head));

        # an answer before its end is that it failed

        while ($sent < $size && !readable($push, 0)) {
            my $part = substr $block, 0, $size - $sent;
            $sent += length $part;
            $part = sprintf "%x\r\n%s\r\n", length $part, $part
                if $o{chunked};
            $part = sprintf "%x\r\n%s\r\n", length $part, $part
                if $o{chunked};
            send_request($push, raw => $part);
            $nginx->write('sent', $sent);
        }

        send_request($push, raw => "5\r\n0\r\n\r\n\r\n0\r\n\r\n")
            if $o{chunked} && $sent == $size;
        my $status = read_response($push, timeout => 60)->{status};
        POSIX::_exit($status == 200 ? 0 : 1);
    }

    close $push;
    return $pid;
}

# Reads the body, block by block; says how much of it was right.

sub reads {
    my ($s, $chunked) = @_;

    my ($raw, $text, $right, $left) = ('', '', 0, $chunked ? 0 : $size);

    1 while $raw !~ s/\A.*?\r\n\r\n//s && sysread $s, $raw, 4096, length $raw;

    while ($right + length $text < $size) {
        if ($left == 0 && $raw =~ s/\A(?:\r\n)?([0-9a-f]+)\r\n//) {
            $left = hex $1;
        }

        my $taken = substr $raw, 0, $left, '';
        $text .= $taken;
        $left -= length $taken;

        while (length $text >= length $block) {
            return $right if substr($text, 0, length $block, '') ne $block;
            $right += length $block;
        }

        next if $taken ne '';
        last if !sysread $s, $raw, 1 << 18, length $raw;
    }

    return $right + ($text eq substr($block, 0, length $text)
        ? length $text : 0);
}

my $before = memory();

# the kernel would take tens of megabytes for a scraper that doesn't

($s, $id) = start_scrape(timeout => 100);
setsockopt $s, SOL_SOCKET, SO_RCVBUF, 1 << 18;
my $sender = sender($id);
sleep 0.5;
my $stalled = await(sub {
    my $sent = Nginx::slurp($nginx->dir . '/sent');
    sleep 0.3;
    $sent && $sent == Nginx::slurp($nginx->dir . '/sent') && $sent;
});
cmp_ok($stalled, '<', $size, 'a scraper that does not read stops the push');
is(reads($s), $size, '... which goes on when it does');
waitpid $sender, 0;
is($?, 0, '... and succeeds');

($s, $id) = start_scrape(timeout => 100);
$sender = sender($id, chunked => 1);
is(reads($s, 1), $size, 'so does one in chunks');
waitpid $sender, 0;
is($?, 0, '... and it succeeds');

cmp_ok(memory() - $before, '<', 3000, 'the worker needs no more memory')
    if !$ENV{MP_SLOW};

($s, $id) = start_scrape(timeout => 1);
$sender = sender($id);
sleep 1.5;
ok(defined closes($s), 'a scraper that never reads is broken off in time');
waitpid $sender, 0;
isnt($?, 0, '... and so is its push');

$nginx->finish;
done_testing();
