#!/usr/bin/perl

# t/45-poll-tokens.t: who a token belongs to, and that the file is followed

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Nginx;

my $nginx = Nginx->new;
my $dir = $nginx->dir;


sub tokens {
    my (%token) = @_;

    return join '', map { "$token{$_} sha256:" . sha256_hex($_) . "\n" }
        sort keys %token;
}


sub configure {
    my ($http, %o) = @_;

    return $nginx->configure(http => $http, targets => '', workers => 2,
        server => 'location = /owner '
            . '{ return 200 "[$prom_poll_token_owner]"; }', %o);
}


sub owner {
    my (@authorization) = @_;

    return $nginx->get('/owner',
        headers => [ map { "Authorization: $_" } @authorization ])->{body};
}


# a configuration that is refused

sub refused {
    my ($promise, $directive, $pattern) = @_;

    configure($directive);
    my ($status, $said) = $nginx->check;

    isnt($status, 0, "refused: $promise");
    like($said, $pattern, "$promise: says so");
}


$nginx->write('tokens', tokens(a => 'host-1'));

refused('a file that is not there', 'prom_poll_tokens %%DIR%%/none;',
    qr/\[emerg\] .*\Q$dir\E\/none: cannot be opened \(2: No such file/);
refused('a directory', 'prom_poll_tokens %%DIR%%/logs;',
    qr/\Q$dir\E\/logs: is not a regular file/);
refused('another parameter', 'prom_poll_tokens %%DIR%%/tokens 1s;',
    qr/invalid value "1s" in "prom_poll_tokens" directive/);
refused('an interval that is none',
    'prom_poll_tokens %%DIR%%/tokens interval=x;',
    qr/invalid value "interval=x" in "prom_poll_tokens" directive/);
refused('two files', 'prom_poll_tokens %%DIR%%/tokens; '
    . 'prom_poll_tokens %%DIR%%/tokens;', qr/directive is duplicate/);

$nginx->write('tokens', "host-1 secret\nhost-2\n");
refused('a file with mistakes', 'prom_poll_tokens tokens;',
    qr/\Q$dir\E\/tokens:1:8: not a token's hash; .*tokens:2:1: no hash/s);
unlike(($nginx->check)[1], qr/secret/, 'and no token is in the log');


# who a token belongs to

$nginx->write('tokens', tokens(a => 'Host-1', b => 'host-2', c => 'host-1',
    'x' x 1024 => 'long', 'y' x 1025 => 'longer',
    map { ("token-$_" => "many-$_") } 1 .. 2000));
configure('prom_poll_tokens tokens interval=100ms;')->start;

is(owner('Bearer a'), '[host-1]', 'the owner of a token, in lower case');
is(owner('bearer b'), '[host-2]', 'however "Bearer" is written');
is(owner('BEARER   c'), '[host-1]', 'a name has several tokens');
is(owner("Bearer token-$_"), "[many-$_]", "token $_ of many") for 1, 2000;
is(owner('Bearer ' . 'x' x 1024), '[long]', 'a token of 1024 bytes');
is(owner(@$_), '[]', 'no owner: ' . substr $_->[0] // 'no header', 0, 20)
    for [], [ 'Bearer d' ], [ 'Bearer ' ], [ 'Bearer' ], [ 'Bearer A' ],
    [ 'Bearera' ], [ 'Basic a' ], [ 'a' ], [ 'Bearer a b' ],
    [ 'Bearer ' . 'y' x 1025 ], [ 'Bearer ' . sha256_hex('a') ],
    [ 'Bearer sha256:' . sha256_hex('a') ];


# the file is followed, in all workers

sub both {
    my ($token, $owner) = @_;

    return await(sub {
        !grep { owner("Bearer $token") ne $owner } 1 .. 8;
    });
}

$nginx->write('tokens', tokens(d => 'host-1'));
ok(both('d', '[host-1]'), 'a new token is taken while running');
ok(both('a', '[]'), 'one that was taken out is none any more');
like($nginx->log, qr/\[notice\] .*\/tokens: tokens loaded: 1/, 'and is told');

my $mark = length $nginx->log;
$nginx->write('tokens', tokens(e => 'host-1') . "host-2 secret\n");

ok(await(sub { $nginx->log($mark)
    =~ /\[error\] .*\/tokens:2:8: not a token's hash/ }),
    'a mistake is told with its place');
like($nginx->log($mark), qr/not loaded, the tokens stay as they are/,
    'and what becomes of it');
ok(both('d', '[host-1]') && both('e', '[]'), 'the set before stays');

kill 'KILL', $_ for $nginx->workers;
ok(await(sub { both('d', '[host-1]') && both('a', '[]') }),
    'also for workers that are started anew');
is(scalar(() = $nginx->log($mark) =~ /tokens:2:8/g), 1,
    'the mistake is told once');

unlink "$dir/tokens";
ok(await(sub { $nginx->log =~ /\/tokens: cannot be opened/ }),
    'that the file is missing is told');
ok(both('d', '[host-1]'), 'and the set stays');

$nginx->write('tokens', '');
ok(both('d', '[]'), 'an empty file takes all tokens out');


# a reload reads it, another file too, or refuses it

$nginx->write('other', tokens(f => 'host-3'));
configure('prom_poll_tokens %%DIR%%/other interval=0;');
ok($nginx->reload, 'a reload');
ok(both('f', '[host-3]'), 'with another file');

$nginx->write('other', "host-3\n");
$mark = length $nginx->log;
$nginx->signal('HUP');
ok(await(sub { $nginx->log($mark)
    =~ /\[emerg\] .*\/other:1:1: no hash behind the name/ }),
    'a reload with a mistake is refused');
is(owner('Bearer f'), '[host-3]', 'and changes nothing');

configure('');
ok($nginx->reload, 'a reload without the directive');
is(owner('Bearer f'), '[]', 'nobody owns a token then');

$nginx->finish(qr/exited on signal 9|was locked by|\[emerg\] .*other:1:1/);

done_testing();
