#!/usr/bin/perl

# t/22-hostkeys.t: host keys are made where there is none at all, and only then

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(command directory docker read_file write_file);
use Proxy qw(key public_key);


# The keys that sshd shows to clients, as "TYPE BASE64".

sub shown {
    my ($proxy) = @_;

    my $out = command('ssh-keyscan', '-T', '5', '-t',
        'rsa,ecdsa,ed25519', $proxy->address)->{out};

    return sort map { /^\S+ ((?:ssh|ecdsa)\S+ AAAA\S+)/ ? $1 : () }
        split /\n/, $out;
}


# Those that the log has.

sub logged {
    my ($proxy) = @_;

    my %keys = map { $_ => 1 }
        $proxy->logs =~ /^monitoring-proxy: host key (\S+ AAAA\S+)$/mg;

    return sort keys %keys;
}


sub files {
    my ($proxy) = @_;

    return join ' ', sort split /\s+/,
        $proxy->exec('sh', '-c', 'cd /etc/ssh && ls ssh_host_*_key')->{out};
}


sub half {
    my ($type, $blob) = split / /, public_key(@_);

    return "$type $blob";
}


# A host key as a user mounts it.

sub mounted {
    my ($mode, $text, $type) = @_;

    my $name = 'ssh_host_' . ($type // 'ed25519') . '_key';
    my $path = write_file(directory() . "/$name", $text, $mode);

    return ('-v', "$path:/etc/ssh/$name:ro");
}


# none at all

my $proxy = Proxy->start(targets => "localhost:20001 host\n");
my @first = shown($proxy);

is(scalar @first, 1, 'a key is made where there is none');
like($first[0], qr/^ssh-ed25519 /, 'it is Ed25519');
is_deeply([ logged($proxy) ], \@first, 'its public half is logged');
like($proxy->logs, qr/^\S+: warning: no host keys .*made new ones/m,
    'the log warns that they are new');
is($proxy->exec('sh', '-c', 'stat -c %a:%u /etc/ssh/ssh_host_*_key | sort -u')
    ->{out}, "600:0\n", 'only root may read them');

# what others think of it, and who can still talk to it

my $audit = command('ssh-audit', '-n', '--skip-rate-test', $proxy->address);
like($audit->{out}, qr/^\(key\) ssh-ed25519 /m, 'ssh-audit looks at all of it');
unlike($audit->{out}, qr/\[fail\]/, 'and reports no fail');

my %client = (
    'OpenSSH 7.4' => [ 'curve25519-sha256@libssh.org,ecdh-sha2-nistp256,'
        . 'diffie-hellman-group14-sha1', 'aes128-ctr,aes256-gcm@openssh.com',
        'umac-64-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha1' ],
    'Dropbear 2018' => [ 'curve25519-sha256@libssh.org', 'aes128-ctr',
        'hmac-sha1,hmac-sha2-256' ],
    'a post-quantum client' => [ 'mlkem768x25519-sha256',
        'chacha20-poly1305@openssh.com', 'hmac-sha2-256' ]);

for (sort keys %client) {
    my ($kex, $ciphers, $macs) = @{ $client{$_} };

    ok($proxy->may_bind(20001, '-o', "KexAlgorithms=$kex", '-o',
        "Ciphers=$ciphers", '-o', "MACs=$macs"), "$_ can talk to it")
        or diag $proxy->{error};
}

ok(!$proxy->may_bind(20001, '-o', 'Ciphers=aes128-ctr', '-o', $_),
    "$_: refused") for 'KexAlgorithms=ecdh-sha2-nistp256', 'MACs=hmac-sha1';

docker('restart', $proxy->name);
ok($proxy->ready, 'restarted');
is_deeply([ shown($proxy) ], \@first, 'they are kept over a restart');

my $other = Proxy->start;
isnt(join(' ', shown($other)), join(' ', @first),
    'another container has others');
$_->remove for $proxy, $other;


# a directory that keeps them

my $kept = directory();
my @volume = ('-v', "$kept:/etc/ssh");

$proxy = Proxy->start(options => \@volume);
@first = shown($proxy);
$proxy->remove;

$proxy = Proxy->start(options => \@volume);
is_deeply([ shown($proxy) ], \@first, 'a directory keeps them');
unlike($proxy->logs, qr/made new/, 'without making any again');
$proxy->remove;


# replicas that share one, and start at once

my $r = Container->run_to_end(options => [ '--entrypoint', 'sh' ],
    command => [ '-c', 'cd /run && mkdir -p monitoring-proxy/host-keys
        for i in 1 2 3 4 5 6 7 8; do
            mkdir -p $i/sshd
            /usr/lib/monitoring-proxy/host-keys /run/$i start &
        done
        wait
        find /etc/ssh -name "*key*" -o -name ".new*"' ]);
my @keys = $r->{out} =~ /host key (\S+ AAAA\S+)$/mg;
my %same = map { $_ => 1 } @keys;

is(@keys . ' keys, ' . keys(%same) . ' different', '8 keys, 1 different',
    'eight that start at once in one directory have the same key')
    or diag $r->{out};
is_deeply([ sort $r->{out} =~ m{^/etc/ssh/(\S+)$}mg ],
    [ map { "ssh_host_ed25519_key$_" } '', '.pub' ], 'which is all there is');


# at least one: none is made beside it

for my $type (qw(ed25519 rsa-3072 ecdsa-256)) {
    my ($name) = $type =~ /^(\w+)/;

    $proxy = Proxy->start(options => [ mounted(0600,
        read_file(key($type, 'host')), $name) ]);

    is_deeply([ shown($proxy) ], [ half($type, 'host') ],
        "$name mounted: it is shown, and no other");
    is_deeply([ logged($proxy) ], [ half($type, 'host') ],
        "$name mounted: its public half is logged");
    is(files($proxy), "ssh_host_${name}_key",
        "$name mounted: none is made beside it");
    unlike($proxy->logs, qr/made new/, "$name mounted: and no warning");
    $proxy->remove;
}

$proxy = Proxy->start(options => [
    mounted(0600, read_file(key('ed25519', 'host'))),
    mounted(0600, read_file(key('rsa-3072', 'host')), 'rsa') ]);
is_deeply([ shown($proxy) ],
    [ half('ed25519', 'host'), half('rsa-3072', 'host') ],
    'two mounted: both are shown');
is_deeply([ logged($proxy) ], [ shown($proxy) ],
    'two mounted: both are logged');
$proxy->remove;

# as Kubernetes mounts secrets

$proxy = Proxy->start(options => [
    mounted(0644, read_file(key('ed25519', 'host'))) ]);
is_deeply([ shown($proxy) ], [ half('ed25519', 'host') ],
    'readable for all: it is used');
like($proxy->logs, qr/ssh_host_ed25519_key: mode 644 lets others read it/,
    'readable for all: the log warns');
$proxy->remove;


# nowhere to keep them

$proxy = Proxy->start(options => [ '--read-only', '--tmpfs', '/run' ]);
cmp_ok(scalar(() = shown($proxy)), '>=', 1,
    'read-only without keys: it starts');
like($proxy->logs, qr/^\S+: warning: .*CHANGE AT EVERY START/m,
    'read-only without keys: the log warns aloud');
$proxy->remove;


# mistakes: none is made, and the container stops

my $directory = directory();
my $encrypted = directory() . '/key';
command('ssh-keygen', '-q', '-t', 'ed25519', '-N', 'secret', '-f',
    $encrypted);

for my $case (
    [ 'garbage', [ mounted(0600, "hello\n") ], 'is not a private key' ],
    [ 'an empty file', [ mounted(0600, '') ], 'is not a private key' ],
    [ 'a public key', [ mounted(0600, public_key()) ],
        'is not a private key' ],
    [ 'a passphrase', [ mounted(0600, read_file($encrypted)) ],
        'has a passphrase' ],
    [ 'a directory',
        [ '-v', "$directory:/etc/ssh/ssh_host_ed25519_key" ],
        'is not a file' ],
    [ 'RSA of 1024 bits', [ mounted(0600, read_file(key('rsa-1024')),
        'rsa') ], 'is RSA of 1024 bits; at least 2048 are needed' ],
) {
    my ($what, $options, $reason) = @$case;
    my $r = Proxy->refused(options => $options);

    is($r->{status}, 1, "$what: the container stops");
    like($r->{out},
        qr{^monitoring-proxy: /etc/ssh/ssh_host_\w+_key: .*\Q$reason\E}m,
        "$what: says what is wrong");
    unlike($r->{out}, qr/made new|Server listening/,
        "$what: none is made instead");
}

done_testing();
