#!/usr/bin/perl

# t/48-forward-count.t: each request and each tunnel is counted once, by what
# became of it; and how many targets have counters of their own

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Backend;
use Dns;
use Forward;
use Http qw(connection read_response request send_request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;

# of bcrypt: valgrind lets one thread run at a time, and not the other at all

my $cost = $ENV{MP_SLOW} ? 4 : 10;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $backend = Backend->new;
my $target = '127.0.0.1:' . $backend->port;
my $silent = '127.0.0.1:' . Backend->new(answer => sub { sleep 60 })->port;
my $closed = free_port();
my $long = join '.', ('n' x 60) x 3, 'test';
my $dns = Dns->new("$long" => '127.0.0.1', 'bad.test' => '169.254.169.254');
my %port = map { $_ => free_port() } qw(open far cert users many small);

# targets at which nobody is: more than may have counters of their own, or
# than a small zone has room for

my @many = map { '127.1.' . ($_ >> 8) . '.' . ($_ & 255) . ":$closed" }
    1 .. ($ENV{MP_SLOW} ? 300 : 1100);

$nginx->write('users', hashed('scraper', 'secret', $cost));
$nginx->write('many', join '', map { "$_\n" } @many);

my $block = "allow $target $silent 127.0.0.1:$closed *.test !10.0.0.0/8; "
    . 'scheme http; connect_timeout 500ms; resolver_timeout 1s; '
    . 'resolver 127.0.0.1:' . $dns->port . ' ipv6=off;';

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward open { $block zone open 1m; }
prom_forward far { $block from 192.0.2.0/24; zone far 64k; }
prom_forward cert { $block client_certificate on; zone cert 64k; }
prom_forward users { $block users %%DIR%%/users; zone users 64k; }
prom_forward many { scheme http; allow_file %%DIR%%/many; zone many 1m; }
prom_forward small { scheme http; allow_file %%DIR%%/many; zone small 64k; }
prom_forward none { $block }
END
    stream => 'upstream prom_forward { prom_forward_peer; }'
        . join('', map { forward_stream($_, "127.0.0.1:$port{$_}") }
            sort keys %port),
    http => join('', map { forward_server($_, "unix:%%DIR%%/$_.unused",
            'proxy_connect_timeout 500ms;') } sort keys %port),
    server => 'location = /metrics { prom_proxy_metrics; }',
)->start;


# all samples of the forward proxies

sub samples {
    my $text = request($nginx->port, path => '/metrics')->{body};

    return { $text =~ /^monitoring_proxy_forward_(\S+) (\d+)$/mg };
}

# what was counted meanwhile, as soon as something was

sub counted {
    my ($from, $pattern) = @_;

    my %more;

    await(sub {
        my $now = samples();
        %more = map { ($_ => $now->{$_} - ($from->{$_} // 0)) }
            grep { /$pattern/ && $now->{$_} != ($from->{$_} // 0) }
            keys %$now;
        return %more;
    }, 10 * $slow);

    return join ' ', map { "$_ $more{$_}" } sort keys %more;
}

sub decision {
    my ($block, $side, $decision, $promise, $request) = @_;

    my $from = samples();
    $request->();
    is(counted($from, '^requests_total'), "requests_total{proxy=\"$block\","
        . "side=\"$side\",decision=\"$decision\"} 1", "$side: $promise");
}

# one more of each decision, and of nothing else

for my $side (qw(http connect)) {
    my @right = basic('scraper:secret');

    for ([ 'allowed', 'open', $target ],
        [ 'source', 'far', $target ],
        [ 'certificate', 'cert', $target ],
        [ 'credentials', 'users', $target ],
        [ 'credentials', 'users', $target, basic('scraper:wrong') ],
        [ 'allowed', 'users', $target, @right ],
        [ 'denied', 'users', '10.0.0.1:80', @right ],
        [ 'denied', 'open', '192.0.2.1:80' ],
        [ 'denied', 'open', '10.0.0.1:80' ],
        [ 'special', 'open', '127.0.0.7:80' ],
        [ 'special', 'open', 'bad.test:80' ],
        [ 'bad', 'open', '127.1:80' ],
        [ 'bad', 'open', "127.0.0.1:0" ],
        [ 'unresolved', 'open', 'none.test:80' ],
        [ 'unreachable', 'open', "127.0.0.1:$closed" ])
    {
        my ($decision, $block, $to, @headers) = @$_;
        decision($block, $side, $decision, "$decision: $to", sub {
            asked($side, $port{$block}, $to, headers => \@headers);
        });
    }
}

decision('open', 'http', 'bad', 'bad: a page', sub {
    request($port{open}, path => '/metrics');
});
decision('open', 'http', 'late', 'late', sub {
    asked('http', $port{open}, $silent,
        headers => ['X-Prometheus-Scrape-Timeout-Seconds: 0.3']);
});
decision('open', 'connect', 'bad', 'bad: no target', sub {
    my $s = connection($port{open});
    send_request($s, raw => "CONNECT / HTTP/1.1\r\n\r\n");
    connect_head($s);
});

# who says nothing, leaves, or speaks no HTTP, is no request

my $from = samples();
connection($port{open}) for 1 .. 3;
my $s = connection($port{open});
send_request($s, raw => 'CONNECT 127.0.0.1:80 HT');
close $s;
$s = connection($port{open});
send_request($s, raw => "\x16\x03\x01\0\0\r\n\r\n");
read_response($s);
decision('open', 'http', 'allowed', 'what is no request is not counted', sub {
    asked('http', $port{open}, $target);
});

SKIP: {
    skip 'cheap hashes are checked as fast as they come', 2 if $ENV{MP_SLOW};

    for my $side (qw(http connect)) {
        $from = samples();

        my @tries = map {
            my $s = connection($port{users});
            send_request($s, raw => ($side eq 'http' ? "GET http://$target/"
                : "CONNECT $target") . " HTTP/1.1\r\nHost: x\r\n"
                . basic("scraper:$side$_") . "\r\n\r\n");
            $s;
        } 1 .. 40;

        my %said;
        $said{ connect_head($_)->{status} }++ for @tries;
        @tries = ();

        my $counted = sub {
            my $name = "requests_total{proxy=\"users\",side=\"$side\","
                . "decision=\"$_[0]\"}";
            return samples()->{$name} - $from->{$name};
        };

        ok(await(sub { $counted->('busy') == $said{503}
            && $counted->('credentials') == $said{407} }, 10),
            "$side: busy, as often as it was said");
    }
}


# targets

sub of_target {
    my ($block, $target) = @_;

    my $now = samples();

    return join ' ', map {
        $now->{"target_${_}_total{proxy=\"$block\",target=\"$target\"}"} // '-'
    } qw(requests failures);
}

is(of_target('open', "127.0.0.1:$closed"), '2 2', 'a target that is down');
is(of_target('open', $silent), '1 1', '... or late');
is(of_target('users', $target), '2 0', '... or up');
is(of_target('open', $_), '- -', 'none that was refused: ' . $_)
    for '192.0.2.1:80', '10.0.0.1:80', '127.0.0.7:80', 'bad.test:80',
        'none.test:80', '127.0.0.1:0';

is(asked($_, $port{open}, "$long:$closed")->{status}, 502,
    "$_: a name that is long") for qw(http connect);
is(of_target('open', 'other'), '2 2', '... is counted with the others');


# bytes, both ways

sub bytes {
    my ($from) = @_;

    return counted($from, '_bytes_total') =~ s/proxy="open",//gr
        =~ s/target="\Q$target\E"/target/r;
}

$from = samples();
$s = connection($port{open});
my $head = "CONNECT $target HTTP/1.1\r\nHost: x\r\n\r\n";
send_request($s, raw => $head);
my $got = length connect_head($s)->{line};
my $inner = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    . 'x' x 5000;
send_request($s, raw => $inner);
my $back = length(read_response($s)->{raw}) + $got + 4;
close $s;
is(bytes($from), 'received_bytes_total{side="connect"} '
    . length("$head$inner") . " sent_bytes_total{side=\"connect\"} $back "
    . "target_sent_bytes_total{target} $back",
    'the bytes of a tunnel, head and all');

$from = samples();
my $request = "POST http://$target/ HTTP/1.1\r\nHost: x\r\nConnection: close"
    . "\r\nContent-Length: 5000\r\n\r\n" . 'x' x 5000;
$s = connection($port{open});
send_request($s, raw => $request);
$back = length read_response($s)->{raw};
is(bytes($from), 'received_bytes_total{side="http"} ' . length($request)
    . " sent_bytes_total{side=\"http\"} $back "
    . "target_sent_bytes_total{target} $back", '... and of a request');


# tunnels that are open

sub open_tunnels { samples()->{'tunnels{proxy="open"}'} }

sub tunnel {
    my $s = connection($port{open});
    send_request($s, raw => $head);
    connect_head($s)->{status} == 200 or die "no tunnel\n";

    return $s;
}

sub are_open {
    my ($count, $promise) = @_;

    ok(await(sub { open_tunnels() == $count }, 10 * $slow), $promise)
        or diag open_tunnels();
}

are_open(0, 'no tunnel');
my @tunnels = map { tunnel() } 1 .. 3;
are_open(3, 'three');
asked('connect', $port{open}, "127.0.0.1:$closed");
are_open(3, '... one that was refused is none');
shift @tunnels;
are_open(2, '... two');

my ($old) = $nginx->workers;
$nginx->signal('HUP');
await(sub { grep { $_ != $old } $nginx->workers });
are_open(2, 'two in a worker that is to end');
push @tunnels, tunnel();
are_open(3, '... and one in the next');
@tunnels = ();
are_open(0, '... and none');
await(sub { !grep { $_ == $old } $nginx->workers });

@tunnels = map { tunnel() } 1 .. 2;
($old) = $nginx->workers;
kill 'KILL', $old;
await(sub { grep { $_ != $old } $nginx->workers });
are_open(0, 'a worker that was killed has none');
@tunnels = tunnel();
are_open(1, '... unlike the next');
@tunnels = ();


# many targets

sub ask_many {
    my ($block) = @_;

    my ($s, $wrong) = (undef, 0);

    for my $i (0 .. $#many) {
        $s = connection($port{$block}) if $i % 500 == 0;
        send_request($s, path => "http://$many[$i]/", keepalive => 1,
            headers => ['Host: x']);
        $wrong++ if read_response($s)->{status} != 502;
    }

    is($wrong, 0, "$block: more targets than have counters of their own");

    my $now = samples();
    my %of = map { /^target_requests_total\{proxy="$block",target="(.*)"/
        ? ($1 => $now->{$_}) : () } keys %$now;
    my $other = delete $of{other};
    my $sum = 0;
    $sum += $_ for values %of;

    is($sum + $other, @many, '... each is counted, with all others or alone');

    return scalar keys %of;
}

cmp_ok(ask_many('small'), '<=', 256, '... few in a small zone');

SKIP: {
    skip 'that many take too long', 4 if $ENV{MP_SLOW};

    my $own = ask_many('many');
    cmp_ok($own, '<=', 1024, '... 1024 at most');
    cmp_ok($own, '>', 512, '... or nearly so');
}

asked('connect', $port{small}, $many[0]);
is((split ' ', of_target('small', $many[0]))[0], 2,
    '... the first of them keep theirs');

SKIP: {
    skip 'no promtool', 1 if !$ENV{MP_PROMTOOL} || !-x $ENV{MP_PROMTOOL};

    $nginx->write('page', request($nginx->port, path => '/metrics')->{body});
    is(`$ENV{MP_PROMTOOL} check metrics < $dir/page 2>&1 | grep forward`, '',
        'promtool has nothing to say of all that');
}

$nginx->finish(qr/exited on signal 9/);

done_testing();
