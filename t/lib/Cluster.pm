package Cluster;

# A real API server of Kubernetes with its etcd, on loopback: no nodes, no
# controllers, but whoever asks is authenticated and authorized as in any
# cluster. Objects are hashes, as their JSON is.

use warnings;
use strict;

use File::Temp;
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(sleep time);

use Http;
use Program qw(write_to);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

my %plural = (ClusterRole => 'clusterroles',
    ClusterRoleBinding => 'clusterrolebindings', ConfigMap => 'configmaps',
    CustomResourceDefinition => 'customresourcedefinitions',
    Deployment => 'deployments', EndpointSlice => 'endpointslices',
    Namespace => 'namespaces', NetworkPolicy => 'networkpolicies',
    Pod => 'pods', PodDisruptionBudget => 'poddisruptionbudgets',
    PrometheusRule => 'prometheusrules', Role => 'roles',
    RoleBinding => 'rolebindings', ScrapeConfig => 'scrapeconfigs',
    Service => 'services', ServiceAccount => 'serviceaccounts',
    ServiceMonitor => 'servicemonitors', StatefulSet => 'statefulsets');

my $rbac = 'rbac.authorization.k8s.io';


# Whether this machine has what it takes.

sub missing {
    my @path = (split(/:/, $ENV{PATH}), '/usr/sbin');

    for my $program (qw(etcd kube-apiserver openssl curl)) {
        return $program if !grep { -x "$_/$program" } @path;
    }

    return;
}


sub new {
    my ($class) = @_;

    my $dir = File::Temp->newdir('mp-cluster-XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir, admin => 'admin-token' }, $class;

    $self->{$_} = free_port() for qw(port etcd_port peer_port);
    $self->make_keys;

    $self->{etcd} = bless { log => "$dir/etcd.log" }, 'Cluster::Server';
    $self->{etcd}->run({}, 'etcd', '--data-dir', "$dir/etcd",
        '--unsafe-no-fsync', '--log-level', 'error',
        '--listen-client-urls', "http://127.0.0.1:$self->{etcd_port}",
        '--advertise-client-urls', "http://127.0.0.1:$self->{etcd_port}",
        '--listen-peer-urls', "http://127.0.0.1:$self->{peer_port}");

    $self->{server} = bless { log => "$dir/server.log" }, 'Cluster::Server';
    $self->begin;
    $self->ready;

    return $self;
}


# Below those that the kernel gives to clients, as it is bound a while later,
# and again after a restart.

sub free_port {
    while (1) {
        my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
            LocalPort => 20000 + int rand 12000) or next;

        return $s->sockport;
    }
}


sub make_keys {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $ec = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2';

    write_to("$dir/tokens.csv",
        "$self->{admin},admin,admin,\"system:masters\"\n");

    openssl($dir, "req -x509 $ec -subj /CN=ca -keyout $dir/ca.key"
        . " -out $dir/ca.crt");
    openssl($dir, "req -x509 $ec -subj /CN=kube-apiserver"
        . " -addext subjectAltName=IP:127.0.0.1,DNS:localhost"
        . " -addext basicConstraints=CA:FALSE -CA $dir/ca.crt"
        . " -CAkey $dir/ca.key -keyout $dir/tls.key -out $dir/tls.crt");
    openssl($dir, "ecparam -name prime256v1 -genkey -noout"
        . " -out $dir/accounts.key");
}


sub openssl {
    my ($dir, $what) = @_;

    system("openssl $what 2>> $dir/openssl.log") == 0
        or die "openssl $what: " . slurp("$dir/openssl.log");
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    local $/;

    return <$fh> // '';
}


# The server alone, with more flags; the rest of the cluster is what etcd keeps.

sub begin {
    my ($self, @flags) = @_;

    my $dir = $self->{dir};

    $self->{server}->run({}, 'kube-apiserver',
        '--etcd-servers', "http://127.0.0.1:$self->{etcd_port}",
        '--etcd-compaction-interval', '0',
        '--bind-address', '127.0.0.1', '--secure-port', $self->{port},
        '--advertise-address', '127.0.0.1',
        '--endpoint-reconciler-type', 'none',
        '--tls-cert-file', "$dir/tls.crt",
        '--tls-private-key-file', "$dir/tls.key",
        '--token-auth-file', "$dir/tokens.csv",
        '--authorization-mode', 'RBAC',
        '--disable-admission-plugins', 'ServiceAccount',
        '--service-account-issuer', 'https://kubernetes.default.svc',
        '--service-account-key-file', "$dir/accounts.key",
        '--service-account-signing-key-file', "$dir/accounts.key",
        '--service-cluster-ip-range', '10.0.0.0/24', @flags);
}


# Waits until it answers what it is asked.

sub ready {
    my ($self) = @_;

    my $end = time + 60;

    while (1) {
        my $r = $self->request('GET', '/readyz');
        last if $r->{status} == 200;

        if (time > $end || defined $self->{server}->ended(0)) {
            die "no API server: $r->{status} $r->{text}\n"
                . substr $self->{server}->log, -3000;
        }

        sleep 0.05;
    }
}


# As it is when its machine is lost.

sub halt { $_[0]{server}->stop }

sub restart {
    my ($self) = @_;

    $self->halt;
    $self->begin;
    $self->ready;
}


sub url { "https://127.0.0.1:$_[0]{port}" }
sub port { $_[0]{port} }
sub ca { "$_[0]{dir}/ca.crt" }
sub dir { "$_[0]{dir}" }


# What kubectl and helm are given as KUBECONFIG.

sub kubeconfig {
    my ($self) = @_;

    my $file = "$self->{dir}/kubeconfig";

    write_to($file, $json->encode({ apiVersion => 'v1', kind => 'Config',
        'current-context' => 'test',
        clusters => [ { name => 'test', cluster => {
            server => $self->url,
            'certificate-authority' => $self->ca } } ],
        users => [ { name => 'admin',
            user => { token => $self->{admin} } } ],
        contexts => [ { name => 'test', context => {
            cluster => 'test', user => 'admin' } } ] }));

    return $file;
}


# A request to it, as the administrator: its status, 0 if there is no answer,
# the text, and the object that this is. Options: body (a text), type, token.

sub request {
    my ($self, $method, $path, %o) = @_;

    my $out = "$self->{dir}/answer";
    my @command = ('curl', '-sS', '-g', '--max-time', 30, '-X', $method,
        '--cacert', $self->ca, '-o', $out, '-w', '%{http_code}',
        '-H', 'Authorization: Bearer ' . ($o{token} // $self->{admin}),
        '-H', 'Content-Type: ' . ($o{type} // 'application/json'));

    if (defined $o{body}) {
        write_to("$self->{dir}/body", $o{body});
        push @command, '--data-binary', "\@$self->{dir}/body";
    }

    unlink $out;

    my $pid = open my $fh, '-|' // die "fork: $!\n";

    if (!$pid) {
        open STDERR, '>', "$self->{dir}/curl.log";
        exec @command, $self->url . $path or POSIX::_exit(127);
    }

    my $status = <$fh> // 0;
    close $fh;

    my $text = slurp($out);

    return { status => $status + 0, text => $text,
        object => scalar eval { $json->decode($text) } };
}


# The path of an object, and of all of its kind.

sub path {
    my ($object, $one) = @_;

    my $meta = $object->{metadata};
    my $version = $object->{apiVersion};
    my $path = ($version =~ m{/} ? '/apis/' : '/api/') . $version;

    $path .= "/namespaces/$meta->{namespace}" if $meta->{namespace};
    $path .= '/' . ($plural{$object->{kind}}
        // die "no path of kind $object->{kind}\n");

    return $one ? "$path/$meta->{name}" : $path;
}


# These die if the server refuses, and return what it answers.

sub create {
    my ($self, $object) = @_;

    return $self->must('POST', path($object), body => $json->encode($object));
}

# ... many of a kind, by one connection

sub create_all {
    my ($self, @objects) = @_;

    my @requests;

    for my $object (@objects) {
        my $file = "$self->{dir}/body-" . scalar @requests;

        write_to($file, $json->encode($object));
        push @requests, join "\n", 'url = "' . $self->url . path($object)
            . '"', "data-binary = \"\@$file\"", "cacert = \"$self->{dir}/ca.crt\"",
            "header = \"Authorization: Bearer $self->{admin}\"",
            'header = "Content-Type: application/json"', 'silent', 'fail',
            'output = "/dev/null"', '';
    }

    write_to("$self->{dir}/requests", join "next\n", @requests);

    system('curl', '--fail-early', '-K', "$self->{dir}/requests") == 0
        or die "not all objects are created\n";
}

sub replace {
    my ($self, $object) = @_;

    return $self->must('PUT', path($object, 1), body => $json->encode($object));
}

sub remove {
    my ($self, $object) = @_;

    return $self->must('DELETE', path($object, 1));
}

# ... of a file in YAML

sub create_file {
    my ($self, $path, $file) = @_;

    return $self->must('POST', $path, body => slurp($file),
        type => 'application/yaml');
}

sub must {
    my ($self, $method, $path, %o) = @_;

    my $r = $self->request($method, $path, %o);

    die "$method $path: $r->{status} $r->{text}\n"
        if $r->{status} < 200 || $r->{status} > 299;

    return $r->{object};
}


sub namespace {
    my ($self, $name) = @_;

    $self->create({ apiVersion => 'v1', kind => 'Namespace',
        metadata => { name => $name } });
}


sub service_account {
    my ($self, $namespace, $name) = @_;

    $self->create({ apiVersion => 'v1', kind => 'ServiceAccount',
        metadata => { namespace => $namespace, name => $name } });
}


# A token of a service account, as a pod is given one.

sub token {
    my ($self, $namespace, $name) = @_;

    my $r = $self->must('POST',
        "/api/v1/namespaces/$namespace/serviceaccounts/$name/token",
        body => $json->encode({ apiVersion => 'authentication.k8s.io/v1',
            kind => 'TokenRequest', spec => { expirationSeconds => 600 } }));

    return $r->{status}{token};
}


# Lets a service account do this to EndpointSlices of its namespace.

sub allow {
    my ($self, $namespace, $name, @verbs) = @_;

    my $meta = { namespace => $namespace, name => $name };

    $self->create({ apiVersion => "$rbac/v1", kind => 'Role',
        metadata => $meta, rules => [ { apiGroups => [ 'discovery.k8s.io' ],
            resources => [ 'endpointslices' ], verbs => \@verbs } ] });

    $self->create({ apiVersion => "$rbac/v1", kind => 'RoleBinding',
        metadata => $meta,
        roleRef => { apiGroup => $rbac, kind => 'Role', name => $name },
        subjects => [ { kind => 'ServiceAccount', name => $name,
            namespace => $namespace } ] });
}


# What has happened until now is forgotten.

sub compact {
    my ($self) = @_;

    my $status = $self->etcd('maintenance/status', {});

    $self->etcd('kv/compaction', { physical => JSON::PP::true,
        revision => $status->{header}{revision} });
}

sub etcd {
    my ($self, $call, $request) = @_;

    my $r = Http::request($self->{etcd_port}, path => "/v3/$call",
        method => 'POST', body => $json->encode($request));

    $r->{status} == 200 or die "etcd: $call: $r->{line} $r->{body}\n";

    return $json->decode($r->{body});
}


package Cluster::Server;

# Nothing that it keeps is worth the seconds it would take to end in order.

use parent -norequire, 'Program';


sub stop {
    my ($self) = @_;

    return if !defined $self->{pid};

    $self->signal('KILL');
    return $self->ended(5);
}


1;
