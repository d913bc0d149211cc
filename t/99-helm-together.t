#!/usr/bin/perl

# t/99-helm-together.t: two replicas of the chart, and its discovery with the
# rights that it has by a real API server: a host is listed where it is, and
# found again when its replica is lost

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Cluster;
use Container qw(await command read_file);
use Discovery qw(write_to);
use Helm qw(chart render);
use Http;
use Pod;
use Proxy qw(entry key);

plan skip_all => 'no helm' unless Helm::there();
plan skip_all => 'no ' . Cluster::missing() if Cluster::missing();

my $name = 'proxy-monitoring-proxy';
my %values = (discovery => { interval => '1s' }, hosts => { text =>
    'web-1 ' . entry('web') . " port=20001 env=prod\n" });
my $exporter = Backend->of_text('scraped 1');
my $cluster = Cluster->new;
my $made = render(\%values);

# what of it the discovery needs, and pods for each replica

$cluster->namespace('monitoring');
$cluster->create($made->{$_}) for "ServiceAccount $name-discovery",
    "Role $name-discovery", "RoleBinding $name-discovery";

my %secrets = ('host-keys' => {
    ssh_host_ed25519_key => read_file(key('ed25519', 'h')) });
my @pods = map { Pod->start(objects => $made, secrets => \%secrets,
    pod => $made->{"StatefulSet $name"}{spec}{template}{spec}) } 0, 1;


# What the cluster's controllers would make of a Service and these pods: the
# numbers of replicas, and of them those that aren't ready. There is a slice for
# both Services, as pods are behind both.

sub slice {
    my ($service, $replicas, %unready) = @_;

    my %number = map { $_->{name} => $_->{containerPort} }
        @{ $pods[0]{container}{ports} };
    my $spec = $service->{spec};

    return { apiVersion => 'discovery.k8s.io/v1', kind => 'EndpointSlice',
        addressType => 'IPv4',
        metadata => { name => "$service->{metadata}{name}-a",
            namespace => 'monitoring', labels => {
                %{ $service->{metadata}{labels} },
                'kubernetes.io/service-name' => $service->{metadata}{name} } },
        ports => [ map { { name => $_->{name}, protocol => 'TCP',
            port => $number{$_->{targetPort}} } } @{ $spec->{ports} } ],
        endpoints => [ map {
            my $ready = $unready{$_} ? JSON::PP::false : JSON::PP::true;
            { addresses => [ $pods[$_]->address ],
                conditions => { serving => $ready,
                    ready => $spec->{publishNotReadyAddresses} // $ready },
                targetRef => { kind => 'Pod', name => "$name-$_",
                    namespace => 'monitoring' } }
        } @$replicas ] };
}

my @services = @$made{"Service $name-replicas", "Service $name"};


# Where the discovery lists a host: replicas' numbers.

my $discovery;

sub listed {
    my ($host) = @_;

    my %at = map { $pods[$_]->address . ':80' => $_ } 0 .. $#pods;

    return join ' ', sort map { $at{$_->{targets}[0]} // 'elsewhere' }
        grep { $_->{labels}{instance} eq $host }
        @{ $discovery->targets // [] };
}

sub connects {
    my ($pod) = @_;

    return $pod->tunnel(20001, $exporter->port, '-i', key('ed25519', 'web'));
}


# the program is told what the chart tells it, and where this cluster is

my @args = map { s/^(--sd-listen)=.*/$1/r } @{ $made->{"Deployment "
    . "$name-discovery"}{spec}{template}{spec}{containers}[0]{args} };
my $token = $cluster->dir . '/discovery-token';

$cluster->create(slice($_, [ 0, 1 ])) for @services;
write_to($token, $cluster->token('monitoring', "$name-discovery"));

for my $pod (@pods) {
    await(60, sub { $pod->probe('readinessProbe') }) or BAIL_OUT($pod->logs);
}

$discovery = Discovery->new(@args, '--apiserver', $cluster->url, '--cacert',
    $cluster->ca, '--token-file', $token);

ok(await(20, sub { listed('web-1') ne '' }),
    'a host that has never been connected is listed')
    or diag $discovery->log;
is(scalar(() = listed('web-1') =~ /\d/g), 1, 'once');

for my $replica (1, 0) {
    ok(connects($pods[$replica]), "the host connects to replica $replica");
    ok(await(20, sub { listed('web-1') eq $replica }),
        'and is listed there, and nowhere else') or diag $discovery->log;

    my ($group) = @{ $discovery->targets };
    my ($address, $port) = split /:/, $group->{targets}[0];

    is(Http::request($port, host => $address,
        path => $group->{labels}{__metrics_path__})->{body}, "scraped 1\n",
        'and is scraped');
    is("$group->{labels}{instance} $group->{labels}{env}", 'web-1 prod',
        'with the same instance and its labels');
    ok(!exists $group->{labels}{replica}, 'and nothing of the replica');

    $pods[$replica]->close_tunnel($_) for @{ $pods[$replica]{tunnels} };
}

# its probe fails, and the other replica is gone, by which it is seen that the
# discovery knows

ok(connects($pods[0]), 'the host is at replica 0')
    && await(20, sub { listed('web-1') eq '0' });
$cluster->replace(slice($_, [ 0 ], 0 => 1)) for @services;
ok(await(20, sub {
    ($discovery->metric('monitoring_proxy_discovery_proxies') // 0) == 1 }),
    'which isn\'t ready any more, and the only one');
is(listed('web-1'), '0', 'and stays listed there');

# a replica is lost

$pods[0]->remove;
$cluster->replace(slice($_, [ 1 ])) for @services;
ok(connects($pods[1]), 'its replica is lost, and the host connects again');
ok(await(20, sub { listed('web-1') eq '1' }), 'it is found there')
    or diag $discovery->log;

done_testing();
