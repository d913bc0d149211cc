#!/usr/bin/perl

# t/46-poll-gone.t: clients that die while they have a scrape, and workers that
# die or can't be reached while they are passed one

use warnings;
use strict;

use FindBin;
use IO::Handle;
use IPC::Open3;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep time);

use Http qw(connection read_response send_request);
use Nginx;
use Poll;
use PollWorkers;

my $soon = $ENV{MP_SLOW} ? 20 : 2;


# An answer that comes soon, as "STATUS LINE".

sub told {
    my ($s) = @_;

    my $start = time;
    my $answer = read_response($s, timeout => $patience);

    return sprintf 'after %.1f s: %s', time - $start, $answer->{status}
        if time - $start > $soon;

    return "$answer->{status} $answer->{body}";
}


# A client that was handed a scrape; what it got, and the scrape.

sub handed_at {
    my ($name, $pid, %o) = @_;

    my $poll = held($name, $pid, %o);
    my $scrape = asked($name, $pid);
    my $got = handed($poll, timeout => $patience);

    return ($poll, $scrape, $got);
}


# Closes a connection whose last poll was answered, and waits until that is
# known.

sub closed {
    my ($poll) = @_;

    said_yet();
    delete $said{'the connection of an answered poll is closed'};
    close $poll;
    said('the connection of an answered poll is closed');
}


start(3);

my @pids = sort { $a <=> $b } $nginx->workers;


# its client dies

for my $at (0, 1) {
    my $name = new_name();
    my ($poll, $scrape, $got) = handed_at($name, $pids[0]);
    my $waits = waiting($name, $pids[$at]);

    close $poll;

    is(told($waits), "503 $name: its client has gone and does not poll "
        . "again\n", 'a client closes the connection of a poll that was '
        . 'answered: scrapes that wait for the next one fail'
        . ($at ? ', at other workers, too' : ''));
    is(told(asked($name, $pids[1])), "503 $name: no client polls for this "
        . "name\n", 'as do those that come');

    my $push = push_answer($port, $got->{id}, body => "late\n");
    is("$push->{status} " . told($scrape), "200 200 late\n",
        'but it may still answer the one that it was given');

    my $again = held($name, $pids[2]);
    $scrape = asked($name, $pids[2]);
    $got = handed($again, timeout => $patience);

    is(push_answer($port, $got->{id})->{status}, 200, 'and come back');
}

{
    my $name = new_name();

    between($name, $pids[0]);

    my $waits = waiting($name, $pids[1]);
    my $poll = poll($spread, $name, on => to($pids[0]));
    my $got = handed($poll, timeout => $patience);

    is($got->{status}, 200, 'a poll that another worker answered');
    close $poll;
    ok(await(sub { told(asked($name, $pids[1], timeout => 0.2)) =~ /^503 / },
        $patience), 'is noticed, too');
}

{
    my $name = new_name();
    my ($first) = handed_at($name, $pids[0]);
    my $second = held($name, $pids[1]);

    close $first;
    asked($name, $pids[1]);
    is(handed($second, timeout => $patience)->{status}, 200,
        'one that polls by another connection meanwhile isn\'t gone');

    my $third = held($name, $pids[2]);
    asked($name, $pids[2]);
    is(handed($third, timeout => $patience)->{status}, 200, 'polls');
    closed($second);
    waiting($name, $pids[0]);
    ok(1, 'nor when it closes an older one');
}

{
    my $name = new_name();

    for my $round (1 .. 3) {
        my ($poll) = handed_at($name, $pids[0], keepalive => 0);
        read_response($poll);
        close $poll;
        waiting($name, $pids[1]);
    }

    ok(1, 'nor one that told that it would');
}

{
    my $name = new_name();

    for my $round (1 .. 2) {
        my ($poll) = handed_at($name, $pids[0]);
        closed($poll);
    }

    waiting($name, $pids[1]);
    ok(1, 'nor one that closes each, and comes back');
}


# by TLS, whether it says so or is cut off

SKIP: {
    my $files = $nginx->dir . '/tls';

    skip 'no openssl', 2 if system("openssl req -x509 -newkey rsa:2048 -nodes"
        . " -keyout $files.key -out $files.crt -days 2 -subj /CN=p"
        . ' >/dev/null 2>&1');

    my $tls = free_port();
    my $conf = Nginx::slurp($nginx->dir . '/nginx.conf');
    $conf =~ s{(listen 127\.0\.0\.1:$port;)}{$1
        listen 127.0.0.1:$tls ssl;
        ssl_certificate $files.crt; ssl_certificate_key $files.key;};
    $nginx->write('nginx.conf', $conf);
    $nginx->reload;
    %idle = ();
    settled(3);
    @pids = sort { $a <=> $b } $nginx->workers;

    for my $signal ('TERM', 'KILL') {
        my $name = new_name();
        my $pid = open3(my $in, my $out, undef, 'exec openssl s_client -quiet '
            . "-connect 127.0.0.1:$tls 2>/dev/null");

        print $in "POST /poll HTTP/1.1\r\nHost: p\r\nContent-Length: "
            . length($name) . "\r\n\r\n$name";
        $in->flush;
        said("poll of \"$name\" is held");

        my $scrape = asked($name, $pids[0]);
        readline $out;
        my $waits = waiting($name, $pids[1]);

        kill $signal, $pid;
        waitpid $pid, 0;
        is(told($waits), "503 $name: its client has gone and does not poll "
            . "again\n", "a connection of TLS that ends upon SIG$signal");
    }
}


# a poll and a scrape that cross: neither is sent away

{
    my $bad = 0;

    for my $round (1 .. ($ENV{MP_SLOW} ? 20 : 200)) {
        my $name = "cross$round";
        between($name, $pids[0]);
        my ($p, $s) = (to($pids[$round % 3]), to($pids[($round + 1) % 3]));

        # both are sent at once, in turn the one or the other first

        my @both = (sub { poll($spread, $name, on => $p) },
            sub { scrape($spread, "http://$name/", on => $s, timeout => 5) });
        $_->() for $round % 2 ? @both : reverse @both;

        my $got = handed($p, timeout => $patience);
        $bad++ if $got->{status} != 200;
        push @{ $idle{$pids[$round % 3]} }, $p;
    }

    is($bad, 0, 'a poll and a scrape that cross find each other');
}


# a push that dies in its header, at another worker

for my $line ('', 'Content-Type: text/pl') {
    my $name = new_name();
    my ($poll, $scrape, $got) = handed_at($name, $pids[0]);
    my $push = to($pids[1]);

    send_request($push, raw => "POST /push HTTP/1.1\r\nHost: p\r\n"
        . "Content-Length: 1000\r\n\r\nHTTP/1.1 200 OK\r\n"
        . "Id: $got->{id}\r\n$line");
    close $push;

    is(told($scrape), "502 $name: its client broke off its answer\n",
        'a push that breaks off behind its Id is told to the scraper');
}


# a deadline goes on from one worker to the next

{
    my $name = new_name();
    my $poll = held($name, $pids[0]);
    my $scrape = to($pids[1]);

    send_request($scrape, raw => "POST http://$name/ HTTP/1.1\r\nHost: "
        . "$name\r\nX-Prometheus-Scrape-Timeout-Seconds: 60\r\n"
        . "Content-Length: 3\r\n\r\n");
    sleep 0.5;
    send_request($scrape, raw => 'a=b');

    my $got = handed($poll, timeout => $patience);
    cmp_ok($got->{request}{'x-prometheus-scrape-timeout-seconds'}, '<=', 59.5,
        'a scrape that was passed on has what is left of its time');
}


# sockets that are gone: a line of text

{
    my $name = new_name();
    my ($poll, $scrape, $got) = handed_at($name, $pids[0]);
    my $other = new_name();
    my $held = held($other, $pids[0]);
    my $third = new_name();
    between($third, $pids[0]);
    my $waits = waiting($third, $pids[0]);

    unlink glob $nginx->dir . '/poll/*';

    my $push = to($pids[1]);
    send_request($push, method => 'POST', path => '/push',
        body => answer_of($got->{id}));
    is(told($push), "502 the scrape that this is the answer of has gone with "
        . "its worker\n", 'a push that can\'t be passed on is told that');

    is(told(asked($other, $pids[1])), "502 $other: the worker that has its "
        . "client has gone\n", 'as is a scrape');
    is(told(poll($spread, $third, on => to($pids[1]))), '204 ',
        'and a poll comes again');
}

$nginx->finish(qr/prom_poll|connect\(\) to unix|no live upstreams/);


# a worker is killed with the polls that it holds

start(2);
@pids = $nginx->workers;

{
    my $name = new_name();
    my $poll = held($name, $pids[0]);

    kill 'KILL', $pids[0];
    delete $idle{$pids[0]};
    await(sub { !grep { $_ == $pids[0] } $nginx->workers }, $patience);
    settled(2);

    my $scrape = asked($name, $pids[1]);
    said("scrape of \"$name\" waits");
    my $got = handed(poll($spread, $name, on => to($pids[1])),
        timeout => $patience);

    is($got->{status}, 200, 'a worker is killed: a scrape waits for its '
        . 'clients, which come back');
    push_answer($port, $got->{id});
    is(told($scrape), "200 up 1\n", 'and is answered');
}

{
    my $name = new_name();
    my @old = $nginx->workers;

    between($name, $old[0]);
    my $waits = waiting($name, $old[0]);

    $nginx->signal('HUP');

    my %old = map { $_ => 1 } @old;
    my @new;

    await(sub {
        @new = grep { !$old{$_} } $nginx->workers;
        return @new == 2 && $nginx->workers == 3 && sockets() == 3;
    }, $patience);

    %idle = ();
    kill 'KILL', $old[0];
    await(sub { $nginx->workers == 2 }, $patience);
    is(scalar sockets(), 3, 'one that was to end is killed, and no other '
        . 'comes for it');

    is(told(poll($spread, $name, on => to($new[0]), wait => 0)), '204 ',
        'who is passed on to it is not kept');
    is(scalar sockets(), 2, 'and its socket is removed then');
}

$nginx->finish(qr/exited on signal 9|was locked by/);


# the same of a client whose certificate has many names

{
    start(3, push => 'prom_poll_identity $http_x_identity;');
    @pids = $nginx->workers;

    my $name = new_name();
    my ($poll, $scrape, $got) = handed_at($name, $pids[0]);
    my $push = to($pids[1]);

    send_request($push, raw => "POST /push HTTP/1.1\r\nHost: p\r\n"
        . "X-Identity: $name," . 'n' x 1900 . "\r\n"
        . "Content-Length: 1000\r\n\r\nHTTP/1.1 200 OK\r\n"
        . "Id: $got->{id}\r\n");
    close $push;

    is(told($scrape), "502 $name: its client broke off its answer\n",
        'so it is of one with an identity as long as there may be');

    $nginx->finish;
}

done_testing();
