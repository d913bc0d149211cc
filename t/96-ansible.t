#!/usr/bin/perl

# t/96-ansible.t: a monitor and its nodes, set up by Ansible as they are by users

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command docker);
use Machine;

plan skip_all => 'no ansible-playbook here'
    if command('sh', '-c', 'command -v ansible-playbook')->{status} != 0;

my %machine;
my $said = '';

# node-2 has no IPv6, as is common

for my $name (qw(monitor-1 node-1 node-2)) {
    $machine{$name} = Machine->boot(no_ipv6 => $name eq 'node-2');
}

my $monitor = $machine{'monitor-1'};
my $node = $machine{'node-1'};


# The inventory of a monitor and nodes: NAME, or [NAME, MACHINE]. The one that
# has settings of its own is the monitor.

sub inventory {
    my ($settings, @names) = @_;

    my $main = $settings ? 'monitor-2' : 'monitor-1';
    my $hosts = sub {
        return join '', map {
            my ($name, $as) = ref $_ ? @$_ : ($_, $_);
            "        $name:\n          ansible_host: "
                . $machine{$as}->address . "\n";
        } @_;
    };

    return "all:\n  vars:\n    ansible_user: root\n"
        . "    prometheus_interval: 2s\n$settings  children:\n"
        . "    monitor:\n      hosts:\n" . $hosts->($main)
        . "    nodes:\n      hosts:\n" . $hosts->(@names);
}


# A run of the playbook that is a success; %$changes is how many changes each
# host has to have, or undef for any.

sub play {
    my ($promise, $inventory, $changes, @options) = @_;

    my $r = Machine::ansible($inventory, 'ansible-playbook', 'site.yml',
        @options);
    $said .= $r->{out};

    subtest $promise => sub {
        is($r->{status}, 0, 'the playbook comes to its end')
            or diag substr($r->{out}, -4000);

        for my $name (sort keys %$changes) {
            my $changed = $r->{recap}{$name}{changed};

            is($changed, $changes->{$name}, "changes of $name")
                if defined $changes->{$name};
            isnt($changed, 0, "$name is changed")
                if !defined $changes->{$name};
        }
    };

    return $r;
}


# What the script says on a machine.

sub on {
    my ($name, $script) = @_;

    return $machine{$name}->exec('sh', '-c', $script)->{out};
}


# Of each node that Prometheus knows whether it is up.

sub up {
    my $answer = on('monitor-1',
        q(curl -sG --data-urlencode 'query=up{instance=~"node-.*"}' )
        . 'localhost:9090/api/v1/query');
    my $series = JSON::PP::decode_json($answer)->{data}{result};

    return { map { $_->{metric}{instance} => $_->{value}[1] } @$series };
}


sub scraped {
    my ($promise, @names) = @_;

    my $want = JSON::PP->new->canonical->encode({ map { $_ => '1' } @names });

    ok(await(60, sub {
        return JSON::PP->new->canonical->encode(up()) eq $want;
    }), $promise) or diag explain(up()), on('monitor-1', 'wg show');
}


# Whether a machine can open a TCP port: open, or closed in any way.

sub dialled {
    my ($name, $address, $port) = @_;

    my $try = "timeout 2 bash -c ': < /dev/tcp/$address/$port' 2> /dev/null";
    my $r = $name ? $machine{$name}->exec('sh', '-c', $try)
        : command('sh', '-c', $try);

    return $r->{status} == 0 ? 'open' : 'closed';
}


# Processes, which are others after a restart.

sub identity {
    my ($name) = @_;

    return on($name, 'pgrep -x wireguard-go; pgrep -x prometheus');
}


# of machines that have nothing yet

my $two = inventory('',  'node-1', 'node-2');

play('a check of fresh machines comes to its end', $two, {}, '--check');
is(on('node-1', 'ls /etc/wireguard /usr/bin/wg /usr/sbin/nft'
    . ' /etc/monitoring-proxy.nft* /etc/default/prometheus* 2> /dev/null'), '',
    'and leaves nothing on them');

play('a first run sets them up', $two,
    { 'monitor-1' => undef, 'node-1' => undef, 'node-2' => undef },
    '-vvv', '--diff');

scraped('Prometheus scrapes the nodes', 'node-1', 'node-2');
like(on('monitor-1', 'wg show wg0 latest-handshakes'),
    qr/\A(?:\S+\t[1-9]\d+\n){2}\z/, 'over wg0');
is(on('node-1', 'cat /etc/wireguard/wg0.conf | grep -c PrivateKey'), "0\n",
    'the configuration has no key in it');
is(on('node-1', 'stat -c %a /etc/wireguard/wg0.key /etc/wireguard/wg0.conf'),
    "600\n600\n", 'and both are root\'s alone');


# the firewall; something listens everywhere

for my $name (qw(monitor-1 node-1)) {
    on($name, 'systemd-run -q --unit=other python3 -m http.server 8000; '
        . 'nft add table inet others; nft add chain inet others published '
        . '"{ type nat hook prerouting priority dstnat; '
        . 'tcp dport 8022 redirect to :22; }"');
    await(20, sub { dialled($name, 'localhost', 8000) eq 'open' });
}

is(dialled('', $node->address, 22), 'open', 'a node admits SSH');
is(dialled('', $node->address, 9100), 'closed', 'not its exporter\'s port');
is(dialled('', $node->address, 8000), 'closed', 'nor any other');
is(dialled('', $node->address, 8022), 'closed',
    'nor one that is published as Docker does it');
is(dialled('node-2', $node->address, 9100), 'closed',
    'to another node, too');
is(dialled('', $monitor->address, 22), 'open', 'the monitor admits SSH');
is(dialled('', $monitor->address, 9090), 'closed', 'not Prometheus\' port');
is(dialled('', $monitor->address, 8000), 'closed', 'nor any other');

is(dialled('monitor-1', '10.87.0.2', 9100), 'open',
    'over wg0 the monitor reaches a node\'s exporter');
is(dialled('monitor-1', '10.87.0.2', 22), 'closed', 'not its SSH');
is(dialled('monitor-1', '10.87.0.2', 8000), 'closed', 'nor any other port');
is(dialled('node-1', '10.87.0.1', 22), 'closed',
    'and a node nothing of the monitor\'s');
is(dialled('node-1', '10.87.0.1', 8000), 'closed', 'at any port');
isnt(on('node-1', 'curl -sm 2 --interface wg0 10.87.0.3:9100; echo $?'), "0\n",
    'nor another node');


# again

my %before = map { $_ => identity($_) } qw(monitor-1 node-1);

play('a second run changes nothing', $two,
    { 'monitor-1' => 0, 'node-1' => 0, 'node-2' => 0 });
like(on('node-1', 'nft list tables'), qr/^table inet others$/m,
    'tables of others are as they were');


# node-2 leaves, and its machine comes back as node-3

my $other = inventory('',  'node-1', ['node-3', 'node-2']);
my $peers = on('monitor-1', 'wg show wg0 allowed-ips | sort');

play('a check of other nodes says what would change', $other,
    { 'monitor-1' => undef, 'node-1' => 0, 'node-3' => undef }, '--check',
    '--diff');
is(on('monitor-1', 'wg show wg0 allowed-ips | sort'), $peers,
    'and changes nothing');

# the monitor's: its file of nodes, peers and their reload, Prometheus' nodes

play('nodes that leave and come change what they must', $other,
    { 'monitor-1' => 4, 'node-1' => 0, 'node-3' => undef }, '-vvv', '--diff');
scraped('Prometheus scrapes those that are there', 'node-1', 'node-3');

is(on('monitor-1', "grep '^[0-9]' /etc/wireguard/wg0.nodes | cut -d ' ' -f 1,2"),
    "2 node-1\n3 node-2\n4 node-3\n",
    'the address of one that left is not given again');
unlike(on('monitor-1', 'wg show wg0 allowed-ips'), qr{10\.87\.0\.3/32},
    'and it is no peer any more');
is_deeply({ map { $_ => identity($_) } qw(monitor-1 node-1) }, \%before,
    'no interface was restarted, nor Prometheus');


# the firewall beside another

my $rules = on('node-1', 'nft list table inet monitoring_proxy');

on('node-1', 'systemctl start nftables; systemctl restart nftables');
is(on('node-1', 'nft list table inet monitoring_proxy'), $rules,
    'the rules outlive those of /etc/nftables.conf, which flush all');


# a firewall that would lock Ansible out, as someone insists on it

my $r = Machine::ansible($two, 'ansible-playbook', 'site.yml', '--limit',
    'monitor-1,node-1', '-e', JSON::PP::encode_json({ firewall_confirm => 6,
    firewall_port_of_ssh => [], firewall_ssh_ports => [2222] }));

isnt($r->{status}, 0, 'rules that lock Ansible out are a failure');
ok(await(30, sub { dialled('', $node->address, 22) eq 'open' }),
    'and the machine takes them back');
is(on('node-1', 'nft list table inet monitoring_proxy'), $rules,
    'those from before are in effect');

$r = Machine::ansible($two, 'ansible-playbook', 'site.yml', '--limit',
    'node-1');
like($r->{out}, qr/--limit has to name monitor-1/,
    'a run without the monitor says that it needs it');


# our container in Prometheus' place, on a machine where it has enrolled a node

SKIP: {
    my $image = Container::image();
    skip "$image has no WireGuard", 6 if docker('run', '--rm', '--entrypoint',
        'test', $image, '-x', '/usr/local/bin/monitoring-proxy-wireguard')
        ->{status} != 0;

    my $line = 'old ' . 'YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI='
        . ' 10.87.0.9 ports=9100';

    $machine{'monitor-2'} = Machine->boot;
    on('monitor-2', 'umask 022; mkdir -p /etc/monitoring/wireguard; '
        . "cd /etc/monitoring/wireguard; echo '$line' > nodes; "
        . 'echo 12 > next');

    # and node-1 gets a new key, as its old one is gone

    my $key = on('node-1', 'cat /etc/wireguard/wg0.key');
    on('node-1', 'rm /etc/wireguard/wg0.key');

    my $container = inventory("    monitor: container\n"
        . "    proxy_run: false\n", 'node-1');

    play('files for the container are written', $container,
        { 'monitor-2' => undef, 'node-1' => undef }, '-vvv', '--diff');

    isnt(on('node-1', 'wg show wg0 private-key'), $key,
        'a node without a key has a new one');

    my $nodes = on('monitor-2', 'cat /etc/monitoring/wireguard/nodes');

    like($nodes, qr/^\Q$line\E$/m, 'the node that it enrolled is left alone');
    like($nodes, qr/^node-1 \S{44} 10\.87\.0\.12,fd\S+::c ports=9100$/m,
        'the other has the next address');
    is(on('monitor-2', 'cat /etc/monitoring/wireguard/next'), "13\n",
        'which is not given again');

    my $dir = Container::directory();
    docker('cp', $machine{'monitor-2'}->name . ':/etc/monitoring', $dir);
    on('monitor-2', 'systemctl stop ssh');

    my $proxy = Container->run(options => ['-v',
        "$dir/monitoring:/etc/monitoring", '--cap-add', 'NET_ADMIN',
        '--device', '/dev/net/tun', '--network',
        'container:' . $machine{'monitor-2'}->name, '-e',
        'MONITORING_PROXY_ADVERTISE=proxy.example']);

    ok(await(120, sub {
        on('monitor-2', 'curl -s localhost/node-1/metrics')
            =~ /^node_load1 /m;
    }), 'and the container scrapes it') or diag $proxy->logs,
        on('monitor-2', 'curl -s localhost/node-1/metrics');
}


# private keys

for my $name (sort keys %machine) {
    my ($key) = on($name, 'cat /etc/wireguard/wg0.key') =~ /^(\S{44})$/;

    ok($key, "$name has a private key");
    is(index($said, $key), -1, 'which no output has, with -vvv and --diff');
    is(command('grep', '-rFl', $key, Machine::controller())->{out}, '',
        'and no file of the controller\'s');
}

done_testing();
