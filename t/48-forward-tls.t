#!/usr/bin/perl

# t/48-forward-tls.t: certificates: those of targets, and why they are refused,
# and those of clients

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Forward;
use Dns;
use Http qw(connection read_response request send_request);
use Nginx;

my $nginx = Nginx->new;
my $dir = $nginx->dir;

authority($dir, $_) for qw(ca other clients);
certificate($dir, 'proxy', ca => 'ca', names => 'DNS:localhost,IP:127.0.0.1');

my %names = (
    good => [ ca => 'ca', names => 'DNS:good.test,IP:127.0.0.1' ],
    wild => [ ca => 'ca', names => 'DNS:*.wild.test' ],
    other => [ ca => 'other', names => 'DNS:good.test,IP:127.0.0.1' ],
    expired => [ ca => 'ca', names => 'DNS:good.test,IP:127.0.0.1',
        expired => 1 ],
    name => [ ca => 'ca', names => 'DNS:another.test,IP:127.0.0.5' ],
    address => [ ca => 'ca', names => 'IP:127.0.0.1' ],
    common => [ ca => 'ca', cn => 'good.test' ],
    text => [ ca => 'ca', names => 'DNS:127.0.0.1' ],
    self => [ names => 'DNS:good.test,IP:127.0.0.1' ],
    six => [ ca => 'ca', names => 'IP:::1' ],
);

my $has_expired = eval {
    certificate($dir, "t-$_", @{ $names{$_} }) for 'expired';
    1;
};

certificate($dir, "t-$_", @{ $names{$_} }) for grep { $_ ne 'expired' }
    keys %names;
delete $names{expired} if !$has_expired;

my $has_six = IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0,
    Listen => 1);
delete $names{six} if !$has_six;

certificate($dir, 'client', ca => 'clients', names => 'DNS:prometheus');
certificate($dir, 'stranger', ca => 'other', names => 'DNS:prometheus');

my %port = map { $_ => free_port() } keys %names,
    qw(verified trusting second stream certified plain);

my $dns = Dns->new(map { $_ => '127.0.0.1' } qw(good.test a.wild.test
    a.b.wild.test));
my $resolver = 'resolver 127.0.0.1:' . $dns->port . ' ipv6=off;';
my $ports = join ',', values %port;
my $six = $has_six ? "[::1]:$port{six}" : '';
my $allow = "allow $six 127.0.0.1:$ports *.test:$ports;";

my $targets = join '', map { my $listen = $_ eq 'six' ? '[::1]' : '127.0.0.1';
    <<"END" } sort keys %names;
server {
    listen $listen:$port{$_} ssl;
    ssl_certificate %%DIR%%/t-$_.crt;
    ssl_certificate_key %%DIR%%/t-$_.key;
    location / {
        return 200 "$_ \$connection sni=\$ssl_server_name \$http_host\\n";
    }
}
END

my $proxy = <<"END";
    ssl_certificate %%DIR%%/proxy.crt;
    ssl_certificate_key %%DIR%%/proxy.key;
    ssl_client_certificate %%DIR%%/clients.crt;
    ssl_verify_client optional_no_ca;
END

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward verified { $allow $resolver verify %%DIR%%/ca.crt; }
prom_forward second { $allow $resolver verify %%DIR%%/other.crt; }
prom_forward trusting { $allow $resolver verify off; }
prom_forward certified { $allow $resolver verify off; client_certificate on; }
END
    stream => <<"END",
upstream prom_forward { prom_forward_peer; }
server {
    listen 127.0.0.1:$port{certified} ssl;
    $proxy
    prom_forward certified;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{plain};
    prom_forward certified;
    proxy_pass prom_forward;
}
END
    http => $targets . forward_server('certified', 'unix:%%DIR%%/unused')
        . join('', map { forward_server($_, "127.0.0.1:$port{$_}") }
            qw(verified second trusting)),
)->start;

sub ask {
    my ($host, $target, $by) = @_;

    return request($port{ $by // 'verified' },
        path => "http://$host:$port{$target}/", headers => ['Host: x']);
}

sub wrong {
    my ($host, $target, $reason, $promise) = @_;

    my $r = ask($host, $target);
    my $name = "$host:$port{$target}";
    my $line = "$name: certificate of $name: $reason";
    is("$r->{line}|$r->{body}", "HTTP/1.1 502 $line|$line\n", $promise);
}

sub right {
    my ($host, $target, $sni, $promise, $by) = @_;

    like(ask($host, $target, $by)->{body},
        qr/\A$target \d+ sni=\Q$sni\E \Q$host\E:$port{$target}\n\z/, $promise);
}


# those of targets

right('good.test', 'good', 'good.test', 'a name, which is told by SNI');
right('127.0.0.1', 'good', '', 'an address, by the certificate\'s addresses');
right('127.0.0.1', 'address', '', 'one that has nothing else');
right('[::1]', 'six', '', 'one of IPv6') if $has_six;
right('a.wild.test', 'wild', 'a.wild.test', 'a wildcard');

my $named = 'is for another name';
wrong('a.b.wild.test', 'wild', $named, '... which is one label');
wrong('good.test', 'name', $named, 'another name');
wrong('127.0.0.1', 'name', $named, 'another address');
wrong('good.test', 'address', $named, 'addresses alone, for a name');
wrong('127.0.0.1', 'wild', $named, 'names alone, for an address');
wrong('127.0.0.1', 'text', $named, 'an address that is written as a name');
wrong('good.test', 'common', $named, 'a common name is no host\'s');

my ($old) = map { ask('good.test', $_)->{body} } 'other';
like($old, qr/certificate of good\.test:\d+: unable to get local issuer/,
    'that of another authority');
like(ask('good.test', 'self')->{body},
    qr/certificate of good\.test:\d+: self.signed certificate/,
    'one that has signed itself');

SKIP: {
    skip 'this openssl makes none that has expired', 1 if !$has_expired;
    wrong('good.test', 'expired', 'certificate has expired', 'an old one');
}

my $r = request($port{verified}, path => "http://127.0.0.1:$port{plain}/",
    headers => ['Host: x']);
is($r->{status}, 502, 'a target without TLS');
like($r->{body}, qr/TLS handshake with 127\.0\.0\.1:\d+ failed/,
    '... and what went wrong');

right('good.test', $_, 'good.test', "verify off: $_", 'trusting')
    for grep { !/six/ } sort keys %names;


# connections that are kept belong to the block that has verified them

sub on {
    my ($by) = @_;

    my ($connection) = ask('good.test', 'self', $by)->{body}
        =~ /\A\S+ (\d+)/;

    return $connection // 'refused';
}

my $kept = on('trusting');
is(on('trusting'), $kept, 'a connection is kept');
is(on('verified'), 'refused', '... but not for a block that would refuse it');
is(on('second'), 'refused', '... nor for another');
is(on('trusting'), $kept, '... and is there still');

like(ask('good.test', 'other', 'second')->{body}, qr/\Aother /,
    'each block has its own authorities');


# those of clients

sub curl {
    my ($by, @options) = @_;

    my $said = `curl -sS -m 20 -o $dir/said -w '%{http_code} %{http_connect}' \\
        --proxy-cacert $dir/ca.crt @options 2>&1`;

    return $said . ' ' . Nginx::slurp("$dir/said");
}

sub with {
    my ($name) = @_;

    return "--proxy-cert $dir/$name.crt --proxy-key $dir/$name.key";
}

my $url = "http://127.0.0.1:$port{good}/";
my $https = "--proxy https://localhost:$port{certified}";
my $tunnel = "-k https://127.0.0.1:$port{good}/";

like(curl('x', $https, with('client'), $url), qr/\A200 000 good /,
    'a client with a certificate');
like(curl('x', $https, with('client'), $tunnel), qr/\A200 200 good /,
    '... by a tunnel');
like(curl('x', $https, $url),
    qr/\A403 000 this proxy wants a client certificate$/m, 'one without');
like(curl('x', $https, $tunnel), qr/\b403\b/, '... by a tunnel');
like(curl('x', $https, with('stranger'), $url),
    qr/\A403 000 the client certificate is refused: unable to /,
    'one with that of another authority');
like(curl('x', $https, with('stranger'), $tunnel), qr/\b403\b/,
    '... by a tunnel');
like(curl('x', "--proxy http://localhost:$port{plain}", $url),
    qr/\A403 000 this proxy wants a client certificate$/m,
    'one without TLS');

SKIP: {
    skip 'this openssl makes none that has expired', 3 if !$has_expired;

    my $reason = 'the client certificate is refused: certificate has expired';

    certificate($dir, 'old', ca => 'clients', expired => 1);

    for my $version ('', '--tls-max 1.2') {
        like(curl('x', $https, $version, with('old'), $url),
            qr/\A403 000 \Q$reason\E$/m, "an old one $version");
    }

    like(curl('x', '-v', $https, with('old'), $tunnel),
        qr{HTTP/1\.1 403 \Q$reason\E\r?$}m, '... by a tunnel');
}

$nginx->finish;

done_testing();
