#!/usr/bin/perl

# The alerts fire when they should, and each query of the dashboard has data in
# a real Prometheus that scrapes a real proxy.

use warnings;
use strict;

use FindBin;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Board;
use Forward;
use Http;
use Key;
use Nginx;
use Peers;
use Query;
use Teller;

for (qw(MP_PROMETHEUS MP_PROMTOOL)) {
    plan skip_all => "$_ is not set" unless $ENV{$_};
}

my $root = "$FindBin::Bin/..";
my $rules = "$root/deploy/alerts/monitoring-proxy.yml";
my @tests = glob "$root/deploy/alerts/tests*.yml";
my $prometheus;

END {
    my $status = $?;

    if ($prometheus) {
        kill 'KILL', $prometheus;
        waitpid $prometheus, 0;
    }

    $? = $status;
}


# alerts

for (['check', 'rules', '--lint=all', '--lint-fatal', $rules],
    ['test', 'rules', @tests])
{
    my $said = `$ENV{MP_PROMTOOL} @$_ 2>&1`;
    is($?, 0, "promtool @$_[0 .. 1]") or diag $said;
}

my @alerts = Nginx::slurp($rules) =~ /^ +- alert: (\w+)$/mg;
cmp_ok(scalar @alerts, '>', 0, 'there are alerts');

my $text = join '', map { Nginx::slurp($_) } @tests;

for my $alert (@alerts) {
    like($text, qr/^ +- alertname: $alert\n +eval_time: \w+\n +exp_alerts:/m,
        "$alert is tested to fire");
    like($text, qr/^ +- alertname: $alert\n +eval_time: \w+\n(?! +exp_)/m,
        "$alert is tested to be silent");
}

my %documented = Nginx::slurp("$root/docs/metrics.md")
    =~ /^\| `(MonitoringProxy\w+)` \| (\w+) \|/mg;
my %severity = Nginx::slurp($rules)
    =~ /- alert: (\w+)\n.*?severity: (\w+)\n/sg;
is_deeply(\%documented, \%severity, 'docs/metrics.md has all alerts');


# the dashboard

my $dashboard = decode_json(Nginx::slurp(
    "$root/deploy/grafana/monitoring-proxy.json"));
my @panels = map { ($_, @{ $_->{panels} // [] }) } @{ $dashboard->{panels} };
my @variables = @{ $dashboard->{templating}{list} };

is($dashboard->{uid}, 'monitoring-proxy', 'the dashboard has a stable uid');
is((grep { $_->{type} eq 'datasource' } @variables)[0]{query}, 'prometheus',
    'its data source is chosen by its user');

my %ids = map { $_->{id} => 1 } @panels;
is(scalar keys %ids, scalar @panels, 'each panel has an id of its own');

for my $panel (grep { $_->{type} ne 'row' } @panels) {
    is($panel->{datasource}{uid}, '${datasource}',
        "$panel->{title}: of that data source");
}


# a proxy with a bit of everything: a host that is well, one that is slow but
# not too slow, one that breaks, and one that never was there; and of those
# with a key of their own one that is connected and one that has left

my $body = "x 1\n";
my $nginx = Nginx->new;
my $port = $nginx->port;
my $dead = Nginx::free_port();
my $breaks = $nginx->dir . '/breaks';


sub answering {
    my ($delay, $file) = @_;

    return Backend->new(answer => sub {
        my ($s) = @_;
        my $status = $file && -e $file ? 500 : 200;

        sleep $delay if $delay;
        print $s "HTTP/1.1 $status Whatever\r\nContent-Type: text/plain\r\n"
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
        $s->flush;
        return 1;
    });
}


my @backends = (answering(), answering(0.1), answering(0, $breaks));


sub targets {
    return join "\n", "localhost:$dead site/dead", @_,
        map { '127.0.0.1:' . $backends[$_]->port . " host-$_" } 0 .. 2;
}

my $board = Board->new($nginx->dir . '/board');
my ($tunnel, $away) = map { Nginx::free_port() } 1 .. 2;


sub tunnels {
    my ($logins) = @_;

    $board->tunnel($tunnel, logins => $logins);
    $board->head(hosts => 2, sessions => 4, shared => 3, logins => $logins,
        refused => { key => 10 * $logins });
}


$board->tunnel($away, ended => 60);
tunnels(1);
$nginx->write('hosts', "bastion - port=$tunnel\naway - port=$away\n");

# a node that nobody scrapes

my $peers = Peers->new($nginx->dir . '/peers');
$peers->peer('10.87.0.2', key => wireguard_key('node'), handshake => 600);
$nginx->write('nodes', 'node ' . wireguard_key('node') . " 10.87.0.2\n");

# a forward proxy that has all but one of them, for one job more

my $forward = Nginx::free_port();
my @allowed = map { "127.0.0.1:$_" } $dead, map { $_->port } @backends[0, 1];
my @asked = (@allowed, '127.0.0.1:' . $backends[2]->port);

# a query proxy, whose remote's credentials are renewed

my $query = Nginx::free_port();
my $keeper = Teller->new($nginx->dir . '/keeper.socket');
$keeper->say('token managed 1 3600000 Bearer first');
$keeper->say('stats managed 2 1 0 0 0 0 0 0');

$nginx->configure(targets => targets() . "\n",
    registry => 'prom_proxy_targets %%DIR%%/targets interval=20ms; '
        . 'prom_proxy_hosts %%DIR%%/hosts interval=20ms; '
        . 'prom_proxy_nodes %%DIR%%/nodes; '
        . 'prom_proxy_tunnels %%DIR%%/board; prom_proxy_peers %%DIR%%/peers;',
    main => "prom_forward bastion { allow @allowed; scheme http; "
        . 'zone bastion 1m; }',
    http => forward_server('bastion', "127.0.0.1:$forward")
        . query_http("127.0.0.1:$query", remote_location('managed',
            url => 'http://127.0.0.1:' . $backends[0]->port),
            http => 'prom_token_zone query 64k;'),
    server => 'location = /metrics { prom_proxy_metrics; }')->start;


# Prometheus

my $list = join ', ', map { "'$_'" } @asked;
my $api = Nginx::free_port();
my $config = $nginx->write('prometheus.yml', <<"END");
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files:
  - $rules
scrape_configs:
  - job_name: monitoring-proxy
    static_configs:
      - targets: ["127.0.0.1:$port"]
  - job_name: text
    scrape_protocols: [PrometheusText0.0.4]
    static_configs:
      - targets: ["127.0.0.1:$port"]
    metric_relabel_configs:
      - action: drop
        source_labels: [__name__]
        regex: monitoring_proxy_.*
  - job_name: node
    static_configs:
      - targets: [host-0, host-1, host-2, site/dead]
    relabel_configs:
      - source_labels: [__address__]
        target_label: instance
      - source_labels: [__address__]
        target_label: __metrics_path__
        replacement: /\$1/metrics
      - target_label: __address__
        replacement: 127.0.0.1:$port
  - job_name: forward
    proxy_url: http://127.0.0.1:$forward
    static_configs:
      - targets: [$list]
  - job_name: query
    metrics_path: /api/v1/query
    static_configs:
      - targets: ["127.0.0.1:$query"]
END

$prometheus = fork // die "fork: $!\n";

if ($prometheus == 0) {
    my $dir = $nginx->dir;

    open STDIN, '<', '/dev/null';
    open STDOUT, '>', "$dir/logs/prometheus";
    open STDERR, '>&', \*STDOUT;
    exec $ENV{MP_PROMETHEUS}, "--config.file=$config",
        "--storage.tsdb.path=$dir/tsdb",
        "--web.listen-address=127.0.0.1:$api" or POSIX::_exit(127);
}


sub ask {
    my ($path, %arguments) = @_;

    my $query = join '&', map {
        "$_=" . $arguments{$_} =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger
    } keys %arguments;

    my $r = eval { Http::request($api, path => "/api/v1/$path?$query") }
        or return;

    return eval { decode_json($r->{body}) };
}


ok(Nginx::await(sub { (ask('targets') // {})->{status} }, 60),
    'Prometheus runs')
    or diag Nginx::slurp($nginx->dir . '/logs/prometheus');


# The values of a query as the dashboard has it, with all targets chosen.

sub substituted {
    my ($query) = @_;

    return $query =~ s/\$(?:instance|target)\b/.*/gr
        =~ s/\$__rate_interval\b/10s/gr;
}


sub values_of {
    my ($query) = @_;

    my $answer = ask('query', query => substituted($query)) // return;
    $answer->{status} eq 'success' or return;

    return map { $_->{value}[1] } @{ $answer->{data}{result} };
}


sub up {
    my ($job) = @_;

    return Nginx::await(sub {
        my @up = values_of(qq{up{job="$job"} == 1}) }, 30);
}

ok(up('monitoring-proxy'), 'it takes OpenMetrics');
ok(up('text'), 'it takes text');

# what breaks; a good reload, then a bad one; a target that nobody scrapes; a
# scrape that is given up; logins, and refused ones

ok(Nginx::await(sub { values_of('monitoring_proxy_targets_up == 3') }, 30),
    'three targets are up');
$nginx->write('breaks', '');

$nginx->write('targets', targets('localhost:9 never-scraped') . "\n");
ok(Nginx::await(sub { values_of('monitoring_proxy_targets == 8') }, 30),
    'a new target');
tunnels(9);

my $file = $nginx->write('targets', "nonsense\n");
ok(Nginx::await(sub {
    values_of('monitoring_proxy_targets_last_reload_error_info') }, 30),
    'a bad targets file');

my $socket = Http::connection($port);
Http::send_request($socket, path => '/host-1/metrics');
Nginx::await(sub { $backends[1]->arrived });
close $socket;

for my $panel (@panels) {
    for my $target (@{ $panel->{targets} // [] }) {
        my $title = "$panel->{title}: $target->{refId}";
        my @values;

        # what is divided by nothing has no number yet

        ok(Nginx::await(sub {
            @values = grep { /^-?\d/ } values_of($target->{expr}) }, 30),
            "$title has data")
            or diag explain(ask('query',
                query => substituted($target->{expr})));
    }
}

for my $variable (grep { $_->{type} eq 'query' } @variables) {
    my ($match, $label) = $variable->{query}{query}
        =~ /^label_values\((.*), (\w+)\)$/;

    my $answer = ask("label/$label/values", 'match[]' => substituted($match));
    cmp_ok(scalar @{ $answer->{data} }, '>', 0,
        "the variable $variable->{name} has values");
}

# numbers, as they are shown

sub shown {
    my ($title, $what) = @_;

    my ($panel) = grep { $_->{title} eq $title } @panels;
    my $answer;

    ok(Nginx::await(sub {
        $answer = ask('query',
            query => substituted($panel->{targets}[0]{expr}));
        local $_ = $answer->{data}{result}[0];
        return $_ && $what->();
    }, 30), "shown: $title") or diag explain($answer);
}

shown('Targets', sub { $_->{value}[1] == 8 });
shown('Up', sub { $_->{value}[1] == 2 });
shown('Down', sub { $_->{value}[1] == 2 });
shown('Unscraped', sub { $_->{value}[1] == 4 });
shown('Last reload', sub { $_->{value}[1] == 0 });
shown('Connections reused', sub { $_->{value}[1] > 0.5 });
shown('Slowest targets', sub { $_->{metric}{target} eq 'host-1' });
shown('Hosts that are not connected',
    sub { $_->{metric}{target} eq 'away' });
shown('Hosts that are connected', sub { $_->{metric}{target} eq 'bastion' });
shown('Hosts that log in most often',
    sub { $_->{metric}{target} eq 'bastion' && $_->{value}[1] >= 8 });
shown('Age of the last handshake',
    sub { $_->{metric}{target} eq 'node' && $_->{value}[1] >= 600 });
shown('Credentials are valid for',
    sub { $_->{metric}{remote} eq 'managed' && $_->{value}[1] > 3000 });
shown('Targets that are not reached',
    sub { $_->{metric}{target} eq "127.0.0.1:$dead" && $_->{value}[1] == 1 });

# the alerts in that Prometheus

my ($reloaded, @unhealthy);

ok(Nginx::await(sub {
    my $groups = ask('rules')->{data}{groups};
    my @rules = map { @{ $_->{rules} } } @$groups;

    @unhealthy = grep { $_->{health} ne 'ok' } @rules;
    ($reloaded) = grep { $_->{name} eq 'MonitoringProxyReloadFailed' } @rules;

    return @rules == @alerts && !@unhealthy && @{ $reloaded->{alerts} // [] };
}, 30), 'all alerts are evaluated') or diag explain(\@unhealthy);

is($reloaded->{alerts}[0]{state}, 'pending', 'the bad file is noticed');
like($reloaded->{alerts}[0]{annotations}{description},
    qr/^\Q$file\E:1:\d+: .*\. Correct that place/, 'with its place');

kill 'TERM', $prometheus;
ok(Nginx::await(sub { waitpid($prometheus, WNOHANG) != 0 }, 20),
    'Prometheus ends');
undef $prometheus;

$nginx->finish;

done_testing();
