#!/usr/bin/perl

# t/48-forward-dns.t: targets by name: what is dialled is what was allowed

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Dns;
use Forward;
use Http qw(request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $nginx = Nginx->new;
my $dir = $nginx->dir;

# Two targets at one port, of which the second must not be reached.

my $good = Backend->new(host => '127.0.0.2');
my $port = $good->port;
my $bad = Backend->new(host => '127.0.0.1', port => $port);
my $six = eval { Backend->new(host => '::1', port => $port) };

my %names = (
    'good.test' => '127.0.0.2', 'bad.test' => '127.0.0.1',
    'both.test' => '127.0.0.1 127.0.0.2', 'dead.test' => '127.0.0.3 127.0.0.2',
    'denied.test' => '127.0.0.2', 'metadata.test' => '100.100.100.200',
    'silence.test' => 'silence', 'silence2.test' => 'silence',
    'private.test' => '127.0.0.2', 'far.other' => '127.0.0.2',
    'net.other' => '10.9.8.7', 'rule.test' => '127.0.0.4 127.0.0.2',
);
my $dns = Dns->new(%names);
my %by = map { $_ => free_port() } qw(first six none);

$nginx->write('allow', "*.test\n!denied.test\n");
my $resolver = 'resolver 127.0.0.1:' . $dns->port;

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward first { allow 127.0.0.2:$port 127.0.0.3:$port !127.0.0.4
    !private.test; allow_file %%DIR%%/allow; scheme http;
    $resolver valid=1s ipv6=off; resolver_timeout 500ms; }
prom_forward six { allow 127.0.0.2:$port [::1]:$port *.test; scheme http;
    $resolver; }
prom_forward none { allow 127.0.0.2:$port *.test; scheme http; }
END
    http => 'log_format forward \'$prom_forward_target '
        . '$prom_forward_address $prom_forward_decision $prom_forward_rule\'; '
        . 'access_log %%DIR%%/logs/forward.log forward;'
        . join('', map { forward_server($_, "127.0.0.1:$by{$_}") } keys %by),
)->start;

sub ask {
    my ($name, $by) = @_;

    return request($by{ $by // 'first' }, path => "http://$name:$port/",
        headers => ['Host: x']);
}

sub says {
    my ($name, $line, $promise, $by) = @_;

    my $r = ask($name, $by);
    is($r->{line}, "HTTP/1.1 $line", $promise);
    is($bad->arrived, 0, '... and nothing arrives where it must not');
}

my $exactly = 'which a rule has to name exactly';

says('good.test', '200 OK', 'a name that is allowed');
is(ask('GOOD.Test')->{status}, 200, '... in upper case');
is(ask('good.test.')->{status}, 200, '... with a dot behind');
like(($good->arrived)[0], qr/^Host: good\.test:$port\r$/m, '... and its Host');
says('bad.test', "403 bad.test:$port is not allowed: 127.0.0.1 is loopback, "
    . $exactly, 'one whose address is special');
says('metadata.test', "403 metadata.test:$port is not allowed: "
    . "100.100.100.200 is metadata service, $exactly", 'another');
says('both.test', '200 OK', 'one of two addresses is special');
says('rule.test', '200 OK', 'one of two is denied');
says('dead.test', '200 OK', 'one of two is dead');
says('denied.test', "403 denied.test:$port is denied by rule",
    'a name that the file denies');
says('private.test', "403 private.test:$port is denied by rule",
    'one that the block denies, though the file allows it');
says('far.other', '200 OK', 'a name that no rule has, for its address');
says('net.other', "403 net.other:$port is not allowed: no rule is for "
    . '10.9.8.7', 'one whose address none has, either');
says('none.test', "502 none.test:$port: Host not found",
    'one that doesn\'t exist');

my $log;
await(sub {
    $log = Nginx::slurp("$dir/logs/forward.log");
    return $log =~ /^none\.test/m;
});

like($log, qr/^\Q$_\E$/m, "the log: $_") for
    "good.test:$port 127.0.0.2:$port allowed allow 127.0.0.2:$port",
    "both.test:$port 127.0.0.2:$port allowed allow 127.0.0.2:$port",
    "rule.test:$port 127.0.0.2:$port allowed allow 127.0.0.2:$port",
    "denied.test:$port - denied $dir/allow:2 !denied.test",
    "private.test:$port - denied allow !private.test",
    "bad.test:$port - special $dir/allow:1 *.test",
    "none.test:$port - unresolved $dir/allow:1 *.test";


# a failure is remembered, and not for long

$dns->set(%names, 'none.test' => '127.0.0.2');
is(ask('none.test')->{status}, 502,
    'that there is no such name is remembered');
ok(await(sub { ask('none.test')->{status} == 200 }, 10 * $slow),
    '... for some seconds');

my $start = time;
says('silence.test', "502 silence.test:$port: Operation timed out",
    'a name server that is silent');
cmp_ok(time - $start, '<', 2 * $slow, '... until resolver_timeout');
$start = time;
is(ask('silence.test')->{status}, 502, '... which is remembered, too');
cmp_ok(time - $start, '<', 0.4 * $slow, '... so nobody waits again');


# rebinding: it led to a good address before

$dns->set(%names, 'good.test' => '127.0.0.1');
ok(await(sub { ask('good.test')->{status} == 403 }, 10 * $slow),
    'a name that leads elsewhere now is refused');
is($bad->arrived, 0, '... and nobody has connected to that, by a kept '
    . 'connection or a new one');

$dns->set(%names);
ok(await(sub { ask('good.test')->{status} == 200 }, 10 * $slow),
    '... until it leads back');
is($bad->arrived, 0, '... and nothing has arrived in between');


# a client that leaves meanwhile

my $leaves = IO::Socket::IP->new(PeerHost => '127.0.0.1',
    PeerPort => $by{first});
syswrite $leaves, "GET http://silence2.test:$port/ HTTP/1.1\r\n"
    . "Host: x\r\n\r\n";
sleep 0.1;
close $leaves;

ok(await(sub {
    Nginx::slurp("$dir/logs/forward.log")
        =~ /^silence2\.test:$port - - \S+ \*\.test$/m;
}), 'who has left while it was resolved was neither allowed nor refused');


# others

says('good.test', "502 good.test:$port: Operation refused", 'no resolver',
    'none');
is(ask('127.0.0.2', 'none')->{status}, 200, '... which addresses do without');

SKIP: {
    skip 'no IPv6 here', 1 if !$six;
    is(ask('good.test', 'six')->{status}, 200, 'a name without AAAA');
}

like($nginx->log, qr/no resolver in "prom_forward none" to resolve good\.test/,
    'the log says that there is no resolver');

$nginx->finish;

done_testing();
