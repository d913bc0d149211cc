package Fleet;

# What measures tunnels: servers and the hosts that connect to them, all in
# containers, looked at from a container that sees their processes.

use warnings;
use strict;

use Exporter qw(import);
use File::Path qw(make_path remove_tree);
use FindBin;
use Time::HiRes qw(sleep time);
use Bench;

our @EXPORT = qw(arrive await cpu_of docker fleet kernel_memory listening_to
    memory_of return_after server sessions stop_server FIRST_PORT);

use constant FIRST_PORT => 20001;
use constant AT_ONCE    => 40;       # hosts that connect at the same time
use constant NETWORK    => 'mp-bench-net';

my %pid;


END {
    local $?;
    system 'docker rm -fv mp-bench-host mp-bench-hosts mp-bench-prometheus '
        . 'mp-bench-proxy > /dev/null 2>&1; docker network rm ' . NETWORK
        . ' > /dev/null 2>&1';
}


sub docker
{
    my ($output) = command('docker', @_);

    chomp $output;
    return $output;
}


# calls the sub each moment, until it is true or the seconds are over

sub await
{
    my ($seconds, $sub) = @_;

    my $end = time + $seconds;

    until ($sub->()) {
        return if time > $end;
        sleep 0.1;
    }

    return 1;
}


# a server of the name mp-bench-NAME: options and words of docker run

sub server
{
    my ($name, @words) = @_;

    system 'docker network create ' . NETWORK . ' > /dev/null 2>&1';
    docker('run', '-d', '--name', "mp-bench-$name", '--network', NETWORK,
        '--network-alias', $name, @words);

    $pid{$name} = docker('inspect', '-f', '{{.State.Pid}}', "mp-bench-$name");
}


sub stop_server
{
    my ($name) = @_;

    docker('rm', '-fv', "mp-bench-$name");
}


# the hosts' container, none of them started

sub fleet
{
    my ($image, $directory, $hosts) = @_;

    write_allowed($directory, 0);

    server('hosts', '--init', '--cap-add', 'NET_ADMIN', '-v',
        "$directory:$directory:ro", '-v', "$FindBin::Bin:/bench:ro", $image,
        'sh', '-c', 'prometheus-node-exporter 2> /dev/null'
        . ' --web.listen-address=localhost:9100 --web.max-requests=0'
        . ' --collector.disable-defaults --collector.cpu'
        . ' --collector.filesystem --collector.loadavg --collector.meminfo'
        . ' --collector.netdev --collector.stat & exec perl /bench/fleet.pl'
        . " $directory $hosts proxy");
}


sub write_allowed
{
    my ($directory, $number) = @_;

    open my $fh, '>', "$directory/allowed.new" or die "allowed: $!\n";
    print $fh $number;
    close $fh;
    rename "$directory/allowed.new", "$directory/allowed";
}


# how many of the tunnels' ports a server listens on

sub listening_to
{
    my ($name, $hosts) = @_;

    open my $fh, '<', "/proc/$pid{$name}/net/tcp" or die "$name: $!\n";
    my $count = 0;

    while (<$fh>) {
        /^ *\d+: 0100007F:(....) \S+ 0A / or next;
        my $number = hex($1) - FIRST_PORT;
        $count++ if $number >= 0 && $number < $hosts;
    }

    return $count;
}


# Lets the hosts come, so many at a time. Returns (SECONDS, TUNNELS) over time.

sub arrive
{
    my ($directory, $hosts, $seconds) = @_;

    return over_time($hosts, $seconds, sub {
        my ($listening) = @_;

        write_allowed($directory, $listening + AT_ONCE);
    });
}


# the same after all of them were lost

sub return_after
{
    my ($hosts, $seconds, $loss) = @_;

    $loss->();

    return over_time($hosts, $seconds, sub { });
}


sub over_time
{
    my ($hosts, $seconds, $sub) = @_;

    my $begin = time;
    my @points;

    await($seconds, sub {
        my $listening = listening_to('proxy', $hosts);

        $sub->($listening);
        push @points, [ time - $begin, $listening ];

        return $listening == $hosts;
    }) or note("only $points[-1][1] of $hosts after $seconds s");

    $points[-1][1] or die "no tunnel at all\n";

    return @points;
}


# the processes of sshd's sessions, and all of sshd's

sub sessions
{
    my ($name) = @_;

    my (@sessions, @all);
    my @next = $pid{$name};

    while (defined(my $process = shift @next)) {
        push @next, workers($process);

        open my $fh, '<', "/proc/$process/comm" or next;
        chomp(my $comm = <$fh> // '');

        push @sessions, $process if $comm eq 'sshd-session';
        push @all, $process if $comm =~ /^sshd(?:-session|-auth)?$/;
    }

    return (\@sessions, \@all);
}


sub cgroup
{
    my ($name, $script) = @_;

    return docker('exec', "mp-bench-$name", 'sh', '-c',
        "cd /sys/fs/cgroup; $script");
}


# seconds of CPU that a container has used

sub cpu_of
{
    my ($name) = @_;

    my ($unit, $used) = split ' ', cgroup($name, 'if [ -e cpu.stat ]; then'
        . ' awk \'/^usage_usec/ { print 1e6, $2 }\' cpu.stat; else'
        . ' echo 1000000000 $(cat cpuacct/cpuacct.usage); fi');

    return $used / $unit;
}


# kB of the kernel that it holds, and of them those of its sockets' buffers

sub kernel_memory
{
    my ($name) = @_;

    return map { $_ / 1024 } split ' ', cgroup($name,
        'if [ -e memory.stat ]; then awk \'{ of[$1] = $2 }'
        . ' END { print of["kernel"], of["sock"] }\' memory.stat; else'
        . ' echo $(cat memory/memory.kmem.usage_in_bytes'
        . ' memory/memory.kmem.tcp.usage_in_bytes); fi');
}


# kB of the processes' proportional set size by what it is for, the same
# summed up, their page tables, and their file descriptors

sub memory_of
{
    my (@processes) = @_;

    my (%kind, $sum, $tables, $files);

    for my $process (@processes) {
        open my $smaps, '<', "/proc/$process/smaps" or next;
        my ($kind, $library) = ('', '');

        while (<$smaps>) {
            if (/^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \S+\s*(.*)/) {
                ($kind, $library) = kind_of($1, $2, $library);

            } elsif (/^Size: +(\d+)/) {
                $kind = 'receive buffer' if $kind eq 'other' && $1 >= 256;

            } elsif (/^Pss: +(\d+)/) {
                $kind{$kind} += $1;
                $sum += $1;
            }
        }

        open my $status, '<', "/proc/$process/status" or next;
        /^VmPTE:\s+(\d+)/ and $tables += $1 while <$status>;

        $files += () = glob "/proc/$process/fd/*";
    }

    return (\%kind, $sum, $tables, $files);
}


# of a mapping: what it is, and the library that it, or what follows, is of

sub kind_of
{
    my ($mode, $name, $library) = @_;

    return ($1, '') if $name =~ /^\[(heap|stack)/;
    return ('other', $library) if $name =~ /^(?:\[.*|)$/;

    $library = $name;

    return ('code', $library) if $mode =~ /x/;
    return ('libcrypto', $library) if $name =~ /libcrypto/;
    return ('other libraries', $library);
}


1;
