#!/usr/bin/perl

# t/49-token-again.t: a token that the remote refuses is replaced, and the
# request sent once more; what the remote says otherwise is passed on

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(connection read_response request send_request);
use Nginx;
use Query;
use Teller;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();


# A remote that takes "Bearer good..." alone; by its path it does more.

my $remote = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($method, $uri) = $request =~ /\A(\S+) (\S+)/;
    my ($token) = $request =~ /^Authorization: Bearer (\S+)\r$/m;
    $token //= 'none';
    my ($status, $more, $body) = ('200 OK', '', "$method $uri $token\n");

    if ($uri =~ /raw=([0-9a-f]+)/) {
        syswrite $s, pack 'H*', $1;
        return 0;
    }

    if ($uri =~ /case=(\d+)/) {
        $status = "$1 Something";
        $body = "{\"status\":\"error\",\"case\":$1}";
        $more = "Location: http://169.254.169.254/latest\r\n" if $1 == 302;
        $more = "Retry-After: 7\r\n" if $1 == 429;

    } elsif ($token !~ /^good/) {
        $status = '401 Unauthorized';
        $more = "WWW-Authenticate: Bearer realm=\"x\"\r\nX-Only: here\r\n";
        $body = "refused $token\n";
    }

    my $length = length $body;
    $body = '' if $method eq 'HEAD';
    syswrite $s, "HTTP/1.1 $status\r\nContent-Type: application/json\r\n"
        . "Content-Length: $length\r\n$more\r\n$body";

    return 1;
});

my $url = 'http://127.0.0.1:' . $remote->port;
my $closed = free_port();

# Of a remote's name, its keeper does what it begins with.

my $version = 100;
my $teller = Teller->new("$dir/keeper.socket", fresh => sub {
    my ($name, $refused) = @_;

    $version++;
    return "token $name $version 0 Bearer good$version" if $name =~ /^good/;
    return "token $name $version 0 Bearer bad$version" if $name =~ /^bad/;
    return "nothing $name 0 the token endpoint answered 400"
        if $name =~ /^nothing/;
    return;
});

my @remotes = map { my $kind = $_; map { "$kind$_" } 1 .. 9 }
    qw(good bad nothing silent);
$teller->say("token $_ 1 0 Bearer stale") for @remotes;
$teller->say('token alone 1 0 Bearer stale');
$teller->say('token gone 1 0 Bearer stale');
$teller->say('plain plain 1 0');

$nginx->configure(
    targets => '',
    http => query_http("127.0.0.1:$port", join('',
        (map { remote_location($_, path => "/$_/", url => $url,
            remote => "prefix=/$_") } @remotes),
        remote_location('alone', path => '/alone/', url => $url,
            remote => 'prefix=/alone', retry => 0),
        remote_location('plain', path => '/plain/', url => $url,
            remote => 'prefix=/plain'),
        remote_location('gone', path => '/gone/',
            url => "http://127.0.0.1:$closed", remote => 'prefix=/gone'),
        ), wait => '2s', body => '64k'),
)->start;

my $query = '/api/v1/query?query=up';

sub ask {
    my ($remote, %o) = @_;

    return request($port, path => "/$remote$query", %o);
}

# the tokens that have arrived, by their first letters

sub tokens {
    return join ' ', map { /^Authorization: Bearer ([a-z]+)/m ? $1 : 'none' }
        $remote->arrived;
}

ok(await(sub { request($port, path => '/-/ready')->{status} == 200 }),
    'ready');


# a newer one

my $r = ask('good1');
is($r->{status}, 200, 'refused, and then not');
like($r->{body}, qr{\AGET /api/v1/query\?query=up good\d+\n\z},
    '... the same request');
is($r->{headers}{'www-authenticate'} // $r->{headers}{'x-only'} // 'none',
    'none', '... nothing of the first answer');
is(tokens(), 'stale good', '... sent twice');
is(join('|', $teller->heard), 'fresh good1 1',
    '... and the keeper was asked for a newer one than that');

is(ask('good1')->{status}, 200, 'the next request');
is(tokens(), 'good', '... goes with that at once');

$r = ask('good2', method => 'HEAD');
is("$r->{status} " . tokens(), '200 stale good', 'HEAD');

my $body = 'query=' . 'x' x 60_000;
$r = ask('good3', method => 'POST', body => $body,
    headers => ['Content-Type: application/x-www-form-urlencoded']);
is($r->{status}, 200, 'POST');
my @sent = $remote->arrived;
is(scalar(@sent), 2, '... was sent twice');
like($_, qr/\r\n\r\n\Q$body\E\z/, '... with all of its body') for @sent;
like($_, qr{^Content-Type: application/x-www-form-urlencoded\r$}m,
    '... and its type') for @sent;

my $s = connection($port);
send_request($s, path => "/good4$query", method => 'POST', body => 'query=up',
    keepalive => 1);
is(read_response($s)->{status}, 200, 'on a connection that is kept');
send_request($s, path => "/good5$query", keepalive => 1);
is(read_response($s)->{status}, 200, '... and once more');
$remote->arrived;


# what can't be sent again

$r = ask('good6', method => 'POST', body => 'x' x 70_000);
is($r->{status}, 401, 'a larger body streams');
is($r->{body}, "refused stale\n", '... and what the remote says is passed on');
is($r->{headers}{'www-authenticate'}, 'Bearer realm="x"', '... in full');
is(tokens(), 'stale', '... sent once');

$r = request($port, raw => "POST /good6$query HTTP/1.1\r\nHost: x\r\n"
    . "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    . "5\r\nquery\r\n0\r\n\r\n");
is("$r->{status} " . tokens(), '401 stale', 'one without a length');

is(ask('alone')->{status}, 401, 'without a location for it');
is(tokens(), 'stale', '... sent once');
is(ask('plain')->{status}, 401, 'a remote that wants none');
is(tokens(), 'none', '... sent once');


# one that doesn't help

my $start = time;
$r = ask('bad1');
like("$r->{status} $r->{body}", qr/\A401 refused bad\d+\n\z/, 'refused twice');
is(tokens(), 'stale bad', '... and sent twice, not more');
cmp_ok(time - $start, '<', 1 * $slow, '... at once');

$start = time;
$r = ask('bad1');
is("$r->{status} " . tokens(), '401 bad', 'for 10 seconds, none is asked for');
cmp_ok(time - $start, '<', 1 * $slow, '... nor waited for');
is(scalar(grep { /bad1/ } $teller->heard), 1, '... indeed');

$start = time;
$r = ask('nothing1');
is("$r->{status} " . tokens(), '401 stale stale',
    'the keeper has none: what there is');
cmp_ok(time - $start, '<', 1 * $slow, '... at once');

$start = time;
$r = ask('silent1');
is("$r->{status} " . tokens(), '401 stale stale', 'the keeper says nothing');
cmp_ok(time - $start, '>', 1.5, '... which was waited for');
cmp_ok(time - $start, '<', 2 + 2 * $slow, '... up to prom_token_wait');
is(ask('silent1')->{status} . ' ' . tokens(), '401 stale',
    '... once, not by each request');

# all that come meanwhile wait for the one answer

my @all = map { connection($port) } 1 .. 5;
send_request($_, path => "/silent2$query") for @all;
ok(await(sub { grep { /silent2/ } $teller->heard }), 'asked');
sleep 0.3;
$teller->say('token silent2 9 0 Bearer good');
is(read_response($_)->{status}, 200, 'answered with the newer one') for @all;
is(scalar(grep { /silent2/ } $teller->heard), 1, '... that was asked for once');
$remote->arrived;

$s = connection($port);
send_request($s, path => "/silent3$query", keepalive => 1);
ok(await(sub { grep { /silent3/ } $teller->heard }), 'asked');
close $s;
$teller->say('token silent3 9 0 Bearer good');
is(ask('silent3')->{status}, 200, 'a client that left meanwhile is no matter');
$remote->arrived;


# the remote's own answers

for my $case (302, 400, 403, 404, 413, 422, 429, 500, 502, 503, 504) {
    $r = ask('good1', path => "/good1$query&case=$case");
    is("$r->{status} $r->{body}",
        "$case {\"status\":\"error\",\"case\":$case}",
        "$case is passed as it is");
    is($r->{headers}{location}, 'http://169.254.169.254/latest',
        '... with where it leads to') if $case == 302;
    is($r->{headers}{'retry-after'}, 7, '... with Retry-After')
        if $case == 429;
}

# What nginx would pass on without a head, or as one that has no end. Since
# 1.29.0 it knows 103, and takes what is behind that for the answer.

my $hints = $nginx->version >= 1029000;
my $forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
my %none = (
    'no status line' => "forged\n",
    'no status line, and an answer behind' => "X: y\r\n\r\n$forged",
    map({ ("status $_" => "HTTP/1.1 $_ Some\r\n\r\n$forged") }
        '000', 100, 101, 103, 199));

for my $what (sort keys %none) {
    my $path = "/good1$query&raw=" . unpack 'H*', $none{$what};
    is(json_error(ask('good1', path => $path, timeout => 10)),
        $hints && $what eq 'status 103' ? '200 no JSON: forged'
        : '502 unavailable: good1: the answer of 127.0.0.1:' . $remote->port
        . ' is not valid HTTP', "none of HTTP/1: $what");
}

$remote->arrived;
is(json_error(ask('gone')), "502 unavailable: gone: connect to "
    . "127.0.0.1:$closed: connection refused", 'one that isn\'t there');

# also if it goes between two tries

$remote->stop;
my $address = '127.0.0.1:' . $remote->port;
my $gone = qr/(?:connect\ to\ $address:\ connection\ refused
    |$address\ closed\ the\ connection\ without\ an\ answer)/x;
like(json_error(ask('good1')), qr/^502 unavailable: good1: $gone$/,
    'nor any more');

my $last = Backend->new(port => $remote->port, answer => sub {
    my ($s) = @_;

    # nobody listens from here on
    kill 'KILL', getppid;
    syswrite $s, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"
        . "Connection: close\r\n\r\n";
    return 0;
});

like(json_error(ask('good9')), qr/^502 unavailable: good9: $gone$/,
    'one that is gone at the second try');

$nginx->finish;

done_testing();
