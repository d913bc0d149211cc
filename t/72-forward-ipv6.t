#!/usr/bin/perl

# t/72-forward-ipv6.t: the forward proxy of the image where there is IPv6: its
# port, its certificate's names, who may use it and what it reaches

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory network read_file test_image write_file);
use Forward;
use Prometheus;
use Proxy qw(@confined);

my $subnet = sprintf 'fd00:6d70:%x:%x', $$ & 0xffff, int rand 0x10000;
my $network = eval { network('--ipv6', '--subnet', "$subnet\::/64") };

plan skip_all => "no network with IPv6: $@" if !defined $network;

my %address = (proxy => "$subnet\::2", exporter => "$subnet\::10",
    six => "$subnet\::12");
my $dir = directory();
my $etc = directory();
my $config = directory();


# an exporter with TLS, and one whose name has an address of IPv4, where nobody
# listens

sub exporter {
    my ($name, @options) = @_;

    return Container->run(image => test_image(),
        options => [ '--network', $network, '--network-alias', $name,
            '--ip6', $address{$name}, '-v', "$dir:/x:ro" ],
        command => [ 'prometheus-node-exporter',
            '--collector.disable-defaults', '--collector.uname', @options ]);
}

authority($dir, 'ca');
certificate($dir, 'exporter', ca => 'ca',
    names => "DNS:exporter,IP:$address{exporter}");
chmod 0644, "$dir/exporter.key";
write_file("$dir/web.yml", "tls_server_config:\n  cert_file: /x/exporter.crt\n"
    . "  key_file: /x/exporter.key\n");

my $exporter = exporter('exporter', '--web.config.file=/x/web.yml');
my $six = exporter('six', "--web.listen-address=[$address{six}]:9101");


# the proxy

my $proxy = Proxy->start(directory => $etc, writable => 1, key => undef,
    network => $network,
    options => [ '--network', $network, '--network-alias', 'proxy', '--ip6',
        $address{proxy}, '-v', "$dir/ca.crt:/ca.pem:ro", @confined ],
    env => { map { ("MONITORING_PROXY_FORWARD_$_->[0]" => $_->[1]) }
        [ NAMES => "$address{proxy} proxy" ], [ CA => '/ca.pem' ],
        [ ALLOW => "[$subnet\::]/64:9100,22,80 six:9101 !["
            . "$subnet\::66]" ],
        [ SCHEME => 'auto' ], [ HTTP => "six:9101" ],
        [ FROM => "$subnet\::/64" ] });

my ($pasted) = $proxy->logs
    =~ /^( {4}proxy_url: .*?-----END CERTIFICATE-----\n)/ms;

like($pasted // '', qr{\A\ {4}proxy_url:
    \ https://\[\Q$address{proxy}\E\]:4445/\n}x,
    'the log has its address, as a URL has it');


# Prometheus

write_file("$config/ca.pem", read_file("$dir/ca.crt")
    . read_file("$etc/tls/server.crt"));

sub job {
    my ($name, $scheme, $target) = @_;

    return <<"EOT";
  - job_name: $name
    scheme: $scheme
    proxy_url: https://[$address{proxy}]:4445/
    tls_config: { ca_file: ca.pem }
    static_configs: [ { targets: ['$target'] } ]
EOT
}

write_file("$config/prometheus.yml", join '',
    "global: { scrape_interval: 1s }\nscrape_configs:\n",
    job('upgraded', 'http', "[$address{exporter}]:9100"),
    job('connect', 'https', "[$address{exporter}]:9100"),
    job('name', 'http', 'six:9101'),
    job('own', 'http', "[$address{proxy}]:80"),
    job('own-connect', 'https', "[$address{proxy}]:22"),
    job('denied', 'https', "[$subnet\::66]:9100"),
    job('loopback', 'http', '[::1]:9100'),
    "  - job_name: pasted\n", $pasted // '',
    "    static_configs: [ { targets: ['six:9101'] } ]\n");

my $prometheus = Prometheus->start($config, $network);

sub target {
    my ($job) = @_;

    my ($target) = grep { $_->{labels}{job} eq $job } $prometheus->targets->@*;

    return $target;
}

for (['pasted', 'the lines of the log, pasted as they are'],
    ['upgraded', 'an exporter by its address'],
    ['connect', '... by CONNECT'],
    ['name', 'one whose name has an address of IPv4, too, that is dead'])
{
    my ($job, $promise) = @$_;

    ok(await(20, sub { target($job)->{health} eq 'up' }), $promise)
        or diag eval { target($job)->{lastError} } // $@, $proxy->logs;
}

my $own = qr/: \Q$address{proxy}\E is a listener of this proxy's own/;

for (['own', qr/403 .*$own/,
        'the proxy\'s own pages, though a rule has their network'],
    ['own-connect', $own, '... and its sshd'],
    ['denied', qr/is denied by a rule/, 'an address that a rule denies'],
    ['loopback', qr/::1 is loopback/, 'loopback'])
{
    my ($job, $reason, $promise) = @$_;

    ok(await(20, sub { target($job)->{lastError} =~ $reason }),
        "refused: $promise")
        or diag eval { target($job)->{lastError} } // $@, $proxy->logs;
}

ok($proxy->logged(qr{^nginx:\ \S+\ \Q$subnet\E::\S+\ GET
    \ "\[\Q$address{exporter}\E\]:9100"\ \[\Q$address{exporter}\E\]:9100
    \ allowed\ "allow\ \[\Q$subnet\E::\]/64:9100,22,80"\ }mx),
    'the log has such a line') or diag $proxy->logs;


# who comes by IPv4

my $r = Container::command('curl', '-sS', '-i', '-m', 10, '--proxy-insecure',
    '-x', 'https://' . $proxy->address . ':4445',
    "http://[$address{exporter}]:9100/");
like($r->{out}, qr/^HTTP\S* 403 this proxy is not for [\d.]+\r?$/m,
    'who may is told by IPv6, and nobody else is let in');

done_testing();
