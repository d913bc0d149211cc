#!/usr/bin/perl

# t/95-join-wireguard-life.t: a host that monitoring-proxy-join joins by
# WireGuard is reached by the proxy alone, gets another key, and leaves
#
# With real wg-quick, wireguard-go and nftables; the proxy's side is a stand-in.

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory test_image write_file);
use Enrolment;
use Systemd;

my $image = test_image();
my $dir = directory();
my $wg = '/etc/wireguard';
my $rules = "$wg/monitoring-proxy.nft";
my $script = `$FindBin::Bin/../scripts/join`;

write_file("$dir/join", $script, 0755);

my $proxy = Enrolment->start(image => $image);


# A node with node_exporter at its port 9100; its shell, dash if not given.

sub node {
    my (%o) = @_;

    my $node = $proxy->node(image => $image, class => $o{class},
        options => [ '-v', "$dir:/t:ro", @{ $o{options} // [] } ]);

    $node->{shell} = $o{shell} // 'dash';

    # busybox' ip can't make an interface, which is iproute2's in Alpine, too

    sh($node, 'mkdir /bb; busybox --install -s /bb; rm /bb/ip; for name in '
        . 'bash curl wg wg-quick wireguard-go; do ln -s /usr/bin/$name /bb/; '
        . 'done') if $node->{shell} =~ /busybox/;

    return $node;
}


sub sh { $_[0]->exec({ seconds => 90 }, 'sh', '-c', $_[1]) }


sub join_with {
    my ($node, @words) = @_;

    my @env = $node->{shell} =~ /^busybox/ ? ('env', 'PATH=/bb') : ('env');

    return $node->exec({ seconds => 90 }, @env,
        split(/ /, $node->{shell} =~ s{^busybox}{/bin/busybox}r), '/t/join',
        '--wait', 10, @words);
}


# what HTTP says of a port of a node's, the exporter's if not given, from a
# container: 000 if nothing

sub scraped {
    my ($from, $address, $port) = @_;

    return $from->exec('curl', '-s', '-m', 2, '-o', '/dev/null', '-w',
        '%{http_code}', "http://$address:" . ($port // 9100) . '/metrics')
        ->{out};
}


sub export {
    my ($node, $address) = @_;

    sh($node, "setsid prometheus-node-exporter --web.listen-address=$address "
        . '> /dev/null 2>&1 &');
    await(10, sub { scraped($node, split /:/, $address) == 200 })
        or die "no exporter\n";
}


# all that there may be, with times

sub state_of {
    my ($node) = @_;

    return sh($node, "cd $wg 2> /dev/null && stat -c '%n %a %Y %i' *; "
        . 'nft list table inet monitoring_proxy 2> /dev/null; wg show wg0 listen-port; '
        . 'cat /sys/class/net/wg0/ifindex')->{out};
}


sub key { sh($_[0], 'wg show wg0 public-key')->{out} }

my $url = $proxy->url;


# each shell: from nothing to a scrape, and back

for my $shell ('dash', 'busybox sh', 'bash --posix') {
    my $node = node(shell => $shell);
    my $eth0 = $node->ip($proxy->{network});

    sh($node, 'nft "table ip others { chain a { type filter hook input '
        . 'priority 0; tcp dport 1 drop; }; }"');
    my $others = sh($node, 'nft -s list table ip others')->{out};
    like($others, qr/dport 1 drop/, "$shell: somebody has rules");
    is(scraped($proxy, $eth0), 200, 'all the world reaches the exporter');

    my $r = join_with($node, '--wireguard', $url);
    is($r->{status}, 0, "$shell: the host is joined") or diag $r->{out};
    like($r->{out}, qr/^wg0 is up, and connected to proxy as web-1$/m,
        'it waits for the handshake');
    like($r->{out}, qr/^table inet monitoring_proxy \{$/m,
        'it prints the firewall');

    is(scraped($proxy, '10.87.0.2'), 200, 'it is scraped over wg0');
    is(scraped($proxy, $eth0), '000', 'and by no other way');
    is(scraped($node, '127.0.0.1'), 200, 'but from itself');
    is(sh($proxy, 'busybox ping -c 1 -W 3 10.87.0.2')->{status}, 0,
        'it can be pinged');
    export($node, '0.0.0.0:9200');
    is(scraped($proxy, '10.87.0.2', 9200), '000',
        'a port of something else is closed on wg0');
    is(scraped($proxy, $eth0, 9200), 200, 'and on other interfaces as before');
    is(sh($node, 'nft -s list table ip others')->{out}, $others,
        'the rules of somebody are as they were');

    my $before = state_of($node);
    $proxy->requests;
    $r = join_with($node, '--wireguard', $url);
    is($r->{status}, 0, "$shell: the same again") or diag $r->{out};
    like($r->{out}, qr/^nothing to do/m, 'is nothing to do');
    is(state_of($node), $before, 'and changes nothing');
    is($proxy->requests, '', 'nor is the proxy asked');

    $r = join_with($node, '--wireguard', '--status');
    is($r->{status}, 0, "$shell: --status") or diag $r->{out};
    like($r->{out}, qr/^name        web-1\n.*^firewall    yes
handshake   \d+ s ago\nconnected   yes$/ms, 'says how it is');

    $r = join_with($node, '--wireguard', '--uninstall');
    is($r->{status}, 0, "$shell: --uninstall") or diag $r->{out};
    is(sh($node, "ls $wg")->{out}, "wg0.key\n", 'leaves the key alone');
    isnt(sh($node, 'test -e /sys/class/net/wg0')->{status}, 0,
        'the interface is gone');
    is(scraped($proxy, $eth0), 200, 'and the firewall');
    is(sh($node, 'nft -s list table ip others')->{out}, $others,
        'but for the rules of somebody');
    is(join_with($node, '--wireguard', '--status')->{status}, 7,
        '--status says so, too');

    $r = join_with($node, '--wireguard', $url);
    is($r->{status}, 0, 'with the same words it is joined again')
        or diag $r->{out};
    is($proxy->requests, '', 'without asking');

    is(join_with($node, '--wireguard', '--uninstall', '--purge')->{status}, 0,
        "$shell: --uninstall --purge");
    is(sh($node, "ls $wg; nft list tables | grep inet")->{out}, '',
        'leaves nothing');
    is(join_with($node, '--wireguard', '--uninstall')->{status}, 0,
        'and is fine where there is nothing');
}


# a node with IPv6, and all that can change

my $node = node(options => [ '--sysctl',
    'net.ipv6.conf.all.disable_ipv6=0', '--sysctl',
    'net.ipv6.conf.default.disable_ipv6=0' ]);

{
    my $r = $node->exec({ input => $script, seconds => 60 }, 'sh', '-s', '--',
        '--wireguard', $url);
    is($r->{status}, 0, 'by a pipe: the host is joined') or diag $r->{out};
    is(scraped($proxy, '[fd87:1:2::2]'), 200, 'it is scraped by IPv6');
    is(scraped($proxy, '10.87.0.2'), 200, 'and by IPv4');
}

# another key: what is there goes on, and the interface stays

{
    my ($old, $index) = (key($node),
        sh($node, 'cat /sys/class/net/wg0/ifindex')->{out});

    sh($proxy, 'rm -f /tmp/stop; setsid sh -c "while [ ! -e /tmp/stop ]; do '
        . 'curl -s -m 5 -o /dev/null -w \"%{http_code}\n\" '
        . 'http://10.87.0.2:9100/metrics; sleep 0.1; done" > /tmp/scrapes 2>&1 &');
    ok(await(10, sub { sh($proxy, 'grep -c 200 /tmp/scrapes')->{out} > 3 }),
        'it is scraped all the time');

    $proxy->http('403 Forbidden', "this token is not valid\n");
    my $before = state_of($node);
    my $r = join_with($node, '--wireguard', $proxy->url(token => 'R' x 43));
    is($r->{status}, 3, 'another token, which the proxy refuses')
        or diag $r->{out};
    is(state_of($node), $before, 'changes nothing');

    $proxy->http('200 OK', "name web-1\n" . $proxy->good
        . "PostUp = id\n");
    $r = join_with($node, '--wireguard', $proxy->url(token => 'R' x 43));
    is($r->{status}, 4, 'one with a wrong answer') or diag $r->{out};
    is(key($node), $old, 'leaves the key');
    $proxy->answer(undef);

    # the first of wg's setconf fails

    my $file = sh($node, "cat $wg/wg0.conf")->{out};
    write_file("$dir/wg", "#!/bin/sh\nif [ \"\$1\" = setconf ] && "
        . "mkdir /tmp/failed 2> /dev/null; then exit 1; fi\n"
        . "exec /usr/bin/wg \"\$@\"\n", 0755);
    $r = sh($node, 'PATH=/t:$PATH /t/join --wait 10 --wireguard '
        . $proxy->url(token => 'R' x 43));
    is($r->{status}, 1, 'one whose key wg does not take') or diag $r->{out};
    like($r->{out}, qr/^wg0 is as it was before$/m, 'the old one is put back');
    is(key($node), $old, 'as it is');

    sh($node, "mkdir $wg/wg0.conf.new");
    $r = join_with($node, '--wireguard', $proxy->url(token => 'R' x 43));
    is($r->{status}, 1, 'one that can not be written down') or diag $r->{out};
    is(key($node), $old, 'leaves the key');
    is(sh($node, "cat $wg/wg0.conf")->{out}, $file, 'and the file');
    sh($node, "rmdir $wg/wg0.conf.new");

    $proxy->requests;
    $r = join_with($node, '--wireguard', $proxy->url(token => 'R' x 43));
    is($r->{status}, 0, 'the same again, when it does') or diag $r->{out};
    is($proxy->requests, '', 'goes on where it was');
    isnt(key($node), $old, 'with another key');
    is(sh($node, 'cat /sys/class/net/wg0/ifindex')->{out}, $index,
        'of the same interface');

    $r = join_with($node, '--wireguard', $proxy->url(token => 'S' x 43));
    is($r->{status}, 0, 'one that is right') or diag $r->{out};

    my $from = sh($proxy, 'wc -l < /tmp/scrapes')->{out};
    ok(await(10, sub { sh($proxy, 'wc -l < /tmp/scrapes')->{out} > $from + 3 }),
        'the scrapes go on');
    sh($proxy, 'touch /tmp/stop');
    my @lost = sh($proxy, 'grep -v 200 /tmp/scrapes')->{out} =~ /\d+/g;
    cmp_ok(scalar @lost, '<=', 2, 'of two keys, at most one scrape each is lost')
        or diag "@lost";

    is(sh($node, "ls $wg")->{out}, "monitoring-proxy.nft\nwg0.conf\n",
        'nothing is left over');
}


# what others have done to it

for my $case (
    [ 'rules that are gone', 'nft delete table inet monitoring_proxy' ],
    [ 'an interface that is down', 'wg-quick down wg0' ],
    [ 'a file that was changed', "echo 'PostUp = id' >> $wg/wg0.conf" ],
    [ 'rules that were changed', "echo '#' >> $rules" ],
    [ 'a proxy that has moved', 'peer=$(wg show wg0 peers); '
        . 'wg set wg0 peer $peer remove; wg set wg0 peer $peer allowed-ips '
        . '10.87.0.1/32 endpoint 192.0.2.1:51820' ],
) {
    my ($what, $command) = @$case;

    is(sh($node, "$command 2>&1")->{status}, 0, $what);
    my $r = join_with($node, '--wireguard', $proxy->url(token => 'S' x 43));
    is($r->{status}, 0, 'are set right') or diag $r->{out};
    is(join_with($node, '--wireguard', '--status')->{out} =~ /(firewall .*)/
        && $1, 'firewall    yes', 'with the firewall');
    is(scraped($proxy, '10.87.0.2'), 200, 'and it is scraped');
    unlike(sh($node, "cat $wg/wg0.conf")->{out}, qr/PostUp/, 'as it should be');
}

sh($node, "sed -i 's/^#: allowed 10.*/#: allowed 0.0.0.0\\/0/' $wg/wg0.conf");
my $edited = join_with($node, '--wireguard', $proxy->url(token => 'S' x 43));
is($edited->{status}, 1, 'what it was told, changed to nonsense: 1');
like($edited->{out}, qr/has been changed: line \d, "allowed 0\.0\.0\.0\/0"/,
    'is named');
sh($node, "sed -i 's/^#: allowed 0.*/#: allowed 10.87.0.1\\/32/' $wg/wg0.conf");


# what isn't ours

{
    my $before = state_of($node);
    my $other = $proxy->url(host => 'localhost:4443', pin => 'P' x 43);
    my $r = join_with($node, '--wireguard', $other);
    is($r->{status}, 1, 'another proxy for the same interface: 1');
    like($r->{out}, qr/joined to another proxy, proxy:4443; give --interface/,
        'told');

    sh($node, "umask 077; echo '[Interface]' > $wg/wg7.conf");
    $r = join_with($node, '--interface', 'wg7', '--wireguard', $url);
    is($r->{status}, 1, 'a configuration of somebody else: 1');
    like($r->{out}, qr/is not from here, and is left alone; give --interface/,
        'told');
    is(join_with($node, '--interface', 'wg7', '--wireguard', '--uninstall')
        ->{status}, 1, 'nor is that uninstalled');
    is(sh($node, "cat $wg/wg7.conf; rm $wg/wg7.conf")->{out}, "[Interface]\n",
        'it is as it was');

    sh($node, 'ip link add wg8 type dummy 2> /dev/null || '
        . 'ip tuntap add wg8 mode tun');
    $r = join_with($node, '--interface', 'wg8', '--wireguard', $url);
    is($r->{status}, 1, 'an interface of somebody else: 1');
    like($r->{out}, qr/interface wg8 that is not from here/, 'told');
    is(state_of($node), $before, 'nothing has changed');
}


# a second proxy: the same stand-in, which another interface is told of

{
    $proxy->http('200 OK', "name site/web-2\n" . ($proxy->good
        =~ s/10\.87\.0\./10.88.0./gr =~ s/fd87:/fd88:/gr
        =~ s/^port 9100/port 9101\nport 9104/mr));

    my $r = join_with($node, '--wait', 0, '--interface', 'wg-2', '--wireguard',
        $proxy->url(name => 'site/web-2'));
    is($r->{status}, 0, 'a second interface') or diag $r->{out};
    like($r->{out}, qr/^wg-2 is up, unseen by the proxy$/m, 'with --wait 0');
    like($r->{out}, qr/"wg-2"\ goto\ from_wg-2\n.*"wg0"\ goto\ from_wg0\n
        .*local\ tcp\ dport\ \{\ 9100,\ 9101,\ 9104\ \}\ drop/sx,
        'the rules are those of both') or diag $r->{out};
    is(scraped($proxy, '10.87.0.2'), 200, 'the first goes on');

    $proxy->answer(undef);
    is(join_with($node, '--interface', 'wg-2', '--wireguard', '--uninstall',
        '--purge')->{status}, 0, 'the second leaves');
    is(sh($node, "ls $wg")->{out}, "monitoring-proxy.nft\nwg0.conf\n",
        'and its files with it');
    unlike(sh($node, 'nft list table inet monitoring_proxy')->{out},
        qr/wg-2|9104/, 'and its rules');
    is(scraped($proxy, '10.87.0.2'), 200, 'the first goes on');
    is(scraped($proxy, $node->ip($proxy->{network})), '000', 'and is closed');
}


# no handshake

{
    is(join_with($node, '--wireguard', '--uninstall', '--purge')->{status}, 0,
        'it leaves');

    $proxy->lines($proxy->good =~ s/:51820/:51999/r);
    my $r = join_with($node, '--wait', 2, '--wireguard', $url);
    is($r->{status}, 6, 'a UDP port that does not answer: 6') or diag $r->{out};
    like($r->{out}, qr/No handshake within 2 s: [\d.]+:51999\/udp doesn't answer/,
        'is named');
    like($r->{out}, qr/^wg0 stays up, and tries again/m, 'with what comes of it');
    is(join_with($node, '--wireguard', '--status')->{status}, 7,
        '--status says that it is not connected');

    $r = join_with($node, '--wait', 2, '--wireguard', $url);
    is($r->{status}, 6, 'again: 6');
    like($r->{out}, qr/removed this host.*clock was set back/s,
        'with what else it may be');

    $proxy->lines($proxy->good);
    $r = join_with($node, '--wireguard', $proxy->url(token => 'V' x 43));
    is($r->{status}, 0, 'another token mends it') or diag $r->{out};

    sh($node, 'ip route add blackhole ' . $proxy->ip($proxy->{network}));
    $r = sh($node, 'wg-quick down wg0 2> /dev/null; /t/join --wait 2 --wireguard '
        . $proxy->url(token => 'V' x 43));
    is($r->{status}, 6, 'no way to the proxy: 6') or diag $r->{out};
    like($r->{out}, qr/nothing could be sent to|doesn't answer/, 'told');
    $node->remove;
}


# exporters that the proxy can't reach are told

{
    $proxy->lines($proxy->good . "port 9104\nport 9104\nport 9105\n");

    my $node = node();
    export($node, '127.0.0.1:9104');

    my $r = join_with($node, '--wireguard', $url);
    is($r->{status}, 0, 'three exporters, of which one is right')
        or diag $r->{out};
    like($r->{out}, qr/^Nothing listens on port 9105 yet; 10\.87\.0\.2:9105/m,
        'one that is not there is told');
    like($r->{out}, qr/^Port 9104 listens on localhost alone/m,
        'and one that the proxy does not reach');
    unlike($r->{out}, qr/port 9100 (?:yet|listens)/i, 'and these alone');

    my $eth0 = $node->ip($proxy->{network});

    sh($node, 'nft "table ip docker { chain a { type nat hook prerouting '
        . 'priority -100; tcp dport 9105 redirect to :9100; }; }"');
    is(scraped($proxy, '10.87.0.2', 9105), 200,
        'a port that leads elsewhere, as those of Docker do, is reached');
    is(scraped($proxy, $eth0, 9105), '000', 'by no other way, either');
    $proxy->lines($proxy->good);
}


# OpenRC, whose stand-in does what Alpine's script does

{
    my $node = node(shell => 'busybox sh');

    write_file("$dir/rc-service", <<'END', 0755);
#!/bin/sh
echo "rc-service $*" >> /tmp/calls
[ "$1" != -q ] || shift
name=${1#*.}
[ "$(readlink "/etc/init.d/$1")" = wg-quick ] || exit 1
case $2 in
status) wg show "$name" ;;
stop) wg-quick down "$name" ;;
restart) wg-quick down "$name" 2> /dev/null; wg-quick up "$name" ;;
esac
END
    write_file("$dir/rc-update", <<'END', 0755);
#!/bin/sh
echo "rc-update $*" >> /tmp/calls
mkdir -p /etc/runlevels/default
case $2 in
add) touch "/etc/runlevels/default/$3" ;;
del) rm -f "/etc/runlevels/default/$3" ;;
esac
END
    sh($node, 'mkdir /run/openrc; ln -s /t/rc-service /t/rc-update /bb/');

    my $r = join_with($node, '--wireguard', $url);
    is($r->{status}, 0, 'OpenRC without a script for wg-quick')
        or diag $r->{out};
    like($r->{out}, qr/install wireguard-tools-openrc/, 'told what is missing');

    sh($node, 'touch /etc/init.d/wg-quick');
    $r = join_with($node, '--wireguard', $url);
    is($r->{status}, 0, 'and with it') or diag $r->{out};
    like(sh($node, 'cat /tmp/calls')->{out},
        qr/^rc-update -q add wg-quick\.wg0 default$/m, 'it is up at a boot');
    is(scraped($proxy, '10.87.0.2'), 200, 'it is scraped');

    my $before = state_of($node);
    like(join_with($node, '--wireguard', $url)->{out}, qr/^nothing to do/m,
        'once is enough');
    is(state_of($node), $before, 'twice changes nothing');

    is(join_with($node, '--wireguard', '--uninstall', '--purge')->{status}, 0,
        '--uninstall');
    is(sh($node, "ls $wg /etc/runlevels/default; ls /etc/init.d/wg-quick.*"
        . '; nft list tables | grep inet')->{out} =~ s/^ls: .*\n|^\S+:\n|^\n//mgr,
        '', 'leaves nothing');
}


# a systemd that has booted

{
    my $node = node(class => 'Systemd');
    sh($node, 'setsid prometheus-node-exporter > /dev/null 2>&1 &');

    my $r = join_with($node, '--dry-run', '--wireguard', $url);
    like($r->{out}, qr/would run: systemctl -q enable wg-quick\@wg0/,
        'systemd: a dry run says so');

    $r = join_with($node, '--wireguard', $url);
    is($r->{status}, 0, 'systemd: the host is joined') or diag $r->{out},
        sh($node, 'journalctl -n 30')->{out};
    is(sh($node, 'systemctl is-enabled wg-quick@wg0; '
        . 'systemctl is-active wg-quick@wg0')->{out}, "enabled\nactive\n",
        'by a unit, at each boot');
    is(scraped($proxy, '10.87.0.2'), 200, 'it is scraped');

    my $before = state_of($node);
    like(join_with($node, '--wireguard', $url)->{out}, qr/^nothing to do/m,
        'once is enough');
    $r = join_with($node, '--dry-run', '--wireguard',
        $proxy->url(token => 'W' x 43));
    like($r->{out}, qr/would make a key.*would write/s,
        'a dry run of another token');
    unlike($r->{out}, qr/would run/, 'starts nothing');
    is(state_of($node), $before, 'all that changes nothing');

    $r = join_with($node, '--wireguard', $proxy->url(token => 'W' x 43));
    is($r->{status}, 0, 'it gets another key') or diag $r->{out};
    is(scraped($proxy, '10.87.0.2'), 200, 'it is scraped');

    is(sh($node, 'systemctl restart wg-quick@wg0')->{status}, 0,
        'the unit restarts');
    ok(await(10, sub { scraped($proxy, '10.87.0.2') == 200 }),
        'and it is scraped');

    sh($node, 'systemctl stop wg-quick@wg0');
    is(scraped($proxy, $node->ip($proxy->{network})), '000',
        'the exporter stays closed while it is down');
    $r = join_with($node, '--wireguard', '--status');
    is($r->{status}, 7, '--status') or diag $r->{out};
    like($r->{out}, qr/^supervisor  systemd\nrunning     no$/m, 'says so');
    like(join_with($node, '--status')->{out}, qr/--wireguard --status/,
        'and is told of by that of tunnels');

    is(join_with($node, '--wireguard', '--uninstall', '--purge')->{status}, 0,
        '--uninstall');
    is(sh($node, "ls $wg; ls /etc/systemd/system/*/wg-quick*; "
        . 'nft list tables | grep inet; systemctl is-active wg-quick@wg0')->{out}
        =~ s/^ls: .*\n//mgr, "inactive\n", 'leaves nothing');
}

done_testing();
