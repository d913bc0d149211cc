package Live;

# What the measurements of a running nginx share: a steady load beside them,
# the gaps of its event loops, and pages fetched as they come.

use warnings;
use strict;

use Exporter qw(import);
use IO::Socket::INET;
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);
use Bench;

our @EXPORT = qw(away fetch forget_gaps load_begin load_end metric
    start_watched);

use constant RECORDS => 64;      # of gap.c, of seven numbers of 8 bytes
use constant SLOW    => 2;       # seconds that a slow reader stops for

my $gaps = work() . '/gaps';
my ($load, $answers);


END {
    local $?;
    kill 'TERM', $load if $load;
}


# as start() does, with the gaps of all its workers recorded

sub start_watched
{
    my ($name) = @_;

    write_file('gaps', "\0" x (RECORDS * 7 * 8));

    local $ENV{BENCH_GAP} = $gaps;
    local $ENV{LD_PRELOAD} = $ENV{BENCH_GAP_LIBRARY}
        || die "BENCH_GAP_LIBRARY is not set\n";

    return start($name);
}


sub forget_gaps
{
    open my $fh, '+<', $gaps or die "$gaps: $!\n";
    print $fh "\0" x (RECORDS * 7 * 8);
    close $fh or die "$gaps: $!\n";
}


# Of all workers since then: the longest gap in ms, the longest busy one, the
# longest run, and the numbers of gaps and of busy gaps over 10 ms.

sub away
{
    open my $fh, '<:raw', $gaps or die "$gaps: $!\n";
    my @numbers = unpack 'Q*', do { local $/; <$fh> };
    my %of = map { $_ => 0 } qw(longest busy run many many_busy gaps);

    while (my ($pid, $count, @times) = splice @numbers, 0, 7) {
        my ($many, $many_busy) = splice @times, 3;

        $of{gaps} += $count;
        $of{many} += $many;
        $of{many_busy} += $many_busy;

        for (qw(longest busy run)) {
            my $took = shift(@times) / 1e6;
            $of{$_} = $took if $took > $of{$_};
        }
    }

    $of{gaps} or die "no gap was recorded\n";

    return \%of;
}


# a steady load from now on, RATE scrapes a second of the first NAMES targets

sub load_begin
{
    my ($port, $path, $rate, $names) = @_;

    $load = open $answers, '-|', $ENV{BENCH_STEADY} || 'steady', $port, $path,
        $rate, 200, $names or die "steady: $!\n";
}


# ends it; returns (number, failed), and (median, p99, max) in milliseconds

sub load_end
{
    kill 'TERM', $load;
    my $line = <$answers>;

    close $answers or die "steady failed\n";
    undef $load;

    my ($count, $failed, @after) = split ' ', $line;

    return ($count, $failed, map { $_ / 1000 } @after);
}


# The answer to a GET, which must be a whole one of status 200: the seconds
# until its first byte and until its end, its bytes, and its text if "text" is
# asked for. A reader that is "slow" stops for a while in the middle, and calls
# that sub in it.

sub fetch
{
    my ($port, $path, %how) = @_;

    my $begin = clock_gettime(CLOCK_MONOTONIC);

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port) or die "port $port: $!\n";

    # an answer of 1.0 comes without chunks

    my $version = $how{text} ? '1.0' : '1.1';

    syswrite $socket, "GET $path HTTP/$version\r\nHost: proxy\r\n"
        . "Connection: close\r\n\r\n";

    my ($text, $tail, %of) = ('', '');

    while (1) {
        my $n = sysread $socket, my $part, 262144;

        defined $n or die "$path: $!\n";
        $n or last;

        if (!$of{first}) {
            $of{first} = clock_gettime(CLOCK_MONOTONIC) - $begin;
            $part =~ m{^HTTP/1\.1 200 } or die "$path: $part\n";

            if ($how{slow}) {
                sleep SLOW;
                $how{slow}->();
            }
        }

        $of{bytes} += $n;
        $tail = substr $tail . $part, -5;
        $text .= $part if $how{text};
    }

    $of{total} = clock_gettime(CLOCK_MONOTONIC) - $begin;
    $of{text} = $text;

    $how{text} || $tail eq "0\r\n\r\n" or die "$path: broken off\n";

    return \%of;
}


# a number of the proxy's own metrics at /own

sub metric
{
    my ($port, $name) = @_;

    my $text = fetch($port, '/own', text => 1)->{text};

    $text =~ /^\Q$name\E (\S+)/m or die "no $name in\n$text\n";

    return $1;
}


1;
