#!/usr/bin/perl

# Many real ssh tunnels through the image's sshd, each with a key of its own,
# all scraped by a real Prometheus; and through Debian's sshd as it is
# installed. How long they take to connect, what one takes of memory, and how
# long they take to come back after sshd and all sessions were killed.

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Time::HiRes qw(sleep time);
use lib $FindBin::Bin;
use Bench;
use Fleet;
use Plot;

my $quick  = grep { $_ eq '-q' } @ARGV;
my $hosts  = $quick ? 100 : 1000;
my $scrape = $quick ? 30 : 300;      # seconds
my $image  = $ENV{BENCH_IMAGE} || die "BENCH_IMAGE is not set\n";
my $tools  = $ENV{BENCH_TOOLS} || die "BENCH_TOOLS is not set\n";

my %of;


sub name_of
{
    return sprintf 'host-%04d', $_[0];
}


sub text_of
{
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!\n";
    local $/;

    return <$fh>;
}


# Keys of the hosts and of the proxy, and the file that allows them: the hosts
# file where the image has one, or else one key for all.

sub prepare
{
    my $own = docker('run', '--rm', '--entrypoint', 'sh', $image, '-c',
        'ls /usr/local/bin | grep -c -x monitoring-proxy-hosts || :');

    mkdir work() . "/$_" for qw(keys monitoring);

    my @names = $own ? map { FIRST_PORT + $_ } 0 .. $hosts - 1 : 'all';
    my %public;

    for my $name (@names, 'proxy') {
        my $key = work() . "/keys/$name";

        command('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '',
            '-f', $key);
        $public{$name} = join ' ', (split ' ', text_of("$key.pub"))[0, 1];
    }

    write_file('known_hosts', "proxy $public{proxy}\n");

    if ($own) {
        write_file('monitoring/hosts', join '', map { name_of($_) . ' '
            . $public{FIRST_PORT + $_} . ' port=' . (FIRST_PORT + $_) . "\n" }
            0 .. $hosts - 1);
    } else {
        write_file('monitoring/targets', join '', map { 'localhost:'
            . (FIRST_PORT + $_) . ' ' . name_of($_) . "\n" } 0 .. $hosts - 1);
    }

    # and what one writes for sshd alone

    write_file('authorized_keys', join '', map { my $port = FIRST_PORT + $_;
        "restrict,port-forwarding,permitlisten=\"localhost:$port\" "
        . ($public{$port} // $public{all}) . "\n" } 0 .. $hosts - 1)
        if $own;

    write_file('authorized_keys', 'restrict,port-forwarding '
        . "$public{all}\n") if !$own;

    return $public{all};
}


# /usr is a volume with what the image has there: each program and library that
# is in use is a file that Docker's storage may have to hold open, and where it
# is a FUSE of its own, some 20,000 of them are too many for it.

sub start_image
{
    my ($shared) = @_;

    server('proxy', '-v', '/usr',
        '-v', work() . '/monitoring:/etc/monitoring:ro',
        '-v', work() . '/keys/proxy:/etc/ssh/ssh_host_ed25519_key:ro',
        $shared ? ('-e', "MONITORING_PROXY_PUBLIC_KEY=$shared") : (), $image);
}


# Debian's openssh-server as it is installed, but for the host key, so that the
# hosts know it; started again when it ends, as systemd does. It is the same
# sshd, of the image, with Debian's files.

sub start_debian
{
    write_file('pam', docker('run', '--rm', $tools, 'cat', '/etc/pam.d/sshd')
        . "\n");

    server('proxy', '-v', '/usr', '-v', work() . ':/setup:ro', '--entrypoint',
        'sh', $image, '-c', <<'END');
mkdir -p /run/sshd /nonexistent/.ssh
cat /setup/pam > /etc/pam.d/sshd
cp /setup/authorized_keys /nonexistent/.ssh/
(umask 077; cat /setup/keys/proxy > /etc/ssh/ssh_host_ed25519_key)
while :; do /usr/sbin/sshd -D -f /usr/share/openssh/sshd_config; sleep 1; done
END
}


# a server until its sshd is ready, and what it takes without a tunnel

sub ready
{
    my ($start) = @_;

    $start->();

    await(30, sub {
        system('docker exec mp-bench-proxy sh -c '
            . "'grep -q :0016 /proc/net/tcp*'") == 0
    }) or die "nothing listens on port 22:\n",
        docker('logs', 'mp-bench-proxy');

    sleep 3;
    return kernel_memory('proxy');
}


sub connect_all
{
    my ($what) = @_;

    note("$hosts hosts connect to $what");
    fleet($tools, work(), $hosts);
    sleep 2;

    my $cpu = cpu_of('proxy');
    my @points = arrive(work(), $hosts, 300);

    $of{$what}{connected} = $points[-1][0];
    $of{$what}{connect_cpu} = cpu_of('proxy') - $cpu;
    $of{$what}{up} = $points[-1][1];
}


# kB for a tunnel, by kind, and how many of the rest

sub look
{
    my ($what, @before) = @_;

    my ($sessions) = sessions('proxy');
    my $count = $of{$what}{up} || 1;
    my ($kind, $sum, $tables, $files) = memory_of(@$sessions);
    my @kernel = kernel_memory('proxy');

    $of{$what}{kind} = { map { $_ => $kind->{$_} / $count } keys %$kind };
    $of{$what}{pss} = $sum / $count;
    $of{$what}{tables} = $tables / $count;
    $of{$what}{files} = $files / $count;
    $of{$what}{processes} = @$sessions / $count;
    $of{$what}{kernel} = ($kernel[0] - $before[0]) / $count;
    $of{$what}{sockets} = ($kernel[1] - $before[1]) / $count;
}


sub storm
{
    my ($what) = @_;

    note('sshd and all sessions are killed');
    my $cpu = cpu_of('proxy');

    my @points = return_after($hosts, 300, sub {
        my (undef, $all) = sessions('proxy');

        kill 'KILL', @$all;
        await(5, sub { listening_to('proxy', $hosts) < $hosts / 10 })
            or note('not all sessions ended');
    });

    $of{$what}{back} = $points[-1][0];
    $of{$what}{back_cpu} = cpu_of('proxy') - $cpu;
    $of{$what}{back_up} = $points[-1][1];
    $of{$what}{points} = \@points;
}


# a number that Prometheus has for a query

sub ask
{
    my ($query) = @_;

    my $address = docker('inspect', '-f',
        '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
        'mp-bench-prometheus');

    my ($text) = command('curl', '-s', '--max-time', 10, '--get',
        '--data-urlencode', "query=$query",
        "http://$address:9090/api/v1/query");

    return decode_json($text)->{data}{result}[0]{value}[1] // 0;
}


# All of them for some minutes. Returns the number of hosts whose every scrape
# was good, the scrapes, and CPU seconds of the proxy and its sshd for each.

sub scraped
{
    write_file('prometheus.yml', <<'END');
global:
  scrape_interval: 15s
scrape_configs:
  - job_name: node
    http_sd_configs:
      - url: http://proxy/targets
        refresh_interval: 15s
END

    note("Prometheus scrapes all of them for $scrape s");
    server('prometheus', '-v', work() . '/prometheus.yml:/prometheus.yml:ro',
        $tools, 'prometheus', '--config.file=/prometheus.yml',
        '--storage.tsdb.path=/tmp/prometheus');

    await(90, sub { (eval { ask('count(up == 1)') } // 0) == $hosts })
        or note('not all of them are up');

    my $cpu = cpu_of('proxy');
    sleep $scrape;
    $cpu = cpu_of('proxy') - $cpu;

    my $scrapes = ask("sum(count_over_time(up[${scrape}s]))");

    $of{image}{scrapes} = $scrapes;
    $of{image}{good} = ask("count(min_over_time(up[${scrape}s]) == 1)");
    $of{image}{failed} = ask("sum(count_over_time(up[${scrape}s])"
        . " - sum_over_time(up[${scrape}s]))");
    $of{image}{scrape_cpu} = $cpu / ($scrapes || 1);
    $of{image}{bytes} = ask('avg(scrape_samples_scraped)');
    $of{image}{duration} = ask('max(max_over_time('
        . "scrape_duration_seconds[${scrape}s]))");

    stop_server('prometheus');
}


sub row
{
    my ($name, $format, $field) = @_;

    my ($a, $b) = map { $of{$_}{$field} } qw(image Debian);

    return [ $name, sprintf($format, $a), sprintf($format, $b),
        $b ? sprintf('%.2f', $a / $b) : '' ];
}


my $shared = prepare();

for my $what (qw(image Debian)) {
    my @before = ready($what eq 'image' ? sub { start_image($shared) }
        : \&start_debian);

    connect_all($what);
    sleep 5;
    look($what, @before);
    scraped() if $what eq 'image';
    storm($what);
    stop_server($_) for qw(hosts proxy);
}

$of{$_}{login_cpu} = 1000 * $of{$_}{connect_cpu} / ($of{$_}{up} || 1)
    for keys %of;

plot_time('storm', 'Tunnels after sshd and all sessions were killed',
    'tunnels', map { [ $_->[1], @{ $of{$_->[0]}{points} } ] }
    [ 'image', 'the image' ], [ 'Debian', "Debian's sshd as installed" ]);

print "## Tunnels: $hosts ssh clients, ",
    $shared ? 'one key for all' : 'a key each', "\n\n";

table([ '', 'image', "Debian's sshd", 'image / Debian' ],
    row('tunnels', '%d', 'up'),
    row('seconds until all are there', '%.1f', 'connected'),
    row('CPU of the server for a login, ms', '%.1f', 'login_cpu'),
    row('after a kill of all: tunnels', '%d', 'back_up'),
    row('seconds until all are back', '%.1f', 'back'),
    row('CPU of the server for that, s', '%.1f', 'back_cpu'),
    row('processes a tunnel', '%.1f', 'processes'),
    row('file descriptors a tunnel', '%.1f', 'files'),
    row('memory a tunnel (PSS), kB', '%.0f', 'pss'),
    row('of the kernel besides, kB', '%.0f', 'kernel'),
    row('page tables in that, kB', '%.0f', 'tables'),
    row('sockets in that, kB', '%.1f', 'sockets'));

table([ 'memory a tunnel (PSS), kB', 'image', "Debian's sshd" ],
    map { my $kind = $_; [ $kind, map { sprintf '%.0f',
        $of{$_}{kind}{$kind} // 0 } qw(image Debian) ] }
    sort { $of{image}{kind}{$b} <=> $of{image}{kind}{$a} }
    keys %{ $of{image}{kind} });

table([ "scraped for $scrape s at 15 s", '' ],
    [ 'hosts with `up` = 1 in every scrape', $of{image}{good} ],
    [ 'scrapes', $of{image}{scrapes} ],
    [ 'of them failed', $of{image}{failed} ],
    [ 'samples of one', sprintf '%.0f', $of{image}{bytes} ],
    [ 'CPU of the container for one, ms',
        sprintf '%.2f', 1000 * $of{image}{scrape_cpu} ],
    [ 'the slowest, s', sprintf '%.2f', $of{image}{duration} ]);
