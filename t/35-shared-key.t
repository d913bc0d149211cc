#!/usr/bin/perl

# t/35-shared-key.t: a shared key never has the port of a host, however it may
# come to it, and a line of the hosts file gives its key nothing but its ports

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Careless qw(without_landlock);
use Container qw(await command directory docker write_file);
use Host;
use Proxy qw(entry key public_key);

my $path = '/etc/monitoring/hosts';
my $proxy;
my $given = 'options in front of the key; give the key alone';


sub line { return join(' ', $_[0], entry($_[0]), @_[1 .. $#_]) . "\n" }

sub identity { return ('-i', key('ed25519', $_[0])) }


sub file { return "$_[0]{files}{directory}/hosts" }

sub body { return $_[0]->scrape($_[1])->{body} }


# nginx reads hosts a moment later than sessions

sub is_scraped {
    my ($name) = @_;

    ok(await(60, sub { body($proxy, "/$name/metrics") eq "hosts\n" }),
        "$name is scraped there") or diag body($proxy, "/$name/metrics");
}


# how often the log has a text

sub count {
    my ($proxy, $text) = @_;

    return scalar(() = $proxy->logs =~ /\Q$text\E/g);
}


# each way to give ports to a shared key

my @many = map { "localhost:$_ target-$_\n" } 21001 .. 21300;

for my $case (
    [ 'targets', { targets => "localhost:20001 a\nlocalhost:20002 b\n"
        . "localhost:20003 c\n", hosts => line('own', 'port=20002') },
        [ 20001, 20003 ], [ 20002 ] ],
    [ 'a list', { env => { MONITORING_PROXY_TUNNEL_PORTS => '20000-20019' },
        hosts => line('own', 'port=20010', 'ports=a:1,b:2') },
        [ 20009, 20012 ], [ 20010, 20011 ] ],
    [ 'a long list', {
        env => { MONITORING_PROXY_TUNNEL_PORTS => '1024-65535' },
        hosts => line('own', 'port=20010', 'ports=a:1,b:2') },
        [ 20009, 20012 ], [ 20010, 20011, '*:20009' ] ],
    [ 'many targets', { targets => join('', @many),
        hosts => line('own', 'port=21150') },
        [ 21149, 21300 ], [ 21150, 21301 ] ],
    [ 'many targets, no Landlock', { targets => join('', @many),
        hosts => line('own', 'port=21150'),
        options => [ without_landlock() ] },
        [ 21149, 21300 ], [ 21150, 21301 ] ],
) {
    my ($what, $options, $allowed, $refused) = @$case;
    $proxy = Proxy->start(%$options);

    ok($proxy->may_bind($_), "$what: a shared key may have $_")
        or diag $proxy->{error}, $proxy->logs for @$allowed;
    ok(!$proxy->may_bind($_), "$what: a shared key may not have $_")
        for @$refused;
    ok($proxy->may_bind($refused->[0], identity('own')),
        "$what: which is its host's") or diag $proxy->{error}, $proxy->logs;

    $proxy->remove;
}


# a port that becomes a host's

my ($shared, $hosts) = map { Backend->of_text($_) } qw(shared hosts);

my $targets = join '', map { "localhost:$_ target-$_\n" } 20001 .. 20006;
my $text = line('first', 'port=20001');
$proxy = Proxy->start(targets => $targets, hosts => $text);
my $host = Host->start;

$host->reaches($proxy, 'proxy');

# takes again at once what it had, and goes on with what it got

docker('exec', '-d', $host->name, 'bash', '-c', 'while :; do
    ssh -F /keys/config -i /keys/id -N -T -o ExitOnForwardFailure=no \
        -R 20002:localhost:9100 -R 20003:localhost:9100 proxy
    done');
ok(await(60, sub { $proxy->listens(20002) && $proxy->listens(20003) }),
    'a shared key holds ports') or diag $proxy->logs;

# has been granted 20002, and waits until it is a host's

my $waiting = $proxy->tunnel(20004, $shared->port)
    or die "no tunnel: $proxy->{error}";

write_file(file($proxy), $text . line('second', 'port=20002'));

my $tunnel;
ok(await(60, sub { $tunnel = $proxy->tunnel(20002, $hosts->port,
    identity('second')) }), 'a host gets the port that a shared key held')
    or diag $proxy->{error}, $proxy->logs;
is_scraped('second');

ok(await(60, sub { $proxy->scrape('/target-20003/metrics')->{status} == 200 }),
    'the shared key is back with its other port') or diag $proxy->logs;

isnt(command('ssh', '-o', "ControlPath=$waiting", '-O', 'forward', '-R',
    '20002:localhost:9', 'proxy')->{status}, 0,
    'a session from before gets nothing any more');
$proxy->close_tunnel($tunnel);
ok(await(60, sub { !$proxy->listens(20002) }), 'the host leaves its port');
ok(!$proxy->may_bind(20002), 'which no shared key gets');
ok($proxy->may_bind(20004), 'but another port');

# a session with no list of ports from sshd, that holds nothing of it yet

$proxy->remove;
$proxy = Proxy->start(targets => join('', @many), hosts => $text);
$waiting = $proxy->tunnel(21001, $shared->port)
    or die "no tunnel: $proxy->{error}";

my @forward = ('ssh', '-o', "ControlPath=$waiting", '-O', 'forward', '-R');
is(command(@forward, '21002:localhost:9', 'proxy')->{status}, 0,
    'a session asks for another port later');
write_file(file($proxy), $text . line('second', 'port=21150'));
ok(await(60, sub { !$proxy->listens(21001) }),
    'it ends when a port that it might take is a host\'s')
    or diag $proxy->logs;
isnt(command(@forward, '21150:localhost:9', 'proxy')->{status}, 0,
    'and does not get that');
ok($proxy->tunnel(21150, $hosts->port, identity('second')),
    'which the host gets') or diag $proxy->{error}, $proxy->logs;
$proxy->remove;


# any port, until there is a host

my $directory = directory();

$proxy = Proxy->start(directory => $directory, writable => 1,
    conf => "location /own/ { proxy_pass http://localhost:20100/; }\n");
ok($proxy->tunnel(20001, $shared->port), 'any port: a shared key holds one')
    or diag $proxy->{error};

is($proxy->exec('monitoring-proxy', 'add', 'new',
    public_key('ed25519', 'new'))->{status}, 0, 'any port: a host is added');
ok(await(60, sub { $proxy->tunnel(20001, $hosts->port, identity('new')) }),
    'any port: and gets that one') or diag $proxy->{error}, $proxy->logs;
is_scraped('new');
$proxy->close_tunnel($_) for @{ $proxy->{tunnels} };
ok(await(60, sub { !$proxy->listens(20001) }), 'any port: it leaves');
ok(!$proxy->may_bind(20001), 'any port: no shared key gets it');
$proxy->remove;


# what is smuggled into a line: [ what, line, column, reason ]

my $key = entry('smuggler');
my $end = length("a $key") + 1;

my $id = directory() . '/id';
write_file("$id.pub", public_key('ed25519', 'smuggler'));
command('ssh-keygen', '-q', '-s', key(), '-I', 'x', '-n', 'first', "$id.pub");
my ($certificate) = Container::read_file("$id-cert.pub") =~ /^(\S+ \S+)/;

my @smuggled = (
    [ 'a command', qq{a command="x" $key}, 3, $given ],
    [ 'more ports', qq{a restrict,permitlisten="*:*" $key}, 3, $given ],
    [ 'an authority', "a cert-authority $key", 3, $given ],
    [ 'no name, but options', qq{permitlisten="localhost:20001" $key}, 1,
        qr/NAME|name/ ],
    [ 'a certificate', "a $certificate", 3, 'a certificate' ],
    [ 'a second key', "a $key " . entry('other'), $end + 1, 'second key' ],
    [ 'a line within the line', "a $key\rb " . entry('other'), $end,
        'carriage return' ],
    [ 'an end within the line', "a $key\0x", $end, 'control character' ],
    [ 'two ports', "a $key port=20002,20001", $end + 6, 'port' ],
    [ 'options behind the port', qq{a $key port="20002\\",pty"}, $end + 6,
        qr/./ ],
    [ 'a port of the system', "a $key port=22", $end + 6, 'port' ],
    [ 'quotes in an exporter', qq{a $key ports=x";y:9100}, $end + 8,
        'exporter' ],
    [ 'a pattern as name', "* $key", 1, 'name "*"' ],
    [ 'names', "a,first $key", 2, 'name "a,first"' ],
    [ "another host's port", "a $key port=20001", $end + 6, '20001' ],
    [ "another host's key", 'a ' . entry('first'), 15, 'line 1' ],
    [ "another host's name", "first $key", 1, 'line 1' ],
);

for (@smuggled[0 .. 2, 6, 8, 14]) {
    my ($what, $line, $column, $reason) = @$_;
    my $r = Proxy->refused(key => undef, hosts => "$text$line\n");

    is($r->{status}, 1, "$what: the container stops");
    like($r->{out}, qr/^monitoring-proxy: \Q$path\E:2:$column: .*$reason/m,
        "$what: and says where and what");
}

$proxy = Proxy->start(key => undef, hosts => $text);
$tunnel = $proxy->tunnel(20001, $hosts->port, identity('first'))
    or die "no tunnel: $proxy->{error}";

my $kept = "$path not taken; hosts stay as they are";
my $before = 0;

for (@smuggled) {
    my ($what, $line, $column, $reason) = @$_;

    write_file(file($proxy), "$text$line\n");
    ok(await(60, sub { count($proxy, $kept) > $before }),
        "$what: hosts stay as they are") or diag $proxy->logs;
    my ($said) = $proxy->logs =~ /.*^sessions: (\Q$path\E:\d+:\d+: .*)/ms;
    like(($said // '') =~ s/\n.*//sr, qr/^\Q$path\E:2:$column: .*$reason/,
        "$what: the log says where and what");
    $before = count($proxy, $kept);
}

is(body($proxy, '/first/metrics'), "hosts\n",
    'the host is scraped as before');
is($proxy->exec('cat', '/run/monitoring-proxy/hosts')->{out}, $text,
    'by the same line');
ok(!$proxy->may_bind(20002, identity('smuggler')),
    'none of the lines lets its key in');

# labels may be called so, and are labels

write_file(file($proxy), $text . line('label', 'port=20002',
    'permitlisten="localhost:20003"', 'restrict=no', 'permitopen="*:*"'));
ok(await(60, sub { $proxy->may_bind(20002, identity('label')) }),
    'a label with the name of an option is taken') or diag $proxy->logs;
ok(!$proxy->may_bind(20003, identity('label')), 'and is no option');

done_testing();
