#!/usr/bin/perl

# A scrape that fails says which target failed and why, in one line, and no
# later than the scraper waits.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep time);

use Backend;
use Nginx;

my $nginx = Nginx->new;
my $dead = Nginx::free_port();

my $closes = Backend->new(answer => sub { 0 });
my $hangs = Backend->new(answer => sub { sleep 60 });
my $drips = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
    for (1 .. 600) { print $s "x 1\n"; $s->flush; sleep 0.1 }
});
my $half = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx 1\n";
    $s->flush;
    return 0;
});
my $fails = Backend->new(answer => sub {
    my ($s, $request) = @_;
    my ($status) = $request =~ m{^GET /(\d+)};
    print $s "HTTP/1.1 $status Whatever\r\nContent-Length: 8\r\n\r\nexporter";
    $s->flush;
});
my $invalid = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n";
    $s->flush;
    return 0;
});

# a listener that never accepts, its queue full: no answer to a connect

my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
my @queue = map { IO::Socket::IP->new(PeerHost => '127.0.0.1',
    PeerPort => $full->sockport, Blocking => 0) } 1 .. 8;

$nginx->configure(targets => <<"END", server => <<'CONF')->start;
localhost:$dead               external-host-1
127.0.0.1:$dead               by-address
unix:/nonexistent.sock        no-socket
localhost:@{[ $closes->port ]} closes
127.0.0.1:@{[ $hangs->port ]} hangs
localhost:@{[ $hangs->port ]} hangs-twice
https://127.0.0.1:@{[ $hangs->port ]} tls-hangs
https://127.0.0.1:@{[ $closes->port ]} tls-mute
https://127.0.0.1:%%PORT%%    tls-none
127.0.0.1:@{[ $drips->port ]} drips
127.0.0.1:@{[ $drips->port ]} limited
127.0.0.1:@{[ $half->port ]}  half
127.0.0.1:@{[ $fails->port ]} fails
127.0.0.1:@{[ $invalid->port ]} invalid
127.0.0.1:@{[ $full->sockport ]} full
exporter.internal:9100        dns
END
location /limited/ {
    prom_proxy targets;
    proxy_limit_rate 10;
    proxy_pass $prom_proxy_scheme://prom_proxy$prom_proxy_uri;
}
location /tls-none/ {
    prom_proxy targets;
    proxy_connect_timeout 60s;
    proxy_pass $prom_proxy_scheme://prom_proxy$prom_proxy_uri;
    error_page 502 504 @target_error;
}
proxy_connect_timeout 700ms;
proxy_read_timeout 3s;
CONF

sub timeout {
    return headers => [ "X-Prometheus-Scrape-Timeout-Seconds: $_[0]" ];
}

sub fails {
    my ($name, $status, $line, %o) = @_;

    my $r = $nginx->get("/$name/metrics", timeout(10), %o);

    is("$r->{status} $r->{body}", "$status $name: $line\n",
        "$name: $status with its reason");

    return $r;
}

my $r = fails('external-host-1', 502,
    "no tunnel: connect to localhost:$dead: connection refused");
is($r->{headers}{'content-type'}, 'text/plain', 'the reason is plain text');

fails('by-address', 502, "connect to 127.0.0.1:$dead: connection refused");
fails('no-socket', 502,
    'connect to unix:/nonexistent.sock: no such file or directory');
fails('closes', 502, 'localhost:' . $closes->port . ' closed the connection '
    . 'without an answer, the tunnel is there but nothing may listen at its '
    . 'other end');
fails('invalid', 502,
    'the answer of 127.0.0.1:' . $invalid->port . ' is not valid HTTP');
fails('tls-none', 502,
    'TLS handshake with 127.0.0.1:' . $nginx->port . ' failed');
fails('tls-mute', 504,
    'TLS handshake with 127.0.0.1:' . $closes->port . ': timed out');
fails('dns', 502,
    'exporter.internal cannot be resolved: no "resolver" is configured');

$r = fails('full', 504,
    'connect to 127.0.0.1:' . $full->sockport . ': timed out');
ok($r->{time} > 0.6 && $r->{time} < 30, 'after proxy_connect_timeout');

# deadlines: not before; and not as late as without one, even on a busy machine

for ('0.4', '0.450', '1', '1.0004') {
    $r = fails('hangs', 504, 'no answer from 127.0.0.1:' . $hangs->port
        . ' within the scrape timeout of '
        . ($_ eq '1.0004' || $_ eq '1' ? '1' : sprintf '%.3f', $_) . 's',
        timeout($_));
    ok($r->{time} >= $_ - 0.01 && $r->{time} < 30,
        "$_ s: 504 at the scraper's deadline, $r->{time} s");
}

fails('hangs-twice', 504, 'no answer from localhost:' . $hangs->port
    . ' within the scrape timeout of 0.300s', timeout('0.3'));
fails('tls-hangs', 504, 'no answer from 127.0.0.1:' . $hangs->port
    . ' within the scrape timeout of 0.500s', timeout('0.5'));
fails('full', 504, 'no answer from 127.0.0.1:' . $full->sockport
    . ' within the scrape timeout of 0.300s', timeout('0.3'));

# what is no number leaves nginx's own time limit

my @waiting = map {
    my $s = Http::connection($nginx->port);
    Http::send_request($s, path => '/hangs/metrics', timeout($_));
    [ $_, $s ];
} ('', '0', '-1', 'abc', '1e9', '99999999999999999999', '1.2.3', 'NaN',
    '1.0000x', '3000000');

for (@waiting) {
    $r = Http::read_response($_->[1]);
    is("$r->{status} $r->{body}", '504 hangs: no answer from 127.0.0.1:'
        . $hangs->port . " in time\n",
        "with a deadline of $_->[0] proxy_read_timeout holds");
}

$r = $nginx->get('/drips/metrics', timeout('0.8'));
ok($r->{status} == 200 && $r->{closed} && $r->{time} < 30,
    'a body that never ends is cut at the deadline, and not as if complete');

$r = $nginx->get('/limited/metrics', timeout('0.8'));
ok($r->{closed} && $r->{time} < 30, 'nor does proxy_limit_rate stretch it');

my $late = Http::connection($nginx->port);
Http::send_request($late, raw => "POST /hangs/x HTTP/1.1\r\nHost: x\r\n"
    . "Connection: close\r\nX-Prometheus-Scrape-Timeout-Seconds: 0.4\r\n"
    . "Content-Length: 2\r\n\r\n1");
ok(await(sub {
    $nginx->log =~ m{POST /hangs/x.*deadline of 400 ms passed}s
}),
    'a deadline passes while a body is read');
Http::send_request($late, raw => '2');
is(Http::read_response($late)->{status}, 504, 'and is told behind it');

$r = $nginx->get('/half/metrics', timeout(5));
ok($r->{closed}, 'a body that breaks off is not passed on as complete');

# what the exporter itself has to say is not ours

for (404, 500, 502, 503, 504) {
    $r = $nginx->get("/fails/$_");
    is("$r->{status} $r->{body}", "$_ exporter",
        "an exporter's own $_ passes untouched");
}

# a scraper that goes away

my $s = Http::connection($nginx->port);
Http::send_request($s, path => '/hangs/metrics', timeout(30));
ok(await(sub { grep { m{^GET /metrics.*Seconds: 30}s } $hangs->arrived }),
    'a scrape is on its way');
close $s;
ok(await(sub { $nginx->log =~ /client prematurely closed connection/ }),
    'a scraper that goes away is noticed');

is($nginx->get('/external-host-1/x')->{status}, 502,
    'and the worker goes on');

$nginx->finish;

done_testing();
