#!/usr/bin/perl

# t/44-tunnels.t: what the board says of tunnels is in the metrics, on the
# status page and in the line of an error, and nothing on it breaks a page

use warnings;
use strict;

use Digest::SHA qw(sha256);
use Fcntl qw(LOCK_EX);
use File::Temp;
use FindBin;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Backend;
use Board;
use Nginx;

my $openmetrics = 'application/openmetrics-text; version=1.0.0';
my $pages = 'location = /metrics { prom_proxy_metrics; } location = /few '
    . '{ prom_proxy_metrics per_target=off; } location = / '
    . '{ prom_proxy_status; }';
my $registry = 'prom_proxy_targets %%DIR%%/targets interval=20ms; '
    . 'prom_proxy_hosts %%DIR%%/hosts interval=20ms; ';

my $backend = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n";
    $s->flush;
    return 1;
});
my $open = $backend->port;
my ($closed, $never, $shut) = map { free_port() } 1 .. 3;

my $nginx = Nginx->new;
my $board = Board->new($nginx->dir . '/board');

$nginx->write('hosts', <<"END");
open - port=$open
closed - port=$closed env=prod
never - port=$never
shut - port=$shut
END
$nginx->configure(targets => "127.0.0.1:$open plain\nlocalhost:9 no-host\n",
    registry => "$registry prom_proxy_tunnels %%DIR%%/board;",
    server => $pages)->start;


sub samples {
    my ($path, $accept) = @_;

    my $r = $nginx->get($path // '/metrics',
        headers => [ defined $accept ? "Accept: $accept" : () ]);

    return { $r->{body} =~ /^monitoring_proxy_(\S+(?:"\})?) (\S+)$/mg };
}


sub tunnels {
    my $all = samples(@_);

    return join "\n", sort map { /^tunnel_/ ? "$_ $all->{$_}" : () }
        keys %$all;
}


# A cell of a target's row, or what it opens to, as it is read.

sub row {
    my ($name, $arguments) = @_;

    my ($row) = $nginx->get('/' . ($arguments // ''))->{body}
        =~ m{<tr class="\w+" data-name="\Q$name\E">(.*?)</tr>}s;

    return $row // '';
}


sub shown { return $_[0] =~ s/<[^>]*>//gr =~ s/&quot;/"/gr =~ s/&lt;/</gr
    =~ s/&gt;/>/gr =~ s/&#39;/'/gr =~ s/&amp;/&/gr }

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

is(tunnels(), join("\n", map({ "tunnel_connected{target=\"$_\"} 0" }
    qw(closed never open shut)), map { "tunnel_logins_total{target=\"$_\"} 0" }
    qw(closed never open shut)), 'hosts that never connected');
is(cell('never'), 'never connected', 'the page says so');
is(fact('never', 'Tunnel'), 'never connected', 'as does what a row opens to');
is(fact('never', 'Logins'), 'none', 'with nothing of logins');
is(cell('plain'), '', 'a target that is of no host has no tunnel');
is(top('Tunnels'), '0 of 0 hosts connected', 'no tunnels');
is(top('Logins'), '0, 0 refused', 'no logins');
complaints('an empty board');


# what there is to tell

my $key = sha256('a key');
my $fingerprint = 'SHA256:' . encode_base64($key, '') =~ s/=+$//r;
my $login = time - 300;

$board->tunnel($open, since => 300, logins => 3, digest => $key,
    address => '203.0.113.9');
$board->tunnel($closed, since => 7300, ended => 200, logins => 2,
    address => '2001:db8::7', certificate => 1);
$board->tunnel($shut, since => 30, address => '203.0.113.10');
$board->head(hosts => 4, sessions => 5, shared => 3, logins => 1006,
    loaded => 1_700_000_000.25, refused => { key => 1200, closed => 1 });

my $s = samples();

is($s->{'tunnel_connected{target="open"}'}, 1, 'a host that is connected');
is($s->{'tunnel_connected{target="closed"}'}, 0, 'one that was');
cmp_ok(abs($s->{'tunnel_login_timestamp_seconds{target="open"}'} - $login),
    '<', 20, 'when it logged in');
cmp_ok(abs($s->{'tunnel_login_timestamp_seconds{target="closed"}'} - $login
    + 7000), '<', 20, 'and the other had');
ok(!exists $s->{'tunnel_login_timestamp_seconds{target="never"}'},
    'none where there never was one');
is($s->{'tunnel_logins_total{target="open"}'}, 3, 'how often it did');
is($s->{'tunnel_info{target="open",address="203.0.113.9",fingerprint="'
    . "$fingerprint\"}"}, 1, 'its address and its key, as ssh-keygen -l says');
is((grep { /^tunnel_info/ } keys %$s), 2, 'of connected hosts alone');
is((grep { /^tunnel_.*"(?:plain|no-host)"/ } keys %$s), 0,
    'targets of the targets file have none of it');
is($s->{'sessions{key="host"}'}, 2, 'sessions of hosts');
is($s->{'sessions{key="shared"}'}, 3, 'and of the shared key');
is($s->{logins_total}, 1006, 'logins');
is($s->{'logins_refused_total{reason="key"}'}, 1200, 'refused ones');
is(join(' ', sort map { /^logins_refused_total\{reason="(\w+)"/ } keys %$s),
    join(' ', sort @Board::reasons), 'each reason is there');
is($s->{hosts}, 4, 'hosts');
is($s->{hosts_last_reload_successful}, 1, 'which were taken');
is($s->{hosts_last_reload_success_timestamp_seconds}, '1700000000.25',
    'and when');
is($s->{hosts_reload_failures_total}, 0, 'none was refused');
complaints('a board in use');

my $om = $nginx->get('/metrics', headers => [ "Accept: $openmetrics" ]);

like($om->{body}, qr/^# TYPE monitoring_proxy_tunnel info$/m,
    'OpenMetrics: the type info');
like($om->{body}, qr/^# TYPE monitoring_proxy_tunnel_logins counter$/m,
    'OpenMetrics: a counter');
is(tunnels('/metrics', $openmetrics), tunnels(), 'OpenMetrics: the same');
is(tunnels('/few'), '', 'per_target=off: nothing of each host');
is(samples('/few')->{hosts}, 4, 'per_target=off: the others');


# the page

like(cell('open'), qr/^connected 5 min ago 203\.0\.113\.9$/, 'connected');
like(cell('closed'), qr/^not connected, left 3 min ago$/, 'not connected');
like(fact('open', 'Tunnel'), qr/^connected 5 min ago from 203\.0\.113\.9$/,
    'a row opens to its tunnel');
is(fact('open', 'Key'), $fingerprint, 'its key');
is(fact('open', 'Logins'), '3, 2 reconnects', 'and its reconnects');
like(fact('closed', 'Tunnel'),
    qr/^not connected, left 3 min ago, had logged in 2 h ago from 2001:db8::7$/,
    'what is known of a host that left');
like(fact('closed', 'Key'), qr/^SHA256:\S{43} by certificate$/,
    'which had a certificate');
is(fact('closed', 'Logins'), '2, 1 reconnect', 'and came once more');
is(top('Tunnels'), '2 of 4 hosts connected, 3 by the shared key', 'the head');
is(top('Logins'), '1,006, 1,201 refused: key 1,200, closed 1',
    'with logins and why they were refused');

is(names('?q=203.0.113.9'), 'open', 'a search by address');
is(names('?q=' . substr lc $fingerprint, 9, 20), 'open', 'and by key');
is(names('?q=203.0.113'), 'open shut', 'finds all of a network');
is(names('?sort=tunnel'), 'closed never shut open no-host plain',
    'sorted by tunnel: who left, who never came, the latest logins');
is(names('?sort=tunnel&order=desc'), 'open shut never closed no-host plain',
    'and the other way round, without those that have none');
like($nginx->get('/?sort=tunnel')->{body},
    qr{class="tunnel" aria-sort="ascending"><a href="\?sort=tunnel&amp;order=},
    'the column says so');


# errors

my %said = map { $_ => $nginx->get("/$_/metrics")->{body} }
    qw(open closed never shut no-host);
my $refused = 'no tunnel: connect to localhost:%s: connection refused';

is($said{open}, "x 1\n", 'a tunnel that works');
like($said{closed}, qr/^\Q@{[ 'closed: ' . sprintf $refused, $closed ]}\E,
    \ its\ host\ is\ not\ connected\ since
    \ \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n\z/x, 'a host that left');
is($said{never}, 'never: ' . sprintf("$refused, its host was never connected\n",
    $never), 'a host that never came');
is($said{shut}, 'shut: ' . sprintf("$refused, its host is connected but "
    . "doesn't forward this port\n", $shut), 'a host without its port');
is($said{'no-host'}, 'no-host: ' . sprintf("$refused\n", 9),
    'a target of no host, as ever');

for my $name (qw(closed never shut no-host)) {
    my ($error) = row($name) =~ m{<td class="error">(.*?)</td>}s;
    is("$name: " . shown($error) . "\n", $said{$name},
        "$name: the page says the same");
}

$board->tunnel($closed, since => -1, logins => 3);
my ($error) = row('closed') =~ m{<td class="error">(.*?)</td>}s;
is('closed: ' . shown($error), 'closed: ' . sprintf($refused, $closed),
    'a host that came since then is not why');


# several exporters of a host

$nginx->write('hosts', <<"END");
db - port=$shut ports=node:9100,mysqld:9104
open - port=$open
END

ok(await(sub { names('') =~ m{db/mysqld} }), 'a host of two exporters');
$s = samples();
is(join(' ', map { $s->{"tunnel_connected{target=\"$_\"}"} // '-' }
    qw(db/node db/mysqld)), '1 1', 'its targets have one tunnel');


# a refused hosts file

my $why = '/etc/monitoring/hosts:3:5: <b>"key"</b> is too short';

$board->head(hosts => 4, failures => 1, reason => $why);
$s = samples();

is($s->{hosts_last_reload_successful}, 0, 'a refused hosts file');
is($s->{hosts_reload_failures_total}, 1, 'is counted');
like($nginx->get('/metrics')->{body},
    qr{^monitoring_proxy_hosts_last_reload_error_info\{reason="
    \Q/etc/monitoring/hosts:3:5: <b>\"key\"</b> is too short\E"\}\ 1$}mx,
    'the reason is a metric');
like($nginx->get('/')->{body},
    qr{role="alert">.*hosts file.*hosts:3:5: &lt;b&gt;&quot;key&quot;}s,
    'and on the page, as text');
complaints('a refused file');


# a board that nobody should have written

$board->tunnel($open, torn => 1);
is(cell('open'), 'unknown', 'a record that is being written is unknown');
unlike(tunnels(), qr/target="open"/, 'and has no sample');

$board->head(hosts => 5, torn => 1, logins => 7);
$s = samples();
ok(!exists $s->{hosts}, 'nor has the hosts file');
is($s->{logins_total}, 7, 'others have');
is(top('Tunnels'), '2 hosts connected, 3 by the shared key', 'on the page too');

$board->poke(0, "\xff" x 4096);
$board->poke(4096 + 128 * $_, "\xfe\xff\xff\xff" . "\xff" x 124)
    for $open, $shut, 65535;

my $page = $nginx->get('/');
is($page->{status}, 200, 'a page of nonsense');
like($page->{body}, qr{</html>\n\z}, 'is whole');
like(cell('open'), qr/^connected 0 s ago \?{48}$/, 'and an address has its end');
like($nginx->get('/metrics')->{body}, qr/^monitoring_proxy_tunnel_info\{target=
    "open",address="\?{48}",/mx, 'in metrics as well');
complaints('nonsense');

# bytes of a text that would act

$board->poke(0, pack 'LL', Board::MAGIC, Board::RECORD);
$board->tunnel($open, address => "<b>\"\n\\\x01\xff");
$board->head(sessions => 1, shared => 9, logins => 1, reason => "a\0b");

is(cell('open') =~ s/\d+ s/some s/r, 'connected some s ago <b>"?\\??',
    'an address is text');
ok(index($nginx->get('/metrics')->{body}, 'address="<b>\\"?\\\\??",') > 0,
    'in metrics, escaped');
is(samples()->{'sessions{key="host"}'}, 0, 'never fewer than none');
is(samples()->{'hosts_last_reload_error_info{reason="a"}'}, 1,
    'a text ends at its first zero');
complaints('texts');


# mappings by reload: one, of the file that is there now

sub mappings {
    return map { scalar(() = Nginx::slurp("/proc/$_/maps") =~ m{/board}g) }
        $nginx->{pid}, $nginx->workers;
}

my @before = mappings();

rename $board->file, $board->file . '.old';
$board = Board->new($nginx->dir . '/board');
is(samples()->{logins_total}, 1, 'a new file is not seen');
$nginx->reload for 1 .. 3;
is(samples()->{logins_total}, 0, 'before nginx is reloaded');

SKIP: {
    skip 'mappings: there are more under a sanitizer or valgrind', 1
        if $ENV{MP_SLOW};

    is(join(' ', mappings()), "@before", 'each process has it mapped once');
}

$nginx->finish;


# a full tmpfs: to read where nothing was written takes memory, too

SKIP: {
    my ($size) = `df -k -t tmpfs /dev/shm 2>/dev/null` =~ /^\w+\s+(\d+)/m;

    skip '/dev/shm is no small tmpfs', 5 if !$size || $size > 300_000;

    open my $lock, '>', '/dev/shm/mp-board.lock' or die "lock: $!\n";
    flock $lock, LOCK_EX or die "lock: $!\n";

    my $shm = File::Temp->newdir(DIR => '/dev/shm');

    $nginx = Nginx->new;
    $board = Board->new("$shm/board");
    $board->tunnel($open);
    $nginx->write('hosts', "open - port=$open\nnever - port=$never\n"
        . "far - port=1024\n");
    $nginx->configure(targets => '', server => $pages,
        registry => "$registry prom_proxy_tunnels $shm/board;")->start;

    open my $fill, '>', "$shm/fill" or die "fill: $!\n";
    1 while syswrite $fill, "\0" x 65536;
    1 while syswrite $fill, "\0";

    is(cell('far'), 'unknown', 'what can not be read is unknown');
    like(cell('open'), qr/^connected/, 'all else is told');

    unlink "$shm/fill";
    close $fill;
    is(cell('far'), 'never connected', 'until there is room again');

    $nginx->finish;
}


# without a board

$nginx = Nginx->new;
$nginx->write('hosts', "never - port=$never\n");
$nginx->configure(targets => '', registry => $registry, server => $pages)
    ->start;

unlike($nginx->get('/metrics')->{body},
    qr/^(?:# \w+ )?monitoring_proxy_(?:tunnel|hosts|logins|sessions)/m,
    'without prom_proxy_tunnels there are no such metrics');
unlike($nginx->get('/?sort=tunnel')->{body}, qr/class="tunnel"|<dt>Tunnel/,
    'nor is there a column');
is($nginx->get('/never/')->{body}, 'never: ' . sprintf("$refused\n", $never),
    'nor does an error know more');

$nginx->finish;


# mistakes

sub refused {
    my ($pattern, $what, $directive, $make) = @_;

    my $nginx = Nginx->new;
    $make->($nginx->dir . '/board') if $make;
    $nginx->configure(targets => '', http => $directive
        // 'prom_proxy_tunnels %%DIR%%/board;');
    my ($status, $said) = $nginx->check;
    $nginx->stop;

    ok($status != 0 && $said =~ $pattern, "refused: $what") or diag $said;
}

refused(qr{open\(\) "\S+/board" failed in "prom_proxy_tunnels" directive \(2:},
    'no file');
refused(qr{value "\S+/board" in "prom_proxy_tunnels" .* a file of 8392704 bytes},
    'one of another size', undef,
    sub { truncate Board->new($_[0])->{fh}, 4096 });
refused(qr{no board of tunnels, which is a file}, 'a directory', undef,
    sub { mkdir $_[0] });
refused(qr{no board of tunnels, which is a file}, 'a pipe', undef,
    sub { system 'mkfifo', $_[0] });
refused(qr{it is no board of tunnels, or another version's in }, 'no magic',
    undef, sub { Board->new($_[0])->poke(0, "\0" x 4) });
refused(qr{it is no board of tunnels, or another version's in },
    'records of another size', undef,
    sub { Board->new($_[0])->poke(4, pack 'L', 136) });
refused(qr{"prom_proxy_tunnels" directive is duplicate}, 'two of them',
    'prom_proxy_tunnels board; prom_proxy_tunnels board;',
    sub { Board->new($_[0]) });
refused(qr{invalid number of arguments in "prom_proxy_tunnels"}, 'no value',
    'prom_proxy_tunnels;');

done_testing();
