#!/usr/bin/perl

# t/49-token-metrics.t: the page of metrics has what remotes were asked, and how
# long their credentials are good for, in an nginx without targets, too

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(connection request send_request);
use Nginx;
use Query;
use Teller;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = $nginx->port;
my $query = '/api/v1/query?query=up';

# a remote that answers as its path says, or never

my $remote = Backend->new(answer => sub {
    my ($s, $request) = @_;
    my ($status) = $request =~ /query=status-(\d+)/;

    sleep 600 if $request =~ /query=never/;

    print $s 'HTTP/1.1 ' . ($status // 200) . " Whatever\r\n"
        . "Content-Length: 0\r\n\r\n";
    $s->flush;

    return 1;
});

my $url = 'http://127.0.0.1:' . $remote->port;

sub configured {
    my ($zone, @names) = @_;

    my $first = shift @names;
    my $http = query_http("127.0.0.1:$port",
        remote_location($first, url => $url)
        . join('', map {
            remote_location($_, path => "/$_/", url => $url,
                remote => "prefix=/$_")
        } @names),
        wait => '10ms', http => $zone,
        server => 'location = /metrics { prom_proxy_metrics; }');

    $nginx->write('nginx.conf', <<"END");
load_module $ENV{MP_MODULE};
daemon off;
user root;
worker_processes 2;
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/logs/error.log debug;
events { worker_connections 512; }
http {
    access_log off;
    $http
}
END

    return $nginx;
}

sub page {
    my (@headers) = @_;

    return request($port, path => '/metrics', headers => \@headers)->{body};
}

# the value of a sample, its labels sorted as the page has them

sub sample {
    my ($name, $page) = @_;

    return ($page // page()) =~ /^monitoring_proxy_query_\Q$name\E (\S+)$/m
        ? $1 : undef;
}

sub asked {
    my ($path, %o) = @_;

    return request($port, path => $path, %o)->{status};
}


my $keeper = Teller->new("$dir/keeper.socket");
$keeper->say('token one 1 3600000 Bearer first');
$keeper->say('token ever 1 0 Bearer ever');
$keeper->say('plain none 1 0');
$keeper->say('nothing bad 100 the token endpoint answered 400');

my @names = qw(one ever none bad);

configured('prom_token_zone query 64k;', @names)->start;

# each of the workers has to have heard of all

sub heard {
    my ($name, $value) = @_;

    for (1 .. 20) {
        return if (sample($name) // '') !~ $value;
    }

    return 1;
}

ok(await(sub { heard('token_expiry_timestamp_seconds{remote="ever"}',
    qr/^\+Inf$/) }), 'one that is good for ever');

my $now = time;
my $expiry = sample('token_expiry_timestamp_seconds{remote="one"}');
cmp_ok(abs($expiry - $now - 3600), '<', 30, 'one that expires');
is(sample('token_expiry_timestamp_seconds{remote="none"}'), undef,
    'a remote that wants none');
is(sample('token_expiry_timestamp_seconds{remote="bad"}'), 0,
    'one that there is none for');


# requests

is(sample("requests_total{remote=\"$_\",code=\"200\"}"), 0,
    "$_: none was asked") for @names;

is(asked($query), 200, 'a query') for 1 .. 3;
is(asked("$query&query=status-422"), 422, 'a wrong one');
is(asked('/api/v1/admin/tsdb/snapshot'), 403, 'one that is not allowed');
is(asked("/bad$query"), 503, 'one without a token');
is(asked("/none$query"), 200, 'one that needs none');

my $s = connection($port);
send_request($s, path => '/api/v1/query?query=never');
ok(await(sub { grep { $_->[1] =~ /never/ } $remote->requests }),
    'one that waits');
close $s;

ok(await(sub { sample('requests_total{remote="one",code="aborted"}') == 1 }),
    '... and is given up');

my $page = page();

is(sample("requests_total{remote=\"$_->[0]\",code=\"$_->[1]\"}", $page),
    $_->[2], "$_->[0]: $_->[1]") for [ one => 200, 3 ], [ one => 422, 1 ],
    [ one => 403, 1 ], [ bad => 503, 1 ], [ bad => 200, 0 ],
    [ none => 200, 1 ], [ ever => 200, 0 ], [ ever => 503, undef ];

is(sample('duration_seconds_count{remote="one"}', $page), 6,
    'each took its time');
is(sample('duration_seconds_bucket{remote="one",le="+Inf"}', $page), 6,
    '... and is in a bucket');
cmp_ok(sample('duration_seconds_bucket{remote="one",le="60"}', $page), '>=', 5,
    '... by its length');
like($page, qr/^monitoring_proxy_query_duration_seconds_sum\{remote="one"\}
    [ ][0-9.]+$/mx, '... which are summed up');


# what the keeper has counted

is(sample('token_refreshes_total{remote="one"}', $page), 0, 'no refresh');

$keeper->say('stats one 7 1 2 3 4 5 6 8');
ok(await(sub { heard('token_refreshes_total{remote="one"}', qr/^7$/) }),
    'refreshes');

my $n = 0;

for (qw(connect timeout refused throttled server invalid file)) {
    is(sample("token_refresh_failures_total{remote=\"one\",reason=\"$_\"}"),
        (1 .. 6, 8)[$n++], "failures: $_");
}

$keeper->say('token one 2 1 Bearer second');
ok(await(sub { heard('token_expiry_timestamp_seconds{remote="one"}',
    qr/^0$/) }), 'one that has expired');


# the page

$page = page();
is(() = $page =~ /^# TYPE /mg, 6, 'there are those, and the build\'s');
like($page, qr/^monitoring_proxy_build_info\{/m, '... which is there');
unlike($page, qr/target/, '... and none of targets');

SKIP: {
    skip 'promtool: MP_PROMTOOL is not set', 1 unless $ENV{MP_PROMTOOL};

    open my $fh, '|-', "$ENV{MP_PROMTOOL} check metrics >$dir/said 2>&1"
        or die "promtool: $!\n";
    print $fh $page;
    close $fh;
    is("$?: " . Nginx::slurp("$dir/said"), '0: ', 'promtool check metrics');
}

$page = page('Accept: application/openmetrics-text; version=1.0.0');
like($page, qr/^# TYPE monitoring_proxy_query_requests counter$/m,
    'OpenMetrics: a counter');
like($page, qr/^# UNIT monitoring_proxy_query_duration_seconds seconds$/m,
    '... and a unit');
like($page, qr/\{remote="one",le="60\.0"\}/, '... and a bound');
like($page, qr/\n# EOF\n\z/, '... whole');


# a reload

configured('prom_token_zone query 64k;', qw(one other));
$nginx->signal('HUP');
ok(await(sub { heard('requests_total{remote="other",code="200"}', qr/^0$/) }),
    'a reload: one that is new begins');

$page = page();
is(sample('requests_total{remote="one",code="200"}', $page), 3,
    '... numbers go on');
unlike($page, qr/remote="bad"/, '... one that is gone is not told');

configured('prom_token_zone query 64k;', @names);
$nginx->signal('HUP');
ok(await(sub {
    (sample('requests_total{remote="bad",code="503"}') // '') eq '1'
}), '... and goes on, once it is back');


# without a zone, and with one that is too small

configured('', @names);
$nginx->signal('HUP');
ok(await(sub { page() !~ /requests_total/ }), 'no zone, no requests');
is(sample('token_expiry_timestamp_seconds{remote="ever"}'), '+Inf',
    '... but tokens');

configured('prom_token_zone query 64k;', map { "remote-$_" } 1 .. 50);
is(($nginx->check)[0], 0, '64k are enough for 50');

configured('prom_token_zone query 64k;', map { "remote-$_" } 1 .. 200);
my ($status, $said) = $nginx->check;
isnt($status, 0, 'a zone that is too small');
like($said, qr/"query" is too small: it has no room for "remote-\d+"/,
    '... which is told');

for ([ 'twice', 'prom_token_zone a 64k; prom_token_zone b 64k;',
        qr/"prom_token_zone" directive is duplicate/ ],
    [ 'of a page', 'prom_token_zone a 4k;', qr/zone "a" is too small/ ],
    [ 'of no size', 'prom_token_zone a x;', qr/invalid zone size "x"/ ])
{
    my ($what, $zone, $why) = @$_;

    configured($zone, @names);
    ($status, $said) = $nginx->check;
    like($status . $said, qr/\A[1-9].*$why/s, "a zone $what");
}

$nginx->finish(qr/no room for|duplicate|too small|invalid zone size/);

done_testing();
