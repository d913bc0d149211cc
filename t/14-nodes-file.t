#!/usr/bin/perl

# t/14-nodes-file.t: a file of WireGuard nodes is a source of the registry,
# alone or beside a targets and a hosts file: what it makes, what is refused,
# and how it is followed

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
my $nodes = 'prom_proxy_nodes %%DIR%%/nodes';
my $all = "$targets optional; $hosts optional; $nodes optional;";
my $pages = 'location = /metrics { prom_proxy_metrics; } '
    . 'location = /targets { prom_proxy_sd; } '
    . 'location = / { prom_proxy_status; }';

my $nginx = Nginx->new;
my $dir = $nginx->dir;


# NAME and what is behind its key; each name has a key of its own

sub node { return "$_[0] " . wireguard_key($_[0]) . " $_[1]\n" }

# the files of one case: nothing is left of the case before

sub files {
    my (%file) = @_;

    unlink map { "$dir/$_" } qw(targets hosts nodes);
    $nginx->write($_, $file{$_}) for keys %file;
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
    is($status, 0, "accepted: $promise") or diag $said;
}

sub refused {
    my ($promise, $pattern, @case) = @_;

    my ($status, $said) = check(@case);
    ok($status != 0 && $said =~ $pattern, "refused: $promise")
        or diag "status $status, nginx said:\n$said";
}


# which files may be there

my $node = node('n', '10.87.0.2');
my $host = "h - port=20001\n";
my $target = "localhost:9100 t\n";

accepted('nodes alone', "$nodes;", nodes => $node);
accepted('an empty file of nodes', "$nodes;", nodes => '');
accepted('comments, CRLF, and a last line without its end', "$nodes;",
    nodes => "# x\r\n\r\n" . $node =~ s/\n//r);
accepted('all three files', "$targets; $hosts; $nodes;", targets => $target,
    hosts => $host, nodes => $node);
accepted('in any order', "$nodes; $targets; $hosts;", targets => $target,
    hosts => $host, nodes => $node);
accepted('nodes beside hosts alone', "$hosts; $nodes;", hosts => $host,
    nodes => $node);
accepted('nodes beside what is missing', $all, nodes => $node);
accepted('nodes that are missing', $all, targets => $target);
accepted('none of them', $all);

refused('nodes that are missing', qr{/nodes: cannot be opened \(2: No such},
    "$targets; $nodes;", targets => $target);
refused('hosts that are missing beside nodes',
    qr{/hosts: cannot be opened \(2: No such}, "$hosts; $nodes;",
    nodes => $node);
refused('a directory', qr{: is not a regular file},
    'prom_proxy_nodes %%DIR%%;');


# mistakes

refused('a bad line, with file, line and column',
    qr{nginx: \[emerg\] \Q$dir\E/nodes:2:\d+: }, "$nodes;",
    nodes => "${node}b nonsense\n");
refused('two nodes with one address, naming both lines',
    qr{/nodes:3:\d+: .*10\.87\.0\.2.*\b1\b}, "$nodes;",
    nodes => $node . "\n" . node('m', '10.87.0.2'));
refused('a bad line beside files that are right',
    qr{\Q$dir\E/nodes:1:\d+: }, $all, targets => $target, hosts => $host,
    nodes => "b nonsense\n");

for my $registry ("$targets; $hosts; $nodes;", "$nodes; $hosts; $targets;") {
    refused('a name that is a target\'s too, naming both lines',
        qr{\[emerg\] \Q$dir\E/nodes:2:1: .*"t".*\b1\b.*targets file},
        $registry, targets => $target, hosts => $host,
        nodes => $node . node('t', '10.87.0.3'));
    refused('a name that is a host\'s too, naming both lines',
        qr{\[emerg\] \Q$dir\E/nodes:1:1: .*"h".*\b3\b.*hosts file},
        $registry, targets => $target, hosts => "#\n\n$host",
        nodes => node('h', '10.87.0.3'));
}

refused('an exporter whose name is another file\'s',
    qr{/nodes:1:1: .*"x/db".*\b1\b.*targets file}, $all,
    targets => "localhost:9100 x/db\n",
    nodes => node('x', '10.87.0.2 ports=node:9100,db:9104'));
refused('a name that is in three files',
    qr{/hosts:1:1: .*"n".*\b1\b.*targets file}, $all,
    targets => "localhost:9100 n\n", hosts => "n - port=20001\n",
    nodes => $node);

my ($status, $said) = check($all, targets => "localhost:0 a\n",
    hosts => "b nonsense\n", nodes => "c nonsense\n");
is(join(' ', $said =~ m{/(\w+:1):\d+: }g), 'targets:1 hosts:1 nodes:1',
    'mistakes in all files are told at once') or diag $said;

($status, $said) = check("$nodes;",
    nodes => join '', map { "n$_ nonsense\n" } 1 .. 53);
my @told = $said =~ m{^nginx: \[emerg\] \S+/nodes:(\d+):\d+: }mg;
is("@told", join(' ', 1 .. 20), 'the first 20 mistakes are told');
like($said, qr{\[emerg\] \S+/nodes: and 33 more mistakes}, 'then a count');

for (
    [ 'twice', "$nodes; $nodes;", qr/"prom_proxy_nodes" directive is dup/ ],
    [ 'an interval that is none', "$nodes interval=x;",
        qr/invalid value "interval=x" in "prom_proxy_nodes" directive/ ],
    [ 'another parameter', "$nodes maybe;",
        qr/invalid value "maybe" in "prom_proxy_nodes" directive/ ],
    [ 'no file', 'prom_proxy_nodes;',
        qr/invalid number of arguments in "prom_proxy_nodes"/ ],
) {
    my ($promise, $registry, $pattern) = @$_;
    refused($promise, $pattern, $registry, nodes => $node);
}

$nginx->write('nginx.conf', "load_module $ENV{MP_MODULE};\npid %%DIR%%/pid;\n"
    . "error_log stderr;\nevents {}\nhttp { $nodes; }\n");
like(($nginx->check)[1], qr/"prom_proxy_nodes" needs a "prom_proxy_zone"/,
    'refused: nodes without a zone');


# What they make. Nodes have no loopback address, so that one of this machine's
# own stands for one, or this network's, where nobody is.

my ($own) = `hostname -I` =~ /\b(\d+\.\d+\.\d+\.\d+)\b/;
$own //= '192.0.2.7';

my $backend = eval { Backend->new(host => $own) };
my $port = $backend ? $backend->port : 9;

# the answer of a target, or what "there" was to be

sub status { return $nginx->get("/$_[0]/metrics")->{status} }

sub statuses { return join ' ', map { status($_) } @_ }

sub becomes {
    my ($wanted, @names) = @_;

    await(sub { statuses(@names) eq $wanted }, 20);

    return statuses(@names);
}

sub line { return $nginx->get("/$_[0]/metrics")->{body} }

# what a row of the page opens to

sub address {
    my ($name) = @_;

    my ($address) = $nginx->get("/?q=$name")->{body} =~ m{data-name="\Q$name\E
        ".*?<dt>Address</dt><dd>([^<]*)</dd>}xs;

    return $address // 'none';
}

sub reason {
    my ($reason) = $nginx->get('/metrics')->{body} =~ /^monitoring_proxy_
        targets_last_reload_error_info\{reason="(.*)"\}\ 1$/mx;

    return $reason // '';
}

sub scrapes {
    my ($name) = @_;

    my ($n) = $nginx->get('/metrics')->{body} =~ /^monitoring_proxy_target_
        scrapes_total\{target="\Q$name\E",code="2xx"\}\ (\d+)$/mx;

    return $n // 'none';
}

my $there = node('there', "$own ports=$port env=prod");
my $six = node('six', 'fd87::2');
my $both = node('site/both', '10.87.0.2,fd87::3 ports=node:9100,db:9104');

$nginx->configure(server => $pages,
    registry => "$targets interval=20ms; $nodes interval=20ms optional; "
        . "$hosts interval=20ms optional;");
files(targets => $target, hosts => "h - port=1024\n",
    nodes => "# nodes\n$there$six$both");
$nginx->start;

is(address('there'), "$own:$port, line 2 of the nodes file",
    'a node is dialled at its address and port');
is(address('six'), '[fd87::2]:9100, line 3 of the nodes file',
    'at its IPv6 address where it has no other, and at port 9100');
is(address('site/both/node'), '10.87.0.2:9100, line 4 of the nodes file',
    'and at IPv4 where it has both');
is(address('site/both/db'), '10.87.0.2:9104, line 4 of the nodes file',
    'each exporter is a target, at its own port');
is(address('site/both'), 'none', 'and the node itself is none then');
is(address('t') . '; ' . address('h'), 'localhost:9100, line 1 of the targets '
    . 'file; localhost:1024, line 1 of the hosts file',
    'targets and hosts are beside them');

my $listed = $nginx->get('/targets')->{body};
is(join(' ', sort $listed =~ /"instance":"([^"]*)"/g),
    'h site/both/db site/both/node six t there', 'all are listed');
like($listed, qr/"instance":"there"[^}]*"env":"prod"/, 'with their labels');

SKIP: {
    skip 'this machine has no address but a loopback one', 1 unless $backend;

    is(status('there'), 200, 'a node is scraped');
}

like(line('nobody'), qr/NAME of the targets, the nodes or the hosts file/,
    'a name that is no target: where it could be');


# live changes

my $new = node('new', '10.87.0.9');

$nginx->write('nodes', $there . $new);
ok(await(sub { address('new') eq '10.87.0.9:9100, line 2 of the nodes file' }),
    'a node that comes');
is(status('six'), 404, 'and one that goes');
is(address('there'), "$own:$port, line 1 of the nodes file",
    'a node that stays is on its new line');

sub state { return statuses('there', 't', 'h') . ', new: ' . address('new') }

my $before = state();

for (
    [ 'a bad line', "$there\nnew nonsense\n", qr{^\Q$dir\E/nodes:3:\d+: } ],
    [ 'an address twice', $there . node('x', $own),
        qr{^\Q$dir\E/nodes:2:\d+: .*\b1\b} ],
    [ 'a name of the hosts file', $there . node('h', '10.87.0.9'),
        qr{^\Q$dir\E/nodes:2:1: .*line 1 of the hosts file} ],
) {
    my ($what, $text, $pattern) = @$_;

    $nginx->write('nodes', $text);
    ok(await(sub { reason() =~ $pattern }), "$what is told in the metrics")
        or diag reason();
    is(state(), $before, 'and changes nothing');
    $nginx->write('nodes', $there . $new);
    ok(await(sub { reason() eq '' }), 'until it is mended');
}

unlink "$dir/nodes";
ok(await(sub { reason() =~ m{/nodes: cannot be opened \(2: } }),
    'nodes that go missing are a mistake, even optional ones');
is(state(), $before, 'that changes nothing');

$nginx->write('nodes', '');
is(becomes('404', 'there'), 404, 'an empty file ends them all');
isnt(status('t'), 404, 'and no others');

# a name goes from one file to the other, with its counters

SKIP: {
    skip 'this machine has no address but a loopback one', 3 unless $backend;

    $nginx->write('nodes', node('moves', "$own ports=$port"));
    is(becomes('200', 'moves'), 200, 'a node that is to be a target');
    my $counted = scrapes('moves');

    $nginx->write('nodes', '');
    $nginx->write('targets', "$own:$port moves\n");
    ok(await(sub { address('moves') =~ /of the targets file/ }),
        'and then is one');
    is(scrapes('moves'), $counted, 'keeps its counters');
}


# a reload of nginx

$nginx->write('nodes', $there);
await(sub { address('there') ne 'none' });
status('there') for 1 .. 3;
my $counted = scrapes('there');

$nginx->write('nodes', $six . $there);
$nginx->reload;
is(address('there'), "$own:$port, line 2 of the nodes file",
    'nginx -s reload reads the file');
is(scrapes('there'), $counted, 'and the counters go on');

$nginx->write('nodes', "b nonsense\n");
my $read = length $nginx->log;
$nginx->signal('HUP');
ok(await(sub { substr($nginx->log, $read) =~ m{\[emerg\].*/nodes:1:\d+: } }),
    'a reload with a mistake is refused');
is(address('there'), "$own:$port, line 2 of the nodes file",
    'and changes nothing');

my $conf = Nginx::slurp("$dir/nginx.conf");
$nginx->write('nginx.conf', $conf =~ s/prom_proxy_nodes [^;]*;//r);
$nginx->reload;
is(statuses('there', 'six'), '404 404', 'without the directive, no nodes');

unlink "$dir/hosts", "$dir/targets";
$nginx->write('nginx.conf', $conf =~ s/prom_proxy_(?:hosts|targets) [^;]*;//gr);
$nginx->write('nodes', '');
$nginx->reload;
like($nginx->get('/')->{body},
    qr{a name, a public key of WireGuard and an address, to <code>[^<]*/nodes<},
    'an empty page says what to write where');


# 20,000 nodes of a /16

$nginx->write('nginx.conf', $conf
    =~ s/(prom_proxy_zone targets) 8m/$1 32m/r
    =~ s/prom_proxy_(?:hosts|targets) [^;]*;//gr);
$nginx->write('nodes', join '', map { node("site/n-$_", sprintf '10.87.%d.%d',
    $_ / 256, $_ % 256) } 2 .. 20_001);
$nginx->reload;
is(address('site/n-20001'), '10.87.78.33:9100, line 20,000 of the nodes file',
    '20,000 nodes');

$nginx->finish(qr{/(?:nodes|hosts|targets):\d+:|/nodes: cannot be|targets stay
    |connect\(\)\ failed|no\ live}x);

done_testing();
