#!/usr/bin/perl

# t/05-sessions.t: the service of sessions: who may open one, that a host has
# one at a time, that it ends with the right to it, and that none is lost

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use POSIX qw(mkfifo);
use Socket qw(SHUT_WR);
use Test::More;
use Time::HiRes qw(sleep time);

use Sessions;

plan skip_all => 'the service is for root alone' if $> != 0;

my $sanitize = '-fsanitize=address,undefined -fno-sanitize-recover=all';
my %build = builds(
    gcc => ['CC=gcc', "CFLAGS='-O2 -g $Sessions::user'"],
    clang => ['CC=clang', "CFLAGS='-O1 -g $sanitize $Sessions::user'"]
);

ok(-x "$build{$_}/sessions", "it builds with $_") or BAIL_OUT($_)
    for qw(gcc clang);

$ENV{ASAN_OPTIONS} = 'detect_leaks=1:log_to_syslog=0';

my $p = ports(16);
my ($a, $b, $c) = ($p, $p + 2, $p + 3);
my @shared = ($p + 8 .. $p + 10);

my %line = (
    a => 'host-a ' . key('a') . " port=$a ports=node:9100,db:9104\n",
    b => 'host-b ' . key('b') . " port=$b\n",
    c => "host-c - port=$c\n"
);
my $hosts = join '', map { $line{$_} } qw(a b c);
my $targets = join '', map { "localhost:$_ shared-$_\n" } @shared, $b;

sub service {
    my (%o) = @_;

    return Sessions->new(command => ["$build{clang}/sessions"],
        hosts => $hosts, targets => $targets, authorities => key('ca') . "\n",
        keys => key('shared') . "\n", %o);
}

my $s = service();


# one that waits for its answer, as it takes 9 s

my $taken = session();
serve($taken, $b);
my $patient = session();
my $waiting = $s->connect("open $patient " . key('b') . " 192.0.2.1 1\n");


# who may open a session

my $one = session();

is($s->open($one, key('a')), "ok host-a\n$a-" . ($a + 1) . "\n",
    'a host has its ports');
serve($one, $a, $a + 1);

my $tunnel = $s->tunnel($a);

is("$tunnel->{pid} $tunnel->{address} $tunnel->{logins}", "$one 192.0.2.1 1",
    '... and the board has it');
ok(abs($tunnel->{since} / 1000 - time) < 10, '... since now');
is($tunnel->{seq} % 2, 0, '... and is not being written');
like($s->log, qr/^host-a: connected from 192\.0\.2\.1, SHA256:\S{43}$/m,
    '... and the log');

my $other = session();

is($s->open($other, key('shared')), "ok -\n$shared[0]-$shared[-1]\n",
    'a shared key has the ports of targets less those of hosts');
is_deeply([ @{ $s->head }{qw(sessions shared logins)} ], [2, 1, 2],
    '... and counts as one of these');

my $stranger = session();

like($s->open($stranger, key('stranger')), qr/^no its key /,
    'an unknown key has no session');
ok(gone($stranger, 3.5), '... and its process is ended');
is($s->head->{key}, 1, '... and counted');

my $certified = session();

like($s->open($certified, Sessions::certificate('x', 'ca', '-n', 'host-c',
    '-V', '-1m:+4s')), qr/^ok host-c\n/,
    'a certificate is for the host that it names');
is($s->tunnel($c)->{certificate}, 1, '... and the board says that it was one');

my $forged = session();

like($s->open($forged, Sessions::certificate('x', 'stranger', '-n',
    'host-a')), qr/^no its certificate is not signed /,
    'one that another has signed is for none');
is($s->head->{certificate}, 1, '... and counted');


# one a host

my $second = session();

like($s->open($second, key('a'), '192.0.2.2'),
    qr/^no already connected from 192\.0\.2\.1 since \d{4}-\S+Z\n$/,
    'a host that is alive is not connected again');
ok(gone($second, 3.5), '... and the second process is ended');
ok(!gone($one), '... but not the first');
is($s->head->{connected}, 1, '... and it is counted');

kill STOP => -$one;
my $third = session();
my $fourth = session();
my $start = time;
my $first_answer = $s->connect("open $third " . key('a') . " 192.0.2.3 1\n");

$s->ask('behind it in the queue');
like($s->open($fourth, key('a'), '192.0.2.4'),
    qr/^no 192\.0\.2\.3 is connecting at this moment$/,
    'of two that open at once, the second is refused');
like(Sessions::answer($first_answer), qr/^ok host-a\n/,
    'one that does not answer is replaced');
cmp_ok(time - $start, '<', 6, '... within 6 s');
ok(gone($one, 1), '... and its process is gone, though it was stopped');
like($s->log, qr/^host-a: old connection from 192\.0\.2\.1 doesn't answer, /m,
    '... and the log says why');
is($s->tunnel($a)->{logins}, 2, '... and the board counts two logins');
is($s->tunnel($a)->{pid}, $third, '... and has the new one');

# the third has no port, as its client failed to get one

my $fifth = session();

like($s->open($fifth, key('a'), '192.0.2.5'), qr/^no already connected/,
    'one that has no port yet is given time');
like(await(sub {
    my $pid = session();
    my $answer = $s->open($pid, key('a'), '192.0.2.6');
    gone($pid, 3) if $answer =~ /^no/;
    return $answer =~ /^ok/ ? $answer : undef;
}), qr/^ok host-a\n/, '... and then replaced');
like($s->log, qr/^host-a: old connection from 192\.0\.2\.3 has no port, /m,
    '... and the log says why');

my $sixth = $s->tunnel($a)->{pid};

take($sixth);
ok(await(sub { $s->tunnel($a)->{pid} == 0 }, 2), 'an end is noticed');
ok($s->tunnel($a)->{ended} >= $s->tunnel($a)->{since}, '... and when it was');
ok($s->logged(qr/^host-a: disconnected from 192\.0\.2\.6$/m, 2),
    '... and in the log');
ok(!-e "$s->{state}/sessions/$sixth", '... and nothing is kept of it');

# one that leaves while its older session is probed

my $silent = session();
$s->open($silent, key('a'));
serve($silent, $a);
kill STOP => -$silent;
my $leaving = session();
my $left = $s->connect("open $leaving " . key('a') . " 192.0.2.7 1\n");

$s->ask('behind it in the queue');
take($leaving);
is(Sessions::answer($left), "no it has ended\n",
    'one that ends while it waits is let go');

my $heir = session();

like($s->open($heir, key('a')), qr/^ok/, '... and does not keep the next');

like(Sessions::answer($waiting), qr/^no port $b is taken by another process$/,
    'a port that another process has is told, not waited for without end');
take($taken);


# an end of the right to it

ok(gone($certified, 6), 'a session ends with its certificate');
like($s->log, qr/^host-c: ended: its certificate has expired$/m,
    '... and the log says so');

my $stubborn = session(stubborn => 1);

like($s->open($stubborn, key('b')), qr/^ok/, 'the port is free again');
serve($stubborn, $b);

$start = time;
spew($s->{hosts}, $line{a} . $line{c});
ok(gone($stubborn, 4), 'a session ends with its line, though it ignores it');
cmp_ok(time - $start, '<', 2, '... within 2 s');
like($s->log, qr/^\Q$s->{hosts}\E read again; hosts from now on: 2; gone: host-b$/m,
    '... and the log has what changed');
like($s->log, qr/^host-b: ended: no longer in the hosts file$/m,
    '... and why it ended');
is($s->head->{hosts}, 2, '... and the board how many there are');
ok(await(sub { $s->tunnel($b)->{logins} == 0 }, 2),
    '... and the next host of that port begins anew');
ok(!gone($heir), '... and others go on');

spew($s->{hosts}, $hosts . "broken\n");
ok(await(sub { $s->head->{failed} }, 3), 'a file with a mistake is told');
like($s->head->{reason}, qr/^\Q$s->{hosts}\E:4:\d+: /, '... with its place');
is(slurp("$s->{state}/hosts"), $line{a} . $line{c}, '... and not taken');
like($s->ask('reload'), qr/^no \Q$s->{hosts}\E:4:\d+: .*\n$/,
    '... and reload says it');

$start = time;
is($s->ask('remove host-a'), "ok\n", 'a host is removed nonetheless');
ok(gone($heir), '... and its session is gone when that is said');
cmp_ok(time - $start, '<', 2, '... within 2 s');
is(slurp("$s->{state}/hosts"), $line{c}, '... and others stay');
is($s->ask('remove host-a'), "ok\n", '... and that it is gone is no mistake');
is($s->head->{hosts}, 1, '... and the board how many there are');
ok($s->head->{failed}, '... and that the file still has its mistake');

spew($s->{hosts}, $hosts);
is($s->ask('reload'), "ok\n", 'reload takes a file that is right again');
is(slurp("$s->{state}/hosts"), $hosts, '... at once');
ok(!$s->head->{failed}, '... and the board says so');

my $renamed = session();
$s->open($renamed, key('b'));
spew($s->{hosts}, $hosts =~ s/^(host-b) \S+ \S+/"$1 " . key('new')/emr);
is($s->ask('reload'), "ok\n", 'a line gets another key');
ok(gone($renamed, 2), '... and the session of the old one ends');

my $moved = session();
$s->open($moved, key('new'));
spew($s->{hosts}, $hosts =~ s/^(host-b) \S+ \S+ port=\d+/
    "$1 " . key('new') . ' port=' . ($p + 5)/emr);
is($s->ask('reload'), "ok\n", 'a line gets another port');
ok(gone($moved, 2), '... and the session that has the old one ends');
unlink $s->{hosts};
ok($s->logged(qr/^\Q$s->{hosts}\E not taken; hosts stay as they are$/m, 3),
    'a file that goes missing changes nothing');

spew($s->{hosts}, $hosts . "host-d " . key('shared') . "\n");
is($s->ask('reload'), "no $s->{hosts}:" . ($hosts =~ tr/\n//  + 1)
    . ':8: the key of "host-d" is also in MONITORING_PROXY_PUBLIC_KEY; take '
    . "it out of one of them\n", 'a shared key is no host\'s');
spew("$s->{state}/public-keys", key('another') . "\n" . key('shared') . "\n");
ok(!$s->logged(qr/new: host-d/, 1), '... however often keys change');
spew($s->{hosts}, $hosts);
is($s->ask('reload'), "ok\n", '... until it is taken out');

spew("$s->{dir}/etc/targets", "localhost:1 host-a\n$targets");
ok(!$s->logged(qr/\bhost-a\b.*targets/, 1),
    'a target that takes the name of a host in use is for nginx to tell');
spew("$s->{dir}/etc/targets", $targets);


# shared keys

ok(!gone($other), 'a session of a shared key lived through all of that');
spew($s->{hosts}, $hosts . 'host-d ' . key('d') . " port=$shared[0]\n");
is($s->ask('reload'), "ok\n", 'one of its ports becomes a host\'s');
ok(gone($other, 2), '... and it ends');
like($s->log, qr/^all sessions of shared keys ended, 1 of them, /m,
    '... and the log says why');

my $again = session();

is($s->open($again, key('shared')), "ok -\n$shared[1]-$shared[-1]\n",
    '... and comes back without it');
spew("$s->{state}/ports-from", "any\n");
like($s->open(session(), key('shared')), qr/^ok -\n1024-\d+\n(?!.*\*)/s,
    'where any port is shared, a host takes its own from that');
spew("$s->{state}/ports-from", "targets\n");
spew("$s->{state}/public-keys", key('another') . "\n");
ok(gone($again, 4), 'a session ends with its shared key');

my $authorized = session();
$s->open($authorized, Sessions::certificate('x', 'ca', '-n', 'host-c'));
spew("$s->{dir}/etc/ssh_ca.pub", key('ca-2') . "\n");
ok(gone($authorized, 4), 'a session ends with who signed its certificate');
is(slurp("$s->{state}/ssh_ca.pub"), key('ca-2') . "\n",
    '... and sshd has the new one');
spew("$s->{dir}/etc/ssh_ca.pub", "no key\n");
ok($s->logged(qr{^\S+/etc/ssh_ca\.pub:1:1: }m, 3),
    'a mistake there is told with its place');
is(slurp("$s->{state}/ssh_ca.pub"), key('ca-2') . "\n", '... and not taken');

spew("$s->{dir}/etc/ssh_ca.pub", key('ca-2') . "\n");
ok($s->logged(qr{/ssh_ca\.pub is right again; keys that sign certificates: 1$}m,
    3), '... until it is right again');


# what isn't the protocol

for ('', 'open', 'open 1 2 3 4', 'open 1 t k a p', "open $$ t k a p q",
    'open -5 t k a p', 'open x t k a p', 'open 99999999999 t k a p',
    "open $$  k a p", 'remove', 'remove ', 'reload now', 'Reload',
    "\0\1\2", 'remove a b', "open $$ t k " . 'a' x 48 . ' p')
{
    like($s->ask($_), qr/\Ano [^\n]*\n\z/, 'garbage is answered: '
        . substr($_, 0, 20) =~ s/[^ -~]/./gr);
}

like($s->ask('open 4000000 ' . key('a') . ' 192.0.2.1 1'),
    qr/^no it has ended already$/, 'a process that isn\'t there has none');
like($s->ask("open $$ t !! a 1"), qr/^no /, 'a key that is none has none');
is($s->ask('x' x 40_000), "no the line is too long\n", 'a line has an end');

{
    my @many = map { $s->connect('open ') } 1 .. 900;
    is($s->ask('reload'), "ok\n", '900 that ask nothing keep none');
}

is(`setpriv --reuid 65534 --clear-groups \\
    $^X -MIO::Socket::UNIX -e 'chdir "/"; print
    IO::Socket::UNIX->new(Peer => "$s->{state}/sessions.sock") ? 1 : 0'`, 0,
    'only root can ask');
is((stat "$s->{state}/sessions.sock")[2] & 0777, 0600, '... by its mode');


# the service ends, by itself or not

spew($s->{hosts}, $hosts);
spew("$s->{state}/public-keys", key('shared') . "\n");
$s->ask('reload');

my %lives = map { $_ => session() } qw(a b shared);

await(sub { $s->open($lives{shared}, key('shared')) =~ /^ok/ });
like($s->open($lives{$_}, key($_)), qr/^ok/, "$_ is connected")
    for qw(a b);

serve($lives{a}, $a, $a + 1);

my $before = $s->tunnel($a);

$s->stop('KILL');
take($lives{b});
$s->start;

ok($s->logged(qr/^sessions taken over: 1 of hosts, 1 of shared keys$/m),
    'one that was killed goes on with the sessions that live');
is_deeply($s->tunnel($a), $before, '... as if nothing had been');
is($s->tunnel($b)->{pid}, 0, '... and knows which have ended');
is($s->head->{sessions}, 2, '... and how many there are');
like($s->open(session(), key('a'), '192.0.2.9'), qr/^no already connected/,
    '... and whose host is connected');

is($s->stop('TERM'), 0, 'SIGTERM ends it');
ok(!gone($lives{$_}), "... and $_ goes on") for qw(a shared);

# a number that another process has by now

my $record = "$s->{state}/sessions/$lives{a}";
spew($record, slurp($record) =~ s/^\d+/1/r);
spew("$s->{state}/sessions/99999", "garbage\n");
$s->start;

ok(await(sub { $s->tunnel($a)->{pid} == 0 }, 2),
    'a process that has the number of another is not its session');
ok(!gone($lives{a}), '... and is left alone');
take($lives{a});
ok(!-e "$s->{state}/sessions/99999", 'a record that is none is gone');

$s->stop('KILL');
spew($s->{hosts}, $line{b});
spew("$s->{state}/hosts", $line{b});
spew("$s->{state}/public-keys", '');
$s->start;
ok(gone($lives{shared}, 4), 'what lost its right meanwhile ends');

like(`$build{gcc}/sessions $s->{state} $s->{dir}/etc 2>&1`,
    qr/: in use by another of this service$/, 'there is one of them');

unlink "$s->{state}/tunnels";
$s->stop;
$s->start;
is(-s "$s->{state}/tunnels", 4096 + 128 * 65536, 'a lost board is made anew');
is($s->stop, 0, 'nothing was wrong with its memory');
unlike($s->log, qr/Sanitizer|runtime error/, '... nor told');


# few descriptors

sub few {
    my ($n) = @_;

    return ['sh', '-c', "ulimit -n $n; exec \"\$0\" \"\$@\"",
        "$build{gcc}/sessions"];
}

$s = service(command => few(32));

my $last = session();
$s->open($last, key('b'));
my @all = map { session() } 1 .. 24;
my @some = grep { $s->open($_, key('shared')) =~ /^ok/ } @all;
like($s->log, qr/^connection\ from\ 192\.0\.2\.1\ refused:\ all\ 32\ file
    \ descriptors\ are\ in\ use;\ raise\ /mx,
    'that descriptors have run out is told');
spew($s->{hosts}, $line{a} . $line{b} . "broken\n");
like($s->ask('reload'), qr/:3:1: /, '... and files are read nonetheless');
is($s->ask('remove host-b'), "ok\n", '... and hosts removed');
ok(gone($last), '... with their sessions');

my $many = @some;

cmp_ok($s->head->{shared}, '==', $many, '... and as many are open as it said');
$s->stop('KILL');
$s->{command} = few(20);
$s->start;
await(sub { $s->head->{shared} == grep { !gone($_, 0.01) } @some }, 5);
@some = grep { !gone($_, 0.01) } @some;
ok(@some > 0 && @some < $many, 'with less than it needs, sessions end')
    or diag "@{[ scalar @some ]} of $many";
is($s->head->{shared}, scalar @some, '... namely those that are not watched');
like($s->log, qr/^shared key: ended: all 20 file descriptors are in use/m,
    '... and the log says so');
is(grep({ -e "$s->{state}/sessions/$_" } @some), scalar @some,
    '... and records of others are kept');
take($_) for @all;
ok(await(sub { $s->head->{sessions} == 0 }, 3), '... and it goes on');
$s->stop;


# sessions of sshd's that are nobody's

$s = service();

my %sshd = map { $_ => session(name => 'sshd-session', user => 'nobody') }
    qw(a b);
like($s->open($sshd{$_}, key($_)), qr/^ok/, "session $_ is opened") for qw(a b);
$s->stop('KILL');
unlink "$s->{state}/sessions/$sshd{b}";
my $login = session(name => 'sshd-session');
my $foreign = session(user => 'nobody');
$s->start;
ok(gone($sshd{b}, 4), 'a session that has no record is ended');
ok($s->logged(qr/^process $sshd{b}: ended: a session that nobody has said/m),
    '... and the log says so');
ok(!gone($sshd{a}), '... but not one that has');
ok(!gone($login), '... nor a login that isn\'t done');
ok(!gone($foreign), '... nor what isn\'t sshd\'s');
my $late = session(name => 'sshd-session', user => 'nobody');
ok(gone($late, 8), 'one that came at that moment is found by a second look');
take($_) for $sshd{a}, $login, $foreign;
is($s->stop, 0, '... and nothing was wrong with its memory')
    or diag $s->log;


# an answer that nobody waits for any more

$s = service();

my $deaf = session();

kill STOP => $s->{pid};
close $s->connect("open $deaf " . key('a') . " 192.0.2.1 1\n");
kill CONT => $s->{pid};
ok(gone($deaf, 4), 'a session that didn\'t get its answer is ended');
ok($s->logged(qr/^host-a: (?:ended: |\S+ \S+ \S+ refused: )it did/m, 3),
    '... and the log says so');


# requests that are too long, by a little and by much

like($s->ask("open $$ " . key('a') . ' 192.0.2.1 1 more'), qr/^no it is none /,
    'a word too many is no request');
is($s->ask('x' x 60_000), "no the line is too long\n",
    'the answer to a long line arrives');


# a log that nobody reads

mkfifo("$s->{dir}/fifo", 0600) or die "fifo: $!\n";
CORE::open my $reader, '+<', "$s->{dir}/fifo" or die "fifo: $!\n";
fcntl $reader, 1031, 4096;                # F_SETPIPE_SZ
syswrite $reader, '.' x 4096;
$s->stop;
$s->{command} = ['sh', '-c', "exec \"\$0\" \"\$@\" 2> '$s->{dir}/fifo'",
    "$build{clang}/sessions"];
$s->start;

my $quiet = session();

like($s->open($quiet, key('a')), qr/^ok/, 'with nobody who reads the log: '
    . 'a host is connected');
is($s->ask('remove host-a'), "ok\n", '... and removed');
sysread $reader, my $lines, 65536;
ok(gone($quiet, 1), '... and ended');
$s->open(session(), key('stranger'));
sysread $reader, $lines, 65536;
like($lines, qr/^\d+ lines lost, as nobody has read the log$/m,
    '... and who reads it again hears how much it was');
$s->stop;


# copies that can't be written

$s = service();

my %full = map { $_ => session() } qw(a b c);

like($s->open($full{a}, key('a')), qr/^ok/, 'a is connected');
like($s->open($full{b}, key('b')), qr/^ok/, 'b is connected');
like($s->open($full{c}, Sessions::certificate('x', 'ca', '-n', 'host-c')),
    qr/^ok/, 'c is connected');

# what is removed would come back from a file that it had yet to look at

my $seen = "$hosts# seen\n";
spew($s->{hosts}, $seen);
await(sub { slurp("$s->{state}/hosts") eq $seen }, 4);

mkdir "$s->{state}/$_.new" for qw(hosts ssh_ca.pub);

is($s->ask('remove host-a'), "ok\n", 'with no room left a host is removed');
ok(gone($full{a}, 1), '... with its session');
like($s->open(session(), key('a')), qr/^no its key /,
    '... and does not come back');
spew($s->{hosts}, $line{c});
ok(gone($full{b}, 4), '... a line that goes is seen');
spew("$s->{dir}/etc/ssh_ca.pub", key('ca-2') . "\n");
ok(gone($full{c}, 4), '... and who signs certificates');
like($s->log, qr{/state/hosts can't be written: [A-Z].*; },
    '... and the log says what it means');
is(slurp("$s->{state}/hosts"), $seen, '... as the copy is the old one');

rmdir "$s->{state}/$_.new" for qw(hosts ssh_ca.pub);
ok(await(sub { slurp("$s->{state}/hosts") eq $line{c}
    && slurp("$s->{state}/ssh_ca.pub") eq key('ca-2') . "\n" }, 4),
    '... until there is room');
is($s->stop, 0, '... and nothing was wrong with its memory')
    or diag $s->log;


# a file that comes with a mistake, and goes

$s = service(hosts => undef);
spew($s->{hosts}, "broken\n");
ok(await(sub { $s->head->{failed} }, 3), 'a first file with a mistake is told');
unlink $s->{hosts};
ok(await(sub { !$s->head->{failed} }, 3), '... until it is gone');
is($s->stop, 0, '... and nothing was wrong with its memory')
    or diag $s->log;


# files that can't be used, told once

$s = service();

my $firm = session();

$s->open($firm, key('a'));
spew("$s->{state}/public-keys", "no key\n" . key('shared') . "\n");
ok($s->logged(qr/^\S+public-keys:1:1: /m, 3), 'a key that is none is told');
spew($s->{hosts}, $line{a} . $line{c});
is($s->ask('reload'), "ok\n", '... and the rest can be used');
sleep 0.6;
is(() = $s->log =~ /^\S+public-keys:1:1: /mg, 1, '... and the log has it once');

rename "$s->{state}/hosts", "$s->{state}/old";
mkdir "$s->{state}/hosts";
like($s->ask('reload'), qr{^no \S+hosts: \S}, 'reload says what is wrong');
like($s->ask('remove host-a'), qr/^no \S+hosts can't be read$/,
    '... and remove');
ok(gone($firm, 3), '... which ends the session nonetheless');
sleep 0.6;
is(() = $s->log =~ /^what is in use stays as it is$/mg, 1,
    '... and the log has it once') or diag $s->log;
is($s->stop, 0, '... and nothing was wrong with its memory')
    or diag $s->log;


# what the sanitizers don't see

$s = service(command => ['valgrind', '-q', '--error-exitcode=99',
    '--leak-check=full', "$build{gcc}/sessions"]);

my $watched = session();

like($s->open($watched, key('a')), qr/^ok host-a/, 'under valgrind: opens');
serve($watched, $a);
kill STOP => -$watched;
like($s->open(session(), key('a')), qr/^ok host-a/, '... replaces');
like($s->open(session(), key('stranger')), qr/^no/, '... refuses');
spew($s->{hosts}, "broken\n");
like($s->ask('reload'), qr/^no /, '... sees mistakes');
is($s->ask('remove host-a'), "ok\n", '... removes');
is($s->stop, 0, '... and has nothing to say') or diag $s->log;

done_testing();
