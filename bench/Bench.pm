package Bench;

# What the measurements share: starts of nginx in a directory of their own,
# what a process has used, medians, and tables.

use warnings;
use strict;

use Exporter qw(import);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(time sleep);

our @EXPORT = qw(command config cpu listening load_requests median
    module nginx note peak pss quartiles ratio spread start start_here stop
    table work workers write_file);

my $work = tempdir('bench-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my @masters;

chmod 0755, $work;


# the directory of everything that a run leaves behind

sub work
{
    return $work;
}


sub nginx
{
    return $ENV{BENCH_NGINX} || 'nginx';
}


sub module
{
    return $ENV{BENCH_MODULE} || die "BENCH_MODULE is not set\n";
}


sub note
{
    print STDERR 'bench: ', @_, "\n";
}


sub write_file
{
    my ($name, $text) = @_;

    open my $fh, '>', "$work/$name" or die "$work/$name: $!\n";
    print $fh $text;
    close $fh or die "$work/$name: $!\n";

    return "$work/$name";
}


# runs a command; returns its output and the seconds that it took

sub command
{
    my @command = @_;

    my $begin = time;

    open my $fh, '-|', @command or die "$command[0]: $!\n";
    my $output = do { local $/; <$fh> };
    close $fh or die "@command: failed\n";

    return ($output, time - $begin);
}


# a configuration NAME: what goes to the main part, and to http

sub config
{
    my ($name, $main, $http) = @_;

    return write_file("$name.conf", <<"END");
$main
user root;
pid $work/$name.pid;
error_log $work/$name.log;
events { worker_connections 1024; }
http {
    access_log off;
$http
}
END
}


# returns the master's process id, and the seconds until it was there

sub start
{
    my ($name) = @_;

    my (undef, $took) = command(nginx(), '-p', $work, '-e',
        "$work/$name.log", '-c', "$work/$name.conf");

    my $master;

    for (1 .. 2000) {
        if (open my $fh, '<', "$work/$name.pid") {
            $master = <$fh>;
            last if $master && workers($master);
        }

        sleep 0.001;
    }

    $master or die "$name: nginx did not start\n";
    chomp $master;
    push @masters, $master;

    return ($master, $took);
}


# In the foreground, as in the image: the master is the process that read the
# configuration, with all that this took.

sub start_here
{
    my ($name) = @_;

    my $master = fork;
    defined $master or die "fork: $!\n";

    if ($master == 0) {
        exec nginx(), '-p', $work, '-e', "$work/$name.log", '-c',
            "$work/$name.conf", '-g', 'daemon off;' or die "nginx: $!\n";
    }

    push @masters, $master;

    until (workers($master)) {
        waitpid($master, WNOHANG) and die "$name: nginx did not start\n";
        sleep 0.01;
    }

    return $master;
}


# waits until a port of 127.0.0.1 is listened on

sub listening
{
    my ($port) = @_;

    for (1 .. 3000) {
        return if IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $port);
        sleep 0.01;
    }

    die "nothing listens on port $port\n";
}


# and waits until it is gone

sub stop
{
    my ($master) = @_;

    @masters = grep { $_ != $master } @masters;

    kill 'TERM', $master;

    while (-d "/proc/$master") {
        waitpid $master, WNOHANG;    # a child stays there until then
        sleep 0.002;
    }
}


$SIG{$_} = sub { exit 1 } for qw(HUP INT TERM);

END {
    local $?;
    stop($_) for @masters;
}


sub workers
{
    my ($master) = @_;

    chomp $master;

    open my $fh, '<', "/proc/$master/task/$master/children" or return;
    my $line = <$fh>;

    return split ' ', $line || '';
}


# nanoseconds that a process was on a CPU

sub cpu
{
    my ($pid) = @_;

    open my $fh, '<', "/proc/$pid/schedstat" or die "no process $pid\n";

    return (split ' ', <$fh>)[0];
}


# kB of memory that a process accounts for

sub pss
{
    my ($pid) = @_;

    return kilobytes("/proc/$pid/smaps_rollup", 'Pss');
}


# kB of memory that it had at once, at most

sub peak
{
    my ($pid) = @_;

    return kilobytes("/proc/$pid/status", 'VmHWM');
}


sub kilobytes
{
    my ($file, $field) = @_;

    open my $fh, '<', $file or die "$file: $!\n";

    while (defined(my $line = <$fh>)) {
        return $1 if $line =~ /^$field:\s+(\d+) kB/;
    }

    die "$file: no $field\n";
}


# (median, p99, max, mean) in microseconds, and the bytes of an answer

sub load_requests
{
    my ($port, $path, $count, $status, $names) = @_;

    my ($output) = command($ENV{BENCH_LOAD} || 'load', $port, $path, $count,
        $status, $names || 1);

    return split ' ', $output;
}


sub median
{
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[$#sorted / 2] if @sorted % 2;
    return ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}


# "MEDIAN (MIN to MAX)"

sub spread
{
    my ($format, @values) = @_;

    my @sorted = sort { $a <=> $b } @values;

    return sprintf "$format ($format to $format)", median(@values),
        $sorted[0], $sorted[-1];
}


# "MEDIAN (LOWER to UPPER)", between which one half of the values is

sub quartiles
{
    my ($format, @values) = @_;

    my @sorted = sort { $a <=> $b } @values;

    return sprintf "$format ($format to $format)", median(@values),
        $sorted[$#sorted / 4], $sorted[$#sorted - int $#sorted / 4];
}


# the ratios of two lists, pair by pair

sub ratio
{
    my ($over, $under) = @_;

    return map { $over->[$_] / $under->[$_] } 0 .. $#$over;
}


sub table
{
    my ($head, @rows) = @_;

    print '| ', join(' | ', @$head), " |\n";
    print '|', '---|' x @$head, "\n";
    print '| ', join(' | ', @$_), " |\n" for @rows;
    print "\n";
}


1;
