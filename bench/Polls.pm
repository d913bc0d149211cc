package Polls;

# Proxies for poll clients, side by side: this module in nginx, and PushProx's
# own program if PUSHPROX_DIR names the directory that has it; and the program
# that holds polls there and scrapes them.

use warnings;
use strict;

use IO::Socket::INET;
use IPC::Open2;
use Time::HiRes qw(sleep);

use Bench;

my ($port, @pids) = (19200);

END {
    local $?;
    kill 'KILL', @pids;
}


# why PushProx's own programs aren't measured, or nothing

sub missing
{
    my $dir = $ENV{PUSHPROX_DIR} // '';

    return 'PUSHPROX_DIR is not set' if $dir eq '';

    for (qw(pushprox-proxy pushprox-client)) {
        return "PUSHPROX_DIR has no $_" unless -x "$dir/$_";
    }

    return;
}


# a program that ends with this one

sub run
{
    my (@command) = @_;

    my $pid = fork;
    defined $pid or die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>>', work() . '/programs.log' or die "log: $!\n";
        open STDERR, '>&', \*STDOUT or die "log: $!\n";
        exec @command or die "$command[0]: $!\n";
    }

    push @pids, $pid;

    return $pid;
}


# or before it

sub halt
{
    my ($pid) = @_;

    @pids = grep { $_ != $pid } @pids;

    kill 'TERM', $pid;
    waitpid $pid, 0;
}


sub theirs
{
    my ($class, $clients) = @_;

    my $self = bless { port => ++$port, clients => $clients }, $class;

    $self->{pids} = [ run("$ENV{PUSHPROX_DIR}/pushprox-proxy",
        "--web.listen-address=127.0.0.1:$port", '--log.level=error') ];

    listening($port);

    return $self->begin;
}


sub ours
{
    my ($class, $clients, $workers) = @_;

    my $self = bless { port => ++$port, clients => $clients }, $class;
    my $name = "poll-$port";

    config($name, <<"MAIN", <<"HTTP", 19_900);
load_module @{[module()]};
worker_processes $workers;
MAIN
    prom_poll_zone poll 32m clients=20000;
    prom_poll_path @{[work()]}/$name.sockets;
    upstream prom_poll { prom_poll_peer; }
    server {
        listen 127.0.0.1:$port reuseport;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        client_max_body_size 0;
        connection_pool_size 512;
        request_pool_size 1k;
        client_header_buffer_size 512;
        client_body_buffer_size 128k;
        proxy_buffer_size 64k;
        proxy_buffers 4 64k;
        proxy_busy_buffers_size 128k;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout 1d;
        location = /poll    { prom_poll; proxy_pass http://prom_poll; }
        location = /push    { prom_poll_push; proxy_pass http://prom_poll; }
        location = /clients { prom_poll_clients; }
        location \@scrape   { prom_poll_scrape; proxy_pass http://prom_poll; }
        location \@workers  { prom_poll_worker; proxy_pass http://prom_poll; }
    }
HTTP

    my ($master) = start($name);
    chomp $master;

    # it starts one after the other

    my @workers;
    sleep 0.01 until (@workers = workers($master)) == $workers;
    sleep 0.2;

    $self->{pids} = [ $master, @workers ];

    return $self->begin;
}


# before any client, and with all of them

sub begin
{
    my ($self) = @_;

    $self->{empty} = $self->memory;

    $self->{pid} = open2($self->{out}, $self->{in},
        $ENV{BENCH_POLL} || 'poll', $self->{port}, $self->{clients});
    push @pids, $self->{pid};

    $self->told("clients $self->{clients}");
    $self->listed($self->{clients});
    sleep 1;
    $self->{full} = $self->memory;

    return $self;
}


# waits until that many clients are known to the proxy

sub listed
{
    my ($self, $clients) = @_;

    for (1 .. 300) {
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $self->{port}) or die "port $self->{port}: $!\n";

        print $s "GET /clients HTTP/1.0\r\n\r\n";

        my $text = do { local $/; <$s> };
        my $listed = () = $text =~ /"targets"/g;

        return if $listed >= $clients;
        sleep 0.1;
    }

    die "not all clients are listed on port $self->{port}\n";
}


sub told
{
    my ($self, $command) = @_;

    print { $self->{in} } "$command\n";
    $self->{in}->flush;

    my $line = readline $self->{out} // die "poll: it ended\n";

    return $line =~ /(\w+)=([\d.]+)/g;
}


# kB of all its processes, what they share counted once

sub memory
{
    my ($self) = @_;

    my $sum = 0;
    $sum += pss($_) for @{ $self->{pids} };

    return $sum;
}


# How many connections each worker has, with the few that are none of clients.

sub connections
{
    my ($self) = @_;

    my (undef, @workers) = @{ $self->{pids} };

    return map {
        scalar grep { (readlink // '') =~ /^socket:/ } glob "/proc/$_/fd/*"
    } @workers;
}


# Scrapes the first NAMES clients in turn, COUNT times; see poll.c. Beside what
# that tells: cpu, microseconds for a scrape of all processes, and busiest, of
# the one with the most.

sub scrape
{
    my ($self, $count, $rate, $connections, $names) = @_;

    my @before = map { cpu_all($_) } @{ $self->{pids} };
    my %got = $self->told("scrape $count $rate $connections $names");
    my @after = map { cpu_all($_) } @{ $self->{pids} };

    $got{done} == $count
        or die join ' ', "port $self->{port}: scrapes failed:",
            map({ "$_=$got{$_}" } sort keys %got), "\n";

    $got{cpu} = $got{busiest} = 0;

    for (0 .. $#after) {
        my $used = ($after[$_] - $before[$_]) / 1000 / $count;
        $got{cpu} += $used;
        $got{busiest} = $used if $used > $got{busiest};
    }

    $got{rate} = $count / $got{seconds};

    return \%got;
}


1;
