#!/usr/bin/perl

# "nginx -s reload" brings new targets, keeps what works when the file is bad,
# and breaks no scrape; a worker that is killed takes nothing with it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);

use Backend;
use Nginx;

my $nginx = Nginx->new;
my $target = Backend->new;
my $slow = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nbegin\n";
    $s->flush;
    sleep 1.5;
    print $s "ended\n";
    $s->flush;
    return 1;
});

my ($port, $slow_port) = ($target->port, $slow->port);

# what a signal brings: without it, nothing is looked at

$nginx->configure(workers => 2, zone => '16m', targets => <<"END",
127.0.0.1:$port stays
127.0.0.1:$port goes
127.0.0.1:$slow_port slow
END
    registry => 'prom_proxy_targets %%DIR%%/targets interval=0;')->start;

sub status { return $nginx->get("/$_[0]/metrics")->{status} }

is(join(' ', map { status($_) } qw(stays goes comes)), '200 200 404',
    'the first set of targets');

my $s = Http::connection($nginx->port);
Http::send_request($s, path => '/slow/metrics');
ok(await(sub { scalar $slow->arrived }), 'a slow scrape is under way');

$nginx->write('targets', <<"END");
127.0.0.1:$port stays
127.0.0.1:$port/moved comes
127.0.0.1:$slow_port slow
END

ok($nginx->reload, 'a reload ends the old workers');
is(join(' ', map { status($_) } qw(stays goes comes)), '200 404 200',
    'it brings the new set of targets');
is(Http::read_response($s)->{body}, "begin\nended\n",
    'a scrape that was under way is finished');

# a bad file

my @workers = $nginx->workers;
$nginx->write('targets', "localhost:0 bad\n");
$nginx->signal('HUP');

ok(await(sub { $nginx->log =~ m{\[emerg\] .*/targets:1:\d+: } }),
    'a bad file is told with its place');
is(join(' ', map { status($_) } qw(stays goes comes)), '200 404 200',
    'and the old set stays');
is(join(' ', $nginx->workers), "@workers", 'with the workers that have it');

# a configuration that is refused last of all, when it binds its sockets

my $conf = Nginx::slurp($nginx->dir . '/nginx.conf');
my $taken = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
my $refused = $conf;
$refused =~ s/http \{/"http { server { listen 127.0.0.1:"
    . $taken->sockport . '; }'/e;
$nginx->write('nginx.conf', $refused);
$nginx->write('targets', "127.0.0.1:$port early\n");
$nginx->signal('HUP');

ok(await(sub { $nginx->log =~ /still could not bind/ }),
    'a configuration can be refused after its targets were read');
is(join(' ', map { status($_) } qw(stays goes comes early)),
    '200 404 200 404', 'and the old set stays');

$nginx->write('nginx.conf', $conf);

# more than the zone holds for both sets

$nginx->write('targets', join '', "127.0.0.1:$port stays\n",
    map { "127.0.0.1:$port host-$_\n" } 1 .. 130_000);
$nginx->signal('HUP');

ok(await(sub { $nginx->log =~ /is too small for 130001 targets/ }),
    'a set that does not fit is told');
is(join(' ', map { status($_) } qw(stays comes host-1)), '200 200 404',
    'and the old set stays');

# the zone neither leaks nor wears out

my $text = join '', "127.0.0.1:$port stays\n",
    map { "127.0.0.1:$port host-$_\n" } 1 .. 20_000;

for my $round (1 .. 8) {
    $nginx->write('targets', "$text" . "127.0.0.1:$port round-$round\n");
    $nginx->reload;
}

is(join(' ', map { status($_) } qw(stays round-8 round-7 host-20000)),
    '200 200 404 200', 'eight reloads of 20,000 targets fit where two do');

# another size starts afresh

$conf =~ s/prom_proxy_zone targets 16m/prom_proxy_zone targets 32m/;
$nginx->write('nginx.conf', $conf);
ok($nginx->reload, 'another zone size is taken');
is(join(' ', map { status($_) } qw(stays round-8)), '200 200',
    'with all targets');

# another file, while the old configuration's worker still looks at the old one

$nginx->write('other', "127.0.0.1:$port other\n");
$conf =~ s/targets interval=0;/targets interval=20ms;/;
$nginx->write('nginx.conf', $conf);
$nginx->reload;

for my $round (1 .. 5) {
    $nginx->write('nginx.conf', $conf =~ s{/targets interval=20ms}
        {/other interval=0}r);
    $nginx->write('targets', "127.0.0.1:$port old-$round\n");
    $nginx->reload;
    is(join(' ', map { status($_) } 'other', "old-$round"), '200 404',
        "round $round: a new configuration's file wins");

    $nginx->write('nginx.conf', $conf);
    $nginx->reload;
}

$nginx->write('targets', $text);
await(sub { status('stays') == 200 });

# workers that die

for my $round (1 .. 3) {
    my %old = map { $_ => 1 } $nginx->workers;
    kill 'KILL', keys %old;
    await(sub { my @now = $nginx->workers; @now == 2 && !grep { $old{$_} }
        @now });
    is(status('stays'), 200, "round $round: killed workers are replaced");
}

# a set that takes the place of almost all targets, and is refused in the end

my $full = Nginx->new;
my @names = map { "first-$_" } 1 .. 40;
$full->configure(zone => '40k', targets => join('',
    map { "127.0.0.1:$port $_\n" } @names),
    registry => 'prom_proxy_targets %%DIR%%/targets interval=0;',
    server => 'location = /metrics { prom_proxy_metrics; }')->start;
$full->get("/$_/") for @names;

my $whole = Nginx::slurp($full->dir . '/nginx.conf');
$full->write('nginx.conf', $whole =~ s/http \{/"http { server { listen "
    . '127.0.0.1:' . $taken->sockport . '; }'/er);
$full->write('targets', join '', map { "127.0.0.1:$port second-$_\n" }
    1 .. 40);
$full->signal('HUP');
await(sub { $full->log =~ /still could not bind/ }, 30);

$full->write('nginx.conf', $whole);
$full->write('targets', join '', map { "127.0.0.1:$port $_\n" } @names);
$full->reload;
$full->get("/$_/") for @names;

my $counted = () = $full->get('/metrics')->{body}
    =~ /^monitoring_proxy_target_scrapes_total\{.*code="2xx"\} [12]$/mg;
is($counted, 40, 'leaves no target that is not counted any more');
$full->finish(qr/bind\(\)/);

# the module alone, with nothing of its own in the configuration

my $alone = Nginx->new;
$alone->configure;
$alone->write('nginx.conf', Nginx::slurp($alone->dir . '/nginx.conf')
    =~ s/http \{.*/http { server { listen 127.0.0.1:%%PORT%%; } }/sr);
$alone->start;
ok($alone->reload && $alone->reload, 'a module that is not used is no harm');
$alone->finish;

# the log of a killed worker is not an alert of ours

$nginx->finish(qr/exited.on.signal.9|was.locked.by|too.small|targets:1:\d+:
    |bind\(\)/x);

done_testing();
