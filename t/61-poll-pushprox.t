#!/usr/bin/perl

# t/61-poll-pushprox.t: proxy and client, ours and PushProx's, in all pairings

# PUSHPROX_DIR names the directory with pushprox-proxy and pushprox-client, and
# with fork-client, the one that has --pull-url, if that is to be had.

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await command directory docker network test_image
    write_file);
use Host;
use Http;
use Prometheus;
use Proxy;

my $theirs = $ENV{PUSHPROX_DIR} // '';

plan skip_all => 'PUSHPROX_DIR is not set' if $theirs eq '';

for (qw(pushprox-proxy pushprox-client)) {
    plan skip_all => "PUSHPROX_DIR has no $_" unless -x "$theirs/$_";
}

my $fork = -x "$theirs/fork-client";

# name of a client: its proxy and its program

my %pair = (
    'theirs-theirs' => [ 'theirs', '/pushprox/pushprox-client' ],
    'theirs-ours'   => [ 'theirs', '/ours/monitoring-proxy-client' ],
    'ours-theirs'   => [ 'ours', '/pushprox/pushprox-client' ],
    'ours-ours'     => [ 'ours', '/ours/monitoring-proxy-client' ],
    $fork ? ('ours-fork' => [ 'ours', '/pushprox/fork-client',
        '--pull-url=http://localhost:9100/metrics' ]) : (),
);
my @names = sort keys %pair;

# as it is in its image

my $ours = directory();
my $image = 'monitoring-proxy-client:test';
my $built = command({ seconds => 900 }, 'docker', 'build', '-q', '-t', $image,
    '--target', 'client', "$FindBin::Bin/..");

is($built->{status}, 0, 'the client is built') or BAIL_OUT($built->{out});

my $name = docker('create', $image)->{out} =~ s/\s+//r;
docker('cp', "$name:/usr/bin/monitoring-proxy-client", $ours);
docker('rm', $name);


# Prometheus' network, where no host is, and by Host the host's

my $network = network();

my $host = Host->start(options => [ '-v', "$theirs:/pushprox:ro",
    '-v', "$ours:/ours:ro", map { ('--add-host', "$_:127.0.0.1") } @names ]);

my %proxy = (
    ours => Proxy->start(network => $network,
        env => { MONITORING_PROXY_POLL => 'on' },
        options => [ '--network', $network, '--network-alias', 'ours' ]),
    theirs => Container->run(image => test_image(),
        options => [ '--network', $network, '--network-alias', 'theirs',
            '-v', "$theirs:/pushprox:ro" ],
        command => [ '/pushprox/pushprox-proxy' ]),
);

$host->reaches($proxy{$_}, $_) for sort keys %proxy;

my $etc = directory();
write_file("$etc/prometheus.yml", join '',
    "global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n",
    "scrape_configs:\n", map { <<"EOF" } @names);
  - job_name: $_
    proxy_url: http://$pair{$_}[0]:8080/
    static_configs:
      - targets: ['$_:9100']
EOF

my $prometheus = Prometheus->start($etc, $network);


sub client {
    my ($name) = @_;

    my ($proxy, @command) = @{ $pair{$name} };
    my $metrics = $command[0] =~ /fork/ ? '' : '--metrics-addr=';

    docker('exec', '-d', $host->name, 'sh', '-c', "exec @command "
        . "--proxy-url=http://$proxy:8080/ --fqdn=$name $metrics "
        . "> /tmp/$name 2>&1");
}


sub client_pids {
    my ($name) = @_;

    return $host->pids(qr/--fqdn=\Q$name\E /);
}


sub value {
    my ($query) = @_;

    $query =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ge;
    my $result = $prometheus->query($query);

    return @$result == 1 ? $result->[0]{value}[1] : undef;
}


# Whether up of a client becomes 0 or 1, by a scrape after now.

sub becomes {
    my ($name, $state, $seconds) = @_;

    my $now = time;

    return await($seconds // 60, sub {
        my $time = value("timestamp(up{job=\"$name\"})");
        defined $time && $time > $now
            && value("up{job=\"$name\"}") == $state;
    });
}


sub target {
    my ($name) = @_;

    my ($target) = grep { $_->{labels}{job} eq $name }
        @{ $prometheus->targets };

    return $target;
}


sub known {
    my ($proxy) = @_;

    my $r = eval { Http::request(8080, host => $proxy->ip($network),
        path => '/clients') } or return '';

    my $groups = eval { decode_json($r->{body}) } // [];

    return join ' ', sort map { @{ $_->{targets} } } @$groups;
}


sub logged_by {
    my ($name) = @_;

    diag $host->exec('tail', '-n', '20', "/tmp/$name")->{out};
}


# before there is a client

ok(becomes($_, 0, 30), "$_: without a client up is 0") for 'ours-ours',
    'theirs-theirs';

like(target('ours-ours')->{lastError} // '', qr/\b503\b/,
    'ours-ours: and the reason is that there is none');


# all of them

client($_) for @names;

for my $name (@names) {
    ok(becomes($name, 1), "$name: up is 1") or logged_by($name);

    my $job = "job=\"$name\"";

    ok(await(60, sub {
        (value("count(node_cpu_seconds_total{$job})") // 0) > 0
    }), "$name: the host's metrics are in Prometheus");

    my $nodename = $prometheus->query("node_uname_info%7B$job%7D");
    is($nodename->[0]{metric}{nodename},
        $host->inspect('{{.Config.Hostname}}'), "$name: of that host");
}

for my $which (sort keys %proxy) {
    my $all = join ' ', grep { $pair{$_}[0] eq $which } @names;

    ok(await(60, sub { known($proxy{$which}) eq $all }),
        "/clients of $which lists its own")
        or diag known($proxy{$which});
}


# The same bytes by all ways, as far as they are the same at all: gzip too.

my %size = map { $_ => value("scrape_samples_scraped{job=\"$_\"}") } @names;
my ($least, $most) = (sort { $a <=> $b } values %size)[0, -1];

cmp_ok($most - $least, '<', $most / 20,
    "as many samples by each way: $least to $most");


# Nothing is lost when nginx is reloaded: a poll of PushProx's client is answered
# with nothing, and it comes back after 1.5 seconds at most.

my @ours = grep { $pair{$_}[0] eq 'ours' } @names;
my $begin = int time;

for (1 .. 3) {
    $proxy{ours}->exec('nginx', '-s', 'reload');
    ok(becomes($_, 1), "$_: up is 1 after a reload") for @ours;
}

my $seconds = int(time) - $begin + 1;

for my $name (@ours) {
    is(value("min_over_time(up{job=\"$name\"}[${seconds}s])"), 1,
        "$name: and was it all the time");
}


# a client that hangs

for my $name (@names) {
    my @pids = client_pids($name);

    is(scalar @pids, 1, "$name: there is one such client");
    $host->kill('STOP', @pids);
    ok(becomes($name, 0), "$name: a client that hangs: up is 0");
    $host->kill('CONT', @pids);
}

ok(becomes($_, 1), "$_: it goes on: up is 1") for @names;


# the client's own answer is passed on

for my $name (grep { !/fork/ } @names) {
    my $r = Http::request(8080, path => "http://$name:1/metrics",
        host => $proxy{$pair{$name}[0]}->ip($network),
        headers => [ "Host: $name:1",
            'X-Prometheus-Scrape-Timeout-Seconds: 5' ]);

    like($r->{status}, qr/^50[02]$/, "$name: a closed port is an error");
    like($r->{body}, qr/refused/, "$name: that says why");
}


# a client that dies, and a proxy that starts anew

for my $name (@ours) {
    $host->kill('KILL', client_pids($name));
    ok(becomes($name, 0), "$name: the client is killed: up is 0");
    like(target($name)->{lastError} // '', qr/\b503\b/, "$name: at once");

    client($name);
    ok(becomes($name, 1), "$name: it is started again: up is 1")
        or logged_by($name);
}

docker('restart', '-t', '10', $proxy{ours}->name);
ok($proxy{ours}->ready, 'the proxy restarts');
ok(becomes($_, 1, 45), "$_: proxy restarted: up is 1 again")
    or logged_by($_) for @ours;

done_testing();
