#!/usr/bin/perl

# t/44-peers.t: what the board says of WireGuard nodes is in the metrics, on
# the status page and in the line of an error, for nodes alone, and nothing on
# it breaks a page

use warnings;
use strict;

use File::Temp;
use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Board;
use Key;
use Nginx;
use Peers;
use Poll;

my $openmetrics = 'application/openmetrics-text; version=1.0.0';
my $pages = 'location = /metrics { prom_proxy_metrics; } location = /few '
    . '{ prom_proxy_metrics per_target=off; } location = / '
    . '{ prom_proxy_status; }';
my $registry = join ' ', map { "prom_proxy_$_ %%DIR%%/$_ interval=20ms;" }
    qw(targets hosts nodes);

# nobody is there: networks for documentation

my %node = (up => '192.0.2.2', down => '192.0.2.3', never => '192.0.2.4',
    six => '2001:db8::1:5', 'site/db' => '192.0.2.6');

sub nodes {
    my (@names) = @_;

    return join '', map { "$_ " . wireguard_key($_) . " $node{$_}"
        . ($_ eq 'site/db' ? " ports=node:9100,db:9104\n" : "\n") } @names;
}

my $nginx = Nginx->new;
my $board = Peers->new($nginx->dir . '/board');

$nginx->write('hosts', "host - port=1024\n");
$nginx->write('nodes', nodes(sort keys %node));
$nginx->configure(targets => "192.0.2.2:9100 plain\n", server => $pages
    . ' proxy_connect_timeout 100ms; proxy_next_upstream_tries 1;',
    registry => "$registry prom_proxy_peers %%DIR%%/board;")->start;


sub samples {
    my ($path, $accept) = @_;

    my $r = $nginx->get($path // '/metrics',
        headers => [ defined $accept ? "Accept: $accept" : () ]);

    return { $r->{body} =~ /^monitoring_proxy_(\S+(?:"\})?) (\S+)$/mg };
}


sub peers {
    my $all = samples(@_);

    return join "\n", sort map { /^peer_/ ? "$_ $all->{$_}" : () } keys %$all;
}


sub handshake {
    my ($name) = @_;

    return samples()->{"peer_last_handshake_timestamp_seconds{target=\"$name\"}"}
        // 'none';
}


sub bytes {
    my ($name) = @_;

    my $s = samples();

    return join ' ', map { $s->{"peer_${_}_bytes_total{target=\"$name\"}"}
        // 'none' } qw(receive transmit);
}


sub shown { return $_[0] =~ s/<[^>]*>//gr =~ s/&quot;/"/gr =~ s/&lt;/</gr
    =~ s/&gt;/>/gr =~ s/&amp;/&/gr }

sub row {
    my ($name) = @_;

    my ($row) = $nginx->get('/')->{body}
        =~ m{<tr class="\w+" data-name="\Q$name\E">(.*?)</tr>}s;

    return $row // '';
}


sub cell {
    my ($name) = @_;

    my ($cell) = row($name) =~ m{<td class="tunnel">(.*?)</td>}s;

    return shown($cell // 'none');
}


sub fact {
    my ($name, $fact) = @_;

    my ($value) = row($name) =~ m{<dt>$fact</dt><dd[^>]*>(.*?)</dd>}s;

    return shown($value // 'none');
}


sub top {
    my ($what) = @_;

    my ($value) = $nginx->get('/')->{body}
        =~ m{<div><dt>$what</dt><dd>(.*?)</dd></div>}s;

    return shown($value // 'none');
}


sub names {
    my ($arguments) = @_;

    return join ' ', $nginx->get("/$arguments")->{body}
        =~ /data-name="([^"]*)"/g;
}


sub complaints {
    my ($what) = @_;

    SKIP: {
        skip 'promtool: MP_PROMTOOL is not set', 1 unless $ENV{MP_PROMTOOL};

        my $file = File::Temp->new;
        print $file $nginx->get('/metrics')->{body};
        $file->flush;

        my $said = `$ENV{MP_PROMTOOL} check metrics < $file 2>&1`;
        is("$?: $said", '0: ', "promtool check metrics: $what");
    }
}


# an empty board

my @targets = sort grep({ $_ ne 'site/db' } keys %node), 'site/db/node',
    'site/db/db';

is(peers(), join("\n", sort map {
    ("peer_receive_bytes_total{target=\"$_\"} 0",
        "peer_transmit_bytes_total{target=\"$_\"} 0") } @targets),
    'nodes that never came: no handshake, and no bytes');
is(cell('never'), 'wireguard, never connected', 'the page says so');
is(fact('never', 'WireGuard'), 'never connected', 'as what a row opens to');
is(cell('plain') . cell('host'), '', 'others have nothing there');
is(fact('plain', 'WireGuard'), 'none', 'nor there');
is(top('WireGuard nodes'), 'none', 'nothing is known of the file');
is((grep { /^nodes/ } keys %{samples()}), 0, 'in metrics neither');
complaints('an empty board');


# what there is to tell

$board->peer($node{up}, key => wireguard_key('up'), handshake => 30,
    rx => 12_345_678_901, tx => 4_200, endpoint => '203.0.113.9:51820');
$board->peer($node{down}, key => wireguard_key('down'), handshake => 7200,
    rx => 1, tx => 2, endpoint => '[2001:db8::7]:4711');
$board->peer($node{never}, key => wireguard_key('never'), tx => 148);
$board->peer($node{six}, key => wireguard_key('six'), handshake => 60);
$board->peer($node{'site/db'}, key => wireguard_key('site/db'),
    handshake => 190, rx => 7, tx => 8);

my $time = time;

cmp_ok(abs(handshake('up') - $time + 30), '<', 60, 'when a handshake was');
cmp_ok(abs(handshake('down') - $time + 7200), '<', 60, 'an old one');
is(handshake('never'), 'none', 'no sample where there was none');
cmp_ok(abs(handshake('six') - $time + 60), '<', 60,
    'a node that has IPv6 alone');
is(bytes('up'), '12345678901 4200', 'bytes that came and went');
is(bytes('never'), '0 148', 'of a node that is called in vain');
is(bytes('site/db/node') . ', ' . bytes('site/db/db'), '7 8, 7 8',
    'targets of one node have the same');
is((grep { /^peer_.*"(?:plain|host)"/ } keys %{samples()}), 0,
    'a target with a node\'s address, and a host, have none of it');
complaints('a board in use');

my $om = $nginx->get('/metrics', headers => [ "Accept: $openmetrics" ]);

like($om->{body}, qr/^# TYPE monitoring_proxy_peer_receive_bytes counter$/m,
    'OpenMetrics: a counter');
is(peers('/metrics', $openmetrics), peers(), 'OpenMetrics: the same');
is(peers('/few'), '', 'per_target=off: nothing of each node');


# the page

like(cell('up'), qr/^wireguard, handshake \d+ s ago 203\.0\.113\.9:51820$/,
    'the page: the last handshake and the endpoint');
like(row('up'), qr{<span class="on">handshake</span>}, 'in green');
is(cell('down'), 'wireguard, handshake 2 h ago [2001:db8::7]:4711',
    'an old handshake');
unlike(row('down'), qr{class="on"}, 'not in green');
unlike(row('site/db/db'), qr{class="on"}, 'once it is three minutes old');
like(fact('up', 'WireGuard'),
    qr/^connected, last handshake \d+ s ago with 203\.0\.113\.9:51820$/,
    'a row opens to it');
is(fact('up', 'Traffic'), '12.3 GB received, 4.2 kB sent', 'and its bytes');
is(fact('down', 'WireGuard'),
    'not connected, last handshake 2 h ago with [2001:db8::7]:4711',
    'of a node that left, too');
is(names('?q=203.0.113.9'), 'up', 'a search by endpoint');
is(names('?sort=tunnel'), 'site/db/db site/db/node down never up six host plain',
    'sorted: who left, who never came, the latest handshakes');


# errors; which one it is depends on the network that we are in

sub why {
    my ($name, $address) = @_;

    my $line = $nginx->get("/$name/metrics")->{body};

    return $line =~ s/\n\z//r
        =~ s/^$name: connect to \Q$address\E:9100: //r
        =~ s/^(?:timed out|connection refused|\w+ unreachable)\b/failed/r
        =~ s/^(?:\w+ is unreachable|no route to host)\b/failed/r;
}

my $z = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/;

like(why('down', $node{down}),
    qr/^failed, the last handshake with its node was $z\z/,
    'the line of an error says when');
is(why('never', $node{never}),
    'failed, there was no handshake with its node yet',
    'or that there was none');
is(why('up', $node{up}), 'failed', 'nothing of a handshake that is fresh');
is(why('plain', $node{up}), 'failed', 'nor of a target that is no node\'s');

my ($error) = row('never') =~ m{<td class="error">(.*?)</td>}s;
like(shown($error), qr/, there was no handshake with its node yet\z/,
    'the page says the same');


# the nodes file

$board->head(reason => 'nodes:1:1:');
is(samples()->{'nodes_last_reload_error_info{reason="nodes:1:1:"}'}, 1,
    'a file that was refused before any was loaded');
is(samples()->{nodes_last_reload_success_timestamp_seconds}, undef,
    'which was never');

$board->head(nodes => 5, loaded => 1_700_000_000.25, reason => undef);
is(top('WireGuard nodes'), '5', 'how many nodes there are');

my $s = samples();
is($s->{nodes}, 5, 'in metrics, too');
is($s->{nodes_last_reload_successful}, 1, 'they were taken');
is($s->{nodes_last_reload_success_timestamp_seconds}, '1700000000.25',
    'and when');
is($s->{nodes_reload_failures_total}, 0, 'none was refused');

$board->head(failures => 2,
    reason => '/etc/monitoring/wireguard/nodes:3:5: <b>"key"</b> is too short');
$s = samples();
is($s->{nodes_last_reload_successful}, 0, 'a refused nodes file');
is($s->{nodes_reload_failures_total}, 2, 'is counted');
like($nginx->get('/metrics')->{body},
    qr{^monitoring_proxy_nodes_last_reload_error_info\{reason="
    \Q/etc/monitoring/wireguard/nodes:3:5: <b>\"key\"</b> is too short\E"\}
    \ 1$}mx, 'the reason is a metric');
like($nginx->get('/')->{body}, qr{role="alert">.*nodes\ file\ was\ refused.*
    nodes:3:5:\ &lt;b&gt;&quot;key&quot;}sx, 'and on the page, as text');
complaints('a refused file');


# a node with the number of a former one

$board->peer($node{up}, key => wireguard_key('former'), handshake => 10,
    rx => 9, tx => 9, endpoint => '203.0.113.66:1');
is(handshake('up'), 'none', 'a record with another key has no handshake');
is(bytes('up'), '0 0', 'nor bytes');
is(cell('up'), 'wireguard, never connected', 'nor is it on the page');

$nginx->write('nodes', nodes(sort keys %node)
    =~ s/\Q@{[ wireguard_key('up') ]}\E/@{[ wireguard_key('former') ]}/r);
ok(await(sub { bytes('up') eq '9 9' }), 'until the node has that key');

$nginx->write('nodes', nodes(grep { $_ ne 'up' } sort keys %node));
ok(await(sub { bytes('up') eq 'none none' }), 'a node that goes is gone');

# the counters are the board's, so that a reload of nginx changes nothing

$board->peer($node{down}, key => wireguard_key('down'), rx => 41, tx => 42);
$nginx->reload;
is(bytes('down'), '41 42', 'a reload keeps what the board has');


# a board that nobody should have written

$board->peer($node{six}, key => wireguard_key('six'), torn => 1);
is(cell('six'), 'wireguard, unknown',
    'a record that is being written is unknown');
unlike(peers(), qr/target="six"/, 'and has no sample');
$board->head(nodes => 6, torn => 1);
ok(!exists samples()->{nodes}, 'nor has the nodes file');

$board->poke(0, "\xff" x 4096);
$board->poke(8, pack 'L', 2);
$board->poke(4096 + 128 * Peers::number($node{$_}), "\xfe\xff\xff\xff"
    . "\xff" x 124) for qw(down never);
$board->poke(4096 + 128 * Peers::number($node{never}) + 32,
    pack 'a32', MIME::Base64::decode_base64(wireguard_key('never')));

my $page = $nginx->get('/');
is($page->{status}, 200, 'a page of nonsense');
like($page->{body}, qr{</html>\n\z}, 'is whole');
is(cell('down'), 'wireguard, never connected', 'a key of nobody');
is(cell('never'), 'wireguard, handshake 0 s ago ' . '?' x 64,
    'an endpoint has its end');
is(handshake('never'), '253402300799', 'and time, too');
is(bytes('never'), '18446744073709551615 18446744073709551615', 'bytes');
complaints('nonsense');

$board->poke(0, pack 'LL', Peers::MAGIC, Board::RECORD);
$board->head(nodes => 1, loaded => 1, reason => "a\0b");
$board->peer($node{six}, key => wireguard_key('six'), handshake => -1000,
    endpoint => "<b>\"\n\\\x01\xff");
is(cell('six'), 'wireguard, handshake 0 s ago <b>"?\\??',
    'an endpoint is text, and nothing is younger than now');
is(samples()->{'nodes_last_reload_error_info{reason="a"}'}, 1,
    'a text ends at its first zero');
complaints('texts');

$nginx->finish;


# a client that polls has all targets made anew, of what the registry has

my $port = free_port();

$nginx = Nginx->new;
$board = Peers->new($nginx->dir . '/board');
$board->peer($node{down}, key => wireguard_key('down'), rx => 5, tx => 6);
$nginx->write('nodes', nodes('down'));
$nginx->write('hosts', '');
$nginx->configure(targets => '', server => $pages, registry => "$registry "
    . 'prom_proxy_poll interval=20ms; prom_proxy_peers %%DIR%%/board;',
    http => poll_http(port => $port))->start;

my $client = poll($port, 'polls');
ok(await(sub { names('') eq 'down polls' }), 'a client beside a node');
is(bytes('down'), '5 6', 'which stays one');
like(cell('polls'), qr/^poll, connected/, 'as does the client');

close $client;
$nginx->finish;


# without a board

$nginx = Nginx->new;
$nginx->write('nodes', nodes('down'));
$nginx->write('hosts', '');
$nginx->configure(targets => '', registry => $registry, server => $pages)
    ->start;

unlike($nginx->get('/metrics')->{body},
    qr/^(?:# \w+ )?monitoring_proxy_(?:peer|nodes)/m,
    'without prom_proxy_peers there are no such metrics');
unlike($nginx->get('/?sort=tunnel')->{body}, qr/class="tunnel"/,
    'nor is there a column');
like($nginx->get('/')->{body}, qr/line 1 of the nodes file/,
    'but a node is one');

$nginx->finish;

$nginx = Nginx->new;
$board = Board->new($nginx->dir . '/board');
$nginx->write('nodes', nodes('down'));
$nginx->write('hosts', "host - port=1024\n");
$nginx->configure(targets => '', server => $pages,
    registry => "$registry prom_proxy_tunnels %%DIR%%/board;")->start;
is(cell('down') . ', ' . cell('host'), 'wireguard, never connected',
    'with a board of tunnels alone, the page says how a node is reached');
$nginx->finish;


# mistakes

sub refused {
    my ($pattern, $what, $directive, $make) = @_;

    my $nginx = Nginx->new;
    $make->($nginx->dir . '/board') if $make;
    $nginx->configure(targets => '', http => $directive
        // 'prom_proxy_peers %%DIR%%/board;');
    my ($status, $said) = $nginx->check;
    $nginx->stop;

    ok($status != 0 && $said =~ $pattern, "refused: $what") or diag $said;
}

refused(qr{open\(\) "\S+/board" failed in "prom_proxy_peers" directive \(2:},
    'no file');
refused(qr{"\S+/board" in "prom_proxy_peers" .* of peers, .* 8392704 bytes},
    'one of another size', undef,
    sub { truncate Peers->new($_[0])->{fh}, 4096 });
refused(qr{no board of peers, which is a file}, 'a directory', undef,
    sub { mkdir $_[0] });
refused(qr{it is no board of peers, or another version's}, 'a board of tunnels',
    undef, sub { Board->new($_[0]) });
refused(qr{it is no board of peers, or another version's}, 'no magic', undef,
    sub { Peers->new($_[0])->poke(0, "\0" x 4) });
refused(qr{it is no board of peers, or another version's},
    'records of another size', undef,
    sub { Peers->new($_[0])->poke(4, pack 'L', 136) });
refused(qr{"prom_proxy_peers" directive is duplicate}, 'two of them',
    'prom_proxy_peers board; prom_proxy_peers board;',
    sub { Peers->new($_[0]) });
refused(qr{invalid number of arguments in "prom_proxy_peers"}, 'no value',
    'prom_proxy_peers;');

done_testing();
