#!/usr/bin/perl

# t/98-discovery-kubernetes.t: the discovery as it runs in a pod, with what a
# kubelet gives that, finds real proxies by a real API server

use warnings;
use strict;

use File::Copy ();
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Cluster;
use Container qw(await directory docker link_to test_image write_file);
use Discovery qw(free_port);
use Http qw(request);
use Proxy;

my $missing = Cluster::missing();

plan skip_all => "$missing is not installed" if defined $missing;

my $prefix = 'monitoring_proxy_discovery_';
my $cluster = Cluster->new;
my @proxy = map { Proxy->start(targets => "exporter:9100 host-$_\n"
    . "exporter:9100 both\n") } 0 .. 1;
my ($first, $second) = map { $_->address . ':80' } @proxy;


# An EndpointSlice as the Service of these proxies has it.

sub slice {
    my @pods = @_;

    return { apiVersion => 'discovery.k8s.io/v1', kind => 'EndpointSlice',
        metadata => { namespace => 'monitoring', name => 'proxy-x7k2p',
            labels => { 'app.kubernetes.io/name' => 'monitoring-proxy' } },
        addressType => 'IPv4', ports => [ { name => 'http', port => 80 } ],
        endpoints => [ map { {
            addresses => [ $proxy[$_]->address ],
            conditions => { ready => JSON::PP::true },
            targetRef => { kind => 'Pod', name => "proxy-$_" }
        } } @pods ] };
}


# The files of its service account, written as a kubelet does: all at once.

my $account = directory();
my $version = 0;

sub account_is {
    my ($token) = @_;

    my $data = '..' . ++$version;
    my %file = (token => $token, namespace => 'monitoring',
        'ca.crt' => Container::read_file($cluster->ca));

    mkdir "$account/$data" or die "$account: $!\n";
    write_file("$account/$data/$_", $file{$_}) for keys %file;
    link_to($data, "$account/..data");
    link_to("..data/$_", "$account/$_") for grep { !-l "$account/$_" }
        keys %file;
}


# The program in a container that has nothing else.

my $program = directory() . '/discovery';
my $port = free_port();

File::Copy::copy(Discovery::program(), $program) or die "$program: $!\n";
chmod 0755, $program;

sub pod {
    my @flags = @_;

    return Container->run(image => test_image(), options => [
        '--network', 'host', '--user', '65534:65534', '--read-only',
        '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges',
        '-v', "$program:/discovery:ro",
        '-v', "$account:/var/run/secrets/kubernetes.io/serviceaccount:ro",
        '-e', 'KUBERNETES_SERVICE_HOST=127.0.0.1',
        '-e', 'KUBERNETES_SERVICE_PORT=' . $cluster->port ],
        command => [ '/discovery', "--sd-listen=127.0.0.1:$port", @flags ]);
}


# What it lists, once that is the wanted, as INSTANCE@ADDRESS.

sub lists {
    my ($wanted, $seconds) = @_;

    my $list = '';

    await($seconds // 20, sub {
        my $groups = JSON::PP::decode_json(
            request($port, path => '/targets')->{body});
        $list = join ' ', sort map {
            "$_->{labels}{instance}\@$_->{targets}[0]" } @$groups;
        $list eq $wanted;
    });

    return $list;
}


# A sample, once it is the wanted.

sub metric {
    my ($name, $wanted, $seconds) = @_;

    my $value = 'nothing';

    await($seconds // 20, sub {
        ($value) = request($port, path => '/metrics')->{body}
            =~ /^\Q$prefix$name\E (\S+)$/m;
        $value eq $wanted;
    });

    return $value;
}


$cluster->namespace('monitoring');
$cluster->service_account('monitoring', 'discovery');
$cluster->create(slice(0));
account_is($cluster->token('monitoring', 'discovery'));

my $pod = pod();

ok($pod->logged(qr/needed="a Role in the namespace \\"monitoring\\" with/, 20),
    'without a role it says which one it needs');
is(await(20, sub { request($port, path => '/-/ready')->{status} }), 503,
    '... and isn\'t ready, as it knows nothing');

$cluster->allow('monitoring', 'discovery', 'list', 'watch');

my $one = "both\@$first host-0\@$first";
my $two = join ' ', sort "both\@$first", "both\@$second", "host-0\@$first",
    "host-1\@$second";

is(lists($one), $one, 'with it, and the files that each pod has, it lists the'
    . ' targets of the proxy that there is');
is(request($port, path => '/-/ready')->{status}, 200, '... and is ready');

$cluster->replace(slice(0, 1));
is(lists($two, 5), $two, 'a pod that is added is asked at once');

$cluster->replace(slice(0));
is(lists($one, 5), $one, '... and one that has gone is no longer listed');

$cluster->replace(slice(0, 1));
lists($two, 5);


# an API server that is gone, and a token that is changed

$cluster->halt;
is(metric('kubernetes_connected', 0), 0, 'that the API server is gone is told');
is(lists($two), $two, '... and what was found stays');

my $account_object = { apiVersion => 'v1', kind => 'ServiceAccount',
    metadata => { namespace => 'monitoring', name => 'discovery' } };

docker('kill', '-s', 'STOP', $pod->name);
$cluster->begin;
$cluster->ready;
$cluster->remove($account_object);
$cluster->create($account_object);
account_is($cluster->token('monitoring', 'discovery'));
$cluster->replace(slice(1));
docker('kill', '-s', 'CONT', $pod->name);

my $other = "both\@$second host-1\@$second";

is(lists($other, 40), $other, 'once it is back, what has changed meanwhile is'
    . ' found');
is(metric('kubernetes_failures_total{reason="unauthorized"}', 0), 0,
    '... by the token that the pod has been given since');

docker('stop', '-t', 10, $pod->name);
is($pod->ended(10), 0, 'it ends in order');

done_testing();
