#!/usr/bin/perl

# t/48-forward-http.t: requests in absolute form: what arrives at a target,
# what is refused and why, and what targets may do

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use MIME::Base64;
use Socket ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Forward;
use Http qw(connection read_response request send_request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $key = '0123456789abcdef';
my %port = map { $_ => free_port() }
    qw(plain tls direct auto https users closed own);

authority($dir, 'ca');
certificate($dir, 'localhost', ca => 'ca',
    names => 'DNS:localhost,IP:127.0.0.1');
$nginx->write('users', hashed('scraper', 'secret'));


# targets

my $backend = Backend->new;
my $target = '127.0.0.1:' . $backend->port;
my $v6 = eval { Backend->new(host => '::1') };

sub misbehaving {
    my ($answer) = @_;

    return '127.0.0.1:' . Backend->new(answer => $answer)->port;
}

my $head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

my %bad = (
    silent => misbehaving(sub { sleep 60 }),
    closing => misbehaving(sub { 0 }),
    garbage => misbehaving(sub { syswrite $_[0], "\0\1garbage\n"; 0 }),
    redirect => misbehaving(sub {
        syswrite $_[0], "HTTP/1.1 302 Found\r\n"
            . "Location: http://169.254.169.254/latest\r\n"
            . "Content-Length: 0\r\n\r\n";
    }),
    gzip => misbehaving(sub {
        syswrite $_[0], "${head}Content-Encoding: gzip\r\n"
            . "Content-Length: 4\r\n\r\n\x1f\x8b\x08\x00";
    }),
    endless => misbehaving(sub {
        my ($s) = @_;

        my $chunk = "up 1\n" x 4000;
        $chunk = sprintf("%x\r\n", length $chunk) . "$chunk\r\n";
        syswrite $s, "${head}Transfer-Encoding: chunked\r\n\r\n";
        1 while syswrite $s, $chunk;
        0;
    }),
    short => misbehaving(sub {
        syswrite $_[0], "${head}Content-Length: 100\r\n\r\nup 1\n"; 0;
    }),
    long => misbehaving(sub {
        syswrite $_[0], "${head}Content-Length: 5\r\n\r\nup 1\nHTTP/1.1 200 OK"
            . "\r\nContent-Length: 4\r\n\r\nevil";
    }),
    information => misbehaving(sub {
        my ($s) = @_;

        1 while syswrite $s, "HTTP/1.1 100 Continue\r\n\r\n" x 100;
        0;
    }),
    failing => misbehaving(sub {
        syswrite $_[0], "HTTP/1.1 503 Down\r\nContent-Length: 5\r\n\r\ndown\n";
    }),
    proxy_auth => misbehaving(sub {
        syswrite $_[0], "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n"
            . "Content-Length: 0\r\n\r\n";
    }),
);

my $own = local_address();
my $allowed = join ' ', $target, values %bad, "127.0.0.1:$port{closed}",
    "0.0.0.0/0:1-65535", '[::]/0:1-65535', '!10.9.0.0/16', '!127.0.0.9',
    "127.0.0.9:1-65535", $v6 ? '[::1]:' . $v6->port : ();

my $log = 'log_format forward \'$server_port $prom_forward_target '
    . '$prom_forward_address $prom_forward_decision "$prom_forward_rule" '
    . '$prom_forward_user $status\'; '
    . 'access_log %%DIR%%/logs/forward.log forward;';

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward plain { allow $allowed; scheme http; own $port{own};
    checkme $key; zone plain 1m; }
prom_forward https { allow $allowed localhost; verify %%DIR%%/ca.crt; }
prom_forward auto { allow $allowed 127.0.0.1:$port{https}; scheme auto;
    plain $target; verify off; }
prom_forward users { allow $target; scheme http; users %%DIR%%/users;
    from 127.0.0.0/8; }
END
    stream => <<"END",
upstream prom_forward { prom_forward_peer; }
server {
    listen 127.0.0.1:$port{plain};
    prom_forward plain;
    proxy_pass prom_forward;
}
server {
    listen 127.0.0.1:$port{tls} ssl;
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
    prom_forward plain;
    proxy_pass prom_forward;
}
END
    http => $log
        . forward_server('plain', "127.0.0.1:$port{direct}",
            'proxy_buffering off;')
        . forward_server('auto', "127.0.0.1:$port{auto}")
        . forward_server('users', "127.0.0.1:$port{users}")
        . forward_server('https', "unix:%%DIR%%/unused")
        . <<"END",
server {
    listen 127.0.0.1:$port{https} ssl;
    ssl_certificate %%DIR%%/localhost.crt;
    ssl_certificate_key %%DIR%%/localhost.key;
    location / {
        return 200 "tls \$request_uri \$http_host\\n";
    }
}
END
)->start;


# one request by the port with this name

sub ask {
    my ($uri, %o) = @_;

    my $port = $port{ delete $o{by} // 'direct' };

    return request($port, headers => ["Host: $target"], path => $uri, %o);
}

sub says {
    my ($uri, $line, $promise, %o) = @_;

    my $r = ask($uri, %o);
    is($r->{line}, "HTTP/1.1 $line", $promise);

    return $r;
}

sub arrived {
    my ($line) = map { /\A([^\r\n]*)/ } $backend->arrived;

    return $line // '';
}


# what arrives

for my $by (qw(direct plain)) {
    for my $uri ('/metrics', '/a%2Fb?x=%2f&y=+', '//a//b', '/a/./b/../c?d',
        '/a;b=c/', '/?', '/%e2%82%ac', "/\xe2\x82\xac", '/a?b?c=/../',
        '/a?http://other/', '/metrics?name[]=a&name[]=b', '/~"<>|')
    {
        ask("http://$target$uri", by => $by);
        is(arrived(), "GET $uri HTTP/1.1", "$by: the URI $uri, as it is");
    }
}

for ([ '', '/' ], [ '?x', '/?x' ]) {
    my ($uri, $is) = @$_;
    ask("http://$target$uri");
    is(arrived(), "GET $is HTTP/1.1", "what has no path is asked for $is");
}

for my $uri ('/../x', '/%', '/%00') {
    is(ask("http://$target$uri")->{status}, 400, "nginx refuses $uri");
    is(arrived(), '', '... which arrives nowhere');
}

for my $method (qw(GET HEAD POST PUT DELETE OPTIONS PATCH)) {
    my $r = ask("http://$target/m", method => $method,
        $method =~ /^P/ ? (body => "body\0of $method") : ());
    is($r->{status}, 200, "the method $method");
    my ($request) = $backend->arrived;
    like($request, qr/\A$method \/m HTTP\/1\.1\r\n/, '... arrives');
    like($request, qr/\r\n\r\nbody\0of $method\z/, '... and its body')
        if $method =~ /^P/;
}

ask("HTTP://$target/case");
is(arrived(), 'GET /case HTTP/1.1', 'a scheme in upper case');

ask("http://$target/", headers => [ 'Host: somewhere.else',
    'Authorization: Basic ZXhwb3J0ZXI6c2VjcmV0',
    'Proxy-Authorization: Basic cHJveHk6c2VjcmV0', 'Proxy-Connection: close',
    'proxy-anything: x', 'Connection: close, X-Hop, X-Prometheus-None',
    'X-Hop: 1', 'TE: trailers', 'Keep-Alive: timeout=5', 'Upgrade: h2c',
    'Accept: application/openmetrics-text', 'User-Agent: Prometheus/3',
    'X-Prometheus-Scrape-Timeout-Seconds: 10', 'Accept-Encoding: gzip' ]);

my ($request) = $backend->arrived;
like($request, qr/^Host: \Q$target\E\r$/m, 'Host is that of the target');
like($request, qr/^Authorization: Basic ZXhwb3J0ZXI6c2VjcmV0\r$/m,
    'the target gets what is for it: Authorization');
like($request, qr/^$_\r$/m, "... $_") for 'User-Agent: Prometheus/3',
    'Accept: application/openmetrics-text', 'Accept-Encoding: gzip',
    'X-Prometheus-Scrape-Timeout-Seconds: 10';
unlike($request, qr/^$_/mi, "... but not $_") for qw(Proxy- X-Hop TE
    Keep-Alive Upgrade Connection);

for my $named ('Authorization', 'Host', 'Content-Length') {
    my $r = ask("http://$target/", method => 'POST', body => 'abc', headers =>
        [ "Host: $target", "Connection: $named",
            'Authorization: Basic eDp5' ]);
    is($r->{status}, 200, "Connection that names $named");
    my ($request) = $backend->arrived;
    like($request, qr/^Host: \Q$target\E\r\n(?s:.*)\r\n\r\nabc\z/m,
        '... changes nothing of Host or body');
}

ask("http://$target/", headers =>
    [ "Host: $target", 'Proxy-Authorization: Basic eDp5',
        'Connection: ' . join(', ', map { "a$_" } 1 .. 40) ]);
unlike(($backend->arrived)[0], qr/^Proxy-/mi,
    'Proxy-Authorization goes also behind many names in Connection');

like($request, qr/^CheckMe: v1 \d+ \Q$target\E [0-9a-f]{64}\r$/m,
    'CheckMe has the time, the target and a MAC');
my ($value, $mac) = $request =~ /^CheckMe: (.*) (\S+)\r$/m;
is(`printf %s '$value' | openssl dgst -sha256 -hmac $key -r` =~ s/ .*//sr,
    $mac, '... which is that of the key');


# connections

my $s = connection($port{direct});
my %connections;

for (1 .. 5) {
    send_request($s, path => "http://$target/", keepalive => 1,
        headers => ["Host: $target"]);
    is(read_response($s)->{status}, 200, "request $_ on a connection");
}

$backend->arrived;
my @all = $backend->requests;
my %used = map { $_->[0] => 1 } @all[-5 .. -1];
is(keys %used, 1, 'they share one to the target');

is(request($port{direct}, raw => "GET http://$target/ HTTP/1.0\r\n\r\n")
    ->{status}, 200, 'HTTP/1.0');
like(request($port{direct}, raw => "GET http://$target/\r\n\r\n")->{raw},
    qr/\A(?:this is a forward proxy.*|.*400.*)/s, 'HTTP/0.9 is refused');
$backend->arrived;

is(`printf x | openssl s_client -connect 127.0.0.1:$port{tls} -alpn h2 \\
    2>/dev/null | grep -c '^ALPN protocol: h2'`, "0\n",
    'HTTP/2 is not offered');

SKIP: {
    skip 'no IPv6 here', 2 if !$v6;
    my $port = $v6->port;
    is(ask("http://[::1]:$port/six")->{body}, "GET /six HTTP/1.1\n",
        'a target of IPv6');
    like(($v6->arrived)[0], qr/^Host: \[::1\]:$port\r$/m, '... and its Host');
}


# schemes

says("https://$target/", '400 https:// is for CONNECT here, which nothing '
    . 'but plain http is asked without',
    'https:// without a word on certificates');

is(ask("http://127.0.0.1:$port{https}/up", by => 'auto')->{body},
    "tls /up 127.0.0.1:$port{https}\n", 'auto: http:// is upgraded');
is(ask("https://127.0.0.1:$port{https}/up", by => 'auto')->{body},
    "tls /up 127.0.0.1:$port{https}\n", '... https:// is what it is');
is(ask("http://$target/plain", by => 'auto')->{body},
    "GET /plain HTTP/1.1\n", '... and what is plain stays so');
$backend->arrived;


# what is refused

my $form = '400 this is a forward proxy: give it as proxy_url, for targets '
    . 'http://HOST[:PORT]/... without a user';
my $host = '400 a target is a name, an IPv4 address of four decimal numbers, '
    . 'or an IPv6 address in brackets';
my $port = '400 a target has a port of 1 to 65535';

says('/metrics', $form, 'a request in origin form');
says("ftp://$target/", $form, 'another scheme');
says("http://$target/#a", $form, 'a fragment');
says("http://127.0.0.1:0/", $port, 'port 0');

# of which a newer nginx refuses some itself

for my $beyond (65536, '9' x 20) {
    like(ask("http://127.0.0.1:$beyond/")->{line},
        qr{^HTTP/1\.1 (?:\Q$port\E|\Q$form\E|400 Bad Request)$},
        "port $beyond");
}

says("http://127.0.0.1:/", $form, 'an empty port');

for (qw(user:pass@127.0.0.1 user@127.0.0.1 127.0.0.1\\@a 127.0.0.1%2f)) {
    is(ask("http://$_/")->{status}, 400, "refused: http://$_/");
}

for (qw(2130706433 017700000001 0x7f000001 127.1 127.0.1 0x7f.0.0.1 1.2.3.4.5
    1.2.3.256 0177.0.0.1 a..b 1.2.3.0x4))
{
    is(ask("http://$_:$port{closed}/")->{status}, 400,
        "no other notation of IPv4, and no name: $_");
}

says('http://127.0.0.01:9/', $host, '... nor zeroes in front');

for ([ '0.0.0.0', 'unspecified' ], [ '127.0.0.2', 'loopback' ],
    [ '127.255.255.254', 'loopback' ],
    [ '169.254.169.254', 'metadata service' ],
    [ '169.254.1.1', 'link-local' ], [ '224.0.0.1', 'multicast' ],
    [ '255.255.255.255', 'broadcast' ], [ '[::1]', 'loopback' ],
    [ '[::]', 'unspecified' ], [ '[fe80::1]', 'link-local' ],
    [ '[::ffff:127.0.0.2]', 'loopback', '127.0.0.2' ],
    [ '[::FFFF:7F00:2]', 'loopback' ], [ '[::127.0.0.2]', 'loopback' ],
    [ '[64:ff9b::127.0.0.2]', 'loopback' ],
    [ '[64:ff9b::a9fe:a9fe]', 'metadata service' ],
    [ '[2002:7f00:2::1]', 'loopback' ],
    [ '[fd00:ec2::254]', 'metadata service' ])
{
    my ($address, $place) = @$_;
    my $r = ask("http://$address:9100/");
    is($r->{status}, 403, "$address is refused");
    like($r->{line}, qr/ is $place, which a rule has to name exactly\z/,
        "... as $place");
    is($r->{body}, $r->{line} =~ s/\AHTTP\/1\.1 403 //r . "\n",
        '... in its text, too');
}

says("http://127.0.0.1.:$port{closed}/", "502 127.0.0.1:$port{closed}: "
    . "connect to 127.0.0.1:$port{closed}: connection refused",
    'a dot at the end is no matter');
says("http://10.9.1.1:9100/", '403 10.9.1.1:9100 is denied by a rule for '
    . '10.9.1.1', 'a rule that denies');
says("http://127.0.0.9:9100/", '403 127.0.0.9:9100 is denied by a rule for '
    . '127.0.0.9', '... wins over one that is exactly it');

for my $address (grep { $_ } $own) {
    for my $name (qw(direct plain tls own)) {
        my $r = ask("http://$address:$port{$name}/");
        is($r->{status}, 403, "$name, a listener of this proxy's own");
        like($r->{line}, qr/a listener of this proxy's own, which a rule has/,
            '... at another address of this machine');
    }

    is(ask("http://[::ffff:$address]:$port{direct}/")->{status}, 403,
        '... and as IPv6');
}

is($backend->arrived, 0, 'none of it has arrived');


# who may

my $basic = encode_base64('scraper:secret', '');
$s = connection($port{users});

sub on {
    my ($credentials, @more) = @_;

    send_request($s, path => "http://$target/", keepalive => 1,
        headers => [ "Host: $target", defined $credentials
            ? "Proxy-Authorization: $credentials" : (), @more ]);

    return read_response($s);
}

my $r = on();
is($r->{line}, 'HTTP/1.1 407 this proxy wants a user and a password, by '
    . 'Proxy-Authorization: Basic', 'no credentials');
is($r->{headers}{'proxy-authenticate'}, 'Basic realm="Monitoring Proxy"',
    '... and what to send');
is(on("Basic $basic")->{status}, 200,
    'the right ones, on the same connection');
$r = on('Basic ' . encode_base64('scraper:wrong', ''));
is($r->{line}, 'HTTP/1.1 407 this proxy knows no such user and password',
    'wrong ones, there');
is(on("basic  $basic")->{status}, 200, 'a scheme is told in any case');
is(on($_)->{status}, 407, "not credentials: $_") for 'Basic', 'Basic !!!',
    "Bearer $basic", "Basic " . encode_base64('scraper', ''),
    'Basic ' . encode_base64("scraper:secret\0", ''),
    'Basic ' . encode_base64('scraper:' . 'x' x 2000, '');

# a newer nginx refuses that itself, and closes the connection

$r = on("Basic $basic", "Proxy-Authorization: Basic $basic");
like($r->{line}, qr{^HTTP/1\.1\ 400\ (?:more\ than\ one\ Proxy-Authorization
    |Bad\ Request)$}x, 'two of them');
$s = connection($port{users}) if $r->{line} =~ /Bad Request/;

is(on()->{status}, 407, 'none again: each request is asked');
is(on("Basic $basic", "Authorization: Basic $basic")->{status}, 200,
    'those for the target beside');
$r = request($port{users}, method => 'HEAD', path => "http://$target/",
    headers => ["Host: $target"]);
is($r->{status}, 407, 'HEAD');
is(request($port{users}, method => 'POST', path => "http://$target/",
    headers => ["Host: $target"], body => 'x' x 100_000)->{status}, 407,
    'a body that nobody reads');
unlike(join('', $backend->arrived), qr/proxy-auth/i,
    'a target never sees any of it');


# what targets do

says("http://127.0.0.1:$port{closed}/", "502 127.0.0.1:$port{closed}: connect "
    . "to 127.0.0.1:$port{closed}: connection refused", 'none that listens');
says("http://$bad{closing}/", "502 $bad{closing}: $bad{closing} closed the "
    . 'connection without an answer', 'one that closes');
says("http://$bad{garbage}/", "502 $bad{garbage}: the answer of $bad{garbage} "
    . 'is not valid HTTP', 'one that speaks something else');

my $start = time;
says("http://$bad{silent}/", "504 $bad{silent}: no answer from $bad{silent} "
    . 'within the scrape timeout of 1s', 'one that is silent', headers =>
    [ "Host: $target", 'X-Prometheus-Scrape-Timeout-Seconds: 1' ]);
cmp_ok(time - $start, '<', 1 + 2 * $slow, '... until the deadline');

$r = ask("http://$bad{redirect}/");
is("$r->{status} $r->{headers}{location}",
    '302 http://169.254.169.254/latest', 'a redirect is the client\'s');
is(ask("http://$bad{failing}/")->{body}, "down\n", 'a failure of its own');
is(ask("http://$bad{proxy_auth}/")->{headers}{'www-authenticate'}, 'Basic',
    'what it asks its client for');
is(ask("http://$bad{gzip}/")->{body}, "\x1f\x8b\x08\x00",
    'what is packed stays so');
ok(ask("http://$bad{short}/")->{closed}, 'less than it said');
$s = connection($port{direct});

for (1 .. 2) {
    send_request($s, path => "http://$bad{long}/", keepalive => 1,
        headers => ["Host: $target"]);
    is(read_response($s)->{body}, "up 1\n", 'more than it said');
}

$start = time;
$r = ask("http://$bad{information}/", headers => [ "Host: $target",
    'X-Prometheus-Scrape-Timeout-Seconds: 2' ]);
like($r->{line}, qr{\AHTTP/1\.1 50[24] }, 'answers of 1xx without an end');
cmp_ok(time - $start, '<', 2 + 3 * $slow, '... don\'t go on for ever');

sub resident {
    my ($pid) = $nginx->workers;

    return Nginx::slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}

SKIP: {
    skip 'memory is the sanitizer\'s', 2 if $ENV{MP_SLOW};

    my $before = resident();
    $s = connection($port{plain});
    send_request($s, path => "http://$bad{endless}/",
        headers => ["Host: $target"]);

    my $got = 0;

    while ($got < 100_000_000) {
        my $n = sysread $s, my $text, 1_000_000 or last;
        $got += $n;
    }

    cmp_ok($got, '>=', 100_000_000, 'an answer without an end goes on');
    cmp_ok(resident() - $before, '<', 2000, '... in constant memory');
    close $s;
}


# a client that leaves, and the log

$s = connection($port{direct});
send_request($s, path => "http://$bad{silent}/left", keepalive => 1,
    headers => ["Host: $target"]);
sleep 0.2;
close $s;

my $text;
ok(await(sub {
    $text = Nginx::slurp("$dir/logs/forward.log");
    $text =~ /^$port{direct} $bad{silent} .* 499$/m;
}), 'one that left has a line');

like($text, qr/^$_$/m, "the log: $_") for
    "$port{direct} $target $target allowed \"allow $target\" - 200",
    "$port{plain} $target $target allowed \"allow $target\" - 200",
    "$port{users} $target $target allowed \"allow $target\" scraper 200",
    "$port{users} $target - credentials \"-\" - 407",
    "$port{direct} - - bad \"-\" - 400",
    "$port{direct} 10.9.1.1:9100 - denied \"allow !10.9.0.0/16\" - 403",
    "$port{direct} 127.0.0.2:9100 - special \"-\" - 403",
    "$port{direct} $bad{silent} $bad{silent} late \"allow $bad{silent}\" - "
        . '504',
    "$port{direct} $bad{closing} $bad{closing} unreachable \"allow "
        . "$bad{closing}\" - 502";

$nginx->finish;

done_testing();
