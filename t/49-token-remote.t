#!/usr/bin/perl

# t/49-token-remote.t: a remote's host is resolved while running, and its
# certificate verified, by its name or its address

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use Socket;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Dns;
use Forward;
use Http qw(connection read_response request send_request);
use Nginx;
use Query;
use Teller;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my %tls = map { $_ => free_port() } qw(good name address other mutual old);
my $plain = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($host) = $request =~ /^Host: ([^\r]*)/m;
    my ($close) = $request =~ /close/ ? 'Connection: close' : 'X: y';
    syswrite $s, "HTTP/1.1 200 OK\r\n$close\r\nContent-Length: "
        . length($host) . "\r\n\r\n$host";

    return 1;
});
my $at = $plain->port;

authority($dir, $_) for qw(ca other clients);
certificate($dir, 't-good', ca => 'ca',
    names => 'DNS:good.test,DNS:localhost,IP:127.0.0.1');
certificate($dir, 't-name', ca => 'ca', names => 'DNS:another.test');
certificate($dir, 't-address', ca => 'ca', names => 'IP:127.0.0.9');
certificate($dir, 't-other', ca => 'other',
    names => 'DNS:good.test,IP:127.0.0.1');
certificate($dir, 't-old', ca => 'ca', names => 'DNS:good.test');
certificate($dir, 't-mutual', ca => 'ca', names => 'DNS:good.test');
certificate($dir, 'client', ca => 'clients', names => 'DNS:proxy');

my $dns = Dns->new(map { $_ => '127.0.0.1' } qw(good.test moved.test));

my $resetting = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
my %more = (mutual => <<'END', old => 'ssl_protocols TLSv1.2;');
ssl_client_certificate %%DIR%%/clients.crt;
        ssl_verify_client on;
END

my $servers = join '', map { my $more = $more{$_} // ''; <<"END2" }
server {
    listen 127.0.0.1:$tls{$_} ssl;
    ssl_certificate %%DIR%%/t-$_.crt;
    ssl_certificate_key %%DIR%%/t-$_.key;
    $more
    location / {
        return 200 "$_ sni=\$ssl_server_name \$http_host \$http_authorization \$connection";
    }
}
END2
    sort keys %tls;

# name, URL, parameters

my $ca = 'ca=%%DIR%%/ca.crt';
my $certificate = 'proxy_ssl_certificate %%DIR%%/client.crt;
    proxy_ssl_certificate_key %%DIR%%/client.key;';
my @remotes = (
    [ good => "https://good.test:$tls{good}", $ca ],
    [ address => "https://127.0.0.1:$tls{good}", $ca ],
    [ localhost => "https://localhost:$tls{good}", $ca ],
    [ wrongname => "https://good.test:$tls{name}", $ca ],
    [ wrongaddress => "https://127.0.0.1:$tls{address}", $ca ],
    [ nameless => "https://127.0.0.1:$tls{name}", $ca ],
    [ wrongca => "https://good.test:$tls{other}", $ca ],
    [ system => "https://good.test:$tls{good}", '' ],
    [ off => "https://good.test:$tls{other}", 'verify=off' ],
    [ offname => "https://127.0.0.1:$tls{name}", 'verify=off' ],
    [ mutual => "https://good.test:$tls{mutual}", $ca, $certificate ],
    [ bare => "https://good.test:$tls{mutual}", $ca ],
    [ reset => 'https://good.test:' . $resetting->sockport, $ca ],
    [ plain => "http://good.test:$at/base" ],
    [ moved => "http://moved.test:$at" ],
    [ nowhere => "http://nowhere.test:$at" ],
    [ local => "http://localhost:$at" ],
);

my $teller = Teller->new("$dir/keeper.socket");
$teller->say("token $_->[0] 1 0 Bearer $_->[0]") for @remotes;

$nginx->configure(
    targets => '',
    http => $servers . query_http("127.0.0.1:$port", join('', map {
            my ($name, $url, $remote, $more) = @$_;
            remote_location($name, path => "/$name/", url => $url,
                remote => "prefix=/$name " . ($remote // ''),
                more => $more // '');
        } @remotes), server => 'resolver 127.0.0.1:' . $dns->port
            . ' ipv6=off valid=1s;'),
)->start;

sub ask {
    my ($name) = @_;

    return request($port, path => "/$name/api/v1/query");
}

sub right {
    my ($name, $body, $promise) = @_;

    like(ask($name)->{body}, qr/\A$body\b/, $promise);
}

sub wrong {
    my ($name, $error, $promise) = @_;

    like(json_error(ask($name)), qr/\A502 unavailable: $name: $error\z/,
        $promise);
}

ok(await(sub { request($port, path => '/-/ready')->{status} == 200 }),
    'ready');


# certificates

my $host = "good\\.test:$tls{good}";
right('good', "good sni=good.test $host Bearer good", 'a name');
right('address', "good sni= 127\\.0\\.0\\.1:$tls{good} Bearer address",
    'an address, by the certificate\'s addresses');
right('localhost', "good sni=localhost localhost:$tls{good}",
    'localhost, which no name server is asked for');

my $named = 'certificate of \S+: is for another name';
wrong('wrongname', $named, 'another name');
wrong('wrongaddress', $named, 'another address');
wrong('nameless', $named, 'no address');
wrong('wrongca', 'certificate of \S+: unable to get local issuer certificate',
    'another authority');
wrong('system', 'certificate of \S+: unable to get (?:local )?issuer '
    . 'certificate', 'the system\'s authorities don\'t know it');
right('off', 'other', 'verify=off takes it');
right('offname', 'name', '... and any name');
right('mutual', 'mutual', 'a client certificate');
like(ask('bare')->{body}, qr/No required SSL certificate was sent/,
    '... is not that of another remote');

# one that resets the connection as soon as hands are shaken, as it may for want
# of a client's certificate: in TLS 1.2 it has the last word, and both come at
# once

my $s = connection($port);
send_request($s, path => '/reset/api/v1/query');

my $client = $resetting->accept;
my $server = connection($tls{old});
my ($worker) = $nginx->workers;
my $flights = 0;

while ($flights < 2) {
    my $read = '';
    vec($read, fileno $_, 1) = 1 for $client, $server;
    select $read, undef, undef, 20 or last;

    if (vec $read, fileno $client, 1) {
        sysread $client, my $text, 65536 or last;
        syswrite $server, $text;
        next;
    }

    sysread $server, my $text, 65536 or last;

    if (++$flights == 2) {
        $nginx->pause($worker);
        setsockopt $client, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
    }

    syswrite $client, $text;
}

close $_ for $client, $server;
kill 'CONT', $worker;

is(json_error(read_response($s)), '502 unavailable: reset: good.test:'
    . $resetting->sockport . ' closed the connection without an answer',
    'one that closes has no wrong certificate');

unlike(Nginx::slurp("$dir/logs/access.log"), qr/Bearer/, 'none in the log');

my ($kept) = ask('good')->{body} =~ /(\d+)\z/;
is(ask('good')->{body} =~ s/.* //sr, $kept, 'connections are kept');


# names

right('plain', "good\\.test:$at", 'a name');
is(($plain->arrived)[0] =~ s/ HTTP.*//sr, 'GET /base/api/v1/query',
    '... and the path of the URL');
right('local', "localhost:$at", 'localhost without TLS');
wrong('nowhere', 'nowhere\.test could not be resolved: host not found',
    'a name that isn\'t known');
right('moved', "moved\\.test:$at", 'a name that is');

my $second = eval { Backend->new(host => '127.0.0.2', port => $at,
    answer => sub { syswrite $_[0],
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmove"; 1 }) };

SKIP: {
    skip 'no 127.0.0.2', 1 if !$second;
    $dns->set('good.test' => '127.0.0.1', 'moved.test' => '127.0.0.2');
    ok(await(sub { ask('moved')->{body} eq 'move' }),
        '... is followed where it goes');
}


# mistakes

sub mistaken {
    my ($http, $message, $promise) = @_;

    my $other = Nginx->new;
    $other->configure(targets => '', http => $http);
    my ($status, $said) = $other->check;
    isnt($status, 0, $promise);
    like($said, $message, '... is told');
    $other->stop;
}

sub location { return "server { location / { @_ } }" }

my $keeper = 'prom_token_keeper unix:/x;';

mistaken(location('prom_token a;'), qr/"prom_token" needs a "prom_token_keeper/,
    'no keeper');
mistaken("$keeper prom_token_keeper unix:/y;", qr/is duplicate/,
    'two keepers');
mistaken("prom_token_keeper $_;", qr/invalid value "\Q$_\E" in "prom_token_ke/,
    "no keeper: $_") for qw(127.0.0.1:1 unix: unix:x /x);
mistaken($keeper . location("prom_token $_;"), qr/a name is 1 to 63 letters/,
    "no name: $_") for 'a/b', 'a.b', 'x' x 64, '""';
mistaken($keeper . location("prom_token a; prom_token_remote $_;"),
    qr/invalid URL|has a URL with a host/, "no URL: $_")
    for qw(x:1 ftp://x http:// http://u:p@x http://x?a http://x/a/../b
        http://unix:/x https://[::1 http://x:0 http://x:65536 http://1.2.3);
mistaken($keeper . location("prom_token a; prom_token_remote http://x $_;"),
    qr/invalid value/, "no parameter: $_")
    for qw(prefix= prefix=/ prefix=x prefix=/x/ ca= verify=on other);
mistaken($keeper . location(
    'prom_token a; prom_token_remote https://x ca=/x verify=off;'),
    qr/has either "ca" or "verify=off"/, 'both');
mistaken($keeper . location(
    'prom_token a; prom_token_remote https://x ca=/nonexistent;'),
    qr{certificate authorities of /nonexistent could not be loaded},
    'no file');
mistaken($keeper . location('prom_token_remote http://x;'),
    qr/"prom_token_remote" needs a "prom_token"/, 'no name');
mistaken($keeper . location('prom_token a; prom_token_api off query;'),
    qr/"prom_token_api off" stands alone/, 'off and more');
mistaken($keeper . location('prom_token a; prom_token_api read;'),
    qr/invalid value "read"/, 'no API');

$nginx->finish;

done_testing();
