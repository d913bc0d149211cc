#!/usr/bin/perl

# t/99-helm-image.t: the image does all that it should under exactly the rights,
# files and variables that the chart gives it, and takes what changes in
# ConfigMaps and Secrets while it runs

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await command directory docker read_file);
use Forward;
use Helm qw(render);
use Http;
use Pod;
use Proxy qw(entry key public_key);

plan skip_all => 'no helm' unless Helm::there();

my $name = 'proxy-monitoring-proxy';
my $true = JSON::PP::true;
my $exporter = Backend->of_text('scraped 1');

# what is kept in Secrets

my $dir = directory();
authority($dir, 'ca');
certificate($dir, 'server', ca => 'ca', names => 'DNS:proxy');

my %tls = ('tls.crt' => read_file("$dir/server.crt"),
    'tls.key' => read_file("$dir/server.key"));
my %secrets = (
    'host-keys' => { ssh_host_ed25519_key => read_file(key('ed25519', 'h')),
        ssh_host_rsa_key => read_file(key('rsa', 'h')) },
    tls => \%tls,
    ca => { 'ca.crt' => read_file("$dir/ca.crt") },
    tokens => { tokens => 'web-1 sha256:' . sha256_hex('first') . "\n" },
    users => { users => hashed('prometheus', 'secret') },
    passwords => { passwords => "prometheus:{PLAIN}secret\n" },
    checkme => { key => "0123456789abcdef0123\n" },
);


sub pod {
    my ($values) = @_;

    my $made = render($values);

    return Pod->start(objects => $made, secrets => \%secrets,
        options => [ '--ulimit', 'nofile=20000' ],
        pod => $made->{"StatefulSet $name"}{spec}{template}{spec});
}


sub ready {
    my ($pod) = @_;

    return await(60, sub { $pod->probe('readinessProbe') });
}


# The first warning in a pod's log, but for certificates that a test makes.

sub warning {
    my ($pod) = @_;

    my ($warning) = grep { !/expires soon/ }
        $pod->logs =~ /^monitoring-proxy: warning: (.*)/mg;

    return $warning // '';
}


# The status of a poll, or "held" if there is none for a while.

sub poll_status {
    my ($pod, $token) = @_;

    my $r = command('curl', '-s', '-k', '-o', '/dev/null', '-w',
        '%{http_code}', '--max-time', '1', '-d', 'web-1', '-H',
        "Authorization: Bearer $token", 'https://' . $pod->address
        . ':8080/poll');

    return $r->{status} == 28 ? 'held' : $r->{out};
}


# as little as there can be

my $pod = pod();

ok(ready($pod), 'it starts with nothing but host keys')
    or BAIL_OUT($pod->logs);
ok($pod->probe($_), "it passes its $_") for qw(startupProbe livenessProbe);
is(warning($pod), '', 'it has nothing to warn of');
like($pod->logs, qr/^monitoring-proxy: host key \Q@{[
    public_key('ed25519', 'h') =~ s{^(\S+ \S+).*}{$1}r ]}\E/m,
    'hosts know it by the key of the Secret');
is_deeply(eval { decode_json($pod->scrape('/targets')->{body}) }, [],
    'there is no target');

my $held = $pod->exec('sh', '-c', 'echo x > /x; echo x > /etc/nginx/x;'
    . ' echo x > /etc/monitoring/x')->{out};
is(scalar(() = $held =~ /Read-only/g), 3, 'nothing but /run can be written');
is($pod->exec('sed', '-n', 's/^CapBnd:\t//p', '/proc/1/status')->{out},
    sprintf("%016x\n", 1 << 6 | 1 << 7 | 1 << 10 | 1 << 18),
    'it has four capabilities');
is($pod->exec('sed', '-n', 's/^NoNewPrivs:\t//p', '/proc/1/status')->{out},
    "1\n", 'and can\'t come by others');

my $hook = $pod->{container}{lifecycle}{preStop}{exec}{command};
is($pod->exec($hook->[0], 0)->{status}, 0, 'the image has preStop\'s command');


# what is written into the ConfigMaps is in use without a restart

my $port = $exporter->port;

ok(!$pod->tunnel(20001, $port, '-i', key('ed25519', 'web')),
    'a host that isn\'t there is refused');

$pod->update(configMap => "$name-hosts",
    hosts => 'web-1 ' . entry('web') . " port=20001\n");
ok(await(10, sub { $pod->tunnel(20001, $port, '-i', key('ed25519', 'web')) }),
    'a host that is added to the ConfigMap connects')
    or diag $pod->logs;
ok(await(10, sub {
    $pod->scrape('/web-1/metrics')->{body} eq "scraped 1\n" }),
    'and is scraped through its tunnel');

$pod->update(configMap => "$name-targets", targets =>
    "localhost:20001 other\n");
ok(await(10, sub { $pod->scrape('/other/metrics')->{status} == 200 }),
    'a target that is added is there')
    or diag $pod->logs;
is($pod->scrape('/web-1/metrics')->{status}, 200, 'and the tunnel still is');

$pod->update(configMap => "$name-targets", targets => "localhost:20001\n");
ok($pod->logged(qr{/etc/monitoring/targets:1:}, 10),
    'a mistake is told, by its place');
is($pod->scrape('/other/metrics')->{status}, 200,
    'and leaves the targets as they were');

my ($used) = $pod->exec('df', '--output=pcent', '/run')->{out} =~ /(\d+)%/;
cmp_ok($used, '<', 5, '/run is far from full');

my $grace = $pod->{pod}{terminationGracePeriodSeconds};
my $start = time;

docker('stop', '-t', $grace, $pod->name);
cmp_ok(time - $start, '<', $grace - 10, 'it ends in time');
is($pod->inspect('{{.State.ExitCode}}'), 0, 'and in order');
$pod->remove;


# as much as there can be

$pod = pod({
    hosts => { text => 'web-1 ' . entry('web') . " port=20001\n",
        authorities => public_key('ed25519', 'ca') . "\n" },
    targets => { text => "localhost:20002 shared\n" },
    sharedKeys => { text => public_key() . "\n" },
    poll => { enabled => $true, scrapers => '10.0.0.0/8',
        tokensSecret => 'tokens', passwordsSecret => 'passwords',
        tlsSecret => 'tls', clientCASecret => 'ca' },
    forward => { enabled => $true, allow => "192.0.2.0/24:9100\n",
        from => '0.0.0.0/0', tlsSecret => 'tls', caSecret => 'ca',
        usersSecret => 'users', clientCASecret => 'ca',
        checkmeKeySecret => 'checkme' },
    networkPolicy => { egress => [ {} ] },
});

ok(ready($pod), 'it starts with all there is') or BAIL_OUT($pod->logs);
is(warning($pod), '', 'it has nothing to warn of');
ok($pod->tunnel(20002, $port), 'a shared key has its port');
is($pod->scrape('/shared/metrics')->{status}, 200, 'and is scraped');

is(poll_status($pod, 'first'), 'held', 'a client polls by its token');
is(poll_status($pod, 'second'), 403, 'and by no other');
$pod->update(secret => 'tokens',
    tokens => 'web-1 sha256:' . sha256_hex('second') . "\n");
ok(await(20, sub { poll_status($pod, 'second') eq 'held' }),
    'until that is the Secret\'s') or diag $pod->logs;

for my $port (8080, 4445) {
    like(command('openssl', 's_client', '-connect', $pod->address . ":$port",
        '-CAfile', "$dir/ca.crt", '-verify_hostname', 'proxy')->{out},
        qr/^Verify return code: 0/m, "port $port has the Secret's certificate");
}

certificate($dir, 'next', ca => 'ca', names => 'DNS:next');
$pod->update(secret => 'tls', 'tls.crt' => read_file("$dir/next.crt"),
    'tls.key' => read_file("$dir/next.key"));

for my $port (8080, 4445) {
    ok(await(20, sub { command('openssl', 's_client', '-connect',
        $pod->address . ":$port", '-CAfile', "$dir/ca.crt",
        '-verify_hostname', 'next')->{out} =~ /^Verify return code: 0/m }),
        "port $port has a renewed one");
}

$pod->update(configMap => "$name-forward", allow => "oops:x\n");
ok($pod->logged(qr{/etc/monitoring/forward-allow:1:}, 10),
    'rules that change are read');

done_testing();
