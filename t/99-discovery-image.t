#!/usr/bin/perl

# t/99-discovery-image.t: the discovery's image, as little as it may do, beside
# real proxies that docker's DNS has

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command directory docker network read_file write_file);
use Http ();
use Proxy;

my $image = 'monitoring-proxy-discovery:test';
my @confined = ('--read-only', '--cap-drop', 'ALL', '--security-opt',
    'no-new-privileges');

my $r = command({ seconds => 600 }, 'docker', 'build', '-t', $image,
    '--target', 'discovery', "$FindBin::Bin/..");
is($r->{status}, 0, 'docker build --target discovery') or BAIL_OUT($r->{out});

sub image_has { docker('image', 'inspect', '-f', $_[0], $image)->{out} }

is(image_has('{{.Config.User}}'), "65534:65534\n", 'it runs as nobody');
is(image_has('{{.Config.Entrypoint}}'), "[monitoring-proxy-discovery]\n",
    'its entrypoint is the discovery');
is(image_has('{{json .Config.ExposedPorts}}'), "{\"9370/tcp\":{}}\n",
    'its port is that of metrics and lists');
like(image_has('{{json .Config.Labels}}'), qr/"Monitoring Proxy discovery"/,
    'it is labelled');


# what is in it

my $dir = directory();

command('sh', '-c', "made=\$(docker create $image) && docker export \$made"
    . " > $dir/image.tar; docker rm \$made > $dir/removed");
my %file = map { my @f = split ' ', $_, 6; ($f[5] => \@f) }
    split /\n/, command('tar', '--numeric-owner', '-tvf', "$dir/image.tar")
        ->{out};
my $path = 'usr/local/bin/monitoring-proxy-discovery';

command('tar', '-C', $dir, '-xf', "$dir/image.tar", $path);
unlike(command('readelf', '-l', "$dir/$path")->{out}, qr/INTERP/,
    'the program is static');
cmp_ok($file{$path}[2], '<', 9e6, 'and small');
cmp_ok(image_has('{{.Size}}') - $file{'usr/local/bin/promtool'}[2], '<', 14e6,
    'as is all but promtool');
is_deeply([ grep { $file{$_}[0] =~ /^-..[sS]|^-.....[sS]/ } keys %file ], [],
    'nothing is setuid or setgid');
is($file{'etc/prometheus/'}[1], '65534/65534',
    'what belongs to its user is the directory of prometheus.yaml');
is_deeply([ grep { $file{$_}[1] ne '0/0' && $_ ne 'etc/prometheus/' }
    keys %file ], [], 'and nothing else');


# on its own

sub ends {
    my ($options, @command) = @_;

    return Container->run_to_end(image => $image, command => \@command,
        options => [ @confined, @$options ]);
}


$r = ends([], '--version');
is($r->{status}, 0, '--version');
like($r->{out}, qr/^monitoring-proxy-discovery \S+/, 'has its name');
$r = ends([], '--help');
is($r->{status}, 0, '--help');
like($r->{out}, qr/--sd-listen/, 'has flags');
$r = ends([]);
is($r->{status}, 1, 'outside of a cluster it ends with 1');
like($r->{out}, qr/level=ERROR/, 'and says why');
$r = ends([], '--nothing');
is($r->{status}, 2, 'a flag that there isn\'t ends it with 2');
$r = ends([ '--entrypoint', 'promtool' ], '--version');
is($r->{status}, 0, 'promtool runs, too') or diag $r->{out};


# with proxies

my $lan = network();


sub proxy {
    my ($name) = @_;

    return Proxy->start(network => $lan, options => [ '--network', $lan,
        '--network-alias', 'proxy' ],
        targets => "exporter:9100 $name\n");
}


# The targets that it serves, as NAME ADDRESS.

sub served {
    my ($discovery) = @_;

    my $answer = Http::request(9370, host => $discovery->ip($lan),
        path => '/targets');

    return "status $answer->{status}" if $answer->{status} != 200;
    return join ', ', sort map { "$_->{labels}{instance} $_->{targets}[0]" }
        @{ decode_json($answer->{body}) };
}


my @proxies = (proxy('one'), proxy('two'));
my ($one, $two) = map { $_->ip($lan) . ':80' } @proxies;

my $lists = Container->run(image => $image, command => [ '--dns=proxy',
    '--interval=1s', '--sd-listen=:9370' ], options => [ @confined,
    '--network', $lan ]);

ok(await(20, sub { served($lists) eq "one $one, two $two" }),
    'it lists what the proxies have whom docker\'s DNS has')
    or diag served($lists), $lists->logs;

push @proxies, proxy('three');
my $three = $proxies[2]->ip($lan) . ':80';

ok(await(20, sub { served($lists) eq "one $one, three $three, two $two" }),
    'a proxy that is started is found') or diag served($lists), $lists->logs;

docker('rm', '-f', $proxies[0]->name);
ok(await(20, sub { served($lists) eq "three $three, two $two" }),
    'a proxy that has gone is not listed') or diag served($lists), $lists->logs;

docker('stop', $lists->name);
is($lists->inspect('{{.State.ExitCode}}'), 0, 'docker stop ends it in order');


# files, in a volume that is a fresh one

write_file("$dir/base", "global:\n  scrape_interval: 30s   # as it was\n");

my $files = Container->run(image => $image, command => [ '--dns=proxy',
    '--interval=1s', '--source=/base', '--reloadurl=http://127.0.0.1:1/' ],
    options => [ @confined, '--network', $lan, '-v', '/etc/prometheus', '-v',
    "$dir/base:/base:ro" ]);

sub written {
    my ($file) = @_;

    my $r = docker('cp', $files->name . ":/etc/prometheus/$file", "$dir/got");
    return '' if $r->{status};

    return read_file("$dir/got");
}


ok(await(20, sub { written('prometheus.yaml') =~ /# as it was$/m }),
    'prometheus.yaml is written to a fresh volume') or diag $files->logs;
like(written('prometheus.yaml'), qr/job_name: "?monitoring-proxy"?$/m,
    'with its job, after promtool has found it right');
like(written('monitoring-proxy/' . ($two =~ s/:/%3A/r) . '.json'), qr/"two"/,
    'and a list beside it') or diag $files->logs;
like(Http::request(9370, host => $files->ip($lan), path => '/metrics')->{body},
    qr/^monitoring_proxy_discovery_dns_places\{name="proxy"\} 2$/m,
    'its metrics are where they are expected');

done_testing();
