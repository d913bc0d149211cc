#!/usr/bin/perl

# A changed targets file takes effect by itself, however it was changed; a bad
# one changes nothing; and no scrape fails meanwhile.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep time);

use Backend;
use Key;
use Nginx;
use Scraper;

my $slow = $ENV{MP_SLOW};
my $soon = 60;

my $target = Backend->new;
my $port = $target->port;

my $nginx = Nginx->new;
my $dir = $nginx->dir;

sub lines { return join '', map { "127.0.0.1:$port $_\n" } 'stays', @_ }

sub status { return $nginx->get("/$_[0]/metrics")->{status} }

sub comes {
    my ($name) = @_;
    return await(sub { status($name) == 200 }, $soon);
}

sub in_place {
    my ($text, $file) = @_;

    open my $fh, '+<', $file // "$dir/targets" or die "targets: $!\n";
    print $fh $text;
    truncate $fh, length $text;
    close $fh or die "targets: $!\n";
}

sub said {
    my ($pattern) = @_;
    return await(sub { $nginx->log =~ $pattern }, $soon);
}

sub times_said {
    my ($pattern) = @_;
    my @all = $nginx->log =~ /$pattern/g;
    return scalar @all;
}


$nginx->configure(workers => 2, targets => lines('goes'), zone => '2m',
    registry => 'prom_proxy_targets %%DIR%%/targets;')->start;

is(join(' ', map { status($_) } qw(stays goes renamed)), '200 200 404',
    'the first set of targets');

await(sub { $nginx->workers == 2 });

my @workers = $nginx->workers;
my $scraper = Scraper->new($nginx->port, '/stays/metrics', qr/./);

# the ways to change a file

$nginx->write('targets', lines('renamed'));
ok(comes('renamed'), 'a file that was replaced by rename is read');
is(status('goes'), 404, 'and what it no longer has is gone');

in_place(lines('in-place'));
ok(comes('in-place'), 'a file that was written in place is read');

unlink "$dir/targets";
ok(said(qr/targets: cannot be opened \(2: no such file/i),
    'a file that was deleted is told');
is(status('in-place'), 200, 'and the old set stays');

$nginx->write('targets', lines('recreated'));
ok(comes('recreated'), 'a file that was made again is read');

# as Kubernetes does: targets -> ..data/targets, ..data -> a directory

mkdir "$dir/$_" for qw(one two);
$nginx->write('one/targets', lines('map-one'));
$nginx->write('two/targets', lines('map-two'));
symlink 'one', "$dir/..data" or die "symlink: $!\n";
symlink '..data/targets', "$dir/link" or die "symlink: $!\n";
rename "$dir/link", "$dir/targets" or die "rename: $!\n";
ok(comes('map-one'), 'a symbolic link in its place is followed');

symlink 'two', "$dir/..new" or die "symlink: $!\n";
rename "$dir/..new", "$dir/..data" or die "rename: $!\n";
ok(comes('map-two'), 'a link that was swapped on the way is noticed');

unlink "$dir/targets";
$nginx->write('targets', lines('plain'));
ok(comes('plain'), 'and a plain file again');

# in steps, as some editors write; the file is whole only at their end. Writes
# it and returns the longest step, in seconds: a busy machine may stretch one
# to more than the time that a file needs to settle

sub write_in_steps {
    my ($text) = @_;

    my @parts = unpack '(a' . int(1 + length($text) / 6) . ')*', $text;
    my $longest = 0;
    my $last = time;

    open my $fh, '>', "$dir/targets" or die "targets: $!\n";
    $fh->autoflush(1);

    for my $part (@parts) {
        print $fh $part;
        $longest = time - $last if time - $last > $longest;
        $last = time;
        sleep 0.05;
    }

    close $fh;

    return $longest;
}

my ($loads, $step);
my $round = 0;

while (++$round) {
    $loads = times_said(qr/targets loaded/);
    $step = write_in_steps(lines(map { "step-$round-$_" } 1 .. 50));

    ok(comes("step-$round-50"), 'a file that was written in steps is read');
    last if $step < 0.15 || $round == 5;
}

SKIP: {
    skip 'steps have no time limit where all is slow', 1 if $slow;
    skip "this machine stretched a step to $step s", 1 if $step >= 0.15;
    await(sub { times_said(qr/targets loaded/) > $loads });
    is(times_said(qr/targets loaded/), $loads + 1, 'once it is whole');
}

# mistakes

in_place(lines('good') . "localhost:0 bad\n");
ok(said(qr{\[error\] .*\Q$dir\E/targets:3:\d+: }),
    'a bad file is told with its place');
is(join(' ', map { status($_) } "step-$round-50", 'good'), '200 404',
    'and the old set stays');

in_place(lines('x' x 4096));
ok(said(qr{/targets:2:\d+: name .*255}), 'as is a name of 4 kB');

in_place("127.0.0.1:$port stays a=1 a=2\n");
ok(said(qr{/targets:1:\d+: label "a"}), 'labels that clash');

in_place(lines('stays'));
ok(said(qr{/targets:2:\d+: .*line 1}), 'and two lines with one name');

my $mistakes = times_said(qr/not loaded, the targets stay/);
my $before = $scraper->right;
await(sub { $scraper->right > $before + 100 });
is(times_said(qr/not loaded, the targets stay/), $mistakes,
    'a mistake is told once');

$nginx->write('targets', lines('mended'));
ok(comes('mended'), 'a file that was mended is read');

# a zone that is full

$nginx->write('targets', lines(map { "many-$_" } 1 .. 10_000));
ok(said(qr/of 2097152 bytes is too small for 10001 targets, \d+k would do/),
    'more targets than fit are refused');
is(join(' ', map { status($_) } qw(mended many-1)), '200 404',
    'and the old set stays');

my ($enough) = $nginx->log =~ /10001 targets, (\d+)k would do/;
my $conf = Nginx::slurp("$dir/nginx.conf");

is(join(' ', sort $nginx->workers), join(' ', sort @workers),
    'all that without a new worker');

my ($right, @wrong) = $scraper->stop;
is("@wrong", '', "none of $right scrapes has failed meanwhile");

$conf =~ s/prom_proxy_zone targets 2m/prom_proxy_zone targets ${enough}k/;
$nginx->write('nginx.conf', $conf);
ok($nginx->reload, 'the size that was said');
is(join(' ', map { status($_) } qw(many-1 many-10000)), '200 200',
    'is enough');

# nothing wears out

for my $round (1 .. 5) {
    $nginx->write('targets', lines(map { "round-$round-$_" } 1 .. 9_999));
    comes("round-$round-9999");
}

is(join(' ', map { status($_) } qw(round-5-1 round-5-9999 round-4-1)),
    '200 200 404', 'five whole sets that share no name fit one after another');

# a reload of the configuration and one of the file at once

for my $round (1 .. 5) {
    $nginx->write('targets', lines(map { "both-$round-$_" } 1 .. 9_000));
    sleep 0.2 + rand 0.1;
    $nginx->reload;
}

ok(comes('both-5-9000'), 'both ways of reloading at once end with the file');
is(status('both-4-1'), 404, 'and with nothing else');

# killed at any point of it: the file is looked at so often, and takes so long,
# that many of the kills meet a worker that reads it, and a hosts file with it

$nginx->write('hosts', 'host ' . public_key('host') . " port=$port\n");
$conf =~ s{/targets;}{/targets interval=20ms; prom_proxy_hosts $dir/hosts;};
$nginx->write('nginx.conf', $conf);
$nginx->reload;

$scraper = Scraper->new($nginx->port, '/stays/metrics', qr/./);

my $kills = $slow ? 8 : 200;
my $log = length $nginx->log;

sub begun {
    my $times = () = $nginx->log($log) =~ /prom proxy: reading/g;

    return $times;
}

my $rest = lines(map { "k-$_" } 1 .. 9_000);

for my $round (1 .. $kills) {
    my $before = $slow ? begun() : 0;
    $nginx->write('targets', $rest . "127.0.0.1:$port kill-$round\n");

    # Where a worker takes seconds to start, most would be killed before: all are
    # then, as soon as one reads.

    if ($slow) {
        await(sub { begun() > $before }, 10);
        kill 'KILL', $nginx->workers;
        next;
    }

    sleep 0.02 + rand 0.06;
    my @now = $nginx->workers;
    kill 'KILL', $now[ rand @now ] if @now;
}

my $begun = begun();
my $ended = () = $nginx->log($log) =~ /targets loaded/g;

cmp_ok($ended, '<', $begun, "$kills kills: of $begun times that the file was "
    . "begun to be read, $ended came to an end");

ok(await(sub { $nginx->workers == 2 }), 'killed workers are replaced');
ok(comes("kill-$kills"), 'no lock is left behind');
is(join(' ', map { status($_) } qw(stays k-1 k-9000 both-5-1 host)),
    '200 200 200 404 200', 'and nothing lost or torn');

($right, @wrong) = $scraper->stop;
is(scalar(grep { /^[45]/ } @wrong), 0,
    "no scrape got a wrong answer; $right were right");

# a million lines

SKIP: {
    skip 'a million lines take minutes here', 3 if $slow;

    $conf =~ s/(prom_proxy_zone targets) \d+k/$1 700m/;
    $nginx->write('nginx.conf', $conf);
    $nginx->reload;

    $scraper = Scraper->new($nginx->port, '/stays/metrics', qr/./);
    $nginx->write('targets', lines(map { "m-$_" } 1 .. 999_999));
    ok(await(sub { status('m-999999') == 200 }, 60), 'a million are loaded');

    $log = length $nginx->log;
    $nginx->write('targets', lines(map { "m-$_" } 1 .. 1_999_998));
    ok(await(sub { $nginx->log($log) =~ /too small for 2000000 targets/ }, 60),
        'two million do not fit');

    ($right, @wrong) = $scraper->stop;
    is("@wrong", '', "none of $right scrapes has failed meanwhile");
}

# without a master

$nginx->finish(qr/exited on signal 9|too small|shared memory zone .* was locked/);

$nginx = Nginx->new;
$dir = $nginx->dir;
$nginx->configure(main => 'master_process off;',
    registry => 'prom_proxy_targets %%DIR%%/targets interval=100ms optional;'
)->start;

is(status('stays'), 404, 'an optional file may be missing');
$nginx->write('targets', lines('late'));
ok(comes('late'), 'and is read once it is there, by a single process too');

unlink "$dir/targets";
my ($checked) = $nginx->check;
is($checked, 0, 'it may be missing for nginx -t');

$nginx->finish;

# what the directive refuses

for my $case (
    [ 'interval=x', qr/invalid value "interval=x" in "prom_proxy_targets"/ ],
    [ 'interval=-1', qr/invalid value "interval=-1"/ ],
    [ 'maybe', qr/invalid value "maybe" in "prom_proxy_targets"/ ],
) {
    my ($parameter, $expected) = @$case;
    my $refused = Nginx->new;

    my (undef, $said) = $refused->configure(targets => lines(),
        registry => "prom_proxy_targets %%DIR%%/targets $parameter;")->check;
    like($said, $expected, "refused: $parameter");
    $refused->stop;
}

done_testing();
