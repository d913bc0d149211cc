#!/usr/bin/perl

# t/48-forward-live.t: files that are changed, passwords that are tried,
# mistakes in the configuration, and what is counted

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Forward;
use Http qw(connection read_response request send_request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;

# of bcrypt: valgrind lets one thread run at a time, and not the other at all

my $cost = $ENV{MP_SLOW} ? 4 : 10;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $target = '127.0.0.1:' . Backend->new->port;
my $other = '127.0.0.1:' . Backend->new->port;
my %port = map { $_ => free_port() } qw(open users);

authority($dir, 'ca');
$nginx->write('allow', "# one\n$target\n");
$nginx->write('users', hashed('scraper', 'secret', $cost)
    . hashed('other', 'word'));

sub configure {
    my ($more) = @_;

    $nginx->configure(
        targets => '',
        main => 'prom_forward open { allow_file %%DIR%%/allow; scheme http; '
            . 'zone open 1m; } prom_forward users { allow 127.0.0.1:'
            . ($target =~ s/.*://r) . '; users %%DIR%%/users; '
            . 'scheme http; zone users 64k; }' . ($more // ''),
        http => join('', map { forward_server($_, "127.0.0.1:$port{$_}") }
            sort keys %port),
        server => 'location = /metrics { prom_proxy_metrics; }',
    );
}

configure();
$nginx->start;

sub ask {
    my ($by, $to, @headers) = @_;

    return request($port{$by}, path => "http://$to/",
        headers => [ 'Host: x', @headers ]);
}

sub status { ask(@_)->{status} }

sub becomes {
    my ($status, $promise, @ask) = @_;

    ok(await(sub { status(@ask) == $status }, 10 * $slow), $promise);
}

sub logs {
    my ($pattern, $promise) = @_;

    ok(await(sub { $nginx->log =~ $pattern }, 10 * $slow), $promise);
}


# the allow-list

is(status('open', $target), 200, 'what is in the file is allowed');
is(status('open', $other), 403, '... and nothing else');

$nginx->write('allow', "$target $other\n");
becomes(200, 'a file that takes its place', 'open', $other);
logs(qr/\Q$dir\E\/allow: "allow_file" loaded/, '... which is told');

open my $fh, '>', "$dir/allow" or die $!;
print $fh "$target\n";
close $fh;
becomes(403, 'one that is written in place', 'open', $other);

$nginx->write('allow', "$target\n$other\n   10.0.0.0/33\n");
logs(qr/\Q$dir\E\/allow:3:\d+: /, 'a mistake is told with its place');
logs(qr/\Q$dir\E\/allow: not loaded, "allow_file" stays as it is/,
    '... and that it isn\'t loaded');
is(status('open', $target), 200, '... and the rules stay');
is(status('open', $other), 403, '... all of them');

unlink "$dir/allow";
logs(qr/\Q$dir\E\/allow: cannot be opened .*No such file/,
    'a file that is gone is told');
is(status('open', $target), 200, '... and the rules stay');

$nginx->write('allow', '');
becomes(403, 'an empty file allows nothing', 'open', $target);
$nginx->write('allow', "$target\n");
becomes(200, '... until it has a rule', 'open', $target);


# users

is(status('users', $target, basic('scraper:secret')), 200, 'a user');
is(status('users', $target, basic('scraper:secret')), 200, '... again');

$nginx->write('users', hashed('scraper', 'changed', $cost)
    . hashed('other', 'word'));
becomes(407, 'a password that was changed', 'users', $target,
    basic('scraper:secret'));
is(status('users', $target, basic('scraper:changed')), 200, '... is new');
is(status('users', $target, basic('other:word')), 200, '... for one alone');

$nginx->write('users', hashed('scraper', 'changed', $cost));
becomes(407, 'a user that is gone', 'users', $target, basic('other:word'));

$nginx->write('users', "scraper:changed\n");
logs(qr/\Q$dir\E\/users:1:9: no hash of bcrypt/, 'a mistake is told');
unlike($nginx->log =~ s/.*HTTP.*//mgr, qr/users:1:\d+:.*changed/,
    '... but not the password');
is(status('users', $target, basic('scraper:changed')), 200,
    '... and the users stay');

$nginx->write('users', '');
becomes(407, 'nobody is in an empty file', 'users', $target,
    basic('scraper:changed'));
$nginx->write('users', hashed('scraper', 'changed', $cost));
becomes(200, '... until somebody is', 'users', $target,
    basic('scraper:changed'));


# many wrong ones at once

my @tries = map {
    my $s = connection($port{users});
    send_request($s, path => "http://$target/", headers =>
        [ 'Host: x', basic("scraper:wrong$_") ]);
    $s;
} 1 .. 60;

my $longest = 0;

for (1 .. 10) {
    my $start = time;
    is(status('users', $target, basic('scraper:changed')), 200,
        'one who is known is let in meanwhile');
    $longest = time - $start if time - $start > $longest;
}

cmp_ok($longest, '<', 5 * $slow, '... and at once');

my %statuses;
$statuses{ read_response($_, timeout => 60)->{status} }++ for @tries;
like(join(' ', sort keys %statuses), qr/\A407(?: 503)?\z/,
    'wrong passwords are refused, or not looked at');

SKIP: {
    skip 'cheap hashes are checked as fast as they come', 2 if $ENV{MP_SLOW};

    cmp_ok($statuses{503}, '>', 10, '... so that few are checked at once');
    logs(qr/16 passwords are being checked already/, '... which is logged');
}

# those who don't wait for it

for (1 .. 20) {
    my $s = connection($port{users});
    send_request($s, path => "http://$target/", headers =>
        [ 'Host: x', basic('scraper:same') ]);
    close $s if $_ % 2;
    push @tries, $s;
}

becomes(407, 'a wrong one that many have tried at once, and have left',
    'users', $target, basic('scraper:same'));
is(status('users', $target, basic('scraper:changed')), 200,
    '... and the right one');


# what is counted

sub metrics {
    my $text = request($nginx->port, path => '/metrics')->{body};

    return wantarray ? $text
        : { $text =~ /^(monitoring_proxy_forward_\S+) (\d+)$/mg };
}

sub decided {
    my ($by, $decision) = @_;

    my $name = 'monitoring_proxy_forward_requests_total';
    return metrics()->{
        "${name}{proxy=\"$by\",side=\"http\",decision=\"$decision\"}" };
}

my $before = decided('open', 'denied');
my $allowed = decided('open', 'allowed');
ask('open', '127.0.0.7:9100');
ask('open', '10.0.0.1:9100');
ask('open', $target);
is(decided('open', 'denied') - $before, 1, 'a request that is denied');
is(decided('open', 'allowed') - $allowed, 1, '... and one that is allowed');
cmp_ok(decided('users', 'credentials'), '>=', 16, '... by each block');

my ($of) = grep { /target.*\Q$target\E/ && /open/ } sort keys %{ metrics() };
ok($of, 'a target has counters of its own');
ok(!grep({ /10\.0\.0\.1/ } keys %{ metrics() }),
    '... but none that is denied');

my $denied = decided('open', 'denied');
my $count = metrics()->{$of};
$nginx->reload;
is(decided('open', 'denied'), $denied, 'a reload keeps what was counted');
is(metrics()->{$of}, $count, '... of targets, too');
is(status('users', $target, basic('scraper:changed')), 200,
    '... and users are let in');
$nginx->reload;
is(status('open', $target), 200, 'another reload');
$nginx->write('allow', "$target $other\n");
becomes(200, '... behind which the file is followed', 'open', $other);

SKIP: {
    skip 'no promtool', 1 if !$ENV{MP_PROMTOOL} || !-x $ENV{MP_PROMTOOL};

    my $text = metrics();
    $nginx->write('page', $text);
    is(`$ENV{MP_PROMTOOL} check metrics < $dir/page 2>&1 \\
        | grep forward`, '', 'promtool has nothing to say');
}


# the configuration

sub mistake {
    my ($main, $said, $promise) = @_;

    configure("prom_forward x { $main }");
    my ($status, $text) = $nginx->check;
    ok($status != 0, "a mistake: " . ($promise // $main));
    like($text, qr/\[emerg\].*$said/, '... which is told');
}

$nginx->write('bad', "10.0.0.0/33\n");
$nginx->write('key', "short\n");
$nginx->write('good-key', "0123456789abcdef\nmore\n");
$nginx->write('bytes', "0123456789abc\0def\n");
$nginx->write('empty', '');

my $ok = 'allow 10.0.0.0/8; verify off;';

mistake('', 'neither "allow" nor "allow_file"', 'nothing');
mistake('allow 10.0.0.0/8;', 'needs "verify FILE", the CA of the targets');
mistake('allow 10.0.0.0/33; verify off;', 'invalid rule in "allow": ');
mistake('allow "#"; verify off;', 'is no rule');
mistake('allow; verify off;', 'invalid number of arguments in "allow"');
mistake("$ok allow_file %%DIR%%/none;",
    'none: cannot be opened .*No such file');
mistake("$ok allow_file %%DIR%%/bad;", 'bad:1:\d+: ');
mistake("$ok allow_file a b;", 'invalid number of arguments');
mistake("$ok plain *:80;", '"plain" of "prom_forward x" needs "scheme auto"');
mistake("$ok scheme auto;", '"scheme auto" of "prom_forward x" needs "plain"');
mistake("$ok scheme auto; plain 1.2.3.4.5/6;", 'invalid rule in "plain"');
mistake("$ok scheme ftp;", '"scheme" must be "https", "http" or "auto"');
mistake("$ok scheme http; scheme http;", '"scheme" directive is duplicate');
mistake("$ok from 10.0.0.0/40;", 'is no address and no network');
mistake("$ok from 10.0.0.1/8;", 'low address bits of 10\.0\.0\.1/8');
mistake("$ok users %%DIR%%/none;", 'none: cannot be opened .*No such file');
mistake("$ok users %%DIR%%/key;", 'key:1:\d+: no colon');
mistake("$ok client_certificate yes;", 'must be "on" or "off"');
mistake('allow *; verify %%DIR%%/none;', 'none could not be loaded',
    'no such CA');
mistake('allow *; verify %%DIR%%/empty;', 'empty could not be loaded',
    'a CA of nothing');
mistake("$ok own 0;", '"0" is no port');
mistake("$ok own 22 65536;", '"65536" is no port');
mistake("$ok checkme short;", 'a key of less than 16 bytes');
mistake("$ok checkme file:%%DIR%%/key;", '/key" has a key of less than 16 bytes');
mistake("$ok checkme file:%%DIR%%/bytes;", 'key with control characters');
mistake("$ok checkme file:%%DIR%%/none;", 'none" failed');
mistake("$ok resolver;", 'invalid number of arguments in "resolver"');
mistake("$ok resolver 127.0.0.1 valid=x;", 'invalid parameter');
mistake("$ok $_ x;", "\"$_\" has an invalid time")
    for qw(resolver_timeout connect_timeout total);
mistake("$ok $_ 0;", "\"$_\" must not be 0")
    for qw(resolver_timeout connect_timeout);
mistake("$ok zone x 1k;", 'has an invalid size, or one below 16 pages');
mistake("$ok zone x;", 'invalid number of arguments in "zone"');
mistake("$ok zone open 1m;", 'is that of another "prom_forward"');
mistake("$ok zone open 2m;", 'conflict|is that of another');
mistake("$ok unknown 1;", 'unknown directive "unknown" in "prom_forward"');
mistake("$ok } prom_forward x { $ok", 'duplicate "prom_forward x"');
mistake("$ok } prom_forward a/b { $ok", '"a/b" is no name');
mistake("$ok } " . join('', map { "prom_forward y$_ { $ok } " } 1 .. 8)
    . "prom_forward z { $ok", 'more than 8 blocks', 'too many blocks');
mistake("$ok } http { server { location / { prom_forward none; } }",
    'there is no "prom_forward none', 'a name that no block has');

configure("prom_forward x { $ok checkme file:%%DIR%%/good-key; total 0; "
    . 'resolver 127.0.0.1 valid=1s; from 10.0.0.0/8 fd00::/8; own 22 80; '
    . 'resolver_timeout 1s; connect_timeout 1s; client_certificate off; }');
is(($nginx->check)[0], 0, 'none in all of them');

$nginx->finish;

done_testing();
