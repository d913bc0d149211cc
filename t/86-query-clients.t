#!/usr/bin/perl

# t/86-query-clients.t: promtool, Grafana's requests, federation and remote read
# get by the query proxy's image what a real Prometheus answers, and get it on
# while tokens and processes come and go

use warnings;
use strict;

use FindBin;
use IO::Uncompress::Gunzip qw(gunzip);
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await command directory read_file write_file);
use Http qw(connection read_response request send_request);
use Nginx qw(free_port);
use QueryRemote;
use TokenEndpoint;

my $endpoint = TokenEndpoint->new;
my $remote = QueryRemote->new;
my $dir = directory();

chmod 0644, write_file("$dir/ca.crt", read_file($remote->ca));
write_file("$dir/secret", "secret\n");
$endpoint->answer('/token', { json => { access_token => 'token-%n',
    expires_in => 4 } });


# The proxy alone as deploy/compose has it, for a remote's URL and token
# endpoint, and its port.

sub proxy {
    my ($url, $token_url) = @_;

    my $port = free_port();
    my $proxy = Container->run(options => [ '--network', 'host', '--user',
            65534, '--read-only', '--tmpfs', '/run', '--cap-drop', 'ALL',
            '--ulimit', 'nofile=20000', '-v', "$dir:/ca:ro", '-v',
            "$dir/secret:/run/secrets/query:ro" ],
        command => [ 'run', '--prometheus-url', $url, '--ca', '/ca/ca.crt',
            '--auth', 'oauth2', '--token-url', $token_url, '--client-id', 'me',
            '--client-secret-file', '/run/secrets/query', '--port', $port ]);

    return ($proxy, $port);
}


sub answers {
    my ($port, $path, $status) = @_;

    return await(60, sub {
        request($port, path => $path)->{status} == $status });
}

my ($proxy, $port) = proxy($remote->url, $endpoint->url('/token'));
my $api = $remote->api;

ok(answers($port, '/-/ready', 200), 'a proxy with a token')
    or diag $proxy->logs;

like(command('curl', '-s', '-w', '%{http_code}', '--cacert', $remote->ca,
    $remote->url('/api/v1/labels'))->{out}, qr/401\z/,
    'the remote wants one');


# What was some seconds ago doesn't change: all at that time is the same, by the
# proxy or from the remote itself.

ok(await(60, sub { my $r = request($api, path =>
    '/api/v1/query?query=count_over_time(up[10s])>5');
    $r->{body} =~ /"value"/ }), 'the remote has some data');

my $at = int(time) - 2;
my $from = $at - 5;
my $when = "time=$at";
my $span = "start=$from&end=$at";

sub same {
    my ($what, %o) = @_;

    my ($here, $there);

    # unless it has just met a new label

    my $same = await(5, sub {
        ($here, $there) = map { request($_, %o) } $port, $api;
        $here->{status} == 200 && $here->{body} eq $there->{body}
            && length $here->{body};
    });

    ok($same, "$what: as the remote answers")
        or diag("$here->{line}\n$here->{body}\n$there->{body}");

    return $here;
}

for ("query?query=up&$when", "query_range?query=up&$span&step=1",
    "query_exemplars?query=up&$span", "series?match[]=up&$span",
    "labels?$span", 'label/job/values', "label/__name__/values?$span",
    'metadata?metric=up', 'alertmanagers', 'scrape_pools', 'status/config',
    'status/flags', 'status/buildinfo', 'status/walreplay',
    'format_query?query=sum(up)by(job)')
{
    same("GET $_" =~ s/\?.*//r, path => "/api/v1/$_");
}

my @form = ('Content-Type: application/x-www-form-urlencoded');

for ([ query => "query=up&$when" ],
    [ query_range => "query=up&$span&step=1" ],
    [ query_exemplars => "query=up&$span" ], [ series => "match[]=up&$span" ],
    [ labels => $span ], [ format_query => 'query=sum(up)by(job)' ],
    [ query => "$when&query=up&unused=" . 'x' x 200_000 ])
{
    my ($path, $body) = @$_;

    same("POST $path, " . length($body) . ' bytes', method => 'POST',
        path => "/api/v1/$path", headers => \@form, body => $body);
}

# what changes from one request to the next

is(request($port, path => "/api/v1/$_")->{status}, 200, "GET $_")
    for qw(rules alerts targets targets/metadata?limit=1 status/tsdb
    status/runtimeinfo);

my $bad = request($port, path => '/api/v1/query?query=up(');
is($bad->{status}, 400, 'what the remote finds wrong');
like($bad->{body}, qr/"errorType":"bad_data".*parse error/,
    '... it says itself');


# promtool

sub promtool {
    my ($server, $kind, @arguments) = @_;

    return command($ENV{MP_PROMTOOL} // 'promtool', 'query', $kind, '-o',
        'json', "http://127.0.0.1:$server", @arguments)->{out};
}

for ([ 'instant', 'up', "--time=$at" ],
    [ 'range', 'up', "--start=$from", "--end=$at", '--step=1s' ],
    [ 'labels', 'job', "--start=$from", "--end=$at" ])
{
    my ($kind, @arguments) = @$_;

    my ($here, $there) = map {
        command($ENV{MP_PROMTOOL} // 'promtool', 'query', $kind,
            "http://127.0.0.1:$_", @arguments) } $port, $api;

    is($here->{status}, 0, "promtool query $kind");
    is($here->{out}, $there->{out}, "promtool query $kind: the same answer");
    like($here->{out}, qr/\S/, "promtool query $kind: which is one");
}

my ($here, $there) = map { command($ENV{MP_PROMTOOL} // 'promtool', 'query',
    'series', '--match=up', "http://127.0.0.1:$_") } $port, $api;
is($here->{out}, $there->{out}, 'promtool query series');
like($here->{out}, qr/__name__="up"/, '... of the remote');


# Grafana's data source: what it sends when it is saved and tested, for a panel,
# for a variable and in its editor, with its own headers and its users' cookies

my @grafana = ('User-Agent: Grafana/12.0.0', 'Accept-Encoding: gzip',
    'X-Datasource-Uid: prom', 'X-Dashboard-Uid: some', 'X-Panel-Id: 1',
    'X-Grafana-Org-Id: 1', 'Cookie: grafana_session=mine',
    'X-Grafana-User: me', 'Authorization: Bearer of-grafana');
my $panel = 'query=' . 'sum+by+%28job%29+%28rate%28up%5B1m%5D%29%29';

$remote->arrived;

for ([ 'saved and tested', 'POST', 'query', "query=1%2B1&$when" ],
    [ 'what the remote is', 'GET', 'status/buildinfo' ],
    [ 'a panel', 'POST', 'query_range', "$panel&$span&step=1" ],
    [ 'its exemplars', 'POST', 'query_exemplars', "$panel&$span" ],
    [ 'an instant panel', 'POST', 'query', "$panel&$when" ],
    [ 'a variable', 'GET', "label/job/values?match%5B%5D=up&$span" ],
    [ 'names of labels', 'POST', 'labels', "match%5B%5D=up&$span" ],
    [ 'series', 'POST', 'series', "match%5B%5D=up&$span" ],
    [ 'metrics, in the editor', 'GET', 'metadata?metric=up' ])
{
    my ($what, $method, $path, $body) = @$_;

    my $r = same("Grafana, $what", method => $method, path => "/api/v1/$path",
        headers => [ @grafana, $body ? @form : () ],
        defined $body ? (body => $body) : ());
    my $text = $r->{body};

    gunzip(\$r->{body} => \$text)
        if ($r->{headers}{'content-encoding'} // '') eq 'gzip';
    is(eval { decode_json($text)->{status} }, 'success',
        "Grafana, $what: a success");
}

my @arrived = $remote->arrived;

is(scalar(grep { /mine|of-grafana|^X-|^Cookie/mi } @arrived), 0,
    'Grafana: none of its own headers reaches the remote');
is(scalar(grep { /^User-Agent: Grafana/m && /^Accept-Encoding: gzip\r$/m }
    @arrived), scalar @arrived, 'Grafana: but what is of use');


# other Prometheis: federation, and remote read

like(request($port, path => '/federate?match[]=up')->{body},
    qr/^up\{[^}]*job="itself"/m, 'federation');

my $reader = $remote->prometheus('reader', <<"END");
remote_read:
  - url: http://127.0.0.1:$port/api/v1/read
    read_recent: true
END

my $read = request($reader, path => "/api/v1/query?query=up&$when");
is($read->{body}, request($api, path => "/api/v1/query?query=up&$when")
    ->{body}, 'remote read: another Prometheus has what the remote has');
like($read->{body}, qr/"job":"itself"/, '... which is something');


# what would change the remote isn't let through

for ([ 'POST', '/api/v1/write' ], [ 'POST', '/api/v1/otlp/v1/metrics' ],
    [ 'POST', '/api/v1/admin/tsdb/snapshot' ], [ 'PUT',
        '/api/v1/admin/tsdb/clean_tombstones' ], [ 'POST', '/-/reload' ],
    [ 'POST', '/-/quit' ], [ 'DELETE', '/api/v1/series' ],
    [ 'POST', '/api/v1/rules' ], [ 'GET', '/graph' ])
{
    my ($method, $path) = @$_;
    my $r = request($port, method => $method, path => $path, body => '');

    is($r->{status}, 403, "$method $path is refused");
    is(eval { decode_json($r->{body})->{errorType} }, 'forbidden',
        '... as Prometheus does');
}

my @changing = grep { /admin|write|otlp|-\/|^DELETE|graph|^POST \S*rules/ }
    $remote->asked;
is("@changing", '', 'and the remote has heard nothing of it');


# the keeper, and nginx's workers but those that only end what they have begun

my $keepers = qr/^monitoring-proxy-token keep /;
my $workers = qr/^nginx: worker process\b(?! is)/;


# While some ask all the time, by promtool and by hand: returns what was not
# answered, and what was answered otherwise than it should be. What happens
# meanwhile is done by the sub, which returns true when it is over.

my $wanted = promtool($api, 'instant', 'up', "--time=$at");
my $whole = request($api, path => "/api/v1/query?query=up&$when")->{body};

sub asking {
    my ($sub) = @_;

    my $run = directory();
    my @pids;

    for my $asker (1 .. 4) {
        my $pid = fork // die "fork: $!\n";
        push @pids, $pid;
        next if $pid;

        open my $out, '>', "$run/$asker";
        $out->autoflush;

        while (! -e "$run/stop") {
            if ($asker == 1) {
                my $got = promtool($port, 'instant', 'up', "--time=$at");
                print $out $got eq $wanted ? "right\n"
                    : $got =~ /^error|EOF|reset|refused/i
                    ? "failed: $got\n" : "wrong: $got\n";
                next;
            }

            my $r = eval { request($port,
                path => "/api/v1/query?query=up&$when") }
                // { line => $@, status => 0, body => '' };

            print $out $r->{status} == 200 && $r->{body} eq $whole
                ? "right\n" : $r->{status} == 0 || $r->{closed}
                ? "failed: $r->{line}\n" : "wrong: $r->{line}\n";
        }

        POSIX::_exit(0);
    }

    my $answered = sub { my ($n) = @_;
        await(60, sub { !grep { my @lines = split /\n/,
            read_file("$run/$_"); @lines < $n } 1 .. 4 }) };

    my $done = $answered->(2) && $sub->();
    my %lines = map { $_ => scalar(() = read_file("$run/$_") =~ /\n/g) } 1 .. 4;
    await(60, sub { !grep { my $n = () = read_file("$run/$_") =~ /\n/g;
        $n < $lines{$_} + 2 } 1 .. 4 });

    write_file("$run/stop", '');
    waitpid $_, 0 for @pids;

    my @all = map { split /\n(?=right|failed|wrong)/, read_file("$run/$_") }
        1 .. 4;

    return ($done, [ grep { /^failed/ } @all ], [ grep { /^wrong/ } @all ]);
}


sub fetched { return scalar(my @all = $endpoint->requests('/token')) }

sub unharmed {
    my ($what, $sub) = @_;

    my ($done, $failed, $wrong) = asking($sub);

    ok($done, $what) or diag $proxy->logs;
    is("@$failed", '', "$what: none fails");
    is("@$wrong", '', "$what: none is answered otherwise");
}

unharmed('tokens are renewed', sub {
    my $fetched = fetched();
    await(60, sub { fetched() >= $fetched + 3 });
});

unharmed('a token is refused before its time', sub {
    my $fetched = fetched();
    $remote->accept_from($fetched + 1);
    await(60, sub { fetched() > $fetched });
});

unharmed('nginx reads its configuration again', sub {
    my %old = map { $_ => 1 } $proxy->pids($workers);
    my ($master) = $proxy->pids(qr/^nginx: master/);
    $proxy->kill('HUP', $master);
    await(60, sub { my @now = $proxy->pids($workers);
        @now && !grep { $old{$_} } @now });
});

unharmed('the keeper is killed', sub {
    my ($old) = $proxy->pids($keepers);
    my $fetched = fetched();
    $proxy->kill('KILL', $old);
    await(60, sub { fetched() > $fetched + 1 && $proxy->pids($keepers) });
});

# who asks it at that moment may see the connection end, and nothing else

my (undef, $failed, $wrong) = asking(sub {
    my ($worker) = $proxy->pids($workers);
    $proxy->kill('KILL', $worker);
    await(60, sub { my @now = $proxy->pids($workers);
        @now && !grep { $_ == $worker } @now });
});

cmp_ok(scalar @$failed, '<=', 4, 'a worker of nginx is killed: at most what it'
    . ' was asked at that moment fails') or diag "@$failed";
is("@$wrong", '', '... and none is answered otherwise');


# So many callers before the first token, which is given only after the sub:
# returns how they were answered, and how often a token was asked for.

sub cold {
    my ($callers, $sub) = @_;

    my $go = directory() . '/go';
    my $slow = Backend->new(answer => sub {
        my ($s) = @_;

        await(30, sub { -e $go });
        print $s "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            . "Content-Length: 45\r\n\r\n"
            . '{"access_token":"token-cold","expires_in":60}';

        return 0;
    });

    ($proxy, $port) = proxy($remote->plain,
        'http://127.0.0.1:' . $slow->port . '/token');

    ok(answers($port, '/-/healthy', 200), 'a proxy without a token')
        or diag $proxy->logs;
    is(request($port, path => '/-/ready')->{status}, 503, '... says so');

    my @pids = map { ($proxy->pids($_))[0] } qr/^nginx: master/, $keepers;
    my @callers = map { connection($port) } 1 .. $callers;
    send_request($_, path => '/api/v1/query?query=up') for @callers;

    $sub->(@pids);
    write_file($go, '');

    my %status;
    $status{ read_response($_)->{status} }++ for @callers;
    my $fetches = $slow->requests;

    diag $proxy->logs if keys %status > 1;
    $proxy->remove;
    $slow->stop;

    return (\%status, $fetches);
}

$proxy->remove;

my ($status, $fetches) = cold(1000, sub { });

is_deeply($status, { 200 => 1000 },
    'a thousand callers wait for it, and are answered')
    or diag explain($status);
is($fetches, 1, '... by one fetch');

($status) = cold(50, sub {
    my ($nginx) = @_;
    $proxy->kill('HUP', $nginx);
    ok($proxy->logged(qr/gracefully shutting down/), 'nginx is reloaded');
});
is_deeply($status, { 200 => 50 }, '... and who waits is answered')
    or diag explain($status);

($status, $fetches) = cold(50, sub {
    my (undef, $keeper) = @_;
    $proxy->kill('KILL', $keeper);
});
is_deeply($status, { 200 => 50 },
    'the keeper is killed while it fetches, and who waits is answered')
    or diag explain($status);
is($fetches, 2, '... by the next one');

done_testing();
