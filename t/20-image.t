#!/usr/bin/perl

# t/20-image.t: the image as its user meets it

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await build docker directory image write_file);
use Http;
use Proxy qw(key public_key);

my $exporter = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($path) = $request =~ /^\S+ (\S+)/;
    print $s "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nup $path\n";

    return 0;
});

my $targets = "localhost:20001 external-host-1\n";

my $conf = <<'EOF';
location /own/ {
    proxy_pass http://localhost:20001/base/;
}
location /external-host-1/special/ {
    return 200 "special\n";
}
location = /metrics {
    return 200 "mine: metrics\n";
}
location / {
    return 200 "mine: $uri\n";
}
EOF


sub body {
    my ($proxy, $path) = @_;

    my $r = $proxy->scrape($path);

    return "$r->{status} $r->{body}";
}


# what the image says of itself

my ($config) = @{ decode_json(docker('image', 'inspect', image())->{out}) };
$config = $config->{Config};

is_deeply([ sort keys %{ $config->{ExposedPorts} } ], [ '22/tcp',
    '4443/tcp', '4445/tcp', '51820/udp', '80/tcp', '8080/tcp', '9090/tcp' ],
    'ports 22, 80, 4443, 4445, 8080, 9090 and 51820/udp are exposed');

for my $label (qw(title description source revision version created licenses
    base.name))
{
    ok(exists $config->{Labels}{"org.opencontainers.image.$label"},
        "the label $label is there");
}

like($config->{Labels}{"org.opencontainers.image.$_"}, qr/\w/,
    "the label $_ says something") for qw(title description licenses version
    base.name);

is($config->{User} || 'root', 'root', 'starts as root, for sshd');


# docker run, as the issue has it

my $proxy = Proxy->start(targets => $targets, options => [
    '-p', '127.0.0.1::22', '-p', '127.0.0.1::80',
    '--health-interval', '1s', '--health-timeout', '2s',
    '--health-retries', '1' ]);

ok($proxy->tunnel(20001, $exporter->port), 'ssh -R opens a tunnel')
    or diag $proxy->{error};
is(body($proxy, '/external-host-1/metrics'), "200 up /metrics\n",
    'a scrape goes through it');

is(Http::request($proxy->published(80), path => '/-/healthy')->{status}, 200,
    'answers on the published port 80');
is(join(' ', map { $proxy->http(path => '/-/ready', method => $_)->{status} }
    qw(GET HEAD POST)), '200 200 405', '/-/ready is for GET and HEAD');
like(readline(Http::connection($proxy->published(22))), qr/^SSH-2\.0-OpenSSH/,
    'answers on the published port 22');

is($proxy->exec('cat', '/proc/1/comm')->{out}, "s6-svscan\n", 's6 is PID 1');

ok(await(60, sub {
    $proxy->inspect('{{.State.Health.Status}}') eq 'healthy' }),
    'becomes healthy');

# a health check that finds nothing wrong with this is none

my @nginx = $proxy->pids(qr/^nginx: /);
$proxy->kill('STOP', @nginx);
ok(await(60, sub {
    $proxy->inspect('{{.State.Health.Status}}') eq 'unhealthy' }),
    'is unhealthy while nginx hangs');
$proxy->kill('CONT', @nginx);
ok(await(60, sub {
    $proxy->inspect('{{.State.Health.Status}}') eq 'healthy' }),
    'and healthy again after that');


# the log

ok($proxy->logged(qr{"GET /external-host-1/metrics HTTP/1\.1" 200 }),
    'a scrape is logged');

my $log = $proxy->logs;

is(join("\n", grep { !/^(?:monitoring-proxy|sessions|sshd|nginx): / } split /\n/, $log),
    '', 'each line starts with its service');

for my $service (qw(monitoring-proxy sshd nginx)) {
    like($log, qr/^$service: \S/m, "$service logs");
}

like($log, qr/^monitoring-proxy: \Q$_\E \d/m, "the version of $_ is logged")
    for qw(nginx openssh-server s6);
like($log, qr/^monitoring-proxy: host key ssh-ed25519 AAAA\S+$/m,
    'the host key is logged');
like($log, qr/^monitoring-proxy: public key ssh-ed25519 SHA256:\S+/m,
    'the key that may log in is logged');
unlike($log, qr/PRIVATE KEY/, 'no private key is logged');


# check

my $r = $proxy->exec('monitoring-proxy', 'check');

is($r->{status}, 0, 'check finds no mistake') or diag $r->{out};

write_file("$proxy->{files}{directory}/targets",
    "$targets# fine\nlocalhost:20002 a/../b\n");
$r = $proxy->exec('monitoring-proxy', 'check');

is($r->{status}, 1, 'check fails after a wrong edit');
like($r->{out}, qr{^/etc/monitoring/targets:3:17: \S.*\.\.}m,
    'and says where and what');

is(body($proxy, '/external-host-1/metrics'), "200 up /metrics\n",
    'what runs is not touched by it');


# targets

write_file("$proxy->{files}{directory}/targets",
    $targets . "localhost:20002 dead-host\n");
$r = $proxy->exec('monitoring-proxy', 'targets');

is($r->{status}, 0, 'targets succeeds');
like($r->{out}, qr/^external-host-1\s+localhost:20001\s+up$/m,
    'shows a target that is up');
like($r->{out}, qr/^dead-host\s+localhost:20002\s+down: connection refused$/m,
    'shows one that is down, and why');

my $list = eval { decode_json($proxy->exec('monitoring-proxy', 'targets',
    '--json')->{out}) };

is_deeply($list, [
    { name => 'external-host-1', address => 'localhost:20001',
      state => 'up' },
    { name => 'dead-host', address => 'localhost:20002', state => 'down',
      error => 'connection refused' } ], 'targets --json is the same in JSON')
    or diag explain $list;

# other commands

$r = $proxy->exec('monitoring-proxy', 'nonsense');
is($r->{status}, 2, 'an unknown command fails');
like($r->{out}, qr/nonsense.*^usage: monitoring-proxy /ms,
    'names it, and shows the usage');
is($proxy->exec('monitoring-proxy', 'targets', '--nonsense')->{status}, 2,
    'an unknown option fails');
is($proxy->exec('monitoring-proxy', '--help')->{status}, 0,
    'asked for, the usage is no failure');

$r = docker('run', '--rm', image(), 'nonsense');
is($r->{status}, 2, 'docker run with an unknown command fails');

$proxy->remove;


# own locations, alone and with targets

$proxy = Proxy->start(conf => $conf);

ok($proxy->tunnel(20001, $exporter->port), 'a tunnel for own locations');
is(body($proxy, '/own/metrics'), "200 up /base/metrics\n",
    'an own location is proxied to');
is(body($proxy, '/elsewhere'), "200 mine: /elsewhere\n",
    'location / takes the rest');
is(body($proxy, '/metrics'), "200 mine: metrics\n",
    'an own location takes the place of a page');
like(body($proxy, '/'), qr/^200 <!DOCTYPE html>/,
    'location / does not, even of that at /');
is($proxy->exec('sh', '-c', 'monitoring-proxy targets --json 2> /dev/null')
    ->{out}, "[]\n", 'without a file there are no targets');
is($proxy->scrape('/-/ready')->{status}, 200, 'it is ready');
$proxy->remove;

$proxy = Proxy->start(conf => $conf, targets => $targets);

ok($proxy->tunnel(20001, $exporter->port), 'a tunnel for both');
is(body($proxy, '/external-host-1/metrics'), "200 up /metrics\n",
    'a target wins over location /');
is(body($proxy, '/external-host-1/special/x'), "200 special\n",
    'a longer location wins over the target');
is(body($proxy, '/own/metrics'), "200 up /base/metrics\n",
    'an own location works beside targets');
is(body($proxy, '/external-host-12/metrics'),
    "200 mine: /external-host-12/metrics\n", 'location / takes the rest');
is($proxy->scrape('/external-host-1')->{headers}{location},
    '/external-host-1/', '/NAME is redirected to /NAME/');
$proxy->remove;


# FROM monitoring-proxy

my $derived = build('FROM ' . image() . "\nCOPY monitoring-proxy.conf "
    . "/etc/nginx/conf.d/\nCOPY targets /etc/monitoring/\n",
    'monitoring-proxy.conf' => $conf, targets => $targets);

$proxy = Proxy->start(image => $derived);

ok($proxy->tunnel(20001, $exporter->port), 'a tunnel of a derived image');
is(body($proxy, '/external-host-1/metrics'), "200 up /metrics\n",
    'a baked target works');
is(body($proxy, '/own/metrics'), "200 up /base/metrics\n",
    'a baked location works');
$proxy->remove;


# neither targets nor locations

$proxy = Proxy->start;

is($proxy->scrape('/-/ready')->{status}, 200, 'starts without any target');

$r = $proxy->scrape('/external-host-1/metrics');
is($r->{status}, 404, 'every name is unknown then');
like($r->{body}, qr/\A[^\n<]*external-host-1[^\n]*\n\z/,
    'and its error is one line that names it');
like($proxy->logs, qr{^monitoring-proxy: no /etc/monitoring/targets}m,
    'the log says that there is no file');
$proxy->remove;


# locked down

my $host_key = write_file(directory() . '/ssh_host_ed25519_key',
    Container::read_file(key('ed25519', 'host')), 0600);
my @dropped = map { ('--cap-add', $_) } qw(SETUID SETGID SYS_CHROOT
    NET_BIND_SERVICE);

$proxy = Proxy->start(targets => $targets, conf => "prom_proxy_share 10s;\n",
    options => [ '--read-only', '--tmpfs', '/run', '--cap-drop', 'ALL',
    @dropped, '--security-opt', 'no-new-privileges',
    '-v', "$host_key:/etc/ssh/ssh_host_ed25519_key:ro" ]);

ok($proxy->tunnel(20001, $exporter->port),
    'read-only and with few capabilities: a tunnel opens')
    or diag $proxy->{error}, $proxy->logs;
is(body($proxy, '/external-host-1/metrics'), "200 up /metrics\n",
    'and is scraped through');
like(body($proxy, '/targets?connected&instance=external-host-1'),
    qr/"__meta_monitoring_proxy_connected":"yes"/,
    'nginx\'s workers may ask the kernel whether it is open');

$exporter->arrived;
body($proxy, '/external-host-1/shared') for 1, 2;
is(scalar $exporter->arrived, 1, 'an own prom_proxy_share holds for targets');

isnt($proxy->exec('touch', '/etc/monitoring/x')->{status}, 0,
    'the root really is read-only');
is($proxy->exec('monitoring-proxy', 'check')->{status}, 0,
    'check works there too');

$proxy->exec('sh', '-c', 'kill -9 $(cat /run/monitoring-proxy/nginx/*.pid)');
ok(await(60, sub { body($proxy, '/external-host-1/metrics') =~ /^200/ }),
    'nginx comes back there too');

docker('stop', '-t', '20', $proxy->name);
is($proxy->ended, 0, 'it stops with exit code 0 there too');

done_testing();
