#!/usr/bin/perl

# t/40-sd-connected.t: /targets?connected says of each tunnel and each client
# whether it is there now, as the kernel and the clients have it

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use JSON::PP;
use POSIX ();
use Socket qw(SOCK_DGRAM);
use Test::More;

use Nginx;
use Poll;

my $label = '__meta_monitoring_proxy_connected';
my $many = $ENV{MP_SLOW} ? 1_000 : 4_000;
my $polls = free_port();
my $nginx = Nginx->new;
my $ipv6 = IO::Socket::IP->new(LocalHost => '::1', Listen => 1);


sub listener {
    my ($host, $port, %o) = @_;

    return IO::Socket::IP->new(LocalHost => $host, LocalPort => $port,
        Listen => 8, ReuseAddr => 1, %o) // die "$host $port: $@\n";
}


# Each target's label, "-" if it has none.

sub states {
    my ($query) = @_;

    my $groups = eval { decode_json($nginx->get("/targets?$query")->{body}) }
        // return 'no JSON';

    return { map { $_->{labels}{instance} => $_->{labels}{$label} // '-' }
        @$groups };
}


# Others on this machine open and close ports, too, which is all in the ETag: what
# has to be the same is so in one try of many.

sub once {
    my ($same) = @_;

    for (1 .. 20) {
        return 1 if $same->();
    }

    return 0;
}


sub state_of { states('connected')->{$_[0]} }

sub names { join ' ', sort keys %{ states(@_) } }

sub etag { $nginx->get($_[0])->{headers}{etag} // '' }


# listeners of every kind, and targets that they are for, and aren't

my %port = map { $_ => free_port() }
    qw(four six none second any dual only mapped udp late);

my @listeners = (
    listener('127.0.0.1', $port{four}),
    listener('127.0.0.2', $port{second}),
    listener('0.0.0.0', $port{any}),
    IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port{udp},
        Type => SOCK_DGRAM),
);

push @listeners,
    listener('::1', $port{six}),
    listener('::', $port{dual}, V6Only => 0),
    listener('::', $port{only}, V6Only => 1),
    listener('::ffff:127.0.0.4', $port{mapped}, V6Only => 0) if $ipv6;

# a connection that is open is no port that is listened at

my $client = IO::Socket::IP->new(PeerHost => '127.0.0.1',
    PeerPort => $port{four}, LocalHost => '127.0.0.1');
my $used = $client->sockport;

my @expected = (
    [ "localhost:$port{four}", 'yes', 'localhost, listened at by IPv4' ],
    [ "localhost:$port{six}", 'yes', 'localhost, listened at by IPv6' ],
    [ "localhost:$port{none}", 'no', 'localhost, not listened at' ],
    [ "localhost:$port{second}", 'no', 'localhost, at 127.0.0.2 alone' ],
    [ "localhost:$port{mapped}", 'no', 'localhost, at 127.0.0.4 alone' ],
    [ "localhost:$port{any}", 'yes', 'localhost, at 0.0.0.0' ],
    [ "localhost:$port{only}", 'yes', 'localhost, at [::] without IPv4' ],
    [ "localhost:$port{udp}", 'no', 'localhost, by UDP' ],
    [ "localhost:$used", 'no', 'localhost, a connection\'s own end' ],
    [ "https://localhost:$port{four}/base", 'yes', 'a tunnel to TLS' ],
    [ "127.0.0.1:$port{four}", 'yes', '127.0.0.1' ],
    [ "127.0.0.1:$port{six}", 'no', '127.0.0.1, at [::1] alone' ],
    [ "127.0.0.1:$port{only}", 'no', '127.0.0.1, at [::] without IPv4' ],
    [ "127.0.0.2:$port{second}", 'yes', '127.0.0.2' ],
    [ "127.0.0.2:$port{four}", 'no', '127.0.0.2, at 127.0.0.1 alone' ],
    [ "127.0.0.3:$port{second}", 'no', '127.0.0.3, at 127.0.0.2 alone' ],
    [ "127.0.0.3:$port{any}", 'yes', '127.0.0.3, at 0.0.0.0' ],
    [ "127.0.0.3:$port{dual}", 'yes', '127.0.0.3, at [::] of both kinds' ],
    [ "127.0.0.4:$port{mapped}", 'yes', '127.0.0.4, by an address of IPv6' ],
    [ "[::1]:$port{six}", 'yes', '[::1]' ],
    [ "[::1]:$port{four}", 'no', '[::1], at 127.0.0.1 alone' ],
    [ "[::1]:$port{any}", 'no', '[::1], at 0.0.0.0' ],
    [ "[::1]:$port{only}", 'yes', '[::1], at [::]' ],
    [ "[fd00::2]:$port{six}", '-', 'an address of IPv6 elsewhere' ],
    [ "192.0.2.1:$port{any}", '-', 'an address of IPv4 elsewhere' ],
    [ "exporter.example:$port{any}", '-', 'a name elsewhere' ],
    [ 'https://exporter.example', '-', 'https:// elsewhere' ],
    [ 'unix:/run/e.sock', '-', 'a unix socket' ],
);

# those of ports that nobody listens at then are none of this test's

@expected = grep { $_->[0] !~ /:(?:$port{six}|$port{dual}|$port{only}
    |$port{mapped})$/x } @expected unless $ipv6;

my $lines = join '', map { "$expected[$_][0] t$_\n" } 0 .. $#expected;

$nginx->configure(targets => $lines . "localhost:$port{late} late "
    . "env=prod connected=maybe\n", zone => '32m',
    registry => 'prom_proxy_targets %%DIR%%/targets interval=20ms; '
        . 'prom_proxy_poll interval=20ms;',
    http => poll_http(port => $polls, zone => 'poll 4m'),
    server => 'location = /targets { prom_proxy_sd; } location = /both { '
        . 'ssi on; ssi_types *; alias %%DIR%%/both; }')->start;

my $states = states('connected');

is($states->{"t$_"}, $expected[$_][1], $expected[$_][2]) for 0 .. $#expected;

is_deeply([ grep { $_ ne '-' } values %{ states('') } ], [],
    'nobody is told who has not asked');


# what comes and goes

my $closed = etag('/targets?connected');
my $plain = etag('/targets');

is($states->{late}, 'no', 'a tunnel that is not there yet');
ok(once(sub { etag('/targets?connected') eq etag('/targets?connected') }),
    'the ETag stays while nothing changes');

my $tunnel = listener('127.0.0.1', $port{late});
is(state_of('late'), 'yes', 'is there the moment it is');

my $opened = etag('/targets?connected');
isnt($opened, $closed, 'and the ETag is another');
is(etag('/targets'), $plain, 'but not that of the page without');

sub status_if {
    my ($etag, $method) = @_;

    return $nginx->get('/targets?connected', method => $method // 'GET',
        headers => [ "If-None-Match: $etag" ])->{status};
}

is(status_if($closed), 200, 'who has the former gets the page');

for my $method ('GET', 'HEAD') {
    ok(once(sub { status_if(etag('/targets?connected'), $method) == 304 }),
        "and who has this one is told so, by $method");
}

my $r;
ok(once(sub {
    my $etag = etag('/targets?connected');
    $r = $nginx->get('/targets?connected', method => 'HEAD');
    return "$r->{status} $r->{headers}{etag} $r->{body}" eq "200 $etag ";
}), 'HEAD has the same headers and no body');

ok(once(sub {
    my $etag = etag('/targets?connected');
    return $nginx->reload && etag('/targets?connected') eq $etag;
}), 'nginx reloads, and the ETag is the one that was');

close $tunnel;
is(state_of('late'), 'no', 'a tunnel that has gone has gone at once');
ok(once(sub {
    my $etag = etag('/targets?connected');
    my $s = listener('127.0.0.1', $port{late});
    return etag('/targets?connected') ne $etag && close $s
        && etag('/targets?connected') eq $etag;
}), 'and then it is the former page');

$tunnel = listener('127.0.0.2', $port{late});
is(state_of('late'), 'no', 'another address is another listener');
isnt(etag('/targets?connected'), $closed, 'and counts, too');
close $tunnel;


# filters beside it

is(names('connected&env=prod'), 'late', 'a filter behind it');
is(names('env=prod&connected'), 'late', 'a filter in front of it');
is(states('env=prod&connected')->{late}, 'no', 'which leaves it as it is');
is(names('connected=maybe'), 'late', 'with a value it is a label of a line');
is(states('connected=maybe')->{late}, '-', 'and nothing is asked by it');
is(states('connected=maybe&connected')->{late}, 'no', 'until it is');
is(names("connected&$label=yes"), join(' ', sort map { "t$_" }
    grep { $expected[$_][1] eq 'yes' } 0 .. $#expected),
    'its label can be chosen by');
is(names("$label=yes"), '', 'and is none without');
is(names(join '&', 'connected', ('env=prod') x 16, 'connected'), 'late',
    'it is none of the 16 filters');

for my $bad ('connecte', 'connectedx', 'Connected', 'connected&',
    '&connected', '%63onnected', 'connected&env',
    join('&', 'connected', ('env=prod') x 17))
{
    $r = $nginx->get("/targets?$bad");
    ok($r->{status} == 400 && $r->{body} =~ /\A[^\n]*"connected"[^\n]*\n\z/,
        '?' . substr($bad, 0, 20) . ' is refused, by a line that tells of it');
}


# poll clients

my $poll = poll($polls, 'c1.example', labels => 'env="poll",');
ok(await(sub { (state_of('c1.example') // '') eq 'yes' }),
    'a client that polls');

my $polled = etag('/targets?connected');
ok(once(sub { etag('/targets?connected') eq etag('/targets?connected') }),
    'has one ETag while it does');

close $poll;
ok(await(sub { state_of('c1.example') eq 'no' }),
    'one that has gone, and is listed still');

my $gone = etag('/targets?connected');
isnt($gone, $polled, 'has another');

$poll = poll($polls, 'c1.example', labels => 'env="poll",');
ok(await(sub { state_of('c1.example') eq 'yes' }), 'and is back');
isnt(etag('/targets?connected'), $gone, 'with another one again');

my $scrape = scrape($polls, 'http://c1.example:9100/metrics');
handed($poll);
is(state_of('c1.example'), 'yes', 'a client is there while it is scraped');
close $_ for $poll, $scrape;


# Many, of which the kernel tells in parts. They have an address of their own, and
# ports that no one is given who asks for any, as other tests do.

@listeners = ();
my $own = join '.', 127, map { 1 + int rand 250 } 1 .. 3;
my @many = map { listener($own, $_) } 10_000 .. 9_999 + $many;

$nginx->write('targets', join '', map { "$own:" . $_->sockport . ' m'
    . $_->sockport . "\n" } @many);
ok(await(sub { names("instance=m" . $many[-1]->sockport) }), 'many targets');

$states = states('connected');
is(scalar(grep { $_ eq 'yes' } values %$states), $many,
    "$many tunnels are all there");

my ($first) = map { "m" . $_->sockport } @many;
my $s = Http::connection($nginx->port);
my %kept = (path => '/targets?connected', keepalive => 1);

ok(once(sub {
    Http::send_request($s, %kept);
    my $etag = Http::read_response($s)->{headers}{etag};
    Http::send_request($s, %kept, headers => [ "If-None-Match: $etag" ]);
    return Http::read_response($s)->{status} == 304;
}), 'whole, or not at all, on a connection');

ok(once(sub {
    my $etag = etag('/targets?connected');
    Http::send_request($s, %kept, method => 'HEAD');
    return Http::read_response($s, method => 'HEAD')->{headers}{etag} eq $etag;
}), 'and by HEAD');
close $s;

$nginx->write('both', join '|', map { "<!--# include virtual=\"/targets?$_"
    . '" -->' } "connected&instance=$first", 'connected&instance=none',
    "instance=$first");
is(join(' ', map { scalar(() = /^\{/mg) . scalar(() = /"$label":"yes"/g) }
    split /\|/, $nginx->get('/both')->{body}), '11 00 10',
    'subrequests each get their own');

for (1 .. 20) {
    $s = Http::connection($nginx->port);
    Http::send_request($s, %kept);
    close $s;
}

is($nginx->get('/targets?connected')->{status}, 200,
    'askers who go away meanwhile leave the worker alone');

my %closed = map { ('m' . $_->sockport) => 1 }
    @many[grep { $_ % 2 } 0 .. $#many];
$many[$_] = undef for grep { $_ % 2 } 0 .. $#many;

$states = states('connected');
is(scalar(grep { $states->{$_} eq (exists $closed{$_} ? 'no' : 'yes') }
    grep { /^m/ } keys %$states), $many,
    'half of them are closed, and just these are not');

my %before = map { $_ => 1 } glob "/proc/@{[ $nginx->workers ]}/fd/*";
etag('/targets?connected') for 1 .. 20;
cmp_ok(scalar(grep { !$before{$_} }
    glob "/proc/@{[ $nginx->workers ]}/fd/*"), '<', 3, 'no file stays open');

@many = ();
$nginx->finish;


# a kernel that doesn't tell: socket(AF_NETLINK, ..., NETLINK_SOCK_DIAG) fails

SKIP: {
    my %numbers = (x86_64 => [ 157, 41 ], aarch64 => [ 167, 198 ]);
    my ($prctl, $socket) = @{ $numbers{(POSIX::uname())[4]} // [] }
        or skip 'no numbers of this machine\'s system calls', 7;

    $nginx = Nginx->new;

    my $confined = $nginx->write('confined', <<"END");
#!/usr/bin/perl
my \$filter = pack '(SCCL)*', 0x20, 0, 0, 0, 0x15, 0, 5, $socket,
    0x20, 0, 0, 16, 0x15, 0, 3, 16, 0x20, 0, 0, 32, 0x15, 0, 1, 4,
    6, 0, 0, 0x50001, 6, 0, 0, 0x7fff0000;
syscall($prctl, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: \$!\\n";
syscall($prctl, 22, 2, pack('Sx6P', 8, \$filter), 0, 0) == 0
    or die "seccomp: \$!\\n";
exec '$ENV{MP_NGINX}', \@ARGV;
END
    chmod 0755, $confined;

    $nginx->configure(targets => "localhost:$port{four} t\n",
        registry => 'prom_proxy_targets %%DIR%%/targets; '
            . 'prom_proxy_poll interval=20ms;',
        http => poll_http(port => $polls),
        server => 'location = /targets { prom_proxy_sd; }');

    {
        local $ENV{MP_NGINX} = $confined;
        $nginx->start;
    }

    is(state_of('t'), '-', 'a kernel that does not tell: no label');
    is($nginx->get('/targets?connected')->{status}, 200, 'and all targets');
    is(names("connected&$label="), 't', 'which can be chosen by');
    like($nginx->log, qr/NETLINK_SOCK_DIAG.*not permitted/, 'the log says why');

    state_of('t') for 1 .. 10;
    is(scalar(() = $nginx->log =~ /\[error\].*NETLINK_SOCK_DIAG/g), 1, 'once');

    $poll = poll($polls, 'c1.example');
    ok(await(sub { (state_of('c1.example') // '') eq 'yes' }),
        'a client that polls is known still');
    close $poll;

    $nginx->finish;
}

done_testing();
