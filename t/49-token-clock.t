#!/usr/bin/perl

# t/49-token-clock.t: a clock that jumps expires no credential in nginx, and
# each day has signatures of its own

use warnings;
use strict;

use FindBin;
use POSIX qw(strftime);
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Http qw(request);
use Nginx;
use Query;
use SigV4;
use Teller;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $port = free_port();
my $remote = Backend->new;
my $url = 'http://127.0.0.1:' . $remote->port;
my $day = 86400;

system($ENV{CC} // 'cc', qw(-std=c17 -D_GNU_SOURCE -shared -fPIC -O1 -Wall
    -Wextra -Werror), "$FindBin::Bin/unit/clock_jump.c", '-o',
    "$dir/clock_jump.so") == 0 or die "the jumping clock isn't built\n";

my %keys = (region => 'eu-west-1', service => 'aps', key => 'AKIDEXAMPLE',
    secret => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', session => '');

my $keeper = Teller->new("$dir/keeper.socket");
$keeper->say("aws ws 1 3600000 $keys{region} $keys{key} $keys{secret} -");

$nginx->write('jump', '0');
$nginx->configure(
    targets => '',
    main => 'env CLOCK_JUMP;',
    http => query_http("127.0.0.1:$port", remote_location('ws', url => $url),
        server => 'location = /metrics { prom_proxy_metrics; }'));

{
    # what checks memory would want to be loaded first

    local @ENV{qw(LD_PRELOAD CLOCK_JUMP ASAN_OPTIONS)} = (
        "$dir/clock_jump.so", "$dir/jump", join ':',
        $ENV{ASAN_OPTIONS} // (), 'verify_asan_link_order=0');

    $nginx->start;
}

ok(await(sub { request($port, path => '/-/ready')->{status} == 200 }),
    'ready');


# What arrives: the day that it is signed for, and what is wrong with it.

sub arrives {
    is(request($port, path => '/api/v1/query?query=up')->{status}, 200,
        '... a query is answered');

    my ($sent) = $remote->arrived;
    is(sigv4_mistake($sent // '', %keys), undef, '... and verifies');

    return ($sent // '') =~ /^X-Amz-Date: (\d{8})T/mi ? $1 : '';
}

sub jumps {
    my ($what, $seconds) = @_;

    $nginx->write('jump', $seconds);

    # or the next, if it is midnight now

    my @days = strftime('%Y%m%d', gmtime time + $seconds);
    my $signed;

    ok(await(sub {
        request($port, path => '/api/v1/query?query=up');
        my $sent = ($remote->arrived)[-1] // '';
        ($signed) = $sent =~ /^X-Amz-Date: (\d{8})T/mi;
        push @days, strftime('%Y%m%d', gmtime time + $seconds);
        return grep { $_ eq ($signed // '') } @days;
    }), "$what: signed for that day");

    arrives();

    my ($expiry) = request($port, path => '/metrics')->{body}
        =~ /^monitoring_proxy_query_token_expiry_timestamp_seconds\S+ (\d+)$/m;
    cmp_ok(abs(($expiry // 0) - time - $seconds - 3600), '<', 60,
        '... and good for what is left of its hour');
}

jumps('today', 0);
jumps('tomorrow', $day);
jumps('next year', 365 * $day);
jumps('yesterday', -$day);

$nginx->finish;

done_testing();
