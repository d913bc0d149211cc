#!/usr/bin/perl

# t/95-join-wireguard-proxy.t: hosts join a proxy by WireGuard with what
# "monitoring-proxy wg" prints, by ssh and by hand

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory network test_image write_file);
use Node;
use Proxy qw(key public_key);
use Systemd;

my $network = network();
my $proxy = Node::monitor(network => $network);
my $script = $proxy->exec('monitoring-proxy', 'join')->{out};
my $dir = directory();

write_file("$dir/join", $script, 0755);


sub node {
    my (%o) = @_;

    return Node->start(network => $network,
        options => [ '-v', "$dir:/t:ro" ], %o);
}


sub join_with {
    my ($node, @words) = @_;

    return $node->exec({ seconds => 90 }, '/t/join', '--wait', 10, @words);
}


sub invite { Node::wg($proxy, 'invite', @_) }


sub scraped { $proxy->scrape("/$_[0]/metrics")->{status} }


sub state_of {
    my ($name) = @_;

    my ($line) = grep { /^\Q$name\E\s/ } split /\n/,
        $proxy->exec('monitoring-proxy', 'wg', 'list')->{out};

    return $line // '';
}


# by ssh, to a host that systemd runs

{
    my $host = Systemd->boot(image => test_image(),
        options => [ '--network', $network, '--network-alias', 'web-1',
            @Node::rights ]);
    my $public = public_key();
    my $keys = directory();
    write_file("$keys/id", Container::read_file(key()), 0600);

    my $admin = Container->run(image => test_image(), options => [
        '--network', $network, '-v', "$keys:/keys:ro" ],
        command => [ 'sleep', 'infinity' ]);

    $host->exec('sh', '-ec', "rm -f /run/nologin; mkdir -p /run/sshd ~/.ssh; "
        . "chmod 700 ~/.ssh; echo '$public' > ~/.ssh/authorized_keys; "
        . 'ssh-keygen -A; /usr/sbin/sshd; '
        . 'setsid prometheus-node-exporter > /dev/null 2>&1 &');

    my $url = invite('web-1', 'env=prod');
    like($url, qr{^https://monitor:4443/web-1/[\w-]{43}\.[\w-]{43}$},
        'an invitation') or diag $proxy->{said}, $proxy->logs;
    like(state_of('web-1'), qr/invited/, 'is listed');

    my $r = $admin->exec({ input => $script, seconds => 120 }, 'ssh', '-i',
        '/keys/id', '-o', 'StrictHostKeyChecking=no', '-o', 'BatchMode=yes',
        '-o', 'LogLevel=ERROR', 'root@web-1', 'sh', '-s', '--', '--wireguard',
        "'$url'");
    is($r->{status}, 0, 'the script by ssh joins the host') or diag $r->{out};
    like($r->{out}, qr/^wg0 is up, and connected to monitor as web-1$/m,
        'which says so');
    is($host->exec('systemctl', 'is-enabled', 'wg-quick@wg0')->{out},
        "enabled\n", 'at each boot of its');

    ok(await(10, sub { scraped('web-1') == 200 }), 'it is scraped')
        or diag $proxy->logs;
    like(state_of('web-1'), qr/\bup\b/, 'it is listed as up');

    is(index($r->{out} . $proxy->logs, Node::parts($url)->{token}), -1,
        'the token is in no log');
}


# by hand

my $node = node();
my $url = invite('site-b/db-1', '--ports', 'node:9100,mysqld:9104');
my $r = join_with($node, '--wireguard', $url);

is($r->{status}, 0, 'a host with two exporters') or diag $r->{out};
like($r->{out}, qr/tcp dport \{ 9100, 9104 \} accept/, 'has both ports');
ok(await(10, sub { scraped('site-b/db-1/node') == 200 }), 'one is scraped');
like(join_with($node, '--wireguard', $url)->{out}, qr/^nothing to do/m,
    'the same again is nothing to do');


# tokens that are no good

{
    my $other = node();

    my $good = invite('web-2');
    my $short = invite('web-3', '--ttl', '1s');
    await(10, sub { state_of('web-3') !~ /invited/ });

    for my $case (
        [ 'a used token', $url ],
        [ 'an expired one', $short ],
        [ "another name's", $good =~ s/web-2/web-9/r ],
        [ 'a changed one', $good =~ s{/([\w-]{43})\.}{'/' . reverse($1) . '.'}er ],
    ) {
        my ($what, $bad) = @$case;

        $r = join_with($other, '--wireguard', $bad);
        is($r->{status}, 3, "$what: 3") or diag $r->{out};
        like($r->{out}, qr/^    proxy: this token is not valid/m,
            'with what the proxy says');
    }

    is($other->exec('ls', '/etc/wireguard')->{out}, '', 'nothing is left there');
    is(join_with($other, '--wireguard', $good)->{status}, 0,
        'a good one is good after all that');
}


# another key, while it is scraped

{
    my $old = $node->exec('wg', 'show', 'wg0', 'public-key')->{out};
    my $rotation = Node::wg($proxy, 'rotate', 'site-b/db-1');

    my $address = $proxy->address;
    my $scraper = node(options => [ '-v', "$dir:/t:ro" ]);
    $scraper->exec('sh', '-c', 'setsid sh -c "while [ ! -e /tmp/stop ]; do '
        . "curl -s -m 5 -o /dev/null -w '%{http_code}\\n' "
        . "http://$address/site-b/db-1/node/metrics; sleep 0.2; done"
        . '" > /tmp/scrapes 2>&1 &');

    my $count = sub {
        return $scraper->exec('grep', '-c', 200, '/tmp/scrapes')->{out} + 0;
    };

    ok(await(10, sub { $count->() > 3 }), 'it is scraped all the time');
    $r = join_with($node, '--wireguard', $rotation);
    is($r->{status}, 0, 'it takes another key') or diag $r->{out};
    isnt($node->exec('wg', 'show', 'wg0', 'public-key')->{out}, $old,
        'which is another');

    my $now = $count->();
    ok(await(20, sub { $count->() > $now + 5 }), 'the scrapes go on');
    my $lost = () = $scraper->exec('grep', '-v', 200, '/tmp/scrapes')->{out}
        =~ /\n/g;
    cmp_ok($lost, '<=', 1, 'and no more than one is lost');
    like(join_with($node, '--wireguard', $rotation)->{out}, qr/^nothing to do/m,
        'the same again is nothing to do');
}


# gone

{
    Node::wg($proxy, 'remove', 'site-b/db-1');
    is($proxy->{status}, 0, 'it is removed') or diag $proxy->{said};
    ok(await(30, sub { scraped('site-b/db-1/node') == 404 }), 'and no target');

    $r = $node->exec({ seconds => 60 }, 'sh', '-c', 'wg-quick down wg0; '
        . "/t/join --wait 3 --wireguard '$url'");
    is($r->{status}, 3, 'the first token does not bring it back')
        or diag $r->{out};

    is(join_with($node, '--wireguard', '--uninstall', '--purge')->{status}, 0,
        'it leaves');
    is(join_with($node, '--wireguard', invite('site-b/db-1'))->{status}, 0,
        'and may be invited again');
    ok(await(10, sub { scraped('site-b/db-1') == 200 }), 'it is scraped');
}

done_testing();
