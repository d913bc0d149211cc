#!/usr/bin/perl

# t/98-discovery-serve.t: one list of all targets for Prometheus, each at the
# proxy that holds it

use warnings;
use strict;

use File::Temp;
use FindBin;
use IO::Socket qw(SOL_SOCKET SO_RCVBUF);
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory);
use Discovery qw(free_port group write_to);
use DiscoveryProxy;
use Http qw(connection read_response request send_request);

my ($first, $second) = sort { $a->address cmp $b->address }
    map { DiscoveryProxy->new } 1 .. 2;
my ($at, $also) = map { $_->address } $first, $second;


# A discovery of both, that serves one list.

sub serving {
    my @args = @_;

    return Discovery->new("--static=$at,$also", '--interval=1s', '--sd-listen',
        @args);
}


# Waits until it lists that, and tells what it does list.

sub lists {
    my ($discovery, $expected) = @_;

    await(10, sub { $discovery->listed eq $expected });

    return $discovery->listed;
}


sub shown {
    my ($labels) = @_;

    return join ',', map { "$_=$labels->{$_}" } sort keys %$labels;
}


# Before all is known

$first->lists(group('a'));
$second->says('/targets', wait => 2, body => '[]');

my $d = serving();
await(10, sub { $first->asked && $d->page('/metrics') });

is($d->page('/targets')->{status}, 503,
    'there is no list as long as a proxy wasn\'t asked');
is($d->page('/-/ready')->{status}, 503, 'and it isn\'t ready');
is($d->page('/-/healthy')->{status}, 200, 'though healthy');
ok($d->ready, 'until all were');
is($d->listed, "a\@$at", 'then there is the list');
$d->stop;

$_->says('/targets', status => 500, body => "no list\n") for $first, $second;
$d = serving();
await(10, sub { $first->asked && $second->asked });
ok(await(10, sub { $d->page('/targets')->{body} =~ /^none of the proxies/ }),
    'nor is there one while no proxy has ever answered');
is($d->page('/-/ready')->{status}, 503, 'and it isn\'t ready');

$first->lists(group('a'));
ok($d->ready, 'until one has');
is($d->listed, "a\@$at", 'which is listed without the other');
like($d->log, qr/has failed to list.*proxy=\Q$also\E.*err=".*status 500: no list"/,
    'of which the log says why');
is($d->stop, 0, 'it ends in order');


# Merged

$first->lists(group('a', team => 'x y'), group('c'));
$second->lists(group('b'));

$d = serving();

is(lists($d, "a\@$at b\@$also c\@$at"), "a\@$at b\@$also c\@$at",
    'each target is listed at the proxy that lists it, by its name');

my $page = $d->page('/targets');
is($page->{headers}{'content-type'}, 'application/json',
    'as JSON, by its type');
is_deeply($d->targets->[0]{labels}, { instance => 'a', team => 'x y',
    __metrics_path__ => '/a/metrics', __scheme__ => 'http', replica => $at },
    'its labels are handed on, and the replica is one');

$first->lists(group('a'));
is(lists($d, "a\@$at b\@$also"), "a\@$at b\@$also",
    'one that is no longer listed is gone after an interval');

$_->lists(group('a'), group('b')) for $first, $second;
is(lists($d, "a\@$at a\@$also b\@$at b\@$also"),
    "a\@$at a\@$also b\@$at b\@$also", 'what several list is listed at each');

$first->lists(group('a', connected => 'yes'), group('b', connected => 'no'));
$second->lists(group('a', connected => 'no'), group('b', connected => 'no'));
ok(await(10, sub { $d->listed =~ /^a\@\Q$at\E b\@\S+$/ }),
    'but not where it isn\'t connected, unless it is nowhere')
    or diag $d->listed;


# Unchanged

my $tagged = JSON::PP->new->encode([ group('tagged') ]);

$second->lists();
$first->says('/targets', body => $tagged, etag => '"1"');
is(lists($d, "tagged\@$at"), "tagged\@$at", 'a list with an ETag');

$first->says('/targets', body => '[]', etag => '"1"');
$first->asked;
my $times = 0;
ok(await(10, sub { ($times += $first->asked) > 2 }), 'is asked for again');
is($d->listed, "tagged\@$at", 'and stays as long as that is the same');
like($d->page('/metrics')->{body},
    qr/^\S+_proxy_up\{proxy="\Q$at\E"\} 1$/m, 'of a proxy that has answered');

$first->says('/targets', body => '[]', etag => '"2"');
is(lists($d, ''), '', 'until it is another one');

$second->says('/targets', body => $tagged, etag => 'x' x 200);
is(lists($d, "tagged\@$also"), "tagged\@$also", 'one that is too long is none');

$second->says('/targets', status => 304, body => '');
ok(await(10, sub { $d->log =~ /proxy=\Q$also\E .*status 304/ }),
    'and 304 to who has none is an error');
is($d->listed, "tagged\@$also", 'that costs no list');

$first->lists(group('a', connected => 'yes'), group('b', connected => 'no'));
$second->lists(group('a', connected => 'no'), group('b', connected => 'no'));
lists($d, "a\@$at b\@$at");


# Pages

is($d->page('/none')->{status}, 404, 'another page isn\'t there');
is($d->page('/targets?connected')->{status}, 200, 'arguments change nothing');
is(request($d->port, path => '/targets', method => 'POST')->{status}, 405,
    'a list can\'t be posted');

my $head = request($d->port, path => '/targets', method => 'HEAD');
is($head->{headers}{'content-length'},
    $d->page('/targets')->{headers}{'content-length'},
    'HEAD says how long the list is');

$page = $d->page('/metrics')->{body};
SKIP: {
    skip 'no promtool', 1 if !$ENV{MP_PROMTOOL};

    open my $pipe, '|-', "$ENV{MP_PROMTOOL} check metrics >/dev/null 2>&1"
        or die "promtool: $!\n";
    print $pipe $page;
    close $pipe;
    is($? >> 8 & ~3, 0, 'promtool reads the metrics');
}

my $metric = 'monitoring_proxy_discovery';
is($d->metric("${metric}_proxies"), 2, 'metrics: the proxies');
is($d->metric("${metric}_targets"), 2, 'the targets that are listed');
is($d->metric("${metric}_proxy_targets{proxy=\"$at\"}"), 2,
    'those of each proxy');
is($d->metric("${metric}_proxy_up{proxy=\"$at\"}"), 1, 'whether it is up');
cmp_ok($d->metric("${metric}_proxy_last_success_timestamp_seconds"
    . "{proxy=\"$at\"}"), '>', time - 60, 'and since when');
cmp_ok($d->metric("${metric}_asks_total{proxy=\"$at\"}"), '>', 1,
    'how often it was asked');
is($d->metric("${metric}_ask_failures_total{proxy=\"$at\"}"), 0,
    'and didn\'t answer');
is($d->stop, 0, 'it ends in order');


# --dedupe

$_->lists(group('a', connected => 'yes'), group('b')) for $first, $second;
$d = serving('--dedupe');

ok($d->ready, '--dedupe: it is ready');
like($d->listed, qr/^a\@\S+ b\@\S+$/, 'a target is listed once');
is($d->targets->[0]{labels}{replica}, undef, 'and not by a replica');

my ($where) = $d->listed =~ /^a\@(\S+)/;
my ($there, $other) = $where eq $at ? ($first, $second) : ($second, $first);
$there->lists(group('a', connected => 'no'), group('b'));
like(lists($d, 'a@' . $other->address . ' '
    . $d->listed =~ s/^\S+ //r), qr/^a\@\Q${\ $other->address}\E /,
    'one that has connected elsewhere is listed there');

$there->lists(group('a', connected => 'yes'), group('b'));
my $asked = $d->metric("${metric}_asks_total{proxy=\"$at\"}");
await(10, sub {
    $d->metric("${metric}_asks_total{proxy=\"$at\"}") >= $asked + 2;
});
like($d->listed, qr/^a\@\Q${\ $other->address}\E /,
    'and stays there, though it could be at both');
is($d->stop, 0, 'it ends in order');


# SIGHUP

$first->lists(group('a'));
$second->lists();
$d = Discovery->new("--static=$at,$also", '--sd-listen');
ok($d->ready, 'with an interval of a minute');
$second->lists(group('b'));
$d->signal('HUP');
is(lists($d, "a\@$at b\@$also"), "a\@$at b\@$also", 'SIGHUP asks at once');
$d->stop;


# Prometheus

SKIP: {
    my $program = $ENV{MP_PROMETHEUS} // '/usr/bin/prometheus';
    skip 'no Prometheus', 7 if !-x $program;

    my $dir = directory();
    my $port = free_port();
    my @flags = ("--static=$at,$also", '--interval=1s', '--dedupe',
        '--sd-listen=127.0.0.1:' . free_port());

    $first->lists(group('a'), group('b'));
    $second->lists(group('b'));
    $d = Discovery->new(@flags);

    write_to("$dir/prometheus.yml", <<"EOF");
scrape_configs:
  - job_name: hosts
    http_sd_configs:
      - url: http://127.0.0.1:${\ $d->port}/targets
        refresh_interval: 1s
EOF

    my $prometheus = bless { log => File::Temp->new }, 'Program';
    $prometheus->run({}, $program, "--config.file=$dir/prometheus.yml",
        "--storage.tsdb.path=$dir/data",
        "--web.listen-address=127.0.0.1:$port");

    my $active = sub {
        my $answer = JSON::PP::decode_json(request($port,
            path => '/api/v1/targets?state=active')->{body});

        return join ' ', sort map { shown($_->{labels}) }
            @{ $answer->{data}{activeTargets} };
    };
    my $both = 'instance=a,job=hosts instance=b,job=hosts';

    ok(await(30, sub { $active->() eq $both }),
        'Prometheus has each target once, and nothing of the proxy is in it')
        or diag eval { $active->() } // $prometheus->log;

    is($d->stop, 0, 'it ends in order');
    $_->says('/targets', status => 500, body => '') for $first, $second;
    $d = Discovery->new(@flags);

    my $failures = sub {
        my ($n) = request($port, path => '/metrics')->{body}
            =~ /^prometheus_sd_http_failures_total\S* (\d+)$/m;
        return $n // 0;
    };

    ok(await(20, sub { $d->page('/targets')->{status} == 503 }),
        'one that is started while no proxy answers has no list');
    my $failed = $failures->();
    ok(await(20, sub { $failures->() > $failed }), 'Prometheus has noticed');
    is($active->(), $both, 'and keeps its targets');

    $_->lists(group('b')) for $first, $second;
    ok(await(20, sub { $active->() eq 'instance=b,job=hosts' }),
        'until there is a list again');

    $prometheus->stop;
    is($d->stop, 0, 'it ends in order');
}


# Many targets

my $n = 20_000;
$first->says('/targets', body => '[' . join(',', map { "{\"targets\":[\"p\"],"
    . "\"labels\":{\"instance\":\"host-$_\",\"__metrics_path__\":\"/host-$_\","
    . '"team":"' . 'x' x 100 . '"}}' } 1 .. $n) . ']');
$second->lists(group('z'));
$d = Discovery->new("--static=$at,$also", '--sd-listen');
ok($d->ready(60), "$n targets are listed");

# one reads slowly, and what it is in the middle of changes

my $slow = connection($d->port);
setsockopt $slow, SOL_SOCKET, SO_RCVBUF, 65536;
send_request($slow, path => '/targets');
sysread $slow, my $start, 1000;

$second->lists(group('zz'));
$d->signal('HUP');
ok(await(30, sub { $d->page('/targets')->{body} =~ /"zz"/ }),
    'one who reads slowly keeps nobody else from the list');

local $/;
my $text = $start . <$slow>;
my ($length) = $text =~ /^content-length: (\d+)/im;
my $body = $text =~ s/\A.*?\r\n\r\n//sr;
is(length $body, $length, 'and gets the whole one');
like($body, qr/"instance":"z",.*\n\]\n\z/, 'as it was then');

is($d->stop, 0, 'it ends in order');

done_testing();
