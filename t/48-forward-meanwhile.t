#!/usr/bin/perl

# t/48-forward-meanwhile.t: rules and users that change while a name is being
# resolved, a password is checked, a connection is kept or a tunnel is up

use warnings;
use strict;

use FindBin;
use IO::Select;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Dns;
use Forward;
use Http qw(connection read_response send_request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;

# of bcrypt: long enough for a file to be read meanwhile; but valgrind lets one
# thread run at a time, and not the other at all

my $cost = $ENV{MP_SLOW} ? 4 : 14;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $backend = Backend->new(host => '127.0.0.2');
my $backend_port = $backend->port;
my $target = "127.0.0.2:$backend_port";
my $other = "127.0.0.2:@{[ free_port() ]}";
my $dns = Dns->new;
my %port = map { $_ => free_port() } qw(rules users);

sub users {
    my ($password) = @_;

    return hashed('scraper', $password);
}

$nginx->write('allow', "$target\n");
$nginx->write('users', users('first'));

sub configure {
    my ($allow) = @_;

    $nginx->configure(
        targets => '',
        main => "prom_forward rules { allow $allow; allow_file %%DIR%%/allow; "
            . 'scheme http; resolver 127.0.0.1:' . $dns->port . ' ipv6=off; '
            . 'resolver_timeout 60s; } '
            . "prom_forward users { allow $target; users %%DIR%%/users; "
            . 'scheme http; resolver 127.0.0.1:' . $dns->port . ' ipv6=off; '
            . 'resolver_timeout 60s; }',
        stream => 'upstream prom_forward { prom_forward_peer; } '
            . 'log_format forward \'$prom_forward_target $prom_forward_rule\'; '
            . 'access_log %%DIR%%/logs/connect.log forward;'
            . join('', map { forward_stream($_, "127.0.0.1:$port{$_}") }
                sort keys %port),
        http => join('', map { forward_server($_, "unix:%%DIR%%/$_.unused") }
            sort keys %port),
    );
}

configure($other);
$nginx->start;


# Writes a file, and waits until it is in use, or was refused.

sub loaded {
    my ($name, $text, $told) = @_;

    my $pattern = qr/\Q$dir\E\/$name: $told/;
    my $count = () = $nginx->log =~ /$pattern/g;

    $nginx->write($name, $text);

    await(sub { $count < (() = $nginx->log =~ /$pattern/g) }, 20 * $slow)
        or die "$name is not followed\n";
}

sub rules { loaded('allow', $_[0], '"allow_file" loaded') }
sub let_in { loaded('users', $_[0], '"users" loaded') }


# A request that is sent, and not answered yet.

sub sent {
    my ($form, $by, $target, @headers) = @_;

    my $s = connection($port{$by});

    send_request($s, raw => join "\r\n", $form eq 'http'
        ? "GET http://$target/ HTTP/1.1" : "CONNECT $target HTTP/1.1",
        'Host: x', @headers, '', '');

    return $s;
}

sub said {
    my ($form, $s) = @_;

    my $r = $form eq 'http' ? read_response($s) : connect_head($s);

    return $r->{line} =~ s{^HTTP/1\.1 }{}r;
}

my $names = 0;

# What both forms are told of a name, which is known only after something has
# happened.

sub meanwhile {
    my ($happens, $by, @headers) = @_;

    my $name = 'name' . ++$names . '.test';
    $dns->set($name => 'hold');
    my %s = map { $_ => sent($_, $by, "$name:$backend_port", @headers) }
        qw(http connect);
    await(sub { $dns->asked($name) });
    $happens->($name);
    $dns->set($name => '127.0.0.2');

    return map { said($_, $s{$_}) =~ s/\Q$name\E/NAME/r } qw(http connect);
}


# rules that change while a name is resolved

is(join('|', meanwhile(sub {}, 'rules')), '200 OK|200 Connection established',
    'a name is allowed, as nothing has changed');
is(join('|', meanwhile(sub {
    loaded('allow', "10.0.0.0/33\n", 'not loaded')
}, 'rules')), '200 OK|200 Connection established',
    '... nor has it by a mistake in the file');
is(join('|', meanwhile(sub { rules('') }, 'rules')), join('|',
    ("403 NAME:$backend_port is not allowed: 127.0.0.2 is loopback, which a "
        . 'rule has to name exactly') x 2),
    'what is allowed no more when it is resolved is refused');
is(join('|', meanwhile(sub { rules("$target\n") }, 'rules')),
    '200 OK|200 Connection established', 'what is allowed by then isn\'t');
is(join('|', meanwhile(sub { rules("$target\n!$_[0]\n") }, 'rules')),
    join('|', ("403 NAME:$backend_port is denied by rule") x 2),
    'a name that is denied by then is refused');
ok(await(sub { Nginx::slurp("$dir/logs/connect.log")
    =~ m{^name5\.test:\d+ \Q$dir\E/allow:2 !name5\.test$}m }),
    '... and the log has the rule as it stands now');
is(join('|', meanwhile(sub { rules("$target !127.0.0.0/8\n") }, 'rules')),
    join('|', ("403 NAME:$backend_port is denied by a rule for 127.0.0.2")
        x 2), '... as is one whose address is denied');
rules("$target\n");


# ... and while something is kept

my $kept = connection($port{rules});
my $tunnel = sent('connect', 'rules', $target);
is(said('connect', $tunnel), '200 Connection established', 'a tunnel is up');

# one more request on a connection that is kept

sub again {
    my ($s, @headers) = @_;

    send_request($s, path => "http://$target/", keepalive => 1,
        headers => [ 'Host: x', @headers ]);

    return read_response($s)->{status};
}

sub through {
    my ($s) = @_;

    send_request($s, path => '/through', keepalive => 1);

    return read_response($s)->{body};
}

is(again($kept), 200, '... and a connection is kept');
rules("$target !*:1-65535 !0.0.0.0/0:1-65535\n");
is(again($kept), 403, 'what is denied is so for the next request on it');
is(said('connect', sent('connect', 'rules', $target))
    =~ s/ .*//r, 403, '... and for the next tunnel');
is(through($tunnel), "GET /through HTTP/1.1\n", '... the one that is up stays');
rules("$target\n");
is(again($kept), 200, '... and what is allowed again is so on it, too');


# users

my @first = basic('scraper:first');
my @second = basic('scraper:second');

my $in = connection($port{users});
my $up = sent('connect', 'users', $target, @first);
is(said('connect', $up), '200 Connection established', 'a user\'s tunnel');
is(again($in, @first), 200, '... and a user\'s connection');
let_in(users('second'));
is(again($in, @first), 407, 'a password that was changed, on that connection');
is(again($in, @second), 200, '... is new there');
is(again($in), 407, '... and needed for each request');
is(again($in, @second), 200, '... which may be right again');
is(through($up), "GET /through HTTP/1.1\n", '... the tunnel stays');

is(join('|', meanwhile(sub { let_in('') }, 'users', @second)),
    '200 OK|200 Connection established',
    'who was let in when a name was to be resolved is so');
is(said($_, sent($_, 'users', $target, @second)) =~ s/ .*//r, 407,
    "... but not the next time, $_") for qw(http connect);
is(again($in, @second), 407, '... nor on that connection');
is(through($up), "GET /through HTTP/1.1\n", '... the tunnel stays again');

# a password that takes its time

let_in(hashed('scraper', 'third', $cost));
my @third = basic('scraper:third');
my %asking = map { $_ => sent($_, 'users', $target, @third) }
    qw(http connect);
let_in(users('second'));
is(said('http', $asking{http}), '200 OK',
    'a password is checked by the file as it was when it came');
is(said('connect', $asking{connect}), '200 Connection established',
    '... of a tunnel, too');
is(said($_, sent($_, 'users', $target, @third)) =~ s/ .*//r, 407,
    "... and that it was right is not remembered, $_") for qw(http connect);
%asking = ();


# a reload with other rules

my $name = 'reload.test';
$dns->set($name => 'hold');
my %held = map { $_ => sent($_, 'rules', "$name:$backend_port") }
    qw(http connect);
await(sub { $dns->asked($name) });

my ($old) = $nginx->workers;
configure("$other !$target");
$nginx->write('allow', "$target\n# again\n");
$nginx->signal('HUP');
ok(await(sub { $nginx->log =~ / $old#\d+: gracefully shutting down/ }),
    'a reload');
is(said($_, sent($_, 'rules', $target)),
    "403 $target is denied by a rule for 127.0.0.2",
    "... has other rules, $_") for qw(http connect);
is(through($tunnel), "GET /through HTTP/1.1\n", '... those that are up stay');
is(through($up), "GET /through HTTP/1.1\n", '... all of them');
$dns->set($name => '127.0.0.2');
is(said('http', $held{http}), '200 OK',
    '... and what has begun is decided by the rules that it began with');
is(said('connect', $held{connect}), '200 Connection established',
    '... a tunnel, too');
is(IO::Select->new($kept)->can_read(20 * $slow) && sysread($kept, my $end, 1),
    0, 'a connection that waits for a request has ended');
is(through($held{connect}), "GET /through HTTP/1.1\n", '... a tunnel has not');

close $_ for $tunnel, $up, values %held;
ok(await(sub { !grep { $_ == $old } $nginx->workers }, 20 * $slow),
    'the old worker ends with the last of them');

$nginx->finish;

done_testing();
