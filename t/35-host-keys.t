#!/usr/bin/perl

# t/35-host-keys.t: a host's key has the ports of its line, one connection for
# them, and nothing else; nor does any other key, or any line, have them
#
# What must fail is tried at a careless server first, as in t/23-tunnels.t.

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Careless qw(careless without_landlock);
use Container qw(await directory read_file write_file);
use Host;
use Proxy qw(entry key public_key);

my $path = '/etc/monitoring/hosts';
my $session = qr/^sshd-session: monitoring(?!.*\[priv\])/;

# [ what, script ]: succeeds where it isn't refused. The key has 20001 and
# 20002, 20010 is of another host that is connected, 20020 of one that isn't.

my @forbidden = (
    [ "another host's port", q{with '-R 20020:localhost:9100' true} ],
    [ 'its own and that of another',
        q{with '-R 20001:localhost:9100 -R 20020:localhost:9100' true} ],
    [ 'the port behind its own', q{with '-R 20003:localhost:9100' true} ],
    [ '*', q{with '-R *:20001:localhost:9100' true} ],
    [ '0.0.0.0', q{with '-R 0.0.0.0:20001:localhost:9100' true} ],
    [ '::', q{with '-R [::]:20001:localhost:9100' true} ],
    [ 'an empty address', q{with '-R :20001:localhost:9100' true} ],
    [ 'its name', q{with "-R $S:20001:localhost:9100" true} ],
    [ 'its address', q{A=$(getent hosts $S | cut -d' ' -f1);
        with "-R $A:20001:localhost:9100" true} ],
    [ '127.0.0.1', q{with '-R 127.0.0.1:20001:localhost:9100' true} ],
    [ '127.0.0.2', q{with '-R 127.0.0.2:20001:localhost:9100' true} ],
    [ 'port 0', q{with '-R 0:localhost:9100' true} ],
    [ 'port 1', q{with '-R 1:localhost:9100' true} ],
    [ 'port 1023', q{with '-R 1023:localhost:9100' true} ],
    [ 'a unix socket', q{with '-R /tmp/x:localhost:9100' true} ],
    [ "another host's port, asked for later", q{with '-R 20001:localhost:9100'
        '! ssh -S /tmp/control -O forward -R 20020:localhost:9100 $S 2>&1 \
            | grep .'} ],
    [ '-L to the proxy', q{with '-L 7001:localhost:80'
        'get localhost:7001/-/ready'} ],
    [ "-L to another host's metrics", q{with '-L 7001:localhost:20010'
        'get localhost:7001/metrics'} ],
    [ '-L beside its tunnel',
        q{with '-R 20001:localhost:9100 -L 7001:localhost:20010'
        'get localhost:7001/metrics'} ],
    [ '-L to the outside', q{with "-L 7001:$(hostname -i):9101"
        'perl -MIO::Socket::IP -e "
            \$l = IO::Socket::IP->new(LocalPort => 9101, Listen => 1);
            IO::Socket::IP->new(\"localhost:7001\"); alarm 3; \$l->accept"'} ],
    [ '-D', q{with '-D 7002' 'get --socks5-hostname localhost:7002
        http://localhost:20010/metrics'} ],
    [ '-W to the proxy', q{printf 'GET /-/ready HTTP/1.0\r\n\r\n'
        | ssh -W localhost:80 $S | grep Ready} ],
    [ '-W to another host', q{printf 'GET /metrics HTTP/1.0\r\n\r\n'
        | ssh -W localhost:20010 $S | grep another} ],
    [ '-L to a unix socket',
        q{with '-L 7003:/sockets/exporter' 'get localhost:7003/'} ],
    [ 'a shell', q{echo 'echo got-$((40+2)); exit' | ssh $S
        | grep got-42} ],
    [ 'a terminal', q{echo 'echo got-$((40+2)); exit' | ssh -tt $S
        | grep got-42} ],
    [ 'a command', q{ssh $S 'echo got-$((40+2))' | grep got-42} ],
    [ 'sftp', q{echo pwd | sftp -b - $S} ],
    [ 'agent forwarding', q{eval "$(ssh-agent)";
        ssh -A $S 'test -S "$SSH_AUTH_SOCK" && echo got-$((40+2))'
        | grep got-42; r=$?; kill $SSH_AGENT_PID; exit $r} ],
    [ 'X11 forwarding', q{export DISPLAY=:7;
        ssh -Y $S 'echo got-$DISPLAY' | grep got-localhost:1} ],
    [ 'to be another user',
        q{with '-l nobody -R 20001:localhost:9100' true} ],
    [ 'a key that no line has',
        q{KEY=/keys/unknown; with '-R 20001:localhost:9100' true} ],
);


sub line { return join(' ', $_[0], entry($_[1]), @_[2 .. $#_]) . "\n" }


sub body { return $_[0]->scrape($_[1])->{body} }


sub sessions {
    my ($proxy, $key) = @_;

    return body($proxy, '/metrics')
        =~ /^monitoring_proxy_sessions\{key="$key"\} (\d+)$/m ? $1 : -1;
}


# Runs a script on the host, when what the one before has left is gone: the
# session of the other host alone is there, and it has one port.

sub sh {
    my ($host, $server, $name, $script) = @_;

    await(60, sub { $server->pids($session) == 1 })
        or die 'a session stays: ', $server->logs;

    return $host->sh($name, $script =~ s/\\?\n\s+/ /gr);
}


# the parts

my $sockets = directory();
my $socket = Backend->new(path => "$sockets/exporter");
chmod 0777, $sockets, "$sockets/exporter";
my @options = ('-v', "$sockets:/sockets",
    '--sysctl', 'net.ipv6.conf.all.disable_ipv6=0');

my $weak = careless('secret', map { public_key('ed25519', $_) }
    '', 'other', 'unknown');

my $another = Backend->of_text('another');
my $text = line('host', '', 'port=20001', 'ports=node:9100,mysqld:9104')
    . line('other', 'other', 'port=20010')
    . "absent - port=20020\n";

my $host = Host->start(keys => [ 'shared' ]);
my $proxy = Proxy->start(key => public_key('ed25519', 'shared'),
    hosts => $text, options => \@options);
my $control = Proxy->start(key => undef, hosts => $text, image => $weak,
    options => \@options);

$host->reaches($proxy, 'proxy');
$host->reaches($control, 'control');

for ($proxy, $control) {
    $_->tunnel(20010, $another->port, '-i', key('ed25519', 'other'))
        or die "no tunnel: $_->{error}";
}

ok(await(60, sub { $host->sh('proxy', 'get localhost:9100')->{status} == 0 }),
    'the host has a node_exporter');

my $own = q{with '-R 20001:localhost:9100 -R 20002:localhost:9100'
    'get $S/host/node/metrics > /dev/null && get $S/host/mysqld/metrics'};

like(sh($host, $proxy, 'proxy', $own)->{out}, qr/^node_cpu_seconds_total/m,
    'two exporters of a host are scraped over one connection')
    or diag $proxy->logs;


# what it must not do

for (@forbidden) {
    my ($what, $script) = @$_;

    my $r = sh($host, $control, 'control', $script);
    is($r->{status}, 0, "$what: a careless server allows it")
        or diag $r->{out};

    $r = sh($host, $proxy, 'proxy', $script);
    isnt($r->{status}, 0, "$what: refused") or diag $r->{out};
}

is(sh($host, $proxy, 'proxy', $own)->{status}, 0,
    'its own tunnel opens after all that')
    or diag $proxy->logs;

unlike($proxy->logs, qr/already connected|is connecting/,
    'and nothing was refused for being a second connection');

# a careless sshd can't give a port that is taken, either, but it tries to

for my $port (20010, 22, 80) {
    my $script = "with '-R $port:localhost:9100' true";
    my $tried = qr/cannot listen to port: $port$/m;

    sh($host, $control, 'control', $script);
    ok($control->logged($tried),
        "port $port, taken: a careless sshd tries it");

    isnt(sh($host, $proxy, 'proxy', $script)->{status}, 0,
        "port $port: refused");
    unlike($proxy->logs, $tried, "port $port: not even tried");
}

is(body($proxy, '/other/metrics'), "another\n",
    'the other host is scraped through its own tunnel');

# a client that goes on with what it got

my $some = q{with '-o ExitOnForwardFailure=no -R 20001:localhost:9100
    -R 20020:localhost:9100 -R *:20002:localhost:9100'
    'get $S/host/node/metrics > /dev/null; echo $?;
        ! get $S/host/mysqld/metrics && ! get $S/absent/metrics'};

my $r = sh($host, $proxy, 'proxy', $some);
is("$r->{status} " . ($r->{out} =~ /^(\d+)$/m ? $1 : ''), '0 0',
    'of several ports a client gets its own') or diag $r->{out};


# one connection

my $five = q{for i in 1 2 3 4 5; do
    command ssh -F /keys/config -i $KEY -f -N -T OPTIONS $S 2> /dev/null & done
    wait};
my $ssh = qr{^ssh -F /keys/config .* -f };

sub at_once {
    my ($options, $what) = @_;

    $host->sh('proxy', $five =~ s/OPTIONS/$options/r);
    ok(await(60, sub { $host->pids($ssh) <= 1 && $proxy->pids($session) <= 2 }),
        "$what: no more than one remains") or diag $proxy->logs;
    is(scalar(() = $host->pids($ssh)), 1, "$what: and one does");
    is(sessions($proxy, 'host'), 2, "$what: metrics count one, and the other"
        . " host's");
}

at_once('-R 20001:localhost:9100', 'five at once');
ok($proxy->hosts->{host}{connected},
    'five at once: list says it is connected');

isnt($host->sh('proxy', q{with '-R 20002:localhost:9100' true})->{status}, 0,
    "its other port is not a second connection's");

$host->sh('proxy', q{command ssh -F /keys/config -i $KEY -f -N -T $S});
ok(await(60, sub { $host->pids($ssh) == 1 && $proxy->pids($session) == 2 }),
    'nor is there a second connection without a port');
is($host->sh('proxy', 'get $S/host/node/metrics > /dev/null')->{status}, 0,
    'the first serves throughout');

$host->kill('TERM', $host->pids($ssh));
ok(await(60, sub { !$proxy->hosts->{host}{connected} }),
    'it leaves, which list says');

at_once('', 'five that ask for no port');

# from another address, as by somebody who has the key

ok(await(60, sub { $proxy->tunnel(20001, $another->port, '-i', key()) }),
    'a connection without a port makes way for one that wants it')
    or diag $proxy->{error}, $proxy->logs;
ok(await(60, sub { !$host->pids($ssh) }), 'and is ended');
is(body($proxy, '/host/node/metrics'), "another\n",
    'the port is the new one\'s');
$proxy->close_tunnel($_) for @{ $proxy->{tunnels} };
$control->remove;
$proxy->remove;
$host->remove;

done_testing();
