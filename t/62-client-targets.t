#!/usr/bin/perl

# t/62-client-targets.t: exporters that the poll client asks: slow, broken,
# large, at unix sockets and behind TLS

use warnings;
use strict;

use File::Temp;
use FindBin;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await);
use Http qw(connection);
use PollClient qw(free_port write_to);
use PollProxy;

my $dir = File::Temp->newdir;
chmod 0755, $dir;

my $big = 100 << 20;

# What an exporter answers, by the path that it is asked for.

my %answers = (
    breaks => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nup 1\n",
    chunks => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "5\r\nup 1\n\r\n",
    nothing => '',
    noise => "no HTTP at all\r\n\r\n",
    status => "HTTP/1.1 999 Whatever\r\nContent-Length: 0\r\n\r\n",
    short => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nup 1\n",
    old => "HTTP/1.0 200 OK\r\n\r\nup 1\n",
    header => "HTTP/1.1 200 OK\r\nX: " . 'a' x 200_000 . "\r\n\r\nup 1\n",
    headers => "HTTP/1.1 200 OK\r\n" . "X: a\r\n" x 100_000 . "\r\nup 1\n",
    split => "HTTP/1.1 200 OK\r\nX-A: b\rId: c\r\nContent-Length: 5\r\n\r\n"
        . "up 1\n",
    two => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
        . "up 1\n",
    own => "HTTP/1.1 200 OK\r\nId: other\r\nX-Prometheus-Scrape-Timeout: 1\r\n"
        . "Connection: X-Hop, close\r\nX-Hop: a\r\nContent-Length: 5\r\n\r\n"
        . "up 1\n",
    continue => "HTTP/1.1 100 Continue\r\n\r\n" x 3
        . "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n",
    empty => "HTTP/1.1 204 No Content\r\n\r\n",
);

my $exporter = Backend->new(answer => \&answer);
my $unix = Backend->new(path => "$dir/exporter.sock");
chmod 0777, "$dir/exporter.sock";

my $proxy = PollProxy->new;
my $base = 'http://127.0.0.1:' . $exporter->port;


sub answer {
    my ($s, $request) = @_;

    my ($path) = $request =~ m{^\w+ /(\w*)};

    if ($path eq 'hang') {
        sleep 60;

    } elsif ($path eq 'drip') {
        print $s "HTTP/1.1 200 OK\r\n\r\n";

        for (1 .. 100) {
            print $s "up $_\n";
            $s->flush;
            sleep 0.1;
        }

    } elsif ($path eq 'big' || $path eq 'half' || $path eq 'endless') {
        my $block = "metric_$path 1\n" x 4096;
        my $left = $path eq 'half' ? $big / 10 : $big;

        print $s "HTTP/1.1 200 OK\r\n"
            . ($path eq 'endless' ? '' : "Content-Length: $big\r\n") . "\r\n";

        while ($left > 0 || $path eq 'endless') {
            $block = substr $block, 0, $left
                if $left < length $block && $path ne 'endless';
            print $s $block or last;
            $left -= length $block;
        }

    } else {
        print $s $answers{$path} // "HTTP/1.1 404 Not Found\r\n\r\n";
    }

    $s->flush;
    return 0;
}


sub client {
    my @args = @_;

    return PollClient->new('--proxy-url=' . $proxy->url, '--fqdn=127.0.0.1',
        '--proxy.retry.initial-wait=20ms', '--proxy.retry.max-wait=50ms',
        @args);
}


# Takes a push that is too long to be kept: how many bytes of its body came,
# and if it ended as a whole.

sub take_push {
    my ($seconds, $each) = @_;

    my $listen = $proxy->{listen};
    my ($end, $text, $bytes, $whole) = (time + $seconds, '', 0, 0);
    my $select = IO::Select->new($listen,
        map { $_->{socket} } values %{ $proxy->{connections} });
    my $push;

    while (time < $end) {
        for my $s ($select->can_read(0.2)) {
            if ($s == $listen) {
                $select->add($listen->accept);
                next;
            }

            my $n = sysread $s, my $piece, 262144;

            if (!$n) {
                $select->remove($s);
                return ($bytes, $whole) if $push && $s == $push;
                next;
            }

            if (!$push && $piece =~ m{^POST /push}) {
                $push = $s;
            }

            next if !$push || $s != $push;

            $bytes += $n;
            $text = substr $text . $piece, -40;
            $each->($bytes) if $each;

            if ($text =~ /\r\n0\r\n\r\n\z/ || $bytes >= $big) {
                $whole = 1;
                print $s "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                $s->flush;
                return ($bytes, $whole);
            }
        }
    }

    return ($bytes, $whole);
}


my $client = client();

# what the scraper gets of a wrong answer: status, and the reason

my @cases = (
    [ 'breaks', 500, qr/the target broke off/ ],
    [ 'chunks', 500, qr/the target broke off|chunk/ ],
    [ 'nothing', 500, qr/closed the connection without an answer/ ],
    [ 'noise', 500, qr/HTTP\/0\.9|header/ ],
    [ 'short', 200, qr/\Aup \z/ ],
    [ 'old', 200, qr/\Aup 1\n\z/ ],
    [ 'header', 500, qr/longer|large/i ],
    [ 'headers', 500, qr/longer|large|many/i ],
    [ 'continue', 200, qr/\Aup 1\n\z/ ],
    [ 'empty', 204, qr/\A\z/ ],
);

for my $case (@cases) {
    my ($path, $status, $says) = @$case;
    my $answer = $proxy->scrape("$base/$path");

    is($answer->{status}, $status, "$path: the scraper gets $status")
        or diag $answer->{body};
    like($answer->{body}, $says, '  and why');
    like($answer->{body}, qr{\Q$base/$path}, '  and of whom')
        if $status == 500;
}

my $answer = $proxy->scrape("$base/own");
is_deeply([ map { scalar(() = $answer->{push}{body} =~ /^$_:/mgi) } qw(Id
    X-Prometheus-Scrape-Timeout X-Hop Connection) ], [ 1, 0, 0, 0 ],
    'an exporter\'s own Id, timeout and hop-by-hop headers go nowhere');
ok($answer->{id}, 'the Id is the scrape\'s');

$answer = $proxy->scrape("$base/split");
unlike($answer->{push}{body}, qr/^Id: c/m, 'a bare CR makes no header')
    or diag $answer->{push}{body};

for my $path (qw(two status)) {
    $answer = $proxy->scrape("$base/$path");
    ok($answer->{status} >= 500 || $answer->{body} eq '' , "$path: no body")
        or diag "$answer->{status} $answer->{body}";
}

# deadlines

for my $path (qw(hang drip)) {
    my $start = time;
    $answer = $proxy->scrape("$base/$path", timeout => 1);

    is($answer->{status}, 500, "$path: the scraper gets 500");
    like($answer->{body}, qr/took longer than the scrape timeout of 1s/,
        '  with the reason');
    cmp_ok(time - $start, '<', 20, '  at its deadline');
}

$answer = $proxy->scrape("http://127.0.0.1:1/metrics");
like($answer->{body}, qr/127\.0\.0\.1:1\b.*connect.*: Connection refused/,
    'nobody there: the scraper reads where and why');

# a name that doesn't exist, by another client that is asked for it

my $named = client('--fqdn=nowhere.invalid');
$answer = $proxy->scrape('http://nowhere.invalid/metrics',
    name => 'nowhere.invalid');
is($answer->{status}, 500, 'a name that doesn\'t exist: 500');
like($answer->{body}, qr/resolve/i, '  with the reason');
is($named->stop, 0, 'it ends in order');
is($client->stop, 0, 'and the other one, too') or diag $client->log;

# 100 MB: both ways streamed

my ($most, $bytes, $whole) = (0);

$client = client();
my $id = $proxy->give("$base/big", timeout => 60);
my $before = $client->resident;

($bytes, $whole) = take_push(60, sub {
    my $kb = $client->resident;
    $most = $kb if $kb > $most;
});

cmp_ok($bytes, '>=', $big, '100 MB are pushed');
ok($whole, 'as a whole');

SKIP: {
    # the sanitizers keep what was freed

    skip 'built with a sanitizer', 1 if $before > 30_000;
    cmp_ok($most - $before, '<', 4096, 'and not kept in memory');
}

is($client->stop, 0, 'it ends in order') or diag $client->log;

$client = client();
$proxy->give("$base/half", timeout => 60);
($bytes, $whole) = take_push(60);
cmp_ok($bytes, '>', 0, 'a long answer that breaks off is pushed halfway');
ok(!$whole, 'and broken off there, so that it never looks whole');
is($client->stop, 0, 'it ends in order') or diag $client->log;

$client = client();
$proxy->give("$base/endless", timeout => 2);
my $start = time;
($bytes, $whole) = take_push(20, sub { sleep 0.001 });
ok(1, 'an endless one was ended');
cmp_ok(time - $start, '<', 15, 'at the deadline');
$client->stop;

# unix sockets

$client = client("--pull-url=s=unix:$dir/exporter.sock:/own",
    "--pull-url=t=unix:$dir/none.sock");
is($proxy->scrape('http://s/metrics', name => 's')->{body},
    "GET /own HTTP/1.1\n", 'a unix socket is scraped, at its own path');
$answer = $proxy->scrape('http://t/', name => 't');
like($answer->{body}, qr/none\.sock.*No such file/i,
    'one that isn\'t there is named') or diag $answer->{body};
is($client->stop, 0, 'it ends in order') or diag $client->log;

# TLS: the exporter is nginx, with a certificate of a private CA

sub openssl {
    system("cd $dir && openssl $_[0] >/dev/null 2>&1") == 0
        or die "openssl $_[0]\n";
}

for my $ca (qw(ca other)) {
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
        . "-nodes -keyout $ca.key -out $ca.crt -days 2 -subj /CN=$ca");
}

for my $name (qw(server client)) {
    write_to("$dir/$name.ext", $name eq 'server'
        ? "subjectAltName=IP:127.0.0.1\n" : "extendedKeyUsage=clientAuth\n");
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        . "-keyout $name.key -out $name.csr -subj /CN=$name");
    openssl("x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -days 2 "
        . "-CAcreateserial -extfile $name.ext -out $name.crt");
}

my $tls = free_port();
my $proxy_port = $proxy->port;

write_to("$dir/nginx.conf", <<"END");
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_processes 1;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    ssl_certificate $dir/server.crt;
    ssl_certificate_key $dir/server.key;
    ssl_client_certificate $dir/ca.crt;
    ssl_verify_client optional;
    server {
        listen 127.0.0.1:$tls ssl;
        location / { return 200 "up 1 \$ssl_client_s_dn\\n"; }
        location /poll { proxy_pass http://127.0.0.1:$proxy_port; }
        location /push { proxy_pass http://127.0.0.1:$proxy_port; }
    }
}
END

my $nginx = fork // die "fork: $!\n";

if ($nginx == 0) {
    open STDERR, '>', "$dir/stderr";
    exec $ENV{MP_NGINX} || 'nginx', '-e', "$dir/error.log", '-p', "$dir",
        '-c', "$dir/nginx.conf" or POSIX::_exit(127);
}

END {
    my $status = $?;
    if ($nginx) {
        kill 'QUIT', $nginx;
        waitpid $nginx, 0;
    }
    $? = $status;
}

ok(await(60, sub { eval { connection($tls) } }), 'nginx listens by TLS');

my $url = "http://127.0.0.1:$tls/metrics?_scheme=https";

my @tls = (
    [ 'no CA', 500, qr/certificate/ ],
    [ 'another CA', 500, qr/certificate/, "--target.cacert=$dir/other.crt" ],
    [ '--target.cacert', 200, qr/^up 1 \n/, "--target.cacert=$dir/ca.crt" ],
    [ '--tls.cacert', 200, qr/^up 1 \n/, "--tls.cacert=$dir/ca.crt" ],
    [ '--target.cert', 200, qr/^up 1 CN=client\n/,
        "--target.cacert=$dir/ca.crt", "--target.cert=$dir/client.crt",
        "--target.key=$dir/client.key" ],
    [ 'a pinned https URL', 200, qr/^up 1 \n/,
        "--pull-url=https://127.0.0.1:$tls/", "--tls.cacert=$dir/ca.crt" ],
);

for my $row (@tls) {
    my ($what, $status, $says, @flags) = @$row;

    $client = client(@flags);
    $answer = $proxy->scrape($url);
    is($answer->{status}, $status, "an exporter by TLS, with $what: $status");
    like($answer->{body}, $says, '  is what comes');
    $client->stop;
}

# a proxy by TLS

sub by_tls {
    my @flags = @_;

    return PollClient->new("--proxy-url=https://127.0.0.1:$tls",
        '--fqdn=127.0.0.1', '--proxy.retry.initial-wait=20ms', @flags);
}

$client = by_tls();
ok(await(60, sub { $client->log =~ /poll failed.*certificate/ }),
    'a proxy whose certificate isn\'t known isn\'t polled');
ok(!$proxy->poll(undef, 0.2), 'nothing reaches it');
$client->stop;

$client = by_tls("--tls.cacert=$dir/ca.crt", "--tls.cert=$dir/client.crt",
    "--tls.key=$dir/client.key");
is($proxy->scrape("$base/old")->{body}, "up 1\n",
    '--tls.cacert, .cert and .key: a proxy by TLS');
is($client->stop, 0, 'it ends in order') or diag $client->log;

done_testing();
