#!/usr/bin/perl

# A targets file and a hosts file are followed together: whichever changes,
# both are loaded as one set or not at all, and no scrape fails meanwhile.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);

use Backend;
use Key;
use Nginx;
use Scraper;

my $slow = $ENV{MP_SLOW};
my $soon = 60;

my $backend = Backend->new;
my $port = $backend->port;

my $nginx = Nginx->new;
my $dir = $nginx->dir;

my $pages = 'location = /metrics { prom_proxy_metrics; }'
    . 'location = / { prom_proxy_status; }';

sub targets { return join '', map { "127.0.0.1:$port $_\n" } 'stays', @_ }

# one that is there, and others that aren't

sub hosts {
    my ($name, @more) = @_;

    my $next = 20_001;

    return "$name " . public_key($name) . " port=$port\n"
        . join '', map { "$_ - port=" . $next++ . "\n" } @more;
}

sub status { return $nginx->get("/$_[0]/metrics")->{status} }

sub statuses { return join ' ', map { status($_) } @_ }

sub becomes {
    my ($expected, @names) = @_;

    my $got;
    await(sub { ($got = statuses(@names)) eq $expected }, $soon);

    return $got;
}

# what the log says from here on

my $read = 0;

sub from_here { $read = length $nginx->log }

sub since { return $nginx->log($read) }

sub said {
    my ($pattern) = @_;
    return await(sub { since() =~ $pattern }, $soon);
}

sub reason {
    my ($reason) = $nginx->get('/metrics')->{body} =~ /^monitoring_proxy_
        targets_last_reload_error_info\{reason="(.*)"\}\ 1$/mx;

    return $reason // '';
}


$nginx->configure(workers => 2, server => $pages,
    registry => 'prom_proxy_targets %%DIR%%/targets interval=100ms;'
        . 'prom_proxy_hosts %%DIR%%/hosts interval=10s;');
$nginx->write('targets', targets('t1'));
$nginx->write('hosts', hosts('h1', 'x'));
$nginx->start;

is(statuses('stays', 't1', 'h1', 'x', 'h2'), '200 200 200 502 404',
    'the first set, of both files');

await(sub { $nginx->workers == 2 });

my @workers = $nginx->workers;
my $scraper = Scraper->new($nginx->port, '/stays/metrics', qr/./);

# either, and both

$nginx->write('hosts', hosts('h2'));
is(becomes('404 200 200', 'h1', 'h2', 't1'), '404 200 200',
    'hosts that change alone');
ok(said(qr{\[notice\] .* \Q$dir\E/hosts: targets loaded: 3, }),
    'the log says which file that was');

from_here();
$nginx->write('targets', targets('t2'));
is(becomes('404 200 200', 't1', 't2', 'h2'), '404 200 200',
    'targets that change alone');
ok(said(qr{\[notice\] .* \Q$dir\E/targets: targets loaded: 3, }),
    'the log says so again');

SKIP: {
    skip 'both are not changed at once where all is slow', 1 if $slow;

    from_here();
    $nginx->write('hosts', hosts('h3'));
    $nginx->write('targets', targets('t3'));
    becomes('200 200', 'h3', 't3');
    said(qr/targets loaded/);
    is(join(' ', since() =~ m{\[notice\] .*?: (/.* loaded)}g),
        "$dir/targets and $dir/hosts: targets loaded",
        'both that change at once are loaded once');
}

$nginx->write('hosts', hosts('a'));
$nginx->write('targets', targets('b'));
is(becomes('200 200', 'a', 'b'), '200 200', 'and both are there');

# a name that moves from one file to the other, as one set

$nginx->write('hosts', hosts('b'));
$nginx->write('targets', targets('a'));
is(becomes('200 200', 'a', 'b'), '200 200', 'two names that change places');
$nginx->write('hosts', hosts('h'));
is(becomes('200 404', 'h', 'b'), '200 404', 'and go on from there');

# the ways to change a file, which are the same for hosts

open my $fh, '>', "$dir/hosts" or die "hosts: $!\n";
$fh->autoflush(1);

for my $line (map { "$_\n" } split /\n/, hosts('steps', 'x', 'y', 'z')) {
    print $fh $line;
    sleep 0.05;
}

close $fh;
is(becomes('200 502', 'steps', 'z'), '200 502',
    'a file that was written in place, in steps');

mkdir "$dir/$_" for qw(one two);
$nginx->write('one/hosts', hosts('map-one'));
$nginx->write('two/hosts', hosts('map-two'));
symlink 'one', "$dir/..data" or die "symlink: $!\n";
symlink '..data/hosts', "$dir/link" or die "symlink: $!\n";
rename "$dir/link", "$dir/hosts" or die "rename: $!\n";
is(becomes('200', 'map-one'), '200', 'a symbolic link in its place');

symlink 'two', "$dir/..new" or die "symlink: $!\n";
rename "$dir/..new", "$dir/..data" or die "rename: $!\n";
is(becomes('200 404', 'map-two', 'map-one'), '200 404',
    'and one that was swapped on the way');
unlink "$dir/hosts";

# mistakes in either

$nginx->write('hosts', hosts('good'));
becomes('200', 'good');

from_here();
$nginx->write('hosts', hosts('better') . "bad nonsense\n");
ok(said(qr{\[error\] .* \Q$dir\E/hosts:2:\d+: }),
    'a mistake in hosts is told with its place');
ok(said(qr{\[error\] .* \Q$dir\E/hosts: not loaded, the targets stay}),
    'and that the set stays');
is(statuses('good', 'better', 'a'), '200 404 200', 'as it does');
like(reason(), qr{^\Q$dir\E/hosts:2:\d+: }, '/metrics has the reason');
like($nginx->get('/')->{body},
    qr{was refused, those below.*<code>\Q$dir\E/hosts:2:\d+: }s,
    'so has the status page');

from_here();
$nginx->write('targets', targets('later'));
ok(said(qr{\Q$dir\E/targets: not loaded, the targets stay}),
    'targets that are right wait for the hosts to be mended');
like(since(), qr{\[error\] .* \Q$dir\E/hosts:2:\d+: }, 'which is told again');
is(statuses('good', 'later', 'a'), '200 404 200', 'the set stays as a whole');

$nginx->write('targets', "localhost:0 bad\n" . targets('later'));
ok(said(qr{/targets:1:\d+: }), 'a second mistake is told beside the first');
is(() = since() =~ m{/hosts:2:\d+: }g, 2, 'which is told, too');
like(reason(), qr{^\Q$dir\E/targets:1:\d+: }, '/metrics has the first');

from_here();
$nginx->write('hosts', hosts('better'));
ok(said(qr{/hosts: not loaded}), 'one that is mended is not enough');
is(statuses('good', 'better', 'later'), '200 404 404', 'for the set to change');

$nginx->write('targets', targets('later'));
is(becomes('404 200 200 404', qw(good better later a)), '404 200 200 404',
    'both are');
is(reason(), '', 'and there is no reason any more');

# names that both have

from_here();
$nginx->write('targets', targets('later', 'better'));
ok(said(qr{\[error\] .* \Q$dir\E/hosts:1:1: .*"better".*\b3\b.*targets}),
    'a target that gets the name of a host is told, with both lines');
is(statuses('better', 'later'), '200 200', 'and the set stays');

$nginx->write('hosts', hosts('best'));
is(becomes('200 200', 'best', 'better'), '200 200',
    'until one of them has another');

from_here();
$nginx->write('hosts', hosts('best', 'later'));
ok(said(qr{\Q$dir\E/hosts:2:1: .*"later".*\b2\b.*targets}),
    'as is a host that gets that of a target');
$nginx->write('hosts', hosts('best'));
ok(await(sub { reason() eq '' }, $soon), 'until it is taken back');

# files that go missing

from_here();
unlink "$dir/hosts";
ok(said(qr{/hosts: cannot be opened \(2: no such file}i),
    'hosts that were deleted are told');
$nginx->write('targets', targets('late'));
ok(said(qr{/targets: not loaded}), 'targets that change then are not loaded');
is(statuses('best', 'later', 'late'), '200 200 404', 'and the set stays');

$nginx->write('hosts', hosts('again'));
is(becomes('404 200 404 200', qw(best again later late)), '404 200 404 200',
    'until they are there again');

from_here();
unlink "$dir/targets";
ok(said(qr{/targets: cannot be opened \(2: no such file}i),
    'targets that were deleted are told');
is(statuses('again', 'late'), '200 200', 'and the set stays');
$nginx->write('targets', targets('last'));
is(becomes('200 200', 'again', 'last'), '200 200', 'until they are there');

$nginx->write('hosts', '');
is(becomes('404 200', 'again', 'last'), '404 200', 'an empty file ends hosts');

is(join(' ', sort $nginx->workers), join(' ', sort @workers),
    'all that without a new worker');

my ($right, @wrong) = $scraper->stop;
is("@wrong", '', "none of $right scrapes has failed meanwhile");
$nginx->finish;

# files that are optional: missing ones are as empty until they were in use

$nginx = Nginx->new;
$dir = $nginx->dir;
$nginx->configure(server => $pages,
    registry => 'prom_proxy_targets %%DIR%%/targets interval=100ms optional;'
        . 'prom_proxy_hosts %%DIR%%/hosts interval=100ms optional;')->start;
$read = 0;

is(statuses('stays', 'h1'), '404 404', 'both may be missing at start');

$nginx->write('hosts', "bad nonsense\n");
ok(said(qr{/hosts:1:\d+: }), 'hosts that come with a mistake are told');
unlink "$dir/hosts";
ok(said(qr{/hosts: cannot be opened}), 'as is that they are gone again');

$nginx->write('hosts', hosts('h1'));
is(becomes('200', 'h1'), '200', 'hosts that come are loaded alone');

$nginx->write('targets', targets('t1'));
is(becomes('200 200 200', qw(stays t1 h1)), '200 200 200',
    'targets that come later, beside them');

for my $case (
    [ 'hosts', 'targets', targets('t1', 't2') ],
    [ 'targets', 'hosts', hosts('h1', 'x') ],
) {
    my ($gone, $other, $text) = @$case;
    my $before = Nginx::slurp("$dir/$gone");

    from_here();
    unlink "$dir/$gone";
    ok(said(qr{/$gone: cannot be opened}), "optional $gone that go are told");
    $nginx->write($other, $text);
    ok(said(qr{/$other: not loaded, the targets stay}),
        "nothing is loaded without them, as they are in use: $other wait");
    is(statuses('t1', 'h1'), '200 200', 'and the set stays');

    $nginx->write($gone, $before);
    ok(await(sub { reason() eq '' }, $soon), 'until they are there again');
}

is(statuses('t1', 't2', 'h1', 'x'), '200 200 200 502', 'all came in the end');
$nginx->finish;

$nginx = Nginx->new;
$dir = $nginx->dir;
$nginx->configure(server => $pages, targets => targets('t1'),
    main => 'master_process off;',
    registry => 'prom_proxy_targets %%DIR%%/targets interval=100ms optional;'
        . 'prom_proxy_hosts %%DIR%%/hosts optional interval=100ms;')->start;
$read = 0;

$nginx->write('targets', targets('t2'));
is(becomes('200 404', 't2', 't1'), '200 404',
    'targets change while there are no hosts yet');

$nginx->write('hosts', hosts('h1') . "bad nonsense\n");
ok(said(qr{/hosts:2:\d+: }), 'hosts that come with a mistake are refused');
unlink "$dir/hosts";
ok(await(sub { reason() eq '' }, $soon), 'and no matter once they are gone');

$nginx->write('targets', targets('t3'));
is(becomes('200 404', 't3', 'h1'), '200 404', 'so that targets still change');

$nginx->write('hosts', hosts('h1'));
is(becomes('200 200', 't3', 'h1'), '200 200', 'as do hosts, in their time');
$nginx->finish;

# a file that nobody looks at

$nginx = Nginx->new;
$nginx->configure(targets => targets('t1'),
    registry => 'prom_proxy_targets %%DIR%%/targets interval=20ms;'
        . 'prom_proxy_hosts %%DIR%%/hosts interval=0;');
$nginx->write('hosts', hosts('h1'));
$nginx->start;
$read = 0;

$nginx->write('hosts', hosts('h2'));
$nginx->write('targets', targets('t1', 'bad') . "localhost:0 x\n");
ok(said(qr{/targets: not loaded}), 'with interval=0, only targets are told');
is(statuses('h1', 'h2'), '200 404', 'and hosts that change are not noticed');

$nginx->write('targets', targets('t2'));
is(becomes('200 404 200', qw(t2 h1 h2)), '200 404 200',
    'but read when targets have changed');
$nginx->finish;

done_testing();
