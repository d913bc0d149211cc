#!/usr/bin/perl

# t/45-poll-registry.t: clients that poll are targets: they are scraped by
# their names, discovered, counted and shown beside those of files

use warnings;
use strict;

use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);

use Backend;
use Http qw(request);
use Nginx;
use Poll;

my $openmetrics = 'application/openmetrics-text; version=1.0.0';
my $pages = 'location = /targets { prom_proxy_sd; } '
    . 'location = /metrics { prom_proxy_metrics; } '
    . 'location = /few { prom_proxy_metrics per_target=off; } '
    . 'location = / { prom_proxy_status; } '
    . 'location /mine { return 200 "mine\n"; } ';
my $files = 'prom_proxy_targets %%DIR%%/targets interval=20ms; ';
my $polls = 'prom_proxy_poll interval=20ms;';

my $backend = Backend->new(answer => sub {
    my ($s) = @_;
    print $s "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfile\n";
    $s->flush;
    return 1;
});
my $at = '127.0.0.1:' . $backend->port;

my $nginx = Nginx->new;
my $port = free_port();


sub configure {
    my (%o) = @_;

    $nginx->configure(server => $pages, registry => "$files $polls",
        http => poll_http(port => $port, %{ delete $o{poll} // {} }), %o);
}


# what /targets has: NAME and its other labels

sub targets {
    my ($body) = $nginx->get('/targets')->{body};
    my %targets;

    while ($body =~ /"labels":\{"instance":"([^"]*)",([^}]*)\}/g) {
        my ($name, $labels) = ($1, $2);

        $labels =~ s/"__scheme__":"http",?//;
        $targets{$name} = $labels =~ s/,\z//r;
    }

    return \%targets;
}


sub appears { my ($name) = @_; return await(sub { targets()->{$name} }) }

sub disappears { my ($name) = @_; return await(sub { !targets()->{$name} }) }


sub samples {
    my ($path, $accept) = @_;

    my $r = $nginx->get($path // '/metrics',
        headers => [ defined $accept ? "Accept: $accept" : () ]);

    return { $r->{body} =~ /^monitoring_proxy_(\S+(?:"\})?) (\S+)$/mg };
}


sub row {
    my ($name) = @_;

    my ($row) = $nginx->get('/')->{body}
        =~ m{<tr class="\w+" data-name="\Q$name\E">(.*?)</tr>}s;

    return $row // '';
}


sub shown { return $_[0] =~ s/<[^>]*>//gr =~ s/&quot;/"/gr =~ s/&lt;/</gr
    =~ s/&gt;/>/gr =~ s/&#39;/'/gr =~ s/&amp;/&/gr }

sub cell {
    my ($name, $class) = @_;

    my ($cell) = row($name) =~ m{<td class="$class">(.*?)</td>}s;

    return shown($cell // 'none');
}


sub fact {
    my ($name, $fact) = @_;

    my ($value) = row($name) =~ m{<dt>$fact</dt><dd[^>]*>(.*?)</dd>}s;

    return shown($value // 'none');
}


# A scrape by the name of a client that polls at $s: what the client got, and
# what the scraper.

sub scrape_by_name {
    my ($s, $path, %o) = @_;

    my $scraper = Http::connection($nginx->port);
    Http::send_request($scraper, path => $path,
        headers => $o{scraper} // []);

    my $got = handed($s);
    push_answer($port, $got->{id}, %o) if $got->{id};

    return ($got, scraped($scraper));
}


# what is refused

for ([ '"prom_proxy_poll" needs a "prom_poll_zone"', http => '' ],
    [ '"prom_proxy_poll" needs a location with "prom_poll_worker"',
        http => 'prom_poll_zone poll 1m;' ],
    [ 'invalid value "interval=0" in "prom_proxy_poll" directive',
        registry => 'prom_proxy_poll interval=0;' ],
    [ 'invalid value "1s" in "prom_proxy_poll" directive',
        registry => 'prom_proxy_poll 1s;' ],
    [ '"prom_proxy_poll" directive is duplicate', registry => $polls x 2 ])
{
    my ($line, %o) = @$_;

    configure(%o, targets => '');
    my ($status, $said) = $nginx->check;

    ok($status, "refused: $line");
    like($said, qr/\[emerg\] .*\Q$line\E/, 'and says so');
}


# a client comes

configure(targets => "$at file\n", workers => 2);
$nginx->start;

is_deeply([ sort keys %{ targets() } ], [ 'file' ], 'no clients, no targets');
is(samples()->{poll_clients}, 0, 'and a metric says so');

my $c1 = poll($port, 'C1', labels => 'env="prod",team="data \"base\""');

ok(appears('c1'), 'a client that polls is a target');
is(targets()->{c1}, '"__metrics_path__":"/c1/metrics","env":"prod",'
    . '"team":"data \"base\""', 'with its labels');
is(samples()->{targets}, 2, 'counted with the others');
is(samples()->{'targets_reloads_total{result="success"}'}, 0,
    'no file was read again for it');

my ($got, $answer) = scrape_by_name($c1, '/c1/metrics?a=b%2Fc&d=e%20f',
    scraper => [ 'X-Prometheus-Scrape-Timeout-Seconds: 7',
        'Prom-Poll: scrape 0 other http://other/' ],
    body => "up 1\n");

is($got->{uri}, 'http://c1:9100/metrics?a=b%2Fc&d=e%20f',
    'its scrape asks for port 9100, and the path as it came');
is($got->{request}{host}, 'c1:9100', 'so it is in the header');
like($got->{request}{'x-prometheus-scrape-timeout-seconds'},
    qr/^(7|6\.\d+)$/, 'the scraper\'s timeout goes along');
is($got->{request}{'prom-poll'}, undef, 'and nothing of the proxy\'s own');
is("$answer->{status} $answer->{body}", "200 up 1\n", 'the answer comes back');
is($answer->{headers}{'content-type'}, 'text/plain', 'with its headers');

# it is between two polls: the next scrape waits for it

my $early = Http::connection($nginx->port);
Http::send_request($early, path => '/c1/early', headers => []);
ok(await(sub { $nginx->log =~ m{scrape \d+ c1 \d+ http://c1:9100/early} }),
    'a scrape of a client between two polls');

$c1 = poll($port, 'c1', on => $c1, labels => 'env="prod"');
$got = handed($c1);
is($got->{uri}, 'http://c1:9100/early', 'waits for the next one');
push_answer($port, $got->{id}, status => '500 No', body => "no\n");
$answer = scraped($early);
is("$answer->{status} $answer->{body}", "500 no\n", 'what it answers passes');

$c1 = poll($port, 'c1', on => $c1, labels => 'env="test"');
ok(await(sub { targets()->{c1} =~ /"env":"test"/ }), 'new labels are taken');
is($nginx->get('/C1/metrics')->{status}, 404, 'names are lower case');

# a client that closes its connection is gone until it has polled again

my @open;

for my $n (1 .. 6) {
    ($got, $answer) = scrape_by_name($c1, '/c1/metrics', body => "n $n\n");
    push @open, $c1;
    $c1 = poll($port, 'c1', labels => 'env="test"');
    is($answer->{body}, "n $n\n", "whichever worker has it: $n");
}


# counted and shown as others are, once they have come to their end

my $samples;
await(sub {
    $samples = samples();
    return ($samples->{'poll_requests_total{path="push",code="2xx"}'} // 0)
        >= 8;
});

is($samples->{'target_scrapes_total{target="c1",code="2xx"}'}, 7,
    'scrapes are counted');
is($samples->{'target_up{target="c1"}'}, 1, 'it is up');
is($samples->{'poll_client_connected{target="c1"}'}, 1, 'and connected');
cmp_ok($samples->{'poll_client_scrapes_total{target="c1"}'}, '>=', 7,
    'handed scrapes are counted');
cmp_ok($samples->{'poll_client_since_timestamp_seconds{target="c1"}'}, '>',
    time - 600, 'since when it is there');
is($samples->{'poll_client_info{target="c1",address="127.0.0.1"}'}, 1,
    'from where');
cmp_ok($samples->{'poll_requests_total{path="push",code="2xx"}'}, '>=', 8,
    'requests of clients by path and code');
cmp_ok($samples->{
    'poll_request_duration_seconds_count{path="push"}'}, '>=', 8,
    'and how long they took');
is($samples->{poll_clients_max}, 10000, 'the limit of clients');
is(scalar(grep { /^poll_client_/ } keys %{ samples('/few') }), 0,
    'no samples of each without per_target');

SKIP: {
    skip 'promtool: MP_PROMTOOL is not set', 1 unless $ENV{MP_PROMTOOL};

    my $file = File::Temp->new;
    print $file $nginx->get('/metrics')->{body};
    $file->flush;

    my $said = `$ENV{MP_PROMTOOL} check metrics < $file 2>&1`;
    is("$?: $said", '0: ', 'promtool check metrics');
}

like($nginx->get('/metrics', headers => [ "Accept: $openmetrics" ])->{body},
    qr/poll_request_duration_seconds_bucket\{path="poll",le="1\.0"\} \d.*# EOF\n\z/s,
    'OpenMetrics, too');

like(cell('c1', 'tunnel'),
    qr/^poll, connected \d+ (s|min) ago 127\.0\.0\.1$/,
    'its row says since when it polls, and from where');
like(fact('c1', 'Poll client'),
    qr/^connected \d+ (s|min) ago from 127\.0\.0\.1$/, 'as does what it '
    . 'opens to');
like(fact('c1', 'Polls'), qr/^\d+ held, \d+ answered by scrapes$/,
    'with its polls');
is(fact('c1', 'Address'), 'c1:9100, of a client that polls', 'its address');
is(cell('file', 'tunnel'), '', 'a target of a file has none of that');
like($nginx->get('/')->{body},
    qr{<dt>Poll clients</dt><dd>1 of at most 10,000</dd>}, 'the page has '
    . 'their number');
like($nginx->get('/?q=127.0.0.1&sort=tunnel')->{body},
    qr/data-name="c1".*data-name="file"/s, 'is sorted by them');


# a client that doesn't answer

my $slow = poll($port, 'slow');
ok(appears('slow'), 'a client that doesn\'t answer');
my $scraper = Http::connection($nginx->port);
Http::send_request($scraper, path => '/slow/metrics',
    headers => [ 'X-Prometheus-Scrape-Timeout-Seconds: 0.3' ]);
handed($slow);
$answer = scraped($scraper);
is("$answer->{status} $answer->{body}", '504 slow: its client was given the '
    . "scrape but has not answered within the scrape timeout of 0.300s\n",
    'has what it did told at the deadline');
is(cell('slow', 'error'), 'no answer of its client for slow:9100 within the '
    . 'scrape timeout of 0.300s', 'and in its row');
close $slow;


# names with a port; addresses

my $ported = poll($port, 'db:9187');
ok(appears('db:9187'), 'a name with a port');
($got, $answer) = scrape_by_name($ported, '/db:9187/metrics');
is($got->{uri}, 'http://db:9187/metrics', 'is asked for that');
is($answer->{status}, 200, 'and answers');

my $v6 = poll($port, '[2001:db8::1]');
ok(appears('[2001:db8::1]'), 'an address');
($got) = scrape_by_name($v6, '/%5B2001:db8::1%5D/metrics');
is($got->{uri}, 'http://[2001:db8::1]:9100/metrics', 'is asked, too');


# a client that is gone

close $c1;
$nginx->reload;

ok(await(sub { samples()->{'poll_client_connected{target="c1"}'} eq '0' }),
    'a client that left isn\'t connected');
my $start = time;
$answer = $nginx->get('/c1/metrics');
is($answer->{status}, 503, 'its scrape fails');
(my $reason = $answer->{body}) =~ s/\d/9/g;
is($reason, 'c9: no client polls for this name, its last poll ended '
    . "9999-99-99T99:99:99Z\n", 'with the reason');
cmp_ok(time - $start, '<', 8, 'at once');
like(cell('c1', 'error'), qr/^no client polls for this name, its last poll/,
    'which its row has, too');
like(cell('c1', 'tunnel'), qr/^poll, not connected, left \d+ s ago$/,
    'with when it left');
is(samples()->{'target_scrapes_total{target="c1",code="5xx"}'}, 2,
    'it is counted, and a reload has kept the counts');

$nginx->write('targets', "$at file\n$at other\n");
ok(appears('other'), 'a file is loaded');
ok(targets()->{c1}, 'the clients stay');


# a file goes before a client

my $file = poll($port, 'file');
my $new = poll($port, 'new');
ok(appears('new'), 'clients that come');
is(scalar(keys %{ targets() }), 7, 'one of them has the name of a file\'s '
    . 'target');
is($nginx->get('/file/x')->{body}, "file\n", 'which stays what it is');
like(join("\n", grep { /\[warn\]/ } split /\n/, $nginx->log),
    qr/poll client "file" is no target: a file has a target with that name/,
    'and the log says so');

$nginx->write('targets', "$at file\n$at new\n");
ok(await(sub { fact('new', 'Address') =~ /line 2 of the targets file/ }),
    'a name that a file takes later');
is($nginx->get('/new/x')->{body}, "file\n", 'is the file\'s, too');
$nginx->write('targets', "$at only\n");
ok(appears('only') && targets()->{file} && targets()->{new},
    'a client is a target once the file has no such name');

# a file with a mistake keeps nobody from polling

$nginx->write('targets', "x\n");
ok(await(sub { samples()->{targets_last_reload_successful} eq '0' }),
    'a file with a mistake');
my $late = poll($port, 'late');
ok(appears('late'), 'doesn\'t keep clients away');
is(samples()->{targets_last_reload_successful}, 0,
    'and is still what is told');
ok(targets()->{only}, 'nor does a client make the targets go');

# a location of the user's is no client's

my $mine = poll($port, 'mine');
ok(appears('mine'), 'a client with the name of a location');
is($nginx->get('/mine/metrics')->{body}, "mine\n", 'doesn\'t take it');

$nginx->finish;


# workers are killed, also the one that looks for clients, and that writes

$nginx = Nginx->new;
configure(targets => "$at file\n", workers => 2);
$nginx->start;

for my $n (1 .. ($ENV{MP_SLOW} ? 2 : 4)) {
    my @polls = map { poll($port, "client-$n-$_") } 1 .. 20;
    my @old;

    await(sub { (@old = $nginx->workers) == 2 });

    kill 'KILL', $old[$n % 2];
    ok(await(sub {
        my @now = $nginx->workers;
        return @now == 2 && !grep { $_ == $old[$n % 2] } @now;
    }), "$n: a worker is killed, another comes");

    my $again = poll($port, "again-$n");
    ok(appears("again-$n"), 'clients are seen');
    ($got, $answer) = scrape_by_name($again, "/again-$n/metrics");
    is($answer->{status}, 200, 'and answer');

    close $_ for @polls;
    ok(await(sub {
        my $all = samples();
        return !grep { $all->{"poll_client_polls{target=\"client-$n-$_\"}"} }
            1 .. 20;
    }), 'no poll is counted that isn\'t there');
}

$nginx->finish(qr{exited on signal 9|was locked by});


# clients are forgotten in the end

$nginx = Nginx->new;
configure(poll => { zone => 'poll 1m timeout=1s' }, registry => $polls);
$nginx->start;

my $short = poll($port, 'short');
ok(appears('short'), 'a client, without any file');
ok(await(sub { samples()->{'poll_client_connected{target="short"}'} }),
    'which has samples');
is(join(' ', grep { /"short"/ && !/^poll_client_/ } keys %{ samples() }), '',
    'but none of scrapes, as nobody scrapes it');
close $short;
ok(disappears('short'), 'that left is no target once the timeout is over');
is($nginx->get('/short/metrics')->{status}, 404, 'nor is it routed');
like($nginx->get('/short/metrics')->{body}, qr/, or of a client that polls$/,
    'and the line says whose names there are');

$nginx->finish;


# more than the registry has room for

$nginx = Nginx->new;
configure(zone => '128k', targets => "$at file\n");
$nginx->start;

my @many = map { poll($port, sprintf 'many-%03d', $_) } 1 .. 200;
ok(await(sub { $nginx->log =~ /poll clients are no targets/ }),
    'more clients than there is room for');
ok(appears('many-001'), 'some are targets');
ok(targets()->{file}, 'as is what a file has');
$nginx->write('targets', "$at file\n$at second\n");
ok(appears('second'), 'which can still grow');
ok($nginx->reload, 'and nginx is reloaded');
is($nginx->get('/second/x')->{body}, "file\n", 'to the same targets');
my @told = $nginx->log =~ /is too small for \d+ targets/g;
cmp_ok(scalar @told, '<', 5, 'it is told now and then');

close $_ for @many;
$nginx->finish;

done_testing();
