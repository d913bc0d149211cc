#!/usr/bin/perl

# t/45-poll.t: polls that are held, and scrapes that are their answers

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);

use Http qw(connection request);
use Nginx;
use Poll;

my $nginx = Nginx->new;
my $port = free_port();

$nginx->configure(targets => '', http => poll_http(port => $port))->start;


# the log is the only witness of what waits

sub seen {
    my ($line, $number) = @_;

    ok(0, "not in the log: $line") unless await(sub {
        my $n = () = $nginx->log =~ /\Q$line\E/g;
        return $n >= ($number // 1);
    });
}


sub held {
    my ($name, $number) = @_;

    seen("poll of \"$name\" is held", $number);
}


sub line_is {
    my ($answer, $status, $line, $title) = @_;

    is("$answer->{status} $answer->{body}", "$status $line\n", $title);
}


# the thin path

{
    my $poll = poll($port, 'C1.example');
    held('c1.example');

    my $scrape = scrape($port, 'http://c1.Example:9100/metrics?a=b%2Fc',
        timeout => 10, headers => [ 'User-Agent: Prometheus/2.53',
            'Accept: text/plain', 'Id: mine', 'Authorization: Basic eA==',
            'Proxy-Authorization: Basic eA==', 'Proxy-Connection: close',
            'Connection: X-Hop', 'X-Hop: 1', 'TE: trailers',
            'Prom-Poll: scrape 0 other http://other/' ]);

    my $got = handed($poll);

    is($got->{status}, 200, 'a poll is answered by a scrape');
    is($got->{headers}{'content-type'}, 'text/plain; charset=utf-8',
        'as plain text');
    is($got->{uri}, 'http://c1.Example:9100/metrics?a=b%2Fc',
        'it has the URI, as it came');
    is($got->{request}{host}, 'c1.Example:9100', 'its host');
    is($got->{request}{accept}, 'text/plain', 'the headers of the scraper');
    is($got->{request}{authorization}, 'Basic eA==', 'what it has for the '
        . 'target, too');
    like($got->{request}{'x-prometheus-scrape-timeout-seconds'},
        qr/^(10|9\.9\d\d)$/, 'the timeout');
    like($got->{id}, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
        'and an Id in the form of a UUID');
    unlike($got->{body}, qr/^(?:Proxy-|Connection|X-Hop|TE|Prom-Poll)/mi,
        'but nothing that was meant for the proxy');
    like($got->{body}, qr/\r\n\r\n\z/, 'and it ends where a request ends');

    my $push = push_answer($port, $got->{id},
        headers => [ 'Content-Type: text/plain; version=0.0.4',
            'X-Prometheus-Scrape-Timeout: 9.9' ]);
    my $answer = scraped($scrape);

    is($push->{status}, 200, 'a push is accepted');
    is($push->{body}, '', 'with an empty body');
    is($answer->{status}, 200, 'and is the answer of the scrape');
    is($answer->{body}, "up 1\n", 'with its body');
    is($answer->{headers}{'content-type'}, 'text/plain; version=0.0.4',
        'and its type');
    ok(!grep({ exists $answer->{headers}{$_} } 'id',
        'x-prometheus-scrape-timeout'), 'without what is for the proxy');

    my $again = handed(poll($port, 'c1.example', on => $poll, wait => 1));
    is($again->{status}, 204, 'the connection can poll again, and a poll that '
        . 'asks for a limit gets 204 when there is no scrape');
}

# names

for ([ '', 'an empty one' ], [ " \r\n", 'white space' ],
    [ 'a b', 'one with a space' ], [ 'a"b', 'one with a quote' ],
    [ "a\nb", 'one with a newline' ], [ 'a/b', 'one with a slash' ],
    [ '..', 'dots' ], [ "\xff\xfe", 'bytes' ], [ 'a:0', 'port 0' ],
    [ 'a:65536', 'a port too large' ], [ 'a:', 'an empty port' ],
    [ '[1', 'half an address' ], [ '[::1]x', 'an address and more' ],
    [ 'a' x 256, 'one of 256 bytes' ], [ 'a' x 2000, 'one of 2000 bytes' ])
{
    my ($name, $title) = @$_;

    line_is(handed(poll($port, $name)), 400, 'a poll\'s body is the name of '
        . 'its client: letters, digits and "._-", at most 255 bytes, with '
        . ':PORT or without', "as a name, $title is refused");
}

is(handed(poll($port, 'a' x 5000))->{status}, 413,
    'a body of more than client_max_body_size, too');

for ([ ' C2 ', 'c2', 'http://c2/' ],
    [ 'a' x 255, 'a' x 255, 'http://' . 'a' x 255 . '/' ],
    [ 'c3:9100', 'c3:9100', 'http://C3:9100/x' ],
    [ 'c4:80', 'c4:80', 'http://c4/' ],
    [ 'c5:443', 'c5:443', 'https://c5/' ],
    [ '::1', '[::1]', 'http://[::1]:9100/' ],
    [ '[::2]:9100', '[::2]:9100', 'http://[::2]:9100/' ],
    [ 'c6.x-y', 'c6.x-y', 'http://c6.x-y?q' ])
{
    my ($name, $held, $url) = @$_;

    my $poll = poll($port, $name);
    held($held);
    my $scrape = scrape($port, $url);

    is(handed($poll)->{uri}, $url =~ s/\?q/\/?q/r, substr($url, 0, 40)
        . ' is a scrape of "' . substr($name, 0, 20) . '"');
}

# scrapes that can't be

line_is(ask($port, 'http://nobody:9100/metrics'), 503,
    'nobody: no client polls for this name', 'without a client, 503 at once');

for ('ftp://c1/', 'http://', 'http://:80/', 'http://u@c1/', 'http://u:p@c1/',
    'http://c1:x/', 'http://c1:0/', 'http://c1:65536/', 'http://[::1/')
{
    is(ask($port, $_)->{status}, 400, "$_ is refused");
}

line_is(ask($port, 'ftp://c1/'), 400, 'a scrape\'s URI is '
    . 'http://HOST[:PORT][/PATH] or https://..., without a user',
    'with a line that says what is allowed');

is(ask($port, 'http://nobody/poll')->{status}, 503,
    'a path of ours means nothing in a scrape');
is(ask($port, 'http://nobody/other')->{status}, 503,
    'nor does that of another location');
is(request($port, path => '/other')->{body}, "other\n",
    'which is there for all that is no scrape');

# deadlines

{
    my $poll = poll($port, 'slow');
    held('slow');

    my $start = time;
    my $scrape = scrape($port, 'http://slow/', timeout => '0.3');
    my $got = handed($poll);

    like($got->{request}{'x-prometheus-scrape-timeout-seconds'},
        qr/^0\.(?:300|2\d\d)$/, 'a timeout of less than a second is passed on');
    line_is(scraped($scrape), 504, 'slow: its client was given the scrape but '
        . 'has not answered within the scrape timeout of 0.300s',
        'a scrape that isn\'t answered ends with its timeout');
    cmp_ok(time - $start, '<', 8, 'soon');

    is(push_answer($port, $got->{id})->{status}, 500,
        'and its Id means nothing then');

    $start = time;
    line_is(ask($port, 'http://slow/'), 503, 'slow: no client polls for this '
        . 'name', 'a client that let it pass, and has not polled since, is '
        . 'gone');
    cmp_ok(time - $start, '<', 2, 'at once');

    poll($port, 'slow', on => $poll);
    held('slow', 2);
    $scrape = scrape($port, 'http://slow/', timeout => 10);
    $got = handed($poll);

    line_is(ask($port, 'http://slow/', timeout => '0.2'), 504, 'slow: its '
        . 'client has not polled again within the scrape timeout of 0.200s',
        'a client that was just handed a scrape is there, so another waits');

    $scrape = scrape($port, 'http://slow/second');
    seen('scrape of "slow" waits', 2);
    $got = handed(poll($port, 'slow', on => $poll));
    is($got->{uri}, 'http://slow/second', 'for its next poll');
    push_answer($port, $got->{id});
    is(scraped($scrape)->{body}, "up 1\n", 'which it is the answer of');
}

# a poller that goes away

{
    my $poll = poll($port, 'gone');
    held('gone');
    close $poll;

    my $start = time;
    line_is(ask($port, 'http://gone/'), 503,
        'gone: no client polls for this name', 'once a poller has closed, its '
        . 'next scrape fails');
    cmp_ok(time - $start, '<', 8, 'at once');

    my $old = poll($port, 'gone');
    held('gone', 2);
    my $new = poll($port, 'gone');
    held('gone', 3);
    close $new;

    my $scrape = scrape($port, 'http://gone/');
    my $got = handed($old);
    is($got->{status}, 200, 'or goes to another poll that waits');
    close $scrape;
    ok(await(sub { push_answer($port, $got->{id})->{status} == 500 }),
        'a scraper that goes away takes its Id along');
}

# more than one of a name

{
    my @polls = map { my $s = poll($port, 'many'); held('many', $_); $s }
        1 .. 16;
    push @polls, poll($port, 'many');

    line_is(handed($polls[0]), 408, 'many: 16 newer polls are held for this '
        . 'name', 'a name has no more than 16 polls, the oldest gives way');

    my $scrape = scrape($port, 'http://many/');
    is(handed($polls[16])->{status}, 200, 'and the newest is answered first');
}

# labels

for ([ 'a="1', 'an open value' ], [ 'a', 'no value' ], [ '1a="x"', 'a digit' ],
    [ 'a="x"b="y"', 'no comma' ], [ 'a="\\x"', 'an unknown escape' ],
    [ "a=\"\xff\"", 'no UTF-8' ])
{
    my ($labels, $title) = @$_;

    line_is(handed(poll($port, 'labels', labels => $labels)), 400,
        'labels: its Prom-Poll-Labels aren\'t NAME="VALUE", with \\\\, \" and '
        . '\n in UTF-8, between commas', "labels with $title are refused");
}

like(handed(poll($port, 'labels', labels => 'a="1",a="2"'))->{body},
    qr/have a name twice/, 'labels with a name twice');
like(handed(poll($port, 'labels', labels => 'a="' . 'x' x 2048 . '"'))->{body},
    qr/are too long, 2048 bytes are allowed/, 'labels that are too long');

{
    my $poll = poll($port, 'labels', labels =>
        'a="b\\"\\\\\\n", __meta="x",job="x" ,instance="x",env="prod"');
    held('labels');
    my $clients = request($port, path => '/clients')->{body};

    like($clients, qr/\{"targets":\["labels"\],"labels":\{"a":"b\\"\\\\\\u000a",
        "env":"prod"/x, 'labels are listed, but none that are Prometheus\' '
        . 'own');
}

# versions and methods of HTTP

{
    my $poll = connection($port);
    syswrite $poll, "POST /poll HTTP/1.0\r\nContent-Length: 3\r\n\r\nold";
    held('old');

    my $scrape = scrape($port, 'http://old/', version => '1.0');
    my $got = handed($poll);

    is($got->{status}, 200, 'a client may speak HTTP/1.0');
    push_answer($port, $got->{id});
    is(scraped($scrape)->{body}, "up 1\n", 'and a scraper');

    $poll = poll($port, 'methods');
    held('methods');
    $scrape = scrape($port, 'http://methods/', method => 'POST',
        body => 'a=b');
    $got = handed($poll);
    is($got->{method}, 'POST', 'a scrape may have another method');
    is($got->{request}{'content-length'}, 3, 'and a body');
    like($got->{body}, qr/\r\n\r\na=b\z/, 'which goes along');

    line_is(ask($port, 'http://methods/', body => 'x' x 8193), 413,
        'methods: a scrape\'s body can\'t be larger than 8192 bytes',
        'unless it is large');
}

# nothing is left

$nginx->finish;

done_testing();
