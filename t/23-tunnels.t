#!/usr/bin/perl

# t/23-tunnels.t: what a host's key may do, and all that it may not
#
# Whatever must fail is tried on a derived image with a careless sshd_config
# first: what fails there as well would prove nothing.

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Careless qw(careless without_landlock);
use Container qw(await directory docker write_file);
use Host;
use Http;
use Proxy qw(key public_key);

my $targets = "localhost:20001 external-host-1\nlocalhost:20002 second\n";
my $password = 'secret';

my $proxy;

my @tun = ('--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun');

# [ what, script ]: succeeds where it isn't refused

my @forbidden = (
    [ 'a shell', q{echo 'echo got-$((40+2)); exit' | ssh -tt $S
        | grep got-42} ],
    [ 'a command', q{ssh $S 'echo got-$((40+2))' | grep got-42} ],
    [ 'sftp', q{echo pwd | sftp -b - $S} ],
    [ 'scp from it', q{scp $S:/etc/passwd /tmp/passwd} ],
    [ 'scp to it', q{scp /etc/hostname $S:/tmp/hostname} ],
    [ '-L', q{with '-L 7001:localhost:80' 'get localhost:7001/-/ready'} ],
    [ '-L to another machine', q{with "-L 7001:$(hostname -i):9101"
        'perl -MIO::Socket::IP -e "
            \$l = IO::Socket::IP->new(LocalPort => 9101, Listen => 1);
            IO::Socket::IP->new(\"localhost:7001\"); alarm 3; \$l->accept"'} ],
    [ '-D', q{with '-D 7002'
        'get --socks5-hostname localhost:7002 http://localhost/-/ready'} ],
    [ '-W', q{printf 'GET /-/ready HTTP/1.0\r\n\r\n'
        | ssh -W localhost:80 $S | grep Ready} ],
    [ '-R on all addresses', q{with '-R *:20001:localhost:9100' true} ],
    [ '-R on 0.0.0.0', q{with '-R 0.0.0.0:20001:localhost:9100' true} ],
    [ '-R on an empty address', q{with '-R :20001:localhost:9100' true} ],
    [ '-R on its name', q{with "-R $S:20001:localhost:9100" true} ],
    [ '-R on port 0', q{with '-R 0:localhost:9100' true} ],
    [ '-R on port 1023', q{with '-R 1023:localhost:9100' true} ],
    [ '-R on a port not in targets',
        q{with '-R 20003:localhost:9100' true} ],
    [ '-R on a port of targets and one that is not',
        q{with '-R 20001:localhost:9100 -R 20003:localhost:9100' true} ],
    [ 'a tunnel for all of the network', q{with '-R *:20001:localhost:9100'
        'get $S:20001/metrics'} ],
    [ '-R on a unix socket', q{with '-R /tmp/x:localhost:9100' true} ],
    [ '-L to a unix socket',
        q{with '-L 7003:/sockets/exporter' 'get localhost:7003/'} ],
    [ 'agent forwarding', q{eval "$(ssh-agent)";
        ssh -A $S 'test -S "$SSH_AUTH_SOCK" && echo got-$((40+2))'
        | grep got-42; r=$?; kill $SSH_AGENT_PID; exit $r} ],
    [ 'X11 forwarding', q{export DISPLAY=:7;
        ssh -Y $S 'echo got-$DISPLAY' | grep got-localhost:1} ],
    [ 'a password', q{printf '#!/bin/sh\necho secret\n' > /tmp/askpass;
        chmod 755 /tmp/askpass;
        export SSH_ASKPASS=/tmp/askpass SSH_ASKPASS_REQUIRE=force;
        with '-R 20001:localhost:9100 -o BatchMode=no
            -o PubkeyAuthentication=no' true} ],
    [ 'to be root', q{ssh root@$S 'echo got-$((40+2))' | grep got-42} ],
    [ 'to be another user',
        q{with '-l nobody -R 20001:localhost:9100' true} ],
    [ 'another key',
        q{KEY=/keys/other; with '-R 20001:localhost:9100' true} ],
);


# what /targets says of a target

sub connected {
    my ($name) = @_;

    return $proxy->scrape("/targets?connected&instance=$name")->{body}
        =~ /"__meta_monitoring_proxy_connected":"(\w+)"/ ? $1 : 'nothing';
}


# the parts

my $sockets = directory();
my $socket = Backend->new(path => "$sockets/exporter");
chmod 0777, $sockets, "$sockets/exporter";
my @sockets = ('-v', "$sockets:/sockets");

my $weak = careless($password, public_key(), public_key('ed25519', 'other'));

my $with_tun = eval { Container->run(command => [ 'targets' ],
    options => \@tun)->remove; 1 };
@tun = () unless $with_tun;

my $host = Host->start(options => \@tun);
$proxy = Proxy->start(targets => $targets, options => [ @tun, @sockets ]);
my $control = Proxy->start(targets => $targets, image => $weak,
    options => [ @tun, @sockets ]);

$host->reaches($proxy, 'proxy');
$host->reaches($control, 'control');

my $script = q{with '-R 20001:localhost:9100 -R 20002:localhost:9100' true};


# what it is for

ok(await(60, sub { $host->sh('proxy', 'get localhost:9100')->{status} == 0 }),
    'the host has a node_exporter');

docker('exec', '-d', $host->name, 'autossh', '-M', '0', '-F', '/keys/config',
    '-i', '/keys/id', '-N', '-R', '20001:localhost:9100',
    '-R', '20002:localhost:9100', 'proxy');

ok(await(60, sub {
    $proxy->scrape('/external-host-1/metrics')->{status} == 200 }),
    'autossh opens a tunnel and the host is scraped')
    or diag $proxy->logs;

my $r = $proxy->scrape('/external-host-1/metrics');
like($r->{body}, qr/^node_cpu_seconds_total\{cpu="0",/m,
    'with the metrics of node_exporter');
like($r->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4},
    'and their type');
is($proxy->scrape('/second/metrics')->{status}, 200,
    'one connection carries several tunnels');

is(join(' ', map { connected($_) } qw(external-host-1 second)), 'yes yes',
    'both are connected');

ok($proxy->listens(20001, '0100007F'), 'a tunnel listens on localhost');
ok(!$proxy->listens(20001, '(?:0{8}|0{32})')
    && !eval { Http::connection(20001, $proxy->address) },
    'and nowhere else');

# the port is that of who came first

isnt($host->sh('proxy', $script)->{status}, 0, 'a taken port is refused');
is($proxy->scrape('/external-host-1/metrics')->{status}, 200,
    'the tunnel that stands is not touched by that');

# ends it, so that its ports are free for what follows

$host->exec('pkill', 'autossh');
ok(await(10, sub { !$proxy->listens(20001) }),
    'the port is free as soon as the host has gone');
is(connected('external-host-1'), 'no', 'it is not connected any more');

$r = $proxy->scrape('/external-host-1/metrics');
is($r->{status}, 502, 'a dead tunnel is a 502');
like($r->{body},
    qr/\Aexternal-host-1: no tunnel: [^\n]*connection refused\n\z/, 'that says so in one line');


# what it must not do

sub tun_devices {
    my ($server) = @_;

    return grep { /^tun/ }
        split /\s+/, $server->exec('ls', '/sys/class/net')->{out};
}


for (@forbidden) {
    my ($what, $script) = @$_;
    $script =~ s/\n\s+/ /g;

    my $r = $host->sh('control', $script);
    is($r->{status}, 0, "$what: a careless server allows it")
        or diag $r->{out};

    $r = $host->sh('proxy', $script);
    isnt($r->{status}, 0, "$what: refused") or diag $r->{out};

    await(60, sub { !$control->listens(20001) && !$control->listens(20003) });
}

is($host->sh('proxy', "$script")->{status}, 0,
    'its own tunnel still opens after all that');
await(60, sub { !$proxy->listens(20001) });

SKIP: {
    skip 'docker gives no /dev/net/tun', 2 unless $with_tun;

    my $tun = 'ssh -f -N -w any:any root@$S; sleep 0';

    $host->sh('control', $tun);
    ok(await(60, sub { tun_devices($control) }),
        'a tun device: a careless server allows it');

    $host->sh('proxy', $tun =~ s/root@//r);
    is(join(' ', tun_devices($proxy)), '', 'a tun device: refused');
}

like($host->sh('control', 'ssh -o PreferredAuthentications=none -N $S')->{out},
    qr/denied \(publickey,password\)/, 'a careless server offers passwords');
like($host->sh('proxy', 'ssh -o PreferredAuthentications=none -N $S')->{out},
    qr/denied \(publickey\)/, 'only public keys are offered');

# ports of the container itself: the careless sshd can't give them either, but
# it tries to

for my $port (22, 80) {
    my $script = "with '-R $port:localhost:9100' true";
    my $tried = qr/cannot listen to port: $port$/m;

    $host->sh('control', $script);
    like($control->logs, $tried, "-R on port $port: a careless sshd tries it");

    isnt($host->sh('proxy', $script)->{status}, 0,
        "-R on port $port: refused");
    unlike($proxy->logs, $tried, "-R on port $port: not even tried");
}

is($proxy->scrape('/-/ready')->{status}, 200, 'port 80 is still nginx');
like($proxy->banner, qr/^SSH-2\.0-OpenSSH/, 'port 22 is still sshd');


# a storm of bad logins from one address locks nobody out

my $storm = q{KEY=/keys/unknown; for i in 1 2 3 4 5 6 7 8; do ssh -N $S; done;
    KEY=/keys/id; } . $script;

isnt($host->sh('control', $storm)->{status}, 0,
    'a careless server locks out an address after bad logins');
is($host->sh('proxy', $storm)->{status}, 0,
    'eight bad logins from an address: the next good one is let in');

my @idle = map { Http::connection(22, $proxy->address) } 1 .. 150;
is($host->sh('proxy', $script)->{status}, 0,
    '150 connections that do not log in: a good one is let in');
@idle = ();

$_->remove for $host, $proxy, $control;


# ports

sub allows {
    my ($what, $options, $allowed, $refused) = @_;

    my $proxy = Proxy->start(%$options);

    ok($proxy->may_bind($_), "$what: port $_ is allowed")
        or diag $proxy->{error}, $proxy->logs for @$allowed;
    ok(!$proxy->may_bind($_), "$what: port $_ is refused") for @$refused;

    return $proxy;
}


my $conf = "location /own/ { proxy_pass http://localhost:20100/; }\n";

$proxy = allows('targets', { conf => $conf, targets => "localhost:20001 a\n"
    . "127.0.0.1:20002 b\nhttps://[::1]:20003 c\nhost.invalid:20004 d\n" },
    [ 20001, 20002, 20003 ], [ 20004, 20100, 9999 ]);

write_file("$proxy->{files}{directory}/targets", "localhost:20007 new\n");
ok($proxy->may_bind(20007), 'targets: a port added later is allowed');
ok(!$proxy->may_bind(20001), 'targets: a port taken out is refused');
$proxy->remove;

$proxy = allows('MONITORING_PROXY_TUNNEL_PORTS', {
    targets => $targets, env => {
        MONITORING_PROXY_TUNNEL_PORTS => '20010-20012, 20020 20030' } },
    [ 20010, 20011, 20012, 20020, 20030 ], [ 20001, 20009, 20013 ]);
$proxy->remove;

$proxy = allows('a range of all ports', { env => {
    MONITORING_PROXY_TUNNEL_PORTS => '1024-65535' } },
    [ 1024, 5119, 5120, 65535 ], [ 80, 1023 ]);
$proxy->remove;

$proxy = allows('only own locations', { conf => $conf }, [ 20100, 34567 ],
    [ 80, 22 ]);
ok(!$proxy->may_bind('*:20101') && !$proxy->may_bind('0.0.0.0:20101'),
    'only own locations: other addresses are refused');
like($proxy->logs, qr/^\S+: .*any free port of localhost/m,
    'only own locations: the log says so');
$proxy->remove;

$proxy = allows('neither', {}, [], [ 20001, 34567 ]);
$proxy->remove;

# kernels without Landlock

allows('targets, no Landlock', { targets => $targets,
    options => [ without_landlock() ] },
    [ 20001 ], [ 20003, 0, '*:20001' ])->remove;

$proxy = allows('own locations, no Landlock', { conf => $conf,
    options => [ without_landlock() ] }, [ 20100 ], [ '*:20101' ]);
like($proxy->logs, qr/^\S+: warning: tunnels: .*ALL free ports/m,
    'own locations, no Landlock: the log warns of what it means');
$proxy->remove;

for my $ports ('x', '80', '0', '20010-20005', '65536', '20001;20002', '1024-',
    ',')
{
    $r = Proxy->refused(env => { MONITORING_PROXY_TUNNEL_PORTS => $ports });

    is($r->{status}, 1, "ports \"$ports\": the container stops");
    like($r->{out}, qr/^monitoring-proxy:\ MONITORING_PROXY_TUNNEL_PORTS:\ "
        \Q$ports\E".*1024-65535/mx, "ports \"$ports\": says what is allowed");
}

done_testing();
