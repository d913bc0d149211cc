#!/usr/bin/perl

# t/45-poll-replica.t: proxies behind one load balancer say which one they are,
# and send away polls that are for another

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Http qw(request);
use Nginx;
use Poll;
use PollWorkers;


# One that is not held: its answer is there at once.

sub replica {
    return handed(poll($port, 'asker', identity => 'asker',
        wait => 0, @_))
        ->{headers}{'prom-poll-replica'};
}


sub other {
    my ($name, $id, %o) = @_;

    my $answer = handed(poll($port, $name, %o,
        headers => [ "Prom-Poll-Replica: $id" ]));

    return "$answer->{status} $answer->{body}";
}


sub clients { request($port, path => '/clients')->{body} }


my %conf = (poll => 'prom_poll_identity $http_x_identity;');

start(2, %conf);

my $id = replica();

like($id, qr/\A[0-9a-f]{16}\z/, 'an answer without a scrape has an ID');

my @workers = $nginx->workers;
is(@workers, 2, 'two workers');
is(replica(on => to($_)), $id, "worker $_ has the same") for @workers;

# the poll is held at one worker, the scrape may come to the other

for my $pid (@workers) {
    my $name = "c$pid";
    my $poll = poll($port, $name, on => to($pid), identity => $name,
        headers => [ "Prom-Poll-Replica: $id" ]);
    ok(await(sub { clients() =~ /$name/ }), 'one for this replica is held');

    my $scrape = scrape($port, "http://$name/", timeout => 10);
    my $got = handed($poll);
    is($got->{status}, 200, 'and gets a scrape');
    is($got->{headers}{'prom-poll-replica'}, $id, 'with the ID');

    push_answer($port, $got->{id});
    is(scraped($scrape)->{status}, 200, 'which it answers');
}

# what is for another is no poll

my $away = "421 stray: this poll is for another replica, and a new connection "
    . "may lead there\n";

is(other('stray', 'ffffffffffffffff', identity => 'stray'), $away,
    'a poll for another replica is sent away at once');
is(other('stray', $id . '0', identity => 'stray'), $away, 'a longer ID is one');
is(other('stray', '', identity => 'stray'), $away, 'an empty one too');
unlike(clients(), qr/stray/, 'who sent them is not listed');

my $r = ask($port, 'http://stray/', timeout => 10);
is("$r->{status} $r->{body}", "503 stray: no client polls for this name\n",
    'nor known to scrapers');

like(other('stray', 'ffffffffffffffff', identity => 'else'), qr/^403 /,
    'who has not shown the name is told that first');

# how long an ID lives

$nginx->reload;
is(replica(), $id, 'a reload keeps the ID');

start(1, %conf);

my $new = replica();
like($new, qr/\A[0-9a-f]{16}\z/, 'after a start there is one again');
isnt($new, $id, 'another one');

done_testing();
