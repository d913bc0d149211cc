#!/usr/bin/perl

# t/33-discovery.t: a real Prometheus that knows one URL scrapes every target,
# and follows the targets file

use warnings;
use strict;
use utf8;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory docker network read_file test_image
    write_file);
use Prometheus;
use Proxy;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);

my $root = "$FindBin::Bin/..";

my $targets = <<'EOF';
exporter:9100 external-host-1
exporter:9100 site-b/db-1  env=prod team="a\"b\\c\nd é"
exporter:9100 tuned  __metrics_path__=/metrics __param_x=1 __param_y="a&b" __scrape_interval__=2s __scrape_timeout__=1500ms
exporter:9 dead-host
EOF


# every scrape_configs that a page tells people to write

sub examples {
    my ($page) = @_;

    return map { s/^    //mgr } read_file("$root/$page")
        =~ /^(    scrape_configs:\n(?:    .*\n|\n(?=    ))*)/mg;
}

# README's, its hosts and port being ours

my ($config) = grep { /http_sd_configs/ } examples('README.md');
ok(defined $config, 'README has http_sd_configs') or die;

$config =~ s/\bproxy:8000\b/proxy:80/ or die "README's port isn't 8000\n";
$config =~ s/(refresh_interval): \w+/$1: 1s/
    or die "README has no refresh_interval\n";
$config = "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n$config";


# an exporter that Prometheus can't reach, and the proxy that reaches both

my $network = network();
my $far = network();

my $exporter = Container->run(image => test_image(),
    options => [ '--network', $far, '--network-alias', 'exporter' ],
    command => [ 'prometheus-node-exporter' ]);

utf8::encode(my $bytes = $targets);
my $proxy = Proxy->start(targets => $bytes, network => $network,
    options => [ '--network', $network, '--network-alias', 'proxy' ]);

my $r = docker('network', 'connect', $far, $proxy->name);
$r->{status} == 0 or die $r->{out};

my $etc = directory();
write_file("$etc/prometheus.yml", $config);

my $prometheus = Prometheus->start($etc, $network);


# the targets that Prometheus has, by instance

sub active {
    return { map { $_->{labels}{instance} => $_ }
        @{ $prometheus->targets } };
}

sub instances { join ' ', sort keys %{ active() } }

sub becomes {
    my ($instances, $seconds) = @_;

    return await($seconds // 60, sub { instances() eq $instances });
}

sub is_up {
    my ($instance, $health) = @_;

    return await(60, sub { active()->{$instance}{health} eq $health });
}


# how often Prometheus has asked for the list, and how often in vain

sub refreshes {
    my $text = $prometheus->page('/metrics');

    my ($count) = $text =~ /^prometheus_sd_refresh_duration_seconds_count
        \{mechanism="http"\}\ (\d+)/mx;
    my ($failed) = $text =~ /^prometheus_sd_refresh_failures_total
        \{mechanism="http"\}\ (\d+)/mx;

    return ($count, $failed);
}


ok(becomes('dead-host external-host-1 site-b/db-1 tuned', 30),
    'all targets are discovered') or diag $proxy->logs, $prometheus->logs;

for my $instance (qw(external-host-1 site-b/db-1 tuned)) {
    ok(is_up($instance, 'up'), "$instance is scraped through the proxy")
        or diag $proxy->logs;
}

ok(is_up('dead-host', 'down'), 'a dead target is down');

my $active = active();

is($active->{$_}{scrapeUrl}, "http://proxy:80/$_/metrics",
    "$_ is scraped at the proxy, under its name")
    for qw(external-host-1 site-b/db-1);

is_deeply($active->{'external-host-1'}{labels},
    { instance => 'external-host-1', job => 'node' },
    'the instance is the name');
is_deeply($active->{'site-b/db-1'}{labels}, { instance => 'site-b/db-1',
    job => 'node', env => 'prod', team => "a\"b\\c\nd é" },
    'labels arrive as they are in the file');

my $tuned = $active->{tuned};
is($tuned->{scrapeUrl}, 'http://proxy:80/tuned/metrics?x=1&y=a%26b',
    'a target has its own path and parameters');
is("$tuned->{scrapeInterval} $tuned->{scrapeTimeout}", '2s 1500ms',
    'and its own interval and timeout');

my $metric = $prometheus->query('up%7Benv%3D%22prod%22%7D')->[0];
is($metric->{metric}{instance}, 'site-b/db-1', 'labels are on the series');
is($metric->{value}[1], 1, 'which are there');


# the file changes; nobody is restarted

my $file = "$proxy->{files}{directory}/targets";
write_file($file, $bytes . "exporter:9100 late env=prod\n");

ok(becomes('dead-host external-host-1 late site-b/db-1 tuned'),
    'a line that is added appears');
ok(is_up('late', 'up'), 'and is scraped');

write_file($file, $bytes =~ s/^\S+ dead-host\n//mr);

ok(becomes('external-host-1 site-b/db-1 tuned'),
    'lines that are removed disappear');

write_file($file, $bytes . "exporter:9100 a/../b\n");

ok($proxy->logged(qr{/etc/monitoring/targets:5:15: name "a/\.\./b"}),
    'a mistake is told');

my ($before) = refreshes();
ok(await(60, sub { (refreshes())[0] > $before + 1 }),
    'Prometheus asks again');
is(instances(), 'external-host-1 site-b/db-1 tuned',
    'and has the same targets');
is((refreshes())[1], 0, 'no answer was one that it could not use');


# the pages' examples

for my $page (qw(README.md docs/discovery.md)) {
    my $n = 0;

    for (examples($page)) {
        write_file("$etc/example.yml", $_);
        $r = $prometheus->exec('promtool', 'check', 'config',
            '/etc/prometheus/example.yml');
        is($r->{status}, 0, "$page: scrape_configs " . ++$n
            . ' passes promtool') or diag $r->{out};
    }

    ok($n, "$page has some");
}

done_testing();
