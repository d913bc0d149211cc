#!/usr/bin/perl

# The cost of a look-up by the number of targets: alone, and as the CPU and
# the instructions of a whole request, "/NAME" that is redirected to "/NAME/".

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;

use constant PORT    => 19083;
use constant COUNTED => 10_000;

my $quick    = grep { $_ eq '-q' } @ARGV;
my $rounds   = $quick ? 5 : 41;
my $requests = $quick ? 5_000 : 20_000;
my $lookup   = $ENV{BENCH_LOOKUP} || die "BENCH_LOOKUP is not set\n";


sub lookup_config
{
    my ($name, $port, $targets) = @_;

    write_file("$name.targets", join '',
        map { sprintf "127.0.0.1:%d host-%05d\n", 10_000 + $_ % 50_000, $_ }
        0 .. $targets - 1);

    config($name, <<"MAIN", <<"HTTP");
load_module @{[module()]};
worker_processes 1;
MAIN
    prom_proxy_zone targets 128m;
    prom_proxy_targets @{[work()]}/$name.targets;
    upstream prom_proxy { prom_proxy_peer; }
    server {
        listen 127.0.0.1:$port;
        absolute_redirect off;
        keepalive_requests 10000000;
        location \@targets {
            prom_proxy targets;
            proxy_pass \$prom_proxy_scheme://prom_proxy\$prom_proxy_uri;
        }
    }
HTTP
}


# nanoseconds of one worker for a request, all of its names in turn

sub redirects
{
    my ($name, $port, $targets) = @_;

    my ($master) = start($name);
    my ($worker) = workers($master);

    load_requests($port, '/host-#', $targets, 301, $targets);

    my $before = cpu($worker);
    load_requests($port, '/host-#', $requests, 301, $targets);
    my $used = (cpu($worker) - $before) / $requests;

    stop($master);

    return $used;
}


# of the registry's own code, with the making of the URI

sub counted
{
    my ($targets) = @_;

    my @collected;

    for my $count (COUNTED, 3 * COUNTED) {
        my $log = work() . '/callgrind';

        command('valgrind', '--tool=callgrind', "--log-file=$log",
            '--callgrind-out-file=/dev/null', $lookup, $targets, $count);

        open my $fh, '<', $log or die "$log: $!\n";
        my $text = do { local $/; <$fh> };

        $text =~ /Collected : (\d+)/ or die "valgrind counted nothing\n$text";
        push @collected, $1;
    }

    return ($collected[1] - $collected[0]) / (2 * COUNTED);
}


note('look-ups alone');

my ($output) = command($lookup);
my @rows;

for (split /\n/, $output) {
    my ($targets, @took) = split ' ';

    push @rows, [ $targets, sprintf('%.0f', counted($targets)), @took ];
}

print "## Look-up\n\n",
    "The registry's own code, nanoseconds for one look-up of a name with one "
    . "segment; an instruction count has the making of the URI in it.\n\n";

table([ 'targets', 'instructions', 'all names in turn', 'fastest round',
    'one name', 'unknown name' ], @rows);

note('look-ups in requests');

lookup_config('few', PORT, 10);
lookup_config('many', PORT + 1, 50_000);

my (@few, @many);

for my $round (1 .. $rounds) {
    for my $turn ($round % 2 ? (0, 1) : (1, 0)) {
        push @{ $turn ? \@many : \@few }, $turn
            ? redirects('many', PORT + 1, 50_000)
            : redirects('few', PORT, 10);
    }
}

my @ratio = ratio(\@many, \@few);

print "The CPU of the worker for a whole request, `/NAME` that is redirected "
    . "to `/NAME/`, $rounds pairs of $requests requests.\n\n";

table([ 'targets', 'microseconds (middle half)' ],
    [ 10, quartiles('%.2f', map { $_ / 1000 } @few) ],
    [ 50_000, quartiles('%.2f', map { $_ / 1000 } @many) ],
    [ '50,000 / 10, pair by pair', quartiles('%.3f', @ratio) ]);
