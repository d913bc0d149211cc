#!/usr/bin/perl

# t/48-forward-crowd.t: more connections than the proxy has: who says nothing
# makes room for who asks, and what there is no room for is told so

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Forward;
use Http qw(connection read_response send_request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my $target = '127.0.0.1:' . Backend->new->port;
my $lone = '127.0.0.1:' . Backend->new->port;
my $silent = '127.0.0.1:' . Backend->new(answer => sub { sleep 60 })->port;
my $connections = 256;

$nginx->configure(
    targets => '', connections => $connections,
    main => "prom_forward open { allow $target $lone $silent; scheme http; }",
    stream => 'upstream prom_forward { prom_forward_peer; } log_format forward '
        . '\'$prom_forward_target $prom_forward_decision $status\';'
        . 'access_log %%DIR%%/logs/connect.log forward;'
        . forward_stream('open', "127.0.0.1:$port", 'preread_timeout 1s;'),
    http => 'log_format forward \'$prom_forward_target $prom_forward_decision '
        . '$status\'; access_log %%DIR%%/logs/http.log forward; '
        . 'client_header_timeout 1s; '
        . forward_server('open', 'unix:%%DIR%%/unused'),
)->start;

sub served {
    my ($promise) = @_;

    is(asked($_, $port, $target)->{status}, 200, "$promise, $_")
        for qw(http connect);
}

# served as soon as those have gone that there is no room for

sub served_again {
    my ($promise) = @_;

    for my $form (qw(http connect)) {
        ok(await(sub { asked($form, $port, $target)->{status} == 200 },
            20 * $slow), "$promise, $form");
    }
}

sub tunnel {
    my $s = connection($port);
    send_request($s, raw => "CONNECT $silent HTTP/1.1\r\nHost: x\r\n\r\n");

    return ($s, connect_head($s)->{line});
}


# they say nothing

my @idle = map { connection($port) } 1 .. 4 * $connections;
served('many that say nothing');


# they have been served, and are kept

my @kept = map {
    my $s = connection($port);
    send_request($s, path => "http://$target/", keepalive => 1,
        headers => ['Host: x']);
    read_response($s)->{status} == 200 ? $s : ();
} 1 .. 2 * $connections;

is(scalar @kept, 2 * $connections, 'many that are kept');
served('... are in nobody\'s way');
@idle = ();
@kept = ();


# they have begun, and don't go on

my @half = map {
    my $s = connection($port);
    send_request($s, raw => $_ % 2 ? 'CONNECT a' : 'GET http://a');
    $s;
} 1 .. 2 * $connections;

served_again('many that say half of what they want have their time');
@half = ();


# tunnels take two each, for as long as they are up

my (@tunnels, $line);

for (1 .. $connections) {
    (my $s, $line) = tunnel();
    last if $line !~ / 200 /;
    push @tunnels, $s;
}

is($line, 'HTTP/1.1 503 there are too many connections already',
    'a tunnel that there is no connection for is refused');
cmp_ok(scalar @tunnels, '>', $connections / 2 - 20, '... and those before not');
is(asked('http', $port, $lone)->{line}, "HTTP/1.1 503 $lone: there are too "
    . 'many connections already', '... as is a request');
@tunnels = ();

for ([ 'connect', $silent ], [ 'http', $lone ]) {
    my ($form, $to) = @$_;
    ok(await(sub { Nginx::slurp("$dir/logs/$form.log")
        =~ /^\Q$to\E busy 503$/m }, 10 * $slow), "... in the log, $form");
}

served_again('... others are served when they have gone');

$nginx->finish(qr/worker_connections are not enough/);

done_testing();
