#!/usr/bin/perl

# t/26-key-rotation.t: the file of public keys is read again when it changes,
# and one with a mistake changes nothing

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await directory docker link_to read_file replace
    write_file);
use Proxy qw(@confined key public_key);

my $variable = 'MONITORING_PROXY_PUBLIC_KEY_FILE';
my $watcher = qr{^/bin/sh \S+/watch-public-keys };
my %key = map { $_ => public_key('ed25519', $_) } qw(first second third);
my $options = 'has options in front of the key; give the key alone';


# A proxy that reads its keys from a file of a mounted directory.

sub start {
    my ($directory, $file, @options) = @_;

    return Proxy->start(key => undef, targets => "localhost:20001 host\n",
        env => { $variable => "/keys/$file" },
        options => [ '-v', "$directory:/keys:ro", @options ]);
}


sub may_log_in {
    my ($proxy, $name) = @_;

    return $proxy->may_bind(20001, '-i', key('ed25519', $name));
}


# After what was just done, the one key is taken within 5 s and the other is
# not.

sub takes {
    my ($proxy, $new, $old, $what) = @_;

    ok(await(60, sub { may_log_in($proxy, $new) }),
        "$what: the new key logs in")
        or diag $proxy->{error}, $proxy->logs;
    ok(!may_log_in($proxy, $old), "$what: the old key is refused");
}


# How often the log has a line.

sub count {
    my ($proxy, $line) = @_;

    return scalar grep { $_ eq "public-keys: $line" }
        split /\r?\n/, $proxy->logs;
}


# Waits until the file has been looked at twice more: each time has a sleep of
# its own.

sub looked_at {
    my ($proxy) = @_;

    my %seen;

    await(60, sub {
        $seen{$_} = 1 for $proxy->pids(qr/^sleep 0\.5\b/);
        keys %seen > 2 }) or die 'the file is not looked at: ', $proxy->logs;
}


# After what was just done, the line is in the log, once, and the key still
# logs in. No two have the same line in a proxy's log.

sub keeps {
    my ($proxy, $name, $line, $what) = @_;

    ok(await(60, sub { count($proxy, $line) }),
        "$what: says what is wrong") or diag "expected $line\n", $proxy->logs;
    ok(may_log_in($proxy, $name), "$what: the key from before logs in");

    looked_at($proxy);
    is(count($proxy, $line), 1, "$what: and says it once");
}


# each way to change a file

my $directory = directory();
my $file = write_file("$directory/public", "$key{first}\n");
my $proxy = start($directory, 'public');

ok(may_log_in($proxy, 'first'), 'at start: its key logs in');
ok(!may_log_in($proxy, 'second'), 'at start: another is refused');
looked_at($proxy);

ok($proxy->tunnel(20001, 9, '-i', key('ed25519', 'first')), 'a tunnel stands');

replace($file, "$key{second}\n");
ok(await(2, sub { !$proxy->listens(20001) }),
    'when its key goes, it ends within 2 s') or diag $proxy->logs;
takes($proxy, 'second', 'first', 'a rename');

is(count($proxy, '/keys/public read again; public keys from now on: 1'), 1,
    'the log says that it was read, and how many keys it has');
like($proxy->logs, qr/^public-keys: public key ssh-ed25519 SHA256:\S+/m,
    'and each key');

write_file($file, "$key{first}\n");
takes($proxy, 'first', 'second', 'in place');

unlink $file;
keeps($proxy, 'first', "$variable: /keys/public does not exist", 'deleted');

write_file($file, "$key{third}\n$key{second}\n");
takes($proxy, 'second', 'first', 'made again');
ok(may_log_in($proxy, 'third'), 'made again: each of its keys logs in');
is(count($proxy, '/keys/public read again; public keys from now on: 2'), 1,
    'made again: the log counts them');


# mistakes

replace($file, "$key{second}\n");
ok(await(60, sub { !may_log_in($proxy, 'third') }),
    'a key that is taken out is refused');

my ($now, $next) = qw(second third);

my @mistakes = (
    [ 'options', "$key{first}\nno-pty $key{third}\n",
        "/keys/public:2:1: $options" ],
    [ 'an empty file', '', '/keys/public: has no key in it' ],
    [ 'a private key', read_file(key('ed25519', 'first')),
        "/keys/public:1:1: is a private key; give the .pub file's line" ],
);

for my $mistake (@mistakes) {
    my ($what, $text, $line) = @$mistake;

    write_file($file, $text);
    keeps($proxy, $now, $line, $what);
    ok(!may_log_in($proxy, 'first'), "$what: none of its keys is taken");

    replace($file, "$key{$next}\n");
    takes($proxy, $next, $now, "after $what");

    ($now, $next) = ($next, $now);
}

is(count($proxy, '/keys/public not taken; public keys as before: 1'),
    1 + @mistakes, 'each time the log says that keys stay')
    or diag $proxy->logs;


# the watcher itself

my ($killed) = $proxy->pids($watcher);
$proxy->kill('KILL', $killed);
replace($file, "$key{first}\n");
ok(await(60, sub { may_log_in($proxy, 'first') }),
    'a killed watcher comes back, and sees what it missed');
is(scalar(() = $proxy->pids($watcher)), 1, 'there is one');
is(count($proxy, 'ended by signal 9'), 1, 'the log says that it was killed');

my $environment = $proxy->exec('sh', '-c',
    'cat /proc/$(cat /run/monitoring-proxy/nginx/nginx.pid)/environ')->{out};
unlike($environment, qr/MONITORING_PROXY_/,
    "nothing of it is in nginx's environment");

my $started = time;
docker('stop', '-t', '30', $proxy->name);
is($proxy->ended, 0, 'it stops with 0');
cmp_ok(time - $started, '<', 29, 'and at once');
is(scalar(() = $proxy->logs =~ /^public-keys: ended/mg), 1,
    'which is no failure of the watcher');
is(join("\n", grep {
    !/^(?:monitoring-proxy|sessions|sshd|nginx|public-keys): / }
    split /\n/, $proxy->logs), '', 'each line starts with its service');
$proxy->remove;


# confined, and with a directory as Kubernetes makes it

$directory = directory();
mkdir "$directory/..$_" or die "$directory: $!\n" for 1 .. 3;
write_file("$directory/..1/public", "$key{first}\n");
write_file("$directory/..2/public", "$key{second}\n");
write_file("$directory/..3/public", "$key{third}\n", 0400);
link_to('..1', "$directory/..data");
link_to('..data/public', "$directory/public");

$proxy = start($directory, 'public', @confined);
ok(may_log_in($proxy, 'first'), 'confined: the key logs in');
looked_at($proxy);

link_to('..2', "$directory/..data");
takes($proxy, 'second', 'first', 'a symbolic link on the way');

SKIP: {
    skip 'only root can give a file away', 5
        unless chown 12345, 12345, "$directory/..3/public";

    link_to('..3', "$directory/..data");
    keeps($proxy, 'second', "$variable: /keys/public is not readable by root "
        . 'in this container', 'unreadable');

    chmod 0444, "$directory/..3/public";
    takes($proxy, 'third', 'second', 'readable');
}

docker('stop', '-t', '20', $proxy->name);
is($proxy->ended, 0, 'confined: it stops with 0');
$proxy->remove;


# a path relative to the working directory

link_to('..1', "$directory/..data");
$proxy = Proxy->start(key => undef, targets => "localhost:20001 host\n",
    env => { $variable => 'public' },
    options => [ '-v', "$directory:/keys:ro", '-w', '/keys' ]);

looked_at($proxy);
link_to('..2', "$directory/..data");
takes($proxy, 'second', 'first', 'a relative path');
$proxy->remove;


# a host's key isn't shared, until the host goes

$directory = directory();
$file = write_file("$directory/public", "$key{first}\n");
$proxy = Proxy->start(key => undef, targets => "localhost:20001 host\n",
    hosts => "own " . join(' ', (split / /, $key{third})[0, 1]) . "\n",
    env => { $variable => '/keys/public' },
    options => [ '-v', "$directory:/keys:ro" ]);
looked_at($proxy);

replace($file, "$key{second}\n$key{third}\n");
keeps($proxy, 'first', '/keys/public:2:1: is also the key of host "own"; take '
    . 'it out of one of them', "a host's key");
write_file("$proxy->{files}{directory}/hosts", "# none\n");
takes($proxy, 'third', 'first', 'the host is gone');
$proxy->remove;


# without a file

$proxy = Proxy->start;
is(scalar(() = $proxy->pids($watcher)), 0, 'without a file nothing watches');

done_testing();
