#!/usr/bin/perl

# t/70-forward.t: the forward proxy of the image: a real Prometheus scrapes real
# exporters through it both ways, and nothing else is reached

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await command directory network read_file test_image
    write_file);
use Http;
use Proxy;

my $port = 4445;
my $dir = directory();
my $network = network();

# what the image promises to do with

my @confined = ('--read-only', '--tmpfs', '/run', '--cap-drop', 'ALL',
    (map { ('--cap-add', $_) } qw(NET_BIND_SERVICE SETGID SETUID SYS_CHROOT)),
    '--security-opt', 'no-new-privileges');

sub hash { crypt $_[0], '$2b$05$abcdefghijklmnopqrstuu' }


# A certificate for names, signed by itself: FILE.crt and FILE.key.

sub certificate {
    my ($file, @names) = @_;

    my $r = command('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-days', 2, '-subj', '/CN=test',
        '-addext', 'subjectAltName=' . join(',', map { "DNS:$_" } @names),
        '-keyout', "$file.key", '-out', "$file.crt");
    $r->{status} == 0 or die "openssl: $r->{out}";
    chmod 0644, "$file.key";

    return $file;
}


# Options of Proxy->start; forward: variables without their prefix.

sub options {
    my (%o) = @_;

    my %forward = %{ delete $o{forward} // {} };

    return (%o, key => undef, env => { %{ $o{env} // {} },
        map { ("MONITORING_PROXY_FORWARD_$_" => $forward{$_}) }
            keys %forward },
        options => [ '-v', "$dir:/forward:ro", @{ $o{options} // [] } ]);
}


# The status line of the last answer, and all that curl said; by the proxy at
# its own name.

sub asks {
    my ($proxy, $url, @options) = @_;

    my $out = command({ seconds => 30 }, 'curl', '-sS', '-i', '-m', 20,
        '--resolve', "proxy:$port:" . $proxy->address, '--proxy-cacert',
        "$dir/proxy.crt", '--cacert', "$dir/exporter.crt",
        '-x', "https://proxy:$port", @options, $url)->{out};
    my @lines = $out =~ m{^HTTP/\S+ ([^\r\n]*)}mg;

    return ($lines[-1] // '', $out);
}


sub says {
    my ($what, $expected, @request) = @_;

    my ($line, $out) = asks(@request);
    like($line, $expected, $what) or diag $out;
}


# off, unless something is allowed

{
    my $proxy = Proxy->start(targets => "localhost:1 a\n");

    ok(!$proxy->listens($port), "nothing listens on $port by default");
}


# an exporter with TLS and a password, and one without

certificate("$dir/exporter", 'exporter');
write_file("$dir/web.yml", "tls_server_config:\n  cert_file: /x/exporter.crt\n"
    . "  key_file: /x/exporter.key\nbasic_auth_users:\n  prom: " . hash('pass')
    . "\n");

my @exporter = ('prometheus-node-exporter', '--collector.disable-defaults',
    '--collector.uname');
my $exporter = Container->run(image => test_image(),
    options => [ '--network', $network, '--network-alias', 'exporter',
        '-v', "$dir:/x:ro" ],
    command => [ @exporter, '--web.config.file=/x/web.yml' ]);
my $plain = Container->run(image => test_image(),
    options => [ '--network', $network, '--network-alias', 'plain' ],
    command => [ @exporter, '--web.listen-address=:9101' ]);


# the proxy, which makes its certificate

write_file("$dir/allow", "# exporters\nexporter:9100 plain:9101\n");
write_file("$dir/users", 'bastion:' . hash('secret') . "\n");

my $etc = directory();
my $key = 'a key of a test, long enough';
my $proxy = Proxy->start(options(directory => $etc, writable => 1,
    network => $network, options => [ '--network', $network,
        '--network-alias', 'proxy', @confined ],
    forward => { ALLOW_FILE => '/forward/allow', CA => '/forward/exporter.crt',
        USERS => '/forward/users', SCHEME => 'auto', HTTP => '*:9101',
        CHECKME_KEY => $key, NAMES => 'proxy, 192.0.2.1 2001:db8::1' }));
my $log = $proxy->logs;

ok($proxy->listens($port), 'it listens, read-only and confined');
like($log, qr/^monitoring-proxy: warning: no certificate in .*: made one;/m,
    'the log says that a certificate was made');

my $tls = "$etc/tls";
my $names = command('openssl', 'x509', '-in', "$tls/server.crt", '-noout',
    '-text')->{out};
my ($fingerprint) = command('openssl', 'x509', '-in', "$tls/server.crt",
    '-noout', '-fingerprint', '-sha256')->{out} =~ /=(\S+)/;

like($names, qr/DNS:proxy, IP Address:192\.0\.2\.1, IP Address:2001:DB8:0/,
    'with the names and addresses given');
like($names, qr/secp384r1/, 'on secp384r1');
is((stat "$tls/server.key")[2] & 0777, 0600, 'its key is root\'s alone');
like($log, qr/fingerprint is \Q$fingerprint\E$/m,
    'the log has its fingerprint');

my ($snippet) = $log =~ /^( +proxy_url: .*?-----END CERTIFICATE-----\n)/ms;
like($snippet // '', qr{\A    proxy_url: https://proxy:$port/\n    tls_config:},
    'and what goes into prometheus.yml');

write_file("$dir/proxy.crt", read_file("$tls/server.crt"));


# by curl

my @as = ('--proxy-user', 'bastion:secret');
my @basic = ('-u', 'prom:pass');

says('http:// is upgraded', qr/^200 /, $proxy, 'http://exporter:9100/metrics',
    @as, @basic);
says('https:// by CONNECT', qr/^200 /, $proxy, 'https://exporter:9100/metrics',
    @as, @basic);
says('by http where that is said', qr/^200 /, $proxy,
    'http://plain:9101/metrics', @as);
says('the exporter\'s own answers pass', qr/^401 Unauthorized/, $proxy,
    'http://exporter:9100/metrics', @as);

for my $scheme ('http', 'https') {
    says("$scheme: who has no password is asked for it", qr/^407 /, $proxy,
        "$scheme://exporter:9100/metrics");
    says("$scheme: nor is a wrong one taken", qr/^407 /, $proxy,
        "$scheme://exporter:9100/metrics", '--proxy-user', 'bastion:wrong');
    says("$scheme: what is not allowed is refused, and why is in the line",
        qr/^403 exporter:9102 is not allowed: no rule /, $proxy,
        "$scheme://exporter:9102/metrics", @as);
    says("$scheme: the proxy's own pages are refused", qr/^403 /, $proxy,
        "$scheme://proxy:80/metrics", @as);
}


# by Prometheus

my $both = read_file("$tls/server.crt") . read_file("$dir/exporter.crt");
my $url = "http" . "s://bastion:secret\@proxy:$port/";

sub job {
    my ($name, $scheme, $target, $proxy_url) = @_;

    return <<"EOT";
  - job_name: $name
    scheme: $scheme
    proxy_url: $proxy_url
    basic_auth: { username: prom, password: pass }
    tls_config: { ca_file: /etc/prometheus/ca.pem }
    static_configs: [ { targets: ['$target'] } ]
EOT
}

my $config = directory();
my $bad = $url =~ s/secret/wrong/r;

write_file("$config/ca.pem", $both);
write_file("$config/prometheus.yml", "global: { scrape_interval: 1s }\n"
    . "scrape_configs:\n"
    . job('upgraded', 'http', 'exporter:9100', $url)
    . job('connect', 'https', 'exporter:9100', $url)
    . job('plain', 'http', 'plain:9101', $url)
    . job('later', 'https', 'exporter:9103', $url)
    . job('refused', 'https', 'exporter:9102', $url)
    . job('refused-http', 'http', 'exporter:9102', $url)
    . job('stranger', 'https', 'exporter:9100', $bad));

my $prometheus = Container->run(image => test_image(),
    options => [ '--network', $network, '-v', "$config:/etc/prometheus:ro" ],
    command => [ 'prometheus', '--config.file=/etc/prometheus/prometheus.yml',
        '--storage.tsdb.path=/tmp/prometheus' ]);

sub target {
    my ($job) = @_;

    my $r = Http::request(9090, host => $prometheus->ip($network),
        path => '/api/v1/targets?state=active');
    my ($target) = grep { $_->{labels}{job} eq $job }
        @{ decode_json($r->{body})->{data}{activeTargets} };

    return $target;
}

sub health {
    my ($job, $health) = @_;

    return await(20, sub { target($job)->{health} eq $health });
}

for my $job (qw(upgraded connect plain)) {
    ok(health($job, 'up'), "Prometheus: $job is up")
        or diag target($job)->{lastError}, $proxy->logs;
}

for (['refused', 'exporter:9102 is not allowed: no rule is for '],
    ['refused-http', '403 exporter:9102 is not allowed: no rule is for '],
    ['stranger', '[Pp]assword|[Cc]redentials|user'])
{
    my ($job, $reason) = @$_;

    ok(health($job, 'down'), "Prometheus: $job is down");
    like(target($job)->{lastError}, qr/$reason/, 'and its page says why');
}


# the allow-list is followed: a rule more, then one with a mistake

sub error { target($_[0])->{lastError} }

like(error('later'), qr/is not allowed/, 'another port is not allowed yet');
write_file("$dir/allow", "exporter:9100,9103 plain:9101\n");
ok(await(10, sub { error('later') =~ /refused/ && 1 }),
    'a rule that is added holds at once, and there is nobody at that port')
    or diag error('later');
write_file("$dir/allow", "exporter:9100 10.0.0.0/40\n");
ok($proxy->logged(qr{/forward/allow:1:\d+: .*40}), 'a mistake is told');
like(error('later'), qr/refused/, 'and changes nothing');


# what is told of all this

ok($proxy->logged(qr{^nginx:\ \S+\ \S+\ GET\ "exporter:9100"\ [\d.]+:9100
    \ allowed\ "/forward/allow:\d+\ exporter:\S+"\ "bastion"\ 200\ \d+
    \ [\d.]+$}mx), 'the log has a line a request') or diag $proxy->logs;
ok($proxy->logged(qr{^nginx:\ \S+\ \S+\ CONNECT\ "exporter:9102"\ -\ denied
    \ "-"\ "bastion"\ 403\ \d+\ [\d.]+$}mx), 'and of CONNECT alike')
    or diag $proxy->logs;

my $metrics = $proxy->scrape('/metrics')->{body};

like($metrics, qr/^monitoring_proxy_forward_requests_total\{proxy="bastion",
    side="connect",decision="denied"\}\ [1-9]/mx, 'metrics by decision');
like($metrics, qr/^monitoring_proxy_forward_target_requests_total\{
    proxy="bastion",target="exporter:9100"\}\ [1-9]/mx, 'and by target');


# CheckMe: as an exporter would see it

{
    my $seen = Container->run(image => test_image(),
        options => [ '--network', $network, '--network-alias', 'seen' ],
        command => [ 'perl', '-MIO::Socket::INET', '-e',
            'my $l = IO::Socket::INET->new(LocalPort => 9101, Listen => 5,
                ReuseAddr => 1); while (my $s = $l->accept) {
                my $text = ""; while (<$s>) { $text .= $_; last if /^\r/ }
                print $s "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
                    . $text; close $s }' ]);

    write_file("$dir/allow", "exporter:9100 plain:9101 seen:9101\n");
    ok(await(15, sub {
        (asks($proxy, 'http://seen:9101/a?b=%2f', @as))[0] =~ /^200/ }),
        'an exporter that tells what it sees');
    my (undef, $out) = asks($proxy, 'http://seen:9101/a?b=%2f', @as, '-H',
        'CheckMe: forged', '-u', 'prom:pass');
    my ($value) = $out =~ /^CheckMe: (v1 .*?)\r?$/m;

    like($out, qr{^GET /a\?b=%2f HTTP/1\.1\r$}m, 'the path is as it came');
    like($out, qr{^Authorization: Basic }m, 'its own password is there');
    like($out, qr{^Host: seen:9101\r$}m, 'Host is the target');
    unlike($out, qr{^(?:Proxy-|X-Forwarded|X-Real)}mi,
        'and nothing of the proxy\'s or of its client\'s');
    unlike($out, qr{forged}, 'nor a CheckMe of somebody else\'s');

    my $r = $proxy->exec('monitoring-proxy', 'checkme', $value // '');
    is($r->{status}, 0, 'checkme verifies it') or diag $r->{out};
    like($r->{out}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ seen:9101 \d+\n\z/,
        'and prints time, target and age');
    $r = $proxy->exec('monitoring-proxy', 'checkme',
        ($value // '') =~ s/seen/else/r);
    is($r->{status}, 1, 'one that was changed is none');
    like($r->{out}, qr/not made with this proxy's key/, 'and is told so');
}


# the certificate stays, and another one is taken without a restart

is($proxy->exec('monitoring-proxy', 'check')->{status}, 0,
    'check finds no mistake while it runs');

Container::docker('restart', '-t', 10, $proxy->name);
ok($proxy->ready, 'it starts again');
is(read_file("$tls/server.crt"), read_file("$dir/proxy.crt"),
    'with the same certificate');

certificate("$dir/other", 'proxy');
write_file("$tls/server.key", read_file("$dir/other.key"), 0600);
write_file("$tls/server.crt", read_file("$dir/other.crt"));
ok($proxy->logged(qr/^certificates: read again: /m),
    'one that takes its place is read');
write_file("$dir/proxy.crt", read_file("$dir/other.crt"));
ok(await(10, sub {
    (asks($proxy, 'http://plain:9101/metrics', @as))[0] =~ /^200/ }),
    'and shown') or diag((asks($proxy, 'http://plain:9101/metrics', @as))[1]);


# a directory that can't be written

{
    my $poor = Proxy->start(options(directory => directory(), forward => {
        ALLOW => 'exporter:9100', SCHEME => 'http',
        FROM => '127.0.0.1, 192.0.2.0/24' },
        options => [ '--network', $network, @confined ],
        network => $network));

    like($poor->logs, qr/NO CERTIFICATE in .*WHICH CAN'T BE WRITTEN: made one/,
        'where no certificate can be kept, one is made, and told');
    like($poor->logs, qr{who may use port 4445: from 127\.0\.0\.1 192\.0\.2\.},
        'the log says who may use it');

    my ($line) = asks($poor, 'http://exporter:9100/', '--proxy-insecure');
    like($line, qr/^403 /, 'others may not') or diag $poor->logs;
}


# mistakes, each with its variable and what is allowed

write_file("$dir/wrong", "exporter:9100\n10.0.0.0/40\n");
write_file("$dir/bad-users", "bastion:plain\n");
write_file("$dir/none.pem", "no certificate\n");

my %right = (ALLOW => 'exporter:9100', CA => '/forward/exporter.crt');

for ([ 'a rule', { ALLOW => 'a:9100 10.0.0.0/40:9100 b:9100' },
        qr/_ALLOW: "10\.0\.0\.0\/40:9100": .*prefix length/ ],
    [ 'a rule with quotes', { ALLOW => 'a:9100 "b;}' },
        qr/_ALLOW: "\"b;\}": / ],
    [ 'no rule', { ALLOW => " \n" }, qr/_ALLOW: has no rule/ ],
    [ 'a switch', { ALLOW => 'off' }, qr/_ALLOW: "off" is no rule; .*unset/ ],
    [ 'a comma', { ALLOW => 'a:9100, b:9100' },
        qr/_ALLOW: "a:9100,": .*rules by white space/ ],
    [ 'both lists', { ALLOW_FILE => '/forward/allow' },
        qr/_ALLOW_FILE: is set, and .* one of them is allowed/ ],
    [ 'a file', { ALLOW => '', ALLOW_FILE => '/forward/wrong' },
        qr{_ALLOW_FILE: /forward/wrong:2:\d+: .*prefix} ],
    [ 'no file', { ALLOW => '', ALLOW_FILE => '/forward/missing' },
        qr{_ALLOW_FILE: /forward/missing does not exist} ],
    [ 'no list', { ALLOW => '' }, qr/_CA: is set, but neither .*ALLOW_FILE/ ],
    [ 'no CA', { CA => '' }, qr/_CA: is not set; .*VERIFY=off/ ],
    [ 'both', { VERIFY => 'off' }, qr/_VERIFY: is "off", but .*_CA is set/ ],
    [ 'on', { CA => '', VERIFY => 'on' }, qr/_VERIFY: "on" is not allowed/ ],
    [ 'an empty CA', { CA => '/forward/none.pem' },
        qr/_CA: .* has no certificate in it/ ],
    [ 'scheme', { SCHEME => 'ftp' },
        qr/_SCHEME: "ftp" is not allowed; "https", "http" or "auto" is/ ],
    [ 'auto alone', { SCHEME => 'auto' }, qr/_HTTP: is not set/ ],
    [ 'http alone', { HTTP => '*:9101' }, qr/_HTTP: is set, but .*"auto"/ ],
    [ 'http', { SCHEME => 'auto', HTTP => 'a b/8' }, qr/_HTTP: "b\/8": / ],
    [ 'a network', { FROM => '10.0.0.1/8' }, qr/_FROM: "10\.0\.0\.1\/8": / ],
    [ 'an address', { FROM => 'here' }, qr/_FROM: "here" is no address/ ],
    [ 'users', { USERS => '/forward/bad-users' },
        qr{_USERS: /forward/bad-users:1:} ],
    [ 'client CA', { CLIENT_CA => '/forward/none.pem' },
        qr/_CLIENT_CA: .* has no certificate/ ],
    [ 'a name', { NAMES => 'a b/c' }, qr/_NAMES: "b\/c" is no name/ ],
    [ 'a pattern', { NAMES => '*' }, qr/_NAMES: "\*" is no name/ ],
    [ 'a short key', { CHECKME_KEY => 'short' },
        qr/_CHECKME_KEY: is a key of less than 16 bytes/ ],
    [ 'a key of bytes', { CHECKME_KEY => "0123456789abc\tdef" },
        qr/_CHECKME_KEY: has several lines or control characters/ ],
    [ 'two keys', { CHECKME_KEY => $key, CHECKME_KEY_FILE => '/forward/allow' },
        qr/_CHECKME_KEY_FILE: is set, and / ])
{
    my ($what, $forward, $told) = @$_;
    my %forward = (%right, %$forward);
    delete $forward{$_} for grep { $forward{$_} eq '' } keys %forward;
    my $r = Proxy->refused(options(forward => \%forward));

    ok($r->{status} != 0 && $r->{out} =~
        /^monitoring-proxy: MONITORING_PROXY_FORWARD$told/m,
        "a mistake is told: $what") or diag $r->{out};
    unlike($r->{out}, qr/^monitoring-proxy: nginx: /m,
        'and not by nginx\'s words') if $r->{out} =~ /nginx:/;
}


# loud warnings

{
    my $careless = Proxy->start(options(forward => { ALLOW => '*:9100',
        VERIFY => 'off' }));

    like($careless->logs, qr/warning: EXPORTERS' CERTIFICATES ARE NOT VERI/,
        'that nothing is verified is told loudly');
    like($careless->logs, qr/warning: who may use port 4445: ANYONE/,
        'and that anyone may use it');

    # in place, as docker mounts the file

    $careless->exec('sh', '-c', 'cp /etc/resolv.conf /tmp/a; '
        . '(cat /tmp/a; echo nameserver 192.0.2.53) > /etc/resolv.conf');
    ok($careless->logged(qr{^resolver:\ /etc/resolv\.conf\ read\ again:
        \ .*192\.0\.2\.53}mx), 'name servers are followed')
        or diag $careless->logs;
    ok($careless->ready, 'and it goes on');
}

# a certificate that is not its key's, or alone

{
    my $other = directory();
    mkdir "$other/tls";
    write_file("$other/tls/server.crt", read_file("$dir/exporter.crt"));

    my $r = Proxy->refused(options(directory => $other, forward => \%right));
    like($r->{out}, qr{tls/server\.key: does not exist, but server\.crt does},
        'a certificate without a key is told');

    write_file("$other/tls/server.key", read_file("$dir/other.key"), 0600);
    $r = Proxy->refused(options(directory => $other, forward => \%right));
    like($r->{out}, qr{tls/server\.crt: does not go with server\.key: },
        'and one with another\'s');
}

done_testing();
