#!/usr/bin/perl

# Names of targets are resolved while running: a name that can't be resolved
# fails its own scrapes, and a new address is found without a reload.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Backend;
use Dns;
use Nginx;

my $dns = Dns->new(
    'exporter.internal' => '127.0.0.1',
    'two.internal' => '127.0.0.3 127.0.0.1',
    'silent.internal' => 'silence',
    'empty.internal' => '',
);

my $target = Backend->new;
my $port = $target->port;
my $elsewhere = Backend->new(host => '127.0.0.2', port => $port);

my $nginx = Nginx->new;

$nginx->configure(targets => <<"END", server => <<"CONF")->start;
exporter.internal:$port        dns
http://EXPORTER.internal:$port/base upper
two.internal:$port             two
nowhere.internal:$port         nowhere
silent.internal:$port          silent
empty.internal:$port           empty
END
resolver 127.0.0.1:@{[ $dns->port ]} ipv6=off valid=1s;
resolver_timeout 1s;
CONF

sub answers {
    my ($path, $expected, $promise, @headers) = @_;

    my $r = $nginx->get($path, headers => \@headers);

    is("$r->{status} $r->{body}", $expected, $promise);

    return $r;
}

answers('/dns/metrics?a=%20', "200 GET /metrics?a=%20 HTTP/1.1\n",
    'a name is resolved');
answers('/dns/metrics', "200 GET /metrics HTTP/1.1\n",
    'and found in the cache');
like(($target->arrived)[0], qr/\r\nHost: exporter\.internal:$port\r\n/,
    'Host is the name, not its address');
answers('/upper/metrics', "200 GET /base/metrics HTTP/1.1\n",
    'names are case-insensitive');
like(($target->arrived)[-1], qr/\r\nHost: EXPORTER\.internal:$port\r\n/,
    'and Host is as the file has it');
answers('/two/metrics', "200 GET /metrics HTTP/1.1\n",
    'every address is tried') for 1 .. 4;

answers('/nowhere/metrics', '502 nowhere: nowhere.internal could not be '
    . "resolved: host not found\n", 'an unknown host fails its own scrapes');
answers('/empty/metrics', '502 empty: empty.internal could not be '
    . "resolved: host not found\n", 'a name without an address too');
answers('/silent/metrics', '502 silent: silent.internal could not be '
    . "resolved: operation timed out\n", 'resolver_timeout holds');

my $r = answers('/silent/metrics', '504 silent: no answer from '
    . "silent.internal:$port within the scrape timeout of 0.300s\n",
    'the scraper\'s deadline holds while resolving',
    'X-Prometheus-Scrape-Timeout-Seconds: 0.3');
ok($r->{time} < 0.9, 'and ends it first');

# a scraper that goes away while its target is resolved

my $s = Http::connection($nginx->port);
Http::send_request($s, path => '/silent/gone');
ok(await(sub { $nginx->log =~ m{GET /silent/gone.*resolve: "silent\.int}s }),
    'a scrape waits for a name');
close $s;
ok(await(sub {
    $nginx->log =~ m{client prematurely closed connection.*/silent/gone}
}), 'a scraper that goes away meanwhile is noticed');

$nginx->finish;

# a kept connection does not outlive its address

$nginx = Nginx->new;
$dns->set('moves.internal' => '127.0.0.1');

$nginx->configure(targets => "moves.internal:$port moves\n", server => <<"CONF")->start;
resolver 127.0.0.1:@{[ $dns->port ]} ipv6=off valid=1s;
CONF

$elsewhere->arrived;
is($nginx->get('/moves/metrics')->{status}, 200, 'a name is dialled');
is(scalar $elsewhere->arrived, 0, 'at its old address');

$dns->set('moves.internal' => '127.0.0.2');

ok(await(sub {
    $nginx->get('/moves/metrics');
    scalar $elsewhere->arrived;
}), 'and at its new one as soon as the name has moved');

$nginx->finish;

done_testing();
