#!/usr/bin/perl

# t/82-keeper-tls.t: a secret goes only to who has a certificate for it, unless
# that is switched off, which is said loudly

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Forward qw(authority certificate);
use Keeper qw(write_to);
use Nginx;
use TokenEndpoint;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $endpoint = TokenEndpoint->new;
my $behind = $endpoint->url;

authority($dir, $_) for qw(ca other);
certificate($dir, 'good', ca => 'ca', names => 'IP:127.0.0.1');
certificate($dir, 'stranger', ca => 'other', names => 'IP:127.0.0.1');
certificate($dir, 'name', ca => 'ca', names => 'DNS:another.test');
certificate($dir, 'self', names => 'IP:127.0.0.1');
certificate($dir, 'client', ca => 'ca', names => 'DNS:client');

my @names = qw(good stranger name self);
my %port = map { ($_ => free_port()) } @names;

$nginx->configure(targets => '', http => join '', map { <<"END" } @names)
server {
    listen 127.0.0.1:$port{$_} ssl;
    ssl_certificate %%DIR%%/$_.crt;
    ssl_certificate_key %%DIR%%/$_.key;
    ssl_verify_client optional_no_ca;
    location / {
        proxy_pass $behind;
        proxy_set_header X-Client \$ssl_client_verify;
    }
}
END
    ->start;

write_to("$dir/secret", "secret\n");

sub remote {
    my ($name, $to, $settings) = @_;

    return "$name https://r oauth2 client_id=me client_secret_file=$dir/secret"
        . " token_url=https://127.0.0.1:$port{$to}/$name $settings";
}

my $keeper = Keeper->new(
    remote('good', 'good',
        "ca=$dir/ca.crt cert=$dir/client.crt key=$dir/client.key"),
    remote('off', 'self', 'verify=off'),
    remote('system', 'good', ''),
    remote('stranger', 'stranger', "ca=$dir/ca.crt"),
    remote('name', 'name', "ca=$dir/ca.crt"),
    remote('self', 'self', "ca=$dir/ca.crt"),
    remote('empty', 'good', "ca=$dir/secret"),
);

my $worker = $keeper->worker;

is($worker->credential('good')->{value}, 'Bearer token-1',
    'a certificate by the authority that is given');
is(($endpoint->requests('/good'))[0]{headers}{'x-client'}, 'NONE',
    'the certificate for the remote is not shown to the token endpoint');
is($worker->credential('off')->{value}, 'Bearer token-1',
    'none is verified with verify=off');

for my $name (qw(system stranger name self empty)) {
    is($worker->line(qr/^nothing \Q$name\E \d+ (.*)$/),
        q(can't connect to the token endpoint), "$name: it is refused");
    ok($worker->stats($name, connect => 1), '... and counted');
    is(scalar $endpoint->requests("/$name"), 0, '... without a request');
}

my $log = $keeper->log;

like($log, qr/ level=WARN msg="NO CERTIFICATE IS VERIFIED: [^"]*" remote=off$/m,
    'verify=off is said loudly');
unlike($log, qr/VERIFIED[^"]*" remote=(?!off)/, 'of that remote alone');
like($log, qr/ remote=stranger err="[^"]*certificate/,
    'the operator is told of certificates');
like($log, qr/ remote=name err="[^"]*127\.0\.0\.1/, 'and of their names');

is($keeper->stop, 0, 'it ends');

done_testing();
