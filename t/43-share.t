#!/usr/bin/perl

# t/43-share.t: scrapes of one target that come within a time share one
# upstream request, and nothing else is shared

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep time);

use Backend;
use Http qw(connection read_response send_request);
use Nginx;

my $nginx = Nginx->new;
my $gate = $nginx->dir . '/gate';
my $big = join '', map { "metric_$_ " . $_ * 37 . "\n" } 1 .. 200_000;

# answers by what the path has in it; "/held" waits for the gate to open

my $target = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($method, $path) = $request =~ /\A(\S+) (\S+)/;
    my $body = time . " $path\n";
    my $headers = '';

    if ($path =~ /held/) {
        for (1 .. 3000) {
            last if -e $gate;
            sleep 0.01;
        }
    }

    return 0 if $path =~ /closes/;

    my $status = $path =~ m{status-(\d+)} ? $1 : 200;

    $body = $big if $path =~ /big/;
    $body = '' if $method eq 'HEAD';
    $headers .= "Cache-Control: $1, max-age=3600\r\n" if $path =~ /cc-([\w-]+)/;
    $headers .= "X-Accel-Expires: 3600\r\n" if $path =~ /accel/;
    $headers .= "Set-Cookie: a=b\r\n" if $path =~ /cookie/;
    $headers .= "ETag: \"x\"\r\n" if $path =~ /etag/;
    $headers .= "Vary: $1\r\n" if $path =~ /vary-([\w,-]+)/;

    my $length = length($body) + ($path =~ /short/ ? 10 : 0);

    print $s "HTTP/1.1 $status Some\r\nContent-Type: text/plain\r\n"
        . "Content-Length: $length\r\n$headers\r\n$body";
    $s->flush;

    return $path !~ /short/;
});

my $port = $target->port;
my $dead = Nginx::free_port();
my ($brief, $plain) = map { Nginx::free_port() } 1 .. 2;

my $route = 'prom_proxy targets;
    proxy_pass $prom_proxy_scheme://prom_proxy$prom_proxy_uri;';

$nginx->configure(targets => <<"END", http => <<"HTTP", server => <<"SERVER",
127.0.0.1:$port t
127.0.0.1:$port other
127.0.0.1:$dead dead
END
server {
    listen 127.0.0.1:$brief;
    prom_proxy_share 100ms;
    location \@targets { $route }
}
server {
    listen 127.0.0.1:$plain;
    location \@targets { $route }
}
HTTP
prom_proxy_share 1m;
location /by-hand/ { proxy_pass http://127.0.0.1:$port/; }
location /off/ { prom_proxy_share off; proxy_pass http://127.0.0.1:$port/; }
location /zero/ { prom_proxy_share 0; proxy_pass http://127.0.0.1:$port/; }
location /tick { return 200; }
SERVER
    router => 'proxy_ignore_headers X-Accel-Redirect;')->start;


# Starts a scrape and returns its connection.

sub ask {
    my ($path, %o) = @_;

    my $s = connection($o{port} // $nginx->port);
    send_request($s, %o, path => $path);

    return $s;
}


# How often the target was asked a path.

sub asked {
    my ($path) = @_;

    return scalar grep { $_->[1] =~ m{\A\S+ \Q$path\E } } $target->requests;
}


# One worker takes what comes in the order in which it comes.

sub seen { $nginx->get('/tick') }


sub gate {
    my ($open) = @_;

    $open ? $nginx->write('gate', '') : unlink $gate;
}


# How many requests two scrapes made, of which the second may differ.

sub made {
    my ($path, $first, $second) = @_;

    $target->arrived;
    $nginx->get($path, %{ $first // {} });
    $nginx->get($path, %{ $second // $first // {} });

    return scalar $target->arrived;
}


sub header { return { headers => [ @_ ] } }


# one after the other, and at once

is(made('/t/one'), 1, 'two scrapes within the time are one request');

my $r = $nginx->get('/t/one');
like($r->{body}, qr{^[\d.]+ /one\n\z}, 'with the target\'s answer');
is($r->{status}, 200, 'and its status');

gate(0);
$target->arrived;
my $first = ask('/t/held');
ok(await(sub { asked('/held') == 1 }), 'a scrape is on its way');
my @more = map { ask('/t/held') } 1 .. 3;
seen();
gate(1);
my @answers = map { read_response($_) } $first, @more;

is(join(' ', map { $_->{status} } @answers), '200 200 200 200',
    'those that come meanwhile are answered');
is(scalar(grep { $_->{body} eq $answers[0]{body} } @answers), 4, 'alike');
is(scalar $target->arrived, 1, 'by its request');

# the time

sub brief { Http::request($brief, path => $_[0]) }

$r = brief('/t/time');
my $answered = time;
my $body = $r->{body};
ok(await(sub { brief('/t/time')->{body} ne $body }),
    'after the time there is another request');
cmp_ok(time - $answered, '>=', 0.09, 'not before it');

for my $path ('/t/cc-public', '/t/accel') {
    $body = brief($path)->{body};
    ok(await(sub { brief($path)->{body} ne $body }),
        "$path: the target's own time doesn't count");
}

brief('/t/held');
$answered = time;
await(sub { time - $answered > 0.2 });
gate(0);
$target->arrived;
$first = ask('/t/held', port => $brief);
ok(await(sub { asked('/held') == 3 }),
    'a later scrape is on its way');
@more = map { ask('/t/held', port => $brief) } 1 .. 2;
seen();
gate(1);
read_response($_) for $first, @more;
is(scalar $target->arrived, 1, 'and is shared too');

# what is not the same

is(made('/t/a', undef, { path => '/t/b' }), 2, 'another path isn\'t shared');
is(made('/t/c', undef, { path => '/other/c' }), 2, 'nor another target');
is(made('/t/d', undef, { path => '/t/d?e' }), 2, 'nor other arguments');
is(made('/t/e%3ff', undef, { path => '/t/e?f' }), 2, 'nor an escaped "?"');
is(made('/t/g', undef, { method => 'HEAD' }), 2, 'nor HEAD with GET');
is(made('/t/h', { method => 'HEAD' }), 1, 'but HEAD with HEAD');

for my $name (qw(Accept Accept-Encoding Authorization Cookie Host)) {
    is(made("/t/$name", header("$name: a"), header("$name: b")), 2,
        "nor with another $name");
    is(made("/t/same-$name", header("$name: a")), 1, "but with the same");
}

is(made('/t/split', header('Accept: a', 'Accept-Encoding: b c'),
    header('Accept: a b', 'Accept-Encoding: c')), 2,
    'one header doesn\'t run into the next');
is(made('/t/j', header('User-Agent: a', 'X-Prometheus-Scrape-Timeout-Seconds: '
    . '9'), header('User-Agent: b')), 1, 'other headers don\'t matter');

is(made('/t/vary-X-Tenant,Accept'), 2,
    'an answer that varies by another header isn\'t shared');
is(made('/t/vary-Accept-Encoding'), 1, 'by one that is told apart it is');
is(made('/t/cookie'), 2, 'one that sets a cookie isn\'t');
is(made('/t/cc-no-store'), 1, 'one that no browser should keep is');

is(made('/t/post', { method => 'POST', body => 'x' }), 2, 'POST never is');
is(made('/by-hand/x'), 1, 'a location of one\'s own is shared');
is(made('/by-hand/y', undef, { path => '/t/y' }), 2, 'for itself');
is(made('/off/x'), 2, 'unless it is off there');
is(made('/zero/x'), 2, 'or zero');

$target->arrived;
Http::request($plain, path => '/t/x') for 1 .. 2;
is(scalar $target->arrived, 2, 'nothing is shared where it is not on');

is(made('/t/long', header('Authorization: ' . 'x' x 6000)), 2,
    'a key that is too long is no error');

# errors

is(made("/t/status-$_"), 2, "$_ isn't shared") for 404, 500, 503;
is(made('/t/short'), 2, 'an answer that breaks off isn\'t');
is($nginx->get('/t/closes')->{status}, 502, 'no answer is an error');
is($nginx->get('/dead/x')->{status}, 502, 'so is a dead target') for 1, 2;

gate(0);
$target->arrived;
$first = ask('/t/held/status-500');
ok(await(sub { asked('/held/status-500') == 1 }),
    'a failing scrape is on its way');
@more = ask('/t/held/status-500');
seen();
gate(1);
is(read_response($first)->{status}, 500, 'it fails');
is(read_response($more[0])->{status}, 500, 'the one that waited asks itself');
is(scalar $target->arrived, 2, 'with a request of its own');

# big ones

$target->arrived;
$first = ask('/t/big');
@more = ask('/t/big');
ok(read_response($_)->{body} eq $big, 'a big answer is whole') for $first,
    @more;
ok($nginx->get('/t/big')->{body} eq $big, 'later, too');
is(scalar $target->arrived, 1, 'of one request');

# the first goes away

gate(0);
$first = ask('/t/held/left');
ok(await(sub { asked('/held/left') == 1 }), 'a scrape');
@more = ask('/t/held/left');
seen();
close $first;
seen();
gate(1);
like(read_response($more[0])->{body}, qr{ /held/left\n\z},
    'one that goes away takes nothing from the others');
is(asked('/held/left'), 1, 'its request goes on');

# the waiting one goes away

gate(0);
$first = ask('/t/held/alone');
ok(await(sub { asked('/held/alone') == 1 }), 'a scrape');
@more = ask('/t/held/alone');
seen();
close $more[0];
seen();
gate(1);
like(read_response($first)->{body}, qr{ /held/alone\n\z},
    'nor does one that waited');

# deadlines

my @deadline = (headers => [ 'X-Prometheus-Scrape-Timeout-Seconds: 0.4' ]);

gate(0);
$first = ask('/t/held/late');
ok(await(sub { asked('/held/late') == 1 }), 'a slow scrape');
my $start = time;
$r = $nginx->get('/t/held/late', @deadline);
is($r->{status}, 504, 'who waits for it has a deadline');
cmp_ok(time - $start, '<', 10, 'in time');
like($r->{body}, qr/^t: .*0\.4|^t: .*400/, 'and is told so') or diag $r->{body};
gate(1);
is(read_response($first)->{status}, 200, 'the scrape itself goes on');
is($nginx->get('/t/held/late', @deadline)->{status}, 200, 'and is shared');

gate(0);
$first = ask('/t/held/early', @deadline);
ok(await(sub { asked('/held/early') == 1 }), 'a short deadline');
@more = ask('/t/held/early');
is(read_response($first)->{status}, 504, 'ends the first');
ok(await(sub { asked('/held/early') == 2 }),
    'so the next one asks');
gate(1);
is(read_response($more[0])->{status}, 200, 'and gets its answer');

# conditional requests

my @if = (headers => [ 'If-None-Match: "x"' ]);
$target->arrived;
is($nginx->get('/t/etag', @if)->{status}, 304, 'If-None-Match is answered');
unlike(join('', $target->arrived), qr/if-none-match/i,
    'from what the target sent whole');
is($nginx->get('/t/etag')->{status}, 200, 'which others get');

# nginx's reload and restart

$nginx->get('/t/kept');
$target->arrived;
ok($nginx->reload, 'nginx reloads');
$nginx->get('/t/kept');
is(scalar $target->arrived, 0, 'what is shared survives it');

brief('/t/leftover');
$nginx->signal('QUIT');
ok(await(sub { waitpid($nginx->{pid}, WNOHANG) != 0 }), 'nginx ends');
$answered = time;
await(sub { time - $answered > 0.2 });
$nginx->start;
$target->arrived;
is(brief('/t/leftover')->{status}, 200, 'a new one finds what is left behind');
is(scalar $target->arrived, 1, 'and that it is too old');
$nginx->get('/t/one');
is(scalar $target->arrived, 0, 'or not');

$nginx->finish;

# several workers

$nginx = Nginx->new;
$gate = $nginx->dir . '/gate';
$target = Backend->new(answer => sub { sleep 0.5; Backend::ok(@_) });
$nginx->configure(workers => 2, http => 'prom_proxy_share 60;',
    server => 'location = /metrics { prom_proxy_metrics; }',
    targets => '127.0.0.1:' . $target->port . " t\n")->start;
@answers = map { read_response($_) } map { ask('/t/metrics') } 1 .. 20;
is(scalar(grep { $_->{status} == 200 } @answers), 20, 'over two workers: 20');
is(scalar $target->arrived, 1, 'scrapes are one request');

my $metrics = $nginx->get('/metrics')->{body};
like($metrics, qr/_target_scrapes_total\{target="t",code="2xx"\} 20$/m,
    'they all count');
like($metrics, qr/_target_connections_total\{target="t",state="new"\} 1$/m,
    'for one connection');
$nginx->finish;

# mistakes

sub refused {
    my ($message, %part) = @_;

    my $nginx = Nginx->new;
    my ($status, $said) = $nginx->configure(targets => '', %part)->check;

    is($status, 1, 'refused: ' . join ' ', values %part);
    like($said, qr/\[emerg\] .*$message/, 'says why');
    $nginx->stop;
}

for my $value (qw(on x -1s 61s 2m 1.5s 99999999999999999999s)) {
    refused(qr/invalid value "\Q$value\E" in "prom_proxy_share" directive, it /
        . qr/must be "off" or a time up to 60s in/,
        server => "prom_proxy_share $value;");
}

refused(qr/invalid number of arguments in "prom_proxy_share"/,
    server => 'prom_proxy_share 1s 2s;');
refused(qr/"prom_proxy_share" directive is duplicate/,
    server => 'prom_proxy_share 1s; prom_proxy_share 1s;');

my $own = 'proxy_cache_path %%DIR%%/own keys_zone=own:1m;';

refused(qr/"prom_proxy_share" sets "proxy_cache", which is duplicate/,
    http => $own, server => 'proxy_cache own; prom_proxy_share 1s;');
refused(qr/"proxy_cache" directive is duplicate/,
    http => $own, server => 'prom_proxy_share 1s; proxy_cache own;');
refused(qr/"prom_proxy_share" sets "proxy_cache_key", which is duplicate/,
    server => 'proxy_cache_key x; prom_proxy_share 1s;');
refused(qr{"proxy_cache" in location "/own/" needs "prom_proxy_share off"},
    http => $own,
    server => 'prom_proxy_share 1s; location /own/ { proxy_cache own; }');
refused(qr{"proxy_buffering off" in location "/x/" needs "prom_proxy_share },
    server => 'prom_proxy_share 1s; location /x/ { proxy_buffering off; }');

$nginx = Nginx->new;
my ($status, $said) = $nginx->configure(targets => '', http => $own,
    server => 'prom_proxy_share 1s;
        location /own/ { prom_proxy_share off; proxy_cache own; }
        location /store/ { proxy_store on; }
        location /none/ { proxy_cache off; }')->check;
is($status, 0, 'an own cache does where it is off') or diag $said;
$nginx->stop;

done_testing();
