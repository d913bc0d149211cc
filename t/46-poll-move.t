#!/usr/bin/perl

# t/46-poll-move.t: connections that move to the worker that they concern

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Test::More;

use Http qw(connection read_response request send_request);
use Nginx;
use Poll;

my $slow = $ENV{MP_SLOW};
my $patience = $slow ? 60 : 10;

my $nginx = Nginx->new;
my ($port, $spread) = (free_port(), free_port());
my $number = 0;

# a worker is asked for by connections that the kernel shares out

$nginx->configure(targets => '', workers => 2,
    http => poll_http(port => $port,
        http => 'log_format line "$request $status $connection_requests";
            limit_req_zone $http_x_rate zone=rate:1m rate=1r/m;
            limit_conn_zone $http_x_conn zone=conn:1m;',
        scrape => 'limit_req zone=rate; limit_conn conn 1;',
        server => <<"END"));
listen 127.0.0.1:$spread reuseport;
access_log %%DIR%%/logs/lines.log line;
location = /pid { return 200 \$pid; }
location = /stub { stub_status; access_log off; }
END

$nginx->start;

my ($here, $there);


sub places { return map { s{.*/}{}r } glob $nginx->dir . '/poll/*' }

sub settled {
    await(sub {
        my @places = places();
        return $nginx->workers == 2 && @places == 4 && !grep { /\./ } @places;
    }, $patience) or ok(0, 'two workers, each with its sockets');

    ($here, $there) = $nginx->workers;
}


# the worker that has a connection: its next request is for that one

sub owner {
    my ($s) = @_;

    send_request($s, path => '/pid', keepalive => 1);

    return read_response($s, timeout => $patience)->{body};
}


# a connection at a worker of one's choice

sub to {
    my ($pid) = @_;

    for (1 .. 1000) {
        my $s = connection($spread);
        return $s if owner($s) eq $pid;
    }

    die "no connection goes to worker $pid\n";
}


sub held {
    my ($pid) = @_;

    my $name = 'c' . ++$number;
    my $s = poll($spread, $name, on => to($pid));

    await(sub { $nginx->log =~ /prom poll: poll of "\Q$name\E" is held/ },
        $patience) or ok(0, "$name is not held");

    return ($name, $s);
}


sub moves {
    return scalar(() = $nginx->log =~ /prom poll: connection moves to/g);
}

sub hops { return scalar(() = $nginx->log =~ /prom poll hop to/g) }


# connections that are active, accepted, handled

sub status {
    my $text = request($port, path => '/stub')->{body};
    return $text =~ /(\d+)/g;
}


# Asks, answers at a worker or by a connection, and says what came of it.

sub asked {
    my ($s, $name, %o) = @_;

    return scrape($spread, "http://$name:9100/metrics", on => $s,
        timeout => $patience, %o);
}

sub answered {
    my ($poll, $s) = @_;

    my $got = handed($poll, timeout => $patience);
    return 'nothing was handed' unless $got->{id};

    send_request($s, method => 'POST', path => '/push', keepalive => 1,
        body => answer_of($got->{id}, body => "$got->{uri}\n"));

    return read_response($s, timeout => $patience)->{status};
}

sub right {
    my ($s, $name) = @_;

    my $answer = read_response($s, timeout => $patience);

    return "$answer->{status} $answer->{body}"
        eq "200 http://$name:9100/metrics\n" || "$answer->{status} "
        . $answer->{body};
}


# what was counted meanwhile: moves and hops

sub counted(&) {
    my ($sub) = @_;

    my @before = (moves(), hops());
    $sub->();

    return (moves() - $before[0]) . ' ' . (hops() - $before[1]);
}


settled();

# a scrape

{
    my ($name, $poll) = held($there);
    my $scraper = to($here);

    is(counted {
        asked($scraper, $name);
        is(answered($poll, to($there)), 200, 'a scrape at another worker');
        is(right($scraper, $name), 1, 'is answered');
    }, '1 0', 'after its connection has moved');

    is(owner($scraper), $there, 'where the connection stays');

    # the connection goes on with its requests

    is(counted {
        for (1 .. 3) {
            my ($next, $held) = held($there);
            asked($scraper, $next);
            answered($held, to($there));
            is(right($scraper, $next), 1, 'the next scrape');
        }
    }, '0 0', 'which are at the right worker');

    my ($back, $held) = held($here);

    is(counted {
        asked($scraper, $back);
        answered($held, to($here));
        is(right($scraper, $back), 1, 'one for a client elsewhere');
    }, '1 0', 'moves it again');

    is(owner($scraper), $here, 'and back');
}


# what the client gets, whether it has moved or not

for (
    [ 'plain', headers => [ 'Accept: text/plain;version=0.0.4' ] ],
    [ 'odd headers', headers => [ 'x-ODD:   spaced   out  ', 'X-Two: 1',
        'x-two: 2', 'X-Empty:', 'X-Colon: a:b: c', "X-Tab:\ta\tb",
        'Authorization: Basic Zm9v' ] ],
    [ 'hop by hop', headers => [ 'Connection: keep-alive, X-Gone',
        'X-Gone: 1', 'Proxy-Authorization: Basic Zm9v', 'TE: trailers' ] ],
    [ 'a forged hop', headers => [ 'Prom-Poll: scrape 1 a http://a/',
        'prom-poll: x' ] ],
    [ 'a long header', headers => [ 'X-Long: ' . 'l' x 6000 ] ],
    [ 'many headers', headers => [ map { "X-$_: $_" } 1 .. 80 ] ],
    [ 'HTTP/1.0', version => '1.0', headers => [ 'X-Old: 1' ] ],
    [ 'HEAD', method => 'HEAD' ],
) {
    my ($what, @options) = @$_;
    my @text;

    is(counted {
        for my $at ($there, $here) {
            my ($name, $poll) = held($there);
            my $s = to($at);

            asked($s, $name, @options);

            my $got = handed($poll, timeout => $patience);
            my $text = $got->{body};
            $text =~ s/\Q$name\E|^Id: \K\S+//gm;
            $text =~ s/^X-Prometheus-Scrape-Timeout-Seconds: \K\S+//m;
            push @text, $text;

            push_answer($spread, $got->{id});
            push @text, read_response($s, timeout => $patience,
                @options)->{status};
        }
    } =~ /^1 /, 1, "$what: moves");

    is("$text[2]$text[3]", "$text[0]$text[1]", 'with no byte changed');
}


# what comes behind it

{
    my ($name, $poll) = held($there);
    my $s = to($here);
    my $behind = "GET /pid HTTP/1.1\r\nHost: proxy\r\n\r\n";

    send_request($s, raw => "GET http://$name:9100/metrics HTTP/1.1\r\n"
        . "Host: $name\r\n\r\n" . $behind x 2 . substr $behind, 0, 20);

    is(answered($poll, to($there)), 200, 'requests behind a scrape');

    # the answers may come all in one

    send_request($s, raw => substr $behind, 20);

    my $text = '';
    await(sub {
        my $read = '';
        vec($read, fileno $s, 1) = 1;
        sysread $s, $text, 65536, length $text
            if select $read, undef, undef, 0.1;
        return 3 == (() = $text =~ /\r\n\r\n$there/g);
    }, $patience);

    like($text, qr{\A.*\r\n\r\nhttp://$name:9100/metrics\n(HTTP/1\.1\ 200
        .*?\r\n\r\n$there){3}\z}sx, 'move with it');
}


# what can't move

{
    my ($name, $poll) = held($there);
    my $s = to($here);

    is(counted {
        asked($s, $name, method => 'POST', body => 'body');
        answered($poll, to($there));
        is(right($s, $name), 1, 'a scrape with a body');
    }, '0 1', 'hops');

    ($name, $poll) = held($there);

    is(counted {
        asked($s, $name, headers => [ map { "X-$_: " . 'l' x 7000 } 1 .. 3 ]);
        answered($poll, to($there));
        is(right($s, $name), 1, 'one with a longer header than a move takes');
    }, '0 1', 'hops');

    for my $limit (qw(Rate Conn)) {
        ($name, $poll) = held($there);

        is(counted {
            asked($s, $name, headers => [ "X-$limit: 1" ]);
            answered($poll, to($there));
            is(right($s, $name), 1, "one that a limit counts: X-$limit");
        }, '0 1', 'hops');
    }
}


# pushes

{
    my ($name, $poll) = held($there);
    my ($scraper, $pusher) = (to($there), to($here));

    is(counted {
        asked($scraper, $name);
        is(answered($poll, $pusher), 200, 'a push at another worker');
        is(right($scraper, $name), 1, 'is the answer');
        await(sub { $nginx->log =~ /connection moves to \S+ text: 0\b/ },
            $patience);
    }, '1 1', 'and hops once; its connection moves then');

    is(owner($pusher), $there, 'to where it belongs');

    is(counted {
        for (1 .. 3) {
            my ($next, $held) = held($there);
            asked($scraper, $next);
            is(answered($held, $pusher), 200, 'the next push');
            is(right($scraper, $next), 1, 'is the answer');
        }
    }, '0 0', 'and stays there');
}


# a worker that takes nothing, and the datagrams that it may have waiting

{
    my @waiting = map { [ held($there), to($here) ] } 1 .. 40;

    $nginx->pause($there);

    my $all = hops() + moves() + @waiting;

    my $counted = counted {
        asked($_->[2], $_->[0]) for @waiting;
        await(sub { hops() + moves() == $all }, $patience);
    };

    my ($moved, $hopped) = split ' ', $counted;

    kill 'CONT', $there;

    my $pusher = to($there);
    my @wrong = grep { $_ != 1 } map {
        answered($_->[1], $pusher);
        right($_->[2], $_->[0]);
    } @waiting;

    is("@wrong", '', 'a worker with a full queue: all are answered');
    is($moved + $hopped, 40, 'in one way or the other');
    cmp_ok($moved, '>', 0, 'some move');
    cmp_ok($hopped, '>', 0, 'the others hop');
}

{
    # sockets are named by the slots that workers have

    my ($name, $poll) = held($there);
    my $s = to($here);
    my @gone = map { $nginx->dir . "/poll/$_" } grep { /=/ } places();
    rename $_, "$_.away" for @gone;

    is(counted {
        asked($s, $name);
        answered($poll, to($there));
        is(right($s, $name), 1, 'without the other\'s socket');
    }, '0 1', 'it hops');

    rename "$_.away", $_ for @gone;
}


# what no worker has sent

{
    my @sockets = grep { /=/ } places();

    for my $name (@sockets) {
        for my $text ('', 'x', 'x' x 300, '1mpp' . "\0" x 132, 'y' x 60000) {
            my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM,
                Peer => $nginx->dir . "/poll/$name") or die "$name: $!\n";
            send $s, $text, 0;
        }
    }

    await(sub {
        return 2 * 5 == (() = $nginx->log =~ /that moves to this worker is/g);
    }, $patience);

    is(scalar(() = $nginx->log =~ /that moves to this worker is lost/g), 10,
        'a datagram of another kind is refused');

    my ($name, $poll) = held($there);
    my $s = to($here);
    asked($s, $name);
    answered($poll, to($there));
    is(right($s, $name), 1, 'and harms nobody');
}


# a line for each request, and a count of each connection

{
    my ($name, $poll) = held($there);
    my $s = to($here);

    asked($s, $name);
    answered($poll, to($there));
    is(right($s, $name), 1, 'a scrape');
    owner($s);

    await(sub {
        Nginx::slurp($nginx->dir . '/logs/lines.log') =~ /$name/
    }, $patience);

    my @lines = grep { /\Q$name\E/ }
        split /\n/, Nginx::slurp($nginx->dir . '/logs/lines.log');

    is("@lines", "GET http://$name:9100/metrics HTTP/1.1 200 2",
        'is in the log once, as the second request of its connection');

    close $_ for $s, $poll;
}

{
    # what the workers keep among themselves stays, and the rest is closed

    my (@before, $same);

    await(sub {
        my @last = @before;
        @before = status();
        $same = (@last && $last[0] == $before[0]) ? $same + 1 : 0;
        return $same == 20;
    }, $patience);

    my @clients = map { held($there) } 1 .. 5;
    my @scrapers = map { to($here) } 1 .. 5;

    is(counted {
        for my $i (0 .. 4) {
            my ($name, $poll) = @clients[2 * $i, 2 * $i + 1];
            asked($scrapers[$i], $name);
            answered($poll, to($there));
            right($scrapers[$i], $name);
        }
    }, '5 0', 'connections that have moved');

    close $_ for @scrapers, map { $clients[2 * $_ + 1] } 0 .. 4;

    my @now;
    ok(await(sub {
        @now = status();
        return $now[0] == $before[0];
    }, $patience), 'are counted where they are') or diag("@before, @now");
    is($now[1], $now[2], 'and as handled once');
}


# a worker that ends gets what was on its way to it

{
    my ($name, $poll) = held($there);
    my ($scraper, $idle, $pusher) = map { to($here) } 1 .. 3;

    # it is told which worker it is for by a push that hops

    my ($other, $held) = held($there);
    my $other_scraper = to($there);

    asked($other_scraper, $other);
    my $got = handed($held, timeout => $patience);
    send_request($idle, method => 'POST', path => '/push', keepalive => 1,
        body => answer_of($got->{id}, body => "$other\n"));
    is(read_response($idle, timeout => $patience)->{status}, 200, 'a push');
    is(read_response($other_scraper, timeout => $patience)->{body},
        "$other\n", 'is the answer');
    is(owner($idle), $there, 'and its connection moves');

    $nginx->pause($there);

    my $before = moves();
    asked($scraper, $name);
    await(sub { moves() > $before }, $patience);

    kill 'QUIT', $there;
    kill 'CONT', $there;

    is(answered($poll, $pusher), 200,
        'a worker that ends hands out the scrape that was on its way');
    is(right($scraper, $name), 1, 'and answers it');

    is(read_response($idle, timeout => $patience)->{status}, 0,
        'an idle connection that has moved there is closed');
    close $_ for $poll, $scraper, $idle, $other_scraper, $held;

    ok(await(sub { !grep { $_ == $there } $nginx->workers }, $patience),
        'before it ends');
    settled();
}


# a worker that is killed

{
    my ($name, $poll) = held($there);
    my $scraper = to($here);

    $nginx->pause($there);

    my $before = moves();
    asked($scraper, $name);
    await(sub { moves() > $before }, $patience);
    kill 'KILL', $there;

    is(read_response($scraper, timeout => $patience)->{status}, 0,
        'a worker that is killed: what was on its way to it ends with it');
    await(sub { !grep { $_ == $there } $nginx->workers }, $patience);
    settled();

    ($name, $poll) = held($there);
    $scraper = to($here);
    asked($scraper, $name);
    answered($poll, to($there));
    is(right($scraper, $name), 1, 'the next scrapes do not');
}

$nginx->finish(qr/exited on signal 9|was locked by/);

done_testing();
