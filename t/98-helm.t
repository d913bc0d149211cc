#!/usr/bin/perl

# t/98-helm.t: the chart of deploy/kubernetes makes what its values say, refuses
# what they can't mean, and is documented

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(command directory read_file write_file);
use Helm qw(chart documents lint refused render);

plan skip_all => 'no helm' unless Helm::there();

my $root = "$FindBin::Bin/..";
my $name = 'proxy-monitoring-proxy';
my $false = JSON::PP::false;
my $true = JSON::PP::true;

# everything that can be on, and a setting of each kind

my %all = (
    replicas => 3,
    hosts => { text => "a ssh-ed25519 AAAA port=20001\n",
        authorities => "ssh-ed25519 AAAA\n" },
    targets => { text => "localhost:20002 b\n" },
    sharedKeys => { text => "ssh-ed25519 AAAA\n", ports => '20002' },
    poll => { enabled => $true, scrapers => '10.0.0.0/8',
        tokensSecret => 'tokens', passwordsSecret => 'passwords',
        tlsSecret => 'poll-tls', clientCASecret => 'poll-ca' },
    forward => { enabled => $true, allow => "10.0.0.0/8:9100\n",
        scheme => 'auto', http => '*:9104', from => '192.0.2.1',
        tlsSecret => 'forward-tls', caSecret => 'forward-ca',
        usersSecret => 'users', clientCASecret => 'client-ca',
        checkmeKeySecret => 'checkme' },
    service => { annotations => { 'example.com/a' => 'yes' },
        loadBalancerClass => 'example.com/class',
        loadBalancerSourceRanges => [ '192.0.2.0/24' ] },
    imagePullSecrets => [ { name => 'registry' } ],
    podAnnotations => { a => 'on' }, podLabels => { b => '1' },
    priorityClassName => 'high', nodeSelector => { c => 'd' },
    tolerations => [ { key => 'e', operator => 'Exists' } ],
    affinity => { nodeAffinity => {} },
    networkPolicy => { hosts => [ { ipBlock => { cidr => '192.0.2.0/24' } } ],
        forwarders => [ { namespaceSelector => {} } ],
        egress => [ { to => [ { ipBlock => { cidr => '10.0.0.0/8' } } ] } ] },
    discovery => { priorityClassName => 'high', nodeSelector => { c => 'd' },
        tolerations => [ { operator => 'Exists' } ] },
    serviceMonitor => { enabled => $true, labels => { release => 'p' } },
    scrapeConfig => { enabled => $true, labels => { release => 'p' },
        scrapeInterval => '30s', scrapeTimeout => '10s' },
    prometheusRule => { enabled => $true, labels => { release => 'p' } },
);


# The values of a list of objects, as { NAME => VALUE }.

sub pairs {
    my ($list, $name, $value) = @_;

    return { map { $_->{$name} => $_->{$value} } @{ $list // [] } };
}


# The files that a pod of these objects has in /etc/monitoring, each as [ KIND,
# OBJECT, KEY, MODE ].

sub files {
    my ($pod) = @_;

    my ($volume) = grep { $_->{name} eq 'monitoring' } @{ $pod->{volumes} };
    my %files;

    for my $source (@{ $volume->{projected}{sources} }) {
        my ($kind) = keys %$source;

        for my $item (@{ $source->{$kind}{items} }) {
            $files{$item->{path}} = [ $kind, $source->{$kind}{name},
                $item->{key},
                $item->{mode} // $volume->{projected}{defaultMode} ];
        }
    }

    return \%files;
}


sub environment {
    my ($pod) = @_;

    return pairs($pod->{containers}[0]{env}, 'name', 'value');
}


# A copy of hashes in hashes, with those of another in it.

sub with {
    my ($under, $over) = @_;

    my %copy = %$under;

    for my $key (keys %$over) {
        $copy{$key} = ref $over->{$key} eq 'HASH' && ref $copy{$key} eq 'HASH'
            ? with($copy{$key}, $over->{$key}) : $over->{$key};
    }

    return \%copy;
}


# lint

is(lint(), '', 'helm finds nothing wrong with the chart');
is(lint(\%all), '', 'nor with all of it on');

my ($meta) = documents(read_file(chart() . '/Chart.yaml'));
my ($version) = read_file("$root/ngx_prom_proxy_module/"
    . 'ngx_http_prom_metrics.h') =~ /NGX_PROM_VERSION\s+"([^"]+)"/;

is($meta->{appVersion}, $version, 'its version is the proxy\'s');


# what there is by default

my $made = render();

is(join("\n", sort keys %$made), join("\n", sort(
    "ConfigMap $name-hosts", "ConfigMap $name-targets",
    "Deployment $name-discovery", "NetworkPolicy $name",
    "NetworkPolicy $name-discovery", "PodDisruptionBudget $name",
    "Role $name-discovery", "RoleBinding $name-discovery", "Service $name",
    "Service $name-discovery", "Service $name-replicas",
    "ServiceAccount $name", "ServiceAccount $name-discovery",
    "StatefulSet $name")), 'by default nothing needs a CRD');

is(join(' ', map { $_->{metadata}{namespace} // 'none' } values %$made)
    =~ s/monitoring ?//gr, '', 'all of it is in the namespace');

my $set = $made->{"StatefulSet $name"}{spec};
my $pod = $set->{template}{spec};
my ($container) = @{ $pod->{containers} };

is($set->{podManagementPolicy}, 'Parallel', 'no replica waits for another');
is($set->{serviceName}, "$name-replicas", 'each has a name in DNS');
is($made->{"Service $name-replicas"}{spec}{clusterIP}, 'None',
    'by a headless Service');
is($container->{image}, "monitoring-proxy:$version", 'of this version');
is($pod->{automountServiceAccountToken}, $false,
    'the proxy has no token of Kubernetes');
is($pod->{enableServiceLinks}, $false, 'and no variables of Services');


# selectors mean the pods that they should, and no others

my %pods = (proxy => $set->{template},
    discovery => $made->{"Deployment $name-discovery"}{spec}{template});

sub chosen {
    my ($selector) = @_;

    return join ' ', grep {
        my $labels = $pods{$_}{metadata}{labels};
        !grep { ($labels->{$_} // '') ne $selector->{$_} } keys %$selector;
    } sort keys %pods;
}

for my $key (sort keys %$made) {
    my $spec = $made->{$key}{spec} // next;
    my $selector = $spec->{podSelector}{matchLabels}
        // $spec->{selector}{matchLabels} // $spec->{selector} // next;

    is(chosen($selector), $key =~ /-discovery$/ ? 'discovery' : 'proxy',
        "$key: it means these pods");
}

is(chosen($_->{labelSelector}{matchLabels}), 'proxy',
    "replicas are spread by $_->{topologyKey}")
    for @{ $pod->{topologySpreadConstraints} };


# ports

my $ports = pairs($container->{ports}, 'name', 'containerPort');

is_deeply($ports, { ssh => 22, http => 80 }, 'the proxy has two ports');
is_deeply([ map { $_->{name} } @{ $made->{"Service $name"}{spec}{ports} } ],
    [ 'ssh' ], 'hosts have no way to the scrape side');
is_deeply([ map { $_->{name} }
    @{ $made->{"Service $name-replicas"}{spec}{ports} } ],
    [ 'http' ], 'nor Prometheus to theirs by the headless Service');

my $conf = read_file("$root/rootfs/etc/nginx/nginx.conf");

for my $probe (qw(startupProbe readinessProbe livenessProbe)) {
    my $get = $container->{$probe}{httpGet};

    is($get->{port}, 'http', "$probe asks the scrape side");
    like($conf, qr/location = \Q$get->{path}\E \{/, 'for what is there');
}


# memory, as it was measured

my $results = read_file("$root/bench/RESULTS.md");
my ($idle) = $results =~ /^\| as `docker stats` shows it \| +\| ([\d.]+)MiB/m;
my ($session) = $results =~ /^\| memory a tunnel \(PSS\), kB \| (\d+) /m;
my ($kernel) = $results =~ /^\| of the kernel for a tunnel, kB \| (\d+) /m;

for (['requests', 300], ['limits', 600]) {
    my ($what, $tunnels) = @$_;

    my $needed = $idle + $tunnels * ($session + $kernel) / 1024;
    my ($given) = $container->{resources}{$what}{memory} =~ /^(\d+)Mi$/;

    cmp_ok($given, '>', $needed, "$what: $tunnels tunnels have room");
    cmp_ok($given, '<', 1.2 * $needed, 'and little more than that');
}


# what the discovery is told and may

my $discovery = $pods{discovery}{spec}{containers}[0];
my %flags = map { /^--([a-z-]+)(?:=(.*))?$/ ? ($1, $2 // 'on') : () }
    @{ $discovery->{args} };
my $slices = $made->{"Service $name-replicas"};

my $options = read_file("$root/discovery/options.c");

like($options, qr/^    \{ "\Q$_\E", /m, "the discovery has the flag --$_")
    for sort keys %flags;

is($slices->{metadata}{labels}{$flags{labelname}}, $flags{labelvalue},
    'the discovery looks for the headless Service');
is($slices->{spec}{ports}[0]{name}, $flags{port}, 'and for its port');
isnt($made->{"Service $name-discovery"}{metadata}{labels}{$flags{labelname}},
    $flags{labelvalue}, 'and not for itself');
is($slices->{spec}{publishNotReadyAddresses}, $true,
    'a replica that is overloaded keeps its hosts');
is_deeply($made->{"Role $name-discovery"}{rules}, [
    { apiGroups => [ 'discovery.k8s.io' ], resources => [ 'endpointslices' ],
        verbs => [ 'list', 'watch' ] } ], 'it may do no more than that');
is($made->{"RoleBinding $name-discovery"}{subjects}[0]{name},
    $pods{discovery}{spec}{serviceAccountName}, 'and it is who may');
is($flags{'sd-listen'}, ':' . $discovery->{ports}[0]{containerPort},
    'it serves the list where its Service leads');
is($flags{dedupe}, 'on', 'with each host once');

my $other = render({ discovery => { dedupe => $false, interval => '20s',
    keep => '1m' } })->{"Deployment $name-discovery"}{spec}{template}{spec};
my $args = join ' ', @{ $other->{containers}[0]{args} };

unlike($args, qr/--dedupe/, 'unless it is to have it for each replica');
like($args, qr/--interval=20s --keep=1m\b/, 'as often as it is told');


# NetworkPolicies

my $policy = $made->{"NetworkPolicy $name"}{spec};
my %from = map {
    my $rule = $_;
    map { $_->{port} => $rule->{from} } @{ $rule->{ports} }
} @{ $policy->{ingress} };

is_deeply([ sort keys %from ], [ qw(http ssh) ], 'two ports are open');
is($from{ssh}, undef, 'ssh to anyone');
is_deeply([ map { $_->{podSelector}{matchLabels}{'app.kubernetes.io/name'} }
    @{ $from{http} } ], [ 'monitoring-proxy-discovery', 'prometheus' ],
    'the scrape side to the discovery and to Prometheus');
is(chosen($from{http}[0]{podSelector}{matchLabels}), 'discovery',
    'which is this discovery');
is_deeply($policy->{policyTypes}, [ 'Ingress', 'Egress' ],
    'what isn\'t allowed is denied, both ways');
is_deeply([ map { $_->{port} } map { @{ $_->{ports} } }
    @{ $policy->{egress} } ], [ 53, 53 ], 'outwards there is DNS alone');

$policy = render({ networkPolicy => { scrapers => [] } })
    ->{"NetworkPolicy $name"}{spec};
is(scalar(grep { grep({ $_->{port} eq 'http' } @{ $_->{ports} })
    && !@{ $_->{from} } } @{ $policy->{ingress} }), 0,
    'without scrapers the scrape side isn\'t anyone\'s');

ok(!grep({ /^NetworkPolicy/ }
    keys %{ render({ networkPolicy => { enabled => $false } }) }),
    'there are none, if that is wanted');


# all of it

my $full = render(\%all);
my $proxy = $full->{"StatefulSet $name"}{spec}{template}{spec};
my $files = files($proxy);
my $environment = environment($proxy);
my $allowed = read_file("$root/rootfs/usr/lib/monitoring-proxy/environment");

like($allowed, qr/^(?:allowed=')?\Q$_\E$/m, "the image knows $_")
    for sort keys %$environment;

is_deeply([ sort map { s{^/etc/monitoring/}{}r }
    grep { m{^/etc/monitoring/} } values %$environment ],
    [ sort grep { !m{^(?:hosts|targets|ssh_ca\.pub|tls/.*)$} } keys %$files ],
    'each file that a variable names is there, and no other');

for my $path (sort keys %$files) {
    my ($kind, $object, $key, $mode) = @{ $files->{$path} };

    if ($kind eq 'configMap') {
        ok(exists $full->{"ConfigMap $object"}{data}{$key},
            "$path: it is in a ConfigMap");
    }

    is($mode, $path =~ /key$/ ? 0400 : 0444, "$path: it can be read "
        . ($path =~ /key$/ ? 'by root alone' : 'by nginx\'s workers'));
}

is_deeply([ map { @$_{qw(name targetPort)} }
    @{ $full->{"Service $name"}{spec}{ports} } ],
    [ map { ($_, $_) } qw(ssh poll forward) ], 'hosts have three ports');

%from = map {
    my $rule = $_;
    map { $_->{port} => $rule->{from} } @{ $rule->{ports} }
} @{ $full->{"NetworkPolicy $name"}{spec}{ingress} };

is_deeply([ @from{qw(ssh poll forward)} ],
    [ (map { $all{networkPolicy}{hosts} } 1, 2),
        $all{networkPolicy}{forwarders} ], 'open to those that are named');
is_deeply($full->{"NetworkPolicy $name"}{spec}{egress}[1],
    $all{networkPolicy}{egress}[0], 'and they lead where they are told');

my ($groups) = documents(read_file("$root/deploy/alerts/"
    . 'monitoring-proxy.yml'));
is_deeply($full->{"PrometheusRule $name"}{spec}, $groups,
    'the alerts are those of deploy/alerts');

my $sd = $full->{"ScrapeConfig $name"}{spec}{httpSDConfigs}[0]{url};
my $lists = $full->{"Service $name-discovery"};
is($sd, "http://$lists->{metadata}{name}.monitoring.svc:"
    . "$lists->{spec}{ports}[0]{port}/targets",
    'the operator\'s Prometheus asks the discovery');

for (["ServiceMonitor $name", "Service $name-replicas"],
    ["ServiceMonitor $name-discovery", "Service $name-discovery"])
{
    my ($monitor, $service) = @$_;
    my $selector = $full->{$monitor}{spec}{selector}{matchLabels};

    is(join(' ', grep { my $labels = $full->{$_}{metadata}{labels};
        /^Service / && !grep { ($labels->{$_} // '') ne $selector->{$_} }
            keys %$selector } sort keys %$full), $service,
        "$monitor: it means this Service alone");
    is($full->{$monitor}{spec}{endpoints}[0]{port},
        $full->{$service}{spec}{ports}[0]{name}, 'and has its port');
}


# ConfigMaps that are kept elsewhere

my $kept = render({ hosts => { configMap => 'h' },
    targets => { configMap => 't' }, sharedKeys => { configMap => 'k' } });
$files = files($kept->{"StatefulSet $name"}{spec}{template}{spec});

is(join(' ', grep { /^ConfigMap/ } keys %$kept), '',
    'ConfigMaps of the user\'s are not the chart\'s');
is_deeply({ map { $_ => $files->{$_}[1] } keys %$files },
    { hosts => 'h', 'ssh_ca.pub' => 'h', targets => 't',
        'public-keys' => 'k' }, 'and are where the proxy looks');


# what is refused, by which words

for my $case (
    [ { replica => 3 }, 'Additional property replica is not allowed' ],
    [ { replicas => '3' }, 'replicas: Invalid type. Expected: integer' ],
    [ { service => { type => 'lb' } }, 'service.type must be one of the '
        . 'following: "LoadBalancer", "NodePort", "ClusterIP"' ],
    [ { poll => { tokenSecret => 'a' } },
        'poll: Additional property tokenSecret is not allowed' ],
    [ { hostKeysSecret => 'A_B' }, 'hostKeysSecret: Does not match pattern' ],
    [ { service => { ports => { ssh => 70000 } } },
        'service.ports.ssh: Must be less than or equal to 65535' ],
    [ { discovery => { interval => '15' } },
        'discovery.interval: Does not match pattern' ],
    [ { networkPolicy => { scrapers => [ { podselector => {} } ] } },
        'networkPolicy.scrapers.0: Additional property podselector' ],
    [ { networkPolicy => { scrapers => [ {} ] } },
        'networkPolicy.scrapers.0: Must have at least 1 properties' ],
    [ { resources => { limits => { memory => '1GB' } } },
        'resources.limits.memory: Does not match pattern' ],
    [ { sharedKeys => { ports => 'all' } },
        'sharedKeys.ports: Does not match pattern' ],
    [ { hostKeysSecret => '' }, 'hostKeysSecret: is not set; .*ssh-keygen' ],
    [ { hosts => { text => 'a', configMap => 'b' } },
        'hosts.configMap: is set, and hosts.text or' ],
    [ { targets => { text => 'a', configMap => 'b' } },
        'targets.configMap: is set, and targets.text' ],
    [ { sharedKeys => { text => 'a', configMap => 'b' } },
        'sharedKeys.configMap: is set, and' ],
    [ { sharedKeys => { ports => '20001' } },
        'sharedKeys.ports: is set, but no key is shared' ],
    [ { poll => { tokensSecret => 'a' } },
        'poll.tokensSecret: is set, but poll.enabled is false' ],
    [ { poll => { enabled => $true, clientCASecret => 'a' } },
        'poll.clientCASecret: needs TLS' ],
    [ { poll => { enabled => $true, passwordsSecret => 'a' } },
        'poll.passwordsSecret: is set, but poll.scrapers is "none"' ],
    [ { forward => { allow => '10.0.0.0/8' } },
        'forward.allow: is set, but forward.enabled is false' ],
    [ with(\%all, { forward => { allow => '' } }),
        'forward.allow: is not set' ],
    [ with(\%all, { forward => { tlsSecret => '' } }),
        'forward.tlsSecret: is not set' ],
    [ with(\%all, { forward => { caSecret => '' } }),
        'forward.caSecret: is not set' ],
    [ with(\%all, { forward => { verify => $false } }),
        'forward.caSecret: is set, but forward.verify is false' ],
    [ with(\%all, { forward => { http => '' } }),
        'forward.http: is not set, but forward.scheme is "auto"' ],
    [ with(\%all, { forward => { scheme => 'https' } }),
        'forward.http: is set, but forward.scheme is not "auto"' ],
    [ with(\%all, { networkPolicy => { egress => [] } }),
        'networkPolicy.egress: has no rule' ],
    [ { scrapeConfig => { enabled => $true },
        discovery => { enabled => $false } },
        'scrapeConfig.enabled: needs discovery.enabled' ],
) {
    my ($values, $words) = @$case;

    like(refused($values), $words =~ /\.\*/ ? qr/$words/ : qr/\Q$words\E/,
        "refused: $words");
}


# Every value is in the schema, and in the page's table with its default.

my $schema = decode_json(read_file(chart() . '/values.schema.json'));

sub leaves {
    my ($value, $path) = @_;

    return ([ $path, $value ]) if ref $value ne 'HASH' || !%$value;
    return map { leaves($value->{$_}, $path eq '' ? $_ : "$path.$_") }
        sort keys %$value;
}

sub in_schema {
    my ($path) = @_;

    my $at = $schema;

    for my $key (split /\./, $path) {
        if (my $ref = $at->{'$ref'}) {
            $at = $schema->{definitions}{$ref =~ s{.*/}{}r};
        }

        $at = $at->{properties}{$key} // $at->{additionalProperties} or return;
    }

    return 1;
}

my @leaves = leaves(Helm::values(), '');
is(join(' ', grep { !in_schema($_) } map { $_->[0] } @leaves), '',
    'each value is in the schema');

sub shown {
    my ($value) = @_;

    return 'nothing' if $value eq '';
    return JSON::PP->new->allow_nonref->canonical->encode($value)
        =~ s/^"(.+)"$/$1/r =~ s/([,:])(?=["\d\[{])/$1 /gr;
}

my $page = read_file("$root/docs/kubernetes.md");
my %documented = $page =~ /^\| `([A-Za-z.]+)` \| (?:`([^`]*)`)? *\|.*\|$/mg;

is_deeply({ map { $_ => $documented{$_} // 'nothing' } keys %documented },
    { map { ($_->[0], shown($_->[1])) } @leaves },
    'docs/kubernetes.md has each value and its default, and no other');


# what the page has for values.yaml is taken

my $keys = join '|', keys %{ Helm::values() };
my @examples = grep { /^(?:$keys):/ } map { s/^    //mgr }
    $page =~ /^\n((?:    .*\n)+)/mg;

cmp_ok(scalar @examples, '>=', 4, 'the page has examples of values');
is(refused((documents($_))[0]), '', 'such as ' . (split /\n/)[0])
    for @examples;


# the sidecar, without a chart

my %object = map { $_->{kind} => $_ }
    documents(read_file("$root/deploy/kubernetes/prometheus-sidecar.yaml"));

is(join(' ', sort keys %object),
    'ConfigMap Deployment Role RoleBinding Service ServiceAccount',
    'the sidecar needs six objects');

my $prometheus = $object{Deployment}{spec}{template};
my %in_pod = map { $_->{name} => $_ }
    @{ $prometheus->{spec}{containers} },
    @{ $prometheus->{spec}{initContainers} };
my %given = map { /^--([a-z-]+)(?:=(.*))?$/ ? ($1, $2 // 'on') : () }
    @{ $in_pod{discovery}{args} };

like($options, qr/^    \{ "\Q$_\E", /m, "the discovery has the flag --$_")
    for sort keys %given;

is_deeply($object{Role}{rules}, $made->{"Role $name-discovery"}{rules},
    'it may do what the chart\'s may');
is($given{labelvalue}, $flags{labelvalue}, 'it looks for the chart\'s proxies');
is($prometheus->{metadata}{labels}{'app.kubernetes.io/name'}, 'prometheus',
    'the chart\'s policy lets it in');
is($object{Service}{spec}{selector}{'app.kubernetes.io/name'}, 'prometheus',
    'its Service means it');
is("--config.file=$given{target}", $in_pod{prometheus}{args}[0],
    'Prometheus reads what the discovery writes');
is($in_pod{base}{command}[1], $given{source},
    'and starts with what that is made of');
is((grep { $_->{name} eq 'base' } @{ $in_pod{discovery}{volumeMounts} })[0]
    {mountPath} . '/' . (keys %{ $object{ConfigMap}{data} })[0],
    $given{source}, 'which is in the ConfigMap');

my ($base) = values %{ $object{ConfigMap}{data} };
my $file = write_file(directory() . '/base.yaml', $base);
my $checked = command('promtool', 'check', 'config', '--syntax-only', $file);

is($checked->{status}, 0, 'and which Prometheus takes')
    or diag $checked->{out};

# it and the page have names of a release that is called as the chart is

my ($replicas) = $base =~ /^ *- names: \[(\S+)\]$/m;

ok(command(Helm::program(), 'template', 'monitoring-proxy', chart(),
    '--kube-version', '1.32.0', '--set', 'hostKeysSecret=k')->{out}
    =~ /^kind: Service\nmetadata:\n  name: \Q$replicas\E$/m,
    'and it finds the replicas of a release called monitoring-proxy');

done_testing();
