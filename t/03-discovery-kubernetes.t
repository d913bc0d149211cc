#!/usr/bin/perl

# t/03-discovery-kubernetes.t: proxies that are found by Kubernetes'
# EndpointSlices, of a real API server and by what else one may answer

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib", "$FindBin::Bin/unit";

use Cluster;
use Program qw(write_to);
use TokenEndpoint;
use Unit;

my $missing = Cluster::missing();

plan skip_all => "$missing is not installed" if defined $missing;

my $path = '/apis/discovery.k8s.io/v1/namespaces/mon/endpointslices';
my $json = JSON::PP->new->utf8->canonical;
my $dir = workdir();
my $runner = kubernetes_runner();
my $number = 0;


# Watches as the discovery does. Options: url, token (a file), ca, port, env.

sub start {
    my (%o) = @_;

    my $self = bless { log => "$dir/" . ++$number . '.log' }, 'Program';

    $self->run($o{env}, $runner, $o{url}, $o{token} // '', $o{ca} // '', 'mon',
        $o{port} // 'http');

    return $self;
}


sub await {
    my ($what, $seconds) = @_;

    my $end = time + ($seconds // 20);

    while (1) {
        my $result = $what->();
        return $result if $result || time > $end;
        sleep 0.01;
    }
}


sub says {
    my ($self, $pattern, $seconds) = @_;

    return await(sub { $self->log =~ $pattern }, $seconds);
}


# All places that it has told last, once these are the wanted ones.

sub places {
    my ($self, $wanted, $seconds) = @_;

    my $last = '';

    await(sub {
        my @found = $self->log =~ /^found ?(.*)$/mg;
        $last = @found ? $found[-1] : 'nothing';
        $last eq $wanted;
    }, $seconds);

    return $last;
}


sub times_told {
    my ($self) = @_;

    return scalar(() = $self->log =~ /^found/mg);
}


# Its metrics, name by name.

sub metrics {
    my ($self) = @_;

    my $before = () = $self->log =~ /^---$/mg;

    $self->signal('USR1');
    await(sub { $before < (() = $self->log =~ /^---$/mg) });

    my $page = (split /^---$/m, $self->log)[$before];

    return { $page =~
        /^monitoring_proxy_discovery_kubernetes_(\S+) (\d+)$/mg };
}


# An EndpointSlice with these endpoints; each is the name of a pod and its
# address, or a hash that is added as it is. Options come first, in a hash.

sub slice {
    my ($name, @endpoints) = @_;

    my $o = ref $endpoints[0] eq 'HASH' && !$endpoints[0]{addresses}
        ? shift @endpoints : {};

    return { apiVersion => 'discovery.k8s.io/v1', kind => 'EndpointSlice',
        metadata => { namespace => 'mon', name => $name, labels => {
            'app.kubernetes.io/name' => $o->{label} // 'monitoring-proxy' } },
        addressType => $o->{type} // 'IPv4',
        ports => $o->{ports} // [ { name => 'ssh', port => 2222 },
            { name => 'http', port => 8080, protocol => 'TCP' } ],
        endpoints => [ map { ref $_ ? $_ : endpoint(split /=/) } @endpoints ] };
}

sub endpoint {
    my ($pod, $address, %conditions) = @_;

    return { addresses => [ $address ], conditions => \%conditions,
        targetRef => { kind => 'Pod', namespace => 'mon', name => $pod } };
}

my ($yes, $no) = (JSON::PP::true, JSON::PP::false);


# One that accepts, and is silent: it takes half a minute to tell.

my $silent = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 5)
    or die "no socket: $@\n";
my $waiting = start(url => 'http://127.0.0.1:' . $silent->sockport);

my $cluster = Cluster->new;

$cluster->namespace('mon');
$cluster->service_account('mon', 'finder');
$cluster->create(slice('proxy-a', 'proxy-0=10.1.0.10', 'proxy-1=10.1.0.11'));
write_to("$dir/token", $cluster->token('mon', 'finder'));

my @access = (url => $cluster->url, ca => $cluster->ca);


# without a role

my $it = start(@access, token => "$dir/token");

ok(says($it, qr/level=ERROR msg="EndpointSlices can't be watched"/),
    'that nothing may be listed is an error');
like($it->log, qr/err="endpointslices\.discovery\.k8s\.io is forbidden: User /,
    '... in the API server\'s words');
like($it->log, qr/needed="a\ Role\ in\ the\ namespace\ \\"mon\\"
    \ with\ the\ rule\ apiGroups:\ \[\\"discovery\.k8s\.io\\"\],
    \ resources:\ \[\\"endpointslices\\"\],
    \ verbs:\ \[\\"list\\",\ \\"watch\\"\],
    \ bound\ to\ the\ ServiceAccount\ \\"finder\\"
    \ of\ the\ namespace\ \\"mon\\""/x, '... with the rule that is missing');
is(times_told($it), 0, '... and no place is told');

$cluster->allow('mon', 'finder', 'list', 'watch');

is(places($it, 'proxy-0=10.1.0.10:8080 proxy-1=10.1.0.11:8080'),
    'proxy-0=10.1.0.10:8080 proxy-1=10.1.0.11:8080',
    'once there is the role, it finds what there is');
ok(says($it, qr/watching EndpointSlices again/), '... and says so');

my $m = metrics($it);

is($m->{connected}, 1, 'the metrics: it watches');
cmp_ok($m->{'failures_total{reason="forbidden"}'}, '>=', 1,
    '... and was refused before');


# a role by half

$cluster->service_account('mon', 'lister');
$cluster->allow('mon', 'lister', 'list');
write_to("$dir/lister", $cluster->token('mon', 'lister'));

my $half = start(@access, token => "$dir/lister");

is(places($half, 'proxy-0=10.1.0.10:8080 proxy-1=10.1.0.11:8080'),
    'proxy-0=10.1.0.10:8080 proxy-1=10.1.0.11:8080',
    'who may list, and not watch, is told what there is');
ok(says($half, qr/cannot watch resource/), '... and what is missing');


# changes

my $start = time;

$cluster->create(slice('proxy-b', 'proxy-2=10.1.0.12'));
is(places($it, 'proxy-0=10.1.0.10:8080 proxy-1=10.1.0.11:8080'
    . ' proxy-2=10.1.0.12:8080'), 'proxy-0=10.1.0.10:8080'
    . ' proxy-1=10.1.0.11:8080 proxy-2=10.1.0.12:8080',
    'a slice that is created is found');
cmp_ok(time - $start, '<', 5, '... within seconds');

$cluster->replace(slice('proxy-a', 'proxy-0=10.1.0.20'));
is(places($it, 'proxy-0=10.1.0.20:8080 proxy-2=10.1.0.12:8080'),
    'proxy-0=10.1.0.20:8080 proxy-2=10.1.0.12:8080',
    'one that is changed has what is new, and no longer the old');
is(places($half, 'proxy-0=10.1.0.20:8080 proxy-2=10.1.0.12:8080'),
    'proxy-0=10.1.0.20:8080 proxy-2=10.1.0.12:8080',
    '... which who may not watch is told of by another list');
is($half->stop, 0, '... and it ends in order');

$cluster->remove(slice('proxy-b'));
is(places($it, 'proxy-0=10.1.0.20:8080'), 'proxy-0=10.1.0.20:8080',
    'one that is deleted is gone');

my $told = times_told($it);

$cluster->create(slice('other', { label => 'else' }, 'other-0=10.1.0.99'));
$cluster->create(slice('again', 'proxy-0=10.1.0.20'));
$cluster->create(slice('ports', { ports => [ { name => 'ssh', port => 22 } ] },
    'proxy-7=10.1.0.17'));
ok(says($it, qr/ports" endpointslice=ports reason="it has no TCP port http; it/),
    'a slice without the port is told of');
is(times_told($it), $told,
    'nothing is told that is no change: another label, a pod once more');

my $ssh = start(@access, token => "$dir/token", port => 22);

is(places($ssh, 'proxy-7=10.1.0.17:22'), 'proxy-7=10.1.0.17:22',
    'a port may be given by its number');
is($ssh->stop, 0, '... and it ends in order');

$cluster->remove(slice($_)) for qw(again ports);


# what endpoints may be

$cluster->create(slice('family', { type => 'IPv6' }, 'proxy-0=fd00::20',
    'proxy-3=fd00::3'));
$cluster->create(slice('names', { type => 'FQDN' },
    { addresses => [ 'proxy.example.org' ] }));
$cluster->create(slice('states',
    endpoint('proxy-4', '10.1.0.14', ready => $no, serving => $no),
    endpoint('proxy-5', '10.1.0.15', ready => $no, serving => $yes,
        terminating => $yes),
    endpoint('proxy-6', '10.1.0.16', ready => $no),
    endpoint('proxy-9', '10.1.0.29', ready => $yes, serving => $no),
    { addresses => [ '10.1.0.18', '10.1.0.19' ] }));

my $all = '10.1.0.18:8080=10.1.0.18:8080 proxy-0=10.1.0.20:8080'
    . ' proxy-3=[fd00::3]:8080 proxy-5=10.1.0.15:8080 proxy-9=10.1.0.29:8080'
    . ' proxy.example.org:8080=proxy.example.org:8080';

is(places($it, $all), $all, 'IPv6 and names, those that serve still, those'
    . ' that are no pods, and a pod with two addresses once');

$cluster->create(slice('garbage', endpoint("a\"b\nfound x=y", '10.1.0.30'),
    endpoint('../../etc', '10.1.0.31'), endpoint('', '10.1.0.32'),
    endpoint('proxy-8', '10.1.0.38')));
$all =~ s/ (?=proxy-9)/ proxy-8=10.1.0.38:8080 /;

is(places($it, $all), $all, 'of garbage, what can be understood is taken');
ok(says($it, qr/level=WARN msg="endpoints are skipped" endpointslice=garbage/
    . qr/ n=3 err="the name of an endpoint's pod, 10\.1\.0\.30:8080,/),
    '... and the rest is told of');
is(metrics($it)->{skipped_endpoints}, 3, '... and counted');

$cluster->replace(slice('garbage', endpoint('..', '10.1.0.38')));
$cluster->remove(slice($_)) for qw(garbage family names states);
is(places($it, 'proxy-0=10.1.0.20:8080'), 'proxy-0=10.1.0.20:8080',
    'and all that goes again');


# the API server is gone for a while

$told = times_told($it);
$cluster->halt;
ok(says($it, qr/err="connect to 127\.0\.0\.1:\d+: Connection refused"/),
    'that the API server is gone is told');
is(metrics($it)->{connected}, 0, '... and is in the metrics');
is(times_told($it), $told, '... and places stay');

# it comes back without what it keeps in memory, and then etcd forgets what has
# happened; and by then the token is no longer one

$it->signal('STOP');
$cluster->begin('--watch-cache-sizes', 'endpointslices.discovery.k8s.io#0');
$cluster->ready;
$cluster->remove(slice('proxy-a'));
$cluster->create(slice('proxy-c', 'proxy-0=10.1.0.40'));
$cluster->compact;
write_to("$dir/token", 'no-token-at-all');
$it->signal('CONT');

ok(says($it, qr/err="the API server answers 401: Unauthorized"/, 40),
    'a token that is refused is told of');
is(times_told($it), $told, '... and places stay, still');

write_to("$dir/token", $cluster->token('mon', 'finder'));

is(places($it, 'proxy-0=10.1.0.40:8080', 40), 'proxy-0=10.1.0.40:8080',
    'with a new one in its file, what was created and deleted meanwhile is'
    . ' found');
is(times_told($it), $told + 1, '... at once, as one change');
cmp_ok(metrics($it)->{'failures_total{reason="gone"}'}, '>=', 1,
    '... by a list, as the API server has said 410');

$cluster->create(slice('proxy-d', 'proxy-1=10.1.0.41'));
is(places($it, 'proxy-0=10.1.0.40:8080 proxy-1=10.1.0.41:8080'),
    'proxy-0=10.1.0.40:8080 proxy-1=10.1.0.41:8080',
    '... and is watched from there on');


# many, by several pages

$cluster->create_all(map { slice("many-$_",
    map { "pod-$_=10." . (2 + int $_ / 250) . '.0.' . $_ % 250 }
        2 * $_, 2 * $_ + 1) } 0 .. 519);

ok(await(sub { ($it->log =~ /^found (.*)$/mg)[-1] =~ tr/=// == 1042 }),
    'a thousand endpoints are found as they are created');

$start = time;
my $fresh = start(@access, token => "$dir/token");

ok(await(sub { $fresh->log =~ /^found (.*)$/m && $1 =~ tr/=// == 1042 }),
    '... and at once, as it starts');
note(sprintf 'in %.1f s', time - $start);
is(metrics($fresh)->{lists_total}, 1, '... by the pages of one list');
is($fresh->stop, 0, '... and it ends in order');


# TLS

write_to("$dir/ca", slurp('/etc/ssl/certs/ca-certificates.crt'));

my $wrong = start(@access, token => "$dir/token", ca => "$dir/ca");

ok(says($wrong, qr/level=ERROR .* err="SSL certificate problem: unable to get/),
    'an API server whose certificate isn\'t by the CA is told of');
cmp_ok(metrics($wrong)->{'failures_total{reason="tls"}'}, '>=', 1,
    '... as what it is');

write_to("$dir/ca", slurp($cluster->ca));
ok(await(sub { $wrong->log =~ /^found /m }),
    '... and if the CA\'s file is changed, that is taken');
is($wrong->stop, 0, '... and it ends in order');

my $six = start(url => '', token => "$dir/token", ca => "$dir/ca", env => {
    KUBERNETES_SERVICE_HOST => '::1', KUBERNETES_SERVICE_PORT => 1 });

ok(says($six, qr{level=ERROR .*apiserver=https://\[::1\]:1 }),
    'a pod may know its API server by IPv6');
is($six->stop, 0, '... and it ends in order');

is($it->stop, 0, 'it ends in order, with no byte lost or out of bounds');


# Whatever else may answer in an API server's name: a list, and then a watch

sub list {
    my ($version, @slices) = @_;

    return { json => { kind => 'EndpointSliceList',
        metadata => { resourceVersion => "$version" }, items => \@slices } };
}

sub event {
    my ($type, $object) = @_;

    return $json->encode({ type => $type, object => $object }) . "\n";
}

sub answered {
    my (@answers) = @_;

    my $endpoint = TokenEndpoint->new;

    $endpoint->answer($path, @answers, { hang => 1 });

    return ($endpoint, start(url => $endpoint->url('/')));
}

my $good = slice('a', 'p-0=10.1.0.1');
my $bookmark = { kind => 'EndpointSlice',
    metadata => { resourceVersion => '77' } };

$good->{metadata}{resourceVersion} = '8';

my ($endpoint, $fake) = answered(list(7),
    { body => event('ADDED', $good) . event('BOOKMARK', $bookmark),
        delay => 1.2 });

is(places($fake, 'p-0=10.1.0.1:8080'), 'p-0=10.1.0.1:8080',
    'a watch\'s event counts');

my @asked = $endpoint->await($path, 3);

is($asked[1]{params}{resourceVersion}[0], 7, 'a watch begins where the list'
    . ' has ended');
is($asked[2]{params}{resourceVersion}[0], 77, '... and once it is over, the'
    . ' next one begins at its bookmark');
unlike($fake->log, qr/can't be watched/, '... which is no failure');
is($fake->stop, 0, '... and it ends in order');

# each is answered once, and a good list then

my @cases = (
    [ 'a page', 'invalid', qr/the list isn't JSON/,
        { type => 'text/html', body => '<html>Welcome</html>' } ],
    [ 'another kind', 'invalid', qr/is of the kind \\"PodList\\"/,
        { json => { kind => 'PodList', items => [] } } ],
    [ 'half a list', 'cut', qr/err=/, { %{ list(7, $good) }, cut => 150 } ],
    [ 'items that are none', 'invalid', qr/no \\"name\\" in its/,
        list(7, undef, [], 'x') ],
    [ 'a page that is gone', 'gone', qr/answers 410: too old/,
        { json => { kind => 'EndpointSliceList',
            items => [ slice('b', 'x=10.1.0.9') ],
            metadata => { resourceVersion => '7', continue => 'a/b=' } } },
        { status => 410, json => { message => 'too old', code => 410 } } ],
    [ 'status 500', 'refused', qr/answers 500: etcdserver: no leader/,
        { status => 500, json => { message => 'etcdserver: no leader',
            code => 500 } } ],
    [ 'status 404', 'refused', qr/since Kubernetes 1\.21/,
        { status => 404, body => "404 page not found\n" } ],
    [ 'a watch\'s garbage', 'invalid', qr/the event isn't JSON/,
        list(7), { body => "garbage\n" } ],
    [ 'an event without a type', 'invalid', qr/it is no event/,
        list(7), { body => qq({"object":{}}\n) } ],
    [ 'a watch\'s error', 'gone', qr/the watch has ended: too old/,
        list(7), { body => event('ERROR', { kind => 'Status', code => 410,
            message => 'too old resource version' }) } ],
    [ 'a watch that is refused', 'refused', qr/answers 429: slow down/,
        list(7), { status => 429, json => { message => 'slow down' } } ],
    [ 'a line without an end', 'invalid', qr/more than 4194304 bytes/,
        list(7), { size => 5 * 1024 * 1024 } ]);

my ($paged, $pages) = answered({ json => { kind => 'EndpointSliceList',
    items => [ slice('b', 'p-1=10.1.0.2') ],
    metadata => { resourceVersion => '7', continue => 'a/b=&c' } } },
    list(7, $good));

is(places($pages, 'p-0=10.1.0.1:8080 p-1=10.1.0.2:8080'),
    'p-0=10.1.0.1:8080 p-1=10.1.0.2:8080', 'a list may have pages');
is(($paged->requests($path))[1]{params}{continue}[0], 'a/b=&c',
    '... each of which is asked for by what stands in the one before');
is($pages->stop, 0, '... and it ends in order');

my @running = map {
    my (undef, undef, undef, @answers) = @$_;
    [ answered(@answers, list(9, $good)) ]
} @cases;

for my $i (0 .. $#cases) {
    my ($what, $reason, $err) = @{ $cases[$i] };
    my ($endpoint, $fake) = @{ $running[$i] };

    is(places($fake, 'p-0=10.1.0.1:8080'), 'p-0=10.1.0.1:8080',
        "$what: it asks again");
    like($fake->log, $err, '... says what was wrong');
    cmp_ok(metrics($fake)->{"failures_total{reason=\"$reason\"}"}, '>=', 1,
        '... and counts it');
    is($fake->stop, 0, '... and ends in order');
    $endpoint->stop;
}

ok(says($waiting, qr/err="no answer has begun for 30 s"/, 40),
    'one that accepts and is silent is given up');
is($waiting->stop, 0, '... and it ends in order');


# what there must be at the start

for my $case (
    [ qr/^--apiserver ftp:.* it is https:/, 'ftp://x', '', '' ],
    [ qr/^this is no pod of Kubernetes, as KUBERNETES_/, '', '', '' ],
    [ qr/^no token of a service account: .*No such file.*; see --token-file/,
        'https://127.0.0.1:1', "$dir/nothing", '' ],
    [ qr/^--cacert .*No such file/, 'https://127.0.0.1:1', "$dir/token",
        "$dir/nothing" ],
    ) {
    my ($wanted, @arguments) = @$case;
    my ($status, $out) = run('', $runner, @arguments, 'mon', 'http');

    like($out, $wanted, "without it, it says what is needed: $wanted");
    is($status, 1, '... and ends');
}

my (undef, $out) = run('', $runner, 'http://127.0.0.1:1', '', '', 'a/../b',
    'http');

like($out, qr/^the namespace "a\/\.\.\/b" isn't made of/,
    'a namespace is a name');

done_testing;
