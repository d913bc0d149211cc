#!/usr/bin/perl

# t/48-forward-names.t: names with addresses of both kinds, aliases, and how
# long an answer of a name server holds, for requests of both forms

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Backend;
use Dns;
use Forward;
use Http qw(connection send_request);
use Nginx;

plan skip_all => 'no IPv6 here'
    if !IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1);

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $nginx = Nginx->new;
my $dir = $nginx->dir;

# a target that says which address it has

sub target {
    my ($host, $port) = @_;

    return Backend->new(host => $host, port => $port, answer => sub {
        my ($s) = @_;

        print $s "HTTP/1.1 200 OK\r\nContent-Length: " . (1 + length $host)
            . "\r\n\r\n$host\n";
        $s->flush;
    });
}

# ports at which there is a target at one address, or at both

my ($both, $four, $six, $none) = map { free_port() } 1 .. 4;
my %at = map { join(' ', @$_) => target(@$_) } [ '127.0.0.2', $both ],
    [ '127.0.0.3', $both ], [ '::1', $both ], [ '127.0.0.2', $four ],
    [ '::1', $six ];

# one that a network has, if this machine has such an address

my $private = local_address(6) // '';
my $ours = $private =~ /^f[cd]/ ? target($private, $both) : undef;

my %names = (
    'six.test' => '::1', 'both.test' => '127.0.0.2 ::1',
    'mapped.test' => '::ffff:127.0.0.2', 'nothing.test' => '',
    'special.test' => 'fd00:ec2::254 64:ff9b::127.0.0.2 ::1',
    'denied.test' => '127.0.0.4 ::1', 'many.test' => join(' ',
        map { "127.0.0.$_" } 10 .. 16, 2),
    'more.test' => join(' ', map { "127.0.0.$_" } 10 .. 17, 2),
    'alias.test' => 'cname=both.test', 'steps.test' => 'alias=step.test',
    'step.test' => 'alias=both.test', 'loop.test' => 'alias=pool.test',
    'pool.test' => 'alias=loop.test', 'self.test' => 'alias=self.test',
    'nowhere.test' => 'cname=missing.test', 'inside.test' => 'cname=local.test',
    'local.test' => '127.0.0.1', 'far.other' => 'cname=six.test',
    (map { ("moves-$_.test" => '127.0.0.2 ttl=3') } qw(http connect)),
    'long.test' => '127.0.0.2 ttl=3600',
    'fails.test' => 'fail', 'hangs.test' => '127.0.0.3 127.0.0.2',
);
my $dns = Dns->new(%names);
my %port = map { $_ => free_port() } qw(names second);
my $port = $port{names};

# a name server that says nothing, and an address where nobody answers, since
# its queue is full

my $mute = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
    Type => SOCK_DGRAM);
my $full = IO::Socket::IP->new(LocalHost => '127.0.0.3', LocalPort => $four,
    Listen => 1) or die "full: $@\n";
my @queue = map { IO::Socket::IP->new(PeerHost => '127.0.0.3',
    PeerPort => $four, Blocking => 0) } 1 .. 8;

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward names { allow *.test 127.0.0.2 127.0.0.3 !127.0.0.4
    [::1]:$both,$six,$none 127.0.0.10 127.0.0.11 127.0.0.12 127.0.0.13
    127.0.0.14 127.0.0.15 127.0.0.16 127.0.0.17 [fc00::]/7:$both;
    resolver 127.0.0.1:@{[ $dns->port ]}; resolver_timeout 2s; scheme http;
    connect_timeout 300ms; }
prom_forward second { allow *.test 127.0.0.2; scheme http;
    resolver 127.0.0.1:@{[ $mute->sockport ]} 127.0.0.1:@{[ $dns->port ]}; }
END
    stream => 'upstream prom_forward { prom_forward_peer; }'
        . 'log_format forward \'$prom_forward_target $prom_forward_address '
        . '$prom_forward_rule\'; access_log %%DIR%%/logs/connect.log forward;'
        . join('', map { forward_stream($_, "127.0.0.1:$port{$_}") }
            sort keys %port),
    http => 'log_format forward \'$prom_forward_target $prom_forward_address '
        . '$prom_forward_rule\'; access_log %%DIR%%/logs/http.log forward;'
        . join('', map { forward_server($_, "unix:%%DIR%%/$_.unused",
            'proxy_connect_timeout 300ms;') } sort keys %port),
)->start;

# some names by two servers, of which one is asked first, and then the other

my %seconds = map { ("second$_.test" => '127.0.0.2 ttl=60') } 1 .. 4;
%names = (%names, %seconds);
$dns->set(%names);

my @seconds = map {
    my $s = connection($port{second});
    send_request($s, raw => (/[12]/ ? "GET http://$_:$four/" : "CONNECT "
        . "$_:$four") . " HTTP/1.1\r\nHost: x\r\n\r\n");
    $s;
} sort keys %seconds;

my $form;

# which targets have answered to some requests in a row

sub answered {
    my ($target, $count) = @_;

    my %by;

    for (1 .. $count // 1) {
        my $r = asked($form, $port, $target);
        $by{ $r->{status} == 200 ? $r->{body} =~ s/\n//r : $r->{line} }++;
    }

    return join ' ', sort keys %by;
}

sub says {
    my ($target, $line, $promise) = @_;

    like(asked($form, $port, $target)->{line}, qr/\AHTTP\/1\.1 $line\z/,
        "$form: $promise");
}

for (qw(http connect)) {
    $form = $_;

    is(answered("six.test:$six"), '::1', "$form: a name with AAAA alone");
    is(answered("mapped.test:$four"), '127.0.0.2', '... with IPv4 in it');
    like(answered("both.test:$both", 12), qr/\A127\.0\.0\.2(?: ::1)?\z/,
        'one with both kinds');
    is(answered("both.test:$four", 8), '127.0.0.2',
        '... of which IPv4 alone is there');
    is(answered("both.test:$six", 8), '::1', '... or IPv6 alone');
    says("both.test:$none", '502 .*both\.test:\d+.*: connection refused',
        '... or none');
    is(answered("special.test:$both", 4), '::1',
        'none is dialled that no rule names exactly');
    is(answered("denied.test:$both", 4), '::1', '... or that a rule denies');
    is(answered("many.test:$both"), '127.0.0.2', 'the last of 8 addresses');
    says("more.test:$both", '502 .*', '... but not of 9')
        if $form eq 'http';    # which are asked in another order then
    is(answered("hangs.test:$four"), '127.0.0.2',
        'one of two that doesn\'t answer');
    says("nothing.test:$both", "502 nothing\\.test:$both: Host not found",
        'a name without addresses');

    # aliases

    like(answered("alias.test:$both", 4), qr/\A(?:127\.0\.0\.2 ?|::1)+\z/,
        'an alias');
    is(answered("steps.test:$four"), '127.0.0.2',
        '... by steps, one query each');
    says("$_.test:$both", "502 $_\\.test:$both: Host not found", $_)
        for qw(loop self nowhere);
    says("inside.test:$both", "403 inside\\.test:$both is not allowed: "
        . '127\.0\.0\.1 is loopback, which a rule has to name exactly',
        'an alias of what is special');
    is(answered("far.other:$six"), '::1',
        'an alias that no rule has, of an address that one has');

    # addresses

    is(answered("[::1]:$six"), '::1', 'an address of IPv6');
    is(answered("[0:0:0:0:0:0:0:1]:$six"), '::1', '... in full');
    is(answered("[::0.0.0.1]:$six"), '::1', '... or as IPv4 in it');
    says("[::1]:$four", '403 .* ::1 is loopback, which a rule has to name '
        . 'exactly', '... at another port');
    says('[fec0::1]:9100', '403 .*no rule is for fec0::1', 'in no network');

    SKIP: {
        skip 'no private address of IPv6 here', 2 if !$ours;

        is(answered("[$private]:$both"), $private, 'in one');
        says("[$private]:$four", "403 .*no rule is for \Q$private\E",
            '... at another port');
    }

    my @lines = (
        "six.test:$six [::1]:$six allow [::1]:$both,$six,$none",
        "both.test:$six [::1]:$six allow [::1]:$both,$six,$none",
        "[::1]:$six [::1]:$six allow [::1]:$both,$six,$none",
        "[0:0:0:0:0:0:0:1]:$six [::1]:$six allow [::1]:$both,$six,$none",
        'far.other:' . "$six [::1]:$six allow [::1]:$both,$six,$none",
        "inside.test:$both - allow *.test");

    # each is written when its tunnel or request ends

    my ($file, $log) = ("$dir/logs/$form.log");
    await(sub {
        $log = Nginx::slurp($file);
        !grep { $log !~ /^\Q$_\E$/m } @lines;
    });
    like($log, qr/^\Q$_\E$/m, "$form\'s log: $_") for @lines;
    like($log, qr/^alias\.test:$both (?:127\.0\.0\.2|\[::1\]):$both allow /m,
        '... and an alias, by whichever of its addresses');
}


# what is remembered, and for how long

is($dns->asked('fails.test'), 0, 'nobody has asked for a name');
$form = 'http';
says("fails.test:$both", '502 fails\.test:\d+: .+', 'a server that fails');
$form = 'connect';
says("fails.test:$both", '502 fails\.test:\d+: .+', '... fails');
is(answered("fails.test:$both") =~ /502/, 1, '... for a while');
is($dns->asked('fails.test'), 1, '... and is not asked again at once');

# of one that moves, both forms ask at the same time

sub moves {
    return join ' ', map { $form = $_; answered("moves-$_.test:$both", 2) }
        qw(http connect);
}

my $start = time;
is(moves(), '127.0.0.2 127.0.0.2', 'a name that will move, for both forms');
$dns->set(%names, map { ("moves-$_.test" => '127.0.0.3 ttl=3') }
    qw(http connect));
is(moves(), '127.0.0.2 127.0.0.2',
    '... is where it was while its answer lives');
ok(await(sub { moves() eq '127.0.0.3 127.0.0.3' }, 10 * $slow),
    '... and then elsewhere, whatever connection is kept');
cmp_ok(time - $start, '>', 2.5, '... not before');
cmp_ok(time - $start, '<', 6 * $slow, '... nor much later');
is($dns->asked("moves-$_.test"), 2, "... by a second query, $_")
    for qw(http connect);

$form = 'http';
answered("long.test:$both", 5);
$form = 'connect';
answered("long.test:$both", 5);
is($dns->asked('long.test'), 1, 'an answer serves both forms');


# by the second name server, if the first says nothing

is(join(' ', map { connect_head($_)->{status} } @seconds), '200 200 200 200',
    'one name server is enough');
@seconds = ();


# a client that leaves in the middle of a chain

$dns->set(%names, 'chain.test' => 'alias=held.test', 'held.test' => 'hold');

my @leaving = map { connection($port) } 1 .. 2;
send_request($leaving[0], path => "http://chain.test:$both/");
send_request($leaving[1],
    raw => "CONNECT chain.test:$both HTTP/1.1\r\nHost: x\r\n\r\n");
await(sub { $dns->asked('held.test') });
@leaving = ();
ok(await(sub { 2 == grep { Nginx::slurp("$dir/logs/$_.log")
    =~ /^chain\.test/m } qw(http connect) }), 'clients leave in a chain');
$dns->set(%names, 'chain.test' => 'cname=six.test', 'held.test' => '::1');
ok(await(sub { answered("chain.test:$six") eq '::1' }, 10 * $slow),
    '... and the next ones are served');

$nginx->finish;

done_testing();
