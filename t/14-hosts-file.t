#!/usr/bin/perl

# A hosts file is a second source of the registry, alone or beside a targets
# file: what nginx starts with, and what it refuses, with its place.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Backend;
use Key;
use Nginx;

my $targets = 'prom_proxy_targets %%DIR%%/targets';
my $hosts = 'prom_proxy_hosts %%DIR%%/hosts';

my $backend = Backend->new;
my $port = $backend->port;

my $nginx = Nginx->new;
my $dir = $nginx->dir;

# lines of both files, for the same backend

sub target { return join '', map { "127.0.0.1:$port $_\n" } @_ }

sub host {
    my ($name, $rest) = @_;
    return "$name " . public_key($name) . ' ' . ($rest // "port=$port") . "\n";
}

# the files of one case: nothing is left of the case before

sub files {
    my (%file) = @_;

    unlink "$dir/targets", "$dir/hosts";
    $nginx->write($_, $file{$_}) for grep { defined $file{$_} } keys %file;
}

sub check {
    my ($registry, %file) = @_;

    $nginx->configure(registry => $registry);
    files(%file);

    return $nginx->check;
}

sub accepted {
    my ($promise, @case) = @_;

    my ($status, $said) = check(@case);
    is($status, 0, "accepted: $promise") or diag($said);
}

sub refused {
    my ($promise, $pattern, @case) = @_;

    my ($status, $said) = check(@case);
    ok($status != 0 && $said =~ $pattern, "refused: $promise")
        or diag("status $status, nginx said:\n$said");
}

sub status { return $nginx->get("/$_[0]/metrics")->{status} }

sub statuses { return join ' ', map { status($_) } @_ }


# which files may be there

accepted('hosts alone', "$hosts;", hosts => host('a'));
accepted('an empty file of hosts', "$hosts;", hosts => '');
accepted('comments, CRLF, and a last line without its end', "$hosts;",
    hosts => "# x\r\n\r\nb - port=$port");
accepted('both', "$targets; $hosts;", targets => target('t'),
    hosts => host('h'));
accepted('both, the other way round', "$hosts; $targets;",
    targets => target('t'), hosts => host('h'));
accepted('both, and hosts are missing', "$targets; $hosts optional;",
    targets => target('t'));
accepted('both, and targets are missing', "$targets optional; $hosts;",
    hosts => host('h'));
accepted('both, and both are missing',
    "$targets interval=2s optional; $hosts optional interval=0;");

refused('hosts that are missing', qr{/hosts: cannot be opened \(2: No such},
    "$hosts;");
refused('hosts that are missing beside targets',
    qr{/hosts: cannot be opened \(2: No such}, "$targets; $hosts;",
    targets => target('t'));
refused('targets that are missing beside hosts',
    qr{/targets: cannot be opened \(2: No such}, "$targets; $hosts;",
    hosts => host('h'));
refused('a directory', qr{: is not a regular file},
    'prom_proxy_hosts %%DIR%%;');

# mistakes

refused('a bad line, with file, line and column',
    qr{nginx: \[emerg\] \Q$dir\E/hosts:2:\d+: }, "$hosts;",
    hosts => host('a') . "b nonsense\n");
refused('two hosts with one name, naming both lines',
    qr{/hosts:3:1: .*\b1\b}, "$hosts;",
    hosts => host('a') . "\na - port=20002\n");
refused('a bad line beside targets that are right',
    qr{\Q$dir\E/hosts:1:\d+: }, "$targets optional; $hosts optional;",
    targets => target('t'), hosts => "b nonsense\n");

for my $registry ("$targets; $hosts;", "$hosts; $targets;") {
    refused('a name that is in both files, naming both lines',
        qr{\[emerg\] \Q$dir\E/hosts:3:1: .*"b".*\b2\b.*targets}, $registry,
        targets => target('a', 'b', 'c'),
        hosts => host('x') . "\nb - port=20002\n");
}

refused('an exporter whose name is a target\'s',
    qr{/hosts:1:1: .*"x/node".*\b1\b}, "$targets; $hosts;",
    targets => target('x/node'), hosts => host('x', 'ports=node:9100'));

my ($status, $said) = check("$targets; $hosts;", targets => "localhost:0 a\n",
    hosts => "b nonsense\n");
ok($said =~ m{/targets:1:\d+: } && $said =~ m{/hosts:1:\d+: },
    'mistakes in both files are told at once') or diag($said);

($status, $said) = check("$hosts;",
    hosts => join '', map { "n$_ nonsense\n" } 1 .. 53);
my @told = $said =~ m{^nginx: \[emerg\] \S+/hosts:(\d+):\d+: }mg;
is("@told", join(' ', 1 .. 20), 'the first 20 mistakes are told');
like($said, qr{\[emerg\] \S+/hosts: and 33 more mistakes}, 'then a count');

for (
    [ 'twice', "$hosts; $hosts;", qr/"prom_proxy_hosts" directive is dup/ ],
    [ 'an interval that is none', "$hosts interval=x;",
        qr/invalid value "interval=x" in "prom_proxy_hosts" directive/ ],
    [ 'another parameter', "$hosts maybe;",
        qr/invalid value "maybe" in "prom_proxy_hosts" directive/ ],
    [ 'no file', 'prom_proxy_hosts;',
        qr/invalid number of arguments in "prom_proxy_hosts"/ ],
) {
    my ($promise, $registry, $pattern) = @$_;
    refused($promise, $pattern, $registry, hosts => host('a'));
}

$nginx->write('nginx.conf', "load_module $ENV{MP_MODULE};\npid %%DIR%%/pid;\n"
    . "error_log stderr;\nevents {}\nhttp { $hosts; }\n");
like(($nginx->check)[1], qr/"prom_proxy_hosts" needs a "prom_proxy_zone"/,
    'refused: hosts without a zone');

# what starts

my $metrics = 'location = /metrics { prom_proxy_metrics; }'
    . 'location = /targets { prom_proxy_sd; }'
    . 'location = / { prom_proxy_status; }';

$nginx->configure(registry => "$targets interval=0 optional; "
    . "$hosts interval=0 optional;", server => $metrics);
files();
$nginx->start;

is(statuses('t', 'h'), '404 404', 'without both files there is no target');
is($nginx->get('/targets')->{status}, 503, 'and no list of them');
like($nginx->log, qr{/hosts: is missing, nothing is loaded from it},
    'which is told');

files(hosts => host('h') . host('x', 'port=1024 ports=node:9100,b:9104'));
$nginx->reload;
is(statuses('t', 'h', 'x', 'x/node', 'x/b'), '404 200 404 502 502',
    'a reload brings hosts alone');

files(hosts => host('h'), targets => target('t', 'both'));
$nginx->reload;
is(statuses('t', 'both', 'h', 'x/node'), '200 200 200 404',
    'and targets beside them');

# counters go with the name, whichever file it is in

sub scrapes {
    my ($name) = @_;

    my ($n) = $nginx->get('/metrics')->{body} =~ /^monitoring_proxy_target_
        scrapes_total\{target="\Q$name\E",code="2xx"\}\ (\d+)$/mx;

    return $n // 'none';
}

is(scrapes('both') . ' ' . scrapes('h'), '1 2', 'all are counted');

files(hosts => host('both'), targets => target('h', 't'));
$nginx->reload;
is(scrapes('both') . ' ' . scrapes('h'), '1 2',
    'a name that moves to the other file keeps its counters');

my $conf = Nginx::slurp("$dir/nginx.conf");
$nginx->write('nginx.conf', $conf =~ s/(prom_proxy_zone targets) 8m/$1 4m/r);
$nginx->reload;
is(scrapes('both') . ' ' . scrapes('h'), '1 2', 'in a zone of another size');
is(statuses('both', 'h', 't'), '200 200 200', 'that has all of both files');

my ($listed) = $nginx->get('/targets')->{body};
is(join(' ', sort $listed =~ /"instance":"([^"]*)"/g), 'both h t',
    'all are listed for Prometheus');

# a file that is in use goes missing

unlink "$dir/hosts";
$nginx->write('targets', target('new'));
$nginx->reload;
is(statuses('both', 'h', 'new'), '200 200 404',
    'hosts that are missing by then keep the set in use');
like($nginx->log, qr{\[warn\] .*/hosts: is missing, the targets stay as they},
    'which is told');

$nginx->write('nginx.conf', $conf =~ s/(prom_proxy_zone targets) 8m/$1 16m/r);
$nginx->signal('HUP');
ok(await(sub { $nginx->log =~ /"targets" of another size needs all files/ }),
    'a zone of another size, which has no set to keep, is refused then');
is(statuses('both', 'h', 'new'), '200 200 404', 'and the set in use stays');
$nginx->write('nginx.conf', $conf =~ s/(prom_proxy_zone targets) 8m/$1 4m/r);

files(hosts => host('both'));
$nginx->reload;
is(statuses('both', 'h', 'new'), '200 200 404', 'as do targets');

files(hosts => host('both'), targets => target('new'));
$nginx->reload;
is(statuses('both', 'h', 'new'), '200 404 200', 'until both are there');

# mistakes leave the set in use

for my $case (
    [ 'in hosts', target('newer'), "b nonsense\n", qr{/hosts:1:\d+: } ],
    [ 'in targets', "localhost:0 x\n", host('h'), qr{/targets:1:\d+: } ],
    [ 'between both', target('x', 'h'), host('h'), qr{/hosts:1:1: .*line 2} ],
) {
    my ($where, $of_targets, $of_hosts, $pattern) = @$case;

    files(targets => $of_targets, hosts => $of_hosts);
    my $log = length $nginx->log;
    $nginx->signal('HUP');

    ok(await(sub { $nginx->log($log) =~ $pattern }),
        "a mistake $where is told");
    is(statuses('both', 'h', 'new', 'newer', 'x'), '200 404 200 404 404',
        'and the set in use stays');
}

# a configuration that has one of them no more

files(hosts => host('both'), targets => target('new'));
$nginx->write('nginx.conf', $conf =~ s/prom_proxy_hosts [^;]*;//r);
$nginx->reload;
is(statuses('both', 'new'), '404 200', 'without the directive, no hosts');

$nginx->write('nginx.conf', $conf =~ s/prom_proxy_targets [^;]*;//r);
$nginx->reload;
is(statuses('both', 'new'), '200 404', 'nor targets');

$nginx->write('hosts', '');
$nginx->reload;
is(statuses('both', 'new'), '404 404', 'an empty file ends them all');
like($nginx->get('/')->{body}, qr{name and a public key, to <code>[^<]*/hosts<},
    'and the status page says what to write where');

# 20,000 hosts beside 20,000 targets; a port each, but of few numbers

$nginx->write('nginx.conf', $conf =~ s/(prom_proxy_zone targets) 8m/$1 32m/r);
files(targets => target(map { "site/t-$_" } 1 .. 20_000),
    hosts => join '', map { "site/h-$_ - port=" . ($_ + 10_000) . "\n" }
    1 .. 20_000);
$nginx->reload;
is(statuses('site/t-1', 'site/t-20000'), '200 200',
    '20,000 targets beside 20,000 hosts');
isnt($_, 404, 'and all hosts') for statuses('site/h-1'),
    statuses('site/h-20000');

$nginx->finish(qr{/hosts:1:|/targets:1:|nonsense|of another size});

done_testing();
