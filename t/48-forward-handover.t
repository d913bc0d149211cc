#!/usr/bin/perl

# t/48-forward-handover.t: no client smuggles a request or a tunnel past what
# decides of it, where stream hands a connection over to http

use warnings;
use strict;

use FindBin;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(sleep);

use lib "$FindBin::Bin/lib";

use Backend;
use Forward;
use Http qw(connection send_request);
use Nginx;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $backend = Backend->new;
my $target = '127.0.0.1:' . $backend->port;
my $other = Backend->new;
my $denied = '127.0.0.1:' . $other->port;
my %port = map { $_ => free_port() } qw(open users from tls);

authority($dir, 'ca');
certificate($dir, 'localhost', ca => 'ca', names => 'DNS:localhost');
$nginx->write('users', hashed('scraper', 'secret'));

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward open { allow $target; scheme http; }
prom_forward users { allow $target; scheme http; users %%DIR%%/users; }
prom_forward from { allow $target; scheme http; from 192.0.2.0/24; }
END
    stream => 'upstream prom_forward { prom_forward_peer; }'
        . join('', map { forward_stream($_, "127.0.0.1:$port{$_}",
            'preread_buffer_size 1k;') } qw(open users from))
        . forward_stream('open', "127.0.0.1:$port{tls} ssl", <<'END'),
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
END
    http => join('', map { forward_server($_, "unix:%%DIR%%/$_.unused") }
        qw(open users from)),
)->start;

my $user = basic('scraper:secret') . "\r\n";

sub get {
    my ($path, $headers) = @_;

    return "GET http://$target/$path HTTP/1.1\r\nHost: $target\r\n"
        . ($headers // '') . "\r\n";
}

sub tunnel {
    my ($to, $headers) = @_;

    return "CONNECT $to HTTP/1.1\r\nHost: $to\r\n" . ($headers // '') . "\r\n";
}

# Sends pieces, each a while after the one before; returns the statuses of all
# that is answered until the end, or until there are so many.

sub statuses {
    my ($by, $most, @pieces) = @_;

    my $s = connection($port{$by});

    for (@pieces) {
        send_request($s, raw => $_);
        sleep 0.05 if @pieces > 1;
    }

    my @statuses;

    while (@statuses < $most) {
        my $r = connect_head($s);
        last if !$r->{status};
        push @statuses, $r->{status};
    }

    return join ' ', @statuses;
}

sub arrived {
    return join '|', map { /\A(\S+ \S+)/ } $backend->arrived;
}

sub passed {
    my ($statuses, $arrived, $promise, @said) = @_;

    like(statuses(@said), qr/\A(?:$statuses)\z/, $promise);
    is(arrived(), $arrived, '... and what arrives');
}

my $get = get('a');


# a tunnel that is refused ends all that comes by its connection

for ([ 403, tunnel($denied) ], [ 400, tunnel('127.1:80') ],
    [ 400, tunnel($target, "Content-Length: 3\r\n") ],
    [ 400, tunnel($target, "Content-Length: 0\r\nContent-Length: 0\r\n") ],
    [ 400, tunnel($target, "Transfer-Encoding: chunked\r\n") ],
    [ 400, tunnel($target, "Host: other\r\n") ],
    [ 400, tunnel($target, " folded\r\n") ],
    [ 400, tunnel($target, "X : 1\r\n") ],
    [ 400, "CONNECT $target HTTP/1.1\r\n\r\n" ],
    [ 400, "CONNECT $target\r\n\r\n" ],
    [ 400, "CONNECT  $target HTTP/1.1\r\nHost: x\r\n\r\n" ],
    [ 400, "CONNECT http://$target/ HTTP/1.1\r\nHost: x\r\n\r\n" ],
    [ 400, "CONNECT $target HTTP/2.0\r\nHost: x\r\n\r\n" ],
    [ 431, tunnel($target, 'X: ' . 'x' x 2000 . "\r\n") ])
{
    my ($status, $head) = @$_;
    my $what = substr($head, 0, 70) =~ s/[\r\n]+/ /gr;
    passed($status, '', "$status: $what", 'open', 9, $head . $get);
    passed($status, '', '... in pieces', 'open', 9, $head, $get, $get);
}

passed(407, '', 'a tunnel without a password, and then one with it', 'users', 9,
    tunnel($target) . tunnel($target, $user) . $get);


# what http refuses is no tunnel, nor is what comes behind

for ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "\r\n\r\nCONNECT $target HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect $target HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNEC\0T $target HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT\t$target HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT/$target HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET $target HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://$target/\r\nHost: x HTTP/1.1\r\n\r\n")
{
    my $what = $_ =~ s/[\r\n\0\t]+/ /gr;
    passed('(?:40[05])?', '', "http refuses $what", 'open', 9,
        $_ . tunnel($target));
}

passed('400', '', 'an address of a PROXY header is nobody\'s', 'from', 9,
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n$get");
passed('400', '', '... nor is one in binary', 'from', 9,
    "\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\2$get");
passed('403 403', '', 'nor is one of a header', 'from', 2,
    get('b', "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n")
    . get('c', "X-Real-IP: 192.0.2.1\r\n"));


# one request is as long as it says, wherever it is cut

my $inside = get('inside') . tunnel($target);
my $length = "Content-Length: " . length($inside) . "\r\n";
my $chunks = sprintf "%x\r\n%s\r\n0\r\n\r\n", length $inside, $inside;

for ([ 'a length', $length, $inside ],
    [ 'chunks', "Transfer-Encoding: chunked\r\n", $chunks ],
    [ 'a chunk with an extension', "Transfer-Encoding: chunked\r\n",
        $chunks =~ s/\r\n/;a="b"\r\n/r ],
    [ 'a trailer', "Transfer-Encoding: chunked\r\n",
        $chunks =~ s/0\r\n\r\n\z/0\r\nX: 1\r\n\r\n/r ])
{
    my ($what, $header, $body) = @$_;
    my $post = "POST http://$target/p HTTP/1.1\r\nHost: x\r\n$header\r\n";

    passed('200 200', 'POST /p|GET /a', "$what: a body of requests", 'open', 2,
        $post . $body . $get);
    passed('200 200', 'POST /p|GET /a', '... that comes later', 'open', 2,
        $post, $body, $get);
    passed('200 200', 'POST /p|GET /a', '... that is cut', 'open', 2,
        substr($post, 0, 2), substr($post, 2) . substr($body, 0, 9),
        substr($body, 9) . substr($get, 0, 5), substr($get, 5));
}

# longer than what stream has read of it

my $large = ($inside x 100) . $inside;
passed('200 200', 'POST /l|GET /a', 'one of 20 kB', 'open', 2,
    "POST http://$target/l HTTP/1.1\r\nHost: x\r\nContent-Length: "
    . length($large) . "\r\n\r\n$large$get");
passed('200 200', 'GET /h|GET /a', 'a head that is longer than stream reads',
    'open', 2, get('h', "X: " . 'x' x 4000 . "\r\n") . $get);

for my $cut (1 .. 12, 30) {
    my $all = get('cut') . $get;
    passed('200 200', 'GET /cut|GET /a', "a request that is cut behind $cut",
        'open', 2, substr($all, 0, $cut), substr $all, $cut);
}

for my $cut (1, 7, 8, 20, length(tunnel($target)) - 1,
    length(tunnel($target)))
{
    my $all = tunnel($target) . "GET /t HTTP/1.1\r\nHost: x\r\n\r\n";
    passed('200 200', 'GET /t', "a tunnel that is cut behind $cut", 'open', 2,
        substr($all, 0, $cut), substr $all, $cut);
}


# two lengths are none

for ("Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked, identity", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: xchunked", "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding : chunked", "Content-Length : 5",
    "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5",
    "Content-Length: +5", "Content-Length: 0x5", "Content-Length: -5",
    "Content-Length: 5 5", "Content-Length: ", "Content-Length: 5\r\n 0",
    "Content-Length: 99999999999999999999")
{
    my $what = $_ =~ s/\r\n/, /gr;
    passed('400|501|400 .*', '', "refused: $what", 'open', 1,
        "POST http://$target/ HTTP/1.1\r\nHost: x\r\n$_\r\n\r\n0\r\n\r\n$get");
}

for ("fffffffffffffffff\r\nx", "-1\r\nx", "0x5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n")
{
    my $what = $_ =~ s/\r\n/, /gr;
    passed('400', '', "a chunk that is none: $what", 'open', 1,
        "POST http://$target/ HTTP/1.1\r\nHost: x\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n$_$get");
}

passed('400|501', '', 'chunks of HTTP/1.0', 'open', 1,
    "POST http://$target/ HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n$get");


# who a request is of is asked for each, though it comes with the connection

passed('200 407 200 403', 'GET /a|GET /c', 'each has its own answer', 'users',
    4, get('a', $user) . get('b') . get('c', $user)
    . (get('d', $user) =~ s{http://\Q$target\E}{http://$denied}r));
passed('407 200', 'GET /b', 'a body that was refused is no request', 'users', 2,
    "POST http://$target/ HTTP/1.1\r\nHost: x\r\n$length\r\n$inside"
    . get('b', $user));
passed('200 200', "GET http://$target/x", 'what is in a tunnel is the '
    . 'target\'s', 'users', 2, tunnel($target, $user) . get('x'));
is($other->arrived, 0, 'nothing has arrived elsewhere');


# the same by TLS, in records that hold a head and a half

sub by_tls {
    my (@pieces) = @_;

    my $i = 0;
    $nginx->write('piece' . $i++, $_) for @pieces;
    my $cat = join 'sleep 0.1;', map { "cat $dir/piece$_;" } 0 .. $#pieces;

    # it ends a second later, by when all answers are there

    my $end = $ENV{MP_SLOW} ? 3 : 1;

    return join ' ', `{ $cat sleep $end; } | timeout 20 openssl s_client \\
        -quiet -nocommands -no_ign_eof -servername localhost \\
        -CAfile $dir/ca.crt -connect 127.0.0.1:$port{tls} 2>/dev/null`
        =~ m{^HTTP/1\.1 (\d+)}mg;
}

is(by_tls($get . $get), '200 200', 'TLS: two requests at once');
is(arrived(), 'GET /a|GET /a', '... arrive');
is(by_tls(substr($get, 0, 3), substr($get, 3) . substr($get, 0, 3),
    substr $get, 3), '200 200', '... or are cut');
is(arrived(), 'GET /a|GET /a', '... and arrive');
is(by_tls(tunnel($denied) . $get), '403', 'a tunnel that is refused');
is(by_tls($get . tunnel($target) . $get) =~ s/ 40[05]//r, '200',
    'a tunnel behind a request');
is(arrived(), 'GET /a', '... makes none');

$nginx->finish;

done_testing();
