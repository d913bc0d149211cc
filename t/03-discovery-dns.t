#!/usr/bin/perl

# t/03-discovery-dns.t: proxies that are found by DNS, by what answers a name
# server can give

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib", "$FindBin::Bin/unit";

use Dns;
use Program ();
use Unit;

my ($A, $AAAA, $SRV) = (1, 28, 33);
my $runner = dns_runner();
my $number = 0;


# Looks up names of these at a name server, each INTERVAL ms.

sub start {
    my ($dns, $interval, @names) = @_;

    my $file = workdir() . '/' . ++$number;

    spew("$file.conf", 'nameserver 127.0.0.1:' . $dns->port . "\n"
        . "options timeout:1 attempts:2\nsearch svc.test\n");

    my $self = bless { log => "$file.log", seen => 0 }, 'Program';

    $self->run({}, $runner, "$file.conf", $interval, @names);

    return $self;
}


sub await {
    my ($what) = @_;

    my $end = time + 20;

    while (1) {
        my $result = $what->();
        return $result if $result || time > $end;
        sleep 0.01;
    }
}


# The places that it has found, and not yet been asked for; the next time that
# there are some.

sub found {
    my ($self) = @_;

    await(sub {
        my @found = $self->log =~ /^found/mg;
        @found > $self->{seen};
    }) or return;

    return ($self->log =~ /^found ?(.*)$/mg)[$self->{seen}++];
}


sub says {
    my ($self, $pattern) = @_;

    return await(sub { $self->log =~ $pattern });
}


# Its metrics, name by name.

sub metrics {
    my ($self) = @_;

    my $before = () = $self->log =~ /^---$/mg;

    $self->signal('USR1');
    await(sub { $before < (() = $self->log =~ /^---$/mg) });

    my $page = (split /^---$/m, $self->log)[$before];

    return { $page =~ /^monitoring_proxy_discovery_dns_(\S+) (\d+)$/mg };
}


# Once it has looked again, after the name server was told something else.

sub looked {
    my ($self, $dns, $name, $type) = @_;

    my $before = $dns->asked($name, $type);

    return await(sub { $dns->asked($name, $type) > $before + 1 });
}


# addresses

my $dns = Dns->new('proxy.test' => '10.0.0.2 10.0.0.1',
    'six.test' => 'fd00::2 fd00::1', 'both.test' => 'fd00::1 10.0.0.1',
    'alias.test' => 'cname=proxy.test', 'in.svc.test' => '10.0.0.7');

my $one = start($dns, 100, 'proxy.test');
is(found($one), '10.0.0.1:80=10.0.0.1:80 10.0.0.2:80=10.0.0.2:80',
    'each address of a name is a place, in order, at port 80');
looked($one, $dns, 'proxy.test');
$dns->set('proxy.test' => '10.0.0.1 10.0.0.2');
looked($one, $dns, 'proxy.test');
$dns->set('proxy.test' => '10.0.0.3');
is(found($one), '10.0.0.3:80=10.0.0.3:80',
    'it is told again when they have changed, not when their order has');
is($one->stop, 0, 'and ends in order');

$dns->set('proxy.test' => '10.0.0.2', 'six.test' => 'fd00::2 fd00::1',
    'both.test' => 'fd00::1 10.0.0.1', 'alias.test' => 'cname=proxy.test',
    'in.svc.test' => '10.0.0.7');

for ([ 'proxy.test:8080', '10.0.0.2:8080', 'another port' ],
    [ 'proxy.test.', '10.0.0.2:80', 'a name that is absolute' ],
    [ 'six.test:81', '[fd00::1]:81 [fd00::2]:81', 'IPv6' ],
    [ 'both.test', '10.0.0.1:80', 'of a host that has both, IPv4 alone' ],
    [ 'alias.test', '10.0.0.2:80', 'an alias' ],
    [ 'in', '10.0.0.7:80', 'a name within the domain that is searched' ])
{
    my ($name, $places, $title) = @$_;

    my $run = start($dns, 60000, $name);
    is(found($run), join(' ', map { "$_=$_" } split ' ', $places), $title);
    is($run->stop, 0, '... in order');
}

my $two = start($dns, 60000, 'both.test', 'proxy.test:80', 'both.test:81');
is(found($two), join(' ', map { "$_=$_" } qw(10.0.0.1:80 10.0.0.1:81
    10.0.0.2:80)), 'the places of several names are told together');

$dns->set('proxy.test' => '10.0.0.9', 'both.test' => '10.0.0.1');
$two->signal('HUP');
is(found($two), join(' ', map { "$_=$_" } qw(10.0.0.1:80 10.0.0.1:81
    10.0.0.9:80)), 'it looks at once when told to');
is($two->stop, 0, '... in order');


# SRV records

my %services = ('_http._tcp.proxy.test' => 'srv=80:proxy-0.proxy.test '
    . 'srv=81:proxy-1.proxy.test srv=82:both.test',
    'proxy-0.proxy.test' => '10.1.0.1', 'proxy-1.proxy.test' => '10.1.0.2',
    'both.test' => '10.1.0.9 fd00::9 10.1.0.8');
my $others = ' proxy-1.proxy.test:81=10.1.0.2:81';

$dns->set(%services);
my $srv = start($dns, 100, '_http._tcp.proxy.test');
is(found($srv), 'both.test:82=10.1.0.8:82 proxy-0.proxy.test:80=10.1.0.1:80'
    . $others, 'each SRV record is a place: its target is the name, its port '
    . 'is that, and of several addresses one is taken');

$services{'both.test'} = 'fd00::9 10.1.0.8 10.1.0.9';
$dns->set(%services);
looked($srv, $dns, 'both.test');
$services{'proxy-0.proxy.test'} = '10.1.0.3';
$dns->set(%services);
is(found($srv), 'both.test:82=10.1.0.8:82 proxy-0.proxy.test:80=10.1.0.3:80'
    . $others, 'a target elsewhere keeps its name, and any other its address');

delete $services{'proxy-0.proxy.test'};
$services{'_http._tcp.proxy.test'} =~ s/ srv=82:both.test//;
$dns->set(%services);
is(found($srv), "proxy-0.proxy.test:80=10.1.0.3:80$others",
    'a target without an address stays where it was, others don\'t wait');
like($srv->log, qr/level=WARN .* name=_http._tcp.proxy.test
    \ err="proxy-0.proxy.test:\ there\ is\ no\ such\ name\ \(asked
    \ 127.0.0.1:\d+\)"$/mx, 'and the log says so');
is(metrics($srv)->{'up{name="_http._tcp.proxy.test"}'}, 0,
    'as do the metrics');

$services{'_http._tcp.proxy.test'} = 'srv=80:.';
$dns->set(%services);
looked($srv, $dns, '_http._tcp.proxy.test', $SRV);
$services{'_http._tcp.proxy.test'} = 'srv=81:proxy-1.proxy.test';
$dns->set(%services);
is(found($srv), $others =~ s/^ //r, 'a service that says it is none keeps '
    . 'its places until it is one again');
is($srv->stop, 0, '... in order');

my @many = map { "n$_.test" } 1 .. 300;
$dns->set('_a._tcp.many.test' => join(' ', 'truncated',
    map { "srv=80:$_" } @many), map { ("n$_.test" => '10.2.' . ($_ >> 8) . '.'
    . ($_ & 255)) } 1 .. 300);
my $many = start($dns, 60000, '_a._tcp.many.test');
is(scalar(split ' ', found($many)), 300,
    '300 records, by TCP, as UDP has not got room');
is($dns->asked('_a._tcp.many.test', $SRV), 2, '... which has been asked');
is($many->stop, 0, '... in order');


# failures

my %names = ('a.test' => '10.0.0.1', 'b.test' => '10.0.0.2');
$dns->set(%names);
my $run = start($dns, 200, 'a.test', 'b.test');
is(found($run), '10.0.0.1:80=10.0.0.1:80 10.0.0.2:80=10.0.0.2:80',
    'two names');

for ([ 'fail', 'SERVFAIL' ], [ '', 'the name has no record of this kind' ],
    [ undef, 'there is no such name' ], [ 'silence', 'no answer in time' ])
{
    my ($words, $reason) = @$_;
    my $warned = () = $run->log =~ /level=WARN/g;
    my $ended = () = $run->log =~ /level=INFO/g;

    $names{'b.test'} = $words;
    delete $names{'b.test'} if !defined $words;
    $dns->set(%names);

    ok(says($run, qr/(?:level=WARN.*){@{[$warned + 1]}}/s),
        "$reason: it is logged");
    like((split /^(?=time)/m, $run->log)[-1], qr/name=b\.test\ err="b\.test:
        \ \Q$reason\E\ \(asked\ 127.0.0.1:\d+\)"/x, '... with its reason');

    my $failures = metrics($run)->{'failures_total{name="b.test"}'};
    ok(await(sub { metrics($run)->{'failures_total{name="b.test"}'}
        > $failures }), '... and counted, each time');
    is(() = ($run->log =~ /level=WARN/g), $warned + 1, '... but logged once');
    is(metrics($run)->{'places{name="b.test"}'}, 1, 'its places stay');

    $names{'b.test'} = '10.0.0.2';
    $dns->set(%names);
    ok(says($run, qr/(?:level=INFO.*){@{[$ended + 1]}}/s),
        'and it is logged that it has ended');
    is(metrics($run)->{'up{name="b.test"}'}, 1, '... which metrics say, too');
}

$names{'b.test'} = '10.0.0.4';
$dns->set(%names);
is(found($run), '10.0.0.1:80=10.0.0.1:80 10.0.0.4:80=10.0.0.4:80',
    'none of this was told as a change');
is($run->stop, 0, '... in order');

# from the start

$dns->set('a.test' => '10.0.0.1');
$run = start($dns, 200, 'a.test', 'b.test');
is(found($run), '10.0.0.1:80=10.0.0.1:80',
    'a name that fails from the start is no matter to the other');
$dns->set('a.test' => '10.0.0.1', 'b.test' => '10.0.0.2');
is(found($run), '10.0.0.1:80=10.0.0.1:80 10.0.0.2:80=10.0.0.2:80',
    'and comes later');
is($run->stop, 0, '... in order');

$dns->set('a.test' => '10.0.0.1', 'b.test' => 'hold');
my $asked = $dns->asked('b.test');
$run = start($dns, 60000, 'a.test', 'b.test');
await(sub { $dns->asked('b.test') > $asked });
unlike($run->log, qr/found/, 'none is told before all names were asked');
is($run->stop, 0, 'and it ends in order while it waits');

$run = start($dns, 200, 'nobody.test', 'nobody-else.test');
is(found($run), '', 'where all of them fail there are no places');
is(() = ($run->log =~ /level=WARN/g), 2, '... after each has failed');
is($run->stop, 0, '... in order');

$run = start($dns, 100, 'a.test');
found($run);
spew(workdir() . "/$number.conf", "nameserver 127.0.0.1:1\n");
ok(says($run, qr/no name server can be reached/),
    'resolv.conf is read again each time');
is($run->stop, 0, '... in order');


# names that are none

for ([ 'a.test:0', 'port of 1 to 65535' ], [ 'a.test:', 'port of 1 to' ],
    [ 'a.test:80:80', 'port of 1' ], [ 'a.test:http', 'port of 1' ],
    [ '', 'is no name' ], [ '.', 'is no name' ], [ 'a..b', 'is no name' ],
    [ '.a', 'is no name' ], [ 'a b', 'is no name' ], [ '-a', 'is no name' ],
    [ "a\nb", 'is no name' ], [ 'a/b', 'is no name' ],
    [ 'n' x 64, 'is no name' ], [ join('.', ('n' x 63) x 4), 'is no name' ],
    [ '[fd00::1]:80', 'port of 1 to 65535' ], [ '::1', 'port of 1 to 65535' ],
    [ '10.0.0.1', 'is an address, which --static takes' ],
    [ '10.0.0.1:80', 'is an address, which --static takes' ],
    [ '_http._tcp.a:80', 'has a port; SRV records have their own' ],
    [ '_http.a', 'these are _SERVICE._PROTOCOL.NAME' ])
{
    my ($name, $reason) = @$_;

    my ($status, $out) = run('', $runner, '/dev/null', 1000, $name);
    is($status, 1, '"' . substr($name, 0, 20) . '" is refused');
    like($out, qr/\Q$reason\E/, '... with a reason');
}

done_testing();
