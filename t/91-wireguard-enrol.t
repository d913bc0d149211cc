#!/usr/bin/perl

# t/91-wireguard-enrol.t: who may enrol a key, once, and what is told to the
# others; by the socket that nginx passes requests on to

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use FindBin;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use WireGuard qw(await key slurp spew);

my $refused = 'this token is not valid: used, expired, or for another name; '
    . "at the proxy: monitoring-proxy wg invite NAME\n";
my $files = "the proxy can't enrol now; its log says why\n";

my $wg = WireGuard->new;
my $dir = $wg->dir;

$wg->put('wg0.conf', <<'END');
[Interface]
PrivateKey = XasIfmJKikt54X+Lg4AO5m87sSkmGLb9HC+LJ/+I4Os=
Address = 10.87.0.1/16, fd5c:1a2b:3c4d::1/64
MTU = 1380

[Peer]
PublicKey = hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
AllowedIPs = 10.99.0.0/24
END

my $monitor = '3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=';
my $own = 'hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=';

spew("$dir/../targets", "localhost:1 taken\n");

$wg->serve('--targets', "$dir/../targets");


# one that waits until it is in effect

my $token = $wg->token('web-1', '--ports', 'node:9100,mysqld:9104',
    'team=data base');
my $s = $wg->connect;
print $s WireGuard::request('web-1', $token, key('a'));

ok(await(sub { $wg->file('nodes') ne '' }), 'the node is written');
is($wg->file('nodes'), 'web-1 ' . key('a') . ' 10.87.0.2,fd5c:1a2b:3c4d::2 '
    . qq(ports=node:9100,mysqld:9104 team="data base"\n),
    '... with what it was invited with');

my $ready = '';
vec($ready, fileno($s), 1) = 1;
is(scalar(select(my $r = $ready, undef, undef, 0.2)), 0,
    '... and not told before it is in effect');

$wg->sync;

my $answer = <<"END";
name web-1
address 10.87.0.2/32
address fd5c:1a2b:3c4d::2/128
peer $monitor
endpoint proxy.example.com:51820
allowed 10.87.0.1/32
allowed fd5c:1a2b:3c4d::1/128
port 9100
port 9104
keepalive 25
mtu 1380
END

is_deeply([ WireGuard::answer($s) ], [ 200, $answer ],
    'what it is told then is all that its interface needs');
like($wg->file('invitations'), qr/^[0-9a-f]{64} web-1 \d+ used=\Q@{[key('a')]}\E$/m,
    'the token is burnt for its key');
ok($wg->logged(qr/msg=enrolled name=web-1 key="\Q@{[key('a')]}\E" from=192\.0\.2\.1/),
    'the log has who came from where');

is_deeply([ $wg->enrol('web-1', $token, key('a')) ], [ 200, $answer ],
    'whose answer was lost asks again');

$wg->syncing;


# tokens that are none

sub refuses {
    my ($promise, $why, @args) = @_;

    my $before = $wg->file('nodes');

    is_deeply([ $wg->enrol(@args) ], [ 403, $refused ], $promise);
    ok($wg->logged(qr/not enrolled" name=\S+ reason="?\Q$why\E"? from=/),
        '... and the log has why');
    is($wg->file('nodes'), $before, '... and no node changes');
}

refuses('used twice: with another key', 'used token', 'web-1', $token,
    key('b'));

my $open = $wg->token('db-1');

refuses('for another name', 'token for another name', 'db-2', $open,
    key('c'));
refuses('unknown', 'unknown token', 'db-1', 'A' x 43, key('c'));

for my $at (0, 21, 42) {
    my $other = $open;
    substr($other, $at, 1) = substr($other, $at, 1) eq 'A' ? 'B' : 'A';
    refuses("a character $at that is another", 'unknown token', 'db-1',
        $other, key('c'));
}

$wg->put('invitations', $wg->file('invitations') . sha256_hex('E' x 43)
    . ' late-1 ' . (time - 1 | 0) . " 10.87.9.9\n");
refuses('expired', 'expired token', 'late-1', 'E' x 43, key('c'));

is(($wg->enrol('db-1', $open, key('a')))[0], 409,
    'the key of another node is refused');
is(($wg->enrol('db-1', $open, $monitor))[0], 409, '... that of the monitor');
is(($wg->enrol('db-1', $open, $own))[0], 409,
    '... and that of a peer of the user\'s own');
is(($wg->enrol('db-1', $open, key('c')))[0], 200,
    'and the token is good for another one, after all that');

my $former = $wg->token('former');
my $latter = $wg->token('former');
refuses('an invitation that another one has replaced', 'unknown token',
    'former', $former, key('former'));
is(($wg->enrol('former', $latter, key('former')))[0], 200,
    '... by one that is good');


# another key of a node

my $before = $wg->file('nodes');
my $rotation = $wg->rotation('web-1');

is(($wg->enrol('web-1', $rotation, key('c')))[0], 409,
    'rotation: not to the key of another node');
is_deeply([ $wg->enrol('web-1', $rotation, key('a2')) ], [ 200, $answer ],
    'rotation: the same addresses');
is($wg->file('nodes'), $before =~ s/\Q@{[key('a')]}\E/key('a2')/er,
    '... another key in its line, and nothing else');
is(($wg->enrol('web-1', $rotation, key('a2')))[0], 200,
    '... an answer that was lost');
is(($wg->enrol('web-1', $rotation, key('a3')))[0], 403, '... once');
is(($wg->enrol('web-1', $token, key('a')))[0], 403,
    'the first token brings the old key not back');

$rotation = $wg->rotation('web-1');
$wg->tool('remove', $dir, 'web-1');
is(($wg->enrol('web-1', $rotation, key('a4')))[0], 403,
    'a node that was removed is not rotated back in');

my $again = $wg->token('web-2');
$wg->enrol('web-2', $again, key('w2'));
$wg->tool('remove', $dir, 'web-2');
is(($wg->enrol('web-2', $again, key('w2')))[0], 403,
    '... nor does its token, with its key, bring it back');


# what isn't a request

my $post = '{"name":"x","token":"' . 'A' x 43 . '","public_key":"' . key('x')
    . '"}';

for my $case (
    [ 400, 'nothing like HTTP', "hello\r\n\r\n" ],
    [ 400, 'bytes', join('', map { chr } 0 .. 255) . "\r\n\r\n" ],
    [ 404, 'another method', "GET /enrol HTTP/1.0\r\n\r\n" ],
    [ 404, 'another path', "POST /enrol/ HTTP/1.1\r\n\r\n" ],
    [ 400, 'no Content-Length',
        WireGuard::post($post, 'Content-Length' => undef) ],
    [ 400, 'a Content-Length that is none',
        WireGuard::post($post, 'Content-Length' => '-1') ],
    [ 400, 'Content-Length twice',
        WireGuard::post($post, 'content-length' => length $post) ],
    [ 400, 'Transfer-Encoding',
        WireGuard::post($post, 'Transfer-Encoding' => 'chunked') ],
    [ 400, 'a header without a colon',
        "POST /enrol HTTP/1.0\r\nx\r\n\r\n" ],
    [ 400, 'a control character in a header',
        WireGuard::post($post, 'X-A' => "a\nb") ],
    [ 400, 'more bytes than it says', WireGuard::post($post) . 'x' ],
    [ 413, 'more than 4 kB', WireGuard::post('x' x 4097) ],
    [ 413, 'more than a number can be',
        WireGuard::post($post, 'Content-Length' => '9' x 100) ],
    [ 400, '4 kB of header', WireGuard::post($post, 'X-A' => 'x' x 4096) ],
    [ 400, 'a header without an end', "POST /enrol HTTP/1.0\r\nX-A: "
        . 'x' x 20_000 ],
    [ 415, 'another type',
        WireGuard::post($post, 'Content-Type' => 'text/plain') ],
    [ 415, 'no type', WireGuard::post($post, 'Content-Type' => undef) ],
    [ 400, 'no JSON', WireGuard::post('{') ],
    [ 400, 'an empty body', WireGuard::post('') ],
    [ 400, 'no object', WireGuard::post('[]') ],
    [ 400, 'JSON that is deep', WireGuard::post('[' x 4000) ],
    [ 400, 'JSON with a zero byte',
        WireGuard::post($post =~ s/"x"/"x\\u0000"/r) ],
    [ 400, 'a member twice', WireGuard::post($post =~ s/\{/{"name":"y",/r) ],
    [ 400, 'another member', WireGuard::post($post =~ s/\{/{"a":"y",/r) ],
    [ 400, 'a number as name', WireGuard::post($post =~ s/"x"/1/r) ],
    [ 400, 'a name that is none', WireGuard::post($post =~ s/"x"/"a b"/r) ],
    [ 400, 'a name with a line feed',
        WireGuard::post($post =~ s/"x"/"a\\nb"/r) ],
    [ 400, 'a name that leads away',
        WireGuard::post($post =~ s/"x"/"a\/..\/b"/r) ],
    [ 400, 'a token too short', WireGuard::post($post =~ s/"A/"/r) ],
    [ 400, 'a key that is none', WireGuard::post($post =~ s/="/"/r) ],
    [ 400, 'a key of zeros',
        WireGuard::post($post =~ s/\Q@{[key('x')]}\E/'A' x 43 . '='/er) ])
{
    my ($status, $what, $bytes) = @$case;
    my ($got, $body) = $wg->send_raw($bytes);

    is($got, $status, "$what: $status");
    like($body, qr/\A[ -~]+\n\z/, '... told in one line');
}

is(($wg->send_raw(WireGuard::post($post,
    'Content-Type' => 'application/json; charset=utf-8')))[0], 403,
    'JSON with a charset is JSON');


# peers that are slow, or gone

my @idle = map { $wg->connect } 1 .. 100;
print { $_ } 'POST /enrol' for @idle[0 .. 49];

my $slow = $wg->token('slow-1');
$s = $wg->connect;
$s->autoflush(1);

for my $byte (split //, WireGuard::request('slow-1', $slow, key('slow'))) {
    print $s $byte;
}

my $quick = $wg->token('quick-1');
is(($wg->enrol('quick-1', $quick, key('quick')))[0], 200,
    'a hundred that say nothing keep nobody');
is((WireGuard::answer($s))[0], 200, 'a request byte by byte');
@idle = ();

my $gone = $wg->token('gone-1');
$s = $wg->connect;
print $s WireGuard::request('gone-1', $gone, key('gone'));
$s->flush;
close $s;
ok(await(sub { $wg->file('nodes') =~ /^gone-1 /m }),
    'who has gone away meanwhile is enrolled');
is(($wg->enrol('gone-1', $gone, key('gone')))[0], 200, '... and asks again');


# files that can't be written, or have mistakes

sub fails {
    my ($promise, $pattern, @args) = @_;

    my %before = map { $_ => $wg->file($_) } qw(nodes invitations);

    is_deeply([ $wg->enrol(@args) ], [ 503, $files ], $promise);
    ok($wg->logged($pattern), '... and the log has where');
    is_deeply({ map { $_ => $wg->file($_) } qw(nodes invitations) }, \%before,
        '... and nothing changes');
}

my $late = $wg->token('late-2');
my @late = ('late-2', $late, key('late'));

chmod 0400, "$dir/invitations";
chmod 0500, $dir;
fails('a token that can\'t be burnt: the node is taken back',
    qr{wg/invitations: is not writable}, @late);
chmod 0400, "$dir/nodes";
fails('a nodes file that can\'t be written', qr{wg/nodes: is not writable},
    @late);
chmod 0700, $dir;
chmod 0600, "$dir/invitations", "$dir/nodes";

my $nodes = $wg->file('nodes');
$wg->put('nodes', "${nodes}what is this\n");
fails('a nodes file with a mistake', qr{wg/nodes:\d+:6: not a public key},
    @late);
$wg->put('nodes', $nodes);

my $invitations = $wg->file('invitations');
$wg->put('invitations', "x\n$invitations");
fails('invitations with a mistake', qr{wg/invitations:1:1: not the SHA-256},
    @late);
$wg->put('invitations', $invitations);

rename "$dir/wg0.conf", "$dir/wg0.away";
fails('no wg0.conf', qr{wg/wg0\.conf: no such file}, @late);
rename "$dir/wg0.away", "$dir/wg0.conf";

# one that a target has taken since it was invited

my $taken = $wg->token('taken');
fails('a name that a target has by now',
    qr{target \\"taken\\" is on line 1 of the targets file}, 'taken', $taken,
    key('taken'));

is(($wg->enrol(@late))[0], 200, 'and after all that, it can enrol');


# another process has the files

my $busy = $wg->token('busy-1');

open my $lock, '<', $dir or die "$dir: $!\n";
flock $lock, 2;
$s = $wg->connect;
print $s WireGuard::request('busy-1', $busy, key('busy'));
$s->flush;
vec($ready = '', fileno($s), 1) = 1;
is(scalar(select($r = $ready, undef, undef, 0.2)), 0,
    'while another process has the files, it waits');
is(($wg->send_raw("GET / HTTP/1.0\r\n\r\n"))[0], 404, '... and others don\'t');
flock $lock, 8;
is((WireGuard::answer($s))[0], 200, '... until they are free');
close $lock;


# many at once

my %tokens = map { ("n-$_" => $wg->token("n-$_")) } 1 .. 200;
my $from = time;
my %sockets;

for my $name (sort keys %tokens) {
    my $c = $sockets{$name} = $wg->connect;
    print $c WireGuard::request($name, $tokens{$name}, key($name));
    $c->flush;
}

my %told = map { ($_ => [ WireGuard::answer($sockets{$_}) ]) } keys %sockets;
my $took = sprintf '%.2f', time - $from;

is(scalar(grep { $_->[0] == 200 } values %told), 200, '200 at once enrol');
my %addresses = map { ($_->[1] =~ /^address (10\S+)/m)[0] => 1 } values %told;
is(scalar(keys %addresses), 200, '... each with an address of its own');
cmp_ok($took, '<', 5, "... in $took s");
is(scalar(() = $wg->file('nodes') =~ /^n-\d+ /mg), 200,
    '... a line for each');

# one of them has a token that spoils what all of them would write

%tokens = map { ("m-$_" => $wg->token("m-$_")) } 1 .. 5;
%sockets = map { ($_ => $wg->connect) } keys %tokens, 'taken';
$tokens{taken} = $taken;

open $lock, '<', $dir or die "$dir: $!\n";
flock $lock, 2;

for my $name (keys %sockets) {
    my $c = $sockets{$name};
    print $c WireGuard::request($name, $tokens{$name}, key($name));
    $c->flush;
}

sleep 0.1;
flock $lock, 8;

%told = map { ($_ => (WireGuard::answer($sockets{$_}))[0]) } keys %sockets;
is_deeply(\%told, { taken => 503, map { ("m-$_" => 200) } 1 .. 5 },
    'of several at once, one that can\'t be written keeps no other');


# two with one token

my $one = $wg->token('one');
my @two = map { $wg->connect } 0, 1;
print { $two[$_] } WireGuard::request('one', $one, key("one-$_")) for 0, 1;
$_->flush for @two;
is(join(' ', sort map { (WireGuard::answer($_))[0] } @two), '200 403',
    'of two at once with one token, one is enrolled');


# rights

my ($caps) = slurp('/proc/' . $wg->pid . '/status') =~ /^CapEff:\s*(\S+)/m;
is($caps, '0' x 16, 'it has no capability');
like(slurp('/proc/' . $wg->pid . '/status'), qr/^NoNewPrivs:\s*1$/m,
    '... nor can get one');
is($wg->log =~ /$token|$open|$late/, '', 'no token is in the log');

is($wg->stop, 0, 'it ends by SIGTERM');
ok(!-e $wg->{socket}, '... and takes its socket away');


# more than there is room for; those that say nothing are dropped in 10 s

$wg->serve;
@idle = map { $wg->connect } 1 .. 300;
is(($wg->enrol('quick-1', $quick, key('quick')))[0], 200,
    'behind 300 that say nothing, one is served');
is(scalar(grep { sysread($_, my $byte, 1) == 0 } @idle[0 .. 255]), 256,
    '... once those are dropped');
@idle = ();
is($wg->stop, 0, 'the sanitizers have nothing to say');


# not in effect in time

my $late_wg = WireGuard->new;
$late_wg->serve;
my $never = $late_wg->token('never-1');
my ($status, $body) = $late_wg->enrol('never-1', $never, key('never'));
is($status, 503, 'a node that isn\'t in effect in 5 s is told so');
like($body, qr/^enrolled, but not in effect at the proxy yet; ask again/,
    '... to ask again');
$late_wg->sync;
is(($late_wg->enrol('never-1', $never, key('never')))[0], 200,
    '... which it may, with the same key');
is($late_wg->stop, 0, 'the sanitizers have nothing to say');

done_testing();
