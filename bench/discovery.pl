#!/usr/bin/perl

# What the discovery takes that asks many proxies for 10,000 targets, and
# Prometheus behind it, beside a Prometheus that asks them itself.

use warnings;
use strict;

use FindBin;
use JSON::PP;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);
use lib $FindBin::Bin;
use Bench;

use constant TARGETS  => 10_000;
use constant INTERVAL => 5;         # seconds
use constant FIRST    => 19_700;    # port
use constant WAIT     => 60;        # seconds, at most

my $quick     = grep { $_ eq '-q' } @ARGV;
my $windows   = $quick ? 2 : 5;
my $rounds    = $quick ? 1 : 3;     # of each
my $discovery = $ENV{BENCH_DISCOVERY} || die "BENCH_DISCOVERY is not set\n";
my $port      = FIRST;
my %running;


END {
    local $?;
    ended($_) for keys %running;
}


sub ended
{
    my ($pid) = @_;

    kill 'KILL', $pid;
    waitpid $pid, 0;
    delete $running{$pid};
}


sub run
{
    my ($name, @command) = @_;

    my $pid = fork;
    defined $pid or die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', work() . "/$name.log";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }

    $running{$pid} = 1;

    return $pid;
}


sub page
{
    my ($port, $path) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port) or return '';

    print $socket "GET $path HTTP/1.0\r\n\r\n";
    local $/;

    return <$socket> // '';
}


sub await
{
    my ($what, $sub) = @_;

    my $end = time + WAIT;

    until ($sub->()) {
        time < $end or die "$what: not in @{[WAIT]} s\n";
        sleep 0.1;
    }
}


# Proxies that list the targets, and how to have one of them list something
# else: the module, or, where there are a thousand of them, nginx with files
# that say what it would.

sub modules
{
    my ($count) = @_;

    my (@places, $times);

    for my $proxy (0 .. $count - 1) {
        my $name = "discovery-$proxy";

        targets($name, $proxy, TARGETS / $count, 0);
        push @places, '127.0.0.1:' . ++$port;

        module_config($name, $port, options => 'interval=1s',
            locations => 'location = /targets { prom_proxy_sd; }');
        start($name);
    }

    return (\@places, sub {
        my $proxy = ++$times % $count;
        targets("discovery-$proxy", $proxy, TARGETS / $count, $times);
    });
}


sub targets
{
    my ($name, $proxy, $count, $times) = @_;

    write_file("$name.new", join '', map {
        my $number = $proxy * $count + $_;
        address($number) . ' ' . name($number) . ' env=prod team=team-'
            . ($_ ? $number % 7 : $times) . "\n"
    } 0 .. $count - 1);

    rename work() . "/$name.new", work() . "/$name.targets";
}


sub files
{
    my ($count) = @_;

    my (@places, $times);

    $port++;

    for my $proxy (0 .. $count - 1) {
        my $host = sprintf '127.2.%d.%d', $proxy >> 8, $proxy & 255;

        list($host, $proxy, TARGETS / $count, 0);
        push @places, "$host:$port";
    }

    config('discovery-files', "worker_processes 1;\n", <<"HTTP");
    server {
        listen $port;
        default_type application/json;
        location = /targets { alias @{[work()]}/list-\$server_addr; }
    }
HTTP

    start('discovery-files');

    return (\@places, sub {
        my $proxy = ++$times % $count;
        list($places[$proxy] =~ s/:.*//r, $proxy, TARGETS / $count, $times);
    });
}


sub list
{
    my ($host, $proxy, $count, $times) = @_;

    write_file("list-$host.new", encode_json([ map {
        my $name = name($proxy * $count + $_);
        { targets => [ "$host:$port" ], labels => { instance => $name,
            __metrics_path__ => "/$name/metrics", __scheme__ => 'http',
            env => 'prod', team => 'team-' . ($_ ? $_ % 7 : $times) } }
    } 0 .. $count - 1 ]));

    rename work() . "/list-$host.new", work() . "/list-$host";
}


# Prometheus, which scrapes none of its targets

sub job
{
    my ($sd) = @_;

    return <<"YAML";
scrape_configs:
  - job_name: monitoring-proxy
    relabel_configs:
      - action: drop
$sd
YAML
}


sub prometheus
{
    my ($name, $file) = @_;

    my $listen = ++$port;

    my $pid = run($name, 'prometheus', "--config.file=$file",
        "--storage.tsdb.path=" . work() . "/$name.data",
        "--web.listen-address=127.0.0.1:$listen", '--web.enable-lifecycle');

    return ($pid, $listen);
}


# whose parts are processes, and wait until Prometheus has all targets

sub side
{
    my ($name, $pids, $listen) = @_;

    await("$name: targets", sub {
        my $sum = 0;
        $sum += $_ for page($listen, '/metrics')
            =~ /^prometheus_sd_discovered_targets\{[^}]*monitoring-proxy[^}]*\}
                \ (\S+)$/mgx;
        $sum == TARGETS;
    });

    return { name => $name, pids => $pids };
}


sub itself
{
    my ($places) = @_;

    my $sd = "    http_sd_configs:\n" . join '', map {
        "      - url: http://$_/targets\n"
            . "        refresh_interval: @{[INTERVAL]}s\n" } @$places;
    my ($pid, $listen) = prometheus('itself', write_file('itself.yaml',
        job($sd)));

    return side('Prometheus asks each', { prometheus => $pid }, $listen);
}


sub listening_to
{
    my ($places) = @_;

    my $sd = ++$port;
    my $asks = run('listen', $discovery, '--static=' . join(',', @$places),
        "--sd-listen=127.0.0.1:$sd", '--interval=' . INTERVAL . 's');
    my ($pid, $listen) = prometheus('listens', write_file('listens.yaml',
        job(<<"YAML")));
    http_sd_configs:
      - url: http://127.0.0.1:$sd/targets
        refresh_interval: @{[INTERVAL]}s
YAML

    return side('`--sd-listen`', { discovery => $asks, prometheus => $pid },
        $listen);
}


sub with_files
{
    my ($places) = @_;

    my $dir = work() . '/files';
    my $metrics = ++$port;

    mkdir $dir;
    unlink glob "$dir/*";

    my $base = write_file('files/base.yaml', job(<<"YAML"));
    file_sd_configs:
      - files: ["$dir/monitoring-proxy/*.json"]
YAML
    my ($pid, $listen) = prometheus('reads', write_file('files/new.yaml',
        job("    static_configs: []\n")));

    await('Prometheus', sub { page($listen, '/-/ready') =~ m{^\S+ 200 } });

    my $writes = run('files', $discovery, '--static=' . join(',', @$places),
        "--source=$base", "--target=$dir/new.yaml",
        "--metrics-addr=127.0.0.1:$metrics", '--interval=' . INTERVAL . 's',
        "--reloadurl=http://127.0.0.1:$listen/-/reload");

    return side('files', { discovery => $writes, prometheus => $pid },
        $listen);
}


# all sides beside each other, as their clocks are all that is looked at

sub measure
{
    my ($change, @sides) = @_;

    for my $side (@sides) {
        my $pids = $side->{pids};
        $side->{before} = { map { $_ => cpu_all($pids->{$_}) } keys %$pids };
    }

    for (1 .. $rounds) {
        $change->() if $change;
        sleep INTERVAL;
    }

    for my $side (@sides) {
        my $pids = $side->{pids};

        my $all = 0;

        for my $part (keys %$pids) {
            my $cpu = (cpu_all($pids->{$part}) - $side->{before}{$part}) / 1e6
                / $rounds;

            push @{ $side->{cpu}{$part} }, $cpu;
            $all += $cpu;
        }

        push @{ $side->{cpu}{all} }, $all;
    }
}


sub compare
{
    my ($what, $places, $change) = @_;

    note("$what: starts");

    my @sides = (itself($places), listening_to($places), with_files($places));
    my @rows;

    for my $changing (0, 1) {
        note("$what: ", $changing ? 'a target changes' : 'nothing changes');

        delete $_->{cpu} for @sides;
        measure($changing && $change, @sides) for 0 .. $windows;

        for my $side (@sides) {
            shift @$_ for values %{ $side->{cpu} };      # to warm up

            push @rows, [ $what, $changing ? 'one' : 'none', $side->{name},
                (map { $side->{cpu}{$_} ? quartiles('%.1f', @{
                    $side->{cpu}{$_} }) : '' } qw(discovery prometheus)),
                sprintf('%.2f', median(ratio($side->{cpu}{all},
                    $sides[0]{cpu}{all}))),
                map { $side->{pids}{$_} ? sprintf('%.1f',
                    pss($side->{pids}{$_}) / 1000) : '' }
                    qw(discovery prometheus) ];
        }
    }

    ended($_) for map { values %{ $_->{pids} } } @sides;

    return @rows;
}


print "## Discovery\n\n",
    "@{[TARGETS]} targets, asked for every @{[INTERVAL]} s; $windows windows "
    . "of $rounds rounds. CPU is that of a round, in ms; memory in MB.\n\n";

table([ 'proxies', 'targets that change', 'way', 'CPU of the discovery',
    'CPU of Prometheus', 'both, ratio', 'memory of the discovery',
    'memory of Prometheus' ],
    compare('10', modules(10)), compare('1,000', files(1000)));
