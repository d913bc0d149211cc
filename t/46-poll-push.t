#!/usr/bin/perl

# t/46-poll-push.t: pushes that arrive at another worker than their scrape's
# reach it, streamed as well

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep time);

use Http qw(connection read_response request send_request);
use Nginx;
use Poll;

my $slow = $ENV{MP_SLOW} ? 10 : 1;
my $port = free_port();
my $h2 = free_port();
my $name = 'c1';
my $version = '1.1';

# so that the kernel shares connections out among the workers

my $nginx = Nginx->new->configure(targets => '', workers => 3,
    http => poll_http(port => free_port(), server => "
        listen 127.0.0.1:$port reuseport;
        listen 127.0.0.1:$h2 reuseport http2;
        error_log %%DIR%%/logs/error.log info;",
        push => 'prom_poll_header_size 2k; client_body_buffer_size 4k;'))
    ->start;

# a client that closes its connection is gone until it has polled again

my @open;

my $first = poll($port, $name);
await(sub { request($port, path => '/clients')->{body} =~ /$name/ });

sub start_scrape {
    my $poll = $first // poll($port, $name);
    undef $first;
    push @open, $poll;

    my $s = scrape($port, "http://$name/", timeout => 10 * $slow,
        version => $version);
    my $handed = handed($poll);

    # poll and scrape may cross on their ways to each other's worker

    while ($handed->{status} == 204) {
        push @open, poll($port, $name);
        $handed = handed($open[-1]);
    }

    return ($s, $handed->{id} || die "no scrape was handed out\n");
}

sub chunks {
    return join '', (map { sprintf "%x\r\n%s\r\n", length, $_ } @_),
        "0\r\n\r\n";
}

# Pushes in pieces, with a moment between them.

sub push_slowly {
    my ($head, @pieces) = @_;

    my $s = connection($port);
    send_request($s, raw => "POST /push HTTP/1.1\r\nHost: p\r\n$head\r\n\r\n");

    for my $piece (@pieces) {
        sleep 0.003;
        send_request($s, raw => $piece);
    }

    return $s;
}

# How many pushes went from one worker to another.

sub hops {
    my $hops = () = Nginx::slurp($nginx->dir . '/logs/access.log')
        =~ m{^unix: .* "POST /push }mg;

    return $hops;
}

# Runs something for as many connections as it takes for some to hop, and
# tests that it was right each time.

sub each_way {
    my ($promise, $sub) = @_;

    my ($before, $right, $tries) = (hops(), 0, 0);

    while ($tries < 8 || (hops() - $before < 2 && $tries < 60)) {
        $tries++;
        my ($s, $id) = start_scrape();
        $right += $sub->($s, $id) ? 1 : 0;
    }

    is($right, $tries, $promise);
    cmp_ok(hops() - $before, '>=', 2, '... some of them at another worker');
}

sub whole {
    my ($s, $push, $body) = @_;

    my $got = scraped($s);
    my $pushed = read_response($push);

    return 1 if $got->{body} eq $body && $got->{status} == 200
        && $pushed->{status} == 200;
    diag("scrape: $got->{raw}\npush: $pushed->{raw}");
    return 0;
}

my $body = join '', map { "metric_$_ 1\n" } 1 .. 2000;
my $length = length $body;

each_way('pushes at once', sub {
    my ($s, $id) = @_;

    my $text = answer_of($id, body => $body);
    return whole($s, push_slowly('Content-Length: ' . length $text, $text),
        $body);
});

each_way('pushes in pieces', sub {
    my ($s, $id) = @_;

    my $text = answer_of($id, body => $body);
    return whole($s, push_slowly('Content-Length: ' . length $text,
        $text =~ /\A(.{10})(.{40})(.{90})(.{3000})(.*)\z/s), $body);
});

each_way('pushes in chunks', sub {
    my ($s, $id) = @_;

    my $text = answer_of($id, body => $body, chunked => 1);
    return whole($s, push_slowly('Transfer-Encoding: chunked',
        chunks($text =~ /(.{1,700})/gs)), $body);
});

each_way('pushes in chunks and pieces', sub {
    my ($s, $id) = @_;

    my $text = chunks(answer_of($id, body => $body, chunked => 1)
        =~ /(.{1,700})/gs);
    return whole($s, push_slowly('Transfer-Encoding: chunked',
        $text =~ /\A(.{10})(.{40})(.{90})(.{1,3000})(.*)\z/s), $body);
});

each_way('pushes that wait for a 100', sub {
    my ($s, $id) = @_;

    my $text = answer_of($id);
    my $push = push_slowly("Expect: 100-continue\r\nContent-Length: "
        . length $text);
    sysread $push, my $continue, 100;
    send_request($push, raw => $text);

    return whole($s, $push, "up 1\n");
});

each_way('pushes without a length', sub {
    my ($s, $id) = @_;

    my $text = "HTTP/1.0 200 OK\r\nId: $id\r\n\r\n$body";
    return whole($s, push_slowly('Content-Length: ' . length $text,
        substr($text, 0, 50), substr $text, 50), $body);
});

each_way('pushes with a mistake in the header', sub {
    my ($s, $id) = @_;

    my $text = "HTTP/1.1 200 OK\r\nId: $id\r\nX\r\n\r\n";
    my $push = push_slowly('Content-Length: ' . length $text, $text);

    return scraped($s)->{status} == 502
        && read_response($push)->{status} == 400;
});


each_way('pushes that break off in the body', sub {
    my ($s, $id) = @_;

    my $push = push_slowly('Content-Length: 100000', "HTTP/1.1 200 OK\r\n"
        . "Id: $id\r\nContent-Length: 50000\r\n\r\n" . 'x' x 20000);
    sysread $s, my $bytes, 10;
    close $push;
    my $start = time;
    my $got = scraped($s);

    return $got->{closed} && time - $start < 2 * $slow;
});

# HTTP/1.0 has no other way to tell

$version = '1.0';

each_way('... to scrapers of HTTP/1.0', sub {
    my ($s, $id) = @_;

    my $push = push_slowly('Content-Length: 100000', "HTTP/1.1 200 OK\r\n"
        . "Id: $id\r\n\r\n" . 'x' x 20000);
    sysread $s, my $bytes, 10;
    close $push;
    1 while sysread $s, $bytes, 65536;

    return $!{ECONNRESET};
});

each_way('... which get whole ones, too', sub {
    my ($s, $id) = @_;

    my $text = answer_of($id, body => $body, chunked => 1);
    return whole($s, push_slowly('Content-Length: ' . length $text, $text),
        $body);
});

$version = '1.1';

each_way('pushes whose scraper goes away', sub {
    my ($s, $id) = @_;

    my $push = push_slowly('Content-Length: 100000', "HTTP/1.1 200 OK\r\n"
        . "Id: $id\r\nContent-Length: 50000\r\n\r\n" . 'x' x 20000);
    sysread $s, my $bytes, 10;
    close $s;

    return read_response($push)->{status} == 500;
});

each_way('pushes for nobody', sub {
    my ($s, $id) = @_;

    my $text = answer_of($id);
    my $push = push_slowly('Content-Length: ' . length $text, $text);
    my $ok = whole($s, $push, "up 1\n");
    my $pushed = read_response(push_slowly('Content-Length: ' . length $text,
        $text));

    return $ok && $pushed->{status} == 500 && $pushed->{body} =~ /^unknown Id/;
});

# large ones, whose bodies no worker keeps

sub memory {
    my $kb = 0;

    for my $worker ($nginx->workers) {
        Nginx::slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m;
        $kb += $1;
    }

    return $kb;
}

my $before = memory();

each_way('large pushes', sub {
    my ($s, $id) = @_;

    my $large = $body x ($ENV{MP_SLOW} ? 20 : 200);
    my $text = answer_of($id, body => $large);
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my $push = push_slowly('Content-Length: ' . length $text, $text);
        POSIX::_exit(read_response($push)->{status} == 200 ? 0 : 1);
    }

    my $got = scraped($s);
    waitpid $pid, 0;

    return $got->{body} eq $large && $? == 0;
});

cmp_ok(memory() - $before, '<', 6000, '... for which no memory is needed')
    if !$ENV{MP_SLOW};

SKIP: {
    skip 'curl has no HTTP/2', 4 if `curl --version 2>&1` !~ /\bHTTP2\b/;

    my $file = $nginx->dir . '/response';

    my $by_h2 = sub {
        my ($promise, $body, @curl) = @_;

        each_way($promise, sub {
            my ($s, $id) = @_;

            $nginx->write('response', answer_of($id, body => $body));
            my $status = `curl -s -m 20 -o $file.out -w '%{http_code}' \\
                --http2-prior-knowledge @curl http://127.0.0.1:$h2/push \\
                2>&1 < $file`;
            my $got = scraped($s);

            return 1 if $got->{body} eq $body && $status eq '200';
            diag("$got->{status} " . length($got->{body}) . " $status "
                . Nginx::slurp("$file.out"));
            return 0;
        });
    };

    $by_h2->('pushes by HTTP/2', $body, "--data-binary \@$file");
    $by_h2->('large ones', $body x 20, '-X POST -T -');
}

$nginx->finish;
done_testing();
