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

our @EXPORT = qw(address command config cpu cpu_all exporter instructions
    listening load_requests median module module_config name nginx note
    peak pss quartiles ratio resident spread start start_here stop table
    work workers write_file EXPORTER);

use constant EXPORTER => 19100;
use constant COUNTED  => 200;     # scrapes whose instructions are counted

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
    my ($name, $main, $http, $connections) = @_;

    $connections ||= 1024;

    return write_file("$name.conf", <<"END");
$main
user root;
pid $work/$name.pid;
error_log $work/$name.log;
events { worker_connections $connections; }
http {
    access_log off;
$http
}
END
}


# a target's address, another one for each; the exporter is behind them all

sub address
{
    my ($number) = @_;

    return sprintf '127.%d.%d.%d:%d', 1 + ($number >> 16),
        $number >> 8 & 255, $number & 255, EXPORTER;
}


# and its name, all of one width, so that 10 and 50,000 differ in nothing else

sub name
{
    return sprintf 'host-%05d', $_[0];
}


# An exporter, as far as nginx can tell, with an answer of that many bytes: on
# all addresses of 127.0.0.0/8, and on ::1, as sshd listens.

sub exporter
{
    my ($bytes) = @_;

    my $text = '';

    for (my $i = 0; length $text < $bytes; $i++) {
        $text .= sprintf "node_cpu_seconds_total{cpu=\"%d\",mode=\"idle\"} "
            . "%.2f\n", $i, $i * 1234.56;
    }

    mkdir "$work/www";
    write_file('www/metrics', substr $text, 0, $bytes);

    config('exporter', <<'MAIN', <<"HTTP", 19_900);
worker_processes 1;
MAIN
    server {
        listen @{[EXPORTER]};
        listen [::1]:@{[EXPORTER]};
        root $work/www;
        types { }
        default_type "text/plain; version=0.0.4";
        sendfile on;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
    }
HTTP

    start('exporter');
}


# A configuration NAME whose targets are in the file NAME.targets, served on a
# port with the image's buffers. What may differ: "workers"; "main", more of the
# main part; "options", behind that file's name; "peer", what follows
# prom_proxy_peer; "locations", more of them; "module", another one.

sub module_config
{
    my ($name, $port, %of) = @_;

    $_ //= '' for @of{qw(main options peer locations)};
    $of{workers} //= 1;
    $of{module} //= module();

    return config($name, <<"MAIN", <<"HTTP", 19_000);
load_module $of{module};
worker_processes $of{workers};
$of{main}
MAIN
    prom_proxy_zone targets 128m;
    prom_proxy_targets $work/$name.targets $of{options};
    upstream prom_proxy { prom_proxy_peer $of{peer}; }
    server {
        listen 127.0.0.1:$port reuseport;
        absolute_redirect off;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        proxy_buffer_size 16k;
        proxy_buffers 4 32k;
        proxy_max_temp_file_size 0;
        $of{locations}
        location \@targets {
            prom_proxy          targets;
            proxy_pass          \$prom_proxy_scheme://prom_proxy\$prom_proxy_uri;
            proxy_http_version  1.1;
            proxy_set_header    Connection  "";
            proxy_set_header    Host        \$prom_proxy_host;
        }
    }
HTTP
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
    stop($_) for my @all = @masters;   # stop() changes @masters
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


# nanoseconds that a process was on a CPU, its threads together

sub cpu_all
{
    my ($pid) = @_;

    my $sum = 0;

    for my $file (glob "/proc/$pid/task/*/schedstat") {
        open my $fh, '<', $file or next;
        $sum += (split ' ', <$fh>)[0];
    }

    return $sum;
}


# kB of memory that a process accounts for

sub pss
{
    my ($pid) = @_;

    return kilobytes("/proc/$pid/smaps_rollup", 'Pss');
}


# kB of memory that is in use, and that was at once, at most

sub resident
{
    my ($pid) = @_;

    return kilobytes("/proc/$pid/status", 'VmRSS');
}


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


# Instructions of a worker for one scrape, without the kernel's: the same on a
# busy machine as on an idle one.

sub instructions
{
    my ($name, $port, $path) = @_;

    my @collected = map {
        collected($name, $port, $path, $_)
    } (COUNTED, 3 * COUNTED);

    return ($collected[1] - $collected[0]) / (2 * COUNTED);
}


sub collected
{
    my ($name, $port, $path, $count) = @_;

    my $pid = fork;
    defined $pid or die "fork: $!\n";

    if ($pid == 0) {
        exec 'valgrind', '--tool=callgrind', '--callgrind-out-file='
            . ($ENV{BENCH_CALLGRIND} ? "$ENV{BENCH_CALLGRIND}.$name" : '/dev/null'),
            "--log-file=$work/valgrind", nginx(), '-p', $work,
            '-e', "$work/$name.log", '-c', "$work/$name.conf",
            '-g', 'daemon off; master_process off;'
            or die "valgrind: $!\n";
    }

    listening($port);
    load_requests($port, $path, $count, 200);

    # a signal just before it goes to sleep leaves nginx without a master asleep

    until (waitpid $pid, WNOHANG) {
        kill 'TERM', $pid;
        sleep 0.1;
    }

    open my $fh, '<', "$work/valgrind" or die "valgrind: $!\n";
    my $log = do { local $/; <$fh> };

    $log =~ /Collected : (\d+)/ or die "valgrind counted nothing:\n$log";

    return $1;
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
