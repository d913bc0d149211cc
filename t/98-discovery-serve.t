#!/usr/bin/perl

# t/98-discovery-serve.t: one list of all targets for Prometheus, each at the
# proxy that holds it

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await);
use Discovery qw(group);
use DiscoveryProxy;

my @proxy = sort { $a->address cmp $b->address }
    map { DiscoveryProxy->new } 1 .. 2;
my ($first, $second) = @proxy;
my ($at, $also) = map { $_->address } @proxy;


# A discovery of both, that serves one list.

sub serving {
    my @args = @_;

    return Discovery->new("--static=$at,$also", '--interval=1s', '--sd-listen',
        @args);
}


# Waits until it lists that, and tells what it does list.

sub lists {
    my ($discovery, $expected) = @_;

    await(10, sub { $discovery->listed eq $expected });

    return $discovery->listed;
}


# Merged

$first->lists(group('a', team => 'x y'), group('c'));
$second->lists(group('b'));

my $d = serving();

is(lists($d, "a\@$at b\@$also c\@$at"), "a\@$at b\@$also c\@$at",
    'each target is listed at the proxy that lists it, by its name');

my $page = $d->page('/targets');
is($page->{headers}{'content-type'}, 'application/json',
    'as JSON, by its type');
is_deeply($d->targets->[0]{labels}, { instance => 'a', team => 'x y',
    __metrics_path__ => '/a/metrics', __scheme__ => 'http', replica => $at },
    'its labels are handed on, and the replica is one');

$first->lists(group('a'));
is(lists($d, "a\@$at b\@$also"), "a\@$at b\@$also",
    'one that is no longer listed is gone after an interval');

is($d->stop, 0, 'it ends in order');

done_testing();
