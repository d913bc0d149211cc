#!/usr/bin/perl

# A target behaves exactly like "location /NAME/ { proxy_pass
# http://ADDRESS/; }": the same awkward requests through both, and the bytes
# that arrive, and those that come back, are the same.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Backend;
use Nginx;

my $nginx = Nginx->new;

# redirects where the path says so, so that proxy_redirect is compared too

my $answer = sub {
    my ($s, $request) = @_;

    my ($host) = $request =~ /^Host: (\S+)/mi;
    my %to = (
        own => "http://$host/x?y", base => "http://$host/base/dir/x",
        foreign => 'http://elsewhere.example/x', path => '/metrics',
    );

    return Backend::ok(@_) unless $request =~ m{/redirect-(\w+)};

    print $s "HTTP/1.1 302 Found\r\nLocation: $to{$1}\r\n"
        . "Content-Length: 0\r\n\r\n";
    $s->flush;
};

my $target = Backend->new(answer => $answer);
my $port = $target->port;
my $by_hand = Nginx::free_port();

my @targets = (
    [ 'host', "127.0.0.1:$port" ],
    [ 'site/db-1', "127.0.0.1:$port" ],
    [ 'based', "127.0.0.1:$port/base/dir" ],
);

my $headers = '
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
';

my $locations = join '', map {
    "location /$_->[0]/ { proxy_pass http://$_->[1]/;
        proxy_set_header Host \$proxy_host;
        proxy_set_header Connection \"\"; $headers }\n"
} @targets;

$nginx->configure(
    targets => join('', map { "$_->[1] $_->[0]\n" } @targets),
    router => $headers,
    http => "server { listen 127.0.0.1:$by_hand; $locations }",
)->start;

my @paths = (
    # plain ones
    '/host/metrics', '/host/', '/host', '/host?x', '/site/db-1/metrics',
    '/site/db-1', '/site/db-1?a=b&c', '/site/', '/based/', '/based',
    '/based/metrics', '/host/a/b/c/d/e/f', '/host/metrics/',

    # arguments
    '/host/metrics?', '/host/metrics?a=b', '/host/metrics?a=%41',
    '/host/metrics?a=b?c=d', '/host/metrics?%3f', '/host/metrics?a=b#c',
    '/host/?match[]=%7b__name__%3d~%22.%2b%22%7d', '/host/metrics?a=b%',
    '/host/metrics?a=%zz', '/host?', '/host/metrics?/../x', '/host/?//',
    '/host/metrics?a=' . 'x' x 3000, '/based?x=%2f',

    # escapes
    '/host/%41', '/host/a%20b', '/host/a%2fb', '/host/a%2Fb', '/host/a%3fb',
    '/host/a%3Fb?c', '/host/a%23b', '/host/a%25b', '/host/%252e%252e/x',
    '/host/a%26b', '/host/a%2bb', '/host/a+b', '/host/a%0d%0ab',
    '/host/a%0aX:%20y', '/host/a%c3%a9', "/host/a\xc3\xa9",
    '/host/%ff%fe', '/host/a%7fb', '/host/a%22b', '/host/a"b', '/host/a<b>',
    '/host/{a}', '/host/a%5cb', '/host/a\\b', '/host/a|b', '/host/a^b`c',
    '/%68ost/metrics', '/host%2fmetrics', '/site%2fdb-1%2fx', '/based%2f%2f',

    # dots and slashes
    '/host/./metrics', '/host/../host/metrics', '/host/a/../b',
    '/host/a/..', '/host/..', '/host/../../etc/passwd', '/host/%2e%2e/host/x',
    '/host/..%2fhost/x', '/host/a/..%2f..%2fhost/x', '/host/...', '/host/.',
    '//host/metrics', '/host//metrics', '/host///', '///host//x',
    '/host/..;/x', '/host;a=b/metrics', '/host/;a=b', '/./host/metrics',
    '/site/../host/metrics', '/site//db-1//x', '/site/./db-1/x',
    '/based/../host/x', '/based/a/../../based/x',

    # what arrives nowhere
    '/hos', '/hostx/metrics', '/HOST/metrics', '/site/db-1x', '/site/db-',

    # Location
    '/host/redirect-own', '/host/redirect-base', '/host/redirect-foreign',
    '/host/redirect-path', '/based/redirect-own', '/based/redirect-base',
    '/site/db-1/redirect-own',

    # absolute form
    'http://proxy/host/metrics', 'http://other:99/host/a%20b?c=d',
    'http://proxy/host', 'http://proxy',
);

my @raw = map { [ $_, "GET $_ HTTP/1.1\r\nHost: proxy\r\nConnection: close"
    . "\r\n\r\n" ] } @paths;

push @raw, (
    [ 'HTTP/1.0', "GET /host/metrics HTTP/1.0\r\n\r\n" ],
    [ 'HTTP/1.0 with Host', "GET /host/a%20b HTTP/1.0\r\nHost: x\r\n\r\n" ],
    [ 'a scrape of Prometheus\'', "GET /host/metrics HTTP/1.1\r\n"
        . "Host: proxy:8000\r\nUser-Agent: Prometheus/3.5.0\r\n"
        . 'Accept: application/openmetrics-text;version=1.0.0;'
        . "escaping=allow-utf-8;q=0.6,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n"
        . "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n"
        . "Connection: close\r\n\r\n" ],
    [ 'forwarded headers', "GET /host/metrics HTTP/1.1\r\nHost: x\r\n"
        . "X-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 5.6.7.8\r\n"
        . "X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n" ],
    [ 'headers twice, empty and long', "GET /host/m HTTP/1.1\r\nHost: x\r\n"
        . "A: 1\r\nA: 2\r\nB:\r\nC: " . 'y' x 4000
        . "\r\nConnection: close\r\n\r\n" ],
    [ 'POST', "POST /host/write HTTP/1.1\r\nHost: x\r\n"
        . "Content-Type: text/plain\r\nContent-Length: 5\r\n"
        . "Connection: close\r\n\r\nhello" ],
    [ 'POST in chunks', "POST /host/write HTTP/1.1\r\nHost: x\r\n"
        . "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        . "5\r\nhello\r\n0\r\n\r\n" ],
    [ 'PUT to a base', "PUT /based/w HTTP/1.1\r\nHost: x\r\n"
        . "Content-Length: 0\r\nConnection: close\r\n\r\n" ],
    [ 'DELETE', "DELETE /host/x?y HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\n\r\n" ],
    [ 'OPTIONS', "OPTIONS /host/x HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\n\r\n" ],
    [ 'OPTIONS *', "OPTIONS * HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\n\r\n" ],
    [ 'an unknown method', "BREW /host/x HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\n\r\n" ],
);

# what came back, less what differs from second to second; an error's page is
# ours and nginx's own

sub seen {
    my ($from, $raw) = @_;

    my $r = Http::request($from, raw => $raw);
    my $location = $r->{headers}{location} // '-';
    my $body = $r->{status} < 300 ? $r->{body} : '';
    my @arrived = $target->arrived;

    return "$r->{line}\nLocation: $location\n$body" . join "\n", @arrived;
}

my $arrived = 0;

for (@raw) {
    my ($name, $raw) = @$_;

    my $ours = seen($nginx->port, $raw);
    my $theirs = seen($by_hand, $raw);

    is($ours, $theirs, length $name > 60 ? substr($name, 0, 60) . '...'
        : $name);

    $arrived++ if $theirs =~ m{^\S+ /.* HTTP/1\.[01]\r\n}m;
}

cmp_ok($arrived, '>', 60, "$arrived requests arrived at the target, "
    . 'so that their bytes were compared');

$nginx->finish;

done_testing();
