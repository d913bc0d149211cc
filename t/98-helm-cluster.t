#!/usr/bin/perl

# t/98-helm-cluster.t: a real API server takes all that the chart makes, with
# every field; helm installs, changes and removes it; and its accounts may do
# what they should and nothing else

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Cluster;
use Container qw(await command read_file write_file);
use Helm qw(chart documents render rendered);

my $crds = '/usr/share/monitoring-proxy-crds';

plan skip_all => 'no helm' unless Helm::there();
plan skip_all => 'no ' . Cluster::missing() if Cluster::missing();
plan skip_all => "no $crds" unless -d $crds;

my $name = 'proxy-monitoring-proxy';
my $true = JSON::PP::true;
my $false = JSON::PP::false;
my $cluster = Cluster->new;

$cluster->namespace('monitoring');
$cluster->create_file('/apis/apiextensions.k8s.io/v1'
    . '/customresourcedefinitions', $_) for glob "$crds/*.yaml";

await(30, sub {
    2 == grep { ($cluster->request('GET', "/apis/monitoring.coreos.com/$_")
        ->{status}) == 200 } qw(v1 v1alpha1);
}) or BAIL_OUT('the operator\'s resources are not taken');


# What the server says of an object that isn't kept: nothing, if it is right.
# The text is its YAML or JSON.

sub refused {
    my ($object, $text, $type) = @_;

    my $r = $cluster->request('POST', Cluster::path($object)
        . '?dryRun=All&fieldValidation=Strict', body => $text, type => $type);

    return if $r->{status} == 201;
    return "$object->{kind} $object->{metadata}{name}: $r->{status} "
        . ($r->{object}{message} // $r->{text});
}


# A pod of a template, which the server looks at more closely than at the
# template of a StatefulSet.

sub pod {
    my ($template, $namespace) = @_;

    return { apiVersion => 'v1', kind => 'Pod', spec => $template->{spec},
        metadata => { %{ $template->{metadata} }, name => 'pod',
            namespace => $namespace } };
}


# What it says of each object of a text in YAML, as it stands there, and of their
# pods. It is in our namespace if it names none.

sub tried {
    my ($text) = @_;

    my @texts = grep { /^kind:/m } split /^---$/m, $text;
    my @said;

    for my $object (documents($text)) {
        $object->{metadata}{namespace} //= 'monitoring';
        push @said, refused($object, shift @texts, 'application/yaml');

        if (my $template = $object->{spec}{template}) {
            my $pod = pod($template, 'monitoring');
            push @said, refused($pod, encode_json($pod));
        }
    }

    return join "\n", @said, @texts;
}


sub helm {
    my (@command) = @_;

    return command('env', 'KUBECONFIG=' . $cluster->kubeconfig,
        Helm::program(), @command, '-n', 'monitoring');
}


# a server-side dry run of what different values make

my $peer = [ { ipBlock => { cidr => '192.0.2.0/24' } } ];

my %values = (
    'no values' => {},
    'everything' => {
        hosts => { text => "a - port=20001\n", authorities => "# none\n" },
        targets => { text => "localhost:20002 b team=\"data base\"\n" },
        sharedKeys => { text => "ssh-ed25519 AAAA\n", ports => '20002' },
        poll => { enabled => $true, scrapers => '10.0.0.0/8',
            tokensSecret => 'a', passwordsSecret => 'b', tlsSecret => 'c',
            clientCASecret => 'd' },
        forward => { enabled => $true, allow => "10.0.0.0/8:9100\n",
            scheme => 'auto', http => '*:9104', from => '192.0.2.1',
            tlsSecret => 'e', caSecret => 'f', usersSecret => 'g',
            clientCASecret => 'h', checkmeKeySecret => 'i' },
        service => { annotations => { 'example.com/a' => 'yes' },
            loadBalancerClass => 'example.com/class',
            loadBalancerSourceRanges => [ '192.0.2.0/24' ],
            sessionAffinity => 'ClientIP' },
        imagePullSecrets => [ { name => 'registry' } ],
        podAnnotations => { a => 'on' }, podLabels => { b => '1' },
        nodeSelector => { c => 'd' },
        tolerations => [ { key => 'e', operator => 'Exists' } ],
        affinity => { nodeAffinity => {} }, spread => 'DoNotSchedule',
        podDisruptionBudget => { maxUnavailable => '20%' },
        networkPolicy => { hosts => $peer, forwarders => $peer,
            scrapers => $peer, egress => [ { to => $peer,
                ports => [ { port => 9100, endPort => 9200 } ] } ] },
        discovery => { nodeSelector => { c => 'd' }, dedupe => $false,
            tolerations => [ { operator => 'Exists' } ] },
        serviceMonitor => { enabled => $true, labels => { r => 'p' } },
        scrapeConfig => { enabled => $true, labels => { r => 'p' },
            scrapeInterval => '30s', scrapeTimeout => '10s' },
        prometheusRule => { enabled => $true, labels => { r => 'p' } } },
    'a NodePort' => { service => { type => 'NodePort' } },
    'a ClusterIP' => { service => { type => 'ClusterIP' } },
    'no discovery' => { discovery => { enabled => $false },
        serviceMonitor => { enabled => $true } },
    'no scrapers' => { networkPolicy => { scrapers => [] } },
    'a long name' => { fullnameOverride => 'm' x 50 },
    'ConfigMaps of the user\'s' => { hosts => { configMap => 'h' },
        targets => { configMap => 't' } },
);

for my $case (sort keys %values) {
    is(tried(rendered($values{$case})), '', "$case: the server takes it");
}

is(tried(read_file("$FindBin::Bin/../deploy/kubernetes/"
    . 'prometheus-sidecar.yaml')), '', 'the sidecar: the server takes it');

my ($set) = grep { /^kind: StatefulSet$/m } split /^---$/m, rendered();

like(tried($set =~ s/^  replicas:/  replicaz:/mr), qr/unknown field/,
    'a wrong field would be told');
like(tried($set =~ s/containerPort: 22$/containerPort: 70000/mr), qr/inclusive/,
    'and a wrong value');


# pods, in namespaces with a Pod Security Standard

sub admitted {
    my ($template, $level) = @_;

    if (!$cluster->{levels}{$level}++) {
        $cluster->create({ apiVersion => 'v1', kind => 'Namespace',
            metadata => { name => $level, labels => {
                'pod-security.kubernetes.io/enforce' => $level } } });
    }

    my $pod = pod($template, $level);

    return refused($pod, encode_json($pod)) // '';
}

my $made = render();
my $proxy = $made->{"StatefulSet $name"}{spec}{template};
my $discovery = $made->{"Deployment $name-discovery"}{spec}{template};

is(admitted($proxy, 'baseline'), '', 'the proxy\'s pod fits "baseline"');
like(admitted($proxy, 'restricted'), qr/violates PodSecurity/,
    'and not "restricted", which is what would be told');
is(admitted($discovery, 'restricted'), '',
    'the discovery\'s pod fits "restricted"');


# helm itself

my $r = helm('install', 'proxy', chart(), '--set', 'hostKeysSecret=k');
is($r->{status}, 0, 'helm installs it') or diag $r->{out};
like($r->{out},
    qr{^ *- url: http://$name-discovery\.monitoring\.svc:9370/targets$}m,
    'and says what Prometheus needs');
like($r->{out}, qr/kubectl -n monitoring logs \Q$name\E-0/,
    'and where to look');

sub get { return $cluster->request('GET', $_[0]) }

my $path = "/apis/apps/v1/namespaces/monitoring/statefulsets/$name";
is(get($path)->{object}{spec}{replicas}, 2, 'its replicas are there');

for my $case (
    [ 'proxy', "endpointslices", 403 ],
    [ "discovery", "endpointslices", 200 ],
    [ "discovery", "endpointslices?watch=true&timeoutSeconds=1", 200 ],
    [ "discovery", "endpointslices/one", 403 ],
) {
    my ($who, $what, $status) = @$case;

    my $account = $who eq 'proxy' ? $name : "$name-discovery";
    my $token = $cluster->token('monitoring', $account);

    is($cluster->request('GET', '/apis/discovery.k8s.io/v1/namespaces/'
        . "monitoring/$what", token => $token)->{status}, $status,
        "the $who " . ($status == 200 ? 'may' : "mayn't") . " ask for $what");
}

is($cluster->request('GET', '/api/v1/namespaces/monitoring/secrets',
    token => $cluster->token('monitoring', "$name-discovery"))->{status}, 403,
    'and the discovery for no Secret');

$r = helm('upgrade', 'proxy', chart(), '--reuse-values', '--set',
    'replicas=3,poll.enabled=true,scrapeConfig.enabled=true,'
    . 'prometheusRule.enabled=true,serviceMonitor.enabled=true');
is($r->{status}, 0, 'helm changes it') or diag $r->{out};
like($r->{out}, qr/^WARNING: anyone who reaches port 8080 may poll/m,
    'and warns of what is open');
is(get($path)->{object}{spec}{replicas}, 3, 'the values are in effect');
is(get('/apis/monitoring.coreos.com/v1alpha1/namespaces/monitoring/'
    . "scrapeconfigs/$name")->{status}, 200, 'the operator has its objects');

# hosts are no reason to restart a pod

my $before = get($path)->{object}{metadata}{generation};
my $hosts = $cluster->dir . '/hosts';
my $map = "/api/v1/namespaces/monitoring/configmaps/$name-hosts";

write_file($hosts, "web-1 - port=20001 team=\"data: {{ base }}, \\\\, 'x'\"\r\n"
    . "---\n# {}\n\t- a\n");
$r = helm('upgrade', 'proxy', chart(), '--reuse-values', '--set-file',
    "hosts.text=$hosts");
is($r->{status}, 0, 'helm takes a file of hosts') or diag $r->{out};
is(get($map)->{object}{data}{hosts}, read_file($hosts),
    'which is in the ConfigMap, byte for byte');
is(get($path)->{object}{metadata}{generation}, $before,
    'and replaces no pod');

$r = helm('uninstall', 'proxy');
is($r->{status}, 0, 'helm removes it') or diag $r->{out};
is(get($path)->{status}, 404, 'and it is gone');

done_testing();
