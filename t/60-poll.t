#!/usr/bin/perl

# t/60-poll.t: poll clients and the image: what listens, who may do what, and
# what a mistake in its variables says

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use FindBin;
use JSON::PP;
use POSIX ();
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command directory docker write_file);
use Http;
use Poll;
use Proxy;

my $port = 8080;
my $dir = directory();
my @nofile = ('--ulimit', 'nofile=20000');


# Container with the poll transport. Options are those of Proxy->start, and
# poll: variables without their prefix.

sub options {
    my (%o) = @_;

    my %poll = %{ delete $o{poll} // {} };

    return (%o, key => undef, env => { MONITORING_PROXY_POLL => 'on',
        map { ("MONITORING_PROXY_POLL_$_" => $poll{$_}) } keys %poll },
        options => [ @nofile, '-v', "$dir:/poll", @{ $o{options} // [] } ]);
}

sub start { return Proxy->start(options(@_)) }


# A client that asks at the proxy, and a scraper, by address.

sub asks {
    my ($proxy, $name, %o) = @_;

    return poll($port, $name, on => Http::connection($port, $proxy->address),
        %o);
}

sub scrapes {
    my ($proxy, $url, %o) = @_;

    return scrape($port, $url, timeout => 5,
        on => Http::connection($port, $proxy->address), %o);
}

sub pushes {
    my ($proxy, $id, %o) = @_;

    return Http::request($port, host => $proxy->address, method => 'POST',
        path => '/push', body => answer_of($id, %o),
        headers => $o{request} // []);
}

sub clients {
    my ($proxy) = @_;

    my $r = Http::request($port, host => $proxy->address, path => '/clients');

    return join ' ', sort map { @{ $_->{targets} } }
        @{ decode_json($r->{body}) };
}

sub bearer { [ "Authorization: Bearer $_[0]" ] }


# Waits until a name is listed.

sub listed {
    my ($proxy, $name) = @_;

    return await(60, sub { clients($proxy) =~ /\b\Q$name\E\b/ });
}


# off, unless it is on

{
    my $proxy = Proxy->start(targets => "localhost:1 a\n");

    ok(!$proxy->listens($port), 'nothing listens on 8080 by default');
}


# as PushProx is started: nothing but "on"

my $proxy = start(targets => "localhost:20001 external-host-1\n");
my $log = $proxy->logs;

like($log, qr/^monitoring-proxy: poll transport on port 8080, without TLS$/m,
    'the log says that it is on');
like($log, qr/^monitoring-proxy: warning: who may poll: anyone /m,
    'and who may poll');
like($log, qr/^monitoring-proxy: warning: who may scrape: anyone /m,
    'and who may scrape');
unlike($log, qr/nobody can open tunnels/, 'hosts needn\'t have tunnels');

my $r = Http::request($port, host => $proxy->address, path => '/-/healthy');
is($r->{status}, 200, '/-/healthy is there for load balancers');
$r = Http::request($port, host => $proxy->address, path => '/other');
is("$r->{status} $r->{headers}{'content-type'}", '404 text/plain',
    'another page is none');
$r = Http::request($port, host => $proxy->address, path => '/metrics');
like($r->{body}, qr/^pushprox_proxy_clients 0$/m,
    '/metrics has PushProx\'s names');
is(clients($proxy), '', '/clients is empty');

my $client = asks($proxy, 'host-1', labels => 'env="prod"');
ok(listed($proxy, 'host-1'), 'a client is listed');

my $scraper = scrapes($proxy, 'http://host-1:9100/metrics');
my $handed = handed($client);
is($handed->{uri}, 'http://host-1:9100/metrics', 'it is handed the scrape');
is(pushes($proxy, $handed->{id}, body => "up 1\n")->{status}, 200,
    'its push is taken');
$r = scraped($scraper);
is("$r->{status} $r->{body}", "200 up 1\n", 'and answers the scrape');

$r = scraped(scrapes($proxy, 'http://host-2:9100/metrics'));
is($r->{status}, 503, 'no client: 503');
like($r->{body}, qr/\Ahost-2: .*\n\z/, 'in one line');

for my $path ('/poll', 'http://host-1:9100/metrics') {
    $r = Http::request($port, host => $proxy->address, method => 'POST',
        path => $path, body => 'x' x 5000);
    is("$r->{status} $r->{headers}{'content-type'}", '413 text/plain',
        "5000 bytes for $path are refused");
}

# what nginx refuses by itself, in a line too: its page says nothing

sub refused {
    my ($what, $status, $line, @args) = @_;

    my $out = command({ seconds => 30 }, 'curl', '-sS', '-m', '10', '-i',
        @args)->{out};
    my ($head, $body) = split /\r?\n\r?\n/, $out, 2;

    like($head, qr{\AHTTP/\S+ $status .*^Content-Type: text/plain\s}ms,
        "$what: $status, no page");
    like($body, qr/\A$line[^\n]*\n\z/, 'but a line that says why');
}

my $at = $proxy->address . ":$port";

refused('a name with "_"', 400, 'a name with _ ', '-x', "http://$at",
    'http://host_1:9100/metrics');
refused('a header that is too long', 400, 'a line of the request is ',
    '-H', 'A: ' . 'a' x 40000, "http://$at/clients");
refused('a wrong path', 400, 'nginx does not take this ', "http://$at/%zz");
refused('TRACE', 405, 'nginx does not take this ', '-X', 'TRACE',
    "http://$at/poll");
like(command({ seconds => 30 }, 'curl', '-sS', '-m', '10', '-o', '/dev/null',
    '-w', '%{http_connect}', '-x', "http://$at", 'https://host-1/')->{out},
    qr/400/, 'CONNECT is refused');
like(Http::request($port, host => $proxy->address, path => '/metrics')
    ->{body}, qr/^pushproxy_proxied_requests_total\{code="400"\} [1-9]/m,
    'what was refused so is counted');

ok($proxy->logged(qr{"GET http://host-1:9100/metrics HTTP/1\.1" 200 }),
    'a scrape is logged');
ok($proxy->logged(qr{"POST /poll HTTP/1\.1" 413 }),
    'and a poll that went wrong');
unlike($proxy->logs, qr{"POST /(?:poll|push) HTTP/1\.1" 200 }, 'but no other');


# port 80: /NAME/ and the pages

$client = asks($proxy, 'host-1', labels => 'env="prod"');
ok(listed($proxy, 'host-1'), 'it polls again');

SKIP: {
    skip 'clients are no targets yet', 3
        unless await(60, sub { $proxy->scrape('/targets')->{body}
            =~ /"host-1"/ });

    my $s = Http::connection(80, $proxy->address);
    Http::send_request($s, path => '/host-1/metrics?a=b');
    $handed = handed($client);
    is($handed->{uri}, 'http://host-1:9100/metrics?a=b',
        '/NAME/metrics of port 80 reaches the client');
    pushes($proxy, $handed->{id}, body => "up 2\n");
    $r = Http::read_response($s);
    is("$r->{status} $r->{body}", "200 up 2\n", 'and has its answer');

    my ($group) = grep { $_->{labels}{instance} eq 'host-1' }
        @{ decode_json($proxy->scrape('/targets')->{body}) };
    is($group->{labels}{env}, 'prod', '/targets has its label');
}


# 256 MB pass, in constant memory: what workers ever had, in kB

sub most {
    my $kb = 0;

    for ($proxy->pids(qr/^nginx: worker/)) {
        my ($peak) = $proxy->exec('cat', "/proc/$_/status")->{out}
            =~ /^VmHWM:\s+(\d+)/m;
        $kb += $peak // 0;
    }

    return $kb;
}

{
    my $before = most();
    my $size = 256 * 1024 * 1024;

    $client = asks($proxy, 'large');
    listed($proxy, 'large');
    $scraper = scrapes($proxy, 'http://large:9100/metrics', timeout => 60);
    $handed = handed($client);

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my $s = Http::connection($port, $proxy->address);
        my $head = "HTTP/1.1 200 OK\r\nContent-Length: $size\r\n"
            . "Id: $handed->{id}\r\n\r\n";
        my $part = "metric_with_a_name 1234\n" x 2730;
        my $left = $size;

        print $s "POST /push HTTP/1.1\r\nHost: proxy\r\nId: $handed->{id}\r\n"
            . 'Content-Length: ' . ($size + length $head) . "\r\n\r\n$head";

        while ($left > 0) {
            my $n = $left < length $part ? $left : length $part;
            my $sent = syswrite $s, $part, $n;
            last unless $sent;
            $left -= $sent;
        }

        my $line = <$s> // '';
        POSIX::_exit($line =~ / 200 / ? 0 : 1);
    }

    my ($read, $text, $head) = (0, '');

    while (my $n = sysread $scraper, $text, 1 << 20, length $text) {
        $read += $n;

        if (!defined $head && $text =~ /\A(.*?\r\n\r\n)/s) {
            $head = length $1;
        }

        $text = '' if defined $head;
        last if defined $head && $read >= $head + $size;
    }

    is($read - ($head // 0), $size, '256 MB arrive');
    waitpid $pid, 0;
    is($?, 0, 'and the push is answered');

    my $more = most() - $before;
    cmp_ok($more, '<', 4096, "in $more kB more of the workers' memory");
}

is($proxy->exec('monitoring-proxy', 'check')->{status}, 0,
    'check finds no mistake while it runs');


# scrapers by address; the test's own isn't among them

$proxy = start(poll => { SCRAPERS => '192.0.2.0/24, 2001:db8::1' });

ok($proxy->logged(qr/who may scrape: 192\.0\.2\.0\/24 2001:db8::1$/m),
    'the log says who may scrape');

$client = asks($proxy, 'host-1', wait => 2);
$r = scraped(scrapes($proxy, 'http://host-1:9100/metrics'));
is("$r->{status} $r->{headers}{'content-type'}", '403 text/plain',
    'a neighbour can\'t scrape');
like($r->{body}, qr/\A[0-9.]+ may not scrape here: .*POLL_SCRAPERS\n\z/,
    'and is told why');
$r = Http::request($port, host => $proxy->address, path => "/$_"),
    is($r->{status}, 403, "nor see /$_") for qw(clients metrics);
is(handed($client)->{status}, 204, 'but poll');


# behind a load balancer, the address is the one that it tells

$proxy = start(poll => { SCRAPERS => '192.0.2.0/24' }, options => [ '-v',
    write_file("$dir/own", "set_real_ip_from 0.0.0.0/0;\n"
        . "real_ip_header X-Forwarded-For;\n")
        . ':/etc/nginx/conf.d/monitoring-proxy-poll.conf' ]);

for (['192.0.2.1', 503], ['192.0.3.1', 403]) {
    my ($address, $status) = @$_;

    $r = scraped(scrapes($proxy, 'http://host-1:9100/metrics',
        headers => [ "X-Forwarded-For: $address" ]));
    is($r->{status}, $status, "$status for $address behind a load balancer");
}


# scrapers by password, as Prometheus' proxy_url sends it

my $crypted = command('openssl', 'passwd', '-6', 'secret')->{out};
write_file("$dir/passwords", "# scrapers\nprometheus:$crypted");

$proxy = start(poll => { PASSWORDS => '/poll/passwords' });
like($proxy->logs, qr{who may scrape: those of /poll/passwords$}m,
    'the log says whose passwords');

for ([ '', 407 ], [ 'prometheus:wrong@', 407 ], [ 'prometheus:secret@', 503 ])
{
    my ($user, $status) = @$_;

    like(command('curl', '-sS', '-i', '-x', "http://$user" . $proxy->address
        . ':8080', 'http://host-1:9100/metrics')->{out}, qr/\AHTTP\S+ $status /,
        "$status for proxy_url with \"$user\"");
}

refused('no password', 407, 'a user of MONITORING_PROXY_POLL_PASSWORDS ',
    '-x', 'http://' . $proxy->address . ":$port", 'http://host-1/');

$r = Http::request($port, host => $proxy->address, path => '/clients');
is("$r->{status} $r->{headers}{'www-authenticate'}",
    '401 Basic realm="Monitoring Proxy"', '/clients wants it, too');
is(handed(asks($proxy, 'host-1', wait => 1))->{status}, 204,
    'clients need none');


# tokens: polled under one's own name only; the file is followed

write_file("$dir/tokens", "host-1 sha256:" . sha256_hex('one')
    . "\nhost-2 sha256:" . sha256_hex('two') . "\n");

$proxy = start(poll => { TOKENS => '/poll/tokens' });

like($proxy->logs, qr/who may poll: a name's token in \/poll\/tokens$/m,
    'the log says who may poll');
like($proxy->logs, qr/warning: tokens pass without TLS/, 'and what is missing');

sub poll_status {
    my ($name, $token) = @_;

    return handed(asks($proxy, $name, wait => 1,
        headers => defined $token ? bearer($token) : []))->{status};
}

is(poll_status('host-1'), 403, 'no token, no poll');
is(poll_status('host-1', 'three'), 403, 'nor with anything');
is(poll_status('host-2', 'one'), 403, 'nor for a neighbour');
is(poll_status('Host-1', 'one'), 204, 'but for one\'s own name');

$client = asks($proxy, 'host-1', headers => bearer('one'));
listed($proxy, 'host-1');
$scraper = scrapes($proxy, 'http://host-1:9100/metrics');
$handed = handed($client);
is(pushes($proxy, $handed->{id}, request => bearer('two'))->{status}, 403,
    'a neighbour can\'t answer the scrape');
is(pushes($proxy, $handed->{id}, request => bearer('one'))->{status}, 200,
    'the client can');
is(scraped($scraper)->{status}, 200, 'and does');

$r = $proxy->exec('monitoring-proxy', 'token', 'host-3');
is($r->{status}, 0, 'monitoring-proxy token');
my ($token) = $r->{out} =~ /^([0-9a-f]{64})$/m;
like($r->{out}, qr/written to \/poll\/tokens: host-3 sha256:[0-9a-f]{64}$/m,
    'writes the line');
ok(await(60, sub { poll_status('host-3', $token) == 204 }),
    'and the token is taken without a signal');
isnt($proxy->exec('monitoring-proxy', 'token', 'a/b')->{status}, 0,
    'no token for what is no name');

write_file("$dir/tokens", "host-1 one\n");
ok($proxy->logged(qr{/poll/tokens:1:8: not a token's hash}),
    'a mistake is logged with its place');
is(poll_status('host-1', 'one'), 204, 'and changes nothing');

write_file("$dir/tokens", '');
ok(await(60, sub { poll_status('host-1', 'one') == 403 }),
    'a token that was taken out is refused');


# TLS, and names by certificate, asked by curl

sub certificate {
    my ($name, $subject, @by) = @_;

    my $made = command('openssl', 'req', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-x509', '-days', '7',
        '-subj', $subject, @by, '-keyout', "$dir/$name.key", '-out',
        "$dir/$name.crt");

    $made->{status} == 0 or die "openssl: $made->{out}";
    chmod 0644, "$dir/$name.key";
}

sub by { ('-CA', "$dir/$_[0].crt", '-CAkey', "$dir/$_[0].key") }

sub curl {
    my (@args) = @_;

    return command({ seconds => 30 }, 'curl', '-sS', '-k', '--proxy-insecure',
        '-m', '10', '-w', '%{http_code} %{http_version}', @args)->{out};
}

certificate('server', '/CN=proxy');
certificate('ca', '/CN=ca');
certificate('other', '/CN=ca');
certificate('host-1', '/O=CN=host-2/CN=host-1', by('ca'));
certificate('san', '/CN=host-2', '-addext', 'subjectAltName=DNS:host-4,'
    . 'DNS:*.example.com,DNS:host-4.example.com', by('ca'));
certificate('wild', '/CN=host-5', '-addext',
    'subjectAltName=DNS:*.example.com', by('ca'));
certificate('foreign', '/CN=host-1', by('other'));

my %tls = (CERTIFICATE => '/poll/server.crt', KEY => '/poll/server.key',
    CLIENT_CA => '/poll/ca.crt');

$proxy = start(poll => { %tls, SCRAPERS => 'none' });
my $url = 'https://' . $proxy->address . ':8080';

sub polled {
    my ($name, $as) = @_;

    return (split / /, curl(defined $as ? ('--cert', "$dir/$as.crt", '--key',
        "$dir/$as.key") : (), '-H', 'Prefer: wait=1', '-d', $name,
        '-o', '/dev/null', "$url/poll"))[0];
}

like($proxy->logs, qr/poll transport on port 8080, with TLS$/m,
    'the log says that there is TLS');
is(polled('host-1', 'host-1'), 204, 'the CN of a certificate is a name');
is(polled('host-2', 'host-1'), 403, 'its other parts are none');
is(polled('host-4', 'san'), 204, 'a DNS name of a certificate is one');
is(polled('host-4.example.com', 'san'), 204, 'each of its DNS names is');
is(polled('a.example.com', 'san'), 403, 'what a "*" would fit is not');
is(polled('host-2', 'san'), 403, 'and then its CN is none');
is(polled('host-5', 'wild'), 403, 'nor where its DNS names are no client\'s');
is(polled('host-1'), 403, 'no certificate, no poll');
is(polled('host-1', 'foreign'), 400, 'nor with one of another CA');
is(curl('-o', '/dev/null', "$url/-/healthy"), '200 2',
    'clients have HTTP/2');
$at = $proxy->address . ":$port";
refused('plain HTTP', 400, 'this port speaks TLS ', "http://$at/poll");
refused('a foreign certificate', 400, 'the certificate is not taken: ',
    '-k', '--http1.1', '--cert', "$dir/foreign.crt", '--key',
    "$dir/foreign.key", "https://$at/poll");
is((split / /, curl('-o', '/dev/null', '-x', $url, 'http://host-1/'))[0], 403,
    'with "none" nobody scrapes here');

# renewed, one file after the other

sub serial {
    return command('sh', '-c', 'openssl s_client -connect '
        . $proxy->address . ':8080 < /dev/null 2> /dev/null'
        . ' | openssl x509 -noout -serial')->{out};
}

my $serial = serial();
like($serial, qr/^serial=\w+$/m, 'the certificate has a serial number');

my $key = Container::read_file("$dir/server.key");
certificate('new', '/CN=proxy');
write_file("$dir/server.crt", Container::read_file("$dir/new.crt"));
ok($proxy->logged(qr/^certificates: not taken: \S+; what it was before/m),
    'a certificate without its key is not taken');
is(serial(), $serial, 'the one before stays');
write_file("$dir/server.key", Container::read_file("$dir/new.key"));
ok($proxy->logged(qr/^certificates: read again: /m),
    'a renewed pair is');
ok(await(60, sub { serial() ne $serial }), 'and is in use');
is(polled('host-1', 'host-1'), 204, 'polls go on');

# what Prometheus asks by must not be HTTP/2; see rootfs

$proxy = start(poll => { %tls });
$url = 'https://' . $proxy->address . ':8080';
is(curl('-o', '/dev/null', "$url/-/healthy"), '200 1.1',
    'where scrapers ask, it is HTTP/1.1 alone');
is((split / /, curl('-o', '/dev/null', '-x', $url, 'http://host-1/'))[0], 503,
    'a scrape through a proxy_url with TLS');


# mistakes, each with its variable

mkdir "$dir/directory";
write_file("$dir/empty", '');
write_file("$dir/wrong", "host-1\n");
write_file("$dir/encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII\n");
certificate('pair', '/CN=pair');

my %pair = (CERTIFICATE => '/poll/pair.crt', KEY => '/poll/pair.key');

# by check, beside the proxy that runs

sub mistaken {
    my ($variable, $poll, $pattern, $on) = @_;

    my %env = ('' => $on // 'on', map { $_ => '' } qw(_CERTIFICATE _KEY
        _CLIENT_CA _TOKENS _SCRAPERS _PASSWORDS));
    $env{"_$_"} = $poll->{$_} for keys %$poll;

    my $r = docker('exec', (map { ('-e', "MONITORING_PROXY_POLL$_=$env{$_}") }
        sort keys %env), $proxy->name, 'monitoring-proxy', 'check');

    isnt($r->{status}, 0, "MONITORING_PROXY_POLL$variable: $pattern");
    like($r->{out}, qr/^MONITORING_PROXY_POLL$variable: .*$pattern/m,
        'is told');
}

mistaken('', {}, qr/"yes" is not allowed; "on" or "off" is/, 'yes');
mistaken('_TOKENS', { TOKENS => '/poll/tokens' },
    qr/is set, but MONITORING_PROXY_POLL is not "on"/, 'off');
mistaken('_KEY', { CERTIFICATE => '/poll/pair.crt' }, qr/is not set/);
mistaken('_CERTIFICATE', { KEY => '/poll/pair.key' }, qr/is not set/);
mistaken('_CERTIFICATE', { %pair, CERTIFICATE => '/poll/none' },
    qr{/poll/none does not exist; give the path});
mistaken('_CERTIFICATE', { %pair, CERTIFICATE => 'pair.crt' },
    qr/"pair\.crt" is not an absolute path/);
mistaken('_CERTIFICATE', { %pair, CERTIFICATE => '/poll/a;b' },
    qr/has characters that no path here may have/);
mistaken('_CERTIFICATE', { %pair, CERTIFICATE => '/poll/empty' },
    qr/has no certificate in it/);
mistaken('_CERTIFICATE', { %pair, KEY => '/poll/ca.key' },
    qr/does not go with MONITORING_PROXY_POLL_KEY: .*mismatch/);
mistaken('_KEY', { %pair, KEY => '/poll/pair.crt' },
    qr/has no private key in it/);
mistaken('_KEY', { %pair, KEY => '/poll/encrypted' }, qr/is encrypted/);
mistaken('_CLIENT_CA', { CLIENT_CA => '/poll/ca.crt' }, qr/needs TLS/);
mistaken('_CLIENT_CA', { %pair, CLIENT_CA => '/poll/directory' },
    qr{/poll/directory: is a directory});
mistaken('_TOKENS', { TOKENS => '/poll/none' }, qr/does not exist/);
mistaken('_PASSWORDS', { PASSWORDS => '/poll/passwords', SCRAPERS => 'none' },
    qr/is set, but MONITORING_PROXY_POLL_SCRAPERS is "none"/);
mistaken('_PASSWORDS', { PASSWORDS => '/poll/wrong' },
    qr/line 1 of \/poll\/wrong is not USER:HASH/);
mistaken('_SCRAPERS', { SCRAPERS => $_->[0] },
    qr/"\Q$_->[1]\E" is no address or network/)
    for [ '10.0.0.0/8,host', 'host' ], [ '10.0.0.0/33', '10.0.0.0/33' ],
        [ '10.0.0', '10.0.0' ], [ '10.0.0.256', '10.0.0.256' ],
        [ 'fd00:::1', 'fd00:::1' ], [ 'fd00::/129', 'fd00::/129' ],
        [ '1:2:3', '1:2:3' ], [ 'all', 'all' ], [ '1.2.3.4;', '1.2.3.4;' ];

$r = Proxy->refused(options(poll => { TOKENS => '/poll/wrong' }));
isnt($r->{status}, 0, 'a mistake in the file of tokens ends the container');
like($r->{out}, qr{/poll/wrong:1:1: no hash behind the name},
    'is told with its place');


# as many clients as files may be open, which are 10,000 with 20,000 files

for ([ 20_000, '' ], [ 4096, 'which is enough for 3024 poll clients' ]) {
    my ($files, $told) = @$_;

    my $said = docker('run', '--rm', '--ulimit', "nofile=$files", '-e',
        'MONITORING_PROXY_POLL=on', Container::image(), 'check')->{out};
    my ($line) = $said =~ /warning: open files: .*?, (which .*?);/;

    is($line // '', $told, "what is told where $files files may be open");
}

done_testing();
