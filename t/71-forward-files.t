#!/usr/bin/perl

# t/71-forward-files.t: the forward proxy of the image with files of one's own:
# a certificate, clients' certificates, users and a key for CheckMe, each
# replaced while a real Prometheus scrapes, and the log's lines for it pasted

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory network read_file replace test_image
    write_file);
use Forward;
use Prometheus;
use Proxy qw(@confined);

my $dir = directory();
my $network = network();
my $etc = directory();
my $config = directory();


# Variables of the forward proxy, with their prefix.

sub forward {
    my (%values) = @_;

    return { map { ("MONITORING_PROXY_FORWARD_$_" => $values{$_}) }
        keys %values };
}


# In the files of the proxy or of Prometheus, by its name there.

sub put {
    my ($in, $name, @parts) = @_;

    replace("$in/$name", join '', map { read_file("$dir/$_") } @parts);
}


authority($dir, $_) for qw(ca clients others);
certificate($dir, 'exporter', ca => 'ca', names => 'DNS:exporter');
certificate($dir, 'own', ca => 'ca', names => 'DNS:*.x,DNS:proxy');
certificate($dir, 'prometheus', ca => 'clients');
certificate($dir, 'stranger', ca => 'others');
certificate($dir, 'old', ca => 'clients', expired => 1);
chmod 0644, glob "$dir/*.key";

write_file("$dir/web.yml", "tls_server_config:\n  cert_file: /x/exporter.crt\n"
    . "  key_file: /x/exporter.key\n");
my $exporter = Container->run(image => test_image(),
    options => [ '--network', $network, '--network-alias', 'exporter', '-v',
        "$dir:/x:ro" ],
    command => [ 'prometheus-node-exporter', '--collector.disable-defaults',
        '--collector.uname', '--web.config.file=/x/web.yml' ]);

# one without TLS that tells what it is asked

my $seen = Container->run(image => test_image(),
    options => [ '--network', $network, '--network-alias', 'seen' ],
    command => [ 'perl', '-MIO::Socket::INET', '-e',
        'my $l = IO::Socket::INET->new(LocalPort => 9101, Listen => 5,
            ReuseAddr => 1); $| = 1; while (my $s = $l->accept) {
            while (<$s>) { print; last if /^\r/ }
            print $s "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n",
                "seen 1\n"; close $s }' ]);


# the proxy

mkdir "$etc/tls" or die "tls: $!\n";
put($etc, 'tls/server.crt', 'own.crt');
put($etc, 'tls/server.key', 'own.key');
chmod 0600, "$etc/tls/server.key";
put($etc, 'ca.pem', 'ca.crt');
put($etc, 'clients.pem', 'clients.crt');
write_file("$etc/users", hashed('one', 'first'));
write_file("$etc/checkme", "the first key of this test\r\n");

my $proxy = Proxy->start(directory => $etc, key => undef, network => $network,
    options => [ '--network', $network, '--network-alias', 'proxy',
        @confined ],
    env => forward(ALLOW => "exporter:9100\n seen:9101",
        SCHEME => 'auto', HTTP => 'seen:9101',
        map { ($_->[0] => "/etc/monitoring/$_->[1]") } [ CA => 'ca.pem' ],
        [ CLIENT_CA => 'clients.pem' ], [ USERS => 'users' ],
        [ CHECKME_KEY_FILE => 'checkme' ]));

like($proxy->logs, qr{^\ {4}proxy_url:\ https://proxy:4445/\n\ {4}tls_config:\n
    \ {6}ca_file:\ FILE\ \#\ the\ certificate\ of\ CN=authority\ ca$}mx,
    'the log has the names of a certificate of one\'s own');


# another one, which makes its certificate

my $bastion = Proxy->start(directory => directory(), writable => 1,
    key => undef, network => $network,
    options => [ '--network', $network, '--network-alias', 'bastion' ],
    env => forward(ALLOW => 'seen:9101', SCHEME => 'http',
        NAMES => 'bastion,192.0.2.1'));

my ($pasted) = $bastion->logs
    =~ /^( {4}proxy_url: .*?-----END CERTIFICATE-----\n)/ms;


# Prometheus

sub job {
    my ($name, $scheme, $user, $certificate) = @_;

    my $of = $certificate ? "cert_file: $certificate.crt, "
        . "key_file: $certificate.key, " : '';

    return <<"EOT";
  - job_name: $name
    scheme: $scheme
    proxy_url: https://${user}proxy:4445/
    tls_config: { $of ca_file: ca.pem }
    static_configs: [ { targets: ['exporter:9100'] } ]
EOT
}

for my $name (qw(prometheus stranger old)) {
    put($config, "$name.$_", "$name.$_") for qw(crt key);
}

put($config, 'ca.pem', 'ca.crt');
chmod 0644, glob "$config/*.key";

my $one = 'one:first@';

write_file("$config/prometheus.yml", join '',
    "global: { scrape_interval: 1s }\nscrape_configs:\n",
    job('upgraded', 'http', $one, 'prometheus'),
    job('connect', 'https', $one, 'prometheus'),
    job('none', 'http', $one),
    job('none-connect', 'https', $one),
    job('stranger', 'https', $one, 'stranger'),
    job('old', 'https', $one, 'old'),
    job('old-http', 'http', $one, 'old'),
    job('nobody', 'https', '', 'prometheus'),
    job('two', 'http', 'two:second@', 'prometheus'),
    "  - job_name: pasted\n", $pasted // '',
    "    static_configs: [ { targets: ['seen:9101'] } ]\n");

my $prometheus = Prometheus->start($config, $network);


sub target {
    my ($job) = @_;

    my ($target) = grep { $_->{labels}{job} eq $job } $prometheus->targets->@*;

    return $target;
}

sub up {
    my ($job, $promise) = @_;

    ok(await(20, sub { target($job)->{health} eq 'up' }), $promise)
        or diag eval { target($job)->{lastError} } // $@, $proxy->logs;
}

sub down {
    my ($job, $reason, $promise) = @_;

    ok(await(20, sub { target($job)->{lastError} =~ $reason }), $promise)
        or diag eval { target($job)->{lastError} } // $@, $proxy->logs;
}


# who may

my $expired = qr/client certificate is refused: certificate has expired/;

up('pasted', 'the lines of the log, pasted as they are');
up('upgraded', 'with a certificate and a password');
up('connect', '... by CONNECT');
down('none', qr/403 this proxy wants a client certificate/,
    'without a certificate');
down('none-connect', qr/: this proxy wants a client certificate/,
    '... by CONNECT');
down('stranger', qr/the client certificate is refused: /,
    'with that of another authority');
down('old', $expired, 'with one that has expired');
down('old-http', $expired, '... in absolute form');
down('nobody', qr/this proxy wants a user and a password/,
    'with a certificate alone');
down('two', qr/407 this proxy knows no such user/, 'as somebody else');


# users, in a file that takes the place of the other

replace("$etc/users", hashed('two', 'second'));
up('two', 'another user is let in');
down('upgraded', qr/407 this proxy knows no such user/,
    '... and not the first');

write_file("$etc/users", hashed('one', 'first') . hashed('two', 'second'));
up('upgraded', 'who is back, is let in');


# certificates of clients

put($etc, 'clients.pem', 'others.crt');
ok($proxy->logged(
    qr{^certificates: read again: /etc/monitoring/clients\.pem$}m),
    'another authority is read, and the log says which file was');
up('stranger', '... whose clients are let in');
down('upgraded', qr/the client certificate is refused: /,
    '... and not the other\'s');
up('connect', '... but a tunnel lives on');

replace("$etc/clients.pem", "none\n");
ok($proxy->logged(
    qr{^certificates: not taken: /etc/monitoring/clients\.pem; }m),
    'one with a mistake is not taken');
up('stranger', '... and changes nothing');

put($etc, 'clients.pem', 'clients.crt', 'others.crt');
up('upgraded', 'two authorities');
up('stranger', '... are both let in');


# CheckMe, with the key of a file

sub value {
    my $r = Container::command('curl', '-sS', '-m', 10, '--resolve',
        'proxy:4445:' . $proxy->address, '--proxy-cacert', "$dir/ca.crt",
        '--proxy-cert', "$dir/prometheus.crt", '--proxy-key',
        "$dir/prometheus.key", '-x', 'https://one:first@proxy:4445',
        'http://seen:9101/checked');
    my ($value) = $seen->logs =~ /.*^CheckMe: (v1 [^\r\n]+)\r?$/ms;

    return $value // $r->{out};
}

sub verified {
    my ($value, $status, $said, $promise) = @_;

    my $r = $proxy->exec('monitoring-proxy', 'checkme', $value);
    ok($r->{status} == $status && $r->{out} =~ $said, $promise)
        or diag $value, $r->{out};
}

my $right = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ seen:9101 \d+\n\z/;
my $wrong = qr/it was not made with this proxy's key/;
my $first = value();

verified($first, 0, $right, 'CheckMe by the key of a file');

replace("$etc/checkme", "another key of this test\n");
ok($proxy->logged(qr{^certificates: read again: /etc/monitoring/checkme$}m),
    'another key is read');
verified($first, 1, $wrong, '... by which the value of before is none');
verified(value(), 0, $right, '... and one of now is');

replace("$etc/checkme", "short\n");
ok($proxy->logged(qr{^certificates:\ "/etc/monitoring/checkme"\ has\ a\ key\ of
    \ less\ than\ 16\ bytes,\ which\ could\ be\ guessed$}mx),
    'a short one is not taken');
replace("$etc/checkme", "another key of this test\n");
verified(value(), 0, $right, '... and that of before is still used');

unlike($proxy->logs, qr/key of this test/, 'no key is in the log');


# the same key by a variable, with a line's end as a file would have brought

{
    my $other = Proxy->start(key => undef, network => $network,
        options => [ '--network', $network ],
        env => forward(ALLOW => 'seen:9101', SCHEME => 'http',
            CHECKME_KEY => "another key of this test\r\n"));

    $proxy = $other;
    my $r = Container::command('curl', '-sS', '-m', 10, '--proxy-insecure',
        '-x', 'https://' . $other->address . ':4445',
        'http://seen:9101/variable');
    my ($value) = $seen->logs =~ /.*^CheckMe: (v1 [^\r\n]+)\r?$/ms;

    verified($value, 0, $right, 'a key of a variable');
}

done_testing();
