#!/usr/bin/perl

# t/62-client-image.t: the poll client's image, beside a real exporter, with
# the real proxy, and without a network for a while

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await command docker network);
use Host;
use Http ();
use Proxy;

my $image = 'monitoring-proxy-client:test';

my $r = command({ seconds => 600 }, 'docker', 'build', '-t', $image,
    '--target', 'client', "$FindBin::Bin/..");
is($r->{status}, 0, 'docker build --target client') or BAIL_OUT($r->{out});

sub image_has { docker('image', 'inspect', '-f', $_[0], $image)->{out} }

like(image_has('{{.Config.User}}'), qr/^65534:65534$/,
    'it runs as nobody');
is(image_has('{{.Config.Entrypoint}}'),
    "[/usr/bin/monitoring-proxy-client]\n", 'its entrypoint is the client');
cmp_ok(image_has('{{.Size}}'), '<', 12e6, 'it is small');

my $lan = network();
my $host = Host->start(options => [ '--add-host', 'c1:127.0.0.1' ]);
my $proxy = Proxy->start(network => $lan,
    env => { MONITORING_PROXY_POLL => 'on' },
    options => [ '--network', $lan, '--network-alias', 'proxy' ]);

$host->reaches($proxy, 'proxy');


# A client on the host.

sub client {
    my @flags = @_;

    return Container->run(image => $image, command => \@flags,
        options => [ '--network', 'container:' . $host->name, '--read-only',
            '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges' ]);
}


sub scrape {
    my ($name, @headers) = @_;

    return Http::request(8080, host => $proxy->address, raw => join "\r\n",
        "GET http://$name:9100/metrics HTTP/1.1", "Host: $name:9100",
        'X-Prometheus-Scrape-Timeout-Seconds: 5', @headers,
        'Connection: close', '', '');
}


sub scraped {
    my ($name, $seconds) = @_;

    my $answer;

    return await($seconds, sub {
        $answer = scrape($name);
        $answer->{status} == 200 && $answer->{body} =~ /^node_load1 /m;
    });
}


my $client = client('--proxy-url=http://proxy:8080', '--fqdn=c1',
    '--label=env=prod', '--label=team="data base"');

ok(scraped('c1', 20), 'node_exporter on the host is scraped through both')
    or diag $client->logs;
is(scrape('c1', 'Accept-Encoding: gzip')->{headers}{'content-encoding'},
    'gzip', 'by gzip, too');

my $clients = Http::request(8080, host => $proxy->address, path => '/clients');
is_deeply(eval { decode_json($clients->{body}) }, [ { targets => [ 'c1' ],
    labels => { env => 'prod', team => '"data base"' } } ],
    '/clients has it, with its labels') or diag $clients->{body};

# memory, as its own metrics have it

scrape('c1') for 1 .. 100;

my $metrics = Http::request(9369, host => $host->ip($host->{network}),
    path => '/metrics');
my ($resident) = $metrics->{body} =~ /^process_resident_memory_bytes (\d+)$/m;

cmp_ok($resident, '>', 1e6, 'its metrics say its memory');
cmp_ok($resident, '<=', 17.9e6 / 3,
    'a third of the 17.9 MB of PushProx\'s client at most');

# the network goes away, and comes back with another address

my $address = $host->ip($host->{network});
docker('network', 'disconnect', $host->{network}, $host->name);
cmp_ok(scrape('c1')->{status}, '>=', 500, 'without a network: no scrape');
my $taker = Container->run(image => $image, command => [
    '--proxy-url=http://proxy:8080', '--fqdn=other' ],
    options => [ '--network', $host->{network} ]);
docker('network', 'connect', $host->{network}, $host->name);
isnt($host->ip($host->{network}), $address, 'its address is another one');

my $start = time;
ok(scraped('c1', 60), 'with a network it is scraped again')
    or diag $client->logs;
cmp_ok(time - $start, '<', 45, 'within 45 seconds');

# the proxy goes away

$proxy->exec('nginx', '-s', 'reload');
ok(scraped('c1', 10), 'a reload of the proxy is no matter');
docker('restart', '-t', 1, $proxy->name);
ok($proxy->ready, 'the proxy was started again');
ok(scraped('c1', 20), 'and the client is there again');

# docker stop

$start = time;
docker('stop', $client->name);
cmp_ok(time - $start, '<', 8, 'docker stop ends it at once');
is($client->inspect('{{.State.ExitCode}}'), 0, 'in order');
ok(await(5, sub { scrape('c1')->{status} == 503 }),
    'and its scrapes fail at once');

$r = Container->run_to_end(image => $image);
is($r->{status}, 2, 'without flags it ends with 2');
like($r->{out}, qr/--proxy-url/, 'and says which it wants');

done_testing();
