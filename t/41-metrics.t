#!/usr/bin/perl

# The page of own metrics: right numbers after known scrapes, in both formats
# that Prometheus asks for, and streamed however many targets there are.

use warnings;
use strict;

use File::Temp;
use FindBin;
use IO::Uncompress::Gunzip qw(gunzip);
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);

use Backend;
use Http;
use Nginx;

my $body = "x 1\n" x 250;
my $text = 'text/plain; version=0.0.4; charset=utf-8';
my $openmetrics = 'application/openmetrics-text; version=1.0.0; '
    . 'charset=utf-8';


# What Prometheus 2.53 and 3.x send.

my $prometheus2 = 'application/openmetrics-text;version=1.0.0;q=0.5,'
    . 'application/openmetrics-text;version=0.0.1;q=0.4,'
    . 'text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
my $prometheus3 = 'application/vnd.google.protobuf;'
    . 'proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,'
    . 'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,'
    . 'application/openmetrics-text;version=0.0.1;q=0.4,'
    . 'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,'
    . 'text/plain;version=0.0.4;q=0.2,*/*;q=0.1';


# A backend that answers with a status and the body, and keeps connections.

sub answering {
    my ($status, $delay) = @_;

    return Backend->new(answer => sub {
        my ($s) = @_;
        sleep $delay if $delay;
        print $s "HTTP/1.1 $status Whatever\r\nContent-Type: text/plain\r\n"
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
        $s->flush;
        return 1;
    });
}


# The families of a page, in its order, and its samples as they are written;
# complaints about what no page may have.

sub parse {
    my ($page, $om) = @_;

    my (@complaints, @families, %family, %samples);
    my $ended = 0;

    push @complaints, 'no newline at the end' if $page !~ /\n\z/;

    for my $line (split /\n/, $page) {
        push @complaints, "behind the end: $line" if $ended;

        if ($line eq '# EOF' && $om) {
            $ended = 1;
            next;
        }

        if ($line =~ /^# (HELP|TYPE|UNIT) (\w+) (\S.*)$/) {
            my ($what, $name, $value) = ($1, $2, $3);

            push @families, $family{$name} = { name => $name }
                unless $family{$name};
            push @complaints, "$what of $name twice"
                if exists $family{$name}{$what};
            push @complaints, "$name is not the last family"
                if $families[-1]{name} ne $name;

            $family{$name}{$what} = $value;
            $family{$name}{lines} .= substr $what, 0, 1;
            next;
        }

        my $label = qr/[a-z_]+="(?:[^"\\\n]|\\["\\n])*"/;

        if ($line !~ /^(\w+)(\{$label(?:,$label)*\})? (\d+(?:\.\d*[1-9])?)$/) {
            push @complaints, "not a sample: $line";
            next;
        }

        my ($name, $labels, $value) = ($1, $2 // '', $3);
        my $current = $families[-1];
        my $suffix = !$current ? 'none'
            : $current->{TYPE} eq 'histogram' ? '_(?:bucket|sum|count)'
            : !$om ? ''
            : $current->{TYPE} eq 'counter' ? '_total'
            : $current->{TYPE} eq 'info' ? '_info' : '';

        push @complaints, "not of the family above: $line"
            if $name !~ /^\Q$current->{name}\E$suffix$/;
        push @complaints, "twice: $line" if exists $samples{"$name$labels"};

        $samples{"$name$labels"} = $value;
        $current->{samples}++;
    }

    for my $family (@families) {
        my $lines = !$om ? 'HT' : exists $family->{UNIT} ? 'TUH' : 'TH';

        push @complaints, "$family->{name}: its lines are $family->{lines}"
            if $family->{lines} ne $lines;
        push @complaints, "$family->{name} does not end with its unit"
            if exists $family->{UNIT}
                && $family->{name} !~ /_\Q$family->{UNIT}\E$/;
        push @complaints, "$family->{name} lacks its unit"
            if $om && $family->{name} =~ /_(?:seconds|bytes)$/
                && !exists $family->{UNIT};
        push @complaints, "$family->{name}: a counter without _total"
            if !$om && $family->{TYPE} eq 'counter'
                && $family->{name} !~ /_total$/;
    }

    push @complaints, 'no "# EOF"' if $om && !$ended;

    return { complaints => join("\n", @complaints), samples => \%samples,
        families => \@families };
}


my $nginx;


sub page {
    my ($path, $accept) = @_;

    my $r = $nginx->get($path // '/metrics',
        headers => [ defined $accept ? "Accept: $accept" : () ]);

    return { %$r, %{ parse($r->{body}, $accept) } };
}


sub samples {
    my $page = page(@_);

    return { map { substr($_, length 'monitoring_proxy_')
        => $page->{samples}{$_} } keys %{ $page->{samples} } };
}


# A target's samples, without the target and what all names have in front.

sub of {
    my ($target) = @_;

    my $all = samples();
    my %own;

    for (keys %$all) {
        my $key = s/target="\Q$target\E",?//r =~ s/\{\}$//r;
        $own{$key =~ s/^target_//r} = $all->{$_} if $key ne $_;
    }

    return \%own;
}


sub scrapes {
    my ($samples) = @_;

    return join ' ', map { $samples->{"scrapes_total{code=\"$_\"}"} // '-' }
        qw(aborted 1xx 2xx 3xx 4xx 5xx);
}


sub buckets {
    my ($samples) = @_;

    return map { $samples->{"scrape_duration_seconds_bucket{le=\"$_\"}"} }
        qw(0.01 0.05 0.1 0.5 1 5 10 +Inf);
}


# before anything is loaded

$nginx = Nginx->new;
$nginx->configure(registry => 'prom_proxy_targets %%DIR%%/none optional;',
    server => 'location = /metrics { prom_proxy_metrics; }')->start;

my $page = page();
is($page->{status}, 200, 'there are metrics before there are targets');
is($page->{complaints}, '', 'a valid page');
is(scalar(grep { $_->{name} =~ /proxy_target_/ } @{ $page->{families} }), 0,
    'with no family that each target has');

my $s = samples();
is(join(' ', map { $s->{$_} // '-' } qw(targets targets_up targets_down
    targets_unscraped)), '0 0 0 0', 'no targets');
is(scrapes($s), '0 0 0 0 0 0', 'no scrapes');

$nginx->finish;

# known scrapes

my $dead = Nginx::free_port();
my %backend = (
    ok => answering(200),
    slow => answering(200, 0.2),
    missing => answering(404),
    broken => answering(500),
    hangs => Backend->new(answer => sub { sleep 60 }),
    half => Backend->new(answer => sub {
        my ($s) = @_;
        print $s "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx 1\n";
        $s->flush;
        return 0;
    }),
);

$nginx = Nginx->new;
$nginx->configure(targets => <<"END", server => <<'CONF')->start;
localhost:$dead dead
@{[ map { '127.0.0.1:' . $backend{$_}->port . " $_\n" } sort keys %backend ]}
localhost:9 site/never.1 team="a \\"b\\""
END
location = /metrics { prom_proxy_metrics; }
location = /few { prom_proxy_metrics per_target=off; }
location = /inside {
    prom_proxy_metrics per_target=off;
    if ($arg_x) { set $y 1; }
}
location = /many { prom_proxy_metrics per_target=on; }
location = /gzip {
    charset utf-8;
    gzip on;
    gzip_types text/plain application/openmetrics-text;
    prom_proxy_metrics;
}
CONF

$s = samples();
is($s->{targets}, 8, 'the number of targets');
is($s->{targets_unscraped}, 8, 'none was scraped');
ok(!exists $s->{'target_up{target="ok"}'},
    'a target is neither up nor down before its first scrape');
ok(!exists $s->{'target_last_success_age_seconds{target="ok"}'},
    'and has no last success');

$nginx->get('/ok/metrics') for 1 .. 3;
$nginx->get('/slow/metrics') for 1 .. 2;
$nginx->get('/missing/metrics') for 1 .. 2;
$nginx->get("/$_/metrics") for qw(broken dead half);

my $socket = Http::connection($nginx->port);
Http::send_request($socket, path => '/hangs/metrics');
Nginx::await(sub { $backend{hangs}->requests });
close $socket;

ok(Nginx::await(sub { samples()->{targets_unscraped} == 1 }),
    'all but one were scraped');

$s = samples();
is($s->{targets_up}, 2, 'targets that are up');
is($s->{targets_down}, 5, 'targets that are down');

my %own = map { $_ => of($_) } qw(dead ok slow missing broken hangs half
    site/never.1);

is(scrapes($own{ok}), '0 0 3 0 0 0', '200s');
is(scrapes($own{missing}), '0 0 0 0 2 0', '404s');
is(scrapes($own{broken}), '0 0 0 0 0 1', 'a 500 of the exporter');
is(scrapes($own{dead}), '0 0 0 0 0 1', 'a dead target');
is(scrapes($own{hangs}), '1 0 0 0 0 0', 'a scrape that was given up');
is(scrapes($own{'site/never.1'}), '0 0 0 0 0 0', 'never scraped');

is(join(' ', map { "$_:" . ($own{$_}{up} // '-') } sort keys %own),
    'broken:0 dead:0 half:0 hangs:0 missing:0 ok:1 site/never.1:- slow:1',
    'up is 1 only where a 200 came, whole');

is($own{ok}{scrape_body_bytes_total}, 3 * length $body, 'bytes of bodies');
is($own{ok}{'connections_total{state="new"}'}, 1, 'one connection');
is($own{ok}{'connections_total{state="reused"}'}, 2, 'used again twice');

my @buckets = buckets($own{ok});
is(scalar(grep { defined } @buckets), 8, 'all buckets are there');
is("@buckets", join(' ', sort { $a <=> $b } @buckets),
    'buckets are cumulative');
is($buckets[-1], 3, 'the last one has all scrapes');
is($own{ok}{scrape_duration_seconds_count}, 3, 'as the count');

@buckets = buckets($own{slow});
is("@buckets[0 .. 2] $buckets[-1]", '0 0 0 2',
    '200 ms are in no bucket up to 0.1');
like($own{slow}{scrape_duration_seconds_sum}, qr/^\d+(?:\.\d{1,3})?$/,
    'the sum has milliseconds');
cmp_ok($own{slow}{scrape_duration_seconds_sum}, '>=', 0.4,
    'and is that of both');

cmp_ok($own{ok}{last_success_age_seconds}, '<', 60, 'seconds since a success');
ok(!exists $own{dead}{last_success_age_seconds},
    'none where there never was one');

# totals

my @codes = map { my $code = $_; my $sum = 0;
    $sum += $_->{"scrapes_total{code=\"$code\"}"} for values %own; $sum }
    qw(aborted 1xx 2xx 3xx 4xx 5xx);

is(scrapes($s), "@codes", 'the totals are the sums of all targets');
is($s->{scrape_duration_seconds_count}, 11, 'in the histogram too');

for my $name (qw(scrape_body_bytes_total connections_total{state="new"}
    connections_total{state="reused"}))
{
    my $sum = 0;
    $sum += $_->{$name} for values %own;
    is($s->{$name}, $sum, "the total of $name is the sum");
}

# the registry

is($s->{zone_size_bytes}, 8 << 20, 'the size of the zone');
cmp_ok($s->{zone_used_bytes}, '>', 0, 'something of it is used');
cmp_ok($s->{zone_used_bytes}, '<', 8 << 20, 'not all of it');
cmp_ok($s->{zone_targets_max}, '>', 1000, 'it has room for more');
is($s->{targets_last_reload_successful}, 1, 'a good start is a success');
cmp_ok(abs(time - $s->{targets_last_reload_success_timestamp_seconds}), '<',
    300, 'when it was');
cmp_ok($s->{targets_last_reload_duration_seconds}, '<', 60, 'it took a while');
is($s->{'targets_reloads_total{result="success"}'}, 0,
    'the start is not counted as a reload');

my $version = `$ENV{MP_NGINX} -v 2>&1` =~ m{nginx/(\S+)} ? $1 : '';
ok((grep { /^build_info\{version="\d+\.\d+\.\d+",nginx="\Q$version\E"\}$/ }
    keys %$s), 'the versions of both');

# both formats

$page = page();
is($page->{headers}{'content-type'}, $text, "text's Content-Type");
is($page->{complaints}, '', 'text: a valid page');
is(scalar(grep { !$_->{HELP} || !$_->{TYPE} } @{ $page->{families} }), 0,
    'text: each family has HELP and TYPE');

my $open = page('/metrics', $prometheus2);
is($open->{headers}{'content-type'}, $openmetrics,
    "OpenMetrics' Content-Type");
is($open->{complaints}, '', 'OpenMetrics: a valid page');
is(scalar(grep { /le="\d+"/ } keys %{ $open->{samples} }), 0,
    "OpenMetrics: histograms' bounds have a point");

sub same {
    my ($samples) = @_;

    return { map { (s/(le="\d+)\.0"/$1"/r) => /_age_/ ? 0 : $samples->{$_} }
        keys %$samples };
}

is_deeply(same($open->{samples}), same($page->{samples}),
    'both formats say the same');

SKIP: {
    skip 'promtool: MP_PROMTOOL is not set', 1 unless $ENV{MP_PROMTOOL};

    my $file = File::Temp->new;
    print $file $page->{body};
    $file->flush;

    my $said = `$ENV{MP_PROMTOOL} check metrics < $file 2>&1`;
    is("$?: $said", '0: ', 'promtool check metrics');
}

# negotiation

my @accept = (
    [ $openmetrics, 'Prometheus 2', $prometheus2 ],
    [ $openmetrics, 'Prometheus 3', $prometheus3 ],
    [ $openmetrics, 'no version', 'application/openmetrics-text' ],
    [ $openmetrics, 'white space and case', "text/html , \t"
        . 'Application/OpenMetrics-Text ; Version=1.0.0 ; Q=0.7' ],
    [ $openmetrics, 'two headers', 'text/plain;q=0.1',
        'application/openmetrics-text;q=0.2' ],
    [ $text, 'no header' ],
    [ $text, 'an empty one', '' ],
    [ $text, 'anything', '*/*' ],
    [ $text, 'a browser', 'text/html,application/xml;q=0.9,*/*;q=0.8' ],
    [ $text, 'text first', 'application/openmetrics-text;q=0.5,'
        . 'text/plain;version=0.0.4;q=0.9' ],
    [ $text, 'a later version', 'application/openmetrics-text;version=2.0.0' ],
    [ $text, 'an older one', 'application/openmetrics-text;version=0.0.1' ],
    [ $text, 'OpenMetrics refused', 'application/openmetrics-text;q=0,*/*' ],
    [ $text, 'nothing that we have', 'application/json' ],
    [ $text, 'a longer type', 'application/openmetrics-texts' ],
    [ $text, 'nonsense', ',;q=1;,application/openmetrics-text;q=x;;,;' ],
    [ $text, 'much', 'a/b;q=0.1,' x 300 ],
);

for (@accept) {
    my ($type, $what, @values) = @$_;
    my $r = $nginx->get('/metrics', headers => [ map { "Accept: $_" }
        @values ]);

    is($r->{headers}{'content-type'}, $type, "Accept: $what");
    is($r->{headers}{vary}, 'Accept', 'Vary: Accept');
}

# what nginx does to it

for (['*/*', $text], [$prometheus3, $openmetrics]) {
    my ($accept, $type) = @$_;
    my $r = $nginx->get('/gzip',
        headers => [ "Accept: $accept", 'Accept-Encoding: gzip' ]);

    is($r->{headers}{'content-encoding'}, 'gzip', "gzip: $type");
    is($r->{headers}{'content-type'}, $type, 'gzip: with its type, once');
    gunzip(\$r->{body}, \my $plain);
    is(parse($plain, $type eq $openmetrics)->{complaints}, '',
        'gzip: a valid page');
}

# methods

my $head = $nginx->get('/metrics', method => 'HEAD',
    headers => [ "Accept: $prometheus2" ]);
is($head->{status}, 200, 'HEAD');
is($head->{headers}{'content-type'}, $openmetrics, 'HEAD: the type of GET');
is($head->{body}, '', 'HEAD: no body');

is($nginx->get('/metrics', method => 'POST', body => 'x')->{status}, 405,
    'POST is not allowed');
is($nginx->get('/metrics')->{status}, 200, 'GET is');

# per_target

$page = page('/few');
is($page->{complaints}, '', 'per_target=off: a valid page');
is(scalar(grep { $_->{name} =~ /proxy_target_/ } @{ $page->{families} }), 0,
    'per_target=off: no family that each target has');
is($page->{samples}{monitoring_proxy_targets_up}, 2,
    'per_target=off: targets are counted');
unlike($nginx->get('/inside?x=1')->{body}, qr/^monitoring_proxy_target_/m,
    'per_target=off holds inside of "if" too');
is(page('/many')->{samples}{'monitoring_proxy_target_up{target="ok"}'}, 1,
    'per_target=on: as without it');

$nginx->finish;

# a reload that fails

$nginx = Nginx->new;
$nginx->configure(targets => "localhost:1 one\nlocalhost:2 two\n",
    registry => 'prom_proxy_targets %%DIR%%/targets interval=20ms;',
    server => <<'CONF')->start;
location = /metrics { prom_proxy_metrics; }
CONF

my $file = $nginx->write('targets', "localhost:1 one\nlocalhost:2 a\"\\b\n");
ok(Nginx::await(sub { !samples()->{targets_last_reload_successful} }),
    'a bad file is a failure');

$s = samples();
is($s->{'targets_reloads_total{result="failure"}'}, 1, 'it is counted');
is($s->{targets}, 2, 'the targets stay');

my ($info) = grep { /^targets_last_reload_error_info/ } keys %$s;
my ($reason) = ($info // '') =~ /^\w+\{reason="(.*)"\}$/;

$reason =~ s/\\(.)/$1/g;
like($reason, qr/^\Q$file\E:2:\d+: name "a.*" has/,
    'the reason, with its place');
ok(Nginx::await(sub { $nginx->log =~ /: \Q$reason\E$/m }),
    'it is what the log says');
is($s->{$info}, 1, 'its value is 1');
is(page('/metrics', $prometheus2)->{complaints}, '',
    'OpenMetrics: a valid page');

$nginx->write('targets', "localhost:1 one\n");
ok(Nginx::await(sub { samples()->{targets} == 1 }), 'a good one follows');

$s = samples();
is($s->{targets_last_reload_successful}, 1, 'it is a success');
is($s->{'targets_reloads_total{result="success"}'}, 1, 'which is counted');
is($s->{'targets_reloads_total{result="failure"}'}, 1, 'beside the failure');
ok(!(grep { /error_info/ } keys %$s), 'there is no reason any more');

$nginx->finish;

# one that Prometheus would refuse, and all of the page with it

my $name = "t\xc3\xa4rg\xe4ts";

$nginx = Nginx->new;
$nginx->write($name, '');
$nginx->configure(registry => "prom_proxy_targets %%DIR%%/$name interval=20ms;",
    server => 'location = /metrics { prom_proxy_metrics; }')->start;

$nginx->write($name, "nonsense\n");
ok(Nginx::await(sub { $nginx->get('/metrics')->{body}
    =~ m{reason="[^"]*/t\xc3\xa4rg\?ts:1:} }), 'what is not UTF-8 is replaced');

$nginx->finish;

# many targets

my $count = $ENV{MP_SLOW} ? 5_000 : 20_000;

sub many { join '', map { "localhost:1 site-$_[0]/host-$_\n" } 1 .. $count }

$nginx = Nginx->new;
$nginx->configure(targets => many('a'), zone => '64m',
    registry => 'prom_proxy_targets %%DIR%%/targets interval=20ms;',
    server => <<'CONF')->start;
send_timeout 300s;
location = /metrics { prom_proxy_metrics; }
location = /few { prom_proxy_metrics per_target=off; }
location = /inside {
    prom_proxy_metrics per_target=off;
    if ($arg_x) { set $y 1; }
}
location = /fixed { return 200 ok; }
CONF


# Memory of the worker's own, in kB.

sub memory {
    my ($worker) = $nginx->workers;

    return Nginx::slurp("/proc/$worker/status") =~ /^RssAnon:\s+(\d+) kB/m
        ? $1 : 0;
}


sub start_page {
    my $s = Http::connection($nginx->port);
    Http::send_request($s,
        raw => "GET /metrics HTTP/1.1\r\nHost: proxy\r\n"
            . "Accept: $prometheus2\r\nConnection: close\r\n\r\n");

    return $s;
}


# Reads on to the end; the number of lines, the last bytes, and the most that
# the worker took.

sub drain {
    my ($s) = @_;

    my ($lines, $tail, $most) = (0, '', 0);

    while (sysread $s, my $bytes, 1 << 20) {
        my $memory = memory();

        $lines += $bytes =~ tr/\n//;
        $tail = substr $tail . $bytes, -20;
        $most = $memory if $memory > $most;
    }

    return ($lines, $tail, $most);
}


page('/few');
my $before = memory();
my $slow = start_page();

sysread $slow, my $first, 1;

# that page's reader waits now, with most of it unsent

is($nginx->get('/fixed')->{body}, 'ok', 'other requests are answered');
is(page('/few')->{samples}{monitoring_proxy_targets_unscraped}, $count,
    'all targets are counted');

my ($lines, $tail, $most) = drain($slow);
cmp_ok($lines, '>', 19 * $count, "a page of $count targets");
like($tail, qr/# EOF\n\r\n0\r\n\r\n\z/, 'it is whole');

SKIP: {
    skip 'memory: is not measured under a sanitizer or valgrind', 1
        if $ENV{MP_SLOW};

    cmp_ok($most - $before, '<', 1024,
        'it takes no more memory than a small one')
        or diag "from $before to $most kB";
}

# nginx is reloaded while their page is sent

$slow = start_page();
sysread $slow, $first, 1;
$nginx->signal('HUP');

($lines, $tail) = drain($slow);
like($tail, qr/# EOF\n\r\n0\r\n\r\n\z/,
    'a page comes to its end in a worker that is to go');

# targets are replaced while their page is sent

$slow = start_page();
sysread $slow, $first, 1;

$nginx->write('targets', many('b'));
ok(Nginx::await(sub { page('/few')->{samples}
    {'monitoring_proxy_targets_reloads_total{result="success"}'} == 1 }),
    'other targets');

($lines, $tail) = drain($slow);
like($tail, qr/# EOF\n\r\n0\r\n\r\n\z/,
    'a page goes on with the targets that it began with');

$slow = start_page();
sysread $slow, $first, 1;

for my $reload (2, 3) {
    $nginx->write('targets', many($reload));
    ok(Nginx::await(sub { page('/few')->{samples}
        {'monitoring_proxy_targets_reloads_total{result="success"}'}
            == $reload }), 'other targets again');
}

($lines, $tail) = drain($slow);
unlike($tail, qr/0\r\n\r\n\z/,
    'a page whose targets are gone breaks off, and its reader can tell');

$nginx->finish;

# mistakes

sub refused {
    my ($directives, $pattern, $what) = @_;

    my $nginx = Nginx->new;
    $nginx->configure(targets => '',
        server => "location = /metrics { $directives }");
    my ($status, $said) = $nginx->check;

    isnt($status, 0, "$what: refused");
    like($said, $pattern, "$what: says why");

    return $nginx->stop;
}

refused('prom_proxy_metrics per_target=maybe;',
    qr/\[emerg\] invalid value "per_target=maybe" in "prom_proxy_metrics" /,
    'a wrong value');
refused('prom_proxy_metrics per_target=;',
    qr/directive, it must be "per_target=on" or "per_target=off" in \S+:\d+$/m,
    'no value');
refused('prom_proxy_metrics on;',
    qr/invalid value "on" in "prom_proxy_metrics" directive/,
    'a parameter that is none');
refused('prom_proxy_metrics per_target=on per_target=on;',
    qr/invalid number of arguments in "prom_proxy_metrics" directive/,
    'two parameters');
refused('prom_proxy_metrics; prom_proxy_metrics;',
    qr/"prom_proxy_metrics" directive is duplicate/, 'twice');

$nginx = Nginx->new;
$nginx->write('nginx.conf', <<"END");
load_module $ENV{MP_MODULE};
pid %%DIR%%/nginx.pid;
events { }
http {
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /metrics { prom_proxy_metrics; }
    }
}
END

my ($status, $said) = $nginx->check;
isnt($status, 0, 'without a zone: refused');
like($said, qr/"prom_proxy_metrics" needs a "prom_proxy_zone"/,
    'without a zone: says why');
$nginx->stop;

done_testing();
