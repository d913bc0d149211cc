#!/usr/bin/perl

# t/45-poll-replay.t: the bytes that PushProx's clients and Prometheus send

# As captured from pushprox-client 0.2.0, from the client of the fork with
# --pull-url (2018), and from Prometheus 2.53.3 with proxy_url. %ID% is the Id
# of a scrape, which is as long here as there.

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Http qw(connection read_response);
use Nginx;

my $name = 'host-1.example';
my $number = 1;

my $poll = crlf(<<'EOF') . $name;
POST /poll HTTP/1.1
Host: 127.0.0.1:18971
User-Agent: Go-http-client/1.1
Content-Length: 14
Content-Type: 
Accept-Encoding: gzip

EOF

my $scrape = crlf(<<'EOF');
GET http://Host-1.example:9100/metrics?a=b+c&a=d%2Fe HTTP/1.1
Host: Host-1.example:9100
User-Agent: Prometheus/2.53.3+ds1
Accept: %ACCEPT%
Accept-Encoding: gzip
X-Prometheus-Scrape-Timeout-Seconds: 5
Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=

EOF

my $accept = join ',', 'application/openmetrics-text;version=1.0.0;q=0.5',
    'application/openmetrics-text;version=0.0.1;q=0.4',
    'text/plain;version=0.0.4;q=0.3', '*/*;q=0.2';

$scrape =~ s/%ACCEPT%/$accept/;

# what a push has around the response that is its body

my $push = <<'EOF';
POST /push HTTP/1.1
Host: 127.0.0.1:18971
User-Agent: Go-http-client/1.1
Content-Length: %LENGTH%
Accept-Encoding: gzip

EOF

my $error = 'failed to scrape http://localhost:1/refused: Get '
    . '"http://localhost:1/refused": dial tcp 127.0.0.1:1: connect: '
    . 'connection refused';

# title, Content-Length of the push as it was captured, the response, and what
# the scraper is to have of it

my @answers = (
    [ 'an answer with its length', 184, crlf(<<'EOF') . "up 1\n", 200,
HTTP/1.1 200 OK
Connection: close
Content-Length: 5
Content-Type: text/plain; version=0.0.4
Id: %ID%
X-Prometheus-Scrape-Timeout: 9.999267

EOF
        "up 1\n" ],

    [ 'a chunked one', 184, crlf(<<'EOF'), 200, "up 1\n" ],
HTTP/1.1 200 OK
Transfer-Encoding: chunked
Content-Type: text/plain; version=0.0.4
Id: %ID%
X-Prometheus-Scrape-Timeout: 9.998943

5
up 1

0

EOF

    [ 'one of HTTP/1.0', 150, crlf(<<'EOF') . "up 1\n", 200, "up 1\n" ],
HTTP/1.0 200 OK
Connection: close
Content-Type: text/plain
Id: %ID%
X-Prometheus-Scrape-Timeout: 9.999071

EOF

    [ "the client's own error", 247, crlf(<<'EOF') . $error, 500, $error ],
HTTP/0.0 500 Internal Server Error
Id: %ID%
X-Prometheus-Scrape-Timeout: 9.999487

EOF
);

# the only line of a body above whose end is a bare newline

$answers[1][2] =~ s/up 1\r\n\r\n/up 1\n\r\n/;


sub crlf {
    my ($text) = @_;

    $text =~ s/\n/\r\n/g;

    return $text;
}


# Each round has a client of its own, whose name is as long: one that polled a
# moment ago is listed still, whether or not its next poll has come.

sub say_to {
    my ($s, $bytes) = @_;

    $bytes =~ s/(host)-1\b/$1-$number/gi;

    return syswrite($s, $bytes) == length $bytes;
}


# One scrape from its begin to its end; the poll is held already.

sub replay {
    my ($c, $answer) = @_;
    my ($title, $length, $response, $status, $body) = @$answer;

    say_to($c->{scraper}, $scrape);

    my $r = read_response($c->{poll}, timeout => 60);
    is($r->{status}, 200, "$title: the poll is answered");
    like($r->{headers}{'content-type'} // '', qr{^text/plain},
        'as plain text');
    is($r->{headers}{'content-length'}, length $r->{body}, 'with its length');

    my ($id) = $r->{body} =~ /\r\nId: ([^\r]*)\r\n/;
    is(length($id // ''), 36, 'with an Id') or return;

    like($r->{body}, qr{\AGET\ http://Host-$number\.example:9100/metrics
        \?a=b\+c&a=d%2Fe\ HTTP/1\.1\r\nHost:\ Host-$number\.example:9100\r\n}x,
        'it is the scrape in its absolute form');
    like($r->{body}, qr/\r\n\r\n\z/, 'and whole');
    like($r->{body}, qr/\r\n\Q$_\E\r\n/, "with its header $_") for grep {
        /^(?:User-Agent|Accept|Accept-Encoding)/
    } split /\r\n/, $scrape;
    like($r->{body}, qr/\r\nX-Prometheus-Scrape-Timeout-Seconds:
        \ (?:5|4\.9\d+)\r\n/x, 'with what is left of its time');
    unlike($r->{body}, qr/Proxy-Authorization|secret/i,
        "without the scraper's password");

    # on the same connection at once, and the push on another one

    say_to($c->{poll}, $poll);

    (my $text = $response) =~ s/%ID%/$id/;
    (my $header = crlf($push)) =~ s/%LENGTH%/$length/;
    is(length $text, $length, 'the response is as long as the captured one');
    say_to($c->{push}, $header . $text);

    $r = read_response($c->{scraper}, timeout => 60);
    is($r->{status}, $status, "the scraper has the status $status");
    is($r->{body}, $body, 'and the body');

    is($r->{headers}{'content-type'}, $1, 'and its type')
        if $response =~ /^Content-Type: ([^\r]*)/m;
    is(join(' ', grep { /^(?:id|x-prom|prom)/ } keys %{ $r->{headers} }), '',
        'and nothing that is between client and proxy');

    $r = read_response($c->{push}, timeout => 60);
    is($r->{status}, 200, 'the push is answered');
    is($r->{headers}{'content-length'}, 0, 'with Content-Length: 0');
    is($r->{body}, '', 'and nothing');

    ok(!$_->{closed}, 'the connection is kept') for $r;
}


sub configured {
    my ($workers) = @_;

    return Nginx->new->configure(workers => $workers, targets => '',
        http => <<'EOF', server => <<'EOF2')->start;
    prom_poll_zone poll 4m;
    prom_poll_path %%DIR%%/poll;
    upstream prom_poll { prom_poll_peer; }
    client_header_buffer_size 4k;
EOF
        proxy_set_header Connection "";
        proxy_request_buffering off;
        proxy_buffering off;
        location = /poll { prom_poll; proxy_pass http://prom_poll; }
        location = /push { prom_poll_push; proxy_pass http://prom_poll; }
        location = /clients { prom_poll_clients; }
        location @scrape {
            prom_poll_scrape;
            proxy_pass http://prom_poll;
        }
        location @workers {
            prom_poll_worker;
            proxy_pass http://prom_poll;
        }
EOF2
}


# of several workers each has what another one asks for, or not, as luck has it

for my $workers (1, 3) {
    my $nginx = configured($workers);

    for my $round (1 .. ($workers > 1 ? 4 : 1)) {
        my %connections = map { $_ => connection($nginx->port) }
            qw(poll push scraper);

        note("$workers workers, round $round");

        $number = $round;
        say_to($connections{poll}, $poll);
        ok(await(sub {
            $nginx->get('/clients')->{body} =~ /"host-$number\.example"/
        }), 'the client is listed');

        replay(\%connections, $_) for @answers;
    }

    # a tunnel isn't what is had here, nor is it a crash

    my $r = $nginx->get('', raw => crlf(<<'EOF'));
CONNECT host-2.example:9100 HTTP/1.1
Host: host-2.example:9100
User-Agent: Go-http-client/1.1
Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=

EOF
    like($r->{status}, qr/^40[05]$/, 'CONNECT is refused');

    $nginx->finish;
}

done_testing();
