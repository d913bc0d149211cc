#!/usr/bin/perl

# Every scrape is counted once, for its target and in all, and counters of
# targets that stay are kept through whatever else changes.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Backend;
use Nginx;
use Scraper;

my $target = Backend->new;
my $port = $target->port;
my $soon = 60;

my $nginx = Nginx->new;
my $dir = $nginx->dir;

sub lines { return join '', map { "127.0.0.1:$port $_\n" } @_ }

sub status { return $nginx->get("/$_[0]/metrics")->{status} }

# the value of a sample of /metrics; nothing if it isn't there

sub value {
    my ($sample) = @_;

    my ($value) = $nginx->get('/metrics')->{body} =~ /^\Q$sample\E (\S+)$/m;
    return $value;
}

sub scrapes {
    my ($name) = @_;
    return value(qq(monitoring_proxy_target_scrapes_total{target="$name",)
        . 'code="2xx"}') // 'none';
}

sub total { return value('monitoring_proxy_scrapes_total{code="2xx"}') }

sub comes {
    my ($name) = @_;
    return await(sub { status($name) == 200 }, $soon);
}


$nginx->configure(workers => 2, targets => lines('one', 'two'),
    server => 'location = /metrics { prom_proxy_metrics; }')->start;

status('one') for 1 .. 3;
status('two');

is(scrapes('one'), 3, 'scrapes of a target are counted');
is(scrapes('two'), 1, 'apart from those of another');
is(total(), 4, 'and together');

status('three') for 1 .. 3;
$nginx->get('/one');
is(total(), 4, 'what is no target, and a redirect, are no scrapes');

# targets that change

$nginx->write('targets', lines('zero', 'one', 'three'));
ok(comes('three'), 'the file changes');
is(scrapes('one'), 3, 'counters of a target that stays are kept');
is(scrapes('two'), 'none', 'those of one that went are not shown');

$nginx->write('targets', "127.0.0.1:$port/moved one\n" . lines('four'));
comes('four');
is(scrapes('one'), 3, 'also when its address changes');

$nginx->write('targets', lines('two', 'one', 'five'));
comes('five');
is(scrapes('two'), 0, 'a target that comes again starts from 0');
is(scrapes('one'), 3, 'and takes nothing from another');

my $before = total();

# nginx that reloads

$nginx->reload;
is(scrapes('one'), 3, 'nginx -s reload keeps them');
is(total(), $before, 'and the totals');

my $conf = Nginx::slurp("$dir/nginx.conf");
my $changed = $conf =~ s/worker_processes 2/worker_processes 1/r;
$nginx->write('nginx.conf', $changed);
$nginx->reload;
is(scrapes('one'), 3, 'as does a changed configuration');

for my $zone ('3m', '16m', '8m') {
    $changed =~ s/(prom_proxy_zone targets) \w+;/$1 $zone;/;
    $nginx->write('nginx.conf', $changed);
    $nginx->reload;
    is(scrapes('one') . ' ' . total(), "3 $before", "and a zone of $zone");
}

# a configuration that is refused

$nginx->write('nginx.conf', $changed =~ s/http \{/http { nonsense;/r);
$nginx->signal('HUP');
await(sub { $nginx->log =~ /unknown directive "nonsense"/ });
$nginx->write('targets', lines('one', 'six'));
ok(comes('six'), 'after one that was refused, the file is still looked at');
is(scrapes('one'), 3, 'and nothing is lost');

# answers of every kind

for my $case (
    [ 'unbuffered', "Content-Length: 6\r\n\r\nright\n", 1 ],
    [ 'in chunks', "Transfer-Encoding: chunked\r\n\r\n6\r\nright\n\r\n"
        . "0\r\n\r\n", 1 ],
    [ 'to the end of the connection', "\r\nright\n", 0 ],
    [ 'broken off', "Content-Length: 60\r\n\r\nwrong\n", 0, 0 ],
    [ 'in chunks, broken off',
        "Transfer-Encoding: chunked\r\n\r\n6\r\nwrong\n\r\n", 0, 0 ],
) {
    my ($what, $rest, $more, $up) = @$case;

    for my $buffering ('yes', 'no') {
        my $backend = Backend->new(answer => sub {
            my ($s) = @_;
            print $s "HTTP/1.1 200 OK\r\nX-Accel-Buffering: $buffering\r\n"
                . "Content-Type: text/plain\r\n$rest";
            $s->flush;
            return $more;
        });

        my $name = 'n' . $backend->port;
        $nginx->write('targets', '127.0.0.1:' . $backend->port . " $name\n"
            . lines('one', 'six'));
        await(sub { status($name) != 404 }, $soon);

        is(value(qq(monitoring_proxy_target_up{target="$name"})), $up // 1,
            "an answer $what, buffered: $buffering");
        $backend->stop;
    }
}

# workers at once, and killed

$nginx->write('nginx.conf', $conf);
$nginx->reload;

my @scrapers = map { Scraper->new($nginx->port, '/six/metrics', qr/./) } 1 .. 3;
await(sub { $_->right > 100 || return 0 for @scrapers; 1 }, 60);

for my $round (1 .. 5) {
    $nginx->write('targets', lines(reverse 'one', 'six', "more-$round"));
    comes("more-$round");
}

my $right = 1;   # the one that waited for it
my @failed;

for my $scraper (@scrapers) {
    my ($n, @wrong) = $scraper->stop;
    $right += $n;
    push @failed, @wrong;
}

is("@failed", '', 'scrapes by three, while the file changes five times');
is(scrapes('six'), $right, 'are all counted, once');

kill 'KILL', $nginx->workers;
await(sub { eval { status('one') == 200 } }, $soon);
is(scrapes('six'), $right, 'a killed worker takes no counters with it');

$nginx->finish(qr/exited on signal 9|was locked by|"nonsense"/);

done_testing();
