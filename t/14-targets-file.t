#!/usr/bin/perl

# A mistake in the targets file or in a directive stops nginx at once, with
# its place and what is allowed.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use POSIX qw(mkfifo);

use Backend;
use Nginx;

my $nginx = Nginx->new;
my $dir = $nginx->dir;

sub refused {
    my ($promise, $pattern, %part) = @_;

    $nginx->configure(%part);
    my ($status, $said) = $nginx->check;

    ok($status != 0 && $said =~ $pattern, "refused: $promise")
        or diag("status $status, nginx said:\n$said");
}

sub accepted {
    my ($promise, %part) = @_;

    $nginx->configure(%part);
    my ($status, $said) = $nginx->check;

    is($status, 0, "accepted: $promise") or diag($said);
}

my $good = "localhost:20001 external-host-1\n";

accepted('a target', targets => $good);
accepted('no target', targets => '');
accepted('CRLF and a byte order mark', targets => "\xef\xbb\xbf# x\r\n"
    . "localhost:1 a\r\n");
accepted('a last line without its end', targets => 'localhost:1 a');
accepted('a registry without a file', registry => '');

refused('a bad name, with file, line and column',
    qr{nginx: \[emerg\] \Q$dir\E/targets:2:14: name "a/\.\./b"},
    targets => "${good}localhost:1  a/../b\n");

refused('two lines with one name, naming both lines',
    qr{/targets:3:13: name "x" .*\b1\b}s,
    targets => "localhost:1 x\n\nlocalhost:2 x\n");

# 20 mistakes one by one, then their number

$nginx->configure(targets => join '', map { "localhost:x n$_\n" } 1 .. 53);
my ($status, $said) = $nginx->check;
my @told = $said =~ m{^nginx: \[emerg\] \S+/targets:(\d+):\d+: }mg;
is("@told", join(' ', 1 .. 20), 'the first 20 mistakes are told');
like($said, qr{\[emerg\] \S+/targets: and 33 more mistakes}, 'then a count');
isnt($status, 0, 'and the configuration is refused');

refused('a file that is missing',
    qr{/targets: cannot be opened \(2: No such file},
    registry => 'prom_proxy_targets %%DIR%%/missing/targets;');

refused('a directory', qr{: is not a regular file},
    registry => 'prom_proxy_targets %%DIR%%;');

mkfifo "$dir/fifo", 0600;
refused('a fifo, without waiting for its writer', qr{: is not a regular file},
    registry => 'prom_proxy_targets %%DIR%%/fifo;');

open my $fh, '>', "$dir/huge" or die;
truncate $fh, 65 * 1024 * 1024;
close $fh;
refused('65 MB', qr{/huge: has 68157440 bytes, at most 67108864 are allowed},
    registry => 'prom_proxy_targets %%DIR%%/huge;');

refused('one line of 10 MB', qr{/targets:2:\d+: },
    targets => $good . 'x' x 10_000_000 . "\n");

refused('binary', qr{/targets:1:\d+: }, targets => join '', map { chr }
    0 .. 255);

symlink "$dir/targets", "$dir/link";
accepted('a symlink', targets => $good,
    registry => 'prom_proxy_targets %%DIR%%/link;');

SKIP: {
    skip 'root reads what is unreadable', 1 if $> == 0;

    chmod 0, "$dir/huge";
    refused('an unreadable file', qr{cannot be opened \(13: },
        registry => 'prom_proxy_targets %%DIR%%/huge;');
}

# directives

my $conf = sub {
    my ($http) = @_;

    $nginx->write('targets', $good);
    $nginx->write('nginx.conf', "load_module $ENV{MP_MODULE};\n"
        . "pid %%DIR%%/pid;\nerror_log stderr;\nevents {}\n"
        . "http {\naccess_log off;\n$http\n}\n");
    return $nginx->check;
};

for (
    [ 'targets without a zone', 'prom_proxy_targets %%DIR%%/targets;',
        qr/"prom_proxy_targets" needs a "prom_proxy_zone"/ ],
    [ 'a zone twice', 'prom_proxy_zone a 1m; prom_proxy_zone b 1m;',
        qr/"prom_proxy_zone" directive is duplicate/ ],
    [ 'a zone without a size', 'prom_proxy_zone a;',
        qr/invalid number of arguments in "prom_proxy_zone"/ ],
    [ 'a zone of no size', 'prom_proxy_zone a 1x;',
        qr/invalid zone size "1x"/ ],
    [ 'a zone that is too small', 'prom_proxy_zone a 4k;',
        qr/zone "a" is too small, at least \d+ bytes are needed/ ],
    [ 'two files', 'prom_proxy_zone a 1m; prom_proxy_targets '
        . '%%DIR%%/targets; prom_proxy_targets %%DIR%%/targets;',
        qr/"prom_proxy_targets" directive is duplicate/ ],
    [ 'an unknown zone', 'server { location / { prom_proxy nope; } }',
        qr/zero size shared memory zone "nope"/ ],
    [ 'two routers in a server', 'prom_proxy_zone a 1m; server { '
        . 'location @a { prom_proxy a; } location @b { prom_proxy a; } }',
        qr/routes by "prom_proxy" in location "\@a" already/ ],
    [ 'prom_proxy in a server', 'prom_proxy_zone a 1m; '
        . 'server { prom_proxy a; }',
        qr/"prom_proxy" directive is not allowed here/ ],
    [ 'prom_proxy twice', 'prom_proxy_zone a 1m; server { location / { '
        . 'prom_proxy a; prom_proxy a; } }',
        qr/"prom_proxy" directive is duplicate/ ],
    [ 'an unknown parameter', 'upstream u { prom_proxy_peer x=1; }',
        qr/invalid value "x=1" in "prom_proxy_peer" directive/ ],
    [ 'a number that is none', 'upstream u { prom_proxy_peer idle=-1; }',
        qr/invalid value "idle=-1" in "prom_proxy_peer" directive/ ],
    [ 'a time that is none', 'upstream u { prom_proxy_peer timeout=0; }',
        qr/invalid value "timeout=0" in "prom_proxy_peer" directive/ ],
    [ 'a zone in the upstream', 'upstream u { zone z 64k; '
        . 'prom_proxy_peer; }',
        qr/"zone" is of no use with "prom_proxy_peer" in upstream "u"/ ],
    [ 'two balancers', 'upstream u { prom_proxy_peer; prom_proxy_peer; }',
        qr/"prom_proxy_peer" directive is duplicate/ ],
    [ 'a balancer behind keepalive', 'upstream u { least_conn; '
        . 'prom_proxy_peer; }', qr/"prom_proxy_peer" directive must stand/ ],
) {
    my ($promise, $http, $pattern) = @$_;
    my ($status, $said) = $conf->($http);

    ok($status != 0 && $said =~ $pattern, "refused: $promise") or diag($said);
}

SKIP: {
    skip 'nginx keeps connections by default, so that "keepalive" is not told '
        . 'from that', 1 if Nginx::version() >= 1_029_007;

    my ($status, $said) = $conf->('upstream u { prom_proxy_peer; '
        . 'keepalive 4; }');
    ok($status != 0 && $said =~ /"prom_proxy_peer" in upstream "u" keeps/,
        'refused: keepalive around a balancer that keeps connections')
        or diag($said);
}

# what doesn't fit says how much is needed

refused('more targets than the zone holds',
    qr{"targets" of 1048576 bytes is too small for 20000 targets, \d+k would do},
    zone => '1m',
    targets => join '', map { "localhost:20001 host-$_\n" } 1 .. 20_000);

# 50,000 targets: the first, the last and one that isn't there

my $target = Backend->new;
my $port = $target->port;

$nginx = Nginx->new;
$nginx->configure(zone => '32m', targets => join '', map {
    "127.0.0.1:$port site-" . ($_ % 100) . "/host-$_ env=prod\n"
} 1 .. 50_000)->start;

for (1, 25_000, 50_000) {
    is($nginx->get('/site-' . $_ % 100 . "/host-$_/metrics")->{status}, 200,
        "target $_ of 50,000 is found");
}

is($nginx->get('/site-1/host-50000/metrics')->{status}, 404,
    'and none that is not there');

$nginx->finish;

done_testing();
