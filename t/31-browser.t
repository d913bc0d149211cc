#!/usr/bin/perl

# t/31-browser.t: the status page as people meet it, in a real browser: they
# search, sort and open rows, and it stays up to date under their hands
#
# Screenshots are kept if MP_KEEP names a directory for them.

use warnings;
use strict;

use File::Path qw(make_path);
use File::Temp;
use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Board;
use Browser;
use Nginx;

my $pictures = $ENV{MP_KEEP} || ($ENV{MP_TMP}
    || File::Temp::tempdir(TMPDIR => 1, CLEANUP => 1)) . '/screenshots';
make_path($pictures);
diag("screenshots are in $pictures");

my $nginx = Nginx->new;
my $dir = $nginx->dir;

# answers in 5 to 45 ms, and with 500 once there is a file "broken"

my $number = 0;
my $target = Backend->new(answer => sub {
    my ($s, $request) = @_;
    my $status = -e "$dir/broken" ? '500 Oops' : '200 OK';
    my $body = "up 1\n" x 400;

    sleep 0.005 * (1 + $number++ * 5 % 9);
    print $s "HTTP/1.1 $status\r\nContent-Length: " . length($body)
        . "\r\n\r\n$body";
    $s->flush;
    return 1;
});

my $port = $target->port;
my $dead = free_port();
my @sites = qw(amsterdam frankfurt london new-york);

my $targets = join '', map { sprintf "%s %s/host-%02d env=%s team=\"%s\"\n",
    $_ % 7 == 3 ? "localhost:$dead" : "127.0.0.1:$port",
    $sites[$_ % 4], $_, $_ % 3 ? 'prod' : 'staging',
    $_ % 2 ? 'data base' : 'web' } 1 .. 70;

# what must not act, and what must not widen the page

$targets .= "127.0.0.1:$port evil a=\"<script>window.hacked = 1</script>\" "
    . "b=\"\\\"'><img src=x onerror='window.hacked = 1'>\"\n"
    . "127.0.0.1:$port " . 'w' x 255 . ' long=' . 'x' x 2000 . "\n";

$nginx->configure(workers => 1, zone => '64m', server => 'location = / '
    . '{ prom_proxy_status; }',
    registry => 'prom_proxy_targets %%DIR%%/targets optional;')->start;

my $browser = Browser->new;
my $url = 'http://127.0.0.1:' . $nginx->port . '/';

sub picture { $browser->screenshot("$pictures/$_[0].png") }

sub scrape { $nginx->get("/$_[0]/metrics") }

sub row { return "document.querySelector('tr[data-name=\"$_[0]\"]')" }

sub rows { return $browser->js('document.querySelectorAll("tbody tr").length') }

sub first { return $browser->js('document.querySelector("tbody tr")'
    . '.dataset.name') }

sub overflow { return $browser->js('document.documentElement.scrollWidth'
    . ' - document.documentElement.clientWidth') }

# Colours that are hard to read: the contrast of each text with what is behind
# it, where that is below 4.5.

my $unreadable = <<'END';
(() => {
  const parse = (c) => c.match(/[\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = c.map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const bad = new Set();
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 &&
      n.data.trim());
    if (!own || !e.checkVisibility()) continue;
    const a = light(parse(getComputedStyle(e).color).slice(0, 3));
    const b = light(back(e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) bad.add(e.tagName + '.' + e.className + ' ' +
      contrast.toFixed(2));
  }
  return [...bad].join(', ');
})()
END


# before there is anything to show

$browser->window(width => 1280, height => 900);
$browser->visit($url);

like($browser->js('document.querySelector("main").innerText'),
    qr/No targets are loaded yet/, 'an empty proxy says what to do');
picture('empty');

$nginx->write('targets', $targets);
ok($browser->await('document.querySelectorAll("tbody tr").length == 50', 30),
    'targets appear without a reload');

for my $round (1 .. 60) {
    scrape(sprintf '%s/host-%02d', $sites[$_ % 4], $_) for 1 .. 12;
}

scrape($_) for 'evil', 'w' x 255;


# the search filters while it is typed

$browser->js('window.same = true');
my $entries = $browser->js('history.length');

$browser->click('#q');
$browser->type('FRANK');

ok($browser->await('[...document.querySelectorAll("tbody tr")].every('
    . 'r => r.dataset.name.startsWith("frankfurt"))'), 'typing filters');
is(rows(), 18, 'all that match are there');
is($browser->js('document.getElementById("q").value'), 'FRANK',
    'what was typed stays');
is($browser->js('document.activeElement.id'), 'q', 'so does the focus');
is($browser->js('location.search'), '?q=FRANK', 'the address has the search');
is($browser->js('history.length'), $entries, 'and the history isn\'t filled');

$browser->js('document.getElementById("q").select()');
$browser->type('no such thing');
ok($browser->await('document.getElementById("found").innerText'
    . '.startsWith("No target matches")'), 'nothing found is told');
picture('nothing-found');

$browser->js('document.getElementById("q").select()');
$browser->press('Backspace', 8);
ok($browser->await('document.querySelectorAll("tbody tr").length == 50'),
    'without a search all are back');
is($browser->js('location.search'), '', 'also in the address');
ok($browser->js('window.same'), 'and the page was never left');


# a row opens

my $name = 'amsterdam/host-08';
my $open = row($name) . '.querySelector("details")';

$browser->click("tr[data-name='$name'] summary");
ok($browser->js("$open.open"), 'a click opens a row');

my $svg = "$open.querySelector('svg')";

ok($browser->js("$svg.getBoundingClientRect().width > 300"),
    'its chart is there, and wide');
is($browser->js("$svg.querySelector('.answered').getAttribute('d')"
    . '.split("M").length - 1'), 60, 'with its last 60 scrapes');
like($browser->js("$open.querySelector('figcaption').innerText"),
    qr/^last 60 scrapes\s+min \d+ ms\s+max \d+ ms\s+0 failed$/,
    'and the shortest and longest');
like($browser->js("$open.querySelector('pre').innerText"),
    qr{^- job_name: "\Q$name\E"\n.*targets: \["127\.0\.0\.1:\d+"\]}s,
    'and its lines for Prometheus');
is($browser->js("(() => { const r = $open.querySelector('.more')"
    . '.getBoundingClientRect(); return r.right <= innerWidth; })()'), 1,
    'all of it is in the window');
picture('open-light');


# live refresh: a new failure comes by itself, and nothing is lost

$browser->js("$open.querySelector('summary').focus()");
$browser->js("getSelection().selectAllChildren($open.querySelector('pre'))");
$browser->js("window.row = " . row($name));
$nginx->write('broken', '');
scrape($name);

ok($browser->await(row($name) . '.className == "down"', 30),
    'a failed scrape shows without a reload');
ok($browser->js('window.same'), 'really without one');
is($browser->js(row($name) . '.querySelector(".error").innerText'), 'HTTP 500',
    'with its reason');
ok($browser->js("$open.open"), 'the row is still open');
ok($browser->js('window.row === ' . row($name)), 'and the same element');
is($browser->js("$svg.querySelector('.failed').getAttribute('d')"
    . '.split("M").length - 1'), 1, 'its chart has the failure');
like($browser->js("getComputedStyle($svg.querySelector('.failed')).fill"),
    qr/^rgb\(1[5-9]\d, [0-5]\d, [0-5]\d\)$/, 'in red');
is($browser->js("document.activeElement === $open.querySelector('summary')"),
    1, 'the focus is where it was');
like($browser->js('getSelection().toString()'), qr/^- job_name/,
    'and what was selected is');
is($browser->js('document.querySelector("#counts .down b").innerText'), 3,
    'the counts have it too');
unlink "$dir/broken";

# a search that is being typed survives a refresh

$browser->click('#q');
$browser->type('staging');
ok($browser->await('location.search == "?q=staging"'), 'a search');
scrape($name);
ok($browser->await('document.querySelector("#counts .down b").innerText == 2',
    30), 'goes on through a refresh');
is($browser->js('document.getElementById("q").value + '
    . 'document.activeElement.id'), 'stagingq', 'with its text and focus');


# a hidden page asks for nothing, and one that is seen again at once

sub asked { return scalar grep { $_ eq "$url?q=staging" } $browser->requests }

sub hidden {
    my ($hidden) = @_;

    $browser->js("Object.defineProperty(document, 'hidden', "
        . "{ value: $hidden, configurable: true })");
    $browser->js('document.dispatchEvent(new Event("visibilitychange"))');
}

hidden('true');
my $asked = asked();
my $end = time + 6;
$browser->message($end - time) while time < $end;
is(asked(), $asked, 'a hidden page rests');

hidden('false');
ok(Nginx::await(sub { $browser->js('1'); asked() > $asked }, 3),
    'until it is seen');


# when there is no answer

my @problems = $browser->problems;
$browser->call('Network.emulateNetworkConditions', offline => JSON::PP::true,
    latency => 0, downloadThroughput => -1, uploadThroughput => -1);
ok($browser->await('/^No answer since \d/.test('
    . 'document.querySelector("#live span").innerText)', 20),
    'a proxy that is away is told');
$browser->call('Network.emulateNetworkConditions', offline => JSON::PP::false,
    latency => 0, downloadThroughput => -1, uploadThroughput => -1);
ok($browser->await('document.querySelector("#live span").innerText == "Live"',
    20), 'and that it is back');
$browser->forget;
is("@problems", '', 'no complaint of the console until then');


# sorting

$browser->loads(sub { $browser->click('#counts .all a') });
is($browser->js('location.search'), '', 'a click on the count of all');

$browser->loads(sub { $browser->click('thead th.state a') });
is($browser->js('location.search'), '?sort=state', 'a click on a column sorts');
is($browser->js('document.querySelector("thead .state").ariaSort'),
    'ascending', 'which is told');
is($browser->js(row(first()) . '.className'), 'down', 'what is down is first');
picture('down-first');

$browser->loads(sub { $browser->click('thead th.state a') });
is($browser->js(row(first()) . '.className'), 'up', 'a second click turns it');

$browser->loads(sub {
    $browser->js('document.querySelector("thead .latency a").focus()');
    $browser->press('Enter', 13);
});
is($browser->js('location.search'), '?sort=latency', 'so does the keyboard');

$browser->loads(sub { $browser->click('#pages [rel=next]') });
is($browser->js('location.search'), '?sort=latency&page=2',
    'a page later it is sorted still');
is(rows(), 22, 'with the rest of the rows');


# hostile text

my $attack = '"><script>window.hacked=1</script><img src=x onerror=hacked=1>';

$browser->visit("$url?per=200");
$browser->click('tr[data-name=evil] summary');
$browser->click('#q');
$browser->type($attack);
ok($browser->await('document.getElementById("found").innerText'
    . '.startsWith("No target matches")'), 'hostile text is searched for');
$browser->visit($browser->js('location.href'));
is($browser->js('document.getElementById("q").value'), $attack,
    'and stays text');
is($browser->js('document.querySelectorAll("main script, main img").length'),
    0, 'it becomes no element');
$browser->visit("$url?q=evil");
$browser->click('tr[data-name=evil] summary');
is($browser->js(row('evil') . '.querySelector("dl i").innerText'),
    'a=<script>window.hacked = 1</script>', 'nor does that of labels');
is($browser->js('typeof window.hacked'), 'undefined', 'and nothing acted');
is(join("\n", $browser->problems), '', 'so that the policy had no work');
picture('hostile');

# what would happen if it did

$browser->js('document.body.append(Object.assign('
    . 'document.createElement("script"), { textContent: "hacked = 1" }))');
is($browser->js('typeof window.hacked'), 'undefined',
    'the policy keeps other scripts from running');
ok(Nginx::await(sub {
    $browser->js('1');
    grep { /Content Security Policy/ } $browser->problems;
}), 'and says so');
$browser->forget;


# a file that is refused

$nginx->write('targets', "$targets\nlocalhost:1 a/../b\n");
ok($browser->await('document.querySelector(".failure")', 30),
    'a refused file shows without a reload');
like($browser->js('document.querySelector(".failure").innerText'),
    qr{/targets:74:13: name "a/\.\./b" has}, 'with its place and reason');
ok($browser->js('document.querySelector(".failure")'
    . '.getBoundingClientRect().bottom < 300'), 'above all else');
picture('refused');
$nginx->write('targets', $targets);
ok($browser->await('!document.querySelector(".failure")', 30), 'until it is '
    . 'right');


# dark and light, wide and on a phone

for my $dark (0, 1) {
    my $scheme = $dark ? 'dark' : 'light';

    for my $width (1280, 900, 375) {
        $browser->window(width => $width, height => $width > 400 ? 900 : 812,
            dark => $dark, mobile => $width < 400);
        $browser->visit("$url?sort=last");
        picture("$scheme-$width");

        $browser->click('tr.down summary');
        $browser->click('tr.up summary');
        is(overflow(), 0, "$scheme, $width wide: nothing is cut off");
        is($browser->js($unreadable), '', 'all text can be read');
        picture("$scheme-$width-open");
    }

    my ($sum) = $browser->js('getComputedStyle(document.body)'
        . '.backgroundColor.match(/\d+/g).reduce((a, b) => a + +b, 0)');
    ok($dark ? $sum < 150 : $sum > 600, "$scheme is what was asked for");
}

ok($browser->js('document.querySelector(".latency a").checkVisibility()'),
    'a phone can sort');
is($browser->js('[...document.querySelectorAll("a, button, summary")]'
    . '.filter(e => e.checkVisibility() && !e.closest("dl") &&'
    . 'e.getBoundingClientRect().height < 24).length'), 0,
    'and has no link too small to hit');


# tunnels: another proxy, with hosts that are connected, away and unknown

my $tunnels = Nginx->new;
my $board = Board->new($tunnels->dir . '/board');
my @ports = map { free_port() } 1 .. 3;
my $there = 'http://127.0.0.1:' . $tunnels->port . '/';

$tunnels->write('hosts', "connected - port=$port env=prod\n"
    . "long - port=$ports[0] ports=node:9100,mysqld:9104\n"
    . "away - port=$ports[1]\nnever - port=$ports[2]\n");
$tunnels->configure(targets => "127.0.0.1:$port plain\n", registry =>
    'prom_proxy_targets %%DIR%%/targets; prom_proxy_hosts %%DIR%%/hosts; '
    . 'prom_proxy_tunnels %%DIR%%/board;',
    server => 'location = / { prom_proxy_status; }')->start;

$board->tunnel($port, since => 7_000, logins => 3, address => '192.0.2.200');
$board->tunnel($ports[0], since => 7_000,
    address => '2001:db8:1234:5678:9abc:def0:1234:5678');
$board->tunnel($ports[1], since => 90_000, ended => 86_400);
$board->head(hosts => 4, sessions => 5, shared => 3, logins => 1_000,
    refused => { map { $_ => 123_456 } @Board::reasons });
$tunnels->get("/$_/metrics") for qw(connected away never plain);

for my $dark (0, 1) {
    for my $width (1280, 961, 375) {
        $browser->window(width => $width, height => $width > 400 ? 900 : 812,
            dark => $dark, mobile => $width < 400);
        $browser->visit("$there?sort=tunnel");

        my $scheme = $dark ? 'dark' : 'light';

        cmp_ok($browser->js('Math.max(...[...document.querySelectorAll('
            . '"td.tunnel")].map((e) => { const r = document.createRange();'
            . 'r.selectNodeContents(e);'
            . 'return r.getBoundingClientRect().height; }))'), '<', 45,
            "tunnels, $scheme, $width wide: a cell has two lines at most");
        picture("tunnels-$scheme-$width");

        $browser->click("tr[data-name='$_'] summary")
            for qw(connected away long/node);
        is(overflow(), 0, 'nothing is cut off');
        is($browser->js($unreadable), '', 'all text can be read');
        picture("tunnels-$scheme-$width-open");
    }
}

$board->tunnel($ports[1], since => 0, address => '192.0.2.201');
ok($browser->await(row('away') . '.querySelector(".tunnel").innerText'
    . '.includes("192.0.2.201")', 30), 'a host that comes shows by itself');
$tunnels->finish;
$browser->forget;


# without JavaScript

$browser->window(width => 1280, height => 900);
$browser->call('Emulation.setScriptExecutionDisabled',
    value => JSON::PP::true);
$browser->visit($url);
is($browser->js('document.querySelector("#live").innerText.trim()'), 'Refresh',
    'without a script there is a link');
$browser->click('#q');
$browser->type('london');
$browser->loads(sub { $browser->click('#search button') });
is($browser->js('location.search') . ' ' . rows(), '?q=london 18',
    'and the search works');
$browser->click('tbody summary');
ok($browser->js('document.querySelector("details").open'), 'as do rows');
$browser->call('Emulation.setScriptExecutionDisabled',
    value => JSON::PP::false);


# 50,000 targets

$nginx->write('targets', $targets . join '',
    map { "127.0.0.1:$port many/host-$_ n=$_\n" } 1 .. 49_928);
ok(Nginx::await(sub { $nginx->get('/')->{body} =~ /50,000<\/b> targets/ }, 60),
    '50,000 targets are loaded');

my $start = time;
$browser->visit($url);
my $took = time - $start;

cmp_ok($took, '<', 3, sprintf 'their page comes, in %.0f ms', 1000 * $took);
is($browser->js('document.querySelector("#counts .all b").innerText'),
    '50,000', 'with all of them');
is(rows(), 50, 'in pages');
picture('50000');

$browser->click('#q');
$browser->type('n=49928');
ok($browser->await('document.querySelectorAll("tbody tr").length == 1'),
    'the last one is found by its label');
is(first(), 'many/host-49928', 'it is that one');


# all the time

is(join("\n", $browser->problems), '', 'the console had nothing to complain of');
is(join(' ', grep { !/^(?:\Q$url\E|\Q$there\E|data:|about:|chrome:)/ }
    $browser->requests), '', 'and nothing was asked for elsewhere');

$browser->stop;
$nginx->finish(qr{/targets:74:});

done_testing();
