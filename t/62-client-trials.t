#!/usr/bin/perl

# t/62-client-trials.t: the poll client, among proxies, exporters and networks
# that misbehave

use warnings;
use strict;

use File::Temp;
use FindBin;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await);
use PollClient qw(free_port);
use PollProxy;

my $dir = File::Temp->newdir;

# They are there before any proxy, as they would keep its port otherwise.

my $exporter = Backend->new;
my $forbidden = Backend->new;
my $other = 'http://127.0.0.1:' . $forbidden->port . '/secret';

my $moved = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 302 Found\r\nLocation: $other\r\n"
        . "Content-Length: 0\r\n\r\n";
    return 1;
});

my $slow = Backend->new(answer => sub {
    my ($s) = @_;
    sleep 1;
    print $s "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n";
    return 1;
});

my $hanging = Backend->new(answer => sub { sleep 60 });

my $proxy = PollProxy->new;

my @quick = ('--proxy.retry.initial-wait=20ms', '--proxy.retry.max-wait=50ms');


sub client {
    my $o = ref $_[0] ? shift : {};
    my @args = @_;

    unshift @args, '--fqdn=127.0.0.1'
        if !grep { /^--(?:fqdn|pull-url=\w+=)/ } @args;

    return PollClient->new($o, '--proxy-url=' . $proxy->url, @quick, @args);
}


# It ends as it should, which it doesn't if a sanitizer complains.

sub ends {
    my ($client, $what) = @_;

    is($client->stop, 0, "$what: it ends in order") or diag $client->log;
}


# The real node_exporter, by HTTP.

my $node_port = free_port();

my $node = fork // die "fork: $!\n";

if ($node == 0) {
    open STDOUT, '>', '/dev/null';
    open STDERR, '>&', \*STDOUT;
    exec $ENV{MP_NODE_EXPORTER} || 'prometheus-node-exporter',
        "--web.listen-address=127.0.0.1:$node_port" or exit 127;
}

END {
    my $status = $?;
    if ($node) {
        kill 'KILL', $node;
        waitpid $node, 0;
    }
    $? = $status;
}

ok(await(60, sub { IO::Socket::IP->new(PeerHost => '127.0.0.1',
    PeerPort => $node_port) }), 'node_exporter listens');

my $node_url = "http://127.0.0.1:$node_port/metrics";
my $client = client();
my $answer = $proxy->scrape($node_url);

is($answer->{status}, 200, 'node_exporter is scraped');
like($answer->{body}, qr/^node_cpu_seconds_total/m, 'its metrics are pushed');
ok($answer->{id}, 'with the Id of the scrape');
ok(exists $answer->{headers}{'content-length'}, 'and their length');

$answer = $proxy->scrape($node_url, headers => [ 'Accept-Encoding: gzip' ]);
is($answer->{headers}{'content-encoding'}, 'gzip', 'gzip passes');
is(substr($answer->{body}, 0, 2), "\x1f\x8b", 'untouched');

# scrapes at the same time, each with its own answer

my @ids = map { $proxy->give("$node_url?collect[]=" . ($_ % 2 ? 'loadavg'
    : 'uname')) } 1 .. 20;
my @wrong = grep {
    $proxy->pushed($ids[$_ - 1])->{body}
        !~ ($_ % 2 ? qr/^node_load1 /m : qr/^node_uname_info/m)
} 1 .. 20;
is("@wrong", '', '20 scrapes at once have their own answers each');

my $resident = $client->resident;
ends($client, 'node_exporter');

# what a pinned URL can be turned to

my $port = $exporter->port;

$client = client('--fqdn=c1', "--pull-url=http://127.0.0.1:$port/pinned");

my @turns = (
    [ "another host", $other ],
    [ "another port", 'http://c1:' . $forbidden->port . '/secret' ],
    [ "another scheme", 'http://c1/secret?_scheme=https' ],
    [ "a path upwards", 'http://c1/../../secret' ],
    [ "an encoded path", 'http://c1/%2e%2e/secret' ],
    [ "a userinfo", 'http://c1@127.0.0.1:' . $forbidden->port . '/' ],
    [ "a userinfo the other way",
        'http://127.0.0.1:' . $forbidden->port . '@c1/' ],
    [ "a backslash", 'http://c1\\@127.0.0.1:' . $forbidden->port . '/' ],
    [ "a fragment", 'http://c1/#@127.0.0.1:' . $forbidden->port . '/' ],
    [ "a file", 'file://c1/etc/passwd' ],
    [ "a name with a dot", 'http://c1./secret' ],
    [ "a query with CRLF", "http://c1/?a=b%0d%0aX: y" ],
    [ "a Host header", 'http://c1/', 'Host: 127.0.0.1:' . $forbidden->port ],
    [ "a header with another URL", 'http://c1/', 'X-Original-URL: /secret',
        'X-Rewrite-URL: /secret' ],
    [ "a method", 'http://c1/', 'X-HTTP-Method-Override: DELETE' ],
);

for my $turn (@turns) {
    my ($what, $url, @headers) = @$turn;

    $exporter->arrived;

    my $id = $proxy->give($url, headers => \@headers);
    my $push = $proxy->request('/push', 3);
    $proxy->answer($push, '') if $push;

    my @lines = map { /\A([^\r\n]*)/ } $exporter->arrived;
    my @bad = grep { !m{^GET /pinned(?:\?\S*)? HTTP/1\.1$} } @lines;

    is("@bad", '', "$what: no other path of the pinned exporter is asked");
}

is(scalar $forbidden->arrived, 0, 'and no other exporter at all');
is($proxy->scrape('http://c1/')->{body}, "GET /pinned HTTP/1.1\n",
    'the pinned URL is scraped still');

# a redirect isn't followed

ends($client, 'a pinned URL');
$client = client('--fqdn=c1', '--pull-url=http://127.0.0.1:' . $moved->port);
is($proxy->scrape('http://c1/')->{status}, 302, 'a redirect is pushed');
is(scalar $forbidden->arrived, 0, 'and not followed');
ends($client, 'a redirect');

# answers to polls that aren't scrapes

my @pages = (
    [ 'a 502 page', "HTTP/1.1 502 Bad Gateway\r\n" ],
    [ 'a 504 page', "HTTP/1.1 504 Gateway Timeout\r\n" ],
    [ 'a 403', "HTTP/1.1 403 Forbidden\r\n" ],
    [ 'a redirect', "HTTP/1.1 302 Found\r\nLocation: $other\r\n" ],
    [ 'a 206', "HTTP/1.1 206 Partial Content\r\n" ],
);
my $page_url = "http://127.0.0.1:$port/page";

$client = client();
$exporter->arrived;

for my $row (@pages) {
    my ($what, $head) = @$row;
    my ($id, $text) = $proxy->scrape_text($page_url);

    $proxy->answer($proxy->poll, '', raw => $head . 'Content-Length: '
        . length($text) . "\r\n\r\n$text");
    ok(!$proxy->request('/push', 0.2), "$what is never a scrape");
}

my ($id, $text) = $proxy->scrape_text($page_url);

my @texts = (
    [ 'a page with 200', '<html><body>login</body></html>' ],
    [ 'nothing', '' ],
    [ 'half a request', substr $text, 0, 40 ],
    [ 'a request without Id', $text =~ s/^Id: .*\r\n//mr ],
    [ 'an Id with a space', $text =~ s/^Id: .*/Id: a b/mr ],
    [ 'no absolute URI', $text =~ s{http://[^/]*}{}r ],
    [ 'a bare LF in a header', $text =~ s/Id: /X: a\nId: /r ],
    [ 'a NUL', $text =~ s/Id: /X: \0\r\nId: /r ],
    [ 'a folded header', $text =~ s/Id: /X: a\r\n b\r\nId: /r ],
    [ '2 MB', $text =~ s/Id: /'X: ' . 'a' x 2_000_000 . "\r\nId: "/er ],
    [ 'a million headers', $text =~ s/Id: /"X: a\r\n" x 200_000 . 'Id: '/er ],
    [ 'random bytes', join '', map { chr int rand 256 } 1 .. 5000 ],
);

for my $row (@texts) {
    my ($what, $text) = @$row;

    $proxy->answer($proxy->poll, $text);
    ok(!$proxy->request('/push', 0.2), "$what is never a scrape");
}

is(scalar $exporter->arrived, 0, 'and no exporter was asked');
ok(await(60, sub {
    my @lines = $client->log =~ /poll failed/g;
    return @lines == @pages + @texts;
}), 'each is in the log, once') or diag $client->log;

# no HTTP at all, and connections that end

for my $raw ("SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n"
    . "\r\nGET http", "HTTP/1.1 200\r\n\r\n", '',
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
{
    $proxy->answer($proxy->poll, '', raw => $raw, close => 1);
}

$proxy->answer($proxy->poll, '', raw => "HTTP/1.1 100 Continue\r\n\r\n" x 20
    . "HTTP/1.1 204 No Content\r\n\r\n");
is($proxy->scrape($node_url)->{status}, 200, 'after all that it scrapes');

# a push that is refused, or isn't answered

my $next = $proxy->give($node_url);
$proxy->answer($proxy->request('/push'), "unknown Id\n", status => 500);
is($proxy->scrape($node_url)->{status}, 200, 'a push that is refused is over');
like($client->log, qr/push failed.*500: unknown Id/, 'and in the log');

$next = $proxy->give($node_url);
$proxy->cut if $proxy->request('/push');
is($proxy->scrape($node_url)->{status}, 200, 'a push that is cut off, too');
$proxy->pushed($next, 1);

$next = $proxy->give($node_url, timeout => 0.5);
my $unanswered = $proxy->request('/push');
is($proxy->scrape($node_url)->{status}, 200,
    'one that isn\'t answered keeps no other one');
ok(await(5, sub { $proxy->idle(0.1); $client->log =~ /push failed.*timeout/ }),
    'and ends at the scrape\'s deadline') or diag $client->log;

# 204 at once, for ever, must not be a busy loop

my ($begin, $empty) = (time, 0);

while (time - $begin < 1) {
    my $poll = $proxy->poll(undef, 0.2) or next;
    $proxy->answer($poll, '', status => 204);
    $empty++;
}

cmp_ok($empty, '<', 100, '204 at once again and again is polled slowly');
ends($client, 'misbehaving proxies');

# a proxy that isn't there, and comes

$proxy->stop;
$client = client();
ok(await(60, sub { $client->log =~ /poll failed.*connection refused/i }),
    'a proxy that isn\'t there is named with the reason');
$proxy = PollProxy->new(port => $proxy->port);
is($proxy->scrape($node_url)->{status}, 200, 'and polled once it is');

$proxy->stop;
$proxy = PollProxy->new(port => $proxy->port);
is($proxy->scrape($node_url)->{status}, 200, 'also if it was started again');
ends($client, 'a restarted proxy');

# several proxies

my $both = PollProxy->new;
$client = client('--proxy-url=' . $both->url);
is($_->scrape($node_url)->{status}, 200, 'each of several proxies is polled')
    for $proxy, $both;
$both->stop;
is($proxy->scrape($node_url)->{status}, 200, 'one that is gone is no matter');
$both = PollProxy->new(port => $both->port);
is($both->scrape($node_url)->{status}, 200, 'and comes back');
ends($client, 'several proxies');
$both->stop;

# no more files than it needs to be there at all

my $few = "$dir/few";
open my $fh, '>', $few or die "$few: $!\n";
print $fh "#!/bin/sh\nulimit -n 16\nexec " . PollClient::program()
    . " \"\$@\"\n";
close $fh or die "$few: $!\n";
chmod 0755, $few;

$client = client({ program => $few });
my @many = map { $proxy->give('http://127.0.0.1:' . $slow->port . '/metrics',
    timeout => 2) } 1 .. 20;
ok(await(60, sub { $proxy->idle(0.1); $client->log =~ /Too many open files/ }),
    'too many scrapes for its open files: the log says so')
    or diag $client->log;
$proxy->pushed($_, 0.1) for @many;
ok(await(60, sub { $proxy->scrape($node_url)->{status} == 200 }),
    'and it goes on after them');
ends($client, 'too few files');

# SIGTERM while it scrapes

$client = client();
$next = $proxy->give('http://127.0.0.1:' . $slow->port . '/metrics');
$slow->requests or sleep 0.05 for 1 .. 100;
$client->signal('TERM');
is($proxy->pushed($next)->{body}, "up 1\n",
    'SIGTERM: the scrape under way is pushed');
is($client->ended(5), 0, 'and then it ends');

$client = client();
$next = $proxy->give('http://127.0.0.1:' . $hanging->port . '/metrics',
    timeout => 30);
$hanging->requests or sleep 0.05 for 1 .. 100;
$client->signal('TERM');
$client->signal('TERM') while !defined $client->ended(0.1);
is($client->{status}, 1, 'a second SIGTERM ends it at once');

done_testing();
