#!/usr/bin/perl

# What a target takes of the zone: in the registry, for its labels, and for
# its counters.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;
use Live;

use constant PORT    => 19089;
use constant TARGETS => 50_000;
use constant GOAL    => 400;        # bytes, of each of registry and counters

my $zone   = $ENV{BENCH_ZONE} || die "BENCH_ZONE is not set\n";
my $labels = 'env=prod team="data base" __scrape_interval__=30s';

# "env", "prod", "team", ... with a byte behind each

my $stored = length "env.prod.team.data base.__scrape_interval__.30s.";


sub targets
{
    my ($more) = @_;

    return write_file('zone.targets', join '',
        map { address($_) . ' ' . name($_) . "$more\n" } 0 .. TARGETS - 1);
}


# bytes of a target: in a snapshot, and its counters

sub sizes
{
    my ($snapshot, $counters) = split ' ', (command($zone, targets($_[0])))[0];

    return ($snapshot / TARGETS, $counters);
}


my ($bare, $counters) = sizes('');
my ($labelled) = sizes(" $labels");

note('zone of ' . TARGETS . ' targets');

targets('');
module_config('zone', PORT,
    locations => 'location = /own { prom_proxy_metrics per_target=off; }');

my ($master) = start('zone');
my ($size, $used, $most) = map { metric(PORT, "monitoring_proxy_zone_$_") }
    qw(size_bytes used_bytes targets_max);

stop($master);

print "## Zone: bytes per target\n\n",
    '`' . address(1) . ' ' . name(1) . "`, and the same with `$labels`, whose "
    . "texts have $stored bytes. There is room for two snapshots, the one in "
    . "use and the next one.\n\n";

table([ 'what', 'bytes', 'goal', '' ],
    [ 'a snapshot', sprintf('%.1f', $bare), '', '' ],
    [ 'registry: two of them', sprintf('%.1f', 2 * $bare), GOAL,
        2 * $bare <= GOAL ? 'met' : 'NOT MET' ],
    [ 'labels, in a snapshot', sprintf('%.1f', $labelled - $bare), '', '' ],
    [ 'counters', $counters, GOAL, $counters <= GOAL ? 'met' : 'NOT MET' ]);

printf "A zone of %d MB holds %d targets at most, and with %d of them %.1f MB "
    . "of it are in use.\n\n", $size / 1048576, $most, TARGETS,
    $used / 1048576;
