#!/usr/bin/perl

# The CPU that a scrape takes from nginx, through the module and through
# proxy_pass written by hand, in turns.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;

use constant A       => 19081;
use constant B       => 19082;
use constant BODY    => 90_000;

my $quick    = grep { $_ eq '-q' } @ARGV;
my $pairs    = $quick ? 7 : 61;
my $requests = $quick ? 500 : 1000;
my $image    = "$FindBin::Bin/../rootfs/etc/nginx/nginx.conf";

my @instructions;


my $headers = <<'END';
            proxy_set_header  X-Real-IP            $remote_addr;
            proxy_set_header  X-Forwarded-For      $proxy_add_x_forwarded_for;
            proxy_set_header  X-Forwarded-Proto    $scheme;
            proxy_set_header  Proxy-Authorization  "";
END

my $keepalive = <<'END';
            proxy_http_version  1.1;
            proxy_set_header    Connection  "";
END


sub by_module
{
    my ($name, $port, $peer, $more) = @_;

    write_file("$name.targets", '127.0.0.1:' . EXPORTER . " host-1\n"
        . join '', map { "127.0.1.1:$_ other-$_\n" } 1001 .. 1999);

    config($name, <<"MAIN", <<"HTTP");
load_module @{[module()]};
worker_processes 1;
MAIN
    prom_proxy_zone targets 16m;
    prom_proxy_targets @{[work()]}/$name.targets;
    upstream prom_proxy { prom_proxy_peer $peer; }
    server {
        listen 127.0.0.1:$port;
        keepalive_requests 10000000;
        location \@targets {
            prom_proxy        targets;
            proxy_pass        \$prom_proxy_scheme://prom_proxy\$prom_proxy_uri;
            proxy_redirect    \$prom_proxy_address /\$prom_proxy_target/;
            proxy_set_header  Host  \$prom_proxy_host;
            error_page        404 500 502 503 504 \@target_error;
$headers$more
        }
        location \@target_error {
            internal;
            default_type text/plain;
            return 200 "\$prom_proxy_error\\n";
        }
    }
HTTP
}


sub by_hand
{
    my ($name, $port, $address, $more) = @_;

    config($name, <<'MAIN', <<"HTTP");
worker_processes 1;
MAIN
    upstream host-1 { server 127.0.0.1:@{[EXPORTER]}; keepalive 16; }
    server {
        listen 127.0.0.1:$port;
        keepalive_requests 10000000;
        location /host-1/ {
            proxy_pass        http://$address/;
            proxy_set_header  Host  127.0.0.1:@{[EXPORTER]};
$headers$more
        }
    }
HTTP
}


# the image's own configuration, with what "prepare" would add to it

sub image_config
{
    my ($name, $port) = @_;

    my $dir = work() . "/$name";

    mkdir $dir;
    mkdir "$dir/temp";
    chmod 0777, $dir, "$dir/temp";

    open my $fh, '<', $image or die "$image: $!\n";
    my $text = do { local $/; <$fh> };

    my $module = module();

    $text =~ s{^load_module\s.*}{load_module $module;}m;
    $text =~ s{^daemon\s.*}{}m;
    $text =~ s{^pid\s.*}{"pid " . work() . "/$name.pid;"}me;
    $text =~ s{^error_log\s.*}{"error_log " . work() . "/$name.log;"}me;
    $text =~ s{/dev/stdout}{$dir/access.log};
    $text =~ s{/run/monitoring-proxy/nginx/}{$dir/}g;
    $text =~ s{/etc/nginx/conf\.d/}{$dir/}g;

    write_file("$name/main.conf", "worker_processes 1;\n");
    write_file("$name/events.conf", "worker_connections 1024;\n");
    write_file("$name/listen.conf", "listen 127.0.0.1:$port;\n");
    write_file("$name/upstream.conf",
        "prom_proxy_peer idle=1024 timeout=75s;\n");
    write_file("$name/http.conf", "prom_proxy_targets $dir/targets;\n");
    write_file("$name/targets", 'localhost:' . EXPORTER . " host-1\n");

    return $text;
}


# the same without the module, and the one location that people write today

sub without_module
{
    my ($text) = @_;

    my $plain = 'location /host-1/ { proxy_pass http://localhost:'
        . EXPORTER . '/; }';

    $text =~ s{^load_module\s.*}{}m;
    $text =~ s{^\s*\#.*}{}mg;
    $text =~ s{\$prom_proxy_target\b(?=")}{host-1};
    $text =~ s{^\s*prom_proxy_zone\s.*}{}m;
    $text =~ s{^\s*include\s+\S*/http\.conf;}{}m;
    $text =~ s{^\s*upstream\s+prom_proxy\s+\{.*?\}}{}ms;
    $text =~ s{^\s*location\s+\@targets\s+\{.*?\}}{$plain}ms;
    $text =~ s{^\s*location\s+\@target_error\s+\{.*?\}}{}ms;

    $text =~ /prom_proxy/ and die "the image's configuration has changed: "
        . "what is the module's in it isn't found\n$text";

    return $text;
}


sub scrapes
{
    my ($name, $port) = @_;

    my ($master) = start($name);
    my ($worker) = workers($master);

    load_requests($port, '/host-1/metrics', $requests / 5, 200);

    my $before = cpu($worker);
    my ($median) = load_requests($port, '/host-1/metrics', $requests, 200);
    my $used = (cpu($worker) - $before) / $requests / 1000;

    stop($master);

    return ($used, $median);
}


# A B, B A, A B, ...: whatever else the machine does meets both

sub compare
{
    my ($what, $goal) = @_;

    my (@a, @b, @answer_a, @answer_b);

    for my $pair (1 .. $pairs) {
        for my $turn ($pair % 2 ? (0, 1) : (1, 0)) {
            my ($used, $answer) = $turn ? scrapes('b', B) : scrapes('a', A);

            push @{ $turn ? \@b : \@a }, $used;
            push @{ $turn ? \@answer_b : \@answer_a }, $answer;
        }
    }

    my @ratio = ratio(\@a, \@b);
    my @counted = (map { instructions(@$_, '/host-1/metrics') }
        [ 'a', A ], [ 'b', B ]);

    push @instructions, [ $what, map({ sprintf '%.0f', $_ } @counted),
        sprintf('%.3f', $counted[0] / $counted[1]) ];

    return [ $what, map({ quartiles('%.1f', @$_) } \@a, \@b),
        quartiles('%.3f', @ratio), $goal,
        median(@ratio) <= $goal ? 'met' : 'NOT MET',
        sprintf('%.0f / %.0f', median(@answer_a), median(@answer_b)) ];
}


my @rows;

exporter(BODY);

note('scrapes with keepalive');
by_module('a', A, '', $keepalive);
by_hand('b', B, 'host-1', $keepalive);
push @rows, compare('module / by hand, keepalive', 1.05);

note('scrapes without keepalive');
by_module('a', A, 'idle=0', '');
by_hand('b', B, '127.0.0.1:' . EXPORTER, '');
push @rows, compare('module / by hand, no keepalive', 1.05);

if (-f $image) {
    note("scrapes by the image's configuration");
    write_file('a.conf', image_config('a', A));
    write_file('b.conf', without_module(image_config('b', B)));
    push @rows, compare("image / plain location", 0.85);
}

print "## Scrape: CPU of the nginx worker per answer of ", BODY, " bytes\n\n",
    "$pairs pairs of $requests scrapes each, a fresh nginx for each; medians, "
    . "and what the middle half is between.\n\n";

table([ 'A / B', 'A, microseconds', 'B', 'A/B, pair by pair',
    'goal', '', 'answer after (A / B), microseconds' ], @rows);

print "Instructions of the worker per scrape, counted by callgrind, the "
    . "kernel's not among them:\n\n";

table([ 'A / B', 'A', 'B', 'A/B' ], @instructions);
