#!/usr/bin/perl

# t/98-compose-replicas.t: deploy/compose/replicas comes up by the commands that
# it names, and Prometheus scrapes a host through it

use warnings;
use strict;

use FindBin;
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await build command directory docker image read_file
    test_image write_file);
use Host;
use Http;
use Proxy;
use Running;

my $root = "$FindBin::Bin/..";

# The files as they are, but for what Prometheus waits between two looks, in a
# directory of their own.

my $dir = directory();
my $here = "$dir/compose/replicas";

command('mkdir', '-p', "$dir/compose");
command('cp', '-r', "$root/deploy/alerts", $dir);
command('cp', '-r', "$root/deploy/compose/replicas", "$dir/compose");


sub change {
    my ($file, $from, $to) = @_;

    my $text = read_file("$here/$file");
    $text =~ s/$from/$to/g or die "$file: no $from\n";
    write_file("$here/$file", $text);
}


change('docker-compose.yml', qr{context: \K\.\./\.\./\.\.}, $root);
change('docker-compose.yml', qr/interval=\K15s/, '1s');
change('prometheus.yml', qr/refresh_interval: \K15s/, '1s');
change('prometheus.yml', qr/\A/, "global:\n  scrape_interval: 1s\n\n");

my $prometheus = build('FROM ' . test_image() . "\n"
    . 'ENTRYPOINT ["prometheus", "--storage.tsdb.path=/tmp/prometheus",'
    . ' "--config.file=/etc/prometheus/prometheus.yml"]' . "\n");

# images of this tree, and ports that may be in use here

my $image = image();

write_file("$here/test.yml", <<"EOF");
services:
  proxy:
    image: $image
  haproxy:
    image: monitoring-proxy-haproxy:test
    ports: !override []
  discovery:
    image: monitoring-proxy-discovery:test
  prometheus:
    ports: !override []
EOF


{
    package Compose;

    sub start {
        my ($class) = @_;

        my $self = bless { project => Container::unused() }, $class;
        Running::add($self);

        return $self;
    }


    # Its status and output as command() has them; options in front, too.

    sub run {
        my ($self, @words) = @_;
        my $o = ref $words[0] ? shift @words : {};

        return Container::command($o, 'env', 'DOCKER_BUILDKIT=0',
            "PROMETHEUS_IMAGE=$prometheus",
            'MONITORING_PROXY_SSH=haproxy:2222', 'docker-compose', '-p',
            $self->{project}, '-f', "$here/docker-compose.yml", '-f',
            "$here/test.yml", @words);
    }


    # A container of it, as the other helpers know them.

    sub container {
        my ($self, $name) = @_;

        return bless { name => "$self->{project}-$name" }, 'Container';
    }


    sub ip { $_[0]->container($_[1])->ip("$_[0]{project}_default") }


    sub stop {
        my ($self) = @_;

        $self->run('down', '-v', '-t', 0);
        Running::remove($self);
    }
}


my $compose = Compose->start;

my $r = $compose->run({ seconds => 600 }, 'build');
is($r->{status}, 0, 'its images are built') or die $r->{out};

$r = $compose->run('up', '-d');
is($r->{status}, 0, 'docker-compose up') or die $r->{out};

my @replicas = map { $compose->container("proxy-$_") } 1, 2;
my %key;

for (@replicas) {
    $_->logged(qr/host key (\S+ AAAA\S+)$/m) or die $_->logs;
    $key{$1}++ if $_->logs =~ /host key (\S+ AAAA\S+)$/m;
}

is_deeply([ values %key ], [ 2 ], 'both replicas have one host key');


# the other command

my $host = Host->start;

$host->reaches($compose->container('haproxy-1'), 'haproxy');

$r = undef;
await(20, sub {
    $r = $compose->run('exec', '-T', 'proxy', 'monitoring-proxy', 'add',
        'external-host-1', Proxy::entry());
    $r->{status} == 0;
});

is($r->{status}, 0, 'a host is added') or diag $r->{out};

my ($known) = $r->{out} =~ /--known-hosts '([^']+)'/;
my ($port) = $r->{out} =~ /--port (\d+)/;

is($known, (keys %key)[0], 'it is told the host key');

$host->sh('haproxy', "echo '[haproxy]:2222 $known' > /tmp/known
    until ssh -p 2222 -o StrictHostKeyChecking=yes -f -N -T \\
        -o UserKnownHostsFile=/tmp/known -R $port:localhost:9100 haproxy
    do
        [ \$SECONDS -lt 10 ] || exit 1
        sleep 0.2
    done");


# What Prometheus has of a job: the value of up, by instance.

sub up {
    my ($job) = @_;

    my $text = Http::request(9090, host => $compose->ip('prometheus-1'),
        path => "/api/v1/query?query=up%7Bjob%3D%22$job%22%7D")->{body};

    return map { $_->{metric}{instance}, $_->{value}[1] }
        @{ JSON::PP::decode_json($text)->{data}{result} };
}


ok(await(30, sub { (up('node'), 0)[1] }), 'Prometheus scrapes the host')
    or diag $compose->run('logs', '--no-color')->{out};
is_deeply({ up('node') }, { 'external-host-1' => 1 }, 'under its name');
ok(await(10, sub { (up('monitoring-proxy-discovery'), 0)[1] }),
    'it scrapes the discovery');

# a third one

is($compose->run('up', '-d', '--scale', 'proxy=3')->{status}, 0,
    'one more replica is asked for');
ok(await(20, sub {
    my %up = up('monitoring-proxy');
    keys %up == 3 && !grep { !$_ } values %up;
}), 'which Prometheus scrapes');
ok($compose->container('haproxy-1')->logged(
    qr{Server ssh/proxy-3 .*is UP}, 20), 'and HAProxy has');

my %limits = map { $_ => $compose->container("$_-1")
    ->inspect('{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}') }
    qw(proxy haproxy discovery);

is_deeply([ values %limits ], [ ('true [ALL]') x 3 ], 'all are confined');

done_testing();
