#!/usr/bin/perl

# t/85-query.t: the query proxy of the image, by flags alone or beside all else:
# it answers with a token, a secret is nowhere to be seen, and mistakes are told

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await command directory docker test_image write_file);
use Http qw(connection read_response request send_request);
use Nginx qw(free_port);
use Proxy;
use TokenEndpoint;

my $secret = 'planted-client-secret';
my @confined = ('--cap-drop', 'ALL', '--read-only', '--tmpfs', '/run',
    '--security-opt', 'no-new-privileges');

my $endpoint = TokenEndpoint->new;
my $remote = Backend->new(answer => sub {
    my ($s, $request) = @_;

    sleep 3 if $request =~ m{^GET \S*slow};

    if ($request =~ /^GET \S*again.*^Authorization: Bearer token-1\r$/ms) {
        print $s "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        return 1;
    }

    print $s "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        . "Content-Length: 20\r\n\r\n{\"status\":\"success\"}";

    return 1;
});
my $url = 'http://127.0.0.1:' . $remote->port;


# The proxy alone, in the test's network.

sub start {
    my ($options, @flags) = @_;

    return Container->run(options => [ '--network', 'host', @$options ],
        command => [ 'run', @flags ]);
}


sub refused {
    my ($options, @flags) = @_;

    my $r = Container->run_to_end(options => $options,
        command => [ 'run', @flags ]);

    return ($r->{status}, $r->{out} =~ s/^monitoring-proxy: //gmr);
}


sub answers {
    my ($port, $path, $status, $seconds) = @_;

    return await($seconds // 60, sub {
        request($port, path => $path)->{status} == $status
    });
}


# A certificate, signed by itself: FILE.crt and FILE.key.

sub certificate {
    my ($file) = @_;

    my $r = command('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-days', 2, '-subj', '/CN=test',
        '-addext', 'subjectAltName=DNS:localhost', '-keyout', "$file.key",
        '-out', "$file.crt");
    $r->{status} == 0 or die "openssl: $r->{out}";
    chmod 0644, "$file.key";
}


# help and mistakes

{
    my ($status, $out) = refused([], '--help');

    is($status, 0, 'run --help');
    like($out, qr/^  --prometheus-url URL$/m, 'lists the flags');

    ($status, $out) = refused([ '--user', 1000, @confined ]);
    is($status, 1, 'without a remote it does not start');
    like($out, qr/^no remote: give --prometheus-url URL, /m, 'and says why');

    ($status, $out) = refused([ '-e', 'MONITORING_PROXY_QUERY_PROT=1', '-e',
        'MONITORING_PROXY_POLL=on' ], '--prometheus-url', 'prom:9090',
        '--port', 0, '--azure-client-secret', $secret);
    is($status, 1, 'nor with mistakes');
    like($out, qr/^MONITORING_PROXY_QUERY_PROT: no such variable; /m,
        'a typo is one');
    like($out, qr/^MONITORING_PROXY_POLL: no such variable; /m,
        'so is what has no effect here');
    like($out, qr/^MONITORING_PROXY_QUERY_URL \(--prometheus-url\): begins /m,
        'each is told');
    like($out, qr/^MONITORING_PROXY_QUERY_PORT \(--port\): is no port; /m,
        'in one run');
    unlike($out, qr/\Q$secret\E/, 'without the secret');

    ($status, $out) = refused([], '--promethues-url', $url);
    is($status, 2, 'a flag that there is not');
    like($out, qr/^monitoring-proxy run: no such flag: --promethues-url; /m,
        'is told');

    ($status, $out) = refused([ '--cap-drop', 'ALL' ], '--prometheus-url',
        $url, '--auth', 'none');
    is($status, 1, 'root without capabilities');
    like($out, qr/lacks the capabilities SETUID and SETGID; /, 'is told, too');
}


# as any user, without rights

my $port = free_port();
my $proxy = start([ '--user', 1000, @confined ], '--prometheus-url', $url,
    '--auth', 'oauth2', '--token-url', $endpoint->url('/token'), '--client-id',
    'proxy', '--client-secret', $secret, '--port', $port, '--log-level',
    'debug');

ok(answers($port, '/-/ready', 200), 'any user may run it, read-only and'
    . ' without capabilities') or diag $proxy->logs;

my $seen = $proxy->exec('sh', '-c',
    'for p in /proc/[0-9]*; do tr "\0" "\n" < $p/cmdline; '
    . 'tr "\0" "\n" < $p/environ; done 2> /dev/null')->{out};

like($seen, qr/^keep$/m, 'its processes can be seen');
unlike($seen, qr/\Q$secret\E/, 'and the secret is neither an argument nor in'
    . ' an environment once it answers');

my $r = request($port, path => '/api/v1/query?query=up', headers =>
    [ 'Authorization: Bearer caller', 'Cookie: a=b', 'X-Scope-OrgID: x' ]);

is($r->{body}, '{"status":"success"}', 'the answer of the remote');

my ($arrived) = $remote->arrived;

like($arrived, qr{^GET /api/v1/query\?query=up HTTP/1\.1\r\n},
    'which was asked the same');
like($arrived, qr/^Authorization: Bearer token-1\r$/m, 'with a token');
unlike($arrived, qr/caller|^Cookie|^X-/mi, 'and nothing of the caller\'s');

my ($fetch) = $endpoint->requests('/token');

like($fetch->{headers}{authorization}, qr/^Basic /, 'fetched by the secret');

is(request($port, path => '/api/v1/write', method => 'POST', body => 'x')
    ->{status}, 403, 'it may only be asked');
like(request($port, path => '/api/v1/../x')->{body},
    qr/^\{"status":"error",/, 'in the form of Prometheus\' errors');

for my $unread ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "nonsense\r\n\r\n",
    'GET /' . 'a' x 40_000 . " HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\na: " . 'a' x 40_000 . "\r\n\r\n")
{
    my $r = request($port, raw => $unread);

    is($r->{status} =~ s/14/00/r . " $r->{body}" =~ s/,"error":.*//sr,
        '400 {"status":"error","errorType":"bad_data"',
        'what is no request is answered as by Prometheus\' API');
}

is(request($port, raw => "$_->[0]\r\nHost: a\r\nConnection: close\r\n\r\n")
    ->{body}, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":"
    . "\"$_->[1]\"}\n", "so is: $_->[0]") for
    ['TRACE /api/v1/query HTTP/1.1', 'this is not allowed here'],
    ['GET /api/v1/query HTTP/3.0', 'this is no request of HTTP that could be'
        . ' read'],
    ["POST /api/v1/query HTTP/1.1\r\nTransfer-Encoding: gzip",
        'this is no request of HTTP that could be read'],
    ['GET /query_error HTTP/1.1', 'there is no remote at this path'];

is(request($port, path => $_->[0])->{status}, $_->[1], $_->[0])
    for ['/-/healthy', 200], ['/metrics', 200], ['/-/ready', 200];
is($proxy->exec('/usr/lib/monitoring-proxy/healthcheck')->{status}, 0,
    'the image\'s HEALTHCHECK asks the right port');

ok($proxy->logged(qr{ 127\.0\.0\.1\ "GET\ /api/v1/query\?query=up\ HTTP/1\.1"
    \ 200\ 20\ "remote"\ "127\.0\.0\.1:\d+"\ [\d.]+$}mx, 10),
    'a query has a line in the log') or diag $proxy->logs;

$remote->arrived;
is(request($port, path => '/api/v1/query?query=again')->{status}, 200,
    'a token that the remote refuses is fetched anew');
is(scalar(grep { /^Authorization: Bearer token-[12]\r$/m } $remote->arrived),
    2, 'and the query is asked once more');

my $metrics = request($port, path => '/metrics')->{body};

like($metrics, qr/^monitoring_proxy_query_requests_total\{remote="remote",
    code="200"\}\ 2$/mx, 'metrics count queries');
like($metrics, qr/^monitoring_proxy_query_token_refreshes_total
    \{remote="remote"\}\ 2$/mx, 'and fetched tokens');
unlike($metrics, qr/\Q$secret\E|token-\d/, 'and show none');


# the keeper comes and goes

my ($keeper) = $proxy->pids(qr/^monitoring-proxy-token keep /);
ok($keeper && $proxy->kill('KILL', $keeper), 'the keeper is killed');

my $end = time + 3;
my %status;
my $again;

while (time < $end) {
    $status{ request($port, path => '/api/v1/query?query=up')->{status} }++;
    ($again) = $proxy->pids(qr/^monitoring-proxy-token keep /);
    last if $again && $again != $keeper && time > $end - 2;
}

is_deeply([ keys %status ], [ 200 ], 'queries go on without it');
ok($again && $again != $keeper, 'it is started again');
ok($endpoint->await('/token', 3) >= 3, 'and fetches its own token');
ok(answers($port, '/-/ready', 200), 'which workers hear of');


# nginx comes and goes, with the workers that it leaves

my @workers = $proxy->pids(qr/^nginx: worker/);
ok($proxy->kill('KILL', $proxy->pids(qr/^nginx: master/)), 'nginx is killed');
ok(await(30, sub {
    my %now = map { ($_ => 1) } $proxy->pids(qr/^nginx: worker/);
    %now && !grep { $now{$_} } @workers;
}), 'its workers go, too');
ok(answers($port, '/-/ready', 200), 'it is started again, and is told the'
    . ' token');


# the end waits for what is under way

my $slow = connection($port);
send_request($slow, path => '/api/v1/query?query=slow');
await(10, sub { grep { /slow/ } $remote->arrived }) or diag 'no slow query';

docker('stop', '-t', 20, $proxy->name);
is(read_response($slow)->{status}, 200, 'docker stop waits for a query');
is($proxy->ended, 0, 'and it ends with 0');

my $log = $proxy->logs;

unlike($log, qr/\Q$secret\E|token-\d/, 'no secret and no token in the log');
$proxy->remove;


# as root: nginx's workers and the keeper have no rights; a file of remotes

{
    my $dir = directory();
    my @ports = (free_port(), free_port());

    write_file("$dir/token", "from-a-file\n");
    write_file("$dir/remotes", "a $url/base bearer-file"
        . " file=/etc/monitoring/token\nb $url none port=$ports[1]\n");

    $proxy = start([ @Proxy::confined, '-v', "$dir:/etc/monitoring:ro" ],
        '--port', $ports[0]);

    ok(answers($ports[0], '/-/ready', 200), 'a file of remotes')
        or diag $proxy->logs;
    $remote->arrived;

    is(request($ports[0], path => '/a/api/v1/labels')->{status}, 200,
        'one at /NAME/');
    is(request($ports[1], path => '/api/v1/series')->{status}, 200,
        'one at a port of its own');

    my ($first, $second) = $remote->arrived;

    like($first, qr{^GET /base/api/v1/labels .*^Authorization: Bearer from-a-}ms,
        'with its credentials');
    unlike($second, qr/^Authorization/m, 'and one without any');
    like(request($ports[0], path => '/api/v1/labels')->{body},
        qr/"error":"no remote is here; /, 'at / there is none');

    my ($pid) = $proxy->pids(qr/^monitoring-proxy-token keep /);
    my $status = $proxy->exec('cat', "/proc/$pid/status")->{out};

    like($status, qr/^CapEff:\t0+$/m, 'the keeper has no capabilities');
    like($status, qr/^CapPrm:\t0+$/m, 'nor can it take any');
    like($status, qr/^NoNewPrivs:\t1$/m, 'nor get any');

    ($pid) = $proxy->pids(qr/^nginx: worker/);
    $status = $proxy->exec('cat', "/proc/$pid/status")->{out};
    like($status, qr/^Uid:\t33\t33\t/m, 'nginx\'s workers are www-data\'s');

    is($proxy->exec('s6-setuidgid', 'monitoring', 'ls',
        '/run/monitoring-proxy/query/keeper')->{status}, 2,
        'and no other user can look at the keeper\'s socket');

    # what an earlier run left is in nobody's way

    docker('restart', '-t', 10, $proxy->name);
    ok(answers($ports[0], '/-/ready', 200), 'it starts again')
        or diag $proxy->logs;
    $proxy->remove;
}


# name servers

{
    my $listen = free_port();

    $proxy = start([ '--user', 1000 ], '--prometheus-url', $url, '--auth',
        'none', '--port', $listen);
    ok(answers($listen, '/-/ready', 200), 'one that may be written to')
        or diag $proxy->logs;

    # in place, as docker mounts the file

    docker('exec', '-u', 0, $proxy->name, 'sh', '-c',
        'echo nameserver 192.0.2.53 >> /etc/resolv.conf');
    ok($proxy->logged(qr{^resolver:\ /etc/resolv\.conf\ read\ again:
        \ .*192\.0\.2\.53}mx), 'name servers are followed')
        or diag $proxy->logs;
    ok(answers($listen, '/api/v1/query', 200), 'and it goes on');
    $proxy->remove;
}


# a real Prometheus that wants a password, asked by promtool without one

{
    my $dir = directory();
    my ($to, $listen) = (free_port(), free_port());

    write_file("$dir/prometheus.yml", "global: {}\n");
    write_file("$dir/web.yml", "basic_auth_users:\n  prom: "
        . crypt('word', '$2b$05$abcdefghijklmnopqrstuu') . "\n");
    write_file("$dir/basic", "prom:word\n");

    my $prometheus = Container->run(image => test_image(),
        options => [ '--network', 'host', '-v', "$dir:/etc/test:ro" ],
        command => [ 'prometheus', '--config.file=/etc/test/prometheus.yml',
            '--web.config.file=/etc/test/web.yml', '--storage.tsdb.path=/tmp',
            "--web.listen-address=127.0.0.1:$to" ]);

    $proxy = start([ '--user', 1000, @confined, '-v', "$dir:/etc/test:ro" ],
        '--prometheus-url', "http://127.0.0.1:$to", '--auth', 'basic-file',
        '--file', '/etc/test/basic', '--port', $listen);

    ok(answers($listen, '/api/v1/status/buildinfo', 200),
        'a real Prometheus answers') or diag $proxy->logs;
    is(request($to, path => '/api/v1/labels')->{status}, 401,
        'which wants a password');

    for (['instant', 'vector(1)', qr/^\{\} => 1 @/m],
        ['range', '--start=1', '--end=60', '--step=15s', 'vector(2)',
            qr/^2 @\[1\]$/m],
        ['series', '--match=up', qr/\A\z/], ['labels', 'job', qr/\A\z/])
    {
        my ($what, @args) = @$_;
        my $expected = pop @args;
        my @options = grep { /^--/ } @args;
        my $r = command('promtool', 'query', $what, @options,
            "http://127.0.0.1:$listen", grep { !/^--/ } @args);

        is($r->{status}, 0, "promtool query $what");
        like($r->{out}, $expected, "$what: the answer") or diag $r->{out};
    }

    $proxy->remove;
    $prometheus->remove;
}


# TLS with the remote, by a CA and a client certificate of one's own

{
    my $dir = directory();
    my ($to, $listen) = (free_port(), free_port());

    certificate("$dir/$_") for qw(localhost client stranger);

    my $tls = Container->run(image => test_image(),
        options => [ '--network', 'host', '-v', "$dir:/tls:ro" ],
        command => [ 'openssl', 's_server', '-accept', $to, '-quiet', '-www',
            '-cert', '/tls/localhost.crt', '-key', '/tls/localhost.key',
            '-CAfile', '/tls/client.crt', '-Verify', 1,
            '-verify_return_error' ]);

    my @flags = ('--prometheus-url', "https://localhost:$to", '--auth', 'none',
        '--port', $listen, '--allow', 'all');
    my $asked = sub {
        my ($ca, $client) = @_;

        $proxy = start([ '--user', 1000, @confined, '-v', "$dir:/tls:ro" ],
            @flags, '--ca', "/tls/$ca.crt", '--cert', "/tls/$client.crt",
            '--key', "/tls/$client.key");
        answers($listen, '/-/healthy', 200) or diag $proxy->logs;
        my $r = request($listen, path => '/');
        $proxy->remove;

        return $r;
    };

    my $r = $asked->('localhost', 'client');
    is($r->{status}, 200, 'a certificate of our CA, who knows ours')
        or diag $r->{body};
    like($r->{body}, qr/Client certificate/, 'which has been sent');

    $r = $asked->('client', 'client');
    is($r->{status}, 502, 'of no CA of ours');
    like($r->{body}, qr/"error":"remote: .*certificate/, 'is told');

    is($asked->('localhost', 'stranger')->{status}, 502,
        'and the remote refuses a stranger\'s');
}


# beside all else

{
    my $beside = Proxy->start(targets => "localhost:1 a\n", env => {
        MONITORING_PROXY_QUERY_URL => 'http://127.0.0.1:1',
        MONITORING_PROXY_QUERY_AUTH => 'oauth2',
        MONITORING_PROXY_QUERY_TOKEN_URL => 'http://127.0.0.1:1/token',
        MONITORING_PROXY_QUERY_CLIENT_ID => 'proxy',
        MONITORING_PROXY_QUERY_CLIENT_SECRET => $secret,
        AWS_SECRET_ACCESS_KEY => $secret },
        options => [ @Proxy::confined ]);
    my @to = (9090, host => $beside->address);

    is(request(@to, path => '/-/healthy')->{status}, 200,
        'port 9090 beside the scrape side');
    my $ready = request(@to, path => '/-/ready');
    is($ready->{status}, 503, 'not ready without a token');
    like($ready->{body}, qr/^remote: /m, 'and why');
    is($beside->http(path => '/-/ready')->{status}, 200,
        'which port 80 has nothing to do with');

    my $environment = $beside->exec('sh', '-c',
        'for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || cat $p/environ'
        . ' $p/cmdline; done 2> /dev/null')->{out};
    like($environment, qr/monitoring-proxy-token\0keep/,
        'the keeper, among other processes');
    unlike($environment, qr/\Q$secret\E/, 'no secret in any environment');
    unlike($beside->logs, qr/\Q$secret\E/, 'nor in the log');

    ($r) = $beside->exec('monitoring-proxy', 'check');
    is($r->{status}, 0, 'check') or diag $r->{out};

    my $refused = Proxy->refused(targets => '', env => {
        MONITORING_PROXY_QUERY_URL => 'http://127.0.0.1:1',
        MONITORING_PROXY_QUERY_AUTH => 'none',
        MONITORING_PROXY_QUERY_PORT => 80 });
    like($refused->{out}, qr/^monitoring-proxy:\ MONITORING_PROXY_QUERY_PORT
        \ \(--port\):\ port\ 80\ is\ that\ of\ another\ part/mx,
        'a port that is another\'s');
}

done_testing();
