#!/usr/bin/perl

# t/82-keeper-nginx.t: the keeper and nginx, together: at the start, while
# tokens come and go, and when either of them is replaced

use warnings;
use strict;

use FindBin;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Http qw(connection read_response request send_request);
use Keeper ();
use Nginx;
use Query;
use TokenEndpoint;

my $callers = 1000;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $endpoint = TokenEndpoint->new;
my $tokens = $endpoint->url;
my $port = free_port();
my $remote = free_port();
my $url = "http://127.0.0.1:$remote";
my $query = '/api/v1/query?query=up';

# The remotes: one says which token it got, one takes none but the second, and
# one none at all.

my @names = qw(cold short strict never failing);

$nginx->configure(targets => '', workers => 2, connections => 8192,
    http => query_http("127.0.0.1:$port", join('', map {
        remote_location($_, path => "/$_/", url => "$url/$_",
            remote => "prefix=/$_")
    } @names), wait => '15s') . <<"END")->start;
map "\$uri \$http_authorization" \$remote_status {
    default                          200;
    "~^/strict/.* Bearer token-1\$"  401;
    "~^/never/"                      401;
}
server {
    listen 127.0.0.1:$remote;
    location / {
        if (\$remote_status = 401) { return 401 "refused"; }
        return 200 "\$http_authorization";
    }
}
END

$nginx->write('secret', "planted-secret\n");

sub token {
    my ($seconds, %o) = @_;

    return { json => { access_token => 'token-%n', expires_in => $seconds },
        %o };
}

$endpoint->answer('/cold', token(3600, delay => 1), token(3600));
$endpoint->answer('/short', token(2));
$endpoint->answer('/failing', { status => 400, json => {
    error => 'invalid_client', error_description => 'AADSTS7000215: no' } });

sub ask {
    my ($name, $at) = @_;

    return request($at // $port, path => "/$name$query");
}


# At the start, with more callers than one, before the keeper is there, though
# built: nobody waits as long as that may take

Keeper::program();

my @connections = map { connection($port) } 1 .. $callers;
send_request($_, path => "/cold$query") for @connections;

my $keeper = Keeper->new({ dir => "$dir", socket => 'keeper.socket' },
    map { "$_ http://r oauth2 token_url=$tokens/$_ client_id=me"
        . " client_secret_file=$dir/secret" } @names);

my %answers;
$answers{"$_->{status} $_->{body}"}++
    for map { read_response($_) } @connections;
undef @connections;

is_deeply(\%answers, { '200 Bearer token-1' => $callers },
    "$callers callers at the start are all answered");
is(scalar $endpoint->requests('/cold'), 1, 'for which one token is fetched');

# a token that the remote refuses

my @refused = map { connection($port) } 1 .. 20;
send_request($_, path => "/strict$query") for @refused;

%answers = ();
$answers{"$_->{status} $_->{body}"}++ for map { read_response($_) } @refused;

is_deeply(\%answers, { '200 Bearer token-2' => 20 },
    'after a 401, each is asked again with a new token');
is(scalar $endpoint->requests('/strict'), 2, 'which was fetched once');

my $r = ask('never');
is("$r->{status} $r->{body}", '401 refused',
    'a remote that takes none is let say so');

my $started = time;
ask('never') for 1 .. 5;
cmp_ok(time - $started, '<', 4, 'without a wait each time');
cmp_ok(scalar(my @never = $endpoint->requests('/never')), '<=', 3,
    'or a fetch each time');

# one that fails

is(json_error(ask('failing')), '503 unavailable: failing: no token:'
    . ' the token endpoint answered 400', 'callers are told why there is none');
like($keeper->log, qr/ remote=failing err="[^"]*AADSTS7000215: no"/,
    'and the operator, what the endpoint says');

$r = request($port, path => '/-/ready');
is($r->{status}, 503, 'the proxy isn\'t ready then');
like($r->{body}, qr/^failing\b.*the token endpoint answered 400$/m,
    'and says which remote isn\'t');
unlike($r->{body}, qr/^(?:cold|short|strict|never)\b/m, 'and no other');

# those that don't live long

my (%seen, @wrong);
my $end = time + 5;

while (time < $end) {
    $r = ask('short');
    push @wrong, "$r->{status} $r->{body}" if $r->{status} != 200;
    $seen{ $r->{body} }++;
    sleep 0.05;
}

is("@wrong", '', 'tokens of 2 s: no query fails');
cmp_ok(scalar keys %seen, '>=', 3, 'as there are new ones in time');


# Either of them is replaced

$keeper->signal('KILL');
$keeper->ended(5);
$end = time + 1;

@wrong = ();
while (time < $end) {
    $r = ask('cold');
    push @wrong, "$r->{status} $r->{body}" if $r->{body} ne 'Bearer token-1';
}

is("@wrong", '', 'no query fails without a keeper, while the token is valid');

$keeper->start;
ok(await(sub {
    $r = ask('cold');
    push @wrong, "$r->{status} $r->{body}" if $r->{status} != 200;
    return $r->{body} eq 'Bearer token-2';
}, 20), 'a new keeper is found');
is("@wrong", '', 'of which no query is any the wiser');

ok($nginx->reload, 'nginx is reloaded');
is(ask('cold')->{body}, 'Bearer token-2', 'its new workers have the token');

my ($pid) = $nginx->workers;
kill 'KILL', $pid;
ok(await(sub { !grep { $_ == $pid } $nginx->workers }), 'a worker is killed');

@wrong = grep { $_ ne 'Bearer token-2' } map { ask('cold')->{body} } 1 .. 20;
is("@wrong", '', 'the one in its place has it, too');
is(scalar $endpoint->requests('/cold'), 2, 'and none was fetched for them');

is($keeper->stop, 0, 'the keeper ends');
unlike($keeper->log, qr/token-\d|planted/, 'no secret is in its log');

done_testing();
