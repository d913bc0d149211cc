#!/usr/bin/perl

# t/98-discovery-proxies.t: what the discovery makes of proxies: real ones whose
# tunnels come and go, and those that misbehave

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await directory read_file);
use Discovery qw(free_port group write_to);
use DiscoveryProxy;
use Http;
use Poll;
use Proxy;


sub discovery {
    my ($proxies, @args) = @_;

    return Discovery->new('--static=' . join(',', @$proxies),
        '--interval=1s', '--sd-listen', @args);
}


# Those that misbehave, all at once, beside one that doesn't

my $good = DiscoveryProxy->new->lists(group('good'));
my $json = JSON::PP->new->utf8;
my $group = $json->encode(group('x'));

my %bad = (
    'garbage' => [ qr/no JSON array/, body => join '', map { chr } 0 .. 255 ],
    'a page' => [ qr/no JSON array/, body => '<html></html>' ],
    'a number for a list' => [ qr/no JSON array/, body => '1' ],
    'a list of lists' => [ qr/group 1, at byte 1: it is no JSON object/,
        body => '[[]]' ],
    'half a list' => [ qr/group 1, at byte 1: /, body => substr($group, 0, 40)
        =~ s/^/[/r ],
    'nothing' => [ qr/no JSON array/, body => '' ],
    'a name with a newline' => [ qr/group 2, .*no label .*instance/,
        body => $json->encode([ group('x'), group("x\"\n- job_name: y") ]) ],
    '100 MB, as its header says' => [ qr/longer than 64 MB/,
        raw => "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n[" ],
    '100 MB, bit by bit' => [ qr/longer than 64 MB/,
        line => "$group,\n", length => 100 * 1024 * 1024 ],
    'less than it promised' => [ qr/98 bytes/,
        raw => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]" ],
    'no HTTP' => [ qr/HTTP\/0\.9/, raw => "SSH-2.0-OpenSSH\r\n[]" ],
    'nothing at all' => [ qr/Empty reply/, raw => '' ],
    'an error' => [ qr/status 503: no targets yet"/, status => 503,
        body => "no targets yet\n" ],
    'an error in anything' => [ qr/status 500"/, status => 500,
        body => "\e[31m\n" ],
    'a redirect' => [ qr/status 302/, status => 302, body => '' ],
    'no targets here' => [ qr/targets\?connected: status 404: no such/,
        status => 404, body => "no such page\n" ],
    'an answer after a minute' => [ qr/timed out/, wait => 60, body => '[]' ],
);

my %proxy = map { my (undef, %says) = @{ $bad{$_} };
    ($_ => DiscoveryProxy->new->says('/targets', %says)) } keys %bad;
my $closed = '127.0.0.1:' . free_port();

my $d = discovery([ (map { $_->address } values %proxy), $good->address,
    $closed ]);

ok(await(30, sub { $d->listed eq 'good@' . $good->address }),
    'proxies that misbehave don\'t keep the others\' targets from the list');

my $asks = 'monitoring_proxy_discovery_asks_total{proxy="'
    . $good->address . '"}';
my $asked = $d->metric($asks);
ok(await(20, sub { $d->metric($asks) > $asked }), 'which are asked again');

my $log = $d->log;

for my $what (sort keys %bad) {
    my $address = $proxy{$what}->address;
    my @said = grep { /proxy=\Q$address\E address/ && !/found/ }
        split /\n/, $log;

    like($said[0] // '', qr/level=WARN .*err=.*$bad{$what}[0]/,
        "$what: the log says so");
    is(scalar @said, 1, '  once') or diag join "\n", @said;
}

like($log, qr/proxy=\Q$closed\E .*err="connect to \Q$closed\E: Connection ref/,
    'so it does of one that isn\'t there');
is($log =~ tr/\x00-\x09\x0b-\x1f\x7f-\xff//, 0, 'and nothing upsets a terminal');

my ($peak) = map { /^VmHWM:\s+(\d+)/ } split /\n/,
    read_file('/proc/' . $d->pid . '/status');
cmp_ok($peak, '<', 450_000, 'it takes no more memory than such an answer may');
is($d->stop, 0, 'it ends in order');


# One that fails for a while

my $other = DiscoveryProxy->new->lists(group('other'));
my $both = join ' ', 'good@' . $good->address, 'other@' . $other->address;

$d = discovery([ $good->address, $other->address ], '--keep=4s');
ok($d->ready && $d->listed eq $both, 'two proxies are listed');

my $up = 'monitoring_proxy_discovery_proxy_up{proxy="' . $other->address
    . '"}';

$other->says('/targets', status => 500, body => "broken\n");
ok(await(10, sub { $d->metric($up) eq '0' }), 'a proxy fails');
is($d->listed, $both, 'and its list is kept');
ok(await(10, sub { $d->listed eq 'good@' . $good->address }),
    'until it has failed for --keep');
like($d->log, qr/level=WARN .*is dropped.*proxy=\Q${\ $other->address}\E/,
    'of which the log tells');

$other->lists(group('other'));
ok(await(10, sub { $d->listed eq $both }), 'when it answers it is listed');
is(() = $d->log =~ /lists its targets again.*\Q${\ $other->address}\E/g, 1,
    'and the log says so, once');
is($d->stop, 0, 'it ends in order');


# Older ones, and PushProx's

my $old = DiscoveryProxy->new->lists(group('old'))
    ->says('/targets?connected', status => 400, body => "no LABEL=VALUE\n");

$d = discovery([ $old->address ]);
ok($d->ready, 'a proxy may not know what is connected');
is($d->listed, 'old@' . $old->address, 'its targets are listed');
$d->stop;

my $pushprox = DiscoveryProxy->new->says('/clients', body => $json->encode(
    [ { targets => [ 'client-1' ], labels => undef },
        { targets => [ 'client-2' ], labels => { team => 'x' } } ]));
my $dir = directory();
write_to("$dir/base", "global: {}\n");


# A discovery that writes files, and the targets of one of them

sub writes {
    my ($proxies) = @_;

    return Discovery->new('--static=' . join(',', @$proxies), '--interval=1s',
        "--source=$dir/base", "--target=$dir/prometheus.yaml",
        '--promtool=/bin/true', "--reloadurl=http://$closed/");
}

sub written {
    my ($name) = @_;

    my $text = eval { read_file("$dir/monitoring-proxy/$name.json") };

    return !defined $text ? 'no file' : join ' ',
        map { @{ $_->{targets} } } @{ $json->decode($text) };
}

$d = writes([ $pushprox->address ]);
my $name = 'pushprox/' . $pushprox->address =~ s/:/%3A/r;

await(20, sub { written($name) =~ /client/ });
is(written($name), 'client-1 client-2',
    'clients of a PushProx proxy are written by their names');
is($d->stop, 0, 'it ends in order');

$d = discovery([ $pushprox->address ]);
ok(await(20, sub { $d->log =~ /targets\?connected: status 404/ }),
    'in a list that is served there is no place for them');
$d->stop;


# Real ones: two proxies with the same targets, of which some are tunnels

my $targets = <<'EOF';
localhost:20001   host-1
localhost:20002   host-2
127.0.0.2:80      direct  __metrics_path__=/-/healthy
EOF

my $exporter = Backend->of_text('exporter_up 1');
my @real = map { Proxy->start(targets => $targets,
    options => [ '--ulimit', 'nofile=20000' ],
    env => { MONITORING_PROXY_POLL => 'on' }) } 1 .. 2;
@real = sort { $a->address cmp $b->address } @real;

my ($first, $second) = @real;
my ($at, $also) = map { $_->address . ':80' } @real;

my $each = discovery([ $at, $also ]);
my $once = discovery([ $at, $also ], '--dedupe');


# Where each discovery lists a target: at "first", "second", both or neither

sub places {
    my ($d, $name) = @_;

    my %place = ($at => 'first', $also => 'second');

    return join ' ', map { $place{$_->{targets}[0]} }
        grep { $_->{labels}{instance} eq $name } @{ $d->targets // [] };
}

sub is_at {
    my ($name, $expected, $promise) = @_;

    await(15, sub { places($each, $name) eq $expected
        && places($once, $name) eq $expected });
    is(join('|', map { places($_, $name) } $each, $once),
        "$expected|$expected", $promise);
}

# What is scraped there

sub exposed {
    my ($name) = @_;

    my ($group) = grep { $_->{labels}{instance} eq $name }
        @{ $once->targets // [] } or return 'not listed';
    my ($host, $port) = split /:/, $group->{targets}[0];

    return Http::request($port, host => $host,
        path => $group->{labels}{__metrics_path__})->{body};
}

ok($_->ready, 'real proxies are asked') for $each, $once;

my $tunnel = $first->tunnel(20001, $exporter->port);
is_at('host-1', 'first', 'a host is listed at the proxy that has its tunnel');
is(exposed('host-1'), "exporter_up 1\n", 'where it can be scraped');
is(places($each, 'host-2'), 'first', 'one that has none is listed once');
is(places($each, 'direct'), 'first second', 'any other at both');
like(places($once, 'direct'), qr/^(?:first|second)$/,
    'or, with --dedupe, at one of them');
is(exposed('direct'), Http::request(80, host => $first->address,
    path => '/-/healthy')->{body}, 'where it can be scraped');

$first->close_tunnel($tunnel);
$second->tunnel(20001, $exporter->port);
is_at('host-1', 'second', 'a tunnel that has moved is listed where it is now');

$second->tunnel(20002, $exporter->port);
is_at('host-2', 'second', 'and one that is there at last');

my $client = poll(8080, 'poller', on => Http::connection(8080,
    $first->address));
is_at('poller', 'first', 'a client that polls is listed where it does');


# A proxy that is lost

my $gone = $first->name;
Container::docker('kill', $gone);
undef $client;
$client = poll(8080, 'poller', on => Http::connection(8080,
    $second->address));

ok(await(30, sub { places($once, 'poller') eq 'second'
    && places($once, 'direct') eq 'second' }),
    'what a lost proxy had is listed where it is now')
    or diag places($once, 'poller') . ' ' . places($once, 'direct');
is(places($once, 'host-1'), 'second', 'what it didn\'t have stays');
is($_->stop, 0, 'it ends in order') for $each, $once;

done_testing();
