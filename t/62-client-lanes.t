#!/usr/bin/perl

# t/62-client-lanes.t: by which connection a poll client polls and pushes

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use PollClient qw(write_to);
use PollProxy;

my $tries = 16;
my $dir = File::Temp::tempdir('mp-lanes-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# /NAME waits for the file NAME, and / for nothing

my $exporter = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($file) = $request =~ m{^GET /(\w*)};

    for (1 .. 6000) {
        last if -e "$dir/$file";
        sleep 0.01;
    }

    print $s "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n";
    $s->flush;
    return 1;
});

my $url = 'http://127.0.0.1:' . $exporter->port;


sub client {
    return PollClient->new('--fqdn=127.0.0.1',
        map({ '--proxy-url=' . $_->url } @_),
        '--proxy.retry.initial-wait=20ms', '--proxy.retry.max-wait=50ms');
}


sub give {
    my ($proxy, $poll, $path, @headers) = @_;

    my ($id, $text) = $proxy->scrape_text("$url/$path", timeout => 30);
    $proxy->answer($poll, $text, headers => \@headers);

    return $id;
}


sub go { write_to("$dir/$_[0]", '') }
sub bound { $_[0]{headers}{'prom-poll-replica'} }
sub same { $_[0]{socket} == $_[1]{socket} }


# Takes a poll and answers that it is none of this replica's; its connection.

sub send_away {
    my ($proxy, $poll) = @_;

    $proxy->answer($poll, "this poll is for another\n", status => 421);

    return $poll->{socket};
}


my $id = 'Prom-Poll-Replica: r1';

# one that says which it is

{
    my $proxy = PollProxy->new;
    my $client = client($proxy);

    my $first = $proxy->poll;
    ok(!defined bound($first), 'the first poll is for any replica');

    my $scrape = give($proxy, $first, 'one', $id);
    my $poll = $proxy->poll;
    ok(!same($poll, $first), 'it polls by another connection meanwhile')
        or BAIL_OUT($client->log);
    is(bound($poll), 'r1', 'for the same replica');

    my @seen = send_away($proxy, $poll);
    my $start = time;

    for (2 .. $tries) {
        $poll = $proxy->poll;
        is(bound($poll), 'r1', "try $_ is for it") if $_ == 2;
        ok(!(grep { $poll->{socket} == $_ } @seen),
            "try $_ has a connection of its own") or last;
        push @seen, send_away($proxy, $poll);
    }

    cmp_ok(time - $start, '>', 1, 'they are not all at once');
    ok(!$proxy->poll(undef, 0.5), "after $tries it waits for the scrape");
    is($proxy->connections, 1, 'and keeps no connection to other replicas');

    go('one');
    my $got = $proxy->pushed($scrape);
    is($got->{status}, 200, 'which is answered');
    ok(same($got->{push}, $first), 'by the connection it has come by');

    $poll = $proxy->poll;
    ok(same($poll, $first), 'so is the next poll');
    ok(!defined bound($poll), 'for any replica');

    # a scrape that is quick needs nobody's help

    $scrape = give($proxy, $poll, '', $id);
    $got = $proxy->pushed($scrape);
    ok(same($got->{push}, $first), 'a quick one is pushed there again');

    $poll = $proxy->poll;
    ok(same($poll, $first), 'and it polls there again');
    is($proxy->connections, 1, 'one connection is enough');

    # a slow one does

    $scrape = give($proxy, $poll, 'two', $id);
    my $second = $proxy->poll;
    ok(!same($second, $first), 'a slow one: another connection');
    is(bound($second), 'r1', 'for the same replica');

    my $other = give($proxy, $second, '', $id);
    $got = $proxy->pushed($other);
    ok(same($got->{push}, $second), 'what comes by it is pushed by it');

    $poll = $proxy->poll;
    ok(same($poll, $second), 'and polled for, while the slow one goes on');

    go('two');
    $got = $proxy->pushed($scrape);
    ok(same($got->{push}, $first), 'that one goes by its own');

    # both are known to be there: from now on the next poll is there at once

    $scrape = give($proxy, $poll, 'three', $id);
    $poll = $proxy->poll;
    ok(same($poll, $first), 'polls and pushes take turns');
    go('three');
    ok(same($proxy->pushed($scrape)->{push}, $second), 'each by its own');

    # another replica

    $scrape = give($proxy, $poll, 'four', 'Prom-Poll-Replica: r2');
    $poll = $proxy->poll;
    is(bound($poll), 'r2', 'an answer of another replica: for that one now');
    send_away($proxy, $poll);
    go('four');
    ok(same($proxy->pushed($scrape)->{push}, $first), 'pushed there');

    $poll = $proxy->poll;
    ok(same($poll, $first), 'and polled for there');

    # a connection that breaks while it is scraped

    $scrape = give($proxy, $poll, 'five', 'Prom-Poll-Replica: r2');
    $proxy->poll;
    $proxy->cut;
    go('five');
    is($proxy->pushed($scrape)->{status}, 200, 'a connection is lost: a new '
        . 'one is tried');
    ok($proxy->poll, 'and it polls again');

    is($client->stop, 0, 'it ends in order') or diag $client->log;
    unlike($client->log, qr/421/, 'and says nothing of other replicas');
}

# PushProx' proxy doesn't say

{
    my $proxy = PollProxy->new;
    my $client = client($proxy);

    my $first = $proxy->poll;
    my $scrape = give($proxy, $first, 'ten');
    my $poll = $proxy->poll;
    ok(!same($poll, $first), 'PushProx: it polls by another connection');
    ok(!defined bound($poll), 'as any poll');

    $proxy->answer($poll, "no\n", status => 421);
    $poll = $proxy->poll;
    ok($poll, 'a 421 is an error like others');
    like($client->log, qr/proxy answered 421/, 'which the log has');

    go('ten');
    is($proxy->pushed($scrape)->{status}, 200, 'and the scrape is answered');
    is($client->stop, 0, 'it ends in order') or diag $client->log;
}

# an ID is what can be said again

for my $wrong ('two words', 'x' x 65) {
    my $proxy = PollProxy->new;
    my $client = client($proxy);

    my $scrape = give($proxy, $proxy->poll, '', "Prom-Poll-Replica: $wrong");
    ok(!defined bound($proxy->poll), "not said again: $wrong");
    is($proxy->pushed($scrape)->{status}, 200, '  and no harm done');
    $client->stop;
}

# two proxies

{
    my @proxy = map { PollProxy->new } 1, 2;
    my $client = client(@proxy);
    my @scrape = map { give($proxy[$_], $proxy[$_]->poll, 'twenty',
        "Prom-Poll-Replica: p$_") } 0, 1;

    for (0, 1) {
        my $poll = $proxy[$_]->poll;
        is(bound($poll), "p$_", "of two proxies each has its own ID: $_");
        $proxy[$_]->answer($poll, '', status => 204,
            headers => [ "Prom-Poll-Replica: p$_" ]);
    }

    go('twenty');
    is($proxy[$_]->pushed($scrape[$_])->{status}, 200, "its own answer: $_")
        for 0, 1;

    is($client->stop, 0, 'it ends in order') or diag $client->log;
}

done_testing();
