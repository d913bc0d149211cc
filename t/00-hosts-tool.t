#!/usr/bin/perl

# t/00-hosts-tool.t: monitoring-proxy-hosts answers sshd, edits the file and
# shows what is connected

use warnings;
use strict;

use Digest::SHA qw(sha256);
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/unit";
use JSON::PP;
use MIME::Base64;
use POSIX ();
use Test::More;

use Keys;
use Unit;

my $tool = hosts_tool();
my $dir = workdir();
my $state = "$dir/state";
my $hosts = "$dir/hosts-file";

mkdir $state;


# Runs the tool; returns "STATUS STDOUT" and what it told.

sub tool_says {
    my ($status, $out, $errors) = run('', $tool, @_);

    return wantarray ? ("$status $out", $errors) : "$status $out$errors";
}

sub add_says {
    return tool_says('add', @_);
}

sub words {
    return split / /, line($_[0]);
}

sub permits {
    my (@ports) = @_;

    return 'restrict,port-forwarding'
        . join '', map { ",permitlisten=\"localhost:$_\"" } @ports;
}


# usage

for my $args ([], ['check'], ['check', '--json', 'a'], ['list'],
    ['ports', 'a', 'b'], ['keys', 'a', 'b'], ['add', 'a', 'b'], ['frobnicate'],
    ['remove', 'a'], ['list', '--xml', 'a'], ['add', '--targets'],
    ['public-keys', '--variable'])
{
    my ($says, $errors) = tool_says(@$args);
    is($says, '2 ', "wrong usage: @$args");
    like($errors, qr/^usage: monitoring-proxy-hosts check/, '... is helped');
}

like((tool_says('--help'))[0], qr/^0 usage: /, '--help is not a mistake');


# keys and principals, by keys and certificates that ssh-keygen makes

my %key;

sub keygen {
    my ($name, @args) = @_;

    my ($status, undef, $errors) = run('', '/usr/bin/env', 'ssh-keygen', '-q',
        @args, '-N', '', '-C', "root\@$name", '-f', "$dir/$name");
    die "ssh-keygen: $errors" if $status;

    $key{$name} = slurp("$dir/$name.pub") =~ s/ \S+\n\z//r;

    return $key{$name};
}

my $serial = 0;

sub certificate {
    my ($authority, $key, @args) = @_;

    my $copy = "$dir/" . ++$serial;
    spew("$copy.pub", "$key\n");

    my ($status, undef, $errors) = run('', '/usr/bin/env', 'ssh-keygen', '-q',
        '-s', "$dir/$authority", '-I', 'id', @args, "$copy.pub");
    die "ssh-keygen: $errors" if $status;

    return slurp("$copy-cert.pub") =~ s/^(\S+ \S+).*/$1/sr;
}

keygen('ed', '-t', 'ed25519');
keygen('rsa', '-t', 'rsa', '-b', '2048');
keygen("ecdsa$_", '-t', 'ecdsa', '-b', $_) for 256, 384, 521;
keygen('shared', '-t', 'ed25519');
keygen('ca', '-t', 'ed25519');
keygen('ca-rsa', '-t', 'rsa', '-b', '3072');
keygen('other-ca', '-t', 'ed25519');

spew("$state/hosts", <<"END");
host-1 $key{ed} port=20001
host-2 $key{rsa} port=20002 ports=node:9100,mysqld:9104
fleet/7 - port=20010
END

spew("$state/public-keys", "$key{shared}\n$key{ed}\n");
spew("$state/ssh_ca.pub", "$key{'ca-rsa'}\n# fleet\n$key{ca} fleet\@ca\n");
spew("$dir/tg", "localhost:20001 a\nlocalhost:3000 b\n127.0.0.1:80 c\n"
    . "[::1]:3001 d\n10.0.0.1:3002 e\n");

sub keys_says {
    return tool_says('keys', '--targets', "$dir/tg", $state, split / /, $_[0]);
}

sub principals_says {
    return tool_says('principals', $state, split / /, $_[0]);
}

is(keys_says($key{ed}), '0 ' . permits(20001) . " $key{ed}\n",
    'the key of a host has its port');
is(keys_says($key{rsa}), '0 ' . permits(20002, 20003) . " $key{rsa}\n",
    '... or ports');
is(keys_says($key{other} = line('{ed x}')), '0 ', 'another key has no line');
is(keys_says('ssh-ed25519 AAAA'), '0 ', 'nor has what is no key');
is(keys_says("ssh-rsa " . (split / /, $key{ed})[1]), '0 ',
    'nor has a key under another type');

is(keys_says($key{shared}), "0 restrict $key{shared}\n",
    'a shared key may log in without ports');
spew("$state/ports-from", "targets\n");
is(keys_says($key{shared}), '0 ' . permits(3000, 3001) . " $key{shared}\n",
    '... with targets, it has their ports, less those of hosts');
is(tool_says('keys', '--targets', "$dir/none", $state,
    split / /, $key{shared}), "0 restrict $key{shared}\n",
    '... and none without the file');
spew("$state/target-ports", "80\n3000\n20003\n");
is(tool_says('keys', '--targets', "$dir/none", $state,
    split / /, $key{shared}), '0 ' . permits(3000) . " $key{shared}\n",
    '... but those that it had last');
spew("$state/ports-from", "list\n");
spew("$state/tunnel-ports", "1024\n20001\n20010\n65535\n");
is(keys_says($key{shared}), '0 ' . permits(1024, 65535) . " $key{shared}\n",
    '... with a list, it has its ports, less those of hosts');
spew("$state/tunnel-ports", join '', map { "$_\n" } 2000 .. 2031);
is(keys_says($key{shared}), '0 ' . permits(2000 .. 2031) . " $key{shared}\n",
    '... 32 of them one by one');
spew("$state/tunnel-ports", join '', map { "$_\n" } 2000 .. 9000);
my $many = keys_says($key{shared});
ok($many eq '0 ' . permits('*') . " $key{shared}\n"
    || $many eq '0 ' . permits(2000 .. 6095) . " $key{shared}\n",
    '... more by the kernel, or the first 4,096 where it has no Landlock');
spew("$state/ports-from", "any\n");
my %hosts_ports = map { $_ => 1 } 20001 .. 20003, 20010;
my $listed = $many =~ /\*/ ? permits('*')
    : permits(1024 .. 5119);
is(keys_says($key{shared}), "0 $listed $key{shared}\n",
    '... or any port, of which the kernel takes those of hosts');
spew("$state/hosts", slurp("$state/hosts") . "low - port=1024\n");
is(keys_says($key{shared}), "0 " . ($many =~ /\*/ ? $listed
    : permits(1025 .. 5120)) . " $key{shared}\n",
    '... at once with the host');
is(keys_says($key{ed}), '0 ' . permits(20001) . " $key{ed}\n",
    'a host that has a shared key is a host still');

for my $name ('ed', 'rsa', 'ecdsa256', 'ecdsa384', 'ecdsa521') {
    my $certificate = certificate('ca', $key{$name}, '-n', 'fleet/7');
    is(principals_says($certificate), '0 ' . permits(20010) . " fleet/7\n",
        "a certificate of $name has the port of its principal");
    is(keys_says($certificate), '0 ', '... and is no key');
}

my $cert = certificate('ca', $key{ecdsa256}, '-n', 'host-2,web,x');
is(principals_says($cert), '0 ' . permits(20002, 20003) . " host-2\n",
    'of several principals one is a host');
is(principals_says(certificate('ca-rsa', $key{ed}, '-n', 'host-2')),
    '0 ' . permits(20002, 20003) . " host-2\n", 'an RSA key signs too');

for ([ 'principals of two hosts', '-n', 'host-1,host-2' ],
    [ 'no principal that is a host', '-n', 'web,host' ],
    [ 'no principals', ],
    [ 'a principal with a slash around it', '-n', '/host-1/' ],
    [ 'an expired one', '-n', 'host-1', '-V', '20200101:20200102' ],
    [ 'one for later', '-n', 'host-1', '-V', '20990101:20990102' ],
    [ 'one for servers', '-h', '-n', 'host-1' ])
{
    my ($what, @args) = @$_;
    is(principals_says(certificate('ca', $key{ed}, @args)), '0 ',
        "certificates: $what is for nothing");
}

is(principals_says(certificate('other-ca', $key{ed}, '-n', 'host-1')), '0 ',
    'certificates: another authority is none');
is(principals_says($key{ed}), '0 ', 'a plain key has no principals');

my ($type, $blob) = split / /, $cert;
$blob = decode_base64($blob);
my $wrong = 0;

for my $len (0 .. length($blob) - 1) {
    next if $len % 7;
    my $cut = encode_base64(substr($blob, 0, $len), '');
    $wrong++ if tool_says('principals', $state, $type, $cut) ne '0 ';
}

is($wrong, 0, 'a certificate that is cut off is none');
is(tool_says('principals', $state, $type, encode_base64("${blob}x", '')),
    '0 ', 'nor is one with a byte more');
is(tool_says('principals', $state, 'ssh-rsa-cert-v01@openssh.com',
    encode_base64($blob, '')), '0 ', 'nor one under another type');

is(tool_says('authorities', "$state/ssh_ca.pub"),
    "0 $key{'ca-rsa'}\n$key{ca}\n", 'authorities are printed plain');
spew("$dir/ca-bad", "$key{ca}\n" . line("{rsa 1024 a}\n")
    . slurp("$dir/ca"));
is(tool_says('authorities', "$dir/ca-bad"),
    "1 $dir/ca-bad:2:9: is RSA of 1024 bits; at least 2048 are needed\n"
    . "$dir/ca-bad:3:1: is a private key; give the .pub file's line\n",
    'mistakes in them are told with their place');

# a line that ssh-keygen -l takes, and one that nobody does

my $odd = key(wire('ssh-rsa') . wire("\1\0\1") . wire("\0\0" . 'a' x 256));

for my $name ('public-keys', 'ssh_ca.pub') {
    my $right = slurp("$state/$name");

    spew("$state/$name", "hello\n$odd\n$right");
    my ($says, $errors) = keys_says($key{ed});
    is($says, '0 ' . permits(20001) . " $key{ed}\n",
        "a wrong line in $name keeps no host from logging in");
    is($errors, "$state/$name:1:1: is not a public key; expected TYPE BASE64 "
        . "[COMMENT], as in a .pub file\n$state/$name:2:9: is not a valid "
        . "ssh-rsa key; cut off or changed?\n"
        . "$state/$name: these lines are passed over\n", '... and is told');
    is((tool_says('principals', $state, split / /, $cert))[0],
        '0 ' . permits(20002, 20003) . " host-2\n",
        '... nor from doing so by certificate');
    like((keys_says($key{shared}))[0], qr/ \Q$key{shared}\E\n\z/,
        '... nor shared keys');
    spew("$state/$name", $right);
}


# a storm of keys that nobody has

my $few = slurp("$state/hosts");

spew("$state/hosts", $few . join '', map { "n$_ " . key(wire('ssh-ed25519')
    . wire(pack 'N8', ($_) x 8)) . ' port=' . (30_000 + $_) . "\n" }
    1 .. 10_000);

sub seconds {
    my ($key) = @_;

    my $start = (times)[2] + (times)[3];
    keys_says($key) for 1 .. 20;

    return (times)[2] + (times)[3] - $start;
}

my ($known, $unknown) = map { seconds($_) } $key{ed}, $key{other};
cmp_ok($unknown, '<', $known / 2, "20 unknown keys among 10,000 take $unknown "
    . "s, and known ones $known s");
spew("$state/hosts", $few);


# public-keys: keys that are shared, in a file or a variable

my $printed = 'SHA256:' . encode_base64(sha256(ed25519('a')), '') =~ s/=//r;
my $shared = "\xef\xbb\xbf# x\r\n\t" . line('{ed a}') . "  \"a\" #b 'c'\r\n\n"
    . line('{rsa 2048 a}');

spew("$dir/shared", $shared);

for my $how ('file', 'variable') {
    local $ENV{KEYS} = $shared;
    my @from = $how eq 'file' ? "$dir/shared" : ('--variable', 'KEYS');

    like(tool_says('public-keys', @from), qr/\A0\ \Q${\line('{ed a}')}\E
        \ \Q$printed\E\ "a"\ \#b\ 'c'\nssh-rsa\ \S+\ SHA256:\S{43}\ \n\z/x,
        "public-keys: keys of a $how, fingerprints and comments");

    $ENV{KEYS} = "# x\ncommand=\"x\" $key{ed}\n$odd\n";
    spew("$dir/shared", $ENV{KEYS});

    my ($two, $three) = $how eq 'file'
        ? ("$dir/shared:2:1:", "$dir/shared:3:9:")
        : ('KEYS: line 2', 'KEYS: line 3');

    my $says = tool_says('public-keys', @from);
    is($says, "1 $two has options in front of the "
        . "key; give the key alone\n$three is not a valid ssh-rsa key; cut "
        . "off or changed?\n", '... mistakes with their place');
}

# what a host and others can't have both

spew("$dir/shared", "$key{shared}\n$key{ed} x\n");
is(tool_says('public-keys', '--hosts', "$state/hosts", "$dir/shared"),
    "1 $dir/shared:2:1: is also the key of host \"host-1\"; take it out of "
    . "one of them\n", "public-keys: a host's key isn't shared");
is(tool_says('check', '--keys', "$dir/shared", "$state/hosts"),
    "1 $state/hosts:1:8: the key of \"host-1\" is also in "
    . "MONITORING_PROXY_PUBLIC_KEY; take it out of one of them\n",
    "check: a shared key isn't a host's");
spew("$dir/slashed", "# x\n/host-1/  $key{ed} port=2000\n");
like(tool_says('check', '--keys', "$dir/shared", "$dir/slashed"),
    qr{^1 \S+/slashed:2:11: the key}, '... wherever it stands');
spew("$dir/shared", "$key{shared}\n");
is(tool_says('check', '--keys', "$dir/shared", "$state/hosts"), '0 ',
    '... and another is right');

unlink "$state/hosts", "$state/ssh_ca.pub";
is(keys_says($key{ed}), '0 ' . permits('*') . " $key{ed}\n",
    'without a hosts file, a shared key is one');
is(principals_says($cert), '0 ', '... and certificates are nothing');


# show, ports, check

spew($hosts, line("a {ed a} port=2000 ports=n:1,m/:2\n"));
like(tool_says('check', $hosts), qr/^1 \Q$hosts\E:1:\d+: exporter "m\/"/,
    'check tells the file, line and column');
spew($hosts, line("b - port=2002\na/b {ed a} port=2000 ports=n:1,m:2\n"));
is(tool_says('check', $hosts), '0 ', '... and nothing if all is right');
is(tool_says('ports', $hosts), "0 2000\n2001\n2002\n", 'ports, ascending');

my $print = 'SHA256:' . encode_base64(sha256(ed25519('a')), '') =~ s/=//r;
is(tool_says('show', $hosts, '/a/b'), "0 name a/b\ntype ssh-ed25519\n"
    . "fingerprint $print\nforward 2000 1 a/b/n\nforward 2001 2 a/b/m\n",
    'show has what scripts need');
is(tool_says('show', $hosts, 'b'),
    "0 name b\ntype -\nfingerprint -\nforward 2002 9100 b\n",
    '... of a host without a key, too');
is(tool_says('show', $hosts, 'c'), "1 $hosts: no host \"c\"\n",
    '... and of no other');
spew("$dir/tg", "localhost:1 b\n");
is(tool_says('check', $hosts, "$dir/tg"),
    "1 $hosts:1:1: target \"b\" is on line 1 of the targets file already\n",
    'names that meet those of targets are told');
is(tool_says('check', $hosts, "$dir/none"), '0 ',
    '... where there is a targets file');


# add: ports

sub file_is {
    my ($text, $promise) = @_;

    is(slurp($hosts), line($text), $promise);
}

unlink $hosts;
is(add_says($hosts, 'a', words('{ed a}')), "0 20001\n", 'a first host');
file_is("a {ed a} port=20001\n", '... makes the file, and its port is in it');
is(add_says($hosts, 'b', line('{ed b} root@host b=c'), 'ports=n:1,m:2',
    'team=data base'), "0 20002\n", 'a whole .pub line, with its comment');
is(add_says($hosts, 'c', words('{rsa 2048 c}'), 'root@host', 'my', 'x='),
    "0 20004\n", 'the words of one');
is(add_says($hosts, 'd', '-', 'port=30000', 'q=a"b\\c'), "0 30000\n",
    'a host without a key, with a port');
file_is(<<'END', '... all are in the file, values in quotes where needed');
a {ed a} port=20001
b {ed b} port=20002 ports=n:1,m:2 team="data base"
c {rsa 2048 c} port=20004 x=""
d - port=30000 q="a\"b\\c"
END
is(tool_says('check', $hosts), '0 ', '... and it is right');

spew("$dir/tg", "localhost:20005 t\n[::1]:20006 u\n10.0.0.1:20007 v\n");
is(add_says('--targets', "$dir/tg", $hosts, 'e', '-'), "0 20007\n",
    'ports of localhost targets are not taken');
is(add_says('--targets', "$dir/tg", $hosts, 't', '-'),
    "1 $hosts: target \"t\" is on line 1 of the targets file already\n",
    'nor are their names');
spew($hosts, join '', map { "h$_ - port=$_\n" } 20003, 20005);
is(add_says($hosts, 'x', '-', 'ports=a:1,b:2,c:3'), "0 20006\n",
    'several ports are in a row');
spew($hosts, join '', map { "h$_ - port=$_\n" } 20001 .. 32766);
is(add_says($hosts, 'x', '-', 'ports=a:1,b:2'), "0 10000\n",
    '... and go on at 10000');
spew($hosts, join '', map { my $p = 1024 + 64 * $_;
    "h$_ - port=$p ports=" . join(',', map { "e$_:1" } 1 .. 64) . "\n" }
    0 .. 1007);
is(add_says($hosts, 'x', '-'), "1 $hosts: no 1 ports in a row are free\n",
    '... until none is left');


# add: what is there already

my $before = "# fleet\r\n\n  a {ed a}\tport=2000 x=1  y=\"2 3\" # mine\n"
    . "b - # by certificate\r\nc {ed c} ports=n:1 port=2005";

sub again {
    my ($says, $told, $after, $promise, @args) = @_;

    spew($hosts, line($before));
    chmod 0640, $hosts;
    is(scalar(add_says(@args)), "$says$told", $promise);
    file_is($after, '... and all else stays as it is');
}

again("0 2000\n", '', $before, 'the same key again', $hosts, 'a',
    words('{ed a}'));
again("0 2000\n", '', $before, 'the same words again', $hosts, 'a',
    words('{ed a}'), 'y=2 3', 'port=2000');
again("0 2000\n", '', $before, 'no key for a host that has one', $hosts, 'a',
    '-');
again('1 ', "$hosts:3: \"a\" has another key; --replace puts this one in its "
    . "place\n", $before, 'another key', $hosts, 'a', words('{ed z}'));
again("0 2000\n", '', $before =~ s/\{ed a\}/{rsa 2048 z}/r,
    'another key with --replace', '--replace', $hosts, 'a',
    words('{rsa 2048 z}'));
again("0 2000\n", '', $before, 'no key with --replace', '--replace', $hosts, 'a',
    '-');
again("0 25521\n", '', $before =~ s/b -/b {ed z}/r,
    'a key for a host that has none', $hosts, 'b', words('{ed z}'));
again("0 2005\n", '', "$before l=v", 'a word more', $hosts, 'c',
    words('{ed c}'), 'l=v');
again('1 ', "$hosts:3: \"a\" has y=\"2 3\"; --replace changes it\n", $before,
    'another value', $hosts, 'a', '-', 'y=2');
again("0 2001\n", '', $before =~ s/port=2000(.*)y="2 3"/port=2001$1y=2/r,
    'another value with --replace', '--replace', $hosts, 'a',
    words('{ed a}'), 'y=2', 'port=2001');
again('1 ', "$hosts: key is on line 3 already; each host has one of its own\n",
    $before, 'the key of another host', $hosts, 'd', words('{ed a}'));
again('1 ', "$hosts: port 2000 of \"d\" is that of \"a\" on line 3; "
    . "port=20001 is free\n", $before, 'the port of another host', $hosts,
    'd', '-', 'port=2000');
again("0 20001\n", '', "$before\r\nd {ed z} port=20001\r\n",
    'a line behind one without an end', $hosts, 'd', words('{ed z}'));
is((stat $hosts)[2] & 07777, 0640, 'its mode stays');

spew($hosts, 'x');
like(add_says($hosts, 'd', '-'), qr/^1 \Q$hosts\E:1:1: no key behind/,
    'a file with a mistake is not added to');
is(slurp($hosts), 'x', '... nor changed');


# add: what is no key

my $told = 'monitoring-proxy-hosts';

sub refused {
    my ($promise, $reason, @args) = @_;

    unlink $hosts;
    my ($says, $errors) = add_says($hosts, @args);
    like("$says$errors", qr/^1 \Q$told\E: $reason/, $promise);
    ok(!-e $hosts, '... and there is no file');
    unlike($errors, qr/b3BlbnNz/, '... nothing of a key is told')
        if $promise =~ /private/;
}

refused('a private key', 'a private key; it stays at its host', 'a',
    slurp("$dir/ed"));
refused('two lines', 'more than one line for the key', 'a',
    line("{ed a}\n{ed b}\n"));
refused('two keys', 'a second key', 'a', line('{ed a} {ed b}'));
refused('two keys in words', 'a second key', 'a', words('{ed a} {ed b}'));
refused('options', 'options in front of the key', 'a',
    line('command="id" {ed a}'));
refused('options in words', 'options in front of the key', 'a',
    words('restrict {ed a}'));
refused('a certificate', 'a certificate; give the plain', 'a',
    split / /, $cert);
refused('RSA of 1024 bits', 'key is RSA of 1024 bits', 'a',
    words('{rsa 1024 a}'));
refused('"-" and words in one', 'not a public key', 'a', '- x=1');
refused('an empty key', 'the key is empty', 'a', '');
refused('a name that is two', 'the name is not one word', 'a b', '-');
refused('a name that is a comment', 'the name is not one word', '#a', '-');
refused('a name with a line end', 'the name is not one word', "a\nb", '-');
refused('a name with a colon', 'name "a:b" has ":" in it', 'a:b', '-');
refused('a name that leads out', 'name "\.\./a" has "\.\."', '../a', '-');
refused('a word that is none', '"x" is not LABEL=VALUE', 'a', '-', 'x');
refused('a comment in a word', '"#x=1" is not LABEL=VALUE', 'a', '-', '#x=1');
refused('a port that is none', 'port "22" is not a number', 'a', '-',
    'port=22');
refused('a label of Prometheus\'', 'label "job" is set by', 'a', '-',
    'job=x');
refused('a label with a line end', 'control character 0x0a|"x', 'a', '-',
    "x\n=1");


# remove

sub removed {
    my ($text, $name, $after, $promise) = @_;

    spew($hosts, line($text));
    is(tool_says('remove', $hosts, $name), '0 ', $promise);
    file_is($after, '... and all else stays as it is');
}

removed($before, 'a', $before =~ s/^  a.*\n//mr, 'a line is taken out');
removed($before, '/c/', $before =~ s/c \S+ .*\z//r =~ s/c \{ed c\}.*//r,
    'the last one, which has no end');
removed("\xef\xbb\xbfa -\r\nb -\r\n", 'b', "\xef\xbb\xbfa -\r\n",
    'CRLF and a byte order mark');
removed("\xef\xbb\xbfa -\nb -\n", 'a', "\xef\xbb\xbfb -\n",
    'the first line behind one');
removed("a -\nb what is this\nb -\nc !\n", 'b', "a -\nc !\n",
    'a host goes, whatever is wrong elsewhere, or in its line');
spew($hosts, "a -\n");
is(tool_says('remove', $hosts, 'b'), "3 $hosts: no host \"b\"\n",
    'a host that is not there');
is(tool_says('remove', "$dir/none", 'b'),
    "1 $dir/none: no such file or directory\n", 'a file that is not there');


# where and how the file is written

my $inode = (stat $hosts)[1];
add_says($hosts, 'b', '-');
isnt((stat $hosts)[1], $inode, 'a file is replaced by another');
is(join(' ', glob "$dir/.store.*"), '', '... and none is left beside it');

symlink $hosts, "$dir/link";
is(add_says("$dir/link", 'c', '-'), "0 20002\n", 'a symlink');
ok(-l "$dir/link", '... stays one');
is(scalar(() = slurp($hosts) =~ /^/gm), 3, '... to the file that is changed');

link $hosts, "$dir/hard";
$inode = (stat $hosts)[1];
add_says($hosts, 'd', '-');
is((stat $hosts)[1], $inode, 'a file with two names is written in place');
is(slurp("$dir/hard"), slurp($hosts), '... for both');

is(add_says("$dir", 'd', '-'), "1 $dir: is not a regular file\n",
    'a directory is no file');

SKIP: {
    skip 'only root can become another user', 10 if $> != 0;

    my @nobody = ($^X, '-e',
        '$( = $) = 65534; $< = $> = 65534; exec @ARGV or die $!', $tool);
    my $mounted = "$dir/mounted";

    chmod 0755, $dir;
    mkdir $mounted, 0755;
    spew("$mounted/hosts", "a -\n");
    chown 65534, 65534, "$mounted/hosts";
    $inode = (stat "$mounted/hosts")[1];

    my ($status, $out) = run('', @nobody, 'add', "$mounted/hosts", 'b', '-');
    is("$status $out", "0 20001\n", 'nothing may be made beside the file');
    is(slurp("$mounted/hosts"), "a -\nb - port=20001\n",
        '... so it is written in place');
    is((stat "$mounted/hosts")[1], $inode, '... and is the same one');

    ($status) = run('', @nobody, 'remove', "$mounted/hosts", 'a');
    is("$status " . slurp("$mounted/hosts"), "0 b - port=20001\n",
        '... when it gets shorter, too');

    tool_says('add', "$mounted/hosts", 'c', '-');
    my @st = stat "$mounted/hosts";
    is("@st[4, 5]", '65534 65534', 'its owner stays when root replaces it');
    isnt($st[1], $inode, '... as it does');

    chown 0, 0, "$mounted/hosts";
    ($status, $out, my $errors) = run('', @nobody, 'add', "$mounted/hosts",
        'd', '-');
    is("$status $out$errors", "1 $mounted/hosts: is not writable here; mount "
        . "it, or better its directory, without \":ro\", and let root write "
        . "it\n", 'a file that can\'t be written says what to mount');
    is(scalar(() = slurp("$mounted/hosts") =~ /^/gm), 2, '... and stays');
    ($status, $out, $errors) = run('', @nobody, 'add', "$mounted/new", 'd',
        '-');
    like("$status $out$errors", qr/^1 \S+: is not writable here; mount it/,
        'nor can one be made there');
    ok(!-e "$mounted/new", '... and none is');
}

# many at once, while another looks

spew($hosts, "# first\n");
my @pids;

for my $n (1 .. 20) {
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', "$dir/port-$n" or POSIX::_exit(9);
        exec { $tool } $tool, 'add', $hosts, "host-$n", '-'
            or POSIX::_exit(9);
    }

    push @pids, $pid;
}

my $torn = 0;

while (@pids) {
    $torn++ if slurp($hosts) !~ /\A# first\n(?:host-\d+ - port=\d+\n)*\z/;
    @pids = grep { waitpid($_, POSIX::WNOHANG()) == 0 } @pids;
}

my %ports = map { $_ => 1 } map { slurp("$dir/port-$_") } 1 .. 20;
is(scalar(keys %ports), 20, '20 adds at once get a port each');
is(scalar(() = slurp($hosts) =~ /^host-/gm), 20, '... and a line each');
is(tool_says('check', $hosts), '0 ', '... of a file that is right');
is($torn, 0, '... and was at any time');


# board and list

is(tool_says('board', "$state/tunnels"), '0 ', 'an empty board is made');
my @st = stat "$state/tunnels";
is("$st[7] " . ($st[2] & 07777), 4096 + 65536 * 128 . ' ' . 0644,
    '... of its size, for all to read');
cmp_ok($st[12], '<', 64, '... that takes little memory');

SKIP: {
    my $shm = eval { File::Temp->newdir(DIR => '/dev/shm') };

    skip '/dev/shm is no tmpfs', 1
        if !$shm || `stat -f -c %T /dev/shm` ne "tmpfs\n";

    spew("$shm/hosts", "a - port=1024\nb - port=65535\n");
    tool_says('board', "$shm/tunnels");
    my $blocks = (stat "$shm/tunnels")[12];
    tool_says('list', $shm);
    is((stat "$shm/tunnels")[12], $blocks,
        'list takes no memory, which may be used up, for what is not there');
}


# Puts a record onto the board: pid, since, ended, logins, key, address.

sub record {
    my ($port, $pid, $since, $ended, $logins, $bytes, $address) = @_;

    open my $fh, '+<:raw', "$state/tunnels" or die "board: $!\n";
    seek $fh, 4096 + $port * 128, 0;
    print $fh pack 'LLQQQLLa32a48', 2, $pid, 1, $since, $ended, $logins, 0,
        sha256($bytes), $address;
    close $fh or die "board: $!\n";
}

my $longest = 'site/' . 'n' x 100;
spew("$state/hosts", line(<<"END"));
up {ed a} port=2000
down {ed b} port=2001 ports=n:1,m:2
never {ed c} port=2003
$longest - port=2004
none - port=2005
END

record(2000, 99, 1_790_000_000_123, 0, 1, ed25519('a'), '192.0.2.7');
record(2001, 0, 1_790_000_000_000, 1_790_000_060_000, 3, ed25519('b'),
    '192.0.2.8');
record(2004, 98, 1_790_000_000_000, 0, 1, ed25519('d'), '2001:db8::1');

my $list = decode_json((run('', $tool, 'list', '--json', $state))[1]);
my %print = map { $_ => 'SHA256:' . encode_base64(sha256(ed25519($_)), '')
    =~ s/=//r } 'a' .. 'd';

is_deeply($list, [
    { name => 'up', ports => [ 2000 ], fingerprint => $print{a},
        connected => JSON::PP::true, since => '2026-09-21T14:13:20Z',
        address => '192.0.2.7' },
    { name => 'down', ports => [ 2001, 2002 ], fingerprint => $print{b},
        connected => JSON::PP::false, since => '2026-09-21T14:14:20Z',
        address => undef },
    { name => 'never', ports => [ 2003 ], fingerprint => $print{c},
        connected => JSON::PP::false, since => undef, address => undef },
    { name => $longest, ports => [ 2004 ], fingerprint => $print{d},
        connected => JSON::PP::true, since => '2026-09-21T14:13:20Z',
        address => '2001:db8::1' },
    { name => 'none', ports => [ 2005 ], fingerprint => undef,
        connected => JSON::PP::false, since => undef, address => undef },
], 'list --json has each host and its tunnel');

my @lines = split /\n/, (run('', $tool, 'list', $state))[1];
is(join(' ', split ' ', $lines[0]),
    'NAME PORT FINGERPRINT STATE SINCE ADDRESS', 'list has a head');
is(join(' ', split ' ', $lines[1]),
    "up 2000 $print{a} up 2026-09-21T14:13:20Z 192.0.2.7", '... what is up');
is(join(' ', split ' ', $lines[2]),
    "down 2001-2002 $print{b} down 2026-09-21T14:14:20Z -", '... and down');
is(join(' ', split ' ', $lines[3]), "never 2003 $print{c} never - -",
    '... and never was up');
is(scalar(grep { index($_, 'SHA256') != index $lines[1], 'SHA256' }
    @lines[1 .. 4]), 0, '... in columns, however long a name is');

is(tool_says('board', "$state/tunnels"), '0 ', 'a board that is there');
is(decode_json((run('', $tool, 'list', '--json', $state))[1])->[0]{connected},
    JSON::PP::true, '... stays');
truncate "$state/tunnels", 4096;
like(tool_says('list', $state), qr{/tunnels: is no board of tunnels},
    'one that is cut off is none');
is(tool_says('board', "$state/tunnels"), '0 ', '... and is made anew');
like(tool_says('list', $state), qr/^up +2000 +\S+ +never +- +-$/m,
    '... with nothing known');

unlink "$state/hosts";
is(tool_says('list', '--json', $state), "0 []\n", 'no hosts file: no hosts');

done_testing();
