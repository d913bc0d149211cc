#!/usr/bin/perl

# t/98-discovery-files.t: the files that Prometheus reads are written when there
# is something new, as a whole, and only if they are right

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(stat);

use lib "$FindBin::Bin/lib";

use Container qw(await directory read_file test_image write_file);
use Discovery qw(group run_discovery write_to);
use DiscoveryProxy;

my $promtool = $ENV{MP_PROMTOOL} // '/usr/bin/promtool';
my $base = "global: {}  # mine\nscrape_configs:\n  - job_name: a\n";
my $job = <<'EOF';
  - job_name: "monitoring-proxy"
    file_sd_configs:
      - files: ["monitoring-proxy/*.json"]
EOF

my ($proxy, $also) = map { DiscoveryProxy->new } 1 .. 2;
my $prometheus = DiscoveryProxy->new->says('/-/reload', body => '');
my $number = 0;


# The flags of a discovery that writes to a directory of its own, and others.

sub flags {
    my ($dir, $proxies, %other) = @_;

    my %flags = (interval => '1s', source => "$dir/base",
        target => "$dir/conf", promtool => $promtool,
        reloadurl => 'http://' . $prometheus->address . '/-/reload',
        static => join(',', map { $_->address } @$proxies), %other);

    return map { "--$_=$flags{$_}" } sort keys %flags;
}


sub fresh {
    my ($text) = @_;

    my $dir = directory();
    write_to("$dir/base", $text // $base);

    return $dir;
}


sub file_of {
    my ($dir, $proxy) = @_;

    return "$dir/monitoring-proxy/127.0.0.1%3A" . $proxy->port . '.json';
}


sub has {
    my ($file, $pattern) = @_;

    return await(20, sub { -e $file && read_file($file) =~ $pattern });
}


sub logged {
    my ($d, $pattern) = @_;

    return await(20, sub { $d->log =~ $pattern }) // diag($d->log);
}


# A metric of its own, once it is that.

sub is_metric {
    my ($d, $name, $value, $promise) = @_;

    await(20, sub { ($d->metric("monitoring_proxy_discovery_$name") // '')
        eq $value });
    is($d->metric("monitoring_proxy_discovery_$name"), $value, $promise);
}


# Which file it is, of what time and mode: another one if it was written.

sub identity {
    my ($file) = @_;

    my @stat = stat $file or return "no $file";

    return join ' ', @stat[1, 2, 4, 9, 10];
}


# Two rounds of asking all proxies, so that what was to be done is done.

sub rounds {
    my ($d) = @_;

    my $name = 'monitoring_proxy_discovery_asks_total{proxy="'
        . $proxy->address . '"}';

    for (1 .. 2) {
        my $n = await(20, sub { $d->metric($name) });

        $d->signal('HUP');
        await(20, sub { $d->metric($name) > $n });
    }
}


# What is written, and when

$proxy->lists(group('a'));
$also->lists(group('b'), group('c'));

my $dir = fresh();
my $conf = "$dir/conf";
my $list = file_of($dir, $proxy);
my $d = Discovery->new(flags($dir, [$proxy, $also]));

ok(has($conf, qr/monitoring-proxy/), 'a configuration is made');
is(read_file($conf), $base . $job, '... of the base and a job');
ok(has($list, qr/"a"/), 'each proxy has a file with its list');
ok(has(file_of($dir, $also), qr/"b".*"c"/s), '... which are its own');
is_metric($d, 'reloads_total', 1, 'Prometheus is told');
is_deeply([ map { /\A(\S+ \S+)/ } $prometheus->{backend}->arrived ],
    [ 'POST /-/reload' ], '... once');
is_metric($d, 'config_in_effect', 1, 'all of it is in effect then');
cmp_ok($d->metric('monitoring_proxy_discovery_reload_success_timestamp_'
    . 'seconds'), '>=', time - 60, '... since when, is a metric');

is((stat $_)[2] & 07777, 0644, "$_ can be read by all")
    for $conf, $list;

my @before = map { identity($_) } $conf, $list, file_of($dir, $also);

rounds($d);
is_deeply([ map { identity($_) } $conf, $list, file_of($dir, $also) ],
    \@before, 'nothing is written when nothing has changed');
is_metric($d, 'list_writes_total', 2, '... which a metric says');

$proxy->lists(group('a'), group('d'));
ok(has($list, qr/"d"/), 'a list that has changed is written');
rounds($d);
is(identity($conf), $before[0], '... and nothing else: not the configuration');
is(identity(file_of($dir, $also)), $before[2], '... nor another list');
is($prometheus->asked, 0, '... and Prometheus, which reads lists, isn\'t told');

$proxy->says('/targets', status => 500, body => 'x');
rounds($d);
ok(has($list, qr/"d"/), 'the list of a proxy that fails stays');

is_deeply([ sort grep { !/^\.\.?$/ } names("$dir/monitoring-proxy") ],
    [ sort '.monitoring-proxy-discovery', map { file_of('', $_)
        =~ s{.*/}{}r } $proxy, $also ], 'nothing else is left lying there');


sub names {
    my ($of) = @_;

    opendir my $dh, $of or die "$of: $!\n";

    return readdir $dh;
}


# The base changes, and it is told to look

sub rebase {
    my ($text) = @_;

    write_to("$dir/base", $text);
    $d->signal('HUP');
}

my $changed = $base =~ s/mine/yours/r;
chmod 0640, $conf;
chown 1234, 1234, $conf if !$>;
rebase($changed);

ok(has($conf, qr/yours/), 'a base that has changed makes another one');
is(read_file($conf), $changed . $job, '... with the job');
is_metric($d, 'reloads_total', 2, '... of which Prometheus is told');
is((stat $conf)[2] & 07777, 0640, '... with the mode that the file had');
is((stat $conf)[4], $> ? $> : 1234, '... and its owner');

write_file($conf, "a: b\n");
$d->signal('HUP');
ok(has($conf, qr/\A\Q$changed$job\E\z/),
    'what someone else has written there is replaced');

my $before = identity($conf);

rebase("global:\n  a: [\n");
ok(logged($d, qr{err="\Q$dir\E/base:3:1: did not find expected node content"}),
    'one that isn\'t YAML is told of by its place');
is_metric($d, 'config_in_effect', 0, '... and by a metric');
rebase('');
ok(logged($d, qr{base:1:1: it is empty}), 'so is an empty one');
unlink "$dir/base";
ok(logged($d, qr{\Q$dir\E/base: No such file or directory}), '... and none');
is_metric($d, 'base_failures_total', 3, 'each is counted once');

rebase($changed =~ s/job_name/job_nome/r);
ok(logged($d, qr{isn't right.*\Q$conf\E.*field job_nome not found}),
    'what promtool refuses is told in its words');
is_metric($d, 'config_check_failures_total', 1, '... and counted');
rounds($d);
is($d->metric('monitoring_proxy_discovery_config_check_failures_total'), 1,
    '... and not tried again as long as it is the same');
is_metric($d, 'config_in_effect', 0, 'all the time something is not in effect');
is(identity($conf), $before, 'whatever the base is, the old one stays');

rebase("$base# once more\n");
ok(has($conf, qr/once more/), 'until the base is right');
is_metric($d, 'config_in_effect', 1, '... which is in effect then');


# A check that fails

my $told = "$dir/promtool";
write_to($told, "#!/bin/sh\n[ -e $dir/works ] || kill -9 \$\$\n"
    . "exec $promtool \"\$@\"\n");
chmod 0755, $told;

$d->stop;
$d = Discovery->new(flags($dir, [$proxy, $also], promtool => $told));
rebase("$base# checked\n") if $d->ready;

ok(logged($d, qr/can't be checked.*it was ended by signal 9/),
    'a check that isn\'t finished is told');
write_to("$dir/works", '');
ok(has($conf, qr/checked/), '... and done again');


# Reloads that fail

$prometheus->asked;
$prometheus->says('/-/reload', status => 500,
    body => "failed to reload config: \"x\"\n");
rebase("$base# twice more\n");

ok(logged($d, qr{has not reloaded.*status 500: failed to reload config: \\"x}),
    'why a reload fails is told');
is_metric($d, 'config_in_effect', 0, '... it isn\'t in effect yet');
ok(await(20, sub { $d->metric('monitoring_proxy_discovery_reload_failures_'
    . 'total') >= 2 }), '... it is tried again, and counted');
is(scalar(() = $d->log =~ /has not reloaded/g), 1, '... and told once');

# the next one finds that it is still to be done

$d->signal('KILL');
$d->ended(5);

ok(-e "$dir/monitoring-proxy/.reload", 'that it is due is noted');

$prometheus->says('/-/reload', body => '');
$prometheus->asked;
$before = identity($conf);

my $gone = file_of($dir, $also);
write_to("$dir/monitoring-proxy/note.txt", 'x');

$d = Discovery->new(flags($dir, [$proxy]));
is_metric($d, 'reloads_total', 1, 'so that one that starts then does it');
is_metric($d, 'config_in_effect', 1, '... and it is in effect');
is(identity($conf), $before, '... without writing anything');
ok(!-e "$dir/monitoring-proxy/.reload", '... and notes that it is done');

ok(await(20, sub { !-e $gone }), 'the file of a proxy that has gone is removed');
ok(-e "$dir/monitoring-proxy/note.txt", '... and no other');
ok(has($list, qr/"d"/),
    'the one of a proxy that hasn\'t answered since it starts stays');
is($d->stop, 0, 'it ends in order');

$prometheus->asked;
$d = Discovery->new(flags($dir, [$proxy]));
rounds($d);
is($prometheus->asked, 0, 'nothing is told when nothing is due');
$d->stop;


# PushProx

$proxy->says('/targets', status => 404, body => "404 page not found\n");
$proxy->says('/clients', body => '[{"targets":["host-1"]},'
    . '{"targets":["host-2"]}]');

my $address = $proxy->address;
my $escaped = $address =~ s/:/%3A/r;

$dir = fresh();
$d = Discovery->new(flags($dir, [$proxy]));

ok(has("$dir/conf", qr/pushprox/), 'a PushProx proxy gets a job');
is(read_file("$dir/conf"), $base . $job . <<"EOF", '... by its proxy_url');
  - job_name: "pushprox-$escaped"
    proxy_url: "http://$address"
    file_sd_configs:
      - files: ["monitoring-proxy/pushprox/$escaped.json"]
    relabel_configs:
      - target_label: job
        replacement: pushprox
EOF
ok(has("$dir/monitoring-proxy/pushprox/$escaped.json", qr/host-1.*host-2/s),
    '... and its clients a file');
is_metric($d, 'config_in_effect', 1, 'that is in effect');
$d->stop;

$before = identity("$dir/conf");
$proxy->says('/targets', status => 500, body => '');
$d = Discovery->new(flags($dir, [$proxy]));
rounds($d);
is(identity("$dir/conf"), $before,
    'its job stays as long as it isn\'t known what else it is');

$proxy->lists(group('a'));
ok(await(20, sub { read_file("$dir/conf") !~ /pushprox/ }),
    'one that has become another has no job');
ok(await(20, sub { !-e "$dir/monitoring-proxy/pushprox/$escaped.json" }),
    '... and no such file');
$d->stop;


# Where nothing can begin

sub refused {
    my ($promise, $pattern, @flags) = @_;

    my ($status, $log) = run_discovery(@flags);

    is($status, 1, $promise);
    like($log, $pattern, '... is told');
}

$dir = fresh('');
refused('an empty base', qr{\Q$dir\E/base:1:1: it is empty}, flags($dir, [$proxy]));
ok(!-e "$dir/conf", '... and nothing is written');

$dir = fresh("a: b\n\tc: d\n");
refused('a base that isn\'t YAML', qr{\Q$dir\E/base:2:1: found},
    flags($dir, [$proxy]));

$dir = fresh();
refused('no base', qr{\Q$dir\E/none: No such file or directory; make it},
    flags($dir, [$proxy], source => "$dir/none"));
refused('a directory as the base', qr{\Q$dir\E: Is a directory},
    flags($dir, [$proxy], source => "$dir"));
refused('the base as its target', qr{base: is the base, and what is made},
    flags($dir, [$proxy], target => "$dir/base"));
refused('no directory', qr{\Q$dir\E/x/y: No such file or directory; make it},
    flags($dir, [$proxy], target => "$dir/x/y"));
refused('no promtool', qr{prmtl: not found in PATH; install it},
    flags($dir, [$proxy], promtool => 'prmtl'));
refused('a promtool that isn\'t there', qr{/none/promtool: No such file},
    flags($dir, [$proxy], promtool => '/none/promtool'));
refused('a directory that would be a pattern', qr{other characters than},
    flags($dir, [$proxy], lists => "$dir/*"));

mkdir "$dir/other";
write_to("$dir/other/nodes.json", '[]');
refused('a directory with other lists',
    qr{\Q$dir\E/other: has files \*\.json that are not from here},
    flags($dir, [$proxy], lists => "$dir/other"));
ok(-e "$dir/other/nodes.json", '... which stay');

# as someone who may not write there

SKIP: {
    skip 'root alone can become another user', 6 if $>;

    write_to("$dir/other/conf", "a: b\n");
    write_to("$dir/runs", "#!/bin/sh\nexec setpriv --reuid 4321 --regid 4321"
        . " --clear-groups @{[ Discovery::program() ]} \"\$@\"\n");
    chmod 0755, $dir, "$dir/other", "$dir/runs";

    refused('a directory that may not be written',
        qr{\Q$dir\E/conf: Permission denied; let user 4321 in},
        { program => "$dir/runs" }, flags($dir, [$proxy]));

    mkdir "$dir/writable";
    chown 4321, 4321, "$dir/writable";

    refused('one for the lists that may not',
        qr{\Q$dir\E/other/lists: Permission denied; let user 4321 in},
        { program => "$dir/runs" }, flags($dir, [$proxy],
        target => "$dir/writable/conf", lists => "$dir/other/lists"));

    my $theirs = "$dir/writable/conf";
    write_file($theirs, "a: b\n", 0600);

    my $d = Discovery->new({ program => "$dir/runs" },
        flags($dir, [$proxy], target => $theirs));

    ok(has($theirs, qr/monitoring-proxy/),
        'another\'s file in a directory of ours is replaced');
    is(sprintf('%o %d', (stat $theirs)[2] & 07777, (stat $theirs)[4]),
        '644 4321', '... by one that all can read');
    $d->stop;
}


# Mounts: the program in a container that has what tests need

write_to("$dir/program", read_file(Discovery::program()));
chmod 0755, "$dir/program";
$proxy->lists(group('a'));

sub mounted {
    my ($way, $options, %flags) = @_;

    my %all = (source => '/base/base', target => '/etc/prometheus/conf',
        lists => '/lists', promtool => '/usr/bin/promtool', %flags);

    return Container->$way(image => test_image(), options => [ qw(--network
        host --tmpfs /lists:mode=1777), '-v', "$dir:/base:ro", @$options ],
        command => [ '/base/program', '--metrics-addr=',
            flags($dir, [$proxy], %all) ]);
}

sub becomes {
    my ($c, $pattern, $promise) = @_;

    ok($c->logged($pattern, 30), $promise) or diag($c->logs);
}

SKIP: {
    skip 'no docker', 17 if !grep { -x "$_/docker" } split /:/, $ENV{PATH};

    my $expected = $base . $job =~ s/monitoring-proxy\//\/lists\//r;
    my $old = "a: b\n" x 100;

    for my $user (0, 4321) {
        write_to("$dir/base", $base);
        write_file("$dir/conf", $old, 0666);

        my $inode = (stat "$dir/conf")[1];
        my $c = mounted('run', [ '--user', $user, '-v',
            "$dir/conf:/etc/prometheus/conf" ]);

        becomes($c, qr/wrote the configuration/,
            "user $user: a file that is mounted by itself is written");
        is(read_file("$dir/conf"), $expected, '... all of it');
        is((stat "$dir/conf")[1], $inode, '... in place');
        $c->remove;
    }

    my $r = mounted('run_to_end', [ '--read-only' ]);
    is($r->{status}, 1, 'where all is read-only it doesn\'t start');
    like($r->{out}, qr{/etc/prometheus/conf: Read-only file system; mount it},
        '... and says so');

    $r = mounted('run_to_end', [ '-v', "$dir/conf:/etc/prometheus/conf:ro" ]);
    is($r->{status}, 1, 'nor where the file alone is');
    like($r->{out}, qr{/etc/prometheus/conf: Read-only file system; mount it},
        '... and says so');

    # a full disk

    my $c = mounted('run', [ '--tmpfs', '/etc/prometheus:size=32k,mode=1777',
        '--tmpfs', '/full:size=16k,mode=1777' ], lists => '/full');

    becomes($c, qr/wrote the configuration/, 'there is room');

    $proxy->lists(map { group("host-$_") } 1 .. 500);
    becomes($c, qr{a list isn't written.*err="/full/.*no space left on device},
        'none for a list is told');

    write_to("$dir/base", $base . '# more' x 10_000);
    becomes($c, qr{isn't written, the old one.*conf: no space left on device},
        'nor for the configuration');
    like($c->exec('cat', '/etc/prometheus/conf')->{out}, qr/\A\Q$base\E/,
        '... of which the old one stays');
    is($c->exec('sh', '-c', 'ls -A /etc/prometheus /full | grep -v 127')->{out},
        "/etc/prometheus:\nconf\n\n/full:\n.monitoring-proxy-discovery\n",
        '... and nothing lies beside it');

    $proxy->lists(group('b'));
    write_to("$dir/base", "$base# less");
    ok(await(20, sub { $c->exec('cat', '/etc/prometheus/conf')->{out}
        =~ /# less/ }), 'what fits is written again');
    ok(await(20, sub { $c->exec('sh', '-c', 'cat /full/*')->{out} =~ /"b"/ }),
        '... so is the list');
}

done_testing();
