#!/usr/bin/perl

# t/36-certificates.t: a certificate for a NAME is that host, with the ports of
# its line, whatever else is in the certificate, and only as long as it is good

use warnings;
use strict;

use FindBin;
use MIME::Base64 ();
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Container qw(await command directory read_file write_file);
use Host;
use Proxy qw(entry key public_key);

my $keys = directory();
my $number = 0;
my $seconds = 2;

# "bind FILE OPTIONS": 0 if these forwards are allowed to a certificate, or to
# the key that has none. ssh alone would offer the key first.

my $functions = <<'EOT';
only() {
    [ ! -e $1-cert.pub ] || echo "-o PubkeyAcceptedAlgorithms=$(
        cut -d' ' -f1 $1-cert.pub | sed s/ssh-rsa/rsa-sha2-512/)"
}
bind() {
    KEY=/certificates/$1
    with "$(only $KEY) $2" true 2> /tmp/error
    echo "bind: $?"
}
stays() {
    command ssh -F /keys/config -i /certificates/$1 -M -S /tmp/$1 -f -N -T \
        $(only /certificates/$1) $2 $S
}
EOT


# A certificate by "ca" for a key of its own: principals and ssh-keygen's
# options. Options in a hash in front: ca, key (label), type. The name of its
# file.

sub certificate {
    my $o = ref $_[0] ? shift : {};
    my ($principals, @options) = @_;

    my $name = 'c' . ++$number;
    my $type = $o->{type} // 'ed25519';
    my $label = $o->{key} // 'fleet';
    my $id = "$keys/$name";

    write_file($id, read_file(key($type, $label)), 0600);
    write_file("$id.pub", public_key($type, $label) . "\n");

    my $r = command('ssh-keygen', '-q', '-s', key('ed25519', $o->{ca} // 'ca'),
        '-I', 'a certificate of a test',
        defined $principals ? ('-n', $principals) : (), @options, "$id.pub");
    $r->{status} == 0 or die "ssh-keygen: $r->{out}";

    return $name;
}


# A certificate with nothing of its own but a byte that isn't what was signed.

sub changed {
    my ($name, $from, $to) = @_;

    my ($type, $blob) = split / /, read_file("$keys/$name-cert.pub");
    my $bytes = MIME::Base64::decode_base64($blob);
    $bytes =~ s/\Q$from\E/$to/ or die "no $from in the certificate\n";
    write_file("$keys/$name-cert.pub",
        "$type " . MIME::Base64::encode_base64($bytes, '') . "\n");

    return $name;
}


sub sessions {
    my ($proxy) = @_;

    return $proxy->scrape('/metrics')->{body}
        =~ /^monitoring_proxy_sessions\{key="host"\} (\d+)$/m ? $1 : -1;
}


# the parts: 20001 and 20002 are a's, 20003 b's, 20004 is that of a host with
# a key

my $text = "a - port=20001 ports=one:9100,two:9104\nb - port=20003\n"
    . 'keyed ' . entry('keyed') . " port=20004\nmonitoring-c - port=20005\n";

my $proxy = Proxy->start(key => public_key('ed25519', 'shared'),
    targets => "localhost:20006 shared\n", hosts => $text,
    ssh_ca => join '', map { public_key('ed25519', $_) . "\n" }
        'ca', 'second');
my $directory = $proxy->{files}{directory};

my $host = Host->start(options => [ '-v', "$keys:/certificates:ro" ]);
$host->reaches($proxy, 'proxy');
ok(await(60, sub { $host->sh('proxy', 'get localhost:9100')->{status} == 0 }),
    'the host has a node_exporter');


# Runs the script on the host once nobody is connected there any more.

sub sh {
    my ($script) = @_;

    await(60, sub { sessions($proxy) == 0 })
        or die 'a session stays: ', $proxy->logs;

    return $host->sh('proxy', "$functions\n$script");
}


sub forwards { return join ' ', map { "-R $_:localhost:9100" } @_ }


# Whether a tunnel by that certificate gets the ports; then what it said.

sub gets {
    my ($certificate, @ports) = @_;

    my $ports = forwards(@ports);
    my $r = sh("bind $certificate '$ports'; cat /tmp/error");

    return (scalar $r->{out} =~ /^bind: 0$/m, $r->{out});
}


sub accepts {
    my ($what, $certificate, @ports) = @_;

    my ($gets, $said) = gets($certificate, @ports);
    ok($gets, $what) or diag $said, $proxy->logs;
}


sub refuses {
    my ($what, $certificate, @ports) = @_;

    for my $port (@ports) {
        my ($gets) = gets($certificate, $port);
        ok(!$gets, "$what: port $port is refused") or diag $proxy->logs;
    }
}


# Opens a tunnel that stays; its socket is /tmp/NAME.

sub stays {
    my ($certificate, $port) = @_;

    my $r = sh("stays $certificate '" . forwards($port) . "'");

    $r->{status} == 0 or diag $r->{out}, $proxy->logs;

    return $r->{status} == 0;
}


# its ports and no other's

my $a = certificate('a');

accepts('a certificate for a name has the ports of its line', $a,
    20001, 20002);
like($host->sh('proxy', "KEY=/certificates/$a; with '"
    . forwards(20001, 20002) . "' 'get \$S/a/two/metrics'")->{out},
    qr/^node_cpu/m, 'and is scraped by that name') or diag $proxy->logs;
refuses('and no other', $a, 20003, 20004, 20005, 20006, '*:20001', 0,
    '127.0.0.1:20001');
accepts('another of the same key has those of its own', certificate('b'),
    20003);
accepts('a host with a key may have a certificate too', certificate('keyed'),
    20004);
accepts("a certificate of another host's key is that of its name",
    certificate({ key => 'keyed' }, 'a'), 20001);
accepts('RSA', certificate({ type => 'rsa-2048' }, 'a'), 20001);
accepts('a second authority', certificate({ ca => 'second' }, 'b'), 20003);

for my $case ([ 'shell', '$S "echo got-\$((40+2))" | grep got-42' ],
    [ '-L', '-W localhost:80 $S < /dev/null | grep HTTP' ])
{
    my ($what, $script) = @$case;
    my $r = sh("KEY=/certificates/$a; ssh $script");
    isnt($r->{status}, 0, "it has no $what");
}


# principals

refuses('two hosts', certificate('a,b'), 20001, 20003);
refuses('no principal', certificate(undef), 20001, 20003);
refuses('an unknown principal', certificate('nobody'), 20001, 20006);
refuses($_, certificate($_), 20001, 20003, 20006)
    for '*', '?', 'monitoring', 'root';
refuses('a part of a name', certificate('monitoring-'), 20005);
refuses('a name in capitals', certificate('A'), 20001);
refuses('a name and a space', certificate('a '), 20001);
refuses('not a name', certificate('!b,*'), 20001);
accepts('a host and groups', certificate('fleet,a,web'), 20001);


# when, and by whom

sub at { strftime('%Y%m%d%H%M%SZ', gmtime($_[0])) }

refuses('expired', certificate('a', '-V', at(time - 100) . ':' . at(time - 2)),
    20001);
refuses('not yet valid', certificate('a', '-V', at(time + 300) . ':'
    . at(time + 600)), 20001);
refuses('another authority', certificate({ ca => 'unknown' }, 'a'), 20001);
refuses('its own authority', certificate({ ca => 'fleet' }, 'a'), 20001);
refuses("signed by a host's key", certificate({ ca => 'keyed' }, 'a'), 20001);
refuses('signed by a shared key', certificate({ ca => 'shared' }, 'a'), 20001);
refuses('of a host, not a user', certificate('a', '-h'), 20001);
refuses('changed after it was signed', changed(certificate('b'),
    pack('N/a*', 'b'), pack('N/a*', 'a')), 20001, 20003);


# what it asks for

refuses('another critical option', certificate('a', '-O', 'critical:x=y'),
    20001);
refuses('permitlisten as a critical option', certificate('a', '-O',
    'critical:permitlisten=localhost:20003'), 20001, 20003);
refuses('another address', certificate('a', '-O', 'source-address=192.0.2.1'),
    20001);
refuses('no permit-port-forwarding', certificate('a', '-O', 'clear'), 20001);

my $asking = certificate('a', '-O', 'extension:permitlisten=*:*', '-O',
    'extension:permitlisten@openssh.com=localhost:20003',
    '-O', 'source-address=0.0.0.0/0', '-O', 'force-command=echo got-42');
accepts('extensions change nothing', $asking, 20001);
refuses('extensions change nothing', $asking, 20003, '*:20001', 0);
unlike(sh("KEY=/certificates/$asking; ssh \$S")->{out}, qr/got-42/,
    'nor is a command executed');


# each for its own reason

for my $reason ('Certificate does not contain an authorized principal',
    'Certificate critical option "x" is not supported',
    'Certificate critical option "permitlisten" is not supported',
    'not from a permitted source address')
{
    like($proxy->logs, qr/^sshd: .*\Q$reason\E/m, "the log says: $reason");
}

for my $authority (qw(unknown fleet keyed shared)) {
    my ($fingerprint) = command('ssh-keygen', '-l', '-f',
        key('ed25519', $authority))->{out} =~ /(SHA256:\S+)/;
    like($proxy->logs, qr/^sshd:\ Failed\ publickey\ .*-CERT\ .*
        \ CA\ ED25519\ \Q$fingerprint\E/mx,
        "the log has the fingerprint of the authority \"$authority\"");
}


# one connection, by whatever

my $keyed = certificate('keyed');
write_file("$keys/plain", read_file(key('ed25519', 'keyed')), 0600);

for my $case ([ $keyed, 'plain', 'a certificate, and a key' ],
    [ 'plain', $keyed, 'a key, and a certificate' ],
    [ $keyed, certificate('keyed', '-z', 7), 'two certificates' ])
{
    my ($first, $then, $what) = @$case;

    ok(stays($first, 20004), "$what: one is connected");
    my $r = $host->sh('proxy', "$functions\nbind $then '"
        . forwards(20004) . "'");
    like($r->{out}, qr/^bind: [1-9]/m, "$what: the other is refused");
    ok(sessions($proxy) == 1 && $proxy->hosts->{keyed}{connected},
        "$what: they are one host") or diag $proxy->logs;
    $host->sh('proxy', "ssh -S /tmp/$first -O exit \$S");
}


# how it ends

await(60, sub { sessions($proxy) == 0 });
my $end = int(time) + 6;

ok(stays(certificate('a', '-V', at(time - 60) . ':' . at($end)), 20001),
    'one that is good for a few seconds connects');
cmp_ok($proxy->open_for($end, 20001), '<', $seconds,
    'when it expires, its tunnel ends') or diag $proxy->logs;
cmp_ok(time, '>=', $end, 'not before');
ok(!$proxy->hosts->{a}{connected}, 'list says so');
like($proxy->logs, qr/^sessions: a: ended: its certificate has expired/m,
    'and the log why');

my @staying = (certificate({ ca => 'second' }, 'b'), 'plain');

ok(stays($a, 20001), 'two authorities, and a key');

for ([ $staying[0], 20003 ], [ $staying[1], 20004 ]) {
    my ($id, $port) = @$_;

    $host->sh('proxy', "$functions\nstays $id '" . forwards($port) . "'");
    ok($proxy->listens($port), "of $id") or diag $proxy->logs;
}

my $ca = "$directory/ssh_ca.pub";

write_file($ca, read_file($ca) . "hello\n");
ok($proxy->logged(qr{^sessions: /etc/monitoring/ssh_ca\.pub:3:1: \S}m),
    'a mistake in the authorities is told') or diag $proxy->logs;
ok($proxy->listens(20001), 'and ends no tunnel');

write_file($ca, public_key('ed25519', 'second') . "\n");
cmp_ok($proxy->open_for(time, 20001), '<', $seconds,
    'when its authority is taken out, its tunnel ends') or diag $proxy->logs;
ok($proxy->listens(20003) && $proxy->listens(20004), 'others stay');
like($proxy->logs, qr/^sessions: a: ended: its certificate is not signed by/m,
    'the log says why');
$host->sh('proxy', "$functions\nbind $a '" . forwards(20001) . "'")->{out}
    =~ /^bind: (\d+)$/m;
ok($1, 'nor does it get in again');

write_file($ca, "# none\n");
cmp_ok($proxy->open_for(time, 20003), '<', $seconds,
    'and with the last one, all');
ok($proxy->listens(20004), 'but a key');

done_testing();
