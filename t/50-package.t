#!/usr/bin/perl

# t/50-package.t: the Debian packages, from building to purging them

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command directory docker test_image);
use Systemd;

my $root = "$FindBin::Bin/..";
my $package = 'libnginx-mod-http-prom-proxy';
my $doc = "/usr/share/doc/$package";
my $link = '/etc/nginx/modules-enabled/50-mod-http-prom-proxy.conf';
my ($so, $conf) = ('/usr/lib/nginx/modules/ngx_http_prom_proxy_module.so',
    '/usr/share/nginx/modules-available/mod-http-prom-proxy.conf');
my @own = ($so, $conf, $link, $doc);
my $stream = 'libnginx-mod-stream-prom-forward';
my $forward = 'monitoring-proxy-forward';
my $client = 'monitoring-proxy-client';

my $before = command('git', '-C', $root, 'status', '--porcelain')->{out};

# build

my $out = directory();
my $r = command({ seconds => 600 }, "$root/scripts/package", $out);

is($r->{status}, 0, 'scripts/package builds them') or diag $r->{out};
is(command('git', '-C', $root, 'status', '--porcelain')->{out}, $before,
    'and writes nothing into the tree');

my %deb = map { $_ => glob "$out/${_}_0.*.deb" }
    my @packages = ($package, $stream, $forward, $client);

for (@packages) {
    ok($deb{$_}, "$_ is in the directory given") or die $r->{out};
    like($r->{out}, qr/^\Q$deb{$_}\E$/m, 'and named');
}

# lintian has its say at the end, as it takes its time

my $lintian;

command('lintian', '--version')->{status}
    or open($lintian, '-|', 'sh', '-c',
        'exec lintian --fail-on error "$@" 2>&1', 'sh', values %deb)
    or die "lintian: $!\n";

# install, into what has never seen nginx; slim images leave out documentation

my $clean = Container->run(image => 'debian:trixie-slim',
    command => [ 'sleep', 'infinity' ]);


sub shell {
    my ($script) = @_;

    return $clean->exec({ seconds => 300 }, 'sh', '-c', $script);
}


sub works {
    my ($script, $promise) = @_;

    my $r = shell($script);
    is($r->{status}, 0, $promise) or diag $r->{out};
}


docker('cp', $deb{$_}, $clean->name . ":/tmp/$_.deb") for @packages;

works("apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y "
    . "--no-install-recommends -o 'DPkg::Options::=--path-include=$doc/*' "
    . "/tmp/$package.deb", 'apt-get installs it, and nginx with it');

my $version = (shell("nginx -v 2>&1")->{out} =~ m{nginx/([\d.]+)})[0] // '?';

like(shell("dpkg -s $package")->{out},
    qr/^Depends: .*\bnginx-abi-\Q$version\E-\d/m,
    "it depends on the ABI of nginx $version");
is(shell("readlink $link")->{out}, "$conf\n", 'the module is enabled');
is(shell("cat $conf")->{out},
    "load_module modules/ngx_http_prom_proxy_module.so;\n",
    'by the line that loads it');

# the example

works("mkdir /etc/monitoring && cp $doc/examples/targets /etc/monitoring/ "
    . "&& cp $doc/examples/prom-proxy.conf /etc/nginx/conf.d/",
    'an example comes with it');
works('nginx -t', 'which nginx takes as it is');

# nginx stands for the exporter, too; the installation may have started it

works("printf '%s\n' 'server { listen 127.0.0.1:9100; return 200 \"up 1\\n\"; }'"
    . ' > /etc/nginx/conf.d/exporter.conf'
    . ' && { nginx -s reload 2> /dev/null || nginx; }', 'nginx starts');

sub scrape {
    my ($path) = @_;

    return shell("exec 2> /dev/null; perl -MIO::Socket::INET -e '"
        . 'my $s = IO::Socket::INET->new("127.0.0.1:8000") or exit 1;'
        . 'print $s "GET $ARGV[0] HTTP/1.0\r\n\r\n"; print <$s>'
        . "' $path")->{out};
}

ok(await(60, sub { scrape('/this-host/metrics') =~ /\r\n\r\nup 1\n\z/ }),
    'a scrape goes through') or diag scrape('/this-host/metrics');

like(scrape('/metrics'), qr/^monitoring_proxy_targets 1$/m,
    'and the own metrics are there');

my $listed = shell("dpkg -L $package")->{out};

unlike($listed, qr{^/etc/nginx/conf\.d/}m,
    'nothing of it listens before somebody wants it');

works('rm /etc/nginx/conf.d/*', 'the example is not wanted any more');

# the forward proxy, and the client

works("apt-get install -y --no-install-recommends -o "
    . "'DPkg::Options::=--path-include=/usr/share/doc/$client/*' "
    . "/tmp/$stream.deb /tmp/$forward.deb /tmp/$client.deb",
    'apt-get installs the forward proxy and the client');
is(shell('cd /etc/nginx/modules-enabled && echo *')->{out}, join(' ', map {
    "$_.conf" } qw(50-mod-http-prom-proxy 50-mod-stream
    70-mod-stream-prom-forward)) . "\n",
    'the module for stream is loaded behind those that it needs');
works('nginx -t', 'which nginx takes');
is(shell('ls /etc/systemd/system/multi-user.target.wants 2> /dev/null')->{out}
    =~ /$client|$forward/ ? 1 : 0, 0,
    'nothing starts before somebody wants it');
is(shell("dpkg-query -W -f '\${Conffiles}' $forward")->{out}
    =~ m{^ /etc/$forward/nginx\.conf }m ? 1 : 0, 1,
    'what people write into its configuration stays there');

# remove and purge; what people have written themselves is theirs

works("apt-get remove -y $package", 'it is removed, and what depends on it');
is(shell("ls $link 2> /dev/null")->{out}, '', 'and not loaded any more');
works('nginx -t', 'nginx does without it');

works("dpkg -i --path-include='$doc/*' /tmp/$package.deb", 'it comes back');
is(shell("readlink $link")->{out}, "$conf\n", 'and is enabled again');

works("dpkg --purge $package $stream $forward", 'they are purged');
is(shell("find @own /etc/$forward /etc/nginx/modules-enabled/ -mindepth 0 "
    . "! -type d ! -name 50-mod-stream.conf "
    . '2> /dev/null')->{out}, '', 'and leave nothing behind');
is(shell("dpkg -l $package 2> /dev/null | grep ^rc")->{out}, '',
    'not in dpkg\'s database either');
works('nginx -t && nginx -s quit', 'nginx is fine');

# the poll client

my $flags = "/etc/default/$client";
my $unit = "/usr/lib/systemd/system/$client.service";
my $shown = "/usr/share/doc/$client/client.md.gz";

unlike(shell("dpkg -s $client")->{out}, qr/^Depends:.*lib(?:curl|ssl)/m,
    'it has the parts of curl and OpenSSL that it needs in it');
like(shell("dpkg-deb -f /tmp/$client.deb")->{out},
    qr/^Static-Built-Using: curl \(= \d.*\), openssl \(= \d/m,
    'and names their versions');

my $packaged = shell("dpkg-query -W -f '\${Version}' $client")->{out};

like(shell("$client --version")->{out}, qr/^$client \Q$packaged\E \(libcurl/,
    'it says the package\'s version');
is(shell("stat -c '%a %U' $flags")->{out}, "600 root\n",
    'its flags, which may have a token, are root\'s');
like(shell("cat $unit")->{out}, qr/^EnvironmentFile=\Q$flags\E$/m,
    'the unit reads them');
like(shell("zcat -f $shown /usr/share/doc/$client/client.md")->{out},
    qr/^# The poll client/m, 'its page comes with it');

is(shell("setpriv --reuid 65534 --regid 65534 --clear-groups $client")
    ->{status}, 2, 'it runs as nobody, and wants to be told its proxy');

works("echo ARGS=mine > $flags && dpkg -i --force-confold /tmp/$client.deb "
    . "&& grep -qx ARGS=mine $flags", 'an upgrade leaves the flags alone');
works("dpkg --purge $client", 'it is purged');
is(shell("ls -d $flags $unit /usr/bin/$client /usr/share/doc/$client "
    . '2> /dev/null')->{out}, '', 'and leaves nothing behind');

# The units, under systemd. nginx's own stands for two exporters, one by TLS and
# one that tunnels lead to, and for the proxy that the client polls.

my $host = Systemd->boot(image => test_image());

docker('cp', $deb{$_}, $host->name . ":/srv/$_.deb") for @packages;


# A script has await, and says what it said and the journal if it fails.

sub on_host {
    my ($promise, $script) = @_;

    my $r = $host->exec({ seconds => 120 }, 'sh', '-ec',
        'await() { for _ in $(seq 300); do "$@" && return; sleep 0.1; done; '
        . "echo \"in vain: \$*\"; exit 1; }\n$script");

    is($r->{status}, 0, $promise)
        or diag $r->{out}, $host->exec('journalctl', '-n', 50)->{out};
}


sub asked {
    my ($url) = @_;

    return $host->exec('curl', '-s', '-S', '-i', '-m', 20, '-x',
        'https://127.0.0.1:4445', '--proxy-cacert',
        "/etc/$forward/server.crt", '--cacert', "/etc/$forward/server.crt",
        $url)->{out};
}


on_host('they are installed where systemd runs', 'dpkg -i /srv/*.deb');
is($host->exec('systemctl', 'is-active', $forward, $client)->{out},
    "inactive\ninactive\n", 'which starts none of them yet');

on_host('with rules and certificates beside its configuration it starts',
    <<"END");
cd /etc/$forward
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \\
    -subj /CN=test -addext subjectAltName=IP:127.0.0.1 \\
    -keyout server.key -out server.crt 2> /dev/null
cp server.crt ca.pem
echo 127.0.0.1:9100,9101 > allow

cat > /etc/nginx/conf.d/exporters.conf << 'X'
server {
    listen 127.0.0.1:9100 ssl;
    ssl_certificate /etc/$forward/server.crt;
    ssl_certificate_key /etc/$forward/server.key;
    location / { return 200 "tls \$request_uri\\n"; }
}
server {
    listen 127.0.0.1:9101;
    location / { return 200 "plain\\n"; }
}
X

systemctl restart nginx
systemctl enable --now $forward
await curl -s -o /dev/null http://127.0.0.1:9446/metrics
END

like(asked('http://127.0.0.1:9100/metrics'), qr{\r\n\r\ntls /metrics\n\z},
    'it forwards a request, by TLS');
like(asked('https://127.0.0.1:9100/metrics'),
    qr{\AHTTP/1\.1 200 .*\r\n\r\ntls /metrics\n\z}s,
    'and tunnels what is TLS already');
like(asked('https://127.0.0.1:9102/'),
    qr{403 127\.0\.0\.1:9102 is not allowed}, 'it reaches nothing else');

on_host('the journal has what it did',
    'await sh -c "journalctl -t forward | grep -q 127.0.0.1:9102.*special"');
like($host->exec('sh', '-c', "stat -c %u /proc/\$(cat /run/$forward/nginx.pid)")
    ->{out}, qr/^[1-9]\d*$/, 'it is not root');

on_host('a new module of nginx restarts it', <<"END");
pid=\$(systemctl show -P MainPID $forward)
dpkg -i /srv/$stream.deb
systemctl -q is-active $forward
test "\$(systemctl show -P MainPID $forward)" != "\$pid"
END

on_host('a reload leaves a tunnel open, a stop doesn\'t wait for its end',
    <<"END");
mkfifo /tmp/in
openssl s_client -quiet -connect 127.0.0.1:4445 < /tmp/in > /tmp/out 2>&1 &
exec 3> /tmp/in
printf 'CONNECT 127.0.0.1:9101 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3
await grep -q '^HTTP/1.1 200' /tmp/out

cd /etc/$forward
sed -i 's/# from .*/from 192.0.2.1;/' nginx.conf
systemctl reload $forward
await sh -c 'curl -s -i -x https://127.0.0.1:4445 --proxy-cacert server.crt \\
    http://127.0.0.1:9100/ | grep -q "403 this proxy is not for"'

printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3
await grep -q plain /tmp/out

systemctl stop $forward
test "\$(systemctl show -P Result $forward)" = success
END

like(asked('http://127.0.0.1:9100/'), qr/^curl: \(7\) /, 'it has ended');
is($host->exec('ls', "/run/$forward")->{status}, 2, 'and leaves nothing in /run');

on_host('the client\'s unit polls', <<"END");
echo ARGS=--proxy-url=http://127.0.0.1:9101 > /etc/default/$client
systemctl enable --now $client
await grep -q 'POST /poll' /var/log/nginx/access.log
END

SKIP: {
    skip 'no lintian here', 1 unless $lintian;

    my $said = do { local $/; <$lintian> };
    ok(close $lintian, 'lintian finds no error') or diag $said;
}

done_testing();
