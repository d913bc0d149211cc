#!/usr/bin/perl

# t/46-poll-clients.t: the list of poll clients, and PushProx's metrics

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use Http qw(connection request);
use Nginx;
use Poll;

my $slow = $ENV{MP_SLOW};
my $many = $slow ? 600 : 1500;

my $nginx = Nginx->new;
my $port = free_port();

$nginx->configure(targets => '', http => poll_http(port => $port,
    zone => 'poll 4m', server => <<'END'))->start;
location = /metrics { prom_poll_metrics; }
location = /limited { limit_rate 8m; prom_poll_clients; }
END


sub clients {
    my ($path) = @_;

    return request($port, path => $path // '/clients');
}


# [ name, labels ] of each

sub listed {
    my $answer = clients(@_);
    my $groups = eval { decode_json($answer->{body}) } // [];

    return [ map { [ "@{ $_->{targets} }", $_->{labels} ] } @$groups ];
}


sub hold {
    my ($name, %o) = @_;

    my $s = poll($port, $name, %o);
    await(sub { grep { $_->[0] eq lc $name } @{ listed() } });

    return $s;
}


# the list

{
    my $answer = clients();

    is("$answer->{status} $answer->{body}", "200 []\n",
        'without a client, the list is empty');
    is($answer->{headers}{'content-type'}, 'application/json', 'it is JSON');

    my $first = hold('c1.example');
    is(clients()->{body},
        qq([{"targets":["c1.example"],"labels":{}}]\n),
        'a client is listed as PushProx has it, with labels that aren\'t null');

    my $second = hold('B.example:9100', labels => 'env="prod",'
        . 'team="a \"b\" \\\\ c",' . qq(zone="\xc3\xa9",job="no",__x="no"));

    is_deeply(listed(), [
        [ 'b.example:9100', { env => 'prod', team => 'a "b" \\ c',
            zone => "\x{e9}" } ],
        [ 'c1.example', {} ],
    ], 'with its port if it has one in its name, and its labels');

    my $head = request($port, method => 'HEAD', path => '/clients');
    is("$head->{status} $head->{body}", '200 ', 'HEAD has no body');
    is(request($port, method => 'POST', path => '/clients', body => 'x')
        ->{status}, 405, 'POST is refused');

    close $first;
    close $second;

    is(scalar @{ listed() }, 2, 'clients that have gone stay for a while');
}

# many, each once, and in order

{
    my $s = connection($port);

    for (1 .. $many) {
        poll($port, sprintf('many-%05d', $_), on => $s, wait => 0);
        $s = connection($port) unless handed($s)->{headers}{connection}
            =~ /keep-alive/;
    }

    for my $path ('/clients', '/limited') {
        my @found = map { $_->[0] } @{ listed($path) };

        is(scalar @found, $many + 2, "$path: $many clients are listed");
        is("@found", join(' ', sort @found), 'in order');
    }
}

# metrics

{
    my $poll = hold('c2.example');
    my $scrape = scrape($port, 'http://c2.example/metrics', timeout => 10);
    my $got = handed($poll);

    push_answer($port, $got->{id});
    is(scraped($scrape)->{status}, 200, 'a scrape');
    is(push_answer($port, $got->{id})->{status}, 500, 'a push too many');
    is(ask($port, 'http://none.example/metrics')->{status}, 503,
        'a scrape for nobody');

    my $answer = request($port, path => '/metrics');
    my %value = $answer->{body} =~ /^([^#\s]\S*) (\S+)$/mg;

    is($answer->{headers}{'content-type'},
        'text/plain; version=0.0.4; charset=utf-8', 'metrics are text');

    is($value{'pushprox_http_requests_total{code="200",path="/poll"}'}, 1,
        'polls are counted');
    is($value{'pushprox_http_requests_total{code="204",path="/poll"}'}, $many,
        'by status');
    is($value{'pushprox_http_requests_total{code="200",path="/push"}'}, 1,
        'pushes');
    is($value{'pushprox_http_requests_total{code="500",path="/push"}'}, 1,
        'refused ones, too');
    cmp_ok($value{'pushprox_http_requests_total{code="200",path="/clients"}'},
        '>', 5, 'lists');
    is($value{'pushprox_http_requests_total{code="200",path="/metrics"}'}, 0,
        'what PushProx has from the start is there');
    is($value{'pushproxy_proxied_requests_total{code="200"}'}, 1, 'scrapes');
    is($value{'pushproxy_proxied_requests_total{code="503"}'}, 1,
        'by status, too');
    is($value{pushprox_proxy_clients}, $many + 3, 'clients');

    my $polls = $many + 1 + ($value{
        'pushprox_http_requests_total{code="499",path="/poll"}'} // 0);

    is($value{'pushprox_http_duration_seconds_count{path="/poll"}'}, $polls,
        'the time of all polls is known');
    is($value{'pushprox_http_duration_seconds_bucket{path="/poll",le="+Inf"}'},
        $polls, 'in buckets');
    cmp_ok($value{'pushprox_http_duration_seconds_bucket{path="/poll",'
        . 'le="0.005"}'}, '<=', $polls, 'that are those of PushProx');
    like($value{'pushprox_http_duration_seconds_sum{path="/poll"}'},
        qr/^\d+(\.\d+)?$/, 'with a sum');

    my %type = $answer->{body} =~ /^# TYPE (\S+) (\S+)$/mg;
    is_deeply(\%type, {
        pushprox_http_requests_total => 'counter',
        pushproxy_proxied_requests_total => 'counter',
        pushprox_http_duration_seconds => 'histogram',
        pushprox_proxy_clients => 'gauge',
    }, 'under the names that PushProx has');

    my $again = request($port, path => '/metrics')->{body};
    like($again,
        qr/^pushprox_http_requests_total\{code="200",path="\/metrics"\} 1$/m,
        'the page counts itself');

    SKIP: {
        skip 'no promtool', 1 unless $ENV{MP_PROMTOOL};

        my $file = $nginx->write('metrics', $again);
        my $said = `$ENV{MP_PROMTOOL} check metrics < $file 2>&1`;
        is($? >> 8, 0, 'promtool can read it') or diag($said);
    }
}

# configuration

for ([ 'location = /x { prom_poll_clients; prom_poll_clients; }',
        '"prom_poll_clients" directive is duplicate' ],
    [ 'location = /x { prom_poll_clients; prom_poll_metrics; }',
        '"prom_poll_metrics" directive has another page beside' ])
{
    my ($server, $line) = @$_;

    my $other = Nginx->new->configure(targets => '', http => poll_http(
        port => free_port(), server => $server));
    my ($status, $said) = $other->check;

    like("$status $said", qr/^1 .*\Q$line\E/s, $line);
    $other->stop;
}

{
    my $other = Nginx->new->configure(targets => '', server =>
        'location = /clients { prom_poll_clients; }');
    my ($status, $said) = $other->check;

    like("$status $said", qr/^1 .*"prom_poll_clients" in location "\/clients" (?#
        )needs a "prom_poll_zone"/s, 'without a zone there is no list');
    $other->stop;
}

$nginx->finish;

done_testing();
