#!/usr/bin/perl

# t/04-deploy.t: the files that users copy are ones that their programs take

use warnings;
use strict;

use CPAN::Meta::YAML;
use File::Temp;
use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Keeper;

my $deploy = "$FindBin::Bin/../deploy";


sub unit {
    my ($name) = @_;

    return file($name =~ m{/} ? "$name.service" : "systemd/$name.service");
}


sub file {
    my ($name) = @_;

    open my $fh, '<', "$deploy/$name" or die "$name: $!\n";
    local $/;

    return <$fh>;
}


# systemd-analyze wants the unit's user and program, and exits with 0 for a
# wrong directive too: any word is a mistake.

sub verify {
    my ($text) = @_;

    my $dir = File::Temp->newdir;
    my $unit = "$dir/monitoring-proxy-tunnel.service";

    $text =~ s/^User=.*/User=daemon/m;
    $text =~ s{^ExecStart=/usr/(?:bin/monitoring-proxy-client|sbin/nginx)}
        {ExecStart=/bin/true}mx;

    open my $fh, '>', $unit or die "$unit: $!\n";
    print $fh $text;
    close $fh or die "$unit: $!\n";

    return scalar `systemd-analyze verify --man=no $unit 2>&1`;
}


my $unit = unit('monitoring-proxy-tunnel');

is(verify($unit), '', 'systemd takes the unit');
isnt(verify($unit =~ s/RestartSec/RestartSeconds/r), '',
    'and would not take a wrong one');

like($unit, qr/^Restart=always$/m, 'a tunnel that ended is opened again');
like($unit, qr/ExitOnForwardFailure=yes/, 'a connection without its port ends');

# the poll client's

my $client = unit('monitoring-proxy-client');

is(verify($client), '', 'systemd takes the client\'s unit');
like($client, qr/^DynamicUser=yes$/m, 'its user is made for it');

# How much systemd-analyze thinks that a unit could do.

sub threat {
    my ($text) = @_;

    my $dir = File::Temp->newdir;
    open my $fh, '>', "$dir/some.service" or die "unit: $!\n";
    print $fh $text;
    close $fh or die "unit: $!\n";

    return `systemd-analyze security --offline=true $dir/some.service 2>&1`
        =~ /exposure level .*: ([\d.]+)/ ? $1 : 'unknown';
}

cmp_ok(threat($client), '<=', 2,
    'systemd-analyze finds little that it could do');

# the forward proxy's, and its configuration of nginx

my $forward = unit('forward/monitoring-proxy-forward');

is(verify($forward), '', 'systemd takes the forward proxy\'s unit');
like($forward, qr/^DynamicUser=yes$/m, 'its user is made for it, too');
cmp_ok(threat($forward), '<=', 2, 'and it can do little');

SKIP: {
    skip 'no built module, or no stream', 2
        unless $ENV{MP_MODULE} && $ENV{MP_NGINX}
        && -e '/usr/lib/nginx/modules/ngx_stream_module.so';

    my $dir = File::Temp->newdir;
    my $modules = $ENV{MP_MODULE} =~ s{/[^/]*$}{}r;
    my $conf = file('forward/nginx.conf');

    system "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        . " -nodes -days 2 -subj /CN=test -keyout $dir/server.key"
        . " -out $dir/server.crt 2> /dev/null";

    for (['allow', "10.20.0.0/16:9100\n"], ['nginx.conf', $conf
        =~ s{/etc/monitoring-proxy-forward|/run/monitoring-proxy-forward
            |/run/credentials/[^/]+}{$dir}gxr
        =~ s{/usr/lib/nginx/modules/(ngx_\w*prom)}{$modules/$1}gr
        =~ s{/ca\.pem}{/server.crt}r ])
    {
        my ($name, $text) = @$_;

        open my $fh, '>', "$dir/$name" or die "$name: $!\n";
        print $fh $text;
        close $fh or die "$name: $!\n";
    }

    chmod 0755, $dir;
    my $said = `$ENV{MP_NGINX} -t -q -e stderr -c $dir/nginx.conf 2>&1`;
    ok($? == 0, 'nginx takes the forward proxy\'s configuration')
        or diag $said;

    open my $fh, '>>', "$dir/allow";
    print $fh "10.0.0.0/40\n";
    close $fh;
    $said = `$ENV{MP_NGINX} -t -q -e stderr -c $dir/nginx.conf 2>&1`;
    like($said, qr{/allow:2:\d+: }, 'and would tell a rule with a mistake');
}

# Prometheus' configurations, of the examples and of make run

for my $file ("$deploy/compose/prometheus.yml",
    "$deploy/compose/replicas/prometheus.yml",
    "$FindBin::Bin/../scripts/run.d/prometheus.yml")
{
    my $said = `promtool check config --syntax-only $file 2>&1`;

    ok($? == 0, $file =~ s{.*\.\./}{}r) or diag $said;
}

SKIP: {
    skip 'no built monitoring-proxy-targets', 1 unless $ENV{MP_TARGETS_TOOL};

    my $said = `$ENV{MP_TARGETS_TOOL} check $deploy/compose/monitoring/targets`;
    ok($? == 0, 'the example of targets is right') or diag $said;
}

# the query proxy's, in Kubernetes and beside Grafana: settings and ports that the
# image has

sub documents {
    my ($name) = @_;

    return @{ CPAN::Meta::YAML->read_string(file($name))
        // die "$name: ", CPAN::Meta::YAML->errstr, "\n" };
}

my %object = map { $_->{kind} => $_ }
    documents('kubernetes/query-proxy.yaml');

is(join(' ', sort keys %object),
    'Deployment NetworkPolicy Service ServiceAccount',
    'Kubernetes is given four objects');

my $pod = $object{Deployment}{spec}{template};
my ($container) = @{ $pod->{spec}{containers} };
my $service = $object{Service}{spec};

for my $kind (qw(Deployment Service NetworkPolicy)) {
    my $spec = $object{$kind}{spec};
    my $labels = $spec->{podSelector}{matchLabels}
        // $spec->{selector}{matchLabels} // $spec->{selector};

    is_deeply([ @{ $pod->{metadata}{labels} }{ sort keys %$labels } ],
        [ @$labels{ sort keys %$labels } ], "$kind: it means these pods");
    is($object{$kind}{metadata}{namespace},
        $object{ServiceAccount}{metadata}{namespace},
        "$kind: in the same namespace");
}

is($pod->{metadata}{labels}{'azure.workload.identity/use'}, 'true',
    'AKS gives them a token');
is($pod->{spec}{serviceAccountName}, $object{ServiceAccount}{metadata}{name},
    'of the account that is there');

my $help = `'@{[Keeper::program()]}' run --help`;
my ($command, %flags) = @{ $container->{args} };

is($command, 'run', 'the image is run as query proxy');
like($help, qr/^ +\Q$_\E /m, "and knows $_") for keys %flags;

my ($default) = $help =~ /--port .*?(\d{4})/s;
my ($named) = @{ $container->{ports} };
my $paths = file('../rootfs/etc/nginx/query-server.conf');

is($named->{containerPort}, $default, 'its port is the image\'s');
is($service->{ports}[0]{targetPort}, $named->{name}, 'the service leads there');
is($service->{ports}[0]{port}, $default, 'by the same number');
is($object{NetworkPolicy}{spec}{ingress}[0]{ports}[0]{port}, $default,
    'the policy lets callers in');

for (qw(livenessProbe readinessProbe)) {
    my $get = $container->{$_}{httpGet};

    is($get->{port}, $default, "$_ asks that port");
    like($paths, qr/^location = \Q$get->{path}\E \{$/m,
        "$_ asks for what is there");
}

my ($compose) = documents('compose/query/docker-compose.yml');
my ($name) = grep { ($compose->{services}{$_}{command} // '') eq 'run' }
    keys %{ $compose->{services} };
my $environment = $compose->{services}{$name}{environment};

like($help, qr/\b\Q@{[s{_FILE$}{}r]}\E\b/, "compose: the image knows $_")
    for sort keys %$environment;
like($compose->{services}{$name}{volumes}[0],
    qr/:\Q$environment->{AZURE_CLIENT_SECRET_FILE}\E:ro$/,
    'compose: the secret is where it is looked for');

# each with all that the proxy needs: what it makes of these variables, and what
# it finds wrong

sub prepared {
    my (%env) = @_;

    my $dir = File::Temp->newdir;
    my $set = join ' ', map { "$_='$env{$_}'" } keys %env;
    my $said = `env -i $set '@{[Keeper::program()]}' prepare $dir/made 2>&1`
        =~ s/\Q$dir\E//gr;

    open my $fh, '<', "$dir/made/remotes" or return $said;
    return join '', <$fh>;
}

my $token = File::Temp->new;
print $token "token\n";
close $token;

like(prepared(MONITORING_PROXY_QUERY_URL => $flags{'--prometheus-url'},
    AZURE_CLIENT_ID => 'client', AZURE_TENANT_ID => 'tenant',
    AZURE_AUTHORITY_HOST => 'https://login.microsoftonline.com/',
    AZURE_FEDERATED_TOKEN_FILE => $token), qr/federated_token_file=/,
    'Kubernetes: nothing is missing beside what AKS sets');
like(prepared(map({ $_ => /_FILE$/ ? $token : /_URL$/ ? 'https://x' : 'x' }
    keys %$environment)), qr/client_secret_file=/,
    'compose: nothing is missing');
like(prepared(MONITORING_PROXY_QUERY_URL => 'https://x',
    AZURE_CLIENT_SECRET_FILE => $token), qr/AZURE_TENANT_ID/,
    'and would be told');

my ($source) = documents('compose/query/datasource.yml');
is($source->{datasources}[0]{url}, "http://$name:$default",
    'compose: Grafana asks the proxy');

# WireGuard's, on top of the proxy's

my ($over) = documents('compose/wireguard.yml');
my ($under) = documents('compose/docker-compose.yml');
my $allowed = file('../rootfs/usr/lib/monitoring-proxy/environment');

is_deeply([ keys %{ $over->{services} } ],
    [ grep { $_ eq 'proxy' } keys %{ $under->{services} } ],
    'compose: WireGuard is added to the proxy');
like($allowed, qr/^(?:allowed=')?\Q$_\E$/m, "compose: the image knows $_")
    for sort keys %{ $over->{services}{proxy}{environment} };

# replicas: as confined as one, and each part finds the others

my ($several) = documents('compose/replicas/docker-compose.yml');
my ($replica, $balancer, $discovery)
    = @{ $several->{services} }{qw(proxy haproxy discovery)};

is_deeply($replica->{$_}, $under->{services}{proxy}{$_},
    "replicas: $_ as of one proxy") for qw(cap_add cap_drop image read_only
        security_opt stop_grace_period tmpfs ulimits);
like($allowed, qr/^(?:allowed=')?\Q$_\E$/m, "replicas: the image knows $_")
    for sort keys %{ $replica->{environment} };

for my $part (qw(haproxy discovery)) {
    my $service = $several->{services}{$part};

    is(join(' ', map { "$_=" . ($service->{$_} // '') } qw(cap_add cap_drop
        read_only security_opt)), 'cap_add= cap_drop=[ALL] read_only=true '
        . 'security_opt=["no-new-privileges:true"]', "replicas: $part may"
        . ' do nothing else');
}

my $balance = file('compose/replicas/haproxy.cfg');
my @binds = $balance =~ /^ +bind :(\d+)$/mg;
my %flag = map { /^--([\w-]+)(?:=(.*))?$/ } split ' ', $discovery->{command};

is(join(' ', map { /(\d+)\z/ } @{ $balancer->{ports} }), "@binds",
    'replicas: HAProxy listens on the ports that are published');
is_deeply([ $balance =~ /^ +server proxy-(\d) (\S+) tcp-ut 10s$/mg ],
    [ map({ ($_, 'proxy:22') } 1 .. 4), map { ($_, 'proxy:8080') } 1 .. 4 ],
    'and connects to the replicas');
is($flag{dns}, 'proxy:80', 'as the discovery asks them');
like(file('compose/replicas/prometheus.yml'),
    qr{^ +- url: http://discovery\Q$flag{'sd-listen'}\E/targets$}m,
    'which Prometheus asks');

my $checked = `haproxy -c -f $deploy/compose/replicas/haproxy.cfg 2>&1`;
is("$?: $checked", '0: ', 'HAProxy takes its configuration');

done_testing();
