#!/usr/bin/perl

# t/27-live.t: saving the targets file is all that it takes: scrapes, tunnels
# and pages follow within 2 s, and no scrape fails meanwhile

use warnings;
use strict;

use FindBin;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await directory link_to replace write_file);
use Proxy qw(@confined);

my $path = '/etc/monitoring/targets';
my $seconds = 2;

my $exporter = Backend->new;


# The target "a", which stays, and others, all at the port of one tunnel.

sub text {
    return join '', map { "localhost:20001 $_\n" } 'a', @_;
}


# Targets at ports of their own.

sub ports { return join '', map { "localhost:$_ t$_\n" } @_ }


sub status { $_[0]->scrape($_[1])->{status} }


# After what was just done, one name is there in time, and the other is not.

sub takes {
    my ($proxy, $new, $old, $what) = @_;

    ok(await($seconds, sub { status($proxy, "/$new/metrics") == 200 }),
        "$what: the new target is scraped within $seconds s")
        or diag $proxy->logs;
    is(status($proxy, "/$old/metrics"), 404, "$what: the old one is gone");
}


# Scrapes a target again and again, in a process of its own, until told to
# stop; then says how often, and what the answers were that weren't right.

sub scrape_on {
    my ($proxy, $path) = @_;

    my $stop = directory() . '/stop';
    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if ($pid == 0) {
        my ($count, @wrong) = (0);

        until (-e $stop) {
            my $r = eval { $proxy->http(path => $path, timeout => 30) }
                // { line => $@ };
            $count++;
            push @wrong, $r->{line} if $r->{line} !~ / 200 / || $r->{closed};
            sleep 0.01;
        }

        print join("\n", $count, @wrong), "\n";
        close STDOUT;
        POSIX::_exit(0);
    }

    return sub {
        write_file($stop, '');
        chomp(my ($count, @wrong) = <$out>);
        close $out;
        return ($count, @wrong);
    };
}


sub metric {
    my ($proxy, $name) = @_;

    my ($value) = $proxy->scrape('/metrics')->{body}
        =~ /^monitoring_proxy_\Q$name\E (\S+)$/m;

    return $value;
}


sub count {
    my ($proxy, $pattern) = @_;

    return scalar grep { $_ =~ $pattern } split /\r?\n/, $proxy->logs;
}


# The process that hosts connect to.

sub listener { return join ' ', $_[0]->pids(qr/^sshd: .*\[listener\]/) }


# each way to save a file

my $proxy = Proxy->start(targets => text('first'));
my $file = "$proxy->{files}{directory}/targets";

ok($proxy->tunnel(20001, $exporter->port)
    && status($proxy, '/first/metrics') == 200, 'at start: it is scraped');

my @workers = $proxy->pids(qr/^nginx: worker/);
my $stop = scrape_on($proxy, '/a/metrics');

replace($file, text('second'));
takes($proxy, 'second', 'first', 'a rename');

write_file($file, text('third'));
takes($proxy, 'third', 'second', 'in place');

unlink $file;
ok(await($seconds, sub {
    metric($proxy, 'targets_last_reload_successful') eq '0' }),
    'deleted: it is noticed');
is(status($proxy, '/third/metrics'), 200, 'deleted: the targets stay');

write_file($file, text('fourth'));
takes($proxy, 'fourth', 'third', 'made again');

my $directory = $proxy->{files}{directory};
mkdir "$directory/..$_" or die "$directory: $!\n" for 1, 2;
write_file("$directory/..1/targets", text('fifth'));
write_file("$directory/..2/targets", text('sixth'));
link_to('..1', "$directory/..data");
link_to('..data/targets', $file);
takes($proxy, 'fifth', 'fourth', 'a ConfigMap');

link_to('..2', "$directory/..data");
takes($proxy, 'sixth', 'fifth', 'a ConfigMap that is swapped');


# a file with a mistake

my $mistake = "$path:2:17: name \"b/../c\" has \"..\" in it";

replace($file, text('b/../c', 'seventh'));
ok(await($seconds, sub { $proxy->logs =~ /\Q$mistake\E/ }),
    'a mistake: the log says where and what');
like($proxy->scrape('/metrics')->{body},
    qr/^monitoring_proxy_targets_last_reload_error_info\{reason="
        \Q${\ ($mistake =~ s{"}{\\"}gr) }\E/mx, 'a mistake: so does /metrics');
is(metric($proxy, 'targets_last_reload_successful'), 0,
    'a mistake: a metric to alert on');
is(status($proxy, '/sixth/metrics'), 200, 'a mistake: the targets stay');
is(status($proxy, '/seventh/metrics'), 404, 'a mistake: none is taken');

ok($proxy->logged(qr/^targets: \Q$path\E not taken; ports .* as before$/m),
    'a mistake: the log says that ports stay');
is(count($proxy, qr/\Q$mistake\E/), 1, 'a mistake: it is told once');

replace($file, text('eighth'));
takes($proxy, 'eighth', 'sixth', 'mended');
is(metric($proxy, 'targets_last_reload_successful'), 1,
    'mended: the metric says so');
unlike($proxy->scrape('/metrics')->{body}, qr/last_reload_error_info\{/,
    'mended: the reason is gone');

my ($scrapes, @wrong) = $stop->();
cmp_ok($scrapes, '>', 10, 'all the while it was scraped');
is("@wrong", '', 'and no scrape failed');
is_deeply([ sort $proxy->pids(qr/^nginx: worker/) ], [ sort @workers ],
    'by the same workers');


# tunnels

write_file($file, text() . "localhost:20002 other\n");
ok($proxy->tunnel(20002, $exporter->port),
    'a new port can be listened on at once') or diag $proxy->{error};
ok(await($seconds, sub { status($proxy, '/other/metrics') == 200 }),
    'and is scraped by its name');
is(count($proxy, qr/^sshd: Server listening /),
    1 + count($proxy, qr/^sshd: Server listening on ::/),
    'sshd was left alone');
$proxy->remove;


# more ports than key lines list, which the kernel limits for each session

$proxy = Proxy->start(targets => ports(20001), options => [ @confined ]);
$file = "$proxy->{files}{directory}/targets";
$proxy->tunnel(20001, $exporter->port);

my $listener = listener($proxy);
$stop = scrape_on($proxy, '/t20001/metrics');

replace($file, ports(20001 .. 20300));
ok(await(60, sub { $proxy->may_bind(20300) }),
    '300 ports: the last one can be listened on') or diag $proxy->logs;
ok($proxy->may_bind(20300) && !$proxy->may_bind(20301),
    '300 ports: and no other');

replace($file, ports(20001 .. 20299, 20301));
ok(await(60, sub { $proxy->may_bind(20301) }),
    '300 ports: a new one can be listened on') or diag $proxy->logs;
ok(!$proxy->may_bind(20300), '300 ports: one that is taken out can not');

ok(await(60, sub { $proxy->exec('grep', '-qx', 20301,
    '/run/monitoring-proxy/target-ports')->{status} == 0 }),
    '300 ports: they are kept, should the file go');

replace($file, ports(20001 .. 20299, 20301) . "x\n");
ok($proxy->logged(qr/^targets: \Q$path\E not taken/m),
    '300 ports: a mistake is met');
ok($proxy->may_bind(20301) && !$proxy->may_bind(20300),
    '300 ports: the ports stay');

replace($file, ports(20001, 20300));
ok(await(60, sub { $proxy->may_bind(20300) && !$proxy->may_bind(20301) }),
    'few ports again: they alone can be listened on') or diag $proxy->logs;

is(listener($proxy), $listener, 'sshd was left alone');

($scrapes, @wrong) = $stop->();
cmp_ok($scrapes, '>', 10, 'the first tunnel was scraped all the while');
is("@wrong", '', 'and never failed');
is(count($proxy, qr/ended (?:by|with)/), 0, 'nothing has crashed');
$proxy->remove;


# a file that is mounted alone is changed in place

my $alone = write_file(directory() . '/targets', text('first'));
$proxy = Proxy->start(options => [ '-v', "$alone:$path:ro" ]);
$proxy->tunnel(20001, $exporter->port);
is(status($proxy, '/first/metrics'), 200, 'mounted alone: it is scraped');

write_file($alone, text('second'));
takes($proxy, 'second', 'first', 'mounted alone');
$proxy->remove;


# no file at first

$directory = directory();
$proxy = Proxy->start(options => [ '-v', "$directory:/etc/monitoring:ro" ]);
is(status($proxy, '/targets'), 503, 'no file: /targets has no answer yet');
is(status($proxy, '/-/ready'), 200, 'no file: it is ready for one');
ok(!$proxy->may_bind(20001), 'no file: no port can be listened on');

write_file("$directory/targets", text());
ok(await($seconds, sub { status($proxy, '/targets') == 200 }),
    'a first file: /targets has it') or diag $proxy->logs;
ok($proxy->tunnel(20001, $exporter->port)
    && status($proxy, '/a/metrics') == 200, 'a first file: it is scraped');
$proxy->remove;

# where any port was allowed, as there were own locations alone

$directory = directory();
$proxy = Proxy->start(conf => "location /own/ { return 204; }\n",
    options => [ '-v', "$directory:/etc/monitoring:ro" ]);
ok($proxy->may_bind(34567), 'own locations alone: any port');

# at once, as a file that is still empty would be taken as such

replace("$directory/targets", text());
ok($proxy->logged(qr/^targets: sshd listens anew/m)
    && !$proxy->may_bind(34567), 'own locations and a first file: not any more')
    or diag $proxy->logs;
ok($proxy->may_bind(20001), 'but that of the file') or diag $proxy->{error};

unlink "$directory/targets";
ok($proxy->logged(qr/^targets: \Q$path\E not taken/m)
    && !$proxy->may_bind(34567), 'nor when the file is gone')
    or diag $proxy->logs;
$proxy->remove;


# the address that scrapers are given

sub discovered {
    my ($address) = @_;

    my $proxy = Proxy->start(targets => text(),
        env => { MONITORING_PROXY_ADVERTISE => $address });
    my $groups = eval { decode_json($proxy->scrape('/targets')->{body}) };
    $proxy->remove;

    return join ' ', $groups->[0]{labels}{__scheme__} // 'none',
        @{ $groups->[0]{targets} // [] };
}

is(discovered('proxy.example.com:8000'), 'http proxy.example.com:8000',
    'a host and port is advertised');
is(discovered('https://proxy.example.com'), 'https proxy.example.com:443',
    'a scheme and host is');
is(discovered('[fd00::2]:8000'), 'http [fd00::2]:8000', 'an IPv6 address is');

for my $address ('http://', 'proxy:0', 'proxy:65536', 'proxy:x', 'ftp://proxy',
    'proxy/', 'http://proxy/', 'fd00::2', 'a b', '-proxy', 'proxy;', '$host',
    "proxy\nx", 'user@proxy')
{
    my $r = Proxy->refused(targets => text(),
        env => { MONITORING_PROXY_ADVERTISE => $address });
    my $shown = $address =~ s/\n/\\n/r;

    is($r->{status}, 1, "\"$shown\" stops the container");
    like($r->{out}, qr/^monitoring-proxy:\ MONITORING_PROXY_ADVERTISE:
        \ "\Q$address\E".*HOST:PORT/mx, "\"$shown\": says what is allowed");
    is(scalar(() = $r->{out} =~ /^nginx:/mg), 0, "\"$shown\": and says it once");
}

done_testing();
