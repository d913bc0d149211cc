#!/usr/bin/perl

# t/21-keys.t: MONITORING_PROXY_PUBLIC_KEY takes plain public keys, and stops
# the container at anything else

use warnings;
use strict;

use FindBin;
use MIME::Base64;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(command directory read_file write_file);
use Proxy qw(key public_key);

my $variable = 'MONITORING_PROXY_PUBLIC_KEY';
my $key = public_key('ed25519');
my $second = public_key('ed25519', 'second');
my ($type, $blob) = split / /, $key;
my $targets = "localhost:20001 external-host-1\n";


# The proxy with a key or a file of them; keys in what remains can log in.

sub accepts {
    my ($what, $options, @keys) = @_;

    my $proxy = eval { Proxy->start(targets => $targets, %$options) };

    if (!$proxy) {
        fail("$what: starts");
        diag $@;
        return;
    }

    ok($proxy->may_bind(20001, '-i', $_), "$what: " . s{.*/}{}r . ' logs in')
        or diag $proxy->{error}, $proxy->logs for @keys;

    return $proxy;
}


sub refuses {
    my ($what, $line, %options) = @_;

    my $r = Proxy->refused(targets => $targets, %options);

    is($r->{status}, 1, "$what: the container stops");
    ok((grep { $_ eq "monitoring-proxy: $line" } split /\r?\n/, $r->{out}),
        "$what: says what is wrong") or diag "expected $line\n", $r->{out};
    unlike($r->{out}, qr/Server listening|start worker/,
        "$what: nothing is started");

    return $r->{out};
}


sub with_file {
    my ($text, %options) = @_;

    my $path = write_file(directory() . '/keys', $text);

    return (key => undef, options => [ '-v', "$path:/keys:ro" ],
        env => { "${variable}_FILE" => '/keys' }, %options);
}


# accepted

my $proxy = accepts('one key', { key => $key }, key('ed25519'));

ok(!$proxy->may_bind(20001, '-i', key('ed25519', 'second')),
    'one key: another one is refused');
$proxy->remove;

accepts('several keys', { key => "$key\n\n# the second\n$second\n" },
    key('ed25519'), key('ed25519', 'second'))->remove;

accepts('CRLF', { key => "$key\r\n$second\r\n" }, key('ed25519'),
    key('ed25519', 'second'))->remove;

accepts('a file', { with_file("$key\n$second") }, key('ed25519'),
    key('ed25519', 'second'))->remove;

accepts('a file with a byte order mark and CRLF',
    { with_file("\xef\xbb\xbf$key\r\n") }, key('ed25519'))->remove;

accepts('other types', { key => join "\n", public_key('rsa-2048'),
    public_key('ecdsa-384') }, key('rsa-2048'), key('ecdsa-384'))->remove;

# a space more than needed, and quotes in a comment, mean nothing

accepts('a comment with quotes', { key => "  $type  $blob \"a\" 'b' \$(c)" },
    key('ed25519'))->remove;


# refused

my $plain = 'give the key alone';

for my $options ('command="/bin/sh"', 'permitlisten="20002",no-pty',
    'from="10.0.0.1"', 'restrict', 'cert-authority', 'no-pty ')
{
    refuses("options: $options", "$variable: line 1 has options in front of "
        . "the key; $plain", key => "$options $key");
}

refuses('options in line 2', "$variable: line 2 has options in front of the "
    . "key; $plain", key => "$key\ncommand=\"/bin/sh\" $second");

refuses('options in a file', "/keys:2:1: has options in front of the key; "
    . $plain, with_file("$key\npermitlisten=\"*:*\" $second\n"));

my $secret = read_file(key('ed25519'));
my $out = refuses('a private key', "$variable: line 1 is a private key; "
    . "give the .pub file's line", key => $secret);

unlike($out, qr/\Q${\(split \/\n\/, $secret)[1]}\E/,
    'a private key: is not repeated in the log');

refuses('a private key after a public one', "$variable: line 2 is a private "
    . "key; give the .pub file's line", key => "$key\n$secret");

command('ssh-keygen', '-q', '-s', key('ed25519', 'authority'), '-I', 'id',
    '-n', 'monitoring', key('ed25519') . '.pub');
refuses('a certificate', "$variable: line 1 is a certificate; give the plain "
    . 'public key', key => read_file(key('ed25519') . '-cert.pub'));
unlink key('ed25519') . '-cert.pub';

refuses('RSA of 1024 bits', "$variable: line 1 is RSA of 1024 bits; at least "
    . '2048 are needed', key => public_key('rsa-1024'));

refuses('DSA', "$variable: line 1 is a DSA key, which OpenSSH has dropped; "
    . 'use ssh-ed25519', key => "ssh-dss $blob");

my $what = 'is not a public key; expected TYPE BASE64 [COMMENT], as in a '
    . '.pub file';

refuses('not a key', "$variable: line 1 $what", key => 'hello');
refuses('a path', "$variable: line 1 $what", key => '/keys/id.pub');
refuses('a key without its type', "$variable: line 1 $what", key => $blob);

refuses('a type alone', "$variable: line 1 has no base64 key after $type; "
    . 'copy the whole line of the .pub file', key => $type);

refuses('a key cut off', "$variable: line 1 is not a valid $type key; cut "
    . 'off or changed?', key => "$type " . substr $blob, 0, -8);

refuses('a key under another type', "$variable: line 1 is of type $type, not "
    . 'ssh-rsa; copy the whole line of the .pub file', key => "ssh-rsa $blob");

# which ssh-keygen takes, and what looks for hosts' keys doesn't

my $odd = pack '(N/a*)*', 'ssh-rsa', "\1\0\1", "\0\0" . "\xaa" x 256;
refuses('RSA with a zero too many', "$variable: line 1 is not a valid ssh-rsa "
    . 'key; cut off or changed?',
    key => 'ssh-rsa ' . encode_base64($odd, ''));

refuses('two keys in a line', "$variable: line 1 has two keys; give one a "
    . 'line', key => "$type $blob $second");

# as a shell's line continuation or a broken quote leaves it

refuses('a newline in a key', "$variable: line 2 $what",
    key => "$type " . substr($blob, 0, 40) . "\n" . substr($blob, 40));

refuses('a carriage return in a line', "$variable: line 1 has a carriage "
    . 'return within the line; lines end with LF or CRLF',
    key => "$key\r$second");

refuses('an escape sequence', "$variable: line 1 has a control character 0x1b; "
    . 'the only one allowed is tab', key => "$key \e[2J");

refuses('nothing but a comment', "$variable: has no key in it",
    key => "# none\n\n");

# every mistake in one go

$out = refuses('two mistakes', "$variable: line 1 $what",
    key => "hello\n$key\n$type");
like($out, qr/$variable: line 3 has no base64 key/,
    'two mistakes: both are told');


# the file

refuses('variable and file', "$variable and ${variable}_FILE are both set; "
    . 'give one of them', with_file("$key\n"), key => $key);

refuses('a missing file', "${variable}_FILE: /keys does not exist",
    key => undef, env => { "${variable}_FILE" => '/keys' });

refuses('a directory', "${variable}_FILE: /keys is a directory; give a file",
    key => undef, options => [ '-v', directory() . ':/keys:ro' ],
    env => { "${variable}_FILE" => '/keys' });

refuses('an empty file', '/keys: has no key in it', with_file(''));

refuses('a binary file', "${variable}_FILE: /keys is binary or UTF-16; give "
    . 'plain text, one key a line', with_file("\0\1\2" x 100));

refuses('a private key in a file', '/keys:1:1: is a private key; give the '
    . ".pub file's line", with_file($secret));


# names

for my $name ("${variable}S", 'MONITORING_PROXY_TUNNEL_PORT',
    'MONITORING_PROXY_PUBLICKEY')
{
    my $r = Proxy->refused(env => { $name => 'x' });

    is($r->{status}, 1, "$name: the container stops");
    like($r->{out},
        qr/^monitoring-proxy: $name: no such variable; .*\b$variable\b/m,
        "$name: says what there is");
}

# no key at all

for my $none (undef, '') {
    my $how = defined $none ? 'an empty variable' : 'no variable';

    $proxy = Proxy->start(targets => $targets, key => $none);

    is($proxy->scrape('/-/ready')->{status}, 200, "$how: scrapes are served");
    like($proxy->logs, qr/^\S+: .*no public key: nobody can open tunnels/m,
        "$how: the log says so");
    ok(!$proxy->may_bind(20001), "$how: nobody can log in");
    $proxy->remove;
}

done_testing();
