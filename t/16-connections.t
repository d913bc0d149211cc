#!/usr/bin/perl

# Connections to targets are kept, by target, and never shared by what must
# not share one.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Backend;
use Nginx;

my $nginx = Nginx->new;
my $one = Backend->new;
my $two = Backend->new;
my $closing = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
        . "Connection: close\r\n\r\n";
    return 0;
});

# promises to keep the connection, and then does not

my $stale = Backend->new(answer => sub { Backend::ok(@_); return 0 });

my ($p1, $p2) = ($one->port, $two->port);
my $tls = Nginx::free_port();

sub openssl {
    my ($dir, $name) = @_;

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        . "-nodes -days 2 -subj /CN=$name -addext subjectAltName=DNS:$name "
        . "-keyout $dir/$name.key -out $dir/$name.crt 2>$dir/openssl.log")
        == 0 or die "openssl: " . Nginx::slurp("$dir/openssl.log");
}

openssl($nginx->dir, $_) for 'localhost', 'b.internal';

$nginx->configure(targets => <<"END", http => <<"HTTP")->start;
127.0.0.1:$p1                one
127.0.0.1:$p1                same
127.0.0.1:$p2                two
127.0.0.1:@{[ $closing->port ]} closing
127.0.0.1:@{[ $stale->port ]} stale
https://localhost:$tls       tls
https://localhost:$tls/base  tls-same
https://127.0.0.1:$tls       tls-address
127.0.0.1:$tls               no-tls
END
server {
    listen 127.0.0.1:$tls ssl;
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
    location / {
        return 200 "\$connection \$ssl_server_name \$host \$request_uri\\n";
    }
}
HTTP

sub connections {
    my ($backend) = @_;

    my %seen = map { $_->[0] => 1 } $backend->requests;

    return scalar keys %seen;
}

# how many connections to these ports are open on this machine

sub established {
    my %port = map { sprintf('%04X', $_) => 1 } @_;

    open my $fh, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";

    return scalar grep { /: \S+ [0-9A-F]+:([0-9A-F]+) 01 / && $port{$1} }
        <$fh>;
}

$nginx->get('/one/metrics') for 1 .. 5;
is(connections($one), 1, 'five scrapes of a target take one connection');
$nginx->get('/two/metrics') for 1 .. 3;
$nginx->get('/one/metrics') for 1 .. 3;
is(connections($one), 1, 'another target does not take it away');
is(connections($two), 1, 'and has one of its own');
$nginx->get('/same/metrics');
is(connections($one), 1, 'two names of one address share it');

is($nginx->get('/closing/metrics')->{status}, 200, 'a target that closes')
    for 1 .. 3;
is(connections($closing), 3, 'is dialled each time');

is($nginx->get('/stale/metrics')->{status}, 200,
    'a connection that was closed meanwhile fails no scrape') for 1 .. 5;

# TLS

my $r = $nginx->get('/tls/metrics');
my ($number) = $r->{body} =~ /^(\d+) /;
is($r->{body}, "$number localhost localhost /metrics\n",
    'https: the name is sent as SNI and Host');
is($nginx->get('/tls-same/metrics')->{body},
    "$number localhost localhost /base/metrics\n",
    'https: one identity, one connection');
like($nginx->get('/tls-address/metrics')->{body},
    qr/^(?!$number )\d+ \S* ?127\.0\.0\.1 \/metrics\n/,
    'https: another identity at the same address has its own');
is($nginx->get('/no-tls/metrics')->{status}, 400,
    'plain http does not go through a TLS connection of its address');

$nginx->finish;

# limits

$nginx = Nginx->new;
my @many = map { Backend->new } 1 .. 3;

$nginx->configure(peer => 'prom_proxy_peer idle=2 timeout=300ms;',
    targets => join '', map { '127.0.0.1:' . $many[$_]->port . " t$_\n" }
    0 .. 2)->start;

$nginx->get("/t$_/metrics") for 0, 1, 2, 1, 2, 0;
is(join(' ', map { connections($_) } @many), '2 1 1',
    'of too many idle connections the longest unused is closed');

ok(await(sub { !established(map { $_->port } @many) }),
    'the time limit closes idle connections');
$nginx->get('/t1/metrics');
is(connections($many[1]), 2, 'and the next scrape dials');

$nginx->finish;

$nginx = Nginx->new;
my $none = Backend->new;
$nginx->configure(peer => 'prom_proxy_peer idle=0;',
    targets => '127.0.0.1:' . $none->port . " t\n")->start;
$nginx->get('/t/metrics') for 1 .. 3;
is(connections($none), 3, 'idle=0 keeps none');
$nginx->finish;

# the certificate of a target

$nginx = Nginx->new;
openssl($nginx->dir, $_) for 'localhost', 'b.internal';
my $other = Nginx::free_port();

$nginx->configure(targets => <<"END", http => <<"HTTP",
https://localhost:$tls good
https://localhost:$other other
END
server {
    listen 127.0.0.1:$tls ssl;
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
    return 200 ok;
}
server {
    listen 127.0.0.1:$other ssl;
    ssl_certificate %%DIR%%/b.internal.crt;
    ssl_certificate_key %%DIR%%/b.internal.key;
    return 200 ok;
}
HTTP
    router => 'proxy_ssl_verify on;
        proxy_ssl_trusted_certificate %%DIR%%/ca.crt;');

$nginx->write('ca.crt', Nginx::slurp($nginx->dir . '/localhost.crt'));
$nginx->start;

is($nginx->get('/good/metrics')->{body}, 'ok', 'a certificate is verified');
like($nginx->get('/other/metrics')->{body},
    qr/^other: certificate of localhost:$other: self-signed certificate\n/i,
    'a foreign one is refused, saying why');

$nginx->write('ca.crt', Nginx::slurp($nginx->dir . '/b.internal.crt'));
ok($nginx->reload, 'another authority');
is($nginx->get('/other/metrics')->{body},
    "other: certificate of localhost:$other: is for another name\n",
    'a certificate for another name is refused, saying so');

$nginx->finish;

done_testing();
