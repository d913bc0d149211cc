#!/usr/bin/perl

# t/62-client-replicas.t: poll clients by one TCP load balancer in front of two
# proxies: each is at one of them, and scraped there

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Balancer;
use Http;
use Nginx;
use Poll;
use PollClient qw(write_to);

my $names = 20;
my $at_once = 6;
my $dir = File::Temp::tempdir('mp-replicas-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# /NAME?wait=FILE waits for FILE; the answer tells the name

my $exporter = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($name, $file) = $request =~ m{^GET /(\w+)(?:\?wait=(\w+))? };

    for (1 .. 6000) {
        last if !$file || -e "$dir/$file";
        sleep 0.01;
    }

    my $body = "up{name=\"$name\"} 1\n";
    print $s "HTTP/1.1 200 OK\r\nContent-Length: ", length $body,
        "\r\n\r\n$body";
    $s->flush;
    return 1;
});

my @port = (free_port(), free_port());
my @nginx;


# A replica, which comes back to its port, as in another container.

sub start {
    my ($i) = @_;

    $nginx[$i] = Nginx->new->configure(targets => '', workers => 2,
        http => poll_http(port => $port[$i],
            poll => 'keepalive_time 1d; keepalive_requests 1000000;'))
        ->start;
}


# As if its machine were gone.

sub killed {
    my ($i) = @_;

    my @workers = $nginx[$i]->workers;

    $nginx[$i]->signal('KILL');
    kill 'KILL', @workers;
    $nginx[$i]->stop;
}


sub listed {
    my ($i) = @_;

    my $r = eval { Http::request($port[$i], path => '/clients') } or return;

    return sort map { $_->{targets}[0] } @{ decode_json($r->{body}) };
}


# Where each name is, "0", "1" or "0 1", once all are at so many replicas.

sub places {
    my ($where, $prefix, $many) = @_;

    my %at;

    $prefix //= 'h';

    ok(await(sub {
        %at = ();

        for my $i (0, 1) {
            push @{ $at{$_} }, $i for grep { /^$prefix/ } listed($i);
        }

        return keys %at == $names
            && !grep { @$_ < ($many // 1) } values %at;
    }), "$where: all names are there") or diag join ' ', sort keys %at;

    return { map { $_ => "@{ $at{$_} }" } keys %at };
}


# Asks all, each where it is, and counts those with another answer than theirs.

sub wrong {
    my ($at) = @_;

    my %scrape = map { $_ => scrape($port[$at->{$_}], "http://$_/",
        timeout => 20) } sort keys %$at;

    return join '', map {
        my $r = scraped($scrape{$_});
        $r->{body} eq "up{name=\"$_\"} 1\n" ? ''
            : "$_ at $at->{$_}: $r->{status} $r->{body}";
    } sort keys %scrape;
}


sub client {
    my ($prefix, @proxies) = @_;

    my $url = 'http://127.0.0.1:' . $exporter->port;

    return PollClient->new(map({ "--proxy-url=$_" } @proxies),
        map({ "--pull-url=$prefix$_=$url/$prefix$_" } 10 .. 9 + $names),
        '--proxy.retry.initial-wait=50ms', '--proxy.retry.max-wait=200ms');
}


start(0);
start(1);

my $balancer = Balancer->new(@port);
my $client = client('h', $balancer->url);

# each is at one replica, and stays there

my $at = places('at first');

is(join(' ', sort { $a cmp $b } grep { $at->{$_} !~ /^[01]$/ } keys %$at), '',
    'each at one replica');
cmp_ok(abs($names / 2 - grep { $at->{$_} eq '0' } keys %$at), '<', $names / 4,
    'which share them');

is(wrong($at), '', "round $_: each is scraped where it is") for 1 .. 10;
is_deeply(places('after that'), $at, 'and is where it was');

# many slow scrapes of one name, in spite of connections that lead elsewhere

{
    my ($name) = sort keys %$at;
    my $port = $port[$at->{$name}];
    my $before = () = $exporter->requests;

    my @scrape = map { scrape($port, "http://$name/?wait=go", timeout => 50) }
        1 .. $at_once;

    ok(await(sub { my $n = () = $exporter->requests;
        $n - $before == $at_once }, 40),
        "$at_once scrapes of one name are under way at once")
        or diag scalar(() = $exporter->requests) - $before, $client->log;

    my $late = scrape($port, "http://$name/", timeout => 50);
    is(scraped($late)->{status}, 200, 'and one more isn\'t held up by them');

    write_to("$dir/go", '');
    is(scraped($_)->{body}, "up{name=\"$name\"} 1\n", 'each is answered')
        for @scrape;

    is_deeply(places('with slow scrapes'), $at,
        'no other replica has heard of it');
    is(wrong($at), '', 'and all are scraped as before');
}

is($client->log =~ /level=(?:error|warn)/, '', 'no error in its log')
    or diag $client->log;

# a replica is lost

killed(0);

is(scalar(await(sub { my $n = () = listed(1); $n == $names })), 1,
    'a replica is killed: all are at the other one');

my $one = places('one replica');
is(wrong($one), '', "round $_: and scraped there") for 1 .. 3;

# It comes back, as another one; then it is the other's turn, in order.

start(0);
is(wrong($one), '', 'it is back: whom others have stays there');

$nginx[1]->stop;

is(scalar(await(sub { my $n = () = listed(0); $n == $names })), 1,
    'the other one is stopped: all are at the one that came back');

$one = places('one replica');
is(wrong($one), '', "round $_: and scraped there") for 1 .. 3;

start(1);
is($client->stop, 0, 'it ends in order') or diag $client->log;

# by both of them, without a balancer

$client = client('b', map { "http://127.0.0.1:$_" } @port);

my $both = places('two proxies', 'b', 2);
{
    my @scrape = map { my $p = $_; map { scrape($p, "http://$_/?wait=both",
        timeout => 50) } sort keys %$both } @port;

    for my $i (0, 1) {
        is(wrong({ map { $_ => $i } keys %$both }), '',
            "each is scraped by $i while both scrape it slowly");
    }

    write_to("$dir/both", '');

    my @bodies = map { "up{name=\"$_\"} 1\n" } sort keys %$both;
    is_deeply([ map { scraped($_)->{body} } @scrape ], [ @bodies, @bodies ],
        'and these get what is theirs');
}

is($client->stop, 0, 'it ends in order') or diag $client->log;
is($balancer->stop, 143, 'so does the balancer') or diag $balancer->log;

$_->finish for @nginx;

done_testing();
