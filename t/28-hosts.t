#!/usr/bin/perl

# t/28-hosts.t: a line of the hosts file is a port, a key's entry and a target,
# and add, remove and list are all that it takes

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await command directory docker link_to read_file replace
    write_file);
use Http;
use Proxy qw(@confined entry key public_key);

my $path = '/etc/monitoring/hosts';
my $state = '/run/monitoring-proxy';
my $seconds = 2;

my ($exporter, $second) = map {
    my $name = $_;
    Backend->new(answer => sub {
        my ($s) = @_;

        print $s "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n$name\n";

        return 0;
    }) } qw(one two);


sub line { return join(' ', $_[0], entry($_[0]), @_[1 .. $#_]) . "\n" }

sub identity { return ('-i', key('ed25519', $_[0])) }


sub ports {
    my ($proxy) = @_;

    my $hosts = $proxy->hosts;

    return join ' ', map { "$_:" . join ',', @{ $hosts->{$_}{ports} } }
        sort keys %$hosts;
}

sub port { return $_[0]->hosts->{$_[1]}{ports}[0] // 0 }


sub body {
    my ($proxy, $path) = @_;

    my $r = $proxy->scrape($path);

    return "$r->{status} $r->{body}";
}

sub command_of { return (shift)->exec('monitoring-proxy', @_) }

sub count {
    my ($proxy, $text) = @_;

    return scalar(() = $proxy->logs =~ /\Q$text\E/g);
}


# Whether a host may listen on its port now, and is scraped then.

sub joins {
    my ($proxy, $name, $what) = @_;

    my $port = port($proxy, $name);
    my $tunnel = $proxy->tunnel($port, $exporter->port, identity($name));

    ok($tunnel, "$what: $name gets its port $port")
        or diag $proxy->{error}, $proxy->logs;
    ok(await($seconds, sub { body($proxy, "/$name/x") eq "200 one\n" }),
        "$what: $name is scraped under its name")
        or diag body($proxy, "/$name/x");
    $proxy->close_tunnel($tunnel) if $tunnel;
}


# a line alone

my $text = line('external-host-1', 'env=prod')
    . line('db', 'ports=node:9100,mysqld:9104');

my $proxy = Proxy->start(key => undef, hosts => $text, writable => 1);
my $file = "$proxy->{files}{directory}/hosts";
my $port = port($proxy, 'external-host-1');

ok($proxy->logged(qr{ \Q/etc/monitoring/hosts read; hosts: 2\E$}m),
    'the log says how many hosts there are');
my $db = port($proxy, 'db');

unlike($proxy->logs, qr/nobody can/, 'with hosts alone, someone can log in');
cmp_ok($port, '>=', 10000, 'a host has a port by its name');
is_deeply($proxy->hosts->{db}{ports}, [ $db, $db + 1 ],
    'a host with two exporters has two, one behind the other');

my ($type, $blob) = split / /, entry('external-host-1');
is($proxy->exec('monitoring-proxy-hosts', 'keys', $state, $type, $blob)
    ->{out}, 'restrict,port-forwarding,permitlisten="localhost:' . $port
    . "\" $type $blob\n", "its key's entry allows its port and nothing else");

my $tunnel = $proxy->tunnel($port, $exporter->port,
    identity('external-host-1'));
ok($tunnel, 'the host opens its tunnel') or diag $proxy->{error},
    $proxy->logs;
is(body($proxy, '/external-host-1/metrics'), "200 one\n",
    'and is scraped under its name');
like($proxy->scrape('/targets?env=prod')->{body}, qr/"external-host-1"/,
    'Prometheus discovers it, with its label');

ok(!$proxy->may_bind($db, identity('external-host-1')),
    "another host's port is refused");
ok(!$proxy->may_bind($port, identity('stranger')),
    'a key that no line has is refused');

ok($proxy->tunnel($db, $exporter->port, identity('db'), '-R',
    $db + 1 . ':localhost:' . $second->port),
    'two exporters over one connection') or diag $proxy->{error};
is(body($proxy, '/db/node/metrics') . body($proxy, '/db/mysqld/metrics'),
    "200 one\n200 two\n", 'each has a path of its own');

ok(await($seconds, sub { $proxy->hosts->{'external-host-1'}{connected} }),
    'list says that it is connected');
my $host = $proxy->hosts->{'external-host-1'};
like($host->{fingerprint}, qr/^SHA256:/, 'by which key');
like($host->{address}, qr/^\d+\.\d+\.\d+\.\d+$/, 'from where');
ok($host->{since}, 'and since when');
like(command_of($proxy, 'list')->{out},
    qr/^external-host-1\s.*\b$port\b.*\bSHA256:/m, 'also as a table');


# add

my $r = command_of($proxy, 'add', 'late', public_key('ed25519', 'late'),
    'team=data base');
is($r->{status}, 0, 'add takes a name, a key and labels') or diag $r->{out};
like($r->{out}, qr/\b20001\b/, 'and says what is to be done');
like(read_file($file), qr/\A\Q${text}late ${\ entry('late') }\E
    (?=.*\ port=20001\b)(?=.*\ team="data\ base")[^\n]*\n\z/x,
    'the line is behind the others, which stay, and has its port');
joins($proxy, 'late', 'add');

is(command_of($proxy, 'add', 'late', public_key('ed25519', 'late'),
    'team=data base')->{status}, 0, 'the same again is no mistake');
is(scalar(() = read_file($file) =~ /^late /mg), 1, 'and no second line');

$r = command_of($proxy, 'add', 'late', public_key('ed25519', 'other'));
is($r->{status}, 1, 'another key for it needs --replace');
like($r->{out}, qr/--replace/, 'as it says');
is(command_of($proxy, 'add', '--replace', 'late',
    public_key('ed25519', 'other'))->{status}, 0, 'with it, it is taken');
is(port($proxy, 'late'), 20001, 'the port stays');
ok($proxy->may_bind(20001, identity('other'))
    && !$proxy->may_bind(20001, identity('late')),
    'the new key has it, the old one has none');

$r = $proxy->exec({ input => public_key('ed25519', 'piped') . "\n" },
    'monitoring-proxy', 'add', 'piped', '-');
is($r->{status}, 0, 'add reads a key from stdin') or diag $r->{out};
joins($proxy, 'piped', 'stdin');

for my $case (
    [ 'options in front of a key', 'command="x" ' . public_key(),
        'give the key alone' ],
    [ 'an option as a word', 'restrict ' . public_key(),
        'give the key alone' ],
    [ 'a private key', read_file(key()), 'is a private key' ],
    [ 'RSA of 1024 bits', public_key('rsa-1024'), '2048' ],
    [ 'no key', 'hello', 'is not the type of a public key' ],
    [ 'a key cut off', substr(public_key(), 0, 40), 'not valid' ],
    [ 'an empty key', '', 'the key is empty' ],
) {
    my ($what, $key, $reason) = @$case;
    my $before = read_file($file);

    $r = command_of($proxy, 'add', 'wrong', $key);
    is($r->{status}, 1, "add refuses $what");
    like($r->{out}, qr/\Q$reason\E/, "$what: and says why");
    is(read_file($file), $before, "$what: the file stays as it is");
}

$r = $proxy->exec({ input => 'a' x 70_000 }, 'monitoring-proxy', 'add', 'wrong',
    '-');
is($r->{status}, 1, 'add refuses what is too long to be a line');
like($r->{out}, qr/\Amonitoring-proxy add: more than 65536 bytes on stdin/,
    'and says so');

is($proxy->exec({ input => "\xef\xbb\xbf" . public_key('ed25519', 'piped')
    . "\r\n" }, 'monitoring-proxy', 'add', 'piped', '-')->{status}, 0,
    'a byte order mark and CR around a key are none of it');

is(command_of($proxy, 'add')->{status}, 2, 'add without a name is misuse');
is(command_of($proxy, 'add', '--help')->{status}, 0, 'and add --help is not');

for my $command ('add x', 'remove x', 'check') {
    $r = $proxy->exec('setpriv', '--reuid', 1000, '--clear-groups',
        'monitoring-proxy', split / /, $command);
    is($r->{status}, 1, "$command: not without root");
    like($r->{out}, qr/needs to be root/, 'as it says');
}


# remove

sub ends {
    my ($proxy, $name, $what) = @_;

    my $port = port($proxy, $name);

    ok($proxy->listens($port), "$what: the tunnel stands");
    my $r = command_of($proxy, 'remove', $name);
    is($r->{status}, 0, "$what: remove takes the line out") or diag $r->{out};
    is($r->{out}, "$name: removed, and its tunnel ended\n", "$what: and says so");

    my $started = time;
    ok(await($seconds, sub { !$proxy->listens($port) }),
        "$what: and ends the tunnel") or diag $proxy->logs;
    ok(!$proxy->may_bind($port, identity($name)), "$what: for good");
    ok(await($seconds, sub {
        $proxy->scrape("/$name/x")->{status} == 404 }),
        "$what: nor is there such a target any more");
}

ends($proxy, 'external-host-1', 'remove');
unlike(read_file($file), qr/external-host-1/, 'the file has it no more');
is(body($proxy, '/db/node/metrics'), "200 one\n",
    'the tunnel of another goes on');

$r = command_of($proxy, 'remove', 'nobody');
is($r->{status}, 1, 'remove of an unknown name fails');
like($r->{out}, qr/nobody/, 'and names it');


# by hand

replace($file, line('db', 'ports=node:9100,mysqld:9104') . line('hand'));
ok(await($seconds, sub { port($proxy, 'hand') }), 'a line is added by hand');
joins($proxy, 'hand', 'by hand');
is(port($proxy, 'db'), $db, 'the port of another stays');

write_file($file, line('hand') . line('db', 'ports=node:9100'));
ok(await($seconds, sub { @{ $proxy->hosts->{db}{ports} } == 1 }),
    'a line is changed in place');
joins($proxy, 'hand', 'in place');

my $mistake = "$path:2:1: ";
my $stays = line('hand') . line('db', 'ports=node:9100');
replace($file, line('hand') . "a/../b - port=20009\n" . line('new'));
ok(await($seconds, sub { count($proxy, $mistake) }),
    'a mistake: the log says where and what') or diag $proxy->logs;
ok(!port($proxy, 'new'), 'a mistake: none is taken');
joins($proxy, 'hand', 'a mistake');
is(count($proxy, $mistake), 1, 'a mistake: it is told once')
    or diag $proxy->logs;

$r = command_of($proxy, 'check');
is($r->{status}, 1, 'a mistake: check finds it');
like($r->{out}, qr/^\Q$mistake\E/m, 'a mistake: in the same place');

is(command_of($proxy, 'remove', 'hand')->{status}, 0,
    'remove works beside a mistake');
ok(!$proxy->may_bind($port, identity('hand')),
    'and is in effect beside it') or diag $proxy->logs;

unlink $file;
ok($proxy->logged(qr/^sessions: .*\Q$path\E/m, $seconds)
    && port($proxy, 'db'), 'deleted: the hosts stay') or diag $proxy->logs;

write_file($file, "a/../b -\n");
ok(await($seconds, sub { count($proxy, "$path:1:1: ") }),
    'a mistake in what comes then: it is told') or diag $proxy->logs;
is(command_of($proxy, 'remove', 'db')->{status}, 0,
    'remove works where the line is gone already, and still in use');
ok(!port($proxy, 'db'), 'and takes it out of use');
like($proxy->scrape('/metrics')->{body},
    qr/^monitoring_proxy_hosts_last_reload_successful 0$/m,
    'and metrics still say that the file is refused');
is(command_of($proxy, 'remove', 'db')->{status}, 1, 'which it can do once');

my $directory = $proxy->{files}{directory};
mkdir "$directory/..$_" or die "$directory: $!\n" for 1, 2;
write_file("$directory/..1/hosts", line('first'));
write_file("$directory/..2/hosts", line('second'));
link_to('..1', "$directory/..data");
link_to('..data/hosts', $file);
ok(await($seconds, sub { port($proxy, 'first') }), 'a ConfigMap')
    or diag $proxy->logs;
link_to('..2', "$directory/..data");
ok(await($seconds, sub { port($proxy, 'second') && !port($proxy, 'first') }),
    'a ConfigMap that is swapped') or diag $proxy->logs;
joins($proxy, 'second', 'a ConfigMap');
is(count($proxy, 'ended by') + count($proxy, 'ended with'), 0,
    'nothing has crashed');
$proxy->remove;


# ports

$directory = directory();
$proxy = Proxy->start(key => undef, directory => $directory, writable => 1);
is(command_of($proxy, 'add', $_, public_key('ed25519', $_))->{status}, 0,
    "$_ is added to no file") for qw(a b c);
write_file("$directory/hosts", line('by-name') . read_file("$directory/hosts"));
ok(await($seconds, sub { port($proxy, 'by-name') }), 'and one by hand');

my $ports = ports($proxy);
like($ports, qr/^a:20001 b:20002 by-name:\d+ c:20003$/, 'each has a port');

docker('restart', '-t', '10', $proxy->name);
ok($proxy->ready, 'after a restart');
is(ports($proxy), $ports, 'ports are the same');
$proxy->remove;

write_file("$directory/hosts", join '', reverse
    map { "$_\n" } split /\n/, read_file("$directory/hosts"));
$proxy = Proxy->start(key => undef, directory => $directory);
is(ports($proxy), $ports, 'in a new container too, and in any order');

$r = command_of($proxy, 'add', 'd', public_key('ed25519', 'd'));
is($r->{status}, 1, 'mounted read-only: add fails');
like($r->{out}, qr/\Q$path\E.*mount/s, 'mounted read-only: and says why');
$r = command_of($proxy, 'remove', 'a');
is($r->{status}, 1, 'mounted read-only: so does remove');
ok(port($proxy, 'a'), 'mounted read-only: which changes nothing');
$proxy->remove;

$r = Container->run_to_end(options => [ '-v', "$directory:/etc/monitoring" ],
    command => [ 'add', 'e', public_key('ed25519', 'e') ]);
is($r->{status}, 0, 'add works without a running proxy') or diag $r->{out};
like($r->{out}, qr/no proxy runs/, 'and says that there is none');
like($r->{out}, qr/^  --known-hosts 'ssh-ed25519 AAAA\.\.\.' \\$/m,
    'nor a host key yet');
like(read_file("$directory/hosts"), qr/^e .*port=20004\b/m,
    'the line is there');


# a file that is mounted alone, and everything confined

my $alone = write_file(directory() . '/hosts', line('a'));
$proxy = Proxy->start(key => undef, options => [ @confined, '-v',
    "$alone:$path" ]);
$port = port($proxy, 'a');
ok($proxy->tunnel($port, $exporter->port, identity('a'))
    && body($proxy, '/a/x') eq "200 one\n", 'confined: a host is scraped')
    or diag $proxy->{error}, $proxy->logs;
is(command_of($proxy, 'add', 'b', public_key('ed25519', 'b'))->{status}, 0,
    'mounted alone: add writes into the file');
joins($proxy, 'b', 'mounted alone');
ends($proxy, 'a', 'confined');
docker('stop', '-t', '20', $proxy->name);
is($proxy->ended, 0, 'confined: it stops with 0');
$proxy->remove;


# capabilities: chroot, setuid, setgid and ports below 1024, in <linux/...>'s
# bits, and no other

$proxy = Proxy->start(key => undef, hosts => line('a'));
$proxy->tunnel(port($proxy, 'a'), $exporter->port, identity('a'));

my %capabilities = (
    'the listener' => [ qr/^sshd: .*\[listener\]/, '404c0' ],
    'the monitor of a session' => [ qr/^sshd-session: .*\[priv\]/, '404c0' ],
    'a session' => [ qr/^sshd-session: monitoring(?!.*\[priv\])/, '0' ],
);

for my $what (sort keys %capabilities) {
    my ($process, $effective) = @{ $capabilities{$what} };
    my ($pid) = $proxy->pids($process);
    my %has = $proxy->exec('cat', "/proc/$pid/status")->{out}
        =~ /^Cap(\w+):\s+0*([0-9a-f]+)$/mg;

    is("$has{Bnd} $has{Eff} $has{Prm} $has{Inh}",
        "404c0 $effective $effective 0",
        "$what has the capabilities of docs/tunnels.md and no other");
}

unlike($proxy->logs, qr/capabilities/, 'which is not worth a word');
$proxy->remove;

$proxy = Proxy->start(options => [ '--cap-drop', 'SETPCAP' ]);
is(scalar(() = $proxy->logs =~ /capabilities that it doesn't need/g), 1,
    'where they cannot be given up, the log says so once');
$proxy->remove;


# certificates

my $keys = directory();
my $ca = key('ed25519', 'authority');

sub certificate {
    my ($name, @options) = @_;

    my $id = "$keys/$name";
    write_file($id, read_file(key('ed25519', $name)), 0600);
    write_file("$id.pub", public_key('ed25519', $name));
    my $r = command('ssh-keygen', '-q', '-s', $ca, '-I', $name, '-n', $name,
        @options, "$id.pub");
    $r->{status} == 0 or die "ssh-keygen: $r->{out}";

    return ('-i', $id);
}

$proxy = Proxy->start(key => undef, hosts => "signed -\n" . line('other'),
    ssh_ca => public_key('ed25519', 'authority') . "\n");
$port = port($proxy, 'signed');

ok($proxy->tunnel($port, $exporter->port, certificate('signed'))
    && body($proxy, '/signed/x') eq "200 one\n",
    'a host is known by its certificate') or diag $proxy->{error},
    $proxy->logs;
ok(!$proxy->may_bind(port($proxy, 'other'), certificate('signed')),
    "which gives it no other's port");

write_file("$proxy->{files}{directory}/ssh_ca.pub",
    public_key('ed25519', 'unknown') . "\n");
ok(await($seconds, sub { !$proxy->listens($port) }),
    'when its authority goes, its tunnel ends') or diag $proxy->logs;
$proxy->remove;


# beside a shared key

$proxy = Proxy->start(conf => "location /x/ { return 204; }\n",
    directory => directory());
ok($proxy->may_bind(20001), 'a shared key may have any port');
write_file("$proxy->{files}{directory}/hosts", line('own', 'port=20001'));
$r = $proxy->exec('/usr/lib/monitoring-proxy/sessions-ask', $state, 'reload');
ok($r->{status} == 0 && !$proxy->may_bind(20001),
    "but a host's no more, from the moment that there is one")
    or diag $r->{out}, $proxy->logs;
ok($proxy->logged(qr/^targets: sshd listens anew/m),
    '... and any port for nobody');
joins($proxy, 'own', 'where any port was allowed');
$proxy->remove;

$proxy = Proxy->start(targets => "localhost:20001 shared\n",
    hosts => line('own', 'port=20002'), env => {
        MONITORING_PROXY_TUNNEL_PORTS => '20001-20003' });
ok($proxy->may_bind(20001) && $proxy->may_bind(20003),
    'a shared key has the ports of the list');
ok(!$proxy->may_bind(20002), "but not one that is a host's");
joins($proxy, 'own', 'beside a shared key');
$proxy->remove;


# mistakes at start

for my $case (
    [ 'a wrong line', { hosts => "# x\na/../b -\n" },
        qr{^monitoring-proxy: \Q$path\E:2:1: \S.*\.\.}m ],
    [ 'options in a line', { hosts => 'a command="x" ' . entry('a') . "\n" },
        qr{^monitoring-proxy: \Q$path\E:1:3: \S}m ],
    [ 'two hosts of one port', { hosts => line('a', 'port=20001')
        . line('b', 'port=20001') },
        qr{^monitoring-proxy: \Q$path\E:2:\d+: .*\b20001\b}m ],
    [ "a target's name", { targets => "localhost:20001 a\n",
        hosts => line('a') }, qr{^monitoring-proxy: \Q$path\E:1:1: .*\b1\b}m ],
    [ 'a shared key', { hosts => "# x\na " . entry('')
        . "\n", key => public_key() },
        qr{^monitoring-proxy:\ \Q$path\E:2:3:\ .*"a".*
            MONITORING_PROXY_PUBLIC_KEY}mx ],
    [ 'a wrong authority', { ssh_ca => "# x\nhello\n" },
        qr{^monitoring-proxy:\ /etc/monitoring/ssh_ca\.pub:2:1:\ is\ not\ a\ public
            \ key}mx ],
    [ 'a wrong address', { env => { MONITORING_PROXY_SSH => 'ssh://x' } },
        qr{^monitoring-proxy: MONITORING_PROXY_SSH: "ssh://x" is not}m ],
) {
    my ($what, $options, $line) = @$case;

    $r = Proxy->refused(key => undef, %$options);
    is($r->{status}, 1, "$what: the container stops");
    like($r->{out}, $line, "$what: says where and what");
    unlike($r->{out}, qr/Server listening/, "$what: nothing is started");
}

for my $name (qw(hosts ssh_ca.pub)) {
    my $place = directory();

    mkdir "$place/$name" or die "$place: $!\n";
    $r = Proxy->refused(key => undef, directory => $place);
    is($r->{status}, 1, "a directory as $name: the container stops");
    like($r->{out},
        qr{^monitoring-proxy: /etc/monitoring/\Q$name\E: is a directory}m,
        "a directory as $name: says so");
}

done_testing();
