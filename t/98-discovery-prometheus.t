#!/usr/bin/perl

# t/98-discovery-prometheus.t: a real Prometheus has what the discovery finds,
# and keeps it whatever fails

use warnings;
use strict;

use File::Temp;
use FindBin;
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory read_file);
use Discovery qw(free_port group write_to);
use DiscoveryProxy;
use Http qw(request);

my $program = $ENV{MP_PROMETHEUS} // '/usr/bin/prometheus';
my $promtool = $ENV{MP_PROMTOOL} // '/usr/bin/promtool';

plan skip_all => 'no Prometheus' if !-x $program || !-x $promtool;

my $base = "global:\n  scrape_interval: 500ms\n  scrape_timeout: 400ms\n";
my $port = free_port();
my $dir = directory();
my ($proxy, $pushprox) = map { DiscoveryProxy->new } 1 .. 2;


# Its metrics, for which a target is asked.

sub exports {
    my ($proxy, @paths) = @_;

    $proxy->says($_, body => "a 1\n") for @paths;
}


sub api {
    my ($call) = @_;

    return JSON::PP::decode_json(request($port, path => "/api/v1/$call")
        ->{body})->{data};
}


# Each target as JOB/INSTANCE, those that aren't up with "!".

sub targets {
    return join ' ', sort map { ($_->{health} eq 'up' ? '' : '!')
        . "$_->{labels}{job}/$_->{labels}{instance}" }
        @{ api('targets?state=active')->{activeTargets} };
}


sub has_targets {
    my ($targets, $promise) = @_;

    await(20, sub { targets() eq $targets });
    is(targets(), $targets, $promise);
}


sub rebase {
    my ($d, $text) = @_;

    write_to("$dir/base", $text);
    $d->signal('HUP');
}


sub reloads {
    my ($d) = @_;

    return $d->metric('monitoring_proxy_discovery_reloads_total') // '';
}


$proxy->lists(group('a', team => 'x'));
exports($proxy, map { "/$_/metrics" } qw(a b));

$pushprox->says('/clients', body => '[{"targets":["host-1"],"labels":{}}]');
exports($pushprox, 'http://host-1:80/metrics');

write_to("$dir/base", $base);

my $d = Discovery->new("--static=@{[ $proxy->address ]}", '--interval=1s',
    "--source=$dir/base", "--target=$dir/conf", "--promtool=$promtool",
    "--reloadurl=http://127.0.0.1:$port/-/reload");

ok(await(10, sub { $d->log =~ /has not reloaded.*Connection refused/ }),
    'a Prometheus that isn\'t there yet is told again');

my $prometheus = bless { log => File::Temp->new }, 'Program';

$prometheus->run({}, $program, "--config.file=$dir/conf",
    "--storage.tsdb.path=$dir/data", '--web.enable-lifecycle',
    "--web.listen-address=127.0.0.1:$port");

await(20, sub { request($port, path => '/-/ready')->{status} == 200 })
    or diag($prometheus->log);

ok(await(20, sub { reloads($d) eq '1' }), '... until it is');
has_targets('monitoring-proxy/a', 'it scrapes what is found');

$proxy->lists(group('a', team => 'x'), group('b'));
has_targets('monitoring-proxy/a monitoring-proxy/b',
    'a target that is new is scraped');
is(reloads($d), 1, '... without a reload');
is_deeply((map { $_->{labels} } grep { $_->{labels}{instance} eq 'a' }
        @{ api('targets?state=active')->{activeTargets} })[0],
    { instance => 'a', job => 'monitoring-proxy', team => 'x',
        replica => $proxy->address }, 'labels are those of the list');

rebase($d, "$base  external_labels: {site: y}\n");
ok(await(20, sub { api('status/config')->{yaml} =~ /site: "?y/ }),
    'a base that has changed is in effect');
is(targets() =~ s/!//gr, 'monitoring-proxy/a monitoring-proxy/b',
    '... and nothing that was scraped is lost');

# promtool doesn't look at what Prometheus reads besides

write_to("$dir/rules", "groups: x\n");
rebase($d, "${base}rule_files: [rules]\n");

ok(await(20, sub { $d->log =~ /has not reloaded.*status 500: failed to reload/
    }), 'what Prometheus refuses is told in its words');
has_targets('monitoring-proxy/a monitoring-proxy/b', '... its targets stay');

$proxy->lists(group('b'));
has_targets('monitoring-proxy/b', '... and so do changes of lists');

write_to("$dir/rules", "groups: []\n");
ok(await(20, sub { ($d->metric('monitoring_proxy_discovery_config_in_effect')
    // '') eq '1' }), 'once it is right, it is in effect');
like(api('status/config')->{yaml}, qr/rules/, '... as Prometheus says');

is($d->stop, 0, 'the discovery ends');

$d = Discovery->new('--static=' . join(',', map { $_->address } $proxy,
    $pushprox), '--interval=1s', "--source=$dir/base", "--target=$dir/conf",
    "--promtool=$promtool",
    "--reloadurl=http://127.0.0.1:$port/-/reload");

has_targets('monitoring-proxy/b pushprox/host-1:80',
    'clients of a PushProx proxy are scraped through it');
is(reloads($d), 1, '... after one reload');

$d->signal('KILL');
$d->ended(5);
is(targets(), 'monitoring-proxy/b pushprox/host-1:80',
    'without the discovery all stays');

unlink glob "$dir/monitoring-proxy/*.json";
$d = Discovery->new("--static=@{[ $proxy->address ]}", '--interval=1s',
    "--source=$dir/base", "--target=$dir/conf", "--promtool=$promtool",
    "--reloadurl=http://127.0.0.1:$port/-/reload");
has_targets('monitoring-proxy/b',
    'what was removed comes back, and what has gone goes');

$d->stop;
$prometheus->stop;

done_testing();
