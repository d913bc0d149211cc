#!/usr/bin/perl

# t/49-token-path.t: what may be asked of a remote: methods and paths, and no
# path leads to another, however it is written

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(request);
use Nginx;
use Query;
use Teller;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my $remote = Backend->new;
my $url = 'http://127.0.0.1:' . $remote->port . '/base';
my $teller = Teller->new("$dir/keeper.socket");
my @names = qw(query write admin all both off);

my %api = (write => 'write', admin => 'admin', all => 'all',
    both => 'query write', off => 'off');

$teller->say("token $_ 1 0 Bearer secret") for @names;

$nginx->configure(
    targets => '',
    http => query_http("127.0.0.1:$port", join '', map {
        remote_location($_, path => "/$_/", url => $url,
            remote => "prefix=/$_",
            more => $api{$_} ? "prom_token_api $api{$_};" : '')
    } @names),
)->start;

sub raw {
    my ($method, $target, $version) = @_;

    return request($port, method => $method, raw => "$method $target HTTP/"
        . ($version // '1.1') . "\r\nHost: x\r\nConnection: close\r\n"
        . ($method =~ /^P/ ? "Content-Length: 0\r\n" : '') . "\r\n");
}

# what arrived, or the status and what kind of an error it is

sub outcome {
    my ($method, $target, $name) = @_;

    my $r = raw($method, '/' . ($name // 'query') . $target);
    my ($sent) = map { /\A([^\r]*) HTTP/ } $remote->arrived;

    return $sent if defined $sent;
    return json_error($r) =~ s/:.*//sr if $r->{body};
    return $r->{status};
}

sub allowed {
    my ($method, $target, $name) = @_;

    is(outcome($method, $target, $name), "$method /base$target",
        ($name // 'query') . ": $method $target");
}

sub denied {
    my ($method, $target, $name) = @_;

    is(outcome($method, $target, $name),
        $method eq 'HEAD' ? 403 : '403 forbidden',
        ($name // 'query') . ": no $method $target");
}

sub bad {
    my ($target, $name) = @_;

    # nginx itself has found that it leads out of the location, or to nowhere

    like(outcome('GET', $target, $name), qr/^40[04] bad_data$/,
        ($name // 'query') . ": bad $target");
}


# the API of queries

for my $path (qw(query query_range query_exemplars series labels format_query
    parse_query read))
{
    allowed($_, "/api/v1/$path") for qw(GET HEAD POST);
    denied($_, "/api/v1/$path") for qw(PUT DELETE PATCH OPTIONS QUERY);
}

for my $path (qw(/api/v1/label/job/values /api/v1/label/__name__/values
    /api/v1/label/U__a_2e_b/values /api/v1/label/a%20b/values
    /api/v1/label/h%C3%A9/values /api/v1/label/a.b/values
    /api/v1/label/.../values
    /api/v1/metadata /api/v1/rules /api/v1/alerts /api/v1/targets
    /api/v1/targets/metadata /api/v1/alertmanagers /api/v1/scrape_pools
    /api/v1/status/buildinfo /api/v1/status/tsdb /federate))
{
    allowed($_, $path) for qw(GET HEAD);
    denied($_, $path) for qw(POST PUT DELETE);
}

allowed('GET', $_) for '/api/v1/query?query=up',
    '/api/v1/query?query=a/../b//c%2f%2e%2e%00%5c\\', '/api/v1/query?',
    '/federate?match[]={job="a"}&match[]=%7B%7D', '/api/v1/query??a=/b';

denied('GET', $_) for qw(/ /x /api /api/v1 /api/v1/ /api/v1/queryx
    /api/v1/query/ /api/v1/query/x /api/v1/write /api/v2/query /-/reload
    /api/v1/status /api/v1/status/ /api/v1/status/a/b /api/v1/label/values
    /api/v1/label/a/b/values /api/v1/admin/tsdb/snapshot /api/v1/Query
    /API/v1/query /graph /metrics /api/v1/query;x /api/v1/%71uery
    /federate/ /api/v1/query%3Fx /api/v1/query%20
    /api/v1/label/a%2eb/values /api/v1/label/a%2Eb/values
    /api/v1/label/a%25b/values);

like(raw('GET', '/query/api/v1/write')->{body},
    qr{"this path is not allowed, queries are: /api/v1/ with query,},
    'what is refused says what is allowed');
like(raw('POST', '/query/api/v1/rules')->{body},
    qr{"this method is not allowed for this path"}, '... or that it isn\'t');


# more of it

allowed('POST', $_, 'write') for qw(/api/v1/write /api/v1/otlp/v1/metrics);
denied('GET', $_, 'write') for qw(/api/v1/write /api/v1/query);
denied('PUT', '/api/v1/write', 'write');
allowed('POST', '/api/v1/write', 'both');
allowed('GET', '/api/v1/query', 'both');
denied('POST', '/api/v1/admin/tsdb/snapshot', 'both');
allowed($_, '/api/v1/admin/tsdb/delete_series?match[]=up', 'admin')
    for qw(POST PUT);
denied('GET', '/api/v1/admin/tsdb/delete_series', 'admin');
denied('POST', '/api/v1/admin/tsdb/a/b', 'admin');

for my $path (qw(/ /x /api/v1/query /-/reload /a/b/c/ /%20 /a%25b /a;b=..
    /config/v1/rules/my%20space /a%2eb /%E4 /..a /a.. /...))
{
    allowed($_, $path, 'all') for qw(GET POST PUT DELETE);
}


# paths that could be read as others

for my $name (qw(query all both)) {
    bad($_, $name) for '/api/v1/../query', '/api/v1/query/..', '/..', '/.',
        '/./api/v1/query', '/api/v1/query/.', '//api/v1/query',
        '/api//v1/query', '/api/v1/query//', '/%2e%2e/x', '/%2E%2E/x',
        '/.%2e/x', '/%2e./x', '/%2e/x', '/api/v1/%2e%2e/query',
        '/api/v1/label/../values', '/api/v1/label/%2e%2e/values',
        '/api/v1/label/%2e/values', '/api/v1/label/./values',
        '/api/v1/label/a%2fb/values', '/api/v1/label/a%2Fb/values',
        '/api/v1/label/a%5cb/values', '/api/v1/label/a%5Cb/values',
        '/api/v1/label/a\\b/values', '/api\\v1\\query', '/..\\x', '/\\..\\x',
        '/..;/x', '/..;a=b/x', '/.;/x', '/%2e%2e;/x', '/..%3b/x',
        '/%252e%252e/x', '/%252e/x', '/%25252e%25252e/x', '/a%252fb',
        '/a%255cb', '/%25%32%65%25%32%65/x', '/%25%32%66', '/%2%65%2%65/x',
        '/a%00', '/a%00/../x', '/%0a', '/%0d%0aX:y', '/a%09', '/a%7f', '/a%1f',
        '/a%2500', '/a%250d%250a', '/%', '/a%2', '/a%zz', '/%u002e', '/a%',
        '/api/v1/query#', '/api/v1/query?a#b', '/#', '/%2f', '/%2f%2fx',
        '/%5c', '/%c0%ae%c0%ae%2fx', '/' . 'a' x 2049,
        '/%' . '25' x 12 . '41';
}

bad('/' . '%25' . '25' x 12 . '2e', 'all');
allowed('GET', '/' . 'a' x 2048, 'all');
allowed('GET', '/api/v1/label/' . 'a' x 2048 . '/values');


# the request line

sub whole {
    my ($target, $status, $promise, @more) = @_;

    my $r = raw('GET', $target, @more);
    is($r->{status}, $status, $promise);
    is(scalar($remote->arrived), 0, '... and nothing arrives');
}

whole("http://x/query/api/v1/query", 400, 'absolute form');
whole("http://127.0.0.1:$port/query/api/v1/query", 400,
    '... with this host');
whole("https://x/query/api/v1/query", 400, '... by https');
whole('/%71uery/api/v1/query', 400, 'a prefix that is escaped');
whole('/x/../query/api/v1/query', 400, 'a prefix behind another');
whole('//query/api/v1/query', 400, '... and behind two slashes');
whole('/query', 301, 'a prefix alone, to which nginx adds a slash');
whole('/other/api/v1/query', 404, 'a path that is no remote\'s');
whole('/query/../write/api/v1/write', 400, 'from one into another');
whole('/query/..', 404, 'out of it');

my $r = request($port, raw => "GET /query/api/v1/query\r\n");
is(scalar($remote->arrived), 0, 'HTTP/0.9: nothing arrives');

allowed('GET', '/api/v1/query?' . 'x' x 4000);

is(outcome('GET', '/a//b/%2e%2e/c', 'off') =~ s/ .*//sr, 'GET',
    'off: no look at it');

$nginx->finish;

done_testing();
