#!/usr/bin/perl

# t/49-token-wait.t: requests wait for a credential, as long as they should; and
# workers keep what the keeper has told them, whatever becomes of it

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(connection read_response request send_request);
use Nginx;
use Query;
use Teller;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $many = $ENV{MP_SLOW} ? 100 : 1000;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my $remote = Backend->new(answer => sub {
    my ($s, $request) = @_;

    my ($value) = $request =~ /^Authorization: ([^\r]*)/m;
    syswrite $s, "HTTP/1.1 200 OK\r\nContent-Length: " . length($value // '')
        . "\r\n\r\n" . ($value // '');

    return 1;
});

my @names = qw(one two three four five aws);
my $teller = Teller->new("$dir/keeper.socket");

$nginx->configure(
    targets => '', workers => 2, connections => 4096,
    http => "error_log %%DIR%%/logs/info.log info;\n"
        . query_http("127.0.0.1:$port", join('', map {
            remote_location($_, path => "/$_/", remote => "prefix=/$_",
                url => 'http://127.0.0.1:' . $remote->port) } @names),
            wait => '2s'),
)->start;

sub path { return "/$_[0]/api/v1/query?query=up" }

sub ask {
    my ($remote, %o) = @_;

    return request($port, path => path($remote), %o);
}

# by both workers, as far as a few tries tell

sub everywhere {
    my ($body, $remote) = @_;

    return await(sub {
        !grep { ask($remote)->{body} ne $body } 1 .. 20;
    });
}


# at the start

my $start = time;
my $r = ask('one');
is(json_error($r), '503 unavailable: one: no token: none was fetched yet',
    'none at all');
cmp_ok(time - $start, '>', 1.8, '... which was waited for');
cmp_ok(time - $start, '<', 2 + 2 * $slow, '... not for ever');

$teller->say('nothing one 100 the token endpoint answered 400');
$start = time;
is(json_error(ask('one')), '503 unavailable: one: no token: the token '
    . 'endpoint answered 400', 'the reason is told');
cmp_ok(time - $start, '>', 1.5, '... once there was time for more');

$teller->say('nothing one 60000 the token endpoint answered 500');
ok(await(sub {
    my $start = time;
    my $error = json_error(ask('one'));
    $error =~ /answered 500$/ && time - $start < 0.5 * $slow;
}), 'what has failed for longer than that is told at once');

my @all = map { connection($port) } 1 .. $many;
send_request($_, path => path('two'), keepalive => 1) for @all;
sleep 0.3;
$teller->say('token two 5 0 Bearer there');
my %bodies;
$bodies{ read_response($_)->{body} }++ for @all;
is_deeply(\%bodies, { 'Bearer there' => $many },
    "$many that wait are answered once it is there");
close $_ for @all;

@all = map { connection($port) } 1 .. 20;
send_request($_, path => path('three'), method => 'POST', body => 'query=up',
    keepalive => 1) for @all;
sleep 0.2;
close $_ for @all[0 .. 9];
$teller->say('token three 1 0 Bearer three');
is(read_response($_)->{body}, 'Bearer three', 'others have left meanwhile')
    for @all[10 .. 19];

my $posted = connection($port);
send_request($posted, keepalive => 1, raw => 'POST ' . path('aws')
    . " HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nqu");
sleep 0.2;
send_request($posted, raw => 'ery=up');
sleep 0.2;
$teller->say('token aws 1 0 Bearer posted');
is(read_response($posted)->{body}, 'Bearer posted',
    'a body that has come meanwhile');
close $posted;

like(request($port, path => '/-/ready')->{body},
    qr/^four: no token: none was fetched yet$/m, 'not ready');
$r = request($port, path => '/-/ready');
is($r->{status}, 503, '... which is 503');
like($r->{body}, qr/^one: no token: the token endpoint answered 500$/m,
    '... and why');
unlike($r->{body}, qr/^two|^three/m, '... but for those that are there');


# its end

$teller->say('token four 1 1500 Bearer short');
ok(everywhere('Bearer short', 'four'), 'one that is valid for 1.5 s');
ok(await(sub { json_error(ask('four')) eq '503 unavailable: four: no token: '
    . 'the last one has expired' }), '... expires');
$teller->say('token four 2 0 Bearer long');
ok(everywhere('Bearer long', 'four'), '... until there is another');
$teller->say('nothing four 60000 the token endpoint does not answer');
sleep 0.2;
is(ask('four')->{body}, 'Bearer long',
    'a valid one is used while there is no newer one');
is(scalar(map { /^four/m ? 1 : () } request($port, path => '/-/ready')
    ->{body}), 0, '... and is ready');

my $failed = 0;

for my $n (1 .. 50) {
    $teller->say("token four 1$n 0 Bearer " . 'x' x (16_000 - $n));
    $failed++ if ask('four')->{status} != 200;
}

is($failed, 0, 'one that is replaced under load');
$teller->say('token four 200 0 Bearer long');


# the keeper's end

ok(everywhere('Bearer long', 'four'), 'all have it');
$teller->stop;
is(ask('four')->{body}, 'Bearer long', 'without a keeper, they keep it');
$start = time;
like(json_error(ask('five')), qr/^503\ unavailable:\ five:\ no\ token:\ the
    \ program\ that\ fetches\ it\ isn't\ there$/x, '... and get no other');
$teller->{lines}{four} = 'token four 201 0 Bearer anew';
$teller->start;
ok(everywhere('Bearer anew', 'four'), 'another one is connected to');

my @before = $teller->connected;
$teller->hang_up;
ok(await(sub { $teller->connected >= @before + 2 }),
    'one that hangs up is connected to again');

my @workers = $nginx->workers;
kill 'KILL', $workers[0];
ok(await(sub { my @now = $nginx->workers;
    @now == 2 && !grep { $_ == $workers[0] } @now }), 'a worker is killed');
ok(everywhere('Bearer anew', 'four'), '... the next one knows all');

ok($nginx->reload, 'nginx is reloaded');
ok(everywhere('Bearer anew', 'four'), '... and knows all');

my $s = connection($port);
send_request($s, path => path('five'), keepalive => 1);
sleep 0.2;
my %old = map { $_ => 1 } $nginx->workers;
$nginx->signal('HUP');
ok(await(sub { grep { !$old{$_} } $nginx->workers }),
    'reloaded while one waits');
$teller->say('token five 1 0 Bearer five');
is(read_response($s)->{body}, 'Bearer five',
    '... which is answered by the old worker');
ok(await(sub { !grep { $old{$_} } $nginx->workers }), '... that ends then');


# what no keeper says

my $mistakes = 0;

sub mistakes {
    return scalar(() = Nginx::slurp("$dir/logs/error.log")
        =~ /keeper at \S+ sent a line that /g);
}

for my $line ('', ' ', 'token', 'token four', 'token four 1', 'token four 1 0',
    'token four 1 0 ', 'token four 0 0 Bearer x', 'token four x 0 Bearer x',
    'token four -1 0 Bearer x', 'token four 1 x Bearer x',
    'token four 1 0 Bearer hidden' . "\r", "token four 1 0 hidden\0x",
    "token four 1 0 hidden\x7f", "token four 1 0 hidden\xff",
    'token four 18446744073709551616 0 hidden',
    'token four 1 9007199254740992 hidden', 'token  four 1 0 hidden',
    'token four  1 0 hidden', 'token ../four 1 0 hidden',
    'token ' . 'x' x 64 . ' 1 0 hidden', 'aws four 1 0 region key hidden',
    'aws four 1 0 region key hidden - more', 'plain four 1 0 hidden',
    'nothing four', 'nothing four x hidden', 'nothing four 1',
    'nothing four 1 ' . 'x' x 201, 'stats four 1 2 3', 'hidden four 1',
    'stats four 1 2 3 4 5 6 7 8 9', 'GET / HTTP/1.1', 'x' x 70_000)
{
    my @before = $teller->connected;
    my $n = mistakes();
    $teller->raw("$line\n");
    ok(await(sub { $teller->connected >= @before + 2 && mistakes() > $n }),
        'is told, and begun anew: "'
        . substr($line, 0, 40) =~ s/[^ -~]/./gr . '"');
}

is(ask('four')->{body}, 'Bearer anew', 'what was there is there still');

$teller->raw($_) for 'stats four 1 2 3 4 5 6 7 8', "\nto", 'ken fo',
    "ur 300 0 Bearer pieces\nnothing one 1 ", "x\n";
ok(everywhere('Bearer pieces', 'four'), 'a line in pieces');
$teller->raw('token four 301 0 Bearer ' . 'y' x 40_000 . "\n");
$teller->raw(join '', map { "stats nobody $_ 2 3 4 5 6 7 8\n" } 1 .. 20_000);
$teller->raw("token four 302 0 Bearer after\n");
ok(everywhere('Bearer after', 'four'), 'a flood of lines');


# without a master

my $single = Nginx->new;
my $other = Teller->new($single->dir . '/keeper.socket');
my $at = free_port();
$other->say('token one 1 0 Bearer single');
$single->configure(targets => '', main => 'master_process off;',
    http => query_http("127.0.0.1:$at", remote_location('one',
        url => 'http://127.0.0.1:' . $remote->port)))->start;
is(request($at, path => '/api/v1/query')->{body}, 'Bearer single',
    'without a master');
$single->finish;


# nothing of it is told

my $info = Nginx::slurp("$dir/logs/info.log");
unlike($info . Nginx::slurp("$dir/logs/stderr"),
    qr/hidden|Bearer|long|anew|pieces|there\b(?! again)/,
    'no log has a token');
unlike(Nginx::slurp("$dir/logs/error.log") =~ s/^.*http proxy header.*$//mgr,
    qr/sent a line that [^\n]*hidden/, '... nor the line of a mistake');

$nginx->finish('exited on signal 9');

done_testing();
