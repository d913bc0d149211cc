#!/usr/bin/perl

# t/62-client-replay.t: the bytes that PushProx's proxy sends to a poll client

# As captured from pushprox-proxy 0.2.0 with Prometheus 2.53.3; only address,
# Id and length are this test's.

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use PollClient;
use PollProxy;

my $date = 'Date: Sat, 21 Nov 2026 16:44:11 GMT';

my $exporter = Backend->new;
my $at = '127.0.0.1:' . $exporter->port;

my $proxy = PollProxy->new;
my $client = PollClient->new('--fqdn=127.0.0.1', '--proxy-url=' . $proxy->url,
    '--proxy.retry.initial-wait=20ms', '--proxy.retry.max-wait=50ms');


# what a poll is answered with, and a push

sub poll_answer {
    my ($id) = @_;

    my $scrape = join "\r\n", "GET http://$at/metrics?a=b+c&a=d%2Fe HTTP/1.1",
        "Host: $at", 'User-Agent: Prometheus/2.53.3+ds1',
        'Accept: application/openmetrics-text;version=1.0.0;q=0.5,'
            . 'text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
        'Accept-Encoding: gzip', "Id: $id",
        'X-Prometheus-Scrape-Timeout-Seconds: 10', '', '';

    return join "\r\n", 'HTTP/1.1 200 OK', $date,
        'Content-Length: ' . length $scrape,
        'Content-Type: text/plain; charset=utf-8', '', $scrape;
}

my $push_answer = join "\r\n", 'HTTP/1.1 200 OK', $date, 'Content-Length: 0',
    '', '';

my $expired = "Error WaitForScrapeInstruction: request is expired\n";

my $expired_answer = join "\r\n", 'HTTP/1.1 408 Request Timeout',
    'Content-Type: text/plain; charset=utf-8',
    'X-Content-Type-Options: nosniff', $date,
    'Content-Length: ' . length $expired, '', $expired;

my $why = "Error pushing: malformed HTTP response\n";

my $push_error = join "\r\n", 'HTTP/1.1 500 Internal Server Error',
    'Content-Type: text/plain; charset=utf-8',
    'X-Content-Type-Options: nosniff', $date,
    'Content-Length: ' . length $why, '', $why;


# a poll as that proxy reads it

my $poll = $proxy->poll('127.0.0.1');
ok($poll, 'it polls with its bare name') or BAIL_OUT($client->log);
like($poll->{line}, qr{^POST /poll HTTP/1\.1}, 'by POST');

# scrapes, over and over

for my $round (1 .. 3) {
    my $id = "81fde384-b637-48ae-9bac-b827d094200$round";

    $proxy->answer($poll, '', raw => poll_answer($id));

    $poll = $proxy->poll('127.0.0.1');
    ok($poll, "round $round: it polls again");

    my $push = $proxy->request('/push');
    ok($push, 'it pushes') or BAIL_OUT($client->log);
    like($push->{body}, qr{\AHTTP/1\.1 200 OK\r\n}, 'a whole response');
    like($push->{body}, qr/^Id: \Q$id\E\r$/m, 'with the Id in it');
    like($push->{body}, qr{\r\n\r\n(?:.*\r\n)?GET /metrics\?a=b\+c&a=d%2Fe }s,
        "the exporter's");

    $proxy->answer($push, '', raw => $round == 2 ? $push_error : $push_answer);
}

my ($request) = map { $_->[1] } $exporter->requests;
like($request, qr/^Host: \Q$at\E\r$/m, 'the exporter sees its own name');
like($request, qr/^Accept: application\/openmetrics-text/m,
    'and what Prometheus accepts');

like($client->log, qr/push/i, 'that a push was refused is in the log');

# one that is expelled by another client of its name

$proxy->answer($poll, '', raw => $expired_answer);
$poll = $proxy->poll('127.0.0.1');
ok($poll, 'a poll that expired: it polls again');
ok(!$proxy->request('/push', 0.5), 'and has nothing to push');
is(scalar $exporter->requests, 3, 'nor asked the exporter');

is($client->stop, 0, 'it ends in order') or diag $client->log;

done_testing();
