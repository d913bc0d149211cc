#!/usr/bin/perl

# t/45-poll-rules.t: who may poll, push and scrape, how much and how long

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);

use Nginx;
use Poll;

my $nginx = Nginx->new;
my $port = free_port();
my $h2 = free_port();

my %rules = (
    port => $port,
    zone => 'poll 1m clients=4 timeout=1m',
    http => 'prom_poll_identity $http_x_identity; prom_poll_hold 600ms;',
    server => <<"END",
        listen 127.0.0.1:$h2 http2;
        if (\$http_x_banned) {
            return 403 "banned\\n";
        }
        rewrite ^/elsewhere /other;
END
    scrape => <<'END',
        prom_poll_max_timeout 2s;
        prom_poll_default_timeout 200ms;
        limit_except GET POST {
            deny all;
        }
        if ($http_x_forbidden) {
            return 403 "forbidden\n";
        }
END
);

$nginx->configure(targets => '', http => poll_http(%rules))->start;


sub held {
    my ($name, $number) = @_;

    ok(0, "\"$name\" is not held") unless await(sub {
        my $n = () = $nginx->log =~ /poll of "\Q$name\E" is held/g;
        return $n >= ($number // 1);
    });
}


sub line_is {
    my ($answer, $status, $line, $title) = @_;

    is("$answer->{status} $answer->{body}", "$status $line\n", $title);
}


# identity

line_is(handed(poll($port, 'c1')), 403, 'c1: the client has not shown that '
    . 'this is its name', 'a client without an identity can\'t poll');
line_is(handed(poll($port, 'c1', identity => 'c2')), 403, 'c1: this is not '
    . 'the name of the client, who has shown another', 'nor as another');
line_is(handed(poll($port, 'c1', identity => 'c11')), 403, 'c1: this is not '
    . 'the name of the client, who has shown another', 'nor as one whose name '
    . 'only begins with its own');

line_is(handed(poll($port, 'c1', identity => 'c2,c11,,xc1')), 403, 'c1: this '
    . 'is not the name of the client, who has shown another',
    'nor as one with other names');

{
    my $poll = poll($port, 'C1:9100', identity => 'c11,c1');
    held('c1:9100');

    my $scrape = scrape($port, 'http://c1:9100/', timeout => 9);
    my $id = handed($poll)->{id};

    is(push_answer($port, $id)->{status}, 403,
        'a push needs an identity, too');
    is(push_answer($port, $id, identity => 'c2')->{status}, 403,
        'one of another client is refused');
    is(push_answer($port, $id, identity => 'c2,c11')->{status}, 403,
        'and so are several');
    is(push_answer($port, $id, identity => 'c2,C1')->{status}, 200,
        'the one that was handed the scrape can push, by any of its names');
    is(scraped($scrape)->{body}, "up 1\n", 'and is the answer');
    is(push_answer($port, $id, identity => 'c1')->{status}, 500,
        'but only once');

    $poll = poll($port, '::1', identity => '::1');
    held('[::1]');
    $scrape = scrape($port, 'http://[::1]/', timeout => 9);
    $id = handed($poll)->{id};
    is(push_answer($port, $id, identity => '::1')->{status}, 200,
        'an identity may be an address of IPv6');
    is(scraped($scrape)->{body}, "up 1\n", 'as can a name');
}

# how long

{
    my $start = time;
    my $answer = handed(poll($port, 'c1', identity => 'c1', wait => 60));
    is($answer->{status}, 204, 'a poll that asks for a minute gets 204 after '
        . 'prom_poll_hold');
    cmp_ok(time - $start, '>', 0.5, 'not before');

    is(handed(poll($port, 'c1', identity => 'c1', wait => '0, x'))->{status},
        204, 'one that asks for nothing gets it at once');
    like($nginx->log,
        qr/timer add: -?\d+: 0:\d+\n(?:.*\n){0,9}.*poll of "c1" is held\n/,
        'or in the next moment');

    my $poll = poll($port, 'c1', identity => 'c1');
    held('c1', 3);
    is(handed($poll, timeout => 0.8)->{status}, 0,
        'one that does not ask is held on');

    my $scrape = scrape($port, 'http://c1/', timeout => 100);
    is(handed($poll)->{request}{'x-prometheus-scrape-timeout-seconds'},
        '2', 'a scraper has at most prom_poll_max_timeout');
    is(scraped($scrape)->{status}, 504, 'and no more');

    my $number = 3;

    for my $timeout ('x', '-1', '0', '') {
        $poll = poll($port, 'c1', identity => 'c1');
        held('c1', ++$number);
        $scrape = scrape($port, 'http://c1/', timeout => $timeout);
        is(handed($poll)->{request}{'x-prometheus-scrape-timeout-seconds'},
            '0.200', "with \"$timeout\" as timeout it has the default");
    }
}

# how many

{
    my @there = map { poll($port, $_, identity => s/:9100//r) }
        qw(c1 c1:9100 ::1);
    held('c1', 8);
    held('c1:9100', 2);
    held('[::1]', 2);

    my $poll = poll($port, 'c2', identity => 'c2');
    held('c2');

    line_is(handed(poll($port, 'c3', identity => 'c3')), 503,
        'c3: there are 4 clients already, and no more are taken',
        'no more clients than clients= says');

    close $poll;

    ok(await(sub {
        my $s = poll($port, 'c3', identity => 'c3', wait => 0);
        return handed($s)->{status} == 204;
    }), 'unless one of them is gone');
}

# scrapers

is(ask($port, 'http://c1/', headers => [ 'X-Forbidden: 1' ])->{body},
    "forbidden\n", 'scrapers have rules of their own');
is(ask($port, 'http://c1/', method => 'DELETE')->{status}, 403,
    'also for methods');
is(ask($port, 'http://c1/', headers => [ 'X-Banned: 1' ])->{body}, "banned\n",
    'those of the server come first');
is(ask($port, 'http://absent/elsewhere')->{status}, 503,
    'but its rewrites are not for them');

# HTTP/2

SKIP: {
    my $curl = `curl -V 2>/dev/null`;
    skip 'no curl with HTTP/2', 3 unless $curl =~ /HTTP2/;

    my $h2_poll = "curl -s --http2-prior-knowledge --max-time 10"
        . " -H 'X-Identity: c3' http://127.0.0.1:$h2";

    my $clients = await(sub {
        my $s = `$h2_poll/poll -d c3 -H 'Prefer: wait=0' -w '%{http_code}'`;
        return $s eq '204';
    });
    ok($clients, 'a client can poll by HTTP/2');

    open my $poll, '-|', "$h2_poll/poll -d c3" or die "curl: $!\n";
    held('c3');
    my $scrape = scrape($port, 'http://c3/h2', timeout => 9);
    my ($uri, $id) = do { local $/; <$poll> }
        =~ m{\AGET (\S+) .*^Id: (\S+)\r$}ms;
    is($uri, 'http://c3/h2', 'is given a scrape');

    open my $push, '|-', "$h2_poll/push --data-binary \@- >/dev/null"
        or die "curl: $!\n";
    print $push answer_of($id);
    close $push;
    is(scraped($scrape)->{body}, "up 1\n", 'and can push its answer');
}

$nginx->finish;


# mistakes of the configuration

sub refused {
    my ($title, $said, %o) = @_;

    my $mistaken = Nginx->new;
    my $http = poll_http(port => $port, %o);
    $http = $o{edit}->($http) if $o{edit};
    $mistaken->configure(targets => '', http => $http);

    my ($status, $output) = $mistaken->check;
    like($output, qr/\Q$said\E/, $title);
    isnt($status, 0, 'which is an error');
}

refused('polls without a zone', 'a "prom_poll_zone"',
    edit => sub { $_[0] =~ s/prom_poll_zone.*?;//r });
refused('polls without a way to other workers', 'location "/poll" needs a '
    . '"proxy_pass" to an upstream with "prom_poll_peer"',
    edit => sub { $_[0] =~ s/(prom_poll;\s+)proxy_pass.*?;/$1/r });
refused('no location for other workers', 'a named location with '
    . '"prom_poll_worker" is needed',
    edit => sub { $_[0] =~ s/location \@workers.*?\}//sr });
refused('scrapes at a path', '"prom_poll_scrape" directive must be in a named '
    . 'location', edit => sub { $_[0] =~ s/\@scrape/\/scrape/r });
refused('two of a kind', '"prom_poll_push" directive is in a location that '
    . 'has another purpose', poll => 'prom_poll_push;');
refused('two locations for scrapes', 'the server has "prom_poll_scrape" in '
    . 'location "@more" already', server => 'location @more { '
    . 'prom_poll_scrape; proxy_pass http://prom_poll; }');
refused('a path that is too long', 'is too long, a path of a unix socket '
    . 'leaves it 94 bytes',
    edit => sub { my $long = 'x' x 95; $_[0] =~ s/%%DIR%%\/poll;/\/$long;/r });
refused('an unknown parameter', 'invalid parameter "client=5"',
    zone => 'poll 1m client=5');
refused('no clients', 'invalid parameter "clients=0"',
    zone => 'poll 1m clients=0');
refused('a small zone', 'zone "poll" is too small', zone => 'poll 8k');

done_testing();
