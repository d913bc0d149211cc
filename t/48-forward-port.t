#!/usr/bin/perl

# t/48-forward-port.t: one port for tunnels and for requests in absolute form:
# whose a connection is, its first bytes decide, and nothing changes that

use warnings;
use strict;

use FindBin;
use IO::Select;
use Test::More;
use Time::HiRes qw(sleep);

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(connection send_request);
use Nginx;

my $nginx = Nginx->new;
my $backend = Backend->new;
my $target = '127.0.0.1:' . $backend->port;
my %port = map { $_ => free_port() } qw(plain tls);
my $dir = $nginx->dir;

system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
    . "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
    . "-keyout $dir/localhost.key -out $dir/localhost.crt 2>$dir/openssl.log")
    == 0 or die "openssl: " . Nginx::slurp("$dir/openssl.log");

$nginx->configure(
    targets => '',
    main => "prom_forward bastion { allow $target; scheme http; }",
    stream => <<"END",
log_format tunnels '\$prom_forward_target \$prom_forward_decision \$status';
access_log %%DIR%%/logs/tunnels.log tunnels;
upstream prom_forward { prom_forward_peer; }
proxy_half_close on;
server {
    listen 127.0.0.1:$port{plain};
    prom_forward bastion;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{tls} ssl;
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
    prom_forward bastion;
    proxy_pass prom_forward;
}
END
    http => <<"END",
server {
    listen unix:%%DIR%%/unused;
    prom_forward_server bastion;
    location / {
        prom_forward bastion;
        proxy_pass \$prom_proxy_scheme://prom_proxy\$prom_forward_uri;
        proxy_set_header Host \$prom_proxy_host;
        proxy_set_header Connection "";
        proxy_set_header X-Server "\$server_addr:\$server_port \$scheme";
    }
}
END
)->start;

my $get = "GET http://$target/a HTTP/1.1\r\nHost: $target\r\n\r\n";
my $connect = "CONNECT $target HTTP/1.1\r\nHost: $target\r\n\r\n";

sub arrived {
    return join '|', map { /\A(\S+ \S+)/ } $backend->arrived;
}

# a connection, on which something was said

sub said {
    my ($text) = @_;

    my $s = connection($port{plain});
    send_request($s, raw => $text);

    return $s;
}

# one answer, and nothing of the next

sub answer {
    my ($s) = @_;

    my $head = head($s);
    my ($status) = $head =~ m{^HTTP/\S+ (\d+)};
    my ($length) = $head =~ /^Content-Length: (\d+)\r$/mi;

    my $body = '';
    1 while length $body < ($length // 0) && more($s, \$body);

    return ($status // 'none') . " $body";
}

# what the proxy says of a tunnel is a head alone

sub head {
    my ($s) = @_;

    my $text = '';
    1 while $text !~ /\r\n\r\n\z/ && more($s, \$text);

    return $text;
}

sub more {
    my ($s, $text) = @_;

    return IO::Select->new($s)->can_read(60)
        && sysread $s, $$text, 1, length $$text;
}


# GET

my $s = said($get);
is(answer($s), "200 GET /a HTTP/1.1\n", 'a request in absolute form');

my ($request) = $backend->arrived;
like($request, qr/^Host: \Q$target\E\r$/m, 'has its Host');
like($request, qr/^X-Server: 127\.0\.0\.1:$port{plain} http\r$/m,
    'http knows where it came in');

send_request($s, raw => $get);
is(answer($s), "200 GET /a HTTP/1.1\n", 'the next on the same connection');
is(arrived(), 'GET /a', '... arrives as well');

for my $scheme (qw(http https)) {
    my $port = $port{ $scheme eq 'http' ? 'plain' : 'tls' };

    is(`curl -sS -m 20 --proxy $scheme://localhost:$port --proxy-cacert \\
        $dir/localhost.crt http://$target/c http://$target/d 2>&1`,
        "GET /c HTTP/1.1\nGET /d HTTP/1.1\n", "curl by $scheme");
    is(arrived(), 'GET /c|GET /d', '... both of them');

    is(`head -c 300000 /dev/zero | curl -sS -m 20 -T - -H Expect: --proxy \\
        $scheme://localhost:$port --proxy-cacert $dir/localhost.crt \\
        http://$target/put 2>&1`, "PUT /put HTTP/1.1\n",
        '... and one with a large body');
    is(length(join '', map { s/\A.*?\r\n\r\n//sr } $backend->arrived)
        >= 300_000, 1, '... whole');
}

$s = connection($port{plain});

for (split //, $get) {
    syswrite $s, $_;
}

is(answer($s), "200 GET /a HTTP/1.1\n", 'a request in single bytes');

$s = said($get . $get =~ s/\/a /\/b /r);
is(answer($s), "200 GET /a HTTP/1.1\n", 'two at once');
is(answer($s), "200 GET /b HTTP/1.1\n", '... have two answers');
arrived();


# the first bytes decide

for my $method (qw(C CO COPY CONNEC CONNECTS CONNECT2 connect)) {
    $s = said("$method http://$target/x HTTP/1.1\r\nHost: $target\r\n\r\n");
    like(answer($s), qr/\A(?:400|405|501|200)/, "$method is http's");
}

arrived();

$s = said($connect . $get);
like(head($s), qr/\AHTTP\/1\.1 200 /, 'what is behind the head of a tunnel');
like(answer($s), qr/\A200/, '... the target answers');
is(arrived(), "GET http://$target/a", '... as it is');

$s = said($get . $connect . $get);
is(answer($s), "200 GET /a HTTP/1.1\n", 'CONNECT behind a request');
like(answer($s), qr/\A40[05]/, '... makes no tunnel');
is(arrived(), 'GET /a', '... nor does anything behind it arrive');

$s = said("POST http://$target/p HTTP/1.1\r\nHost: $target\r\n"
    . 'Content-Length: ' . length($connect) . "\r\n\r\n$connect$get");
is(answer($s), "200 POST /p HTTP/1.1\n", 'CONNECT within a body');
is(answer($s), "200 GET /a HTTP/1.1\n", '... is the target\'s');
like(($backend->arrived)[0], qr/\r\n\r\nCONNECT /, '... as it came');

for ("Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Content-Length: 5\r\nContent-Length: 6",
    "Transfer-Encoding : chunked", "Content-Length: +5")
{
    $s = said("POST http://$target/ HTTP/1.1\r\nHost: $target\r\n$_\r\n\r\n"
        . "0\r\n\r\n$get");
    like(answer($s), qr/\A400/, "refused: $_" =~ s/\r\n/, /r);
    is(arrived(), '', '... and nothing arrives');
}

like(answer(said("\r\n$connect")), qr/\A40[05]/,
    'an empty line before CONNECT makes it http\'s');
like(answer(said("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n")),
    qr/\A400/, 'TLS where there is none');


# the worker's end

$s = said($get);
answer($s);
my $half = said('GET http://');
my $tunnel = said($connect);
head($tunnel);
my ($old) = $nginx->workers;

$nginx->signal('HUP');
ok(await(sub { grep { $_ != $old } $nginx->workers }), 'a reload');
is(sysread($s, my $end, 1), 0, 'ends connections that wait for a request');
send_request($half, raw => substr $get, 11);
is(answer($half), "200 GET /a HTTP/1.1\n", '... after one that has begun');
send_request($tunnel, raw => $get);
like(answer($tunnel), qr/\A200/, '... and no tunnel');
close $tunnel;
ok(await(sub { !grep { $_ == $old } $nginx->workers }, 20),
    '... which is the last');

is(scalar(grep { $_ ne "$target allowed 200" }
    split /\n/, Nginx::slurp("$dir/logs/tunnels.log")), 0,
    'stream logs tunnels, and nothing else');

$nginx->finish;

done_testing();
