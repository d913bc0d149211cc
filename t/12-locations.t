#!/usr/bin/perl

# The user's own locations keep their meaning: a target counts as a location
# of the length of "/NAME/".

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Backend;
use Nginx;

my $nginx = Nginx->new;
my $target = Backend->new;
my $port = $target->port;

my $targets = <<"END";
127.0.0.1:$port host
127.0.0.1:$port site/db
127.0.0.1:$port same
127.0.0.1:$port denied
127.0.0.1:$port limited
END

$nginx->configure(targets => $targets, router => <<'ROUTER',
    rewrite ^/host/leaves$ /out/x last;
    client_max_body_size 10;
ROUTER
    server => <<'END')->start;
location / { return 200 "root\n"; }
location /host/private/ { return 200 "longer\n"; }
location /hos { return 200 "shorter\n"; }
location = /host/exact { return 200 "exact\n"; }
location ~ \.php$ { return 200 "regex\n"; }
location /site/ { return 200 "shorter\n"; }
location ^~ /si { return 200 "shorter\n"; }
location /same/ { return 200 "same\n"; }
location /host { return 200 "no slash\n"; }
location /denied/private/ {
    limit_except GET { deny all; }
    return 200 "private\n";
}
location ~ ^/lim { limit_except GET { deny all; } return 200 "limited\n"; }
location /rewritten/ { rewrite ^/rewritten/(.*) /host/$1 last; }
location /named/ { try_files /nonexistent @targets; }
location /out/ { return 200 "out\n"; }
location /large/ { client_max_body_size 1m; return 200 "large\n"; }
location /own/ {
    error_page 404 @mine;
    return 404;
}
location @mine { return 404 "mine\n"; }
END

sub answers {
    my ($path, $expected, $promise, %o) = @_;

    my $body = $nginx->get($path, %o)->{body};
    $body = 'target' if $body =~ m{^\w+ /\S* HTTP/1\.1\n};

    is($body, $expected, "$path: $promise");
}

answers('/host/metrics', 'target', 'a target wins over location /');
answers('/other', "root\n", 'what is no target stays with location /');
answers('/', "root\n", 'the root stays with location /');
answers('/host/private/x', "longer\n", 'a longer location wins');
answers('/host/privat', 'target', 'but only where it matches');
answers('/host/exact', "exact\n", 'an exact location wins');
answers('/host/x.php', "regex\n", 'a regular expression wins');
answers('/site/db/metrics', 'target', 'a target wins over shorter ones');
answers('/site/other', "shorter\n", 'a prefix without target stays');
answers('/same/metrics', "same\n", 'a location of a target\'s name wins');
answers('/host', "no slash\n", '/NAME without slash can be a location');
answers('/hosting', "no slash\n", 'a name is matched by whole segments');
answers('/rewritten/a?b=c', 'target', 'a rewrite leads to a target');
answers('/own/x', "mine\n", 'a user\'s error_page stays');

$target->arrived;
my $r = $nginx->get('/denied/private/x', method => 'POST', body => 'x');
is("$r->{status} " . $target->arrived, '403 0',
    'limit_except of a longer location is not passed by');

$r = $nginx->get('/limited/x', method => 'POST', body => 'x');
is("$r->{status} " . $target->arrived, '403 0',
    'nor is that of a regular expression');

is($nginx->get('/rewritten/a?b=c')->{status}, 200, 'a rewrite is routed');
my ($request) = reverse $target->arrived;
like($request, qr{^GET /a\?b=c HTTP/1\.1\r\n}, 'to what it says');

answers('/host/leaves', "out\n", 'a rewrite leads out of the targets');
is($nginx->get('/host/x', method => 'POST', body => 'x' x 11)->{status}, 413,
    'client_max_body_size of the router holds');
is($nginx->get('/host/x', method => 'POST', body => 'x' x 10)->{status}, 200,
    'and lets pass what it allows');

like($nginx->get('/named/x')->{body}, qr/^no target for "\/named\/x"/,
    'the router can be asked for by its name');

$nginx->write('targets', $targets);
$nginx->stop;

# prom_proxy in an ordinary location

$nginx = Nginx->new;
$nginx->configure(targets => $targets, server => <<'END')->start;
location /site/ {
    prom_proxy targets;
    proxy_pass $prom_proxy_scheme://prom_proxy$prom_proxy_uri;
    error_page 404 502 @target_error;
}
END

answers('/site/db/metrics', 'target', 'an ordinary location can route');
is($nginx->get('/site/nope/x')->{status}, 404, 'and knows what is no target');
is($nginx->get('/site/db')->{headers}{location}, '/site/db/',
    'and redirects a bare name');

$nginx->finish;

# a router without a handler of its own

$nginx = Nginx->new;
my $handed = Nginx::free_port();
$nginx->configure(targets => $targets, http => <<"END")->start;
server {
    listen 127.0.0.1:$handed;
    location / { proxy_pass http://127.0.0.1:$port; }
    location \@own { prom_proxy targets; root %%DIR%%; }
}
END
is(Http::request($handed, path => '/host/nginx.pid')->{status}, 404,
    'a handler of the location left behind does not come along');
$nginx->finish;

# a server beside it that does not route

$nginx = Nginx->new;
my $other = Nginx::free_port();
$nginx->configure(targets => $targets, http => <<"END")->start;
server {
    listen 127.0.0.1:$other;
    location / { return 200 "other\\n"; }
    location /dials/ { proxy_pass http://prom_proxy; }
}
END

is(Http::request($other, path => '/host/metrics')->{body}, "other\n",
    'another server is left alone');
is(Http::request($other, path => '/dials/')->{status}, 500,
    'the balancer dials nothing that was not routed');
like($nginx->log, qr/upstream "prom_proxy" dials targets that "prom_proxy"/,
    'and says why');

$nginx->finish;

done_testing();
