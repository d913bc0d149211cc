#!/usr/bin/perl

# t/98-replicas.t: three replicas behind HAProxy hold 300 tunnels and polls; one
# of them is killed, and its hosts are scraped through the others soon after

use warnings;
use strict;

use File::Copy qw(copy);
use FindBin;
use List::Util qw(max min);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await directory docker network read_file test_image
    write_file);
use Host;
use Http;
use PollClient ();
use Program ();
use Prometheus;
use Proxy qw(@confined entry);

use constant INTERVAL => 3;       # s between two scrapes of a target
use constant HOSTS    => 30;      # each has an ssh connection
use constant TUNNELS  => 5;       # of each of them
use constant CLIENTS  => 5;       # each polls for many names
use constant NAMES    => 30;      # of each of them

my $deploy = "$FindBin::Bin/../deploy/compose/replicas";

# what each instance's exporter says of itself: its port

my %port;
my (@hosts, @keys, @autossh, @clients);

for my $n (1 .. HOSTS) {
    my $name = sprintf 'host-%02d', $n;
    my $first = 20001 + TUNNELS * ($n - 1);
    my @ports = $first .. $first + TUNNELS - 1;

    $port{"$name/e$_"} = $_ for @ports;

    push @keys, $name;
    push @hosts, "$name " . entry($name) . " port=$first ports="
        . join(',', map { "e$_:$_" } @ports) . "\n";
    push @autossh, join ' ', 'autossh -M 0 -f -N -p 2222 -F /keys/config',
        '-o StrictHostKeyChecking=yes -o UserKnownHostsFile=/test/known_hosts',
        "-i /keys/$name", map({ "-R $_:localhost:$_" } @ports), 'haproxy';
}

for my $n (1 .. CLIENTS) {
    my $first = 22001 + NAMES * ($n - 1);
    my @ports = $first .. $first + NAMES - 1;

    $port{"poll-$_"} = $_ for @ports;

    push @clients, join ' ', '/test/client --metrics-addr=',
        '--proxy-url=http://haproxy:8080',
        map { "--pull-url=poll-$_=http://localhost:$_/metrics" } @ports;
}

my $all = keys %port;

my $exporters = <<"EOF";
worker_processes 1;
events { worker_connections 4096; }
http {
    access_log off;
    server {
        listen 127.0.0.1:20001-@{[20000 + HOSTS * TUNNELS]};
        listen 127.0.0.1:22001-@{[22000 + CLIENTS * NAMES]};
        location / { return 200 "exporter_port \$server_port\\n"; }
    }
}
EOF


# The replicas, which have the same files and host keys; what is in front of
# them and behind, as deploy/compose/replicas has it.

my $lan = network();
my $files = directory();
my $host_keys = directory();

write_file("$files/hosts", join '', @hosts);

my @replicas = map {
    Proxy->start(directory => $files, key => undef, network => $lan,
        env => { MONITORING_PROXY_POLL => 'on',
            MONITORING_PROXY_POLL_SCRAPERS => 'none' },
        options => [ '--network', $lan, '--network-alias', 'proxy', @confined,
            '--ulimit', 'nofile=20000', '-v', "$host_keys:/etc/ssh" ])
} 1 .. 3;

my $balancer = Container->run(image => test_image(),
    options => [ '--network', $lan, '--user', 'haproxy', '--cap-drop', 'ALL',
        '-v', "$deploy/haproxy.cfg:/etc/haproxy.cfg:ro" ],
    command => [ 'haproxy', '-W', '-db', '-f', '/etc/haproxy.cfg' ]);

my $test = directory();
my ($key) = read_file("$host_keys/ssh_host_ed25519_key.pub") =~ /^(\S+ \S+)/;

write_file("$test/nginx.conf", $exporters);
write_file("$test/known_hosts", "[haproxy]:2222 $key\n");
copy(PollClient::program(), "$test/client") or die "client: $!\n";
copy($ENV{MP_DISCOVERY} // Program::built('discovery'), "$test/discovery")
    or die "discovery: $!\n";
chmod 0755, "$test/client", "$test/discovery";

my $discovery = Container->run(image => test_image(),
    options => [ '--network', $lan, '--network-alias', 'discovery',
        '--cap-drop', 'ALL', '-v', "$test:/test:ro" ],
    command => [ '/test/discovery', '--dns=proxy:80', '--dedupe',
        '--interval=5s', '--sd-listen=:9370' ]);

my $etc = directory();
my $config = read_file("$deploy/prometheus.yml");

$config =~ s/refresh_interval: \K15s/5s/g == 2 or die "no two 15s\n";
write_file("$etc/prometheus.yml", "global:\n  scrape_interval: @{[INTERVAL]}s\n"
    . "  scrape_timeout: @{[INTERVAL]}s\n$config");
copy("$deploy/../../alerts/monitoring-proxy.yml", $etc) or die "alerts: $!\n";

my $prometheus = Prometheus->start($etc, $lan);

# all hosts are in one container, which reaches HAProxy alone

my $host = Host->start(keys => \@keys,
    options => [ '-v', "$test:/test:ro", '--ulimit', 'nofile=20000' ]);

$host->reaches($balancer, 'haproxy');

docker('exec', '-d', $host->name, 'nginx', '-c', '/test/nginx.conf');
docker('exec', '-d', '-e', 'AUTOSSH_GATETIME=0', $host->name, 'sh', '-c',
    join("\n", @autossh, map({ "$_ &" } @clients), 'wait'));


sub ask {
    my ($query, $time) = @_;

    $query =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ge;
    $query .= "&time=$time" if defined $time;

    return $prometheus->query($query);
}


sub number {
    my ($query) = @_;

    my $result = ask($query);

    return @$result ? $result->[0]{value}[1] : 0;
}


# Whether so many instances were scraped after a time, for at most so long; and
# how often the discovery has listed one twice meanwhile.

my $twice = 0;

sub scraped {
    my ($after, $seconds, $want) = @_;

    return await($seconds, sub {
        my %listed;
        my $list = Http::request(9370, host => $discovery->ip($lan),
            path => '/targets')->{body};

        $listed{$_}++ for $list =~ /"instance": ?"([^"]+)"/g;
        $twice += grep { $_ > 1 } values %listed;

        return number("count(up{job='node'} == 1"
            . " and timestamp(up{job='node'}) > $after)") == $all;
    });
}


# Whether each of them was scraped so often in the last seconds.

sub scraped_often {
    my ($times) = @_;

    my $seconds = INTERVAL * ($times + 1);

    return await(60, sub {
        number("min(count_over_time(up{job='node'}[${seconds}s]))") >= $times
    });
}


# At which address each instance is scraped.

sub held {
    return map { $_->{labels}{instance}, $_->{scrapeUrl} =~ m{//([\d.]+)} }
        grep { $_->{labels}{job} eq 'node' } @{ $prometheus->targets };
}


# All labels of all series that up has, in a line each.

sub series {
    my ($result) = @_;

    return sort map {
        my $labels = $_->{metric};
        join ' ', map { "$_=$labels->{$_}" } sort keys %$labels
    } @$result;
}


# What is wrong with those that are down, one of each kind.

sub say_why {
    my %why;

    $why{$_->{lastError} =~ s/"[^"]*"//gr} = $_->{scrapeUrl}
        for grep { $_->{health} ne 'up' } @{ $prometheus->targets };

    diag "$why{$_}: $_" for sort keys %why;
    diag $discovery->logs;
}


ok(scraped(0, 60), "$all tunnels and polls are scraped")
    or say_why();

my $begin = time;
my %held = held();
my %count;
$count{$_}++ for values %held;

is(keys %held, $all, 'each has a replica');
is(keys %count, 3, 'all replicas have some');
cmp_ok(min(values %count), '>=', $all / 6, 'none has few')
    or diag join ' ', %count;
ok(scraped_often(4), 'they are scraped again and again');

my @before = series(ask('up{job="node"}'));


# one is killed

my $killed = $replicas[0]->address;
my @lost = grep { $held{$_} eq $killed } keys %held;
my @others = grep { $held{$_} ne $killed } keys %held;

docker('kill', $replicas[0]->name);

my $from = time;
ok(scraped($from, 60), 'a replica is killed: all are scraped within 60 s')
    or say_why();

my $until = time;
my %now = held();

note(sprintf '%d instances of %d were lost, for %.1f s', scalar @lost, $all,
    $until - $from);
is(scalar(grep { $now{$_} eq $killed } keys %now), 0, 'none of them there');
is(scalar(grep { $now{$_} ne $held{$_} } @others), 0,
    'those that the others had stay where they were');


# it comes back

docker('start', $replicas[0]->name);

ok(await(60, sub { number('count(up{job="monitoring-proxy"} == 1)') == 3 }),
    'it is back');
ok(scraped_often(4), 'they are scraped again and again');

my %then = held();
is(scalar(grep { $then{$_} ne $now{$_} } keys %now), 0,
    'no host is moved because of it');


# what Prometheus has of all that time

my $end = time;
my $result = ask(sprintf('up{job="node"}[%ds]', $end - $begin), $end);
my %samples = map { $_->{metric}{instance}, $_->{values} } @$result;

is(join("\n", series($result)), join("\n", @before),
    'labels are the same as before');

my @gaps = map {
    my @times = map { $_->[0] } @{ $samples{$_} };
    max(map { $times[$_] - $times[$_ - 1] } 1 .. $#times);
} @others;

cmp_ok(max(@gaps), '<', 2 * INTERVAL, 'no other instance has a gap');
is(scalar(grep { grep { !$_->[1] } @{ $samples{$_} } } @others), 0,
    'nor was it down');

# one that moves may be asked at its new place right after its old one

my $scrapes = ($end - $begin) / INTERVAL;
cmp_ok(max(map { scalar @{ $samples{$_} } } @others), '<=', $scrapes + 1,
    'no other instance was scraped twice');
cmp_ok(max(map { scalar @{ $samples{$_} } } @lost), '<=', $scrapes + 2,
    'nor was one that was lost');
is($twice, 0, 'none was ever listed twice');

my $own = ask('exporter_port');
is(scalar(grep { $_->{value}[1] == $port{$_->{metric}{instance}} } @$own),
    $all, 'each is its own exporter');

done_testing();
