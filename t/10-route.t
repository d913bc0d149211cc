#!/usr/bin/perl

# Every kind of target is reached through its name, and nothing else is.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Backend;
use Nginx;

my $ipv6 = IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
my $nginx = Nginx->new;
my $v4 = Backend->new;
my $v6 = $ipv6 ? Backend->new(host => '::1') : undef;
my $unix = Backend->new(path => $nginx->dir . '/e.sock');
my ($p4, $p6) = ($v4->port, $v6 ? $v6->port : 1);

$nginx->configure(targets => <<"END")->start;
localhost:$p4              external-host-1
127.0.0.1:$p4              site-a/db-1       env=prod team="data base"
[::1]:$p6                  site-a/db-1/v6
localhost:$p6              six
unix:%%DIR%%/e.sock        local-exporter
unix:%%DIR%%/e.sock:/base  unix-base
http://127.0.0.1:$p4       plain
http://127.0.0.1:$p4/a/b/  based
127.0.0.1:$p4/x            bare-base
127.0.0.1:$p4              A.z_0~-
127.0.0.1:$p4              -/healthy
END

sub arrives {
    my ($path, $backend, $line, $promise) = @_;

    $backend->arrived;
    my $status = $nginx->get($path)->{status};
    my ($request) = ($backend->arrived, '');
    my ($got) = $request =~ /\A([^\r]*)/;

    is("$status $got", "200 $line", $promise);
}

arrives('/external-host-1/metrics', $v4, 'GET /metrics HTTP/1.1',
    'localhost and a port, as sshd listens there');
arrives('/site-a/db-1/metrics?a=b&c=%20', $v4,
    'GET /metrics?a=b&c=%20 HTTP/1.1', 'a name of several segments');
arrives('/external-host-1/', $v4, 'GET / HTTP/1.1', 'the root of a target');
arrives('/local-exporter/metrics', $unix, 'GET /metrics HTTP/1.1',
    'a unix socket');
arrives('/unix-base/metrics', $unix, 'GET /base/metrics HTTP/1.1',
    'a unix socket with a base path');
arrives('/plain/metrics', $v4, 'GET /metrics HTTP/1.1', 'http://');
arrives('/based/metrics', $v4, 'GET /a/b/metrics HTTP/1.1', 'a base path');
arrives('/based/', $v4, 'GET /a/b/ HTTP/1.1', 'the root of a base path');
arrives('/bare-base/metrics', $v4, 'GET /x/metrics HTTP/1.1',
    'a base path without a scheme');
arrives('/A.z_0~-/metrics', $v4, 'GET /metrics HTTP/1.1',
    'every character that a name may have');
arrives('/-/healthy/metrics', $v4, 'GET /metrics HTTP/1.1',
    'a name like one of our own paths');

SKIP: {
    skip 'this machine has no IPv6', 2 unless $ipv6;

    arrives('/site-a/db-1/v6/metrics', $v6, 'GET /metrics HTTP/1.1',
        'IPv6, and the longest of several names');
    arrives('/six/metrics', $v6, 'GET /metrics HTTP/1.1',
        'localhost tries its second address too');
}

my $r = $nginx->get('/external-host-1');
is("$r->{status} $r->{headers}{location}", '301 /external-host-1/',
    'a name without the slash is redirected');

$r = $nginx->get('/site-a/db-1?a=b%20c');
is("$r->{status} $r->{headers}{location}", '301 /site-a/db-1/?a=b%20c',
    'the redirect keeps the arguments');

for my $path ('/', '/site-a', '/site-a/', '/site-a/db-2/metrics',
    '/external-host', '/external-host-11/metrics', '/External-Host-1/metrics',
    '/external-host-1%00/metrics', '/' . 'x' x 300 . '/', '/' . 'x/' x 200)
{
    my $status = $nginx->get($path)->{status};

    ok($status == 404 || $status == 400, substr($path, 0, 40)
        . ' is no target');
}

is($nginx->get('/nope/metrics')->{body}, 'no target for "/nope/metrics": '
    . "a target's path is /NAME/ with a NAME of the targets or the "
    . "hosts file\n",
    'an unknown name is told in one line');
is($nginx->get('/nope/metrics')->{headers}{'content-type'}, 'text/plain',
    'and in plain text');

for my $path ('/based/..;/x', '/based/a/..;y=z/x', '/based/..%3b/x',
    '/based/..%5c..%5cx', '/based/a%5c..', '/based/x/..;')
{
    is($nginx->get($path)->{body}, "based: the path leads out of \"/a/b/\"\n",
        "$path does not lead out of a base path");
}

arrives('/based/a..;/..b/...;x', $v4, 'GET /a/b/a..;/..b/...;x HTTP/1.1',
    'dots that lead nowhere pass');

# headers of one hop

$v4->arrived;
$nginx->get('/plain/x', headers => [
    'Connection: close, X-Hop,x-two, connection', 'X-Hop: 1', 'X-Two: 2',
    'X-Two: 3', 'X-End: 4', 'Connection: X-Late', 'X-Late: User-Agent',
    'User-Agent: a b' ]);
my ($hop) = $v4->arrived;
unlike($hop, qr/X-Hop|X-Two|X-Late/i, 'headers named in Connection end here');
like($hop, qr/^X-End: 4\r\n/m, 'the others pass');
like($hop, qr/^User-Agent: a b\r\n/m, 'as they are');
unlike($hop, qr/^Connection:/mi, 'Connection itself ends here too');

my $body = 'x' x 100_000;
$v4->arrived;
is($nginx->get('/plain/push', method => 'POST', body => $body)->{status}, 200,
    'a method with a body passes');
my ($request) = $v4->arrived;
is(substr($request, -100_000), $body, 'its body arrives whole');

is($nginx->get('/plain/x', method => 'HEAD')->{status}, 200, 'HEAD passes');

$nginx->finish;

done_testing();
