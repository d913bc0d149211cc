#!/usr/bin/perl

# t/62-client-flags.t: each flag of the poll client, right and wrong

use warnings;
use strict;

use File::Temp;
use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await);
use Http qw(request);
use PollClient qw(free_port run_client write_to);
use PollProxy;

my $root = "$FindBin::Bin/..";
my $dir = File::Temp->newdir;
my $proxy = PollProxy->new;
my $exporter = Backend->new;
my $target = 'http://127.0.0.1:' . $exporter->port . '/metrics';


sub slurp {
    my ($file) = @_;

    open my $fh, '<', "$root/$file" or die "$file: $!\n";
    local $/;

    return <$fh>;
}


# A client of the proxy, polling as 127.0.0.1 if no other name is given.

sub client {
    my $o = ref $_[0] ? shift : {};
    my @args = @_;

    unshift @args, '--fqdn=127.0.0.1' if !grep { /^--(?:fqdn|pull)/ } @args;

    return PollClient->new($o, '--proxy-url=' . $proxy->url, @args);
}


# What it says of itself

my ($status, $help) = run_client('--help');
my %flag = map { /^  --(\S+?)=(.*)$/ ? ($1, $2) : () } split /\n/, $help;
my $page = slurp('docs/client.md');
my %documented = $page =~ /^\| `--([\w.-]+)=([^`]*)` \|/mg;

is($status, 0, '--help is no mistake');
cmp_ok(scalar keys %flag, '>', 15, 'and says the flags');
is_deeply(\%documented, \%flag,
    'docs/client.md has every flag with its value, and no other');

# those of PushProx's client, with its defaults

my %theirs = ('fqdn' => undef, 'proxy-url' => undef, 'tls.cacert' => undef,
    'tls.cert' => undef, 'tls.key' => undef, 'metrics-addr' => ':9369',
    'proxy.retry.initial-wait' => '1s', 'proxy.retry.max-wait' => '5s',
    'log.level' => 'info', 'log.format' => 'logfmt', 'pull-url' => undef);

is_deeply([ grep { !exists $flag{$_}
    || (defined $theirs{$_} && $flag{$_} ne $theirs{$_}) } keys %theirs ], [],
    'the flags of PushProx\'s client are there, with its defaults');

($status, my $version) = run_client('--version');
my ($packaged) = slurp('client/debian/changelog') =~ /\((.*?)\)/;
like($version, qr/^monitoring-proxy-client \Q$packaged\E \(libcurl/,
    '--version is that of the package');

# What is wrong with a flag, and a word that its message has to have

my @url = '--proxy-url=http://127.0.0.1:1';
my @wrong = (
    [ 'no proxy', qr/required flag --proxy-url not provided/ ],
    [ 'an unknown flag', qr/unknown long flag '--nonsense'/, '--nonsense=1' ],
    [ 'a word', qr/unexpected word/, 'word' ],
    [ 'no value', qr/expected argument for flag '--fqdn'/, @url, '--fqdn' ],
    [ 'a proxy without http', qr/--proxy-url: .*http/,
        '--proxy-url=proxy:8080' ],
    [ 'ftp', qr/--proxy-url: .*http/, '--proxy-url=ftp://proxy' ],
    [ 'no host', qr/--proxy-url: /, '--proxy-url=http://' ],
    [ 'a query', qr/--proxy-url: .*query/, '--proxy-url=http://a/?b' ],
    [ 'one proxy twice', qr/--proxy-url: .*twice/, @url, "@url/" ],
    [ 'a name with a space', qr/"a b" is no name/, @url, '--fqdn=a b' ],
    [ 'a name with a slash', qr/--fqdn: "a\/b" is no name/, @url,
        '--fqdn=a/b' ],
    [ 'a pinned name with a slash', qr/--pull-url: "a\/b=http/, @url,
        '--pull-url=a/b=http://h/' ],
    [ 'an empty name', qr/is no name/, @url, '--fqdn=' ],
    [ 'a name of 300 bytes', qr/is no name/, @url, '--fqdn=' . 'a' x 300 ],
    [ 'a name with port 0', qr/port/, @url, '--fqdn=a:0' ],
    [ 'a name with port 65536', qr/port/, @url, '--fqdn=a:65536' ],
    [ 'a name with CRLF', qr/is no name/, @url, "--fqdn=a\r\nb" ],
    [ 'a certificate alone', qr/needs its key/, @url, '--tls.cert=x' ],
    [ 'a key alone', qr/needs its key/, @url, '--tls.key=x' ],
    [ 'a target\'s certificate alone', qr/needs its key/, @url,
        '--target.cert=x' ],
    [ 'a pinned file', qr/--pull-url: .*http/, @url, '--pull-url=file:///etc/passwd' ],
    [ 'a pinned name twice', qr/more than one|twice/, @url,
        '--pull-url=a=http://h/', '--pull-url=a=http://i/' ],
    [ 'two pinned without a name', qr/twice/, @url, '--pull-url=http://h/',
        '--pull-url=http://i/' ],
    [ 'a relative socket', qr/absolute/, @url, '--pull-url=unix:a.sock' ],
    [ 'a long socket', qr/107/, @url, '--pull-url=unix:/' . 'a' x 108 ],
    [ 'a pinned fragment', qr/fragment/, @url, '--pull-url=http://h/#a' ],
    [ 'a pinned space', qr/URL|encoded/, @url, '--pull-url=http://h/a b' ],
    [ 'port 0', qr/--allow-port: .*no port/, @url, '--allow-port=0' ],
    [ 'port 65536', qr/--allow-port: /, @url, '--allow-port=65536' ],
    [ 'port x', qr/--allow-port: /, @url, '--allow-port=x' ],
    [ 'a label without =', qr/NAME=VALUE/, @url, '--label=env' ],
    [ 'a label 1a', qr/NAME=VALUE/, @url, '--label=1a=b' ],
    [ 'a label with -', qr/NAME=VALUE/, @url, '--label=a-b=c' ],
    [ 'a label __x', qr/Prometheus/, @url, '--label=__x=c' ],
    [ 'a label job', qr/Prometheus/, @url, '--label=job=c' ],
    [ 'a label instance', qr/Prometheus/, @url, '--label=instance=c' ],
    [ 'a label with a tab', qr/control/, @url, "--label=a=b\tc" ],
    [ 'a duration x', qr/no duration/, @url, '--proxy.hold=x' ],
    [ 'a bare number', qr/no duration/, @url, '--proxy.hold=5' ],
    [ 'a negative one', qr/no duration/, @url, '--proxy.hold=-1s' ],
    [ 'a week', qr/longer than a day/, @url, '--proxy.hold=168h' ],
    [ 'a wait past the longest', qr/max-wait is less/, @url,
        '--proxy.retry.initial-wait=10s' ],
    [ 'a level', qr/debug, info, warn or error/, @url, '--log.level=all' ],
    [ 'a format', qr/logfmt or json/, @url, '--log.format=xml' ],
);

for my $row (@wrong) {
    my ($what, $says, @args) = @$row;
    my ($status, $said) = run_client(@args);

    is($status, 2, "$what ends it with 2") or diag $said;
    like($said, $says, '  says why');
    is($said =~ tr/\n//, 1, '  in one line') or diag $said;
}

for my $flag (qw(tls.cacert token-file target.cacert)) {
    my ($status, $said) = run_client(@url, "--$flag=/nonexistent");

    is($status, 1, "--$flag that isn't there ends it with 1, as it may come");
    like($said, qr{/nonexistent.*No such file}, '  and is named');
}

# --fqdn, --proxy.hold, --label: what a poll is

my $client = client('--fqdn=c1.example.com', '--label=env=prod',
    '--label', 'team=da"ta \\', '--proxy.hold', '1m30s');
my $poll = $proxy->poll;

is($poll->{line}, 'POST /poll HTTP/1.1', 'it polls');
is($poll->{body}, 'c1.example.com', 'its name is the body');
is($poll->{headers}{prefer}, 'wait=90', '--proxy.hold is what it prefers');
is($poll->{headers}{'prom-poll-labels'}, 'env="prod",team="da\\"ta \\\\"',
    '--label is sent, quoted as in Prometheus\' text format');
is($client->stop, 0, 'SIGTERM ends it, though a poll is held');

$client = client('--proxy.hold=0');
ok(!exists $proxy->poll->{headers}{prefer},
    '--proxy.hold=0 leaves the time to the proxy');
$client->stop;

# without --fqdn

$client = PollClient->new('--proxy-url=' . $proxy->url);
my ($host) = map { chomp; $_ } `hostname -f 2>/dev/null || hostname`;
is($proxy->poll->{body}, $host, 'its name is the host\'s if none is given');
$client->stop;

# --allow-port

my $port = $exporter->port;

$client = client('--allow-port=1', "--allow-port=$port");
is($proxy->scrape($target)->{status}, 200, 'a port of --allow-port may be');
my $answer = $proxy->scrape('http://127.0.0.1:2/');
is($answer->{status}, 500, 'and another is not');
like($answer->{body}, qr/port 2 .*--allow-port/, 'and the answer says why');
$client->stop;

$client = client('--allow-port=1', '--allow-port=*');
is($proxy->scrape($target)->{status}, 200, '--allow-port=* is any');
$client->stop;

# --pull-url, several, and PROM_TOKEN

$exporter->arrived;
$client = client({ env => { PROM_TOKEN => 'secret' } },
    "--pull-url=a=http://127.0.0.1:$port/first",
    "--pull-url=b:9200=http://127.0.0.1:$port/second?x=1");
is($proxy->scrape('http://a:9100/metrics?q=1', name => 'a')->{body},
    "GET /first?q=1 HTTP/1.1\n", '--pull-url NAME=URL is what its name gets');
is($proxy->scrape('http://b:9200/metrics?q=1', name => 'b:9200')->{body},
    "GET /second?x=1 HTTP/1.1\n", 'and another one its own, with its query');
like(($exporter->arrived)[0], qr/^x-prom-pull-token: secret\r$/mi,
    'PROM_TOKEN goes to a pinned URL');
$client->stop;

$client = client({ env => { PROM_TOKEN => 'secret' } });
$proxy->scrape($target);
unlike(($exporter->arrived)[0], qr/secret/, 'and nowhere else');
$client->stop;

# --token-file, reread

my $token = "$dir/token";
write_to($token, "first\n");
$client = client("--token-file=$token");
$poll = $proxy->poll;
is($poll->{headers}{authorization}, 'Bearer first', '--token-file is sent');

write_to($token, "second\n");
ok(await(60, sub {
    $proxy->answer($poll, '', status => 204);
    $proxy->idle(0.5);
    $poll = $proxy->poll // return;
    $poll->{headers}{authorization} eq 'Bearer second';
}), 'a token that changed is sent without a restart');

unlink $token;
$proxy->idle(1.1);
$proxy->answer($poll, '', status => 204);
$poll = $proxy->poll;
is($poll->{headers}{authorization}, 'Bearer second',
    'one that is gone stays what it was');
like($client->log, qr/can't be read.*\Q$token\E/, 'and the log says so');

$proxy->answer($poll, ($proxy->scrape_text($target, id => 'x' x 36))[1]);
is($proxy->request('/push')->{headers}{authorization}, 'Bearer second',
    'a push has it, too');
unlike(($exporter->arrived)[-1], qr/second/, 'and no exporter gets it');
unlike($client->log, qr/second/, 'and no log');
$client->stop;

# --proxy.retry

$client = client('--proxy.retry.initial-wait=10ms',
    '--proxy.retry.max-wait=50ms');
my $polls = 0;

while (my $poll = $proxy->poll(undef, 1)) {
    $proxy->answer($poll, '', status => 503);
    last if ++$polls == 10;
}

is($polls, 10, '--proxy.retry.* say how soon it polls again');
ok(await(60, sub {
    my @lines = $client->log =~ /^.*poll failed.*503.*$/mg;
    return @lines == 10;
}), 'each failure is one line') or diag $client->log;
$client->stop;

# a web proxy on the way, and none

$client = PollClient->new({ env => { HTTP_PROXY => $proxy->url } },
    '--proxy-url=http://proxy.invalid:8080', '--fqdn=127.0.0.1');
my $through = $proxy->request('http://proxy.invalid:8080/poll');
ok($through, 'HTTP_PROXY is asked for the proxy');
is($through->{body}, '127.0.0.1', 'and gets the poll');
$client->stop;

$client = PollClient->new({ env => { HTTP_PROXY => $proxy->url,
    NO_PROXY => '.invalid' } }, '--proxy-url=http://proxy.invalid:8080',
    '--fqdn=127.0.0.1');
ok(await(60, sub { $client->log =~ /poll failed.*resolve/i }),
    'NO_PROXY: it isn\'t');
$client->stop;

# --log.*

$client = client('--log.format=json', '--log.level=debug');
$proxy->scrape($target);
like($client->log, qr/^\{.*"msg":"got scrape request".*\}$/m,
    '--log.format=json and --log.level=debug');
$client->stop;

$client = client('--log.level=error');
$proxy->poll;
is($client->log, '', '--log.level=error says nothing without one');
$client->stop;

# --metrics-addr

my $metrics_port = free_port();

$client = client("--metrics-addr=127.0.0.1:$metrics_port");
$proxy->scrape($target);
$proxy->poll;

my $metrics;
ok(await(60, sub {
    $metrics = eval { request($metrics_port, path => '/metrics') };
    ($metrics->{body} // '') =~ /client_scrapes_total 1$/m;
}), '--metrics-addr serves its metrics') or diag explain $metrics;

my @served = $metrics->{body} =~ /^# TYPE (\S+) \w+$/mg;
my @told = $page =~ /^\| `((?:monitoring_proxy|pushprox|process)_\w+)` \|/mg;

is_deeply([ sort @told ], [ sort @served ],
    'docs/client.md has every metric, and no other');
like($metrics->{body}, qr/^pushprox_client_${_}_errors_total 0$/m,
    "PushProx's pushprox_client_${_}_errors_total is there")
    for qw(poll scrape push);
like($metrics->{body}, qr/^monitoring_proxy_client_connected\{.*\} 1$/m,
    'and whether it is connected');
SKIP: {
    skip 'no promtool', 1 if !$ENV{MP_PROMTOOL};

    open my $pipe, '|-', "$ENV{MP_PROMTOOL} check metrics >/dev/null 2>&1"
        or die "promtool: $!\n";
    print $pipe $metrics->{body};
    close $pipe;
    is($? >> 8 & ~3, 0, 'promtool reads them');
}

# two on one host

my $second = client("--metrics-addr=127.0.0.1:$metrics_port");
ok($proxy->poll, 'a port that is taken doesn\'t keep it from polling');
like($second->log, qr/no metrics are served.*in use/i, 'and the log says so');
is($second->stop, 0, 'it ends in order');
is($client->stop, 0, 'and so does the first');

done_testing();
