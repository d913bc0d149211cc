#!/usr/bin/perl

# The image as its user meets it: how soon both ports answer, how big it is,
# how fast a scrape of a dead tunnel is told so, and what an idle container
# takes.

use warnings;
use strict;

use FindBin;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);
use lib $FindBin::Bin;
use Bench;

use constant HTTP      => 19084;
use constant SSH       => 19085;
use constant CONTAINER => 'mp-bench-proxy';
use constant WAIT      => 30;       # seconds, at most

my $quick    = grep { $_ eq '-q' } @ARGV;
my $starts   = $quick ? 3 : 10;
my $requests = $quick ? 200 : 2000;
my $image    = $ENV{BENCH_IMAGE} || die "BENCH_IMAGE is not set\n";
my $base     = $ENV{BENCH_BASE} || die "BENCH_BASE is not set\n";


sub docker
{
    my ($output) = command('docker', @_);

    return $output;
}


sub remove
{
    system 'docker rm -fv ' . CONTAINER . ' > /dev/null 2>&1';
}


END {
    local $?;
    remove();
}


# what is mounted: a host key, and a target whose tunnel nobody opens

sub prepare
{
    my $key = work() . '/ssh_host_ed25519_key';

    command('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', $key);
    command('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f',
        work() . '/user');

    mkdir work() . '/monitoring';
    write_file('monitoring/targets', "localhost:20001 external-host-1\n");

    open my $fh, '<', work() . '/user.pub' or die "user.pub: $!\n";
    chomp(my $public = <$fh>);

    return ('-e', "MONITORING_PROXY_PUBLIC_KEY=$public",
        '-v', work() . '/monitoring:/etc/monitoring:ro',
        '-v', "$key:/etc/ssh/ssh_host_ed25519_key:ro",
        '-p', '127.0.0.1:' . HTTP . ':80', '-p', '127.0.0.1:' . SSH . ':22',
        $image);
}


# What a port says first, or to a request. Docker accepts connections before
# the container does, and may leave one of these without an answer.

sub said
{
    my ($port, $request) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port) or return '';

    local $SIG{PIPE} = 'IGNORE';
    syswrite $socket, $request if $request;
    my $text = '';

    while (IO::Select->new($socket)->can_read(0.2)) {
        sysread $socket, $text, 4096, length $text or last;
        last if $text =~ /\n/ && !$request;
    }

    return $text;
}


sub scrape
{
    return said(HTTP, "GET $_[0] HTTP/1.0\r\n\r\n");
}


# seconds until the sub returns something true

sub await
{
    my ($begin, $sub) = @_;

    until ($sub->()) {
        clock_gettime(CLOCK_MONOTONIC) - $begin < WAIT
            or die "no answer in @{[WAIT]} s:\n", docker('logs', CONTAINER);

        sleep 0.005;
    }

    return clock_gettime(CLOCK_MONOTONIC) - $begin;
}


# Seconds from docker run's start until it returned, until nginx answered, and
# until sshd had answered as well. sshd is asked second, as nginx waits for it.

sub run
{
    my (@options) = @_;

    remove();
    pipe my $reader, my $writer or die "pipe: $!\n";

    my $begin = clock_gettime(CLOCK_MONOTONIC);
    my $pid = fork;
    defined $pid or die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        my $failed = system 'docker', 'run', '-d', '--name', CONTAINER,
            @options;

        syswrite $writer, clock_gettime(CLOCK_MONOTONIC) - $begin;
        POSIX::_exit($failed ? 1 : 0);
    }

    close $writer;

    my $http = await($begin, sub { scrape('/-/ready') =~ m{^\S+ 200 } });
    my $ssh = await($begin, sub { said(SSH) =~ /^SSH-2\.0-/ });

    waitpid $pid, 0;
    $? and die "docker run failed\n";

    return (scalar <$reader>, $http, $ssh);
}


# kB of each program, its shared parts divided among those that share them,
# and the number of its processes; a container of its own may look at them

sub memory
{
    my $list = docker('run', '--rm', '--pid', 'container:' . CONTAINER,
        '--cap-add', 'SYS_PTRACE', '--entrypoint', 'sh', $image, '-c', <<'END');
for process in /proc/[0-9]*; do
    [ "$process" != "/proc/$$" ] || continue
    read -r name < "$process/comm"
    sed -n "s/^Pss: *\([0-9]*\) kB/$name \1/p" "$process/smaps_rollup"
done
END

    my (%size, %count);

    for (split /\n/, $list) {
        my ($name, $pss) = split ' ';

        $size{$name} += $pss;
        $count{$name}++;
    }

    return (\%size, \%count);
}


sub size
{
    return docker('image', 'inspect', '-f', '{{.Size}}', $_[0]) / 1e6;
}


my @options = prepare();
my (@docker, @http, @both);

print "## The image\n\n";

note("docker run, $starts times");
run(@options);     # once, so that the disk is out of it

for (1 .. $starts) {
    my ($docker, $http, $both) = run(@options);

    push @docker, $docker;
    push @http, $http;
    push @both, $both;
}

table([ "from `docker run`, $starts times, host key given",
    'seconds (min to max)', 'goal', '' ],
    [ '`docker run -d` returns', spread('%.2f', @docker), '', '' ],
    [ 'port 80 answers', spread('%.2f', @http), '', '' ],
    [ 'ports 80 and 22 answer', spread('%.2f', @both), 2,
        median(@both) <= 2 ? 'met' : 'NOT MET' ]);

my ($size, $above) = (size($image), size($image) - size($base));

table([ 'size', 'MB', 'goal', '' ],
    [ "the base, `$base`", sprintf('%.0f', $size - $above), '', '' ],
    [ 'the image above it', sprintf('%.0f', $above), 120,
        $above <= 120 ? 'met' : 'NOT MET' ]);

note('memory');
sleep 3;           # what starting took has come back by then

my ($used) = split ' ', docker('stats', '--no-stream', '--format',
    '{{.MemUsage}}', CONTAINER);
my ($pss, $count) = memory();
my $sum = 0;

$sum += $_ for values %$pss;

table([ 'memory of the idle container', 'processes', 'MB' ],
    map({ [ $_, $count->{$_}, sprintf '%.1f', $pss->{$_} / 1024 ] }
        sort { $pss->{$b} <=> $pss->{$a} } keys %$pss),
    [ 'all of them', '', sprintf '%.1f', $sum / 1024 ],
    [ 'as `docker stats` shows it', '', $used ]);

note('scrapes of a dead tunnel');

my $answer = scrape('/external-host-1/metrics');

$answer =~ m{^\S+ 502 .*^external-host-1: no tunnel: .*refused$}ms
    or die "a dead tunnel is answered with:\n$answer\n";

my ($median, $p99, $max) = map { $_ / 1000 }
    load_requests(HTTP, '/external-host-1/metrics', $requests, 502);

table([ "502 of a dead tunnel, $requests times", 'median', 'p99', 'max',
    'goal', '' ],
    [ 'milliseconds', map({ sprintf '%.2f', $_ } $median, $p99, $max), 50,
        $max <= 50 ? 'met' : 'NOT MET' ]);
