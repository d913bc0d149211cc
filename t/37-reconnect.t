#!/usr/bin/perl

# t/37-reconnect.t: a tunnel ends when its host's right to it does, a host that
# lost its network is back soon, and no service that is killed changes that; at
# each step list, metrics and the status page say what is

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await docker network read_file write_file);
use Host;
use Proxy qw(entry key public_key);

my $path = '/etc/monitoring/hosts';
my $session = qr/^sshd-session: monitoring(?!.*\[priv\])/;
my $ssh = qr{^ssh -F /keys/config };

use constant SECONDS => 2;     # for a right that ends
use constant BACK    => 30;    # for a host that was away

my @hosts = qw(one two);


sub line {
    my ($name, $key, $port, @more) = @_;

    return join(' ', $name, entry($key), "port=$port", @more) . "\n";
}


my $text = line('one', 'one', 20001) . line('two', 'two', 20002);
my $proxy = Proxy->start(key => undef, hosts => $text, writable => 1);
my $file = "$proxy->{files}{directory}/hosts";
my ($one, $two) = map { Host->start(keys => [ @hosts, 'next' ]) } @hosts;

$_->reaches($proxy, 'proxy') for $one, $two;


# Another way from a host to the proxy.

sub another_network {
    my $network = network();
    my $r = docker('network', 'connect', '--alias', 'proxy', $network,
        $proxy->name);
    $r->{status} == 0 or die $r->{out};

    return $network;
}


sub cut {
    my ($host) = @_;

    docker('network', 'disconnect', '-f', $host->{network}, $host->name)
        ->{status} == 0 or die 'the network stays';
}


sub plug {
    my ($host, $network) = @_;

    my $r = docker('network', 'connect', $network // $host->{network},
        $host->name);
    $r->{status} == 0 or die $r->{out};
}


# A client that lives until it ends by itself.

sub connects {
    my ($host, $key, $port) = @_;

    my $r = $host->sh('proxy', "command ssh -F /keys/config -i /keys/$key -f "
        . "-N -T -R $port:localhost:9100 \$S");
    $host->{said} = $r->{out};

    return $r->{status} == 0;
}


# One that is started anew a second after it ended, as a supervisor does it.

sub supervise {
    my ($host, $key, $port) = @_;

    docker('exec', '-d', $host->name, 'bash', '-c', 'while :; do '
        . "ssh -F /keys/config -i /keys/$key -N -T -R $port:localhost:9100 "
        . 'proxy; sleep 1; done');
}


sub leave {
    my ($host) = @_;

    my @pids = $host->pids(qr/ssh -F/);
    $host->kill('KILL', @pids) if @pids;
}


sub metric {
    my ($name) = @_;

    return $proxy->scrape('/metrics')->{body}
        =~ /^monitoring_proxy_\Q$name\E (\S+)$/m ? $1 : 'none';
}


# Its row of the page, or undef.

sub row {
    my ($name) = @_;

    return ($proxy->http(path => '/')->{body}
        =~ m{<tr [^>]*data-name="\Q$name\E">(.*?)</tr>}s)[0];
}


# What list, metrics and page say of whether a host is connected: "yes" or "no"
# if they agree.

sub connected {
    my ($name) = @_;

    my ($cell) = (row($name) // '') =~ m{<td class="tunnel">(.*?)</td>}s;

    my %said = (
        list => $proxy->hosts->{$name}{connected} ? 'yes' : 'no',
        metrics => metric("tunnel_connected{target=\"$name\"}") eq '1'
            ? 'yes' : 'no',
        page => ($cell // '') =~ s/<[^>]*>//gr =~ /^\s*connected /
            ? 'yes' : 'no',
    );

    my %answers = map { $_ => 1 } values %said;

    return keys %answers == 1 ? $said{list}
        : join ', ', map { "$_ $said{$_}" } sort keys %said;
}


sub is_connected {
    my ($name, $is, $what) = @_;

    ok(await(60, sub { connected($name) eq $is }),
        "$what: connected: $is, say list, metrics and page")
        or diag connected($name), $proxy->logs;
}


sub is_logged {
    my ($text, $what) = @_;

    like($proxy->logs, qr/^sessions: .*\Q$text\E/m, $what);
}


sub scraped { return $proxy->scrape("/$_[0]/metrics")->{status} == 200 }


# The port of one is closed in time, with its process, and two's is not.

sub ends {
    my ($what, $change) = @_;

    my $begin = time;
    $change->();
    cmp_ok($proxy->open_for($begin, 20001), '<', SECONDS,
        "$what: the tunnel ends")
        or diag $proxy->logs;
    ok(await(60, sub { $proxy->pids($session) == 1 }),
        "$what: and its process") or diag $proxy->logs;
    ok($proxy->listens(20002), "$what: another's stays");
}


sub in_use {
    my ($text) = @_;

    return await(60, sub {
        $proxy->exec('cat', '/run/monitoring-proxy/hosts')->{out} eq $text });
}


# One is connected by its first line.

sub anew {
    write_file($file, $text);
    in_use($text) or die 'hosts are not read: ', $proxy->logs;
    await(60, sub { connects($one, 'one', 20001) })
        or die "no tunnel: $one->{said}", $proxy->logs;
}


ok(await(60, sub { $_->sh('proxy', 'get localhost:9100')->{status} == 0 }),
    'a host has a node_exporter') for $one, $two;
ok(connects($two, 'two', 20002), 'two is connected') or diag $two->{said};
is_connected('two', 'yes', 'two');
is_connected('one', 'no', 'one');


# a right that ends

my $other = line('two', 'two', 20002);

sub command_of {
    my (@words) = @_;

    my $r = $proxy->exec('monitoring-proxy', @words);
    $r->{status} == 0 or die $r->{out};
}

my %change = (
    'a line taken out' => sub { write_file($file, $other) },
    'a file in its place' => sub {
        write_file("$file.new", $other);
        rename "$file.new", $file or die "$file: $!\n" },
    remove => sub { command_of('remove', 'one') },
    'add --replace' => sub {
        command_of('add', '--replace', 'one', public_key('ed25519', 'next')) },
    'another key' => sub {
        write_file($file, line('one', 'next', 20001) . $other) },
    'another port' => sub {
        write_file($file, line('one', 'one', 20003) . $other) },
    'another name' => sub {
        write_file($file, line('uno', 'one', 20001) . $other) },
    'more ports' => sub {
        write_file($file, line('one', 'one', 20001, 'ports=a:1,b:2', 'x=y')
            =~ s/20001/20005/r . $other) },
);

for my $what (sort keys %change) {
    anew();
    ends($what, $change{$what});
}

write_file($file, line('one', 'one', 20003) . $other);
ok(await(60, sub { connects($one, 'one', 20003) }),
    'it is back by what its line says now') or diag $one->{said};
leave($one);

is_connected('two', 'yes', 'after all');

anew();
write_file($file, line('one', 'one', 20001, 'env=prod') . $other);
ok(await(60, sub {
    $proxy->scrape('/targets?env=prod')->{body} =~ /"one"/ })
    && $proxy->listens(20001), 'a label that changes ends nothing')
    or diag $proxy->logs;
leave($one);

for my $what ('a line taken out', 'remove') {
    await(60, sub { !$proxy->listens(20001) });
    anew();
    ok(await(60, sub { defined row('one')
        && metric('sessions{key="host"}') eq '2' }),
        "$what: it has a row, and metrics count two sessions");
    my @pids = $one->pids($ssh);
    $one->kill('STOP', @pids);
    ends("$what, its client stopped", $change{$what});
    ok(await(60, sub { !defined row('one')
        && metric('sessions{key="host"}') eq '1' }),
        "$what: its row is gone, and metrics count one session less")
        or diag metric('sessions{key="host"}'), $proxy->logs;
    $one->kill('KILL', @pids);

    anew();
    cut($one);
    ends("$what, its network dead", $change{$what});
    leave($one);
    plug($one);
}


# a lost network

anew();
leave($one);
await(60, sub { !$proxy->listens(20001) });
supervise($one, 'one', 20001);
ok(await(60, sub { scraped('one') }), 'a host is connected and scraped');

my $away = another_network();
my $before = $proxy->hosts->{one};
my $logins = metric('tunnel_logins_total{target="one"}');

cut($one);
is_connected('one', 'yes', 'cut off, which nobody can know yet');
plug($one, $away);
my $begin = time;

ok(await(BACK, sub {
    my $now = $proxy->hosts->{one};

    return $now->{connected} && $now->{address} ne $before->{address}
        && scraped('one');
}),
    'a host that lost its network is back from another address')
    or diag $proxy->logs;
cmp_ok(time - $begin, '<', BACK, 'within 30 s');
note(sprintf 'after %.1f s', time - $begin);
my $since = $proxy->hosts->{one}{since};
isnt($since, $before->{since}, 'list says since when');
is(metric('tunnel_logins_total{target="one"}'), $logins + 1,
    'metrics count the login');
ok(await(60, sub { $proxy->pids($session) == 2 }), 'the old session is gone');
is_logged("one: old connection from $before->{address} doesn't answer, ended "
    . 'for the new one from ', 'the log says so');
is_connected('one', 'yes', 'back');

# a host that crashes, and is back from its address

docker('network', 'disconnect', '-f', $away, $one->name);
docker('kill', $one->name);
ok($proxy->listens(20001), 'a crashed host\'s session is still there');
docker('network', 'connect', $away, $one->name);
docker('start', $one->name);
$begin = time;
supervise($one, 'one', 20001);
ok(await(BACK, sub { scraped('one') }), 'a host that crashed is back')
    or diag $proxy->logs;
cmp_ok(time - $begin, '<', BACK, 'within 30 s');
note(sprintf 'after %.1f s', time - $begin);
ok(await(60, sub { $proxy->pids($session) == 2 }), 'with one session');
is_connected('one', 'yes', 'after a crash');

# one that is suspended, and one that has the same key

my @pids = $one->pids(qr/ssh -F/);
my $address = $proxy->hosts->{one}{address};
my $refused = metric('logins_refused_total{reason="connected"}');

ok(!connects($two, 'one', 20001), 'a second client with the key is refused')
    or diag $proxy->logs;
like($two->{said}, qr/remote port forwarding failed/, 'and told so');
is_logged("refused: already connected from $address since ",
    'the log says why');
is($proxy->hosts->{one}{address}, $address,
    'the first is the one that is connected');
ok(scraped('one'), 'and scraped');
is(metric('logins_refused_total{reason="connected"}'), $refused + 1,
    'metrics count the second');
ok(await(60, sub { $proxy->pids($session) == 2 }), 'of which nothing stays');

$one->kill('STOP', @pids);
ok(await(BACK, sub { connects($two, 'one', 20001) }),
    'when the first stops, the second has the port')
    or diag $two->{said}, $proxy->logs;
ok($proxy->hosts->{one}{address} ne $address && scraped('one'),
    'and is what is scraped');
$one->kill('CONT', @pids);
leave($_) for $one, $two;
ok(await(60, sub { !$proxy->pids($session) }), 'all leave');
is_connected($_, 'no', 'left') for @hosts;


# services that are killed

my $service = qr{^\S*/sessions\b(?!-)};
my $listener = qr/^sshd: .*\[listener\]/;

supervise($one, 'one', 20001);
ok(await(60, sub { scraped('one') }), 'one is connected');
$since = $proxy->hosts->{one}{since};

my ($pid) = $proxy->pids($service);
$proxy->kill('KILL', $pid);
ok(scraped('one'), 'sessions killed: the tunnel stays');
$begin = time;
ok(await(10, sub { connects($two, 'two', 20002) }),
    'sessions killed: another host gets in') or diag $two->{said};
cmp_ok(time - $begin, '<', 5, 'sessions killed: within seconds');
like($proxy->logs, qr/^sessions: sessions taken over: 1 of hosts/m,
    'sessions killed: its sessions are taken over');
is_connected($_, 'yes', 'sessions killed') for @hosts;
is($proxy->hosts->{one}{since}, $since, 'sessions killed: since the same time');
ok(!connects($two, 'one', 20001),
    'sessions killed: still one connection each');

$proxy->exec('s6-svc', '-wD', '-T', '5000', '-d',
    '/run/monitoring-proxy/service/sessions');
ok(!$proxy->pids($service), 'sessions down');
ok(scraped('one'), 'sessions down: the tunnel stays');
write_file($file, $other);
ok(!connects($two, 'next', 20001), 'sessions down: nobody gets in');
$proxy->exec('s6-svc', '-u', '/run/monitoring-proxy/service/sessions');
$begin = time;
cmp_ok($proxy->open_for($begin, 20001), '<', SECONDS,
    'sessions up: what was revoked meanwhile ends') or diag $proxy->logs;
ok($proxy->listens(20002), 'sessions up: and nothing else');

write_file($file, $text);
ok(await(60, sub { scraped('one') }), 'one is back');
($pid) = $proxy->pids($listener);
$proxy->kill('KILL', $pid);
ok(scraped('one') && scraped('two'), 'sshd killed: tunnels stay');
ok(await(60, sub { ($proxy->pids($listener))[0] // $pid != $pid
    && $proxy->banner =~ /^SSH/ }), 'sshd killed: it is back');
leave($two);
ok(await(60, sub { connects($two, 'two', 20002) }),
    'sshd killed: hosts get in') or diag $two->{said}, $proxy->logs;
is_connected($_, 'yes', 'sshd killed') for @hosts;

$proxy->kill('KILL', $proxy->pids(qr/^sshd/));
is_connected('two', 'no', 'sshd killed with all of its sessions');
ok(await(BACK, sub { scraped('one') }), 'the host that tries again is back')
    or diag $proxy->logs;
is_connected('one', 'yes', 'sshd killed with all of its sessions');
ok(await(60, sub { metric('sessions{key="host"}') == 1 }),
    'and is the one session that metrics count');

done_testing();
