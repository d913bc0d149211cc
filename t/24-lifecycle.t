#!/usr/bin/perl

# t/24-lifecycle.t: what dies comes back, what can't ends the container, SIGTERM
# lets scrapes finish, and a reload lets tunnels live on

use warnings;
use strict;

use FindBin;
use IO::Select;
use IPC::Open2;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await docker directory write_file);
use Http;
use Proxy;

my $size = 200_000;

# /fast answers at once, /slow sends its half and goes on once this file is
# there, /endless never ends

my $go_on = directory() . '/go-on';
my $through;

END { kill 'KILL', $through if $through }

my $exporter = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($path) = $request =~ /^\S+ (\S+)/;
    my $half = 'x' x ($size / 2);

    print $s "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        . "Content-Length: $size\r\n\r\n$half";
    $s->flush;

    await(60, sub { -e $go_on }) if $path eq '/slow';
    sleep 60 if $path eq '/endless';

    print $s $half;
    $s->flush;

    return 1;
});

my $targets = "localhost:20001 external-host-1\n";


sub scraped {
    my ($proxy, $seconds) = @_;

    return await($seconds // 60, sub {
        my $r = $proxy->http(path => '/external-host-1/fast', timeout => 5);
        $r->{status} == 200 && length $r->{body} == $size });
}


# A scrape of which the first half has arrived.

sub half_scrape {
    my ($proxy, $path) = @_;

    my $s = Http::connection(80, $proxy->address);
    Http::send_request($s, path => "/external-host-1$path");

    my $text = '';
    my $end = time + 10;

    while ($text !~ /\r\n\r\n.{1000}/s && time < $end) {
        next unless IO::Select->new($s)->can_read(1);
        sysread $s, $text, 65536, length $text or last;
    }

    return ($s, $text);
}


# docker stop, without waiting for it.

sub stopping {
    my ($proxy, $seconds) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'docker', 'stop', '-t', $seconds, $proxy->name
            or POSIX::_exit(127);
    }

    return $pid;
}


# What it has said when that ends as wanted, or the time is up.

sub hears {
    my ($s, $wanted, $seconds) = @_;

    my $text = '';
    my $end = time + $seconds;

    while ($text !~ $wanted && time < $end) {
        next unless IO::Select->new($s)->can_read(1);
        sysread $s, $text, 65536, length $text or last;
    }

    return $text;
}


# a forward proxy that is reloaded at once, with a tunnel up; the rest of this
# takes longer than a scrape has when the container stops

my $bastion = Proxy->start(targets => $targets, env => {
    MONITORING_PROXY_FORWARD_ALLOW => '127.0.0.1:20001',
    MONITORING_PROXY_FORWARD_VERIFY => 'off' });
$bastion->tunnel(20001, $exporter->port) or diag $bastion->logs;

$through = open2(my $from, my $to, 'exec openssl s_client -quiet -connect '
    . $bastion->address . ':4445 2>/dev/null');
$to->autoflush;
print $to "CONNECT 127.0.0.1:20001 HTTP/1.1\r\nHost: 127.0.0.1:20001\r\n\r\n";
like(hears($from, qr/\r\n\r\n/, 60), qr/^HTTP\/1\.1 200 /, 'a tunnel is up');

my $reloaded = time;
is($bastion->exec('nginx', '-s', 'reload')->{status}, 0, 'nginx is reloaded');


# what dies comes back

my $proxy = Proxy->start(targets => $targets);
ok($proxy->tunnel(20001, $exporter->port) && scraped($proxy),
    'a tunnel that is scraped') or diag $proxy->logs;

my %died = (
    'the nginx master' => qr/^nginx: master/,
    'an nginx worker'  => qr/^nginx: worker/,
    'all of nginx'     => qr/^nginx: /,
    'the sshd listener' => qr/^sshd: .*\[listener\]/,
    'the sessions service' => qr{^\S+/monitoring-proxy/sessions\b},
);

for my $what (sort keys %died) {
    my @before = $proxy->pids($died{$what});
    ok(scalar @before, "$what runs");
    my @killed = $what =~ /^an / ? $before[0] : @before;

    $proxy->kill('KILL', @killed);

    my $back = await(60, sub {
        my %now = map { $_ => 1 } $proxy->pids($died{$what});
        keys %now == @before && !grep { $now{$_} } @killed });

    ok($back && $proxy->ready(10), "$what comes back after SIGKILL")
        or diag $proxy->logs;
    ok(scraped($proxy), "$what: the tunnel is scraped again");
}

is(scalar(() = $proxy->pids(qr/^nginx: master/)), 1,
    'there is one nginx in the end');

# a session that dies is its host's matter: it frees the port at once

$proxy->kill('KILL', $proxy->pids(qr/^sshd-session: monitoring/));
ok(await(60, sub { !$proxy->listens(20001) }),
    'the end of a session frees its port');
ok($proxy->tunnel(20001, $exporter->port) && scraped($proxy),
    'and the host can come back');

is(scalar(() = $proxy->pids(qr/^\S*s6-svscan /)), 1, 's6 was there all along');
ok($proxy->running, 'the container too');


# SIGTERM

my ($s, $text) = half_scrape($proxy, '/slow');
ok(length $text, 'a slow scrape has begun');

my $started = time;
my $stop = stopping($proxy, 30);

ok(await(60, sub { !$proxy->listens(80) }),
    'after SIGTERM no new scrape is taken');
ok($proxy->running, 'but the proxy waits for the one that runs');

write_file($go_on, '');
my $r = Http::read_response($s, timeout => 20);

is(length($text) + length($r->{raw}) - index("$text$r->{raw}", "\r\n\r\n") - 4,
    $size, 'a scrape that runs at SIGTERM ends with its full body');
is($proxy->ended(20), 0, 'and then the container ends with 0');
cmp_ok(time - $started, '<', 29, 'without waiting for more');
waitpid $stop, 0;
unlink $go_on;

my $log = $proxy->logs;
like($log, qr/external-host-1\/slow HTTP\/1\.1" 200 /, 'the scrape is logged');
$proxy->remove;


# idle connections and sessions don't hold it up

$proxy = Proxy->start(targets => $targets);
$proxy->tunnel(20001, $exporter->port);
scraped($proxy);
my $idle = Http::connection(80, $proxy->address);
Http::send_request($idle, path => '/external-host-1/fast', keepalive => 1);
Http::read_response($idle);
my $silent = Http::connection(22, $proxy->address);

$started = time;
docker('stop', '-t', '30', $proxy->name);
is($proxy->ended, 0, 'an idle proxy ends with 0');
cmp_ok(time - $started, '<', 29, 'and at once, whoever is connected');

# restarted, it is as before

docker('start', $proxy->name);
ok($proxy->ready, 'it can be started again');
ok($proxy->tunnel(20001, $exporter->port) && scraped($proxy),
    'and does its job');


# the tunnel, long after the reload

await(60, sub { time - $reloaded > 28 });
print $to "GET /fast HTTP/1.1\r\nHost: 127.0.0.1:20001\r\n\r\n";
like(hears($from, qr/x{1000}/, 60), qr/^HTTP\/1\.1 200 /,
    'a reload lets a tunnel live on');

my $closed = stopping($bastion, 30);


# crash loops; the files are those of the container, so it is its last act

my %crash = (
    nginx => [ 'echo nonsense > /etc/nginx/nginx.conf', qr/^nginx: / ],
    sshd => [ 'echo nonsense > /usr/lib/monitoring-proxy/sshd_config',
        qr/^sshd: .*\[listener\]/ ],
);

for my $service (sort keys %crash) {
    my ($command, $processes) = @{ $crash{$service} };

    my $proxy = Proxy->start(targets => $targets);
    is($proxy->exec('sh', '-c', $command)->{status}, 0, "$service is broken");
    $proxy->kill('KILL', $proxy->pids($processes));

    my $status = $proxy->ended(60);
    like($status // 'still running', qr/^[1-9]\d*$/,
        "$service: a crash loop ends the container with a failure");
    like($proxy->logs, qr/^monitoring-proxy: .*$service/m,
        "$service: and the log says which");
    $proxy->remove;
}


# mistakes stop it at once

for my $case (
    [ 'a wrong targets file', { targets => "# x\nlocalhost:20001 a/../b\n" },
        qr{^monitoring-proxy: /etc/monitoring/targets:2:17: \S}m ],
    [ 'two targets of one name',
        { targets => "localhost:1 a\nlocalhost:2 a\n" },
        qr{^monitoring-proxy: /etc/monitoring/targets:2:13: .*\b1\b}m ],
    [ 'a wrong own location', { conf => "location / {\n    nonsense;\n}\n" },
        qr{nonsense.* /etc/nginx/conf\.d/monitoring-proxy\.conf:2}m ],
    [ 'an own location that is cut off', { conf => "location / {\n" },
        qr{/etc/nginx/conf\.d/monitoring-proxy\.conf:2}m ],
) {
    my ($what, $options, $line) = @$case;

    $started = time;
    $r = Proxy->refused(%$options);
    is($r->{status}, 1, "$what: the container stops");
    like($r->{out}, $line, "$what: says where and what");
    unlike($r->{out}, qr/Server listening/, "$what: nothing is started");
    cmp_ok(time - $started, '<', 30, "$what: at once");
}

$r = Proxy->refused(targets => "bad\n" x 30);
is(scalar(() = $r->{out} =~ m{/etc/monitoring/targets:\d+:\d+: }g), 20,
    'of thirty mistakes, twenty are told');
like($r->{out}, qr/\b10 more\b/, 'and the rest counted');


# the tunnel, which nobody closes

is($bastion->ended(60), 0, 'a tunnel that is up: the container ends with 0');
waitpid $closed, 0;


done_testing();
