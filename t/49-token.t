#!/usr/bin/perl

# t/49-token.t: a request through the query proxy carries the remote's
# credential, and nothing of its caller's

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(connection read_response request send_request);
use Teller;
use Nginx;
use Query;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my $remote = Backend->new;
my $url = 'http://127.0.0.1:' . $remote->port;

my $keeper = Teller->new("$dir/keeper.socket");
$keeper->say('token one 1 0 Bearer first');
$keeper->say('token two 7 60000 Basic dXNlcjpwYXNz');
$keeper->say('plain none 1 0');
$keeper->say('token unknown 1 0 Bearer nobody');

$nginx->configure(
    targets => '',
    http => query_http("127.0.0.1:$port",
        remote_location('one', url => $url)
        . remote_location('two', path => '/two/', url => "$url/base/path/",
            remote => 'prefix=/two')
        . remote_location('none', path => '/none/', url => $url,
            remote => 'prefix=/none')),
)->start;

sub ask {
    my ($path, %o) = @_;

    return request($port, path => $path, %o);
}

sub arrived {
    my @all = $remote->arrived;

    return @all == 1 ? $all[0] : scalar(@all) . ' requests';
}

sub authorization {
    return arrived() =~ /^Authorization: ([^\r]*)/m ? $1 : '';
}


# credentials

my $query = '/api/v1/query?query=up%7Bjob%3D%22a%20b%22%7D&time=1';

ok(await(sub { ask('/-/ready')->{status} == 200 }), 'ready');
is(ask('/-/ready')->{body}, "ready\n", '... in a word');

my $r = ask($query);
is($r->{status}, 200, 'a query is answered');
is($r->{body}, "GET $query HTTP/1.1\n", '... what was asked, as it came');
is(authorization(), 'Bearer first', '... with the credential');

is(ask("/two$query")->{body}, "GET /base/path$query HTTP/1.1\n",
    'by a prefix, behind the path of the URL');
is(authorization(), 'Basic dXNlcjpwYXNz', '... with that remote\'s');

is(ask("/none$query")->{status}, 200, 'a remote that wants none');
unlike(arrived(), qr/^authorization/mi, '... gets none');

$keeper->say('token one 2 0 Bearer second');
ok(await(sub { ask($query); authorization() eq 'Bearer second' }),
    'a newer one takes its place');


# nothing of the caller's

my @kept = ('Accept: application/json', 'Accept-Encoding: gzip',
    'User-Agent: promtool', 'X-Prometheus-Remote-Read-Version: 0.1.0',
    'traceparent: 00-1-2-01');
my @dropped = ('Authorization: Bearer mine', 'Cookie: a=b',
    'Proxy-Authorization: Basic bWluZQ==', 'Proxy-Connection: keep-alive',
    'X-Amz-Date: 20260101T000000Z', 'X-Amz-Security-Token: mine',
    'X-Amz-Target: mine', 'X-Scope-OrgID: mine', 'TE: trailers',
    'Upgrade: websocket', 'X-Forwarded-For: 127.0.0.1', 'X-Secret: mine',
    'Connection: X-Secret, Accept', 'Keep-Alive: timeout=5', 'Range: bytes=0-',
    'Forwarded: for=x');

ask($query, headers => [ @kept, @dropped ]);
my $sent = arrived();

like($sent, qr/^Authorization: Bearer second\r$/m,
    'the caller\'s Authorization is replaced');
unlike($sent, qr/mine|a=b|x-secret|x-amz|proxy-|x-scope|forwarded|upgrade
    |keep-alive|cookie|range/xi, '... nothing else of it arrives');
like($sent, qr/^\Q$_\E\r$/m, "... but $_") for @kept[1 .. $#kept];
like($sent, qr/^Host: 127\.0\.0\.1:\d+\r$/m, '... and the remote\'s host');

is(ask($query, method => 'HEAD')->{status}, 200, 'HEAD');
like(arrived(), qr{\AHEAD /api/v1/query\?}, '... stays HEAD');

$r = ask('/api/v1/query', method => 'POST', body => 'query=up&x=%2e%2e',
    headers => ['Content-Type: application/x-www-form-urlencoded']);
is($r->{status}, 200, 'POST');
$sent = arrived();
like($sent, qr/\r\n\r\nquery=up&x=%2e%2e\z/, '... with its body');
like($sent, qr/^Content-Length: 17\r$/m, '... its length');
like($sent, qr{^Content-Type: application/x-www-form-urlencoded\r$}m,
    '... and its type');


# connections are kept

my %connections = map { $_->[0] => 1 } $remote->requests;
cmp_ok(keys %connections, '<', 5, 'connections to the remote are kept');

my $s = connection($port);

for my $n (1 .. 3) {
    send_request($s, path => $query, keepalive => 1);
    is(read_response($s)->{status}, 200, "request $n of a connection");
}

$nginx->finish;

done_testing();
