#!/usr/bin/perl

# t/98-discovery-dns.t: the discovery with names, which this machine's own
# resolver knows or doesn't

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory write_file);
use Discovery qw(free_port group);
use DiscoveryProxy;

# no name server is asked for a name that ends with ".onion": RFC 7686

my $nowhere = 'proxy.onion';


sub name_of { $_[0]->address =~ s/^.*:/localhost:/r }


my $one = DiscoveryProxy->new->lists(group('a'));
my $two = DiscoveryProxy->new->lists(group('b'));

my $discovery = Discovery->new('--dns=' . name_of($one) . ',' . name_of($two),
    '--interval=1s', '--dedupe', '--sd-listen');
ok($discovery->ready, 'proxies by their names');
is($discovery->listed, 'a@' . $one->address . ' b@' . $two->address,
    'are listed by their addresses');
is($discovery->stop, 0, 'it ends in order');

$discovery = Discovery->new('--dns=' . name_of($one), '--static='
    . $two->address, "--dns=$nowhere", '--interval=1s', '--dedupe',
    '--sd-listen');
ok($discovery->ready, 'names, one of which there isn\'t, and an address');
is($discovery->listed, 'a@' . $one->address . ' b@' . $two->address,
    'are listed together');
like($discovery->log, qr/name=\Q$nowhere\E\ err="\Q$nowhere\E:\ there\ is\ no
    \ such\ name/x, 'and the log says what there isn\'t');
is($discovery->metric("monitoring_proxy_discovery_dns_up{name=\"$nowhere\"}"),
    0, '... as does a metric');
is($discovery->stop, 0, 'it ends in order');

$discovery = Discovery->new("--dns=$nowhere", '--static=' . $two->address,
    '--interval=1s', '--sd-listen');
ok($discovery->ready, 'an address doesn\'t wait for a name that fails');
is($discovery->listed, 'b@' . $two->address, 'and is listed');
is($discovery->stop, 0, 'it ends in order');

# what was written before it was started again

my $dir = directory();
my $port = free_port();
my @files = ('--interval=1s', "--target=$dir/new", "--source=$dir/base",
    "--reloadurl=http://127.0.0.1:$port/");
my ($first) = map { "$dir/monitoring-proxy/" . s/:/%3A/r . '.json' }
    $one->address;

write_file("$dir/base", "scrape_configs:\n");

$discovery = Discovery->new('--dns=' . name_of($one), @files);
ok(await(20, sub { -s $first }), 'with files, a list is written');
$discovery->stop;

my $before = (stat $first)[1];
$discovery = Discovery->new("--dns=$nowhere", @files);
ok(await(20, sub { $discovery->log =~ /no such name/ }), 'and is started again '
    . 'while nothing can be looked up');
is((stat $first)[1], $before, 'which leaves the list as it is');
is(($discovery->page('/-/ready') // {})->{status}, 503, 'it isn\'t ready');
is($discovery->stop, 0, 'and ends in order');

done_testing();
