#!/usr/bin/perl

# t/49-token-aws.t: requests to AWS are signed so that what arrives verifies,
# with the credentials that the keeper has said last

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(request);
use Nginx;
use Query;
use SigV4;
use Teller;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my $refused = "$dir/refused";

# one that refuses a key, as long as its file is there

my $remote = Backend->new(answer => sub {
    my ($s, $request) = @_;

    return Backend::ok($s, $request) if !-e $refused
        || $request !~ /Credential=REFUSED\//;

    print $s "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    $s->flush;

    return 1;
});

my $url = 'http://127.0.0.1:' . $remote->port;
my %first = (region => 'eu-west-1', service => 'aps', key => 'AKIDEXAMPLE',
    secret => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
    session => 'AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22w==');
my %second = (%first, key => 'ASIASECOND', secret => 'another/secret+key');

sub line {
    my ($name, $version, %o) = @_;

    return "aws $name $version 3600000 $o{region} $o{key} $o{secret} "
        . ($o{session} // '-');
}

my $keeper = Teller->new("$dir/keeper.socket", fresh => sub {
    my ($name, $version) = @_;
    return line($name, $version + 1, %second);
});

$keeper->say(line('ws', 1, %first));
$keeper->say(line('plain', 1, %first, session => undef));
$keeper->say(line($_, 1, %first, key => 'REFUSED')) for qw(get post);

$nginx->configure(
    targets => '',
    http => query_http("127.0.0.1:$port",
        remote_location('ws', url => "$url/workspaces/ws-1/")
        . remote_location('plain', path => '/plain/', url => $url,
            remote => 'prefix=/plain')
        . join('', map {
            remote_location($_, path => "/$_/", url => $url,
                remote => "prefix=/$_")
        } qw(get post))
        . "location /own/ { prom_token plain; prom_token_api off; "
        . "proxy_pass $url; }",
        body => '100k'),
)->start;

ok(await(sub { request($port, path => '/-/ready')->{status} == 200 }),
    'ready');


# Asks, and has the one request that arrived verified.

sub verified {
    my ($promise, $want, $path, %o) = @_;

    my $r = request($port, path => $path, %o);
    my @arrived = $remote->arrived;

    is(@arrived . " $r->{status}", '1 200', $promise);
    is(sigv4_mistake($arrived[0] // '', %$want), undef, '... and verifies');

    return $arrived[0] // '';
}

my $form = 'Content-Type: application/x-www-form-urlencoded';


# what is asked

my $sent = verified('a query', \%first, '/api/v1/query?query=up&time=1');
like($sent, qr{\AGET /workspaces/ws-1/api/v1/query\?query=up&time=1 },
    '... behind the path of the URL');

verified('without arguments', \%first, '/api/v1/labels');
verified('with none behind the "?"', \%first, '/api/v1/labels?');

$sent = verified('encoded arguments', \%first, '/api/v1/query_range?'
    . 'query=rate(x%7Bjob%3D~%22a.%2B%22%7D%5B5m%5D)&start=1&end=2&step=15s');
like($sent, qr{\?end=2&query=rate%28x%7Bjob%3D~%22a\.%2B%22%7D%5B5m%5D%29&},
    '... arrive so, and sorted');

$sent = verified('arguments of a form', \%first,
    '/api/v1/query?query=up+offset+5m&x=a%2Bb');
like($sent, qr{\?query=up%20offset%205m&x=a%2Bb }, '... with spaces');

$sent = verified('raw brackets', \%first,
    '/api/v1/series?match[]=up&match[]=a{b="c"}&match[]=a');
like($sent, qr{\?match%5B%5D=a&match%5B%5D=a%7Bb%3D%22c%22%7D&match%5B%5D=up },
    '... encoded');

$sent = verified('a name with escapes', \%first,
    '/api/v1/label/a%20b%c3%A9/values?match%5b%5d=up');
like($sent, qr{/label/a%20b%c3%A9/values}, '... whose path is as it was');

verified('characters of a path that are encoded but once', \%first,
    '/api/v1/label/a:b@c,d=e/values');

verified('HEAD', \%first, '/api/v1/query?query=up', method => 'HEAD');

my $many = join '&', map { 'match[]=' . $_ * 7919 % 600 } 1 .. 600;

verified('hundreds of arguments', \%first, "/api/v1/series?$many");


# bodies

my $max = 100 * 1024;

$sent = verified('a form', \%first, '/api/v1/query', method => 'POST',
    body => 'query=up+offset+5m&time=1', headers => [ $form ]);
like($sent, qr/\r\n\r\nquery=up\+offset\+5m&time=1\z/, '... as it came');

verified('a body without bytes', \%first, '/api/v1/query', method => 'POST',
    body => '', headers => [ $form ]);
verified('one of the size that is held', \%first, '/api/v1/query',
    method => 'POST', body => 'x' x $max, headers => [ $form ]);
verified('one in chunks', \%first, '/api/v1/query', raw => join "\r\n",
    'POST /api/v1/query HTTP/1.1', 'Host: proxy', 'Connection: close', $form,
    'Transfer-Encoding: chunked', '', '6', 'query=', '2', 'up', '0', '', '');

my $large = sprintf '%x', $max + 1;

for ([ 'with a length' => method => 'POST', path => '/api/v1/query',
        body => 'x' x ($max + 1), headers => [ $form ] ],
    [ 'in chunks' => raw => join "\r\n", 'POST /api/v1/query HTTP/1.1',
        'Host: proxy', 'Connection: close', $form,
        'Transfer-Encoding: chunked', '', $large, 'x' x ($max + 1), '0', '',
        '' ])
{
    my ($how, @request) = @$_;

    like(json_error(request($port, @request)), qr/^413 bad_data: /,
        "a larger one, $how: 413");
    is(scalar $remote->arrived, 0, '... and nothing is sent');
}


# credentials

$sent = verified('without a session', { %first, session => '' },
    '/plain/api/v1/query?query=up');
unlike($sent, qr/security-token/i, '... there is no header for it');

$sent = verified('a caller\'s own headers', \%first, '/api/v1/query?query=up',
    headers => [ 'X-Amz-Date: 20010101T000000Z', 'X-Amz-Security-Token: mine',
        'X-Amz-Content-Sha256: 0', 'Authorization: AWS4-HMAC-SHA256 mine' ]);
unlike($sent, qr/mine|2001|sha256: 0/i, '... don\'t arrive');

$keeper->say(line('ws', 2, %second));
ok(await(sub {
    request($port, path => '/api/v1/query?query=up');
    !defined sigv4_mistake(($remote->arrived)[-1], %second);
}), 'newer credentials sign');

$keeper->say(line('ws', 3, %second, region => 'us-east-2'));
ok(await(sub {
    request($port, path => '/api/v1/query?query=up');
    !defined sigv4_mistake(($remote->arrived)[-1], %second,
        region => 'us-east-2');
}), '... for another region, too');


# a second try

$nginx->write('refused', '');

for ([ 'GET', 'get', '?query=a+b' ], [ 'POST', 'post', '', 'query=up' ]) {
    my ($method, $name, $arguments, $body) = @$_;

    my $r = request($port, method => $method,
        path => "/$name/api/v1/query$arguments", headers => [ $form ],
        defined $body ? (body => $body) : ());
    my @arrived = $remote->arrived;

    is(@arrived . " $r->{status}", '2 200', "$method: a second try");
    is(sigv4_mistake($arrived[0] // '', %first, key => 'REFUSED'), undef,
        '... the first verifies');
    is(sigv4_mistake($arrived[1] // '', %second), undef,
        '... and the second, with newer credentials');
}

# without a host to sign for

is(request($port, path => '/own/api/v1/query')->{status}, 500,
    'a proxy_pass of its own');
is(scalar $remote->arrived, 0, '... is no remote that can be signed for');
like($nginx->log, qr/location of "prom_token plain" hasn't/,
    '... which is told');

unlike($nginx->log, qr/\Q$_\E/, 'no secret in the log, which is for debug')
    for $first{secret}, $second{secret};

$nginx->finish;

done_testing();
