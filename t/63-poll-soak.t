#!/usr/bin/perl

# t/63-poll-soak.t: nothing wrong, stuck or left while all of it is killed

# MP_SOAK is for how many minutes; it also makes the crowds larger.

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Container qw(await command);
use Http;
use PollLoad;
use Proxy;

my $soak    = $ENV{MP_SOAK};
my $seconds = ($soak // 0.7) * 60;
my $clients = $soak ? 2000 : 300;
my $rate    = $soak ? 200 : 150;
my $calls   = 16;        # scrapers at once, where nothing is broken
my $kinds   = 'done|refused|broken|wrong|stuck|polls|pushes';

my $proxy = Proxy->start(env => { MONITORING_PROXY_POLL => 'on' },
    options => [ '--ulimit', 'nofile=20000' ]);

my $load = PollLoad->new(8080, $clients, '-c', '-a', $proxy->address,
    '-b', 200_000, '-t', 4);
my %sum;


sub listed {
    my $r = eval { Http::request(8080, host => $proxy->address,
        path => '/clients') } or return -1;
    my $count = () = $r->{body} =~ /"c\d{5}"/g;

    return $count;
}


# files, sockets of workers among them, and memory of nginx's processes in kB

sub holds {
    my $out = $proxy->exec('sh', '-c', <<'EOF')->{out};
for d in /proc/[0-9]*; do
    grep -q '^Name:.nginx' $d/status 2> /dev/null || continue
    ls $d/fd 2> /dev/null | wc -l
    sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/kB \1/p' $d/status
done
find /run/monitoring-proxy/nginx -type s | sed 's/^/socket /'
EOF

    my ($files, $memory, $sockets) = (0, 0, 0);

    for (split /\n/, $out) {
        $files += $1 if /^(\d+)$/;
        $memory += $1 if /^kB (\d+)$/;
        $sockets++ if /^socket/;
    }

    return { files => $files, memory => $memory, sockets => $sockets };
}


sub workers { $proxy->pids(qr/^nginx: worker process *$/) }


# of the worker with the fewest connections: what it has of COUNT's fair share,
# with the few files that each has open

sub fair {
    my ($count) = @_;

    my @pids = $proxy->pids(qr/^nginx: worker process *$/);
    my ($least) = sort { $a <=> $b } map {
        $proxy->exec('sh', '-c', "ls /proc/$_/fd | wc -l")->{out}
    } @pids;

    return $least * @pids / $count;
}


sub told {
    my ($r) = @_;

    return join ' ', map { "$_=$r->{$_}" } sort keys %$r;
}


# what must not be, whatever else is

sub right {
    my ($what, $r) = @_;

    $sum{$_} += $r->{$_} for grep { /^(?:$kinds)$/ } keys %$r;

    is("$r->{wrong} wrong, $r->{stuck} stuck", '0 wrong, 0 stuck',
        "$what: no body but the right one, and no scrape without an end")
        or diag told($r), ' ', $load->said;
}


# once nothing is broken any more, everyone is back within a moment

sub calm {
    my ($what) = @_;

    $load->told('breaks 0');

    ok(await(60, sub { listed() == $clients }),
        "$what: all clients are back") or diag listed();

    sleep 1;

    my $count = 2 * $clients;
    my $r = $load->told("scrape $count 0 $calls $clients", 120);

    right("$what, then calm", $r);
    is($r->{done}, $count, "$what, then calm: each scrape is answered")
        or diag told($r), ' ', $load->said;
}


# Connections of clients and scrapers are broken, workers stay.

sub connections {
    my ($time) = @_;

    my $half = int($time * $rate / 2) + 1;
    my @memory;

    $load->told('breaks ' . $rate / 5);

    for (1, 2) {
        my $r = $load->told("scrape $half $rate 40 $clients", $time + 60);

        right('broken connections', $r);
        cmp_ok($r->{done}, '>', $half * 0.6, "most are answered: $r->{done}");
        push @memory, holds()->{memory};
    }

    cmp_ok($memory[1], '<', $memory[0] * 1.1 + 4096,
        "memory doesn't grow: $memory[0], $memory[1] kB");

    calm('broken connections');
}


# And workers are killed, and replaced.

sub workers_too {
    my ($time) = @_;

    my $count = int($time * $rate) + 1;
    my $end = time + $time;
    my ($kills, $reloads) = (0, 0);

    $load->told('breaks ' . $rate / 10);
    $load->say("scrape $count $rate 40 $clients");

    while (time < $end - 2) {
        if (rand() < 0.5) {
            my @workers = workers();
            next unless @workers;
            $proxy->kill('KILL', $workers[rand @workers]);
            $kills++;

        } else {
            $proxy->exec('nginx', '-s', 'reload');
            $reloads++;
        }

        sleep 0.5 + rand 1;
    }

    my $r = $load->answer($time + 60);

    right("$kills workers killed, $reloads reloads", $r);
    cmp_ok($r->{done}, '>', $count * 0.4, "many are answered: $r->{done}");

    calm('workers killed');
}


$load->told("clients $clients", 60);
ok(await(60, sub { listed() == $clients }), "$clients clients hold polls")
    or diag listed();
cmp_ok(fair($clients), '>', 0.8, 'each worker has its share of them');

calm('at first');

my $before = holds();
my $cycles = $soak ? int($seconds / 120) || 1 : 1;

for (1 .. $cycles) {
    connections($seconds / $cycles * 0.4);
    workers_too($seconds / $cycles * 0.6);
}

# workers that were replaced end with their last scrape

my $workers = workers();
ok(await(60, sub { holds()->{sockets} <= 2 * $workers }),
    'two private sockets for each worker, no more');

my $after = holds();
cmp_ok($after->{files}, '<', $before->{files} * 1.2 + 50,
    "no file is left open: $before->{files}, then $after->{files}");
cmp_ok($after->{memory}, '<', $before->{memory} * 1.3 + 8192,
    "memory is as it was: $before->{memory}, then $after->{memory} kB");


# crowds that come and go: their names take no more than there is for them

my $vanish = PollLoad->new(8080, 1, '-a', $proxy->address);
my $names = $soak ? 1_000_000 : 10_000;

for my $part (1 .. 10) {
    $vanish->told('vanish ' . $names / 10, 600);
    calm("$names that vanish") if $part == 5;
}

$vanish->stop;
calm("$names that vanished");

my $crowd = holds();
cmp_ok($crowd->{memory}, '<', $after->{memory} * 1.3 + 8192,
    "memory is as it was: $after->{memory}, then $crowd->{memory} kB");
cmp_ok($crowd->{files}, '<', $after->{files} + 50,
    "no file is left open: $after->{files}, then $crowd->{files}");


# all go

$load->stop;

ok(await(10, sub {
    my $r = Http::request(8080, host => $proxy->address,
        path => 'http://c00001:9100/metrics', headers => [
            'Host: c00001:9100', 'X-Prometheus-Scrape-Timeout-Seconds: 5' ]);
    $r->{status} == 503 && $r->{time} < 1;
}), 'once they have gone: 503 at once');

# Which may be long by now.  A worker may be gone between the look for it and
# the dial, which nginx tells so.

my $name = $proxy->name;
my $gone = 'exited on signal 9|was locked by|/temp/poll/[^ ]* failed \\(2:';
my $bad = command({ seconds => 300 }, 'sh', '-c', "docker logs $name 2>&1"
    . " | grep -E '\\[(alert|emerg|crit)\\]'"
    . " | grep -vE '$gone' | head -n 5")->{out};
is($bad, '', 'no alert in the log');

note(told(\%sum));

done_testing();
