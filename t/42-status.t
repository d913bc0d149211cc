#!/usr/bin/perl

# The status page shows every target, how its last scrapes went and why it is
# down; it is searched, sorted and cut into pages on the server; and no text,
# argument or number of targets breaks it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Socket;
use Test::More;
use Time::HiRes qw(sleep time);

use Backend;
use Nginx;

my $slow = $ENV{MP_SLOW};

# its answers are told by the target's base path

my $target = Backend->new(answer => sub {
    my ($s, $request) = @_;
    my $status = $request =~ m{^GET /broken/} ? '500 Oops' : '200 OK';
    my $body = 'm 1' . "\n" x ($request =~ m{^GET /large/} ? 54321 : 5);

    sleep 0.4 if $request =~ m{^GET /slow/};
    print $s "HTTP/1.1 $status\r\nContent-Length: " . length($body)
        . "\r\n\r\n$body";
    $s->flush;
    return 1;
});

my $port = $target->port;
my $dead = free_port();
my $nginx = Nginx->new;
my $dir = $nginx->dir;

my $hostile = '<script>alert(1)</script>';
my %configured = (zone => '64m', server => 'location = / '
    . '{ prom_proxy_status; } location = /other { '
    . 'prom_proxy_status address=https://proxy.example; }');


sub page {
    my ($arguments, %options) = @_;

    return $nginx->get('/' . ($arguments // ''), %options);
}


sub text { return page(@_)->{body} }


# Rows: hashes of name, state and the row's text, in the page's order.

sub rows {
    my ($body) = @_;

    my @rows;

    while ($body =~ m{<tr class="(\w+)" data-name="([^"]*)">(.*?)</tr>}sg) {
        push @rows, { state => $1, name => $2, text => $3 };
    }

    return @rows;
}


sub names { return join ' ', map { $_->{name} } rows(text(@_)) }

sub row {
    my ($name) = @_;

    my ($row) = grep { $_->{name} eq $name } rows(text('?per=200'));
    return $row->{text} // '';
}


# A cell's text, as a browser would show it.

sub cell {
    my ($name, $class) = @_;

    my ($cell) = row($name) =~ m{<td class="$class">(.*?)</td>}s;
    return shown($cell // '');
}


sub shown {
    my ($text) = @_;

    my %entity = (lt => '<', gt => '>', quot => '"', '#39' => "'",
        amp => '&');

    $text =~ s/<[^>]*>//g;
    $text =~ s/&(lt|gt|quot|#39|amp);/$entity{$1}/g;

    return $text;
}


sub config {
    my ($name, $path) = @_;

    my ($row) = grep { $_->{name} eq $name } rows(text($path // '?per=200'));
    my ($config) = $row->{text} =~ m{<pre><code>(.*?)</code></pre>}s;

    return shown($config);
}


sub scrape { return $nginx->get("/$_[0]/metrics") }

sub bars {
    my ($row, $class) = @_;

    my ($d) = $row =~ m{<path class="$class" d="([^"]*)"/>};
    my @bars = $d =~ /(M\d+ 100v-\d+h8v\d+z)/g;

    return @bars;
}


# nothing is loaded yet

$nginx->configure(%configured,
    registry => 'prom_proxy_targets %%DIR%%/targets optional;')->start;

my $answer = page();

is($answer->{status}, 200, 'a page before any target is loaded');
like($answer->{body}, qr{No targets are loaded yet.*<code>\Q$dir\E/targets<}s,
    'says so, and which file to write');
like($answer->{body}, qr{</html>\n\z}, 'and is whole');

$nginx->write('targets', "# none\n");
ok(await(sub { text() =~ /There are no targets/ }, 20),
    'an empty file is told too');


# what is told of targets

$nginx->write('targets', <<"END");
127.0.0.1:$port up env=prod team="data base"
127.0.0.1:$port/large large __metrics_path__=/m?x=1&y=2 __param_module="a\\"b"
127.0.0.1:$port/slow b/slow __scrape_interval__=30s __scrape_timeout__=10s
127.0.0.1:$port/broken broken Env=PROD
localhost:$dead down
127.0.0.1:$port new
https://127.0.0.1:$dead/base tls
unix:$dir/none.sock:/base unix
name.invalid:9100 dns
127.0.0.1:$port out __metrics_path__=/../new/x
127.0.0.1:$port evil a="$hostile" b="\\"'><img src=x>" c="1&amp;2" d="\\n\\\\"
END

ok(await(sub { rows(text()) == 11 }, 20), 'targets come up by themselves');
is((() = text() =~ /<span>not scraped yet</g), 11, 'none is scraped yet');
unlike(text(), qr/<svg viewBox="0 0 600/, 'nor has a chart');

my %said = map { $_ => scrape($_)->{body} } qw(up broken down tls unix dns);
$nginx->get('/large/m');
scrape('b/slow');
scrape('evil');

is(cell('up', 'state'), 'up', 'up, by its last scrape');
is(cell('down', 'state'), 'down', 'down');
is(cell('new', 'state'), 'not scraped yet', 'not scraped yet');
is(cell('broken', 'error'), 'HTTP 500', 'the answer of an exporter');
is(cell('up', 'error'), '', 'no error where there is none');

for my $name (qw(down tls unix dns)) {
    is("$name: " . cell($name, 'error') . "\n", $said{$name},
        "$name: the error is what the scrape was told");
}

like(cell('up', 'last'), qr/^\d+ s ago$/, 'the age of the last scrape');
like(row('up'), qr{<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ">},
    'and its time');
like(cell('up', 'latency'), qr/^\d+ ms$/, 'a short latency');
like(cell('b/slow', 'latency'), qr/^(?:[4-9]\d\d ms|\d+\.\d+ s)$/,
    'a long latency');
is(cell('up', 'size'), '8 B', 'a small size');
is(cell('large', 'size'), '54.3 kB', 'a large size');
is(cell('new', $_), '', "nothing of $_ before the first scrape")
    for qw(last latency size error);

my $body = text();
my %count = map { /^(\w+)/ => /<b>([\d,]+)</ } $body =~ /<li class="(.*?)<\/a>/g;

is("$count{all} $count{up} $count{down} $count{unscraped}", '11 4 5 2',
    'the counts');
like($body, qr{<dt>Last reload</dt><dd><time [^>]*>\d+ s ago</time>, took \d},
    'the last reload');
like($body, qr{[1-9] reloads?, 0 refused}, 'how many there were');
like($body, qr{<meter min="0" max="67108864" [^>]*value="[1-9]\d*"},
    'use of the zone');
like($body, qr{<a href="/$_">}, "a link to /$_") for qw(targets metrics);
like(row('b/slow'), qr{<a href="/b/slow/metrics">}, 'and to a target');
like(row('out'), qr{<a href="/out/new/x">}, 'and to no other');
like(row('unix'), qr{<span>unix:\Q$dir\E/none\.sock:/base</span>},
    'an address as it is written');


# the history

scrape('up') for 1 .. 2;
my @bars = bars(row('up'), 'answered');

is(scalar @bars, 3, 'a bar for each scrape');
like($bars[2], qr/^M590 /, 'the newest is at the right');
like($bars[0], qr/^M570 /, 'the oldest at the left of it');
is(scalar bars(row('up'), 'failed'), 0, 'none of them failed');
is(scalar bars(row('broken'), 'failed'), 1, 'a failure is one');
is(scalar bars(row('broken'), 'column'), 1, 'with a column behind it');

scrape('up') for 1 .. 70;
is(scalar bars(row('up'), 'answered'), 60, 'the last 60 at most');

like(row('b/slow'), qr{aria-label="Latency\ of\ the\ last\ 1\ scrapes\ of\ b/slow,
    \ from\ (.*?)\ to\ \1,\ 0\ failed"}x, 'a chart says what it shows');
like(shown(row('up')), qr{last 60 scrapes min \d+ ms max [\d.]+ m?s 0 failed},
    'and so does its legend');
like(shown(row('up')), qr{Scrapes\n?73\n}, 'all scrapes are counted');
like(shown(row('down')), qr{Last success\n?never}, 'never a success');


# the lines for Prometheus

is(config('up'), <<"END", 'a job for one target');
- job_name: "up"
  metrics_path: "/up/metrics"
  static_configs:
    - targets: ["proxy:80"]
      labels:
        instance: "up"
        "env": "prod"
        "team": "data base"
END

is(config('large', '?q=large'), <<'END', 'with path and parameters');
- job_name: "large"
  metrics_path: "/large/m?x=1&y=2"
  params:
    "module": ["a\"b"]
  static_configs:
    - targets: ["proxy:80"]
      labels:
        instance: "large"
END

like(config('b/slow'), qr{\n  scrape_interval: 30s\n  scrape_timeout: 10s\n},
    'with interval and timeout');
like($nginx->get('/other')->{body},
    qr{\n  scheme: https\n.* targets: \[&quot;proxy\.example:443&quot;\]}s,
    '"address" is where Prometheus reaches the proxy');

SKIP: {
    skip 'no promtool', 1 unless $ENV{MP_PROMTOOL};

    my $yaml = join '', "scrape_configs:\n", map { config($_->{name}) }
        rows(text());
    $nginx->write('prometheus.yml', $yaml);

    my $said = `$ENV{MP_PROMTOOL} check config $dir/prometheus.yml 2>&1`;
    is($?, 0, 'promtool takes every job, hostile labels too') or diag($said);
}


# text is text

for my $arguments ('', '?q=%3Cscript%3E', '?q=%22%27%3E%3Cimg+src%3Dx%3E',
    '?q=evil&sort=%22%3E%3Cscript%3E')
{
    my $html = text($arguments);

    is(() = $html =~ /<script/g, 1, "$arguments: no script but its own");
    is(() = $html =~ /<img|onerror|javascript:/g, 0, 'nothing else that acts');
}

like(text('?q=%22%27%3E%3Cimg+src%3Dx%3E'),
    qr{value="&quot;&#39;&gt;&lt;img src=x&gt;"}, 'quotes are escaped');
like(text('?q=%22%27%3E'), qr{href="\?q=%22%27%3E&amp;sort=state"},
    'in links too');
is((rows(text('?q=evil')))[0]{text} =~ m{<i>a=(.*?)</i>} ? shown($1) : '',
    "$hostile", 'what was written is what is read');
unlike(text(), qr{(?:src|href|action)="(?:https?:)?//}, 'nothing from afar');
unlike(text(), qr{ style=| on\w+=}, 'no style or handler in an element');


# headers

$answer = page();
my ($nonce) = ($answer->{headers}{'content-security-policy'} // '')
    =~ /script-src 'nonce-([^']{22,})'/;

is($answer->{headers}{'content-security-policy'}, "default-src 'none'; "
    . "style-src 'nonce-$nonce'; script-src 'nonce-$nonce'; img-src data:; "
    . "connect-src 'self'; base-uri 'none'; form-action 'self'; "
    . "frame-ancestors 'none'", 'the policy');
is(() = $answer->{body} =~ /<(?:style|script) nonce="\Q$nonce\E">/g, 2,
    'is that of its style and script');
unlike(page()->{headers}{'content-security-policy'}, qr/\Q$nonce\E/,
    'and another one each time');
is($answer->{headers}{'x-content-type-options'}, 'nosniff', 'no sniffing');
is($answer->{headers}{'cache-control'}, 'no-store', 'never stored');
is($answer->{headers}{'referrer-policy'}, 'no-referrer', 'no referrer');
is($answer->{headers}{'content-type'}, 'text/html; charset=utf-8', 'its type');

$answer = page('', method => 'HEAD');
is("$answer->{status} [$answer->{body}]", '200 []', 'HEAD has no body');
is(page('', method => $_, body => 'x')->{status}, 405, "$_ is not allowed")
    for qw(POST PUT DELETE);


# what a reader with other senses needs

$body = text('?sort=latency');

like($body, qr{<html lang="en">}, 'its language');
like($body, qr{<meta name="viewport"}, 'a phone\'s width');
like($body, qr{<label for="q">.*<input id="q"}s, 'a label of the search');
is(() = $body =~ /<th scope="col"/g, 6, 'columns have their scope');
is(() = $body =~ /<th scope="row"/g, 11, 'and rows');
like($body, qr{class="latency" aria-sort="descending"}, 'the order is told');
is(() = $body =~ / aria-sort="/g, 1, 'of one column');


# search

is(names('?q=UP'), 'up', 'by name, whatever the case');
is(names('?q=%20slow+'), 'b/slow', 'without spaces around it');
is(names("?q=localhost:$dead"), 'down', 'by address');
is(names('?q=https://127'), 'tls', 'by scheme and address');
is(names('?q=env=prod'), 'broken up', 'by label and value');
is(names('?q=team%3DData+Base'), 'up', 'with a space in it');
is(names('?q=ata%20bas'), 'up', 'by a part of a value');
is(names('?q=prodteam'), '', 'not across two labels');
is(names('?q=upenv'), '', 'nor across a name and a label');
is(names('?q=data%0Abase'), 'up', 'a line feed is a space');
like(text('?q=nothing'), qr{role="status">No target matches \W+nothing\W},
    'nothing found is told');
is(names('?q='), names(), 'an empty search is none');
is(names('?q=%25%32'), '', 'a decoded percent sign is not decoded again');

# each beginning that comes again, so that the search has to go back

$nginx->write('targets', join '', map { "127.0.0.1:$port $_\n" }
    qw(aaab aab abaabab abababc ababc));
ok(await(sub { rows(text()) == 5 }, 20), 'names that are hard to search');
is(names('?q=aab'), 'aaab aab abaabab', 'overlapping matches are found');
is(names('?q=ababc'), 'abababc ababc', 'behind a false start too');


# order

$nginx->write('targets', join '', map { "$_\n" }
    "127.0.0.1:$port/large B", "127.0.0.1:$port a", "127.0.0.1:$port a-b",
    "127.0.0.1:$port/slow a/b", "localhost:$dead z", "127.0.0.1:$port new-2",
    "127.0.0.1:$port new-1");
ok(await(sub { rows(text()) == 7 }, 20), 'targets to sort');

for my $name ('z', 'a/b', 'a', 'B', 'a-b') {
    scrape($name);
    sleep 0.02;
}

my @order = (
    [ '', 'B a a-b a/b new-1 new-2 z', 'by name, unless asked' ],
    [ '?sort=name&order=desc', 'z new-2 new-1 a/b a-b a B', 'backwards' ],
    [ '?sort=state', 'z new-1 new-2 B a a-b a/b', 'what is down first' ],
    [ '?sort=state&order=desc', 'B a a-b a/b new-1 new-2 z', 'and last' ],
    [ '?sort=last', 'a-b B a a/b z new-1 new-2', 'the latest first' ],
    [ '?sort=last&order=desc', 'new-1 new-2 z a/b a B a-b', 'and last' ],
    [ '?sort=size', 'B z a a-b a/b new-1 new-2', 'the largest first' ],
    [ '?sort=size&order=asc', 'a a-b a/b z B new-1 new-2', 'and last' ],
    [ '?sort=nothing', 'B a a-b a/b new-1 new-2 z', 'by name, if unknown' ],
    [ '?order=sideways', 'B a a-b a/b new-1 new-2 z', 'an unknown order' ],
);

for my $order (@order) {
    is(names($order->[0]), $order->[1], "$order->[0]: $order->[2]");
}

like(names('?sort=latency'), qr{^a/b .* new-1 new-2$}, 'the slowest first');
like(names('?sort=latency&order=asc'), qr{ a/b new-1 new-2$}, 'and last');
like(text('?sort=latency&q=a&per=20'),
    qr{href="\?q=a&amp;sort=latency&amp;order=asc&amp;per=20">Latency},
    'a column\'s link turns its order, and keeps all else');
is(join(' ', text('?sort=latency&order=asc&per=7')
    =~ /<input type="hidden" name="(\w+)" value="(\w+)">/g),
    'sort latency order asc per 7', 'as does the search');


# pages

is(names('?per=2'), 'B a', 'the first page');
is(names('?per=2&page=2'), 'a-b a/b', 'the second');
is(names('?per=2&page=4'), 'z', 'the last');
is(names('?per=2&page=99'), 'z', 'the last again behind it');
is(names("?per=2&page=$_"), 'B a', "page $_ is the first")
    for qw(0 -1 x 1x %00), '';
is(names('?per=1&page=2&q=new'), 'new-2', 'pages of a search');
is(scalar rows(text('?per=0')), 1, 'a row at least');
is(scalar rows(text("?per=$_")), 7, "per=$_ shows all of seven")
    for qw(50 200 100000 99999999999999999999999 x -1), '';
like(text('?per=2&page=3'), qr{<p id="found" role="status">5 to 6 of 7 targets},
    'where one is');
like(text('?per=2&page=3'), qr{rel="prev".*aria-current="page">3<.*rel="next"}s,
    'and the way on');
is(names('?page=99999999999999999999999&per=2'), 'z', 'a huge number');

for my $arguments ('?' . 'q=' . 'x' x 3000, '?' . 'a' x 3000, '?q=%', '?q=%zz',
    '?q=%00%01%ff%fe', '?q&q=&&&=', '?%71=a', '?sort=&order=&page=&per=',
    '?q=' . '%C3%28' x 200, '?q=' . '%20' x 500, '?sort[]=name')
{
    $answer = page($arguments);
    ok($answer->{status} == 200 && $answer->{body} =~ m{</html>\n\z},
        substr($arguments, 0, 20) . ': a whole page');
}


# a file that is refused

$nginx->write('targets', "127.0.0.1:$port a\n127.0.0.1:$port/x a/../b\n");
ok(await(sub { text() =~ /was refused/ }, 20), 'a refused file is told');
$body = text();
like($body, qr{role="alert">.*<code>\Q$dir\E/targets:2:\d+: name &quot;a/\.\./b}s,
    'with its place and reason, escaped');
is(scalar rows($body), 7, 'and the old targets');
like($body, qr{, 1 refused<}, 'it is counted');
$nginx->write('targets', "127.0.0.1:$port a\n");
ok(await(sub { text() !~ /was refused/ }, 20), 'until it is right again');


# labels as long as they may be

my $long = '&' x 4096;
$nginx->write('targets', "127.0.0.1:$port long "
    . join(' ', map { "l$_=$long" } 1 .. 15) . "\n");
ok(await(sub { names() eq 'long' }, 20), 'a line of 61 kB');
is(() = row('long') =~ /(?:&amp;){4096}/g, 30, 'is whole, where it is opened');
is(names('?q=' . '%26' x 256), 'long', 'and can be searched');


# many of them

my $many = $slow ? 3_000 : 20_000;
my @all = map { sprintf 'site-%d/host-%d', $_ % 7, $_ } 1 .. $many;

$nginx->write('targets', join '', map { "127.0.0.1:$port $_ n=$_\n" } @all);
ok(await(sub { text() =~ /of \d+,000 targets/ }, 60), "$many targets");

my $start = time;
my @seen = map { $_->{name} } map { rows(text("?per=200&page=$_")) }
    1 .. $many / 200;
my $took = (time - $start) * 200 / $many;

is(join(' ', @seen), join(' ', sort @all), 'every one is on a page, once');
note(sprintf '%.1f ms a page', 1000 * $took);
is(names("?q=host-$many"), $all[-1], 'the last one is found');
is(() = text("?q=site-3&per=200") =~ /data-name="site-3/g, 200,
    'as are all of a site');

scrape($all[$_]) for 4, 2, 3;
like(names('?sort=latency&per=3'),
    qr{^(?=.*$all[2])(?=.*$all[3])(?=.*$all[4])},
    'those that were scraped sort before all others');

# a reader so slow that the targets are replaced twice under its page

my $other = free_port();
my $padding = 'x' x 3000;
my $conf = Nginx::slurp("$dir/nginx.conf");

$conf =~ s/(?=\n    server \{)/ server { listen 127.0.0.1:$other sndbuf=8k;
    location = \/ { prom_proxy_status; } }/;
$nginx->write('nginx.conf', $conf);
$nginx->write('targets', join '', map { "127.0.0.1:$port h-$_ p=$padding\n" }
    1 .. 200);
$nginx->reload;

my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $other,
    Sockopts => [ [ SOL_SOCKET, SO_RCVBUF, 4096 ] ]) or die "connect: $@\n";
Http::send_request($s, path => '/?per=200');

my $first = '';
sysread $s, $first, 100;

for my $n (1, 2) {
    $nginx->write('targets', "127.0.0.1:$port only-$n\n");
    ok(await(sub { names() eq "only-$n" }, 20), "replaced, $n");
}

my $rest = Http::read_response($s, timeout => 30);
like($first . $rest->{raw}, qr{The targets have changed meanwhile},
    'a slow reader is told that its page is out of date');
like($rest->{raw}, qr{</html>\n}, 'at the end of a whole page');


# the directive

sub refused {
    my ($server) = @_;

    my $other = Nginx->new;
    $other->configure(targets => '', server => $server);
    my ($status, $said) = $other->check;
    $other->stop;

    return $status ? $said : 'taken';
}

like(refused('location = / { prom_proxy_status addres=x; }'),
    qr{invalid parameter "addres=x"}, 'a wrong parameter');
like(refused('location = / { prom_proxy_status; prom_proxy_status; }'),
    qr{is duplicate}, 'twice in a location');
like(refused('location = / { prom_proxy_status a b; }'),
    qr{invalid number of arguments}, 'too many parameters');
is(refused('location = / { prom_proxy_status address=$host:1; }'), 'taken',
    'an address with a variable');

$nginx->finish(qr{/targets:2:});

done_testing();
