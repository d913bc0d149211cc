#!/usr/bin/perl

# t/87-query-aws.t: the query proxy of the image signs requests for AWS, with
# keys of the environment, and with such as are renewed

use warnings;
use strict;

use FindBin;
use POSIX qw(strftime);
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await);
use Http qw(request);
use Nginx qw(free_port);
use SigV4;
use TokenEndpoint;

my $endpoint = TokenEndpoint->new;
my $remote = Backend->new;
my $url = 'http://127.0.0.1:' . $remote->port . '/workspaces/ws-1';
my %keys = (region => 'eu-west-1', service => 'aps', key => 'AKIDEXAMPLE',
    secret => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
    session => 'AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22w==');


# The proxy alone, in the test's network, at a port of its own.

sub start {
    my (%environment) = @_;

    my $port = free_port();
    my $proxy = Container->run(options => [ '--network', 'host',
            map { ('-e', "$_=$environment{$_}") } sort keys %environment ],
        command => [ 'run', '--prometheus-url', $url, '--auth', 'aws',
            '--port', $port, '--log-level', 'debug' ]);

    ok(await(60, sub { request($port, path => '/-/ready')->{status} == 200 }),
        'it has keys') or diag $proxy->logs;

    return ($proxy, $port);
}


# What is wrong with what arrives of a query.

sub mistake {
    my ($port, $want, $path, %o) = @_;

    my $status = request($port, path => $path, %o)->{status};
    my @arrived = $remote->arrived;

    return @arrived . " requests, $status" if @arrived != 1 || $status != 200;
    return sigv4_mistake($arrived[0], %$want);
}


# of the environment

my ($proxy, $port) = start(AWS_REGION => $keys{region},
    AWS_ACCESS_KEY_ID => $keys{key}, AWS_SECRET_ACCESS_KEY => $keys{secret},
    AWS_SESSION_TOKEN => $keys{session});

is(mistake($port, \%keys, '/api/v1/query?query=up+offset+5m&time=1'), undef,
    'a query is signed');
is(mistake($port, \%keys, '/api/v1/label/a%20b/values?match[]=up'), undef,
    '... whatever is encoded, or is not');
is(mistake($port, \%keys, '/api/v1/query_range', method => 'POST',
    body => 'query=up&start=1&end=2&step=1',
    headers => [ 'Content-Type: application/x-www-form-urlencoded' ]), undef,
    '... and so is a form');
is(request($port, path => '/api/v1/query', method => 'POST',
    body => 'x' x (1024 * 1024 + 1))->{status}, 413,
    'one of more than 1 MB is not taken');
is(request($port, raw => "POST /api/v1/query HTTP/1.1\r\nHost: proxy\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n100001\r\n" . 'x' x 0x100001)->{status},
    413, '... nor is its end waited for, if it doesn\'t tell its length');
is(scalar $remote->arrived, 0, '... and not sent on');

unlike($proxy->logs, qr/\Q$_\E/, 'no log has a secret')
    for @keys{qw(secret session)};
$proxy->remove;


# of a container's role, whose keys are renewed

sub answer {
    my ($seconds, $key) = @_;

    return { json => { AccessKeyId => $key, SecretAccessKey => "secret/of+$key",
        Token => "token-of-$key", Expiration => strftime('%Y-%m-%dT%H:%M:%SZ',
            gmtime time + $seconds) } };
}

sub keys_of {
    my ($key) = @_;

    return { %keys, key => $key, secret => "secret/of+$key",
        session => "token-of-$key" };
}

$endpoint->answer('/keys', answer(40, 'FIRST'), answer(3600, 'SECOND'));

($proxy, $port) = start(AWS_REGION => $keys{region},
    AWS_CONTAINER_CREDENTIALS_FULL_URI => $endpoint->url('/keys'));

is(mistake($port, keys_of('FIRST'), '/api/v1/query?query=up'), undef,
    'the first keys sign');
ok(await(60, sub {
    !defined mistake($port, keys_of('SECOND'), '/api/v1/query?query=up')
}), 'those that follow sign, too');

is(request($port, path => '/metrics')->{body}
    =~ /^monitoring_proxy_query_token_refreshes_total\{remote="remote"\} (\d+)/m
    && $1, 2, '... and were fetched once');

$proxy->remove;

done_testing();
