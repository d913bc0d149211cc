#!/usr/bin/perl

# t/46-poll-workers.t: polls, scrapes and pushes that arrive at any worker; and
# workers that are shut down, killed and replaced meanwhile

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use Test::More;
use Time::HiRes qw(sleep time);

use Http qw(connection read_response request send_request);
use Nginx;
use Poll;
use PollWorkers;

my $slow = $ENV{MP_SLOW};


sub body_of { return "$_[0] $_[1]\n" }


# Answers what a poll got, at a worker; returns the push' status. The body says
# whose it is.

sub answered {
    my ($got, $name, $pid) = @_;

    return "the poll got $got->{status}" unless $got->{id};

    return 'asked for another' unless $got->{uri} =~ m{^http://\Q$name\E:};

    my $s = to($pid);
    my $body = answer_of($got->{id}, body => body_of($name, $got->{id}));

    send_request($s, method => 'POST', path => '/push', keepalive => 1,
        body => $body);

    my $answer = read_response($s, timeout => $patience);
    push @{ $idle{$pid} }, $s if $answer->{status} == 200;

    return $answer->{status};
}


sub whole {
    my ($scrape, $got, $name) = @_;

    my $answer = read_response($scrape, timeout => $patience);

    return "$answer->{status} $answer->{body}" eq '200 '
        . body_of($name, $got->{id} // '') ? 'right'
        : "$answer->{status} $answer->{body}";
}


# Once round: where the poll, the scrape and the push arrive.

sub round {
    my ($poll_at, $scrape_at, $push_at, $first) = @_;

    my $name = new_name();
    my ($poll, $scrape);

    if ($first eq 'poll') {
        $poll = held($name, $poll_at);
        $scrape = asked($name, $scrape_at);

    } else {
        between($name, $push_at);
        $scrape = waiting($name, $scrape_at);
        $poll = poll($spread, $name, on => to($poll_at));
    }

    my $got = handed($poll, timeout => $patience);
    my $pushed = answered($got, $name, $push_at);
    my $result = whole($scrape, $got, $name);

    push @{ $idle{$poll_at} }, $poll;
    push @{ $idle{$scrape_at} }, $scrape;

    return $result if $result ne 'right';

    return $pushed == 200 ? 'right' : "push: $pushed";
}


# a line for what isn't right; nothing if all is

sub wrong {
    return join "\n", grep { $_ ne 'right' } @_;
}


sub metric {
    my ($name) = @_;

    my ($value) = request($port, path => '/metrics')->{body}
        =~ /^\Q$name\E (\S+)$/m;

    return $value;
}


# wherever they arrive

for my $workers ($slow ? (2, 4) : (1, 2, 4)) {
    start($workers);

    my @pids = $nginx->workers;
    my @sockets = map { $nginx->dir . "/poll/$_" } files();

    is(scalar sockets(), $workers, "$workers: each worker has a socket");
    is(join(' ', map { sprintf '%o', (stat)[2] & 07777 } @sockets,
        $nginx->dir . '/poll'), join(' ', (600) x @sockets, 700),
        'for nginx\'s user alone');

    my @places;

    for my $p (0 .. $#pids) {
        for my $s (0 .. $#pids) {
            my @pushes = $workers > 2 ? ($p + $s) % $workers : 0 .. $#pids;

            push @places, map { [ @pids[$p, $s, $_] ] } @pushes;
        }
    }

    is(wrong(map { round(@$_, 'poll') } @places), '',
        'a scrape finds the poll that is held, and the push finds it');
    is(wrong(map { round(@$_, 'scrape') } @places), '',
        'a poll finds the scrape that waits');

    is(metric('pushproxy_proxied_requests_total{code="200"}'), 2 * @places,
        'and each scrape is counted once');

    last if $workers == 4;

    $nginx->finish;
}


# a reload

{
    my @old = $nginx->workers;

    my $idle = held(new_name(), $old[0]);

    # handed to its client at one worker, from another one

    my ($under_way, $waits) = (new_name(), new_name());
    my $poll = held($under_way, $old[1]);
    my $scrape = asked($under_way, $old[2]);
    my $got = handed($poll, timeout => $patience);

    between($waits, $old[3]);
    my $waiting = waiting($waits, $old[3]);

    $nginx->signal('HUP');

    is(handed($idle, timeout => $patience)->{status}, 204,
        'reload: a poll that is held is answered');
    close $idle;

    my %old = map { $_ => 1 } @old;
    my @new;

    await(sub { @new = grep { !$old{$_} } $nginx->workers; @new == 4 },
        $patience);

    ok(await(sub {
        my @left = grep { $old{$_} } $nginx->workers;
        return @left == 3 && sockets() == 7;
    }, $patience), 'what is not done yet keeps the workers that have a part '
        . 'in it, and their sockets');

    # two wait where they are, and one has the connection of a scraper

    is(answered($got, $under_way, $new[0]), 200,
        'a push at a new worker is for a scrape at an old one');
    is(whole($scrape, $got, $under_way), 'right', 'which is finished');

    my $again = poll($spread, $waits, on => to($new[1]));
    my $last = handed($again, timeout => $patience);

    is(answered($last, $waits, $new[2]), 200,
        'a poll at a new worker is answered by a scrape that waits at an old '
        . 'one');
    is(whole($waiting, $last, $waits), 'right', 'which is finished, too');

    is(wrong(map { round(@$_, 'poll') } [ @new[0, 1, 2] ], [ @new[3, 2, 1] ]),
        '', 'the new workers go on');

    ok(await(sub { !grep { $old{$_} } $nginx->workers }, $patience),
        'the old ones end');
    ok(settled(4), 'and leave no sockets');
}


# A worker is to end just when another one has sent it the beginning of a push,
# on a connection that it is about to close.

{
    my @pids = $nginx->workers;
    my $name = new_name();

    is(round(@pids[0, 0, 1], 'poll'), 'right', 'a connection is kept');

    my $poll = held($name, $pids[0]);
    my $scrape = asked($name, $pids[0]);
    my $got = handed($poll, timeout => $patience);
    my ($push, $body) = (to($pids[1]), body_of($name, $got->{id}));

    ok($nginx->pause($pids[0]), 'it stands still');
    %said = ();

    my $text = answer_of($got->{id}, body => $body);
    send_request($push, raw => join("\r\n", 'POST /push HTTP/1.1',
        'Host: proxy', 'Content-Length: ' . length $text, '', '')
        . substr $text, 0, -length $body);

    # the line comes before its bytes are sent

    ok(await(sub {
        said_yet();
        return grep { /hop to/ } keys %said;
    }, $patience) && await(sub { $nginx->waits($pids[1]) }, $patience),
        'a push begins');

    kill 'QUIT', $pids[0];
    kill 'CONT', $pids[0];

    said("$pids[0]#$pids[0]: gracefully shutting down");
    send_request($push, raw => $body);

    is(read_response($push, timeout => $patience)->{status}, 200,
        'its worker, which is to end, takes the rest of it');
    is(whole($scrape, $got, $name), 'right', 'for its scraper');
    delete $idle{$pids[0]};
    close $_ for $poll, $scrape;

    ok(await(sub { !grep { $_ == $pids[0] } $nginx->workers }, $patience)
        && settled(4), 'before it ends');
}


# Workers are killed. What they held, their clients and scrapers notice by
# themselves; the others must not wait for what can't come.

sub killed {
    my ($pid) = @_;

    kill 'KILL', $pid;
    delete $idle{$pid};

    await(sub { !grep { $_ == $pid } $nginx->workers }, $patience);
    ok(settled(4), 'a worker is killed: another comes, with its socket');
}

{
    my @pids = $nginx->workers;

    # the one that holds the poll

    my $name = new_name();
    my $poll = held($name, $pids[0]);
    killed($pids[0]);

    is(handed($poll)->{status}, 0, 'a poll that it held ends');

    my $scrape = asked($name, $pids[1], timeout => 0.5);
    like(read_response($scrape)->{body}, qr/^\Q$name\E: /,
        'a scrape of the client is told that, in a line');

    is(wrong(map { round($_, $pids[1], $pids[2], 'poll') } $nginx->workers),
        '', 'and the client can come back, to any worker');
}

{
    my @pids = $nginx->workers;

    # the one that gave the poll its answer, for a scrape from another one

    my $name = new_name();
    my $poll = held($name, $pids[0]);
    my $scrape = asked($name, $pids[1]);
    my $got = handed($poll, timeout => $patience);

    killed($pids[0]);

    isnt(answered($got, $name, $pids[2]), 200,
        'a push for a scrape that it had is refused');

    # the client goes on polling, and gets the scrape once more, unless the
    # scraper was told

    my $again = poll($spread, $name, on => to($pids[2]), wait => 1);
    my $next = handed($again, timeout => $patience);

    if ($next->{status} == 200) {
        is(answered($next, $name, $pids[2]), 200, 'the scrape was kept');
        is(whole($scrape, $next, $name), 'right', 'and is answered');

    } else {
        my $answer = read_response($scrape, timeout => $patience);

        is($next->{status}, 204, 'the scrape wasn\'t kept');
        like("$answer->{status} $answer->{body}", qr/^50[234] \Q$name\E: /,
            'and its scraper told why');
    }
}

{
    my @pids = $nginx->workers;

    # the one that a scrape waits at

    my $name = new_name();
    between($name, $pids[0]);
    my $scrape = waiting($name, $pids[1]);
    killed($pids[1]);

    is(read_response($scrape)->{status}, 0, 'a scrape that waited there ends');
    is(handed(poll($spread, $name, on => to($pids[0]), wait => 0),
        timeout => $patience)->{status}, 204,
        'and no poll is for it any more');
}

{
    my @pids = $nginx->workers;

    # the one that the scraper is connected to: its scrape goes with it

    my $name = new_name();
    my $poll = held($name, $pids[0]);
    my $scrape = asked($name, $pids[1]);
    my $got = handed($poll, timeout => $patience);

    killed($pids[1]);

    is(read_response($scrape)->{status}, 0, 'a scraper is cut off');

    push @{ $idle{$pids[2]} }, to($pids[2]);

    my $start = time;
    isnt(answered($got, $name, $pids[2]), 200,
        'the push that comes for it is refused');
    cmp_ok(time - $start, '<', 8, 'at once');
}

# such that held a lock are told by name

$nginx->finish(qr/exited on signal 9|was locked by/);


# all at once, time and again; each body says whose it is

{
    start(2);

    my @clients = map { new_name() } 1 .. 8;
    my ($length, $pause, $few) = $slow ? (10, 3, 0) : (3, 0.7, 20);
    my ($end, $reload) = (time + $length, time + $pause);
    my ($right, $kills, @wrong) = (0, 0);
    my (%poll, %scrape, %asked, %failed, %leaves);

    while (time < $end || ($right <= $few && time < $end + $patience)) {

        # what is to be there

        for my $name (@clients) {
            $poll{$name} //= eval { poll($port, $name) };
            $scrape{$name} //= eval { scrape($port, "http://$name/$number",
                timeout => 3) };
        }

        my $select = IO::Select->new(grep { $_ } values %poll, values %scrape);

        for my $s ($select->can_read(0.2)) {
            my ($name) = grep { $poll{$_} && $poll{$_} == $s } @clients;

            if ($name) {
                my $got = handed($s, timeout => 3);
                delete $poll{$name};

                next unless $got->{id};

                push @wrong, "$name got $got->{uri}"
                    if $got->{uri} !~ m{^http://\Q$name\E/};

                eval { push_answer($port, $got->{id},
                    body => "$got->{uri}\n") };
                next;
            }

            ($name) = grep { $scrape{$_} && $scrape{$_} == $s } @clients;

            my $answer = read_response($s, timeout => 3);
            delete $scrape{$name};

            if ($answer->{status} == 200 && !$answer->{closed}) {
                $right++;
                push @wrong, "$name got $answer->{body}"
                    if $answer->{body} !~ m{^http://\Q$name\E/};

            } else {
                $failed{$answer->{status}}++;
            }
        }

        if (time > $reload) {
            $reload = time + $pause;

            my @pids = $nginx->workers;

            if ($kills++ % 2) {
                my $pid = $pids[rand @pids];
                kill 'KILL', $pid;
                $leaves{$pid} = 1;

            } else {
                $nginx->signal('HUP');
                @leaves{@pids} = ();
            }
        }
    }

    is("@wrong", '', 'reloads and kills: no body goes to a wrong scraper');
    cmp_ok($right, '>', $few, 'and scrapes go on');
    note("$right right, failed: ", join ' ',
        map { "$_ $failed{$_}" } sort keys %failed);

    %poll = %scrape = ();

    # the last of these signals may not have reached nginx yet

    ok(await(sub {
        my @pids = $nginx->workers;
        return @pids == 2 && sockets() == 2
            && !grep { exists $leaves{$_} } @pids;
    }, $patience), 'nothing is left of old workers');
    is(wrong(map { round(($_) x 3, 'poll') } $nginx->workers), '',
        'and each of those that are there works');

    # all of it is killed, and started again

    my @gone = ($nginx->{pid}, $nginx->workers);
    kill 'KILL', @gone;
    await(sub { waitpid($nginx->{pid}, 1) }, $patience);
    await(sub {
        return !grep { Nginx::slurp("/proc/$_/stat") =~ /\) [^ZX]/ } @gone;
    }, $patience);

    my @left = files();
    is(scalar @left, 4, 'an nginx that is killed leaves its sockets');

    %idle = ();
    ($log, %said) = ();
    unlink $nginx->dir . '/logs/error.log';
    $nginx->start;

    my %left = map { $_ => 1 } @left;
    ok(await(sub { !grep { $left{$_} } files() }, $patience),
        'the next one removes them');
    ok(settled(2), 'and has its own');

    $nginx->finish(qr/exited on signal 9|was locked by/);
}


# one process that is all

{
    start(1, main => 'master_process off;');

    is(wrong(map { round(($nginx->{pid}) x 3, $_) } 'poll', 'scrape'), '',
        'without a master process, the only one is a worker, too');

    $nginx->finish;
}

done_testing();
