package Sides;

# Proxies side by side, each with one worker, on a CPU that what they ask and
# who asks them leave alone; and what requests through them take.

use warnings;
use strict;

use IPC::Open2;
use Time::HiRes qw(clock_gettime);

use Bench;
use Polls;

my ($port, $cpu, $others) = (19400);

# The first CPU is for what is asked and who asks, the last for the proxy.
# Taskset has it inherited.

sub pin
{
    my ($first) = @_;

    open my $fh, '<', '/proc/self/status' or die "status: $!\n";
    my ($list) = map { /^Cpus_allowed_list:\s*(\S+)/ ? $1 : () } <$fh>;

    ($others) = $list =~ /^(\d+)/ unless defined $others;
    ($cpu) = $list =~ /(\d+)$/ unless defined $cpu;

    command('taskset', '-cp', $first ? $cpu : $others, $$);
}


# One certificate for all, which vouches for itself: that of what is asked, and
# of all proxies.

sub certificate
{
    my $name = work() . '/sides';

    return $name if -e "$name.crt";

    command('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-days', 2, '-subj',
        '/CN=localhost', '-addext',
        'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', "$name.key",
        '-out', "$name.crt", '-quiet');
    chmod 0644, "$name.key";

    return $name;
}


# the part of a server in nginx by which nobody can choose anything else

sub tls
{
    my $name = certificate();

    return <<"END";
        ssl_certificate $name.crt;
        ssl_certificate_key $name.key;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_ecdh_curve X25519;
END
}


# Ports to listen on.

sub ports
{
    my ($count) = @_;

    return map { ++$port } 1 .. $count;
}


# A program of its own, where the proxies run, of whose processes it is one;
# what it says is in the file "programs.log".

sub program
{
    my ($self, @command) = @_;

    pin(1);
    push @{ $self->{programs} }, Polls::run(@command);
    pin(0);

    push @{ $self->{pids} }, $self->{programs}[-1];

    return $self;
}


# nginx there, by its configuration's name

sub start_nginx
{
    my ($self, $name) = @_;

    pin(1);
    my ($master) = start($name);
    pin(0);

    chomp $master;
    $self->{master} = $master;
    push @{ $self->{pids} }, $master, workers($master);

    return $self;
}


sub stop_nginx
{
    my ($self) = @_;

    my $master = delete $self->{master} or return;

    stop($master);
}


# whose processes are of no more use

sub down
{
    my ($self) = @_;

    $self->stop_nginx;
    Polls::halt($_) for @{ $self->{programs} // [] };
}


# seconds of CPU of all its processes, with threads that have ended

sub used
{
    my ($self) = @_;

    my $sum = 0;

    # the clock of a process, as clock_getcpuclockid() has it

    $sum += clock_gettime(-8 * ($_ + 1) + 2) for @{ $self->{pids} };

    return $sum;
}


sub memory
{
    my ($self) = @_;

    my $sum = 0;
    $sum += pss($_) for @{ $self->{pids} };

    return $sum;
}


# opens connections as forward.c says, with its arguments; what is returned is
# of no use once it goes out of scope

sub connections
{
    my ($self, @of) = @_;

    my $pid = open2(my $out, my $in, $ENV{BENCH_FORWARD} || 'forward', @of);

    (readline $out // '') eq "open\n" or die "@of: no connections\n";

    return { side => $self, pid => $pid, in => $in, out => $out };
}


sub end
{
    my ($connections) = @_;

    close $connections->{in};
    waitpid $connections->{pid}, 0;
}


# CPU of the proxy for a request, median and p99, all microseconds; and how many
# were done in a second

sub round
{
    my ($connections, $count) = @_;

    my $before = $connections->{side}->used;

    print { $connections->{in} } "$count\n";
    $connections->{in}->flush;

    my $line = readline $connections->{out} // die "forward: it ended\n";
    my ($median, $p99, $seconds) = split ' ', $line;

    return { cpu => 1e6 * ($connections->{side}->used - $before) / $count,
        median => $median, p99 => $p99, rate => $count / $seconds };
}


# Rounds of all that are given, by name; each asks them forth or back. The
# count is that of a name.

sub rounds
{
    my ($rounds, $count, %connections) = @_;

    my @names = sort keys %connections;
    my %got;

    for my $round (0 .. $rounds) {
        @names = reverse @names;

        for (@names) {
            my $row = round($connections{$_}, $count->($_));
            push @{ $got{$_} }, $row if $round;     # the first warms up
        }
    }

    end($_) for values %connections;

    return \%got;
}


# what the rounds of a side have of one kind

sub figures
{
    my ($rows, $figure) = @_;

    return map { $_->{$figure} } @$rows;
}


# one side's over another's, round by round

sub over
{
    my ($one, $other, $figure) = @_;

    return sprintf '%.3f', median(ratio(
        map { [ figures($_, $figure) ] } $one, $other));
}


1;
