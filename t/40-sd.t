#!/usr/bin/perl

# t/40-sd.t: the service discovery page lists every target as Prometheus must
# scrape it, whatever its labels hold, and never less than all of them

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket qw(SOL_SOCKET SO_RCVBUF);
use JSON::PP;
use Test::More;

use Nginx;

my $many = $ENV{MP_SLOW} ? 5_000 : 20_000;
my $narrow = free_port();
my $nginx = Nginx->new;
my $port = $nginx->port;

# what a page says: its groups, the names in them, and one target's labels

sub page {
    my ($path, %o) = @_;

    my $r = $nginx->get($path, %o);
    $r->{groups} = eval { decode_json($r->{body}) }
        if $r->{status} == 200 && !$r->{closed};

    return $r;
}

sub names {
    my $groups = page(@_)->{groups} or return 'no JSON';
    return join ' ', map { $_->{labels}{instance} } @$groups;
}

sub labels {
    my ($name, $path) = @_;

    my ($group) = grep { $_->{labels}{instance} eq $name }
        @{ page($path // '/targets')->{groups} // [] };

    return $group->{labels};
}

sub address {
    my ($path, @headers) = @_;

    my $groups = page($path, headers => [ @headers ])->{groups}
        or return 'no JSON';
    my $labels = $groups->[0]{labels};

    return "$labels->{__scheme__} @{ $groups->[0]{targets} }";
}

my $server = <<"CONF";
listen 127.0.0.1:$narrow sndbuf=8k;
location = /targets { prom_proxy_sd; }
location = /fixed { prom_proxy_sd address=https://proxy.example.com:8443; }
location = /host { prom_proxy_sd address=proxy.example.com; }
location = /ahead {
    prom_proxy_sd address=\$http_x_scheme://\$http_x_host;
}
location = /inside {
    if (\$arg_env) { set \$x 1; }
    prom_proxy_sd address=proxy.example.com:1;
}
location = /limited {
    limit_rate 8m;
    prom_proxy_sd;
}
location = /both {
    ssi on;
    ssi_types *;
    alias %%DIR%%/both;
}
location = /gzip {
    gzip on;
    gzip_types application/json;
    gzip_min_length 1;
    gzip_http_version 1.0;
    prom_proxy_sd;
}
CONF

my $lines = <<'END';
localhost:20001 external-host-1
# a comment
unix:/run/e.sock  site-b/db-1  env=prod team="data base"
END

$nginx->configure(server => $server, zone => '32m', targets => $lines)
    ->start;


# the page, byte by byte

my $r = $nginx->get('/targets', headers => [ 'Host: proxy:8000' ]);

is($r->{body}, <<'END', 'one group a target, in the order of the file');
[
{"targets":["proxy:8000"],"labels":{"instance":"external-host-1","__metrics_path__":"/external-host-1/metrics","__scheme__":"http"}},
{"targets":["proxy:8000"],"labels":{"instance":"site-b/db-1","__metrics_path__":"/site-b/db-1/metrics","__scheme__":"http","env":"prod","team":"data base"}}
]
END

is($r->{status}, 200, 'with 200');
is($r->{headers}{'content-type'}, 'application/json',
    'and the one type that Prometheus takes');
is($r->{headers}{'cache-control'}, 'no-cache', 'caches have to ask');
like($r->{headers}{etag}, qr/^"[0-9a-f]{32}"$/, 'by a strong ETag');

my $head = $nginx->get('/targets', method => 'HEAD',
    headers => [ 'Host: proxy:8000' ]);
is("$head->{status} $head->{headers}{etag} $head->{body}",
    "200 $r->{headers}{etag} ", 'HEAD has the same headers and no body');
is($head->{headers}{'content-type'}, 'application/json', 'and the same type');

for my $method (qw(POST PUT DELETE OPTIONS)) {
    $r = $nginx->get('/targets', method => $method,
        $method =~ /^P/ ? (body => 'x=y') : ());
    is($r->{status}, 405, "$method is refused");
}


# how Prometheus reaches the proxy

is(address('/targets', 'Host: proxy:8000'), 'http proxy:8000',
    'the address is the one that was asked');
is(address('/targets', 'Host: proxy'), 'http proxy:80',
    'without a port it is that of the scheme');
is(address('/targets', 'Host: proxy', 'X-Forwarded-Proto: https'),
    'https proxy:443', 'and https if what is in front says so');
is(address('/targets', 'Host: [::1]:8000'), 'http [::1]:8000',
    'an IPv6 address with a port');
is(address('/targets', 'Host: [fd00::2]'), 'http [fd00::2]:80',
    'an IPv6 address without one');

$r = Http::request($port, raw => "GET /targets HTTP/1.0\r\n\r\n");
is(decode_json($r->{body})->[0]{targets}[0], "127.0.0.1:$port",
    'without a Host header it is where the connection arrived');
is($r->{status}, 200, 'as for HTTP/1.0');

is(address('/fixed', 'Host: proxy'), 'https proxy.example.com:8443',
    'address= goes before what was asked, with its scheme');
is(address('/host', 'Host: proxy:8000'), 'http proxy.example.com:80',
    'address= may be a host alone');
is(address('/ahead', 'X-Scheme: https', 'X-Host: ahead:1'),
    'https ahead:1', 'address= may have variables');
is(address('/inside?env=prod'), 'http proxy.example.com:1',
    'address= is known inside an "if"');

# what no host name has, and nginx lets through

for my $host ('a"b', 'a\\b', "a\xffb", "\xc3\xa9", '<a>') {
    $r = page('/targets', headers => [ "Host: $host" ]);
    ok($r->{status} == 400 || $r->{groups},
        'a Host with odd bytes: valid JSON or 400');
}


# filters

my %filters = (
    'env=prod' => 'site-b/db-1',
    'env=' => 'external-host-1',
    'env=Prod' => '',
    'env=pro' => '',
    'env=prod1' => '',
    'nothing=x' => '',
    'nothing=' => 'external-host-1 site-b/db-1',
    'instance=site-b/db-1' => 'site-b/db-1',
    'instance=site-b%2Fdb-1' => 'site-b/db-1',
    'instance=site-b/db' => '',
    'team=data%20base' => 'site-b/db-1',
    'team=data+base' => 'site-b/db-1',
    'team=data%2bbase' => '',
    'te%61m=data%20base' => 'site-b/db-1',
    'env=prod&team=data%20base' => 'site-b/db-1',
    'env=prod&instance=external-host-1' => '',
    'env=prod&env=test' => '',
    'env=prod&env=prod' => 'site-b/db-1',
    'team=a=b' => '',
    'env=prod%00' => '',
    'env=%ff' => '',
    '' => 'external-host-1 site-b/db-1',
    join('&', ('env=prod') x 16) => 'site-b/db-1',
);

is(names("/targets?$_"), $filters{$_}, "?$_ filters")
    for sort keys %filters;

is($nginx->get('/targets?env=Prod')->{body}, "[]\n",
    'where none matches, the list is empty');

for my $bad ('env', '=', '=prod', 'env=prod&', '&env=prod', '&', 'env=%',
    'env=%2', 'env=%2x', 'env=%-1', '%zz=x', 'e%nv=x', '1a=x', 'a-b=x',
    'a%20b=x', 'env%00=x', "\xc3\xa9=x", '%C3%A9=x', 'env=prod;team=x&y',
    '?env=prod', join('&', ('env=prod') x 17))
{
    $r = $nginx->get("/targets?$bad");

    ok($r->{status} == 400 && $r->{body} =~ /\A[^\n]*LABEL=VALUE[^\n]*\n\z/,
        '?' . substr($bad, 0, 20) . ' is refused by a line that tells what is '
        . 'allowed') or diag("$r->{line}\n$r->{body}");
}


# ETag

sub etag {
    my ($path, @headers) = @_;

    return $nginx->get($path, headers => [ @headers ])->{headers}{etag} // '';
}

sub status_if {
    my ($match, $path) = @_;

    return $nginx->get($path // '/targets',
        headers => [ "If-None-Match: $match" ])->{status};
}

my $etag = etag('/targets');

is(etag('/targets'), $etag, 'the ETag stays');
isnt(etag('/targets', 'Host: other'), $etag, 'another address has another');
isnt(etag('/targets?env=prod'), $etag, 'another filter has another');
isnt(etag('/ahead', 'X-Scheme: https', 'X-Host: a'),
    etag('/ahead', 'X-Scheme: http', 'X-Host: a:443'),
    'another scheme has another');

$r = $nginx->get('/targets', headers => [ "If-None-Match: $etag" ],
    keepalive => 1);
is("$r->{status} $r->{body}", '304 ', 'who has it is told so, without a body');
is($r->{headers}{etag}, $etag, 'with the ETag');
is($r->{headers}{'cache-control'}, 'no-cache', 'and what caches may do');

is(status_if("W/$etag"), 304, 'a weak one is compared as well');
is(status_if("\"x\", W/\"y\" , $etag"), 304, 'in a list, too');
is(status_if('*'), 304, '"*" is any');
is(status_if('"x"'), 200, 'another one is not it');
is(status_if(substr $etag, 1, -1), 200, 'without quotes it is none');
is(status_if($etag, '/targets?env=prod'), 200, 'nor that of another page');
is($nginx->get('/targets', method => 'HEAD',
    headers => [ "If-None-Match: $etag" ])->{status}, 304, 'HEAD gets 304');
is($nginx->get('/targets', headers => [ 'If-Match: "x"' ])->{status}, 412,
    'If-Match of another fails');
is($nginx->get("/targets", headers => [ "If-None-Match: $etag",
    'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT' ])->{status}, 200,
    'a date can not stand in for it');

my $weak = etag('/gzip', 'Accept-Encoding: gzip');
is($weak, 'W/' . etag('/gzip'), 'nginx compresses it, and weakens its ETag');
is(status_if($weak, '/gzip'), 304, 'by which it is still known');

# two answers on a connection

my $s = Http::connection($port);
my %if = (path => '/targets', keepalive => 1);

for (1 .. 2) {
    Http::send_request($s, %if, headers => [ "If-None-Match: $etag" ]);
    is(Http::read_response($s)->{status}, 304, 'a connection stays after 304');
    Http::send_request($s, %if);
    is(Http::read_response($s)->{status}, 200, 'and after the page');
}

close $s;

ok($nginx->reload, 'a reload of the same file');
is(etag('/targets'), $etag, 'keeps the ETag');

$nginx->write('targets', "# moved down by a line\n$lines");
$nginx->reload;
is(names('/targets'), 'external-host-1 site-b/db-1',
    'a comment changes no target');

$nginx->write('targets', $lines =~ s/env=prod/env=test/r);
$nginx->reload;
isnt(etag('/targets'), $etag, 'a changed label changes the ETag');
is(status_if($etag), 200, 'and who has the old one gets the page');

$nginx->write('targets', '');
$nginx->reload;
$r = $nginx->get('/targets');
is("$r->{status} $r->{body}", "200 []\n",
    'a file without targets is an empty list');


# whatever labels hold

my %long = map { ("long_$_" => '"' x 3_500) } 1 .. 9;
my $long = join ' ', map { qq($_=") . $long{$_} =~ s/"/\\"/gr . '"' }
    sort keys %long;

$nginx->write('targets', <<"END");
localhost:1 odd team="a\\"b\\\\c\\nd \xc3\xa9" slash=a/b amp=a&b lt="<a>"
localhost:1 utf8 two="\xc2\x80\xe2\x80\xa8" four="\xf0\x9f\x90\x9a" none=""
localhost:1 long $long
localhost:1 last __param_module=icmp __param_target=[::1] __scrape_interval__=30s __scrape_timeout__=1500ms
localhost:1 path __metrics_path__=/federate
localhost:1 deep/path __metrics_path__="/a \\"b\\"/metrics/"
localhost:1 up __metrics_path__=/../odd/metrics
localhost:1 upper __metrics_path__=/a/b/../../../../odd/./metrics
localhost:1 upmost __metrics_path__=/a/..
localhost:1 root __metrics_path__=/
localhost:1 dots __metrics_path__=/.../..a/.b/a..
END
$nginx->reload;

is(scalar @{ page('/targets')->{groups} // [] }, 11, 'all of it is JSON');

is(labels('odd')->{team}, "a\"b\\c\nd \x{e9}",
    'quotes, backslashes, newlines and UTF-8');
is(labels('odd')->{slash} . labels('odd')->{amp} . labels('odd')->{lt},
    'a/ba&b<a>', 'what needs no escape');
is(labels('utf8')->{two} . labels('utf8')->{four}, "\x{80}\x{2028}\x{1f41a}",
    'every length of UTF-8');
is(labels('utf8')->{none}, '', 'an empty value');

my $got = labels('long');
is_deeply({ map { $_ => $got->{$_} } keys %long }, \%long,
    'a line as long as a line may be');

is_deeply(labels('last'), { instance => 'last', __scheme__ => 'http',
    __metrics_path__ => '/last/metrics', __param_module => 'icmp',
    __param_target => '[::1]', __scrape_interval__ => '30s',
    __scrape_timeout__ => '1500ms' }, 'labels that steer the scrape');

my %paths = (
    'path' => '/path/federate',
    'deep/path' => '/deep/path/a "b"/metrics/',
    'up' => '/up/odd/metrics',
    'upper' => '/upper/odd/metrics',
    'upmost' => '/upmost/',
    'root' => '/root/',
    'dots' => '/dots/.../..a/.b/a..',
);

is(labels($_)->{__metrics_path__}, $paths{$_},
    "__metrics_path__ stays below /$_/") for sort keys %paths;

is(names('/targets?team=a%22b%5cc%0ad+%c3%A9'), 'odd',
    'a filter finds odd bytes');
is(names('/targets?__param_module=icmp'), 'last', 'and steering labels');
is(names('/targets?__metrics_path__=/federate'), 'path',
    'as the file has them');


# many

$nginx->write('targets', join '', map {
    "localhost:$_ host-$_ shard=" . $_ % 100 . "\n" } 1 .. $many);
$nginx->reload;

$r = page('/targets');
is(scalar @{ $r->{groups} // [] }, $many, "$many targets are valid JSON");
ok(join(' ', map { $_->{labels}{instance} } @{ $r->{groups} })
    eq join(' ', map { "host-$_" } 1 .. $many), 'in order, each once');

ok(names('/targets?shard=99') eq join(' ', map { "host-$_" }
    grep { $_ % 100 == 99 } 1 .. $many), 'a filter finds all of a shard');
is(names("/targets?instance=host-$many"), "host-$many",
    'and the very last');
is($nginx->get('/targets?instance=host-0')->{body}, "[]\n",
    'and none, if there is none');

$r = Http::request($port, raw => "GET /targets HTTP/1.0\r\n\r\n");
is(scalar(() = $r->{body} =~ /^\{/mg), $many, 'HTTP/1.0 gets all of it');
$etag = etag('/targets');
$r = $nginx->get('/targets', method => 'HEAD');
is("$r->{status} $r->{headers}{etag} $r->{body}", "200 $etag ",
    'HEAD of many has no body');

$r = page('/limited');
is(scalar @{ $r->{groups} // [] }, $many, 'limit_rate only delays the rest');

$nginx->write('both', join '|', map { '<!--# include virtual="/targets' . $_
    . '" -->' } '', '?shard=1', '');
is(join(' ', map { scalar(() = /^\{/mg) }
    split /\|/, $nginx->get('/both')->{body}),
    "$many " . $many / 100 . " $many", 'subrequests each get their own');


# who doesn't read: the window is full long before the page is sent

sub idler {
    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $narrow,
        Sockopts => [ [ SOL_SOCKET, SO_RCVBUF, 4096 ] ])
        or die "connect: $@\n";

    Http::send_request($s, path => '/targets');
    sysread $s, my $first, 1;

    return ($s, $first);
}

sub rest {
    my ($s, $first) = @_;

    my $text = $first;
    1 while sysread $s, $text, 65536, length $text;

    return $text;
}

my @idlers = map { [ idler() ] } 1 .. 5;

is(scalar @{ page('/targets')->{groups} // [] }, $many,
    'clients that do not read hold up nobody');

for (@idlers[0, 1]) {
    my $text = rest(@$_);
    is(scalar(() = $text =~ /^\{/mg), $many,
        'one that reads late gets all of it');
    like($text, qr/\}\n\]\n\r\n0\r\n\r\n\z/, 'to the end');
}

close $_->[0] for @idlers[2, 3];
is(page('/targets?shard=1')->{status}, 200,
    'clients that go away leave the worker alone');

# replaced while it is being read: all of one set, or visibly broken off; a look
# at the large page takes seconds on a busy machine

$nginx->write('targets', "localhost:1 new\n");
ok(await(sub { names('/targets') eq 'new' }, 60), 'the file is replaced');
$nginx->write('targets', "localhost:1 newer\n");
ok(await(sub { names('/targets') eq 'newer' }, 60), 'and once more');

my $text = rest(@{ $idlers[4] });
my $found = () = $text =~ /^\{/mg;
ok($text !~ /\r\n0\r\n\r\n\z/ || $found == $many,
    "a page that is read meanwhile is whole or breaks off ($found groups)");


# nothing loaded

$nginx->finish;

$nginx = Nginx->new;
$nginx->configure(server => 'location = /targets { prom_proxy_sd; }',
    registry => 'prom_proxy_targets %%DIR%%/absent optional;')->start;

$r = $nginx->get('/targets');
is($r->{status}, 503, 'while nothing is loaded it is 503, never []');
like($r->{body}, qr/\Ano targets are loaded: [^\n]+\n\z/, 'with a line');
is($r->{headers}{'content-type'}, 'text/plain', 'of plain text');
is($nginx->get('/targets?env')->{status}, 400, 'a bad filter is still 400');
is(status_if('*'), 503, 'and no ETag matches');

$nginx->write('absent', "localhost:1 present\n");
ok(await(sub { names('/targets') eq 'present' }), 'until the file appears');

$nginx->finish;


# the directive

$nginx = Nginx->new;
$nginx->write('targets', $lines);

for (
    [ 'twice in a location', 'location /a { prom_proxy_sd; prom_proxy_sd; }',
        qr/"prom_proxy_sd" directive is duplicate/ ],
    [ 'in a server', 'prom_proxy_sd;',
        qr/"prom_proxy_sd" directive is not allowed here/ ],
    [ 'an unknown parameter', 'location /a { prom_proxy_sd x=1; }',
        qr/"x=1"/ ],
    [ 'an address without a host', 'location /a { prom_proxy_sd address=; }',
        qr/"address="/ ],
    [ 'an unknown variable',
        'location /a { prom_proxy_sd address=$nope; }',
        qr/unknown "nope" variable/ ],
) {
    my ($promise, $conf, $pattern) = @$_;

    $nginx->configure(server => $conf);
    my ($status, $said) = $nginx->check;
    ok($status != 0 && $said =~ $pattern, "refused: $promise") or diag($said);
}

done_testing();
