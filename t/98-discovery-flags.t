#!/usr/bin/perl

# t/98-discovery-flags.t: each flag of the discovery, right and wrong

use warnings;
use strict;

use File::Temp;
use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await);
use Discovery qw(free_port group run_discovery write_to);
use DiscoveryProxy;

my $root = "$FindBin::Bin/..";
my $dir = File::Temp->newdir;


sub slurp {
    my ($file) = @_;

    open my $fh, '<', "$root/$file" or die "$file: $!\n";
    local $/;

    return <$fh>;
}


# What it says of itself

my ($status, $help) = run_discovery('--help');
my %flag = map { /^  --([\w.-]+)(?:=(.*))?$/ ? ($1, $2) : () }
    split /\n/, $help;

my $page = slurp('docs/discovery-program.md');
my %documented = $page =~ /^\| `--([\w.-]+)(?:=([^`]*))?` \| .* \|$/mg;

is($status, 0, '--help is no mistake');
cmp_ok(scalar keys %flag, '>', 15, 'and says the flags');
is_deeply(\%documented, \%flag,
    'docs/discovery-program.md has every flag with its value, and no other');

# those of the sidecar that it replaces, with its defaults

my %theirs = (reloadurl => 'http://localhost:9090/-/reload',
    source => '/etc/prometheus/prometheus.yaml.base',
    target => '/etc/prometheus/prometheus.yaml', namespace => undef,
    labelname => undef, labelvalue => undef);

is_deeply([ grep { !exists $flag{$_}
    || (defined $theirs{$_} && $flag{$_} ne $theirs{$_}) } keys %theirs ], [],
    'the flags of the sidecar that it replaces are there, with its defaults');

($status, my $version) = run_discovery('--version');
like($version, qr/^monitoring-proxy-discovery \d+\.\d+\.\d+ \(libcurl/,
    '--version says it');


# What is wrong with a flag, and a word that its message has to have

my @static = '--static=127.0.0.1:1';
my @wrong = (
    [ 'an unknown flag', qr/unknown long flag '--nonsense'/, '--nonsense=1' ],
    [ 'a word', qr/unexpected word/, 'word' ],
    [ 'no value', qr/expected argument for flag '--dns'/, '--dns' ],
    [ 'a value of --dedupe', qr/--dedupe takes no value/, '--dedupe=yes' ],
    [ 'a reload without http', qr/--reloadurl: "x:1" doesn't begin with http/,
        '--reloadurl=x:1' ],
    [ 'a reload without a host', qr/--reloadurl: it is no valid URL/,
        '--reloadurl=http://' ],
    [ 'no host', qr/--static: ":80" has no host/, '--static=:80' ],
    [ 'no port', qr/--static: "a" has no port; it is HOST:PORT/,
        '--static=a' ],
    [ 'port 0', qr/--static: "a:0" has no port of 1 to 65535/,
        '--static=a:0' ],
    [ 'port 65536', qr/--static: .* port of 1 to 65535/, '--static=a:65536' ],
    [ 'port x', qr/--static: .* port of 1 to 65535/, '--static=a:x' ],
    [ 'a URL', qr/--static: "http:\/\/a:80" has more than one ":"/,
        '--static=http://a:80' ],
    [ 'a path', qr/--static: "a:80\/x" has no port of/, '--static=a:80/x' ],
    [ 'a host with a slash', qr/--static: "a\/b:80" has no host/,
        '--static=a/b:80' ],
    [ 'a host with a space', qr/--static: "a b:80" has no host/,
        '--static=a b:80' ],
    [ 'a host with @', qr/has no host/, '--static=a@b:80' ],
    [ 'a host with CRLF', qr/"a\?\?b:80" has no host/, "--static=a\r\nb:80" ],
    [ 'a host of 254 bytes', qr/has no host/, '--static=' . 'a' x 254 . ':1' ],
    [ 'a host of 4000 bytes', qr/too long/, '--static=' . 'a' x 4000 . ':1' ],
    [ 'a bare IPv6 address', qr/\[ADDRESS\]:PORT/, '--static=::1:80' ],
    [ 'a name in brackets', qr/IPv6/, '--static=[a]:80' ],
    [ 'empty brackets', qr/IPv6/, '--static=[]:80' ],
    [ 'one bracket', qr/IPv6/, '--static=[:80' ],
    [ 'a proxy twice', qr/--static: "a:1" is given twice/,
        '--static=a:1,b:1,a:1' ],
    [ 'a proxy twice, in two flags', qr/given twice/, '--static=a:1',
        '--static=a:1' ],
    [ 'nothing behind a comma', qr/--static: "" has no port/,
        '--static=a:1,' ],
    [ 'a name with port 0', qr/--dns: .*port of 1 to 65535/, '--dns=a:0' ],
    [ 'an SRV name with a port', qr/--dns: .*SRV/, '--dns=_a._tcp.b:1' ],
    [ 'a name twice', qr/--dns: "a" is given twice/, '--dns=a', '--dns=a' ],
    [ 'a long name', qr/--dns: /, '--dns=' . 'a' x 4000 ],
    [ 'a port of capitals', qr/--port: "HTTP" is no port/, '--port=HTTP' ],
    [ 'a port that is none', qr/--port: "0" is no port of/, '--port=0' ],
    [ 'no port at all', qr/--port: "" is no port/, '--port=' ],
    [ 'a namespace with a slash', qr/--namespace: "a\/b" is no namespace/,
        '--namespace=a/b' ],
    [ 'an API without http', qr/--apiserver: .*http/, '--apiserver=a:6443' ],
    [ 'a duration x', qr/--interval: "x" is no duration/, '--interval=x' ],
    [ 'an interval of 0', qr/--interval: "0" is less than a second/,
        '--interval=0' ],
    [ 'a negative time', qr/--keep: "-1s" is no duration/, '--keep=-1s' ],
    [ 'a level', qr/debug, info, warn or error/, '--log.level=all' ],
    [ 'a format', qr/logfmt or json/, '--log.format=xml' ],
    [ 'two addresses', qr/--metrics-addr has no effect with --sd-listen/,
        @static, '--sd-listen=:1', '--metrics-addr=:2' ],
    (map { [ "--$_ without files",
        qr/--$_ has no effect with --sd-listen, as no file/,
        @static, '--sd-listen=:1', "--$_=http://a" ] }
        qw(reloadurl source target lists promtool)),
    (map { [ "--$_ without a cluster", qr/--$_ has no effect with --static/,
        @static, "--$_=x" ] } qw(namespace labelname labelvalue port
        token-file cacert)),
    [ '--apiserver with names', qr/--apiserver has no effect with --dns/,
        '--dns=a', '--apiserver=http://a' ],
);

for my $row (@wrong) {
    my ($what, $says, @args) = @$row;
    my ($status, $said) = run_discovery(@args);

    is($status, 2, "$what ends it with 2") or diag $said;
    like($said, $says, '  says why');
    is($said =~ tr/\n//, 1, '  in one line') or diag $said;
}


# What is right, but can't be

my $taken = DiscoveryProxy->new;

for my $flag (qw(sd-listen metrics-addr)) {
    my @files = $flag eq 'sd-listen' ? () : files();

    ($status, my $said) = run_discovery(@static, @files,
        "--$flag=127.0.0.1:" . $taken->port);
    is($status, 1, "a port of --$flag that is taken ends it with 1");
    like($said, qr/err="127.0.0.1:\d+: Address already in use"/, '  says why');
}

for (['nowhere', qr/HOST:PORT/], ['host.invalid:1', qr/Name|name/],
    ['127.0.0.1:x', qr/not known/])
{
    my ($address, $why) = @$_;

    ($status, my $said) = run_discovery(@static, "--sd-listen=$address");
    is($status, 1, "--sd-listen=$address ends it with 1");
    like($said, $why, '  says why');
}

SKIP: {
    skip 'no promtool', 2 if !$ENV{MP_PROMTOOL};

    my ($source) = files();
    ($status, my $said) = run_discovery(@static, $source,
        "--target=$dir/none/prometheus.yaml");
    is($status, 1, 'a target that can\'t be written ends it with 1');
    like($said, qr/none.*No such file/, '  says why');
}


# What Prometheus' files are made of, and where

sub files {
    write_to("$dir/base", "global: {}\n");

    return ("--source=$dir/base", "--target=$dir/prometheus.yaml",
        '--promtool=' . ($ENV{MP_PROMTOOL} // '/bin/true'));
}


# Flags that are right, together

my $proxy = DiscoveryProxy->new->lists(group('a'));
my $address = $proxy->address;

my $d = Discovery->new('--static', $address, '--interval', '1s',
    '--keep=1h30m', '--dedupe', '--log.format=json', '--log.level=debug',
    '--sd-listen');

ok($d->ready, 'a value may be an argument of its own');
like($d->log, qr/^\{"time":.*"msg":"a proxy lists its targets",.*\}$/m,
    '--log.format=json');
is($d->listed, "a\@$address", 'and what it was told of is listed');
is($d->targets->[0]{labels}{replica}, undef, '--dedupe: without a replica');
is($d->stop, 0, 'it ends in order');

$d = Discovery->new("--static=$address", '--log.level=error', '--sd-listen');
ok($d->ready, 'it is ready');
is($d->log, '', '--log.level=error says nothing without one');
$d->signal('INT');
is($d->ended(5), 0, 'SIGINT ends it, too');


# Its metrics, whichever way it works

write_to("$dir/token", "token\n");

my @ways = ([ '--dns=localhost:1', files() ], [ '--apiserver=http://127.0.0.1:1',
    "--token-file=$dir/token", '--namespace=x', '--cacert=', '--sd-listen' ]);
my %served;

for my $way (@ways) {
    $d = Discovery->new(@$way);

    ok(await(20, sub { $d->page('/metrics') }), 'it serves metrics')
        or diag $d->log;
    %served = (%served, (($d->page('/metrics') // {})->{body} // '')
        =~ /^# TYPE (\S+) (\w+)$/mg);
    is($d->stop, 0, 'it ends in order');
}

is_deeply({ $page =~ /^\| `((?:monitoring_proxy|process)_\w+)` \| (\w+) \|/mg },
    \%served, 'docs/discovery-program.md has every metric, and no other');

done_testing();
