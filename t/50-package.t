#!/usr/bin/perl

# t/50-package.t: the Debian packages, from building to purging them

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command directory docker);

my $root = "$FindBin::Bin/..";
my $package = 'libnginx-mod-http-prom-proxy';
my $doc = "/usr/share/doc/$package";
my $link = '/etc/nginx/modules-enabled/50-mod-http-prom-proxy.conf';
my ($so, $conf) = ('/usr/lib/nginx/modules/ngx_http_prom_proxy_module.so',
    '/usr/share/nginx/modules-available/mod-http-prom-proxy.conf');
my @own = ($so, $conf, $link, $doc);
my $client = 'monitoring-proxy-client';

my $before = command('git', '-C', $root, 'status', '--porcelain')->{out};

# build

my $out = directory();
my $r = command({ seconds => 600 }, "$root/scripts/package", $out);

is($r->{status}, 0, 'scripts/package builds them') or diag $r->{out};
is(command('git', '-C', $root, 'status', '--porcelain')->{out}, $before,
    'and writes nothing into the tree');

my ($deb) = glob "$out/${package}_0.*.deb";
my ($client_deb) = glob "$out/${client}_0.*.deb";

for ($deb, $client_deb) {
    ok(defined, 'the package is in the directory given') or die $r->{out};
    like($r->{out}, qr/^\Q$_\E$/m, 'and named');
}

SKIP: {
    skip 'no lintian here', 1 if command('lintian', '--version')->{status};

    $r = command({ seconds => 120 }, 'lintian', '--fail-on', 'error', $deb,
        $client_deb);
    is($r->{status}, 0, 'lintian finds no error') or diag $r->{out};
}

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


docker('cp', $deb, $clean->name . ":/tmp/$package.deb");

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

# remove and purge; what people have written themselves is theirs

works('rm /etc/nginx/conf.d/*', 'the example is not wanted any more');
works("apt-get remove -y $package", 'it is removed');
is(shell("ls $link 2> /dev/null")->{out}, '', 'and not loaded any more');
works('nginx -t', 'nginx does without it');

works("dpkg -i --path-include='$doc/*' /tmp/$package.deb", 'it comes back');
is(shell("readlink $link")->{out}, "$conf\n", 'and is enabled again');

works("apt-get purge -y $package", 'it is purged');
is(shell("find @own /etc/nginx/modules-enabled/ -mindepth 0 ! -type d "
    . '2> /dev/null')->{out}, '', 'and leaves nothing behind');
is(shell("dpkg -l $package 2> /dev/null | grep ^rc")->{out}, '',
    'not in dpkg\'s database either');
works('nginx -t && nginx -s quit', 'nginx is fine');

# the poll client

my $flags = "/etc/default/$client";
my $unit = "/usr/lib/systemd/system/$client.service";
my $shown = "/usr/share/doc/$client/client.md.gz";

docker('cp', $client_deb, $clean->name . ":/tmp/$client.deb");

works("apt-get install -y --no-install-recommends -o "
    . "'DPkg::Options::=--path-include=/usr/share/doc/$client/*' "
    . "/tmp/$client.deb", 'apt-get installs the client');

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
is(shell('ls /etc/systemd/system/multi-user.target.wants 2> /dev/null')->{out}
    =~ /$client/ ? 1 : 0, 0, 'nothing starts before somebody wants it');
like(shell("zcat -f $shown /usr/share/doc/$client/client.md")->{out},
    qr/^# The poll client/m, 'its page comes with it');

is(shell("setpriv --reuid 65534 --regid 65534 --clear-groups $client")
    ->{status}, 2, 'it runs as nobody, and wants to be told its proxy');

works("echo ARGS=mine > $flags && dpkg -i --force-confold /tmp/$client.deb "
    . "&& grep -qx ARGS=mine $flags", 'an upgrade leaves the flags alone');
works("apt-get purge -y $client", 'it is purged');
is(shell("ls -d $flags $unit /usr/bin/$client /usr/share/doc/$client "
    . '2> /dev/null')->{out}, '', 'and leaves nothing behind');

done_testing();
