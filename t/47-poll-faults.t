#!/usr/bin/perl

# t/47-poll-faults.t: poll clients that vanish, drip, flood and come in masses

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Http qw(connection read_response send_request);
use Nginx;
use PollLoad;

my $slow = $ENV{MP_SLOW};

my $nginx = Nginx->new->configure(workers => 2, targets => '',
    http => <<'EOF', server => <<'EOF2');
    prom_poll_zone poll 1m clients=500 timeout=1s;
    prom_poll_path %%DIR%%/poll;
    upstream prom_poll { prom_poll_peer; }
    client_header_buffer_size 4k;
    client_header_timeout 2s;
    client_body_timeout 2s;
    reset_timedout_connection on;
EOF
        proxy_set_header Connection "";
        proxy_request_buffering off;
        proxy_buffering off;
        location = /poll { prom_poll; proxy_pass http://prom_poll; }
        location = /push { prom_poll_push; proxy_pass http://prom_poll; }
        location = /clients { prom_poll_clients; }
        location @scrape {
            prom_poll_scrape;
            proxy_pass http://prom_poll;
        }
        location @workers {
            prom_poll_worker;
            proxy_pass http://prom_poll;
        }
EOF2

# a debug log of all this would be what is measured

{
    my $conf = Nginx::slurp($nginx->dir . '/nginx.conf');
    $conf =~ s/error\.log debug;/error.log notice;/;
    $nginx->write('nginx.conf', $conf);
}

$nginx->start;


sub scrape {
    my ($name, $timeout) = @_;

    return $nginx->get("http://$name:9100/metrics", timeout => 10,
        headers => [ "Host: $name:9100",
            'X-Prometheus-Scrape-Timeout-Seconds: ' . ($timeout // 5) ]);
}


# all connections of the workers, but for the listening ones

sub connections {
    my $hex = sprintf ':%04X', $nginx->port;
    my $count = 0;

    for my $file (qw(tcp tcp6)) {
        open my $fh, '<', "/proc/net/$file" or next;

        while (<$fh>) {
            $count++ if /^\s*\d+:\s\S+$hex\s\S+\s0[18]\s/i;
        }
    }

    return $count;
}


sub quiet {
    my ($seconds) = @_;

    return await(sub { connections() == 0 }, $seconds // 10);
}


sub files {
    my $count = 0;

    for my $pid ($nginx->workers) {
        my @open = glob "/proc/$pid/fd/*";
        $count += @open;
    }

    return $count;
}


sub memory {
    my $sum = 0;

    for my $pid ($nginx->workers) {
        $sum += Nginx::slurp("/proc/$pid/status") =~ /^RssAnon:\s*(\d+)/m
            ? $1 : 0;
    }

    return $sum;
}


# A few that stay: what they are asked for is right, whatever the others do.

my $load = PollLoad->new($nginx->port, 20, '-c', '-b', 20000);

sub well {
    my ($what) = @_;

    my $count = $slow ? 40 : 200;
    my $r = $load->told("scrape $count 0 8 20");

    is("$r->{done} $r->{wrong} $r->{stuck}", "$count 0 0",
        "$what: all others are scraped as ever")
        or diag join ' ', map({ "$_=$r->{$_}" } sort keys %$r),
            $load->said;
}

$load->told('clients 20');
ok(await(sub {
    my $listed = () = $nginx->get('/clients')->{body} =~ /"c\d+"/g;
    $listed == 20;
}), 'twenty clients hold polls');
well('before');

my $files = files();


# many that connect, poll and vanish, each with a name of its own

# memory grows to what these take, by steps of up to 2 MB, and to what a slow
# moment adds: no name may cost 200 bytes that stay

my $rounds = $slow ? 1 : 2;
my $vanish = PollLoad->new($nginx->port, 1);
my $many = $slow ? 300 : 4000;

$vanish->told("vanish $many") for 1 .. $rounds;
well('clients that vanish');

my $memory = memory();

$vanish->told("vanish $many") for 1 .. 4 * $rounds;
well('and vanish');

ok(await(sub { files() <= $files + 16 }),
    'clients that vanish: no connection is left')
    or diag files() . " files, $files before";

SKIP: {
    skip 'memory says nothing there', 1 if $slow;

    my $now = memory();
    cmp_ok($now, '<', $memory * 1.1 + 200 * 4 * $rounds * $many / 1024,
        "ever new names: memory stays ($memory, then $now kB)");
}

my $r = scrape('v0000000001');
is($r->{status}, 503, 'one that vanished: no client');
cmp_ok($r->{time}, '<', 8, 'said at once');


# a limit is told

{
    my @held;

    for my $number (1 .. 490) {
        my $s = connection($nginx->port);
        send_request($s, path => '/poll', method => 'POST', keepalive => 1,
            body => "full-$number");
        push @held, $s;

        last if $number == 200;     # connections of a worker are few here
    }

    ok(await(sub {
        my $listed = () = $nginx->get('/clients')->{body} =~ /"full-\d+"/g;
        $listed == @held;
    }), scalar @held . ' clients at once');

    well('with these');
}


# A flood of scrapes for one that isn't there.

{
    my $count = $slow ? 100 : 1000;
    my $start = time;
    my $s = connection($nginx->port);
    my %got;

    for (1 .. $count) {
        send_request($s, path => 'http://absent:9100/metrics',
            headers => [ 'Host: absent:9100' ], keepalive => 1);
        my $r = read_response($s);
        $got{$r->{status}}++;

        $s = connection($nginx->port)
            if ($r->{headers}{connection} // '') eq 'close';
    }

    is($got{503}, $count, 'a flood of scrapes of an absent client: 503');
    cmp_ok(time - $start, '<', $slow ? 120 : 60, 'each at once');
    well('a flood');
}


# One that has just been handed a scrape and never comes back: those after it
# wait, no longer than they may.

{
    my $poll = connection($nginx->port);
    send_request($poll, path => '/poll', method => 'POST', keepalive => 1,
        body => 'mute');
    ok(await(sub { $nginx->get('/clients')->{body} =~ /"mute"/ }),
        'a client that never pushes');

    my @waiting = map {
        my $s = connection($nginx->port);
        send_request($s, path => 'http://mute:9100/metrics',
            headers => [ 'Host: mute:9100',
                'X-Prometheus-Scrape-Timeout-Seconds: 1.5' ],
            keepalive => 1);
        $s
    } 1 .. 50;

    well('a flood of what has to wait');

    my %got;
    my $start = time;

    for (@waiting) {
        my $r = read_response($_, timeout => 60);
        $got{$r->{status}}++;
    }

    is(join(' ', sort grep { !/^50[34]$/ } keys %got), '',
        'all of them are told: ' . join ', ',
        map { "$_: $got{$_}" } sort keys %got);
    ok($got{504}, 'that their time is up');
    cmp_ok(time - $start, '<', $slow ? 60 : 20, 'in time');
}


# slow ones

my %slow = (
    'a header of a poll' => "POST /poll HTTP/1.1\r\nHost: p\r\nX: ",
    'a name' => "POST /poll HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n"
        . "\r\nslo",
    'a push without an Id' => "POST /push HTTP/1.1\r\nHost: p\r\n"
        . "Content-Length: 500\r\n\r\nHTTP/1.1 200 OK\r\nContent-",
    'a header of a scrape' => "GET http://c00001:9100/metrics HTTP/1.1\r\n"
        . 'Host: c00',
    'a body of a scrape' => "POST http://c00001:9100/metrics HTTP/1.1\r\n"
        . "Host: c00001:9100\r\nContent-Length: 10\r\n\r\nab",
    'a push in chunks' => "POST /push HTTP/1.1\r\nHost: p\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n5\r\nHTT",
);

{
    my %s = map {
        my $s = connection($nginx->port);
        syswrite $s, $slow{$_};
        ($_ => $s)
    } sort keys %slow;

    well('slow ones');

    for (sort keys %s) {
        my $start = time;
        my $r = read_response($s{$_}, timeout => $slow ? 30 : 8);

        isnt($r->{line}, 'timeout', "$_ that goes no further is ended")
            or diag $r->{raw};
        like($r->{status}, qr/^(?:0|4\d\d|5\d\d)$/, "$_: with no success");
    }
}


# A push that drips: its scraper is told in time.

{
    my $poll = connection($nginx->port);
    send_request($poll, path => '/poll', method => 'POST', keepalive => 1,
        body => 'drip');
    ok(await(sub { $nginx->get('/clients')->{body} =~ /"drip"/ }),
        'a client that pushes by drops');

    my $scraper = connection($nginx->port);
    send_request($scraper, path => 'http://drip:9100/metrics',
        headers => [ 'Host: drip:9100',
            'X-Prometheus-Scrape-Timeout-Seconds: 2' ], keepalive => 1);

    my ($id) = read_response($poll)->{body} =~ /^Id: (\S+)/m;
    my $push = connection($nginx->port);

    my $response = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
        . "Id: $id\r\n\r\n";
    syswrite $push, "POST /push HTTP/1.1\r\nHost: p\r\nContent-Length: "
        . (1000 + length $response) . "\r\n\r\n$response";

    my $start = time;
    my $drops = fork // die "fork: $!\n";

    if ($drops == 0) {
        local $SIG{PIPE} = 'IGNORE';

        for (1 .. 100) {
            syswrite $push, 'x' or last;
            sleep 0.1;
        }

        POSIX::_exit(0);
    }

    my $r = read_response($scraper, timeout => $slow ? 30 : 8);
    ok($r->{closed} || $r->{status} >= 500,
        'a push that drips: no answer that looks whole');
    cmp_ok(time - $start, '<', $slow ? 28 : 7, 'at the time limit');

    kill 'KILL', $drops;
    waitpid $drops, 0;
}

well('at the end');

$load->stop;
$vanish->stop;

ok(quiet(), 'all connections are closed') or diag connections();

ok(await(sub {
    my $listed = () = $nginx->get('/clients')->{body} =~ /"targets"/g;
    $listed == 0;
}), 'and no client is listed past its time');

$nginx->finish;

done_testing();
