package Queries;

# Proxies that add a credential to queries, side by side: this module in nginx,
# as the image has it, by several kinds of credentials; nginx alone, with the
# same location but a header that stands in it; and one written with Go's
# standard library. What they ask is nginx with files.

use warnings;
use strict;

use FindBin;

use Bench;
use Sides;

our @ISA = qw(Sides);

use constant REMOTE => 19080;
use constant SECURE => 19081;

# as long as one of Microsoft Entra

my $token = join '', map { ('a' .. 'z', 'A' .. 'Z', 0 .. 9)[$_ * 37 % 62] }
    1 .. 2000;

my $https = 0;


# The remote: by http on one port, by https on another; a path of the API and
# the bytes of its answer. A query by POST is answered as one by GET.

sub remote
{
    my (%bytes) = @_;

    mkdir work() . "/$_" for qw(remote remote/api remote/api/v1);

    for my $path (sort keys %bytes) {
        my $text = '{"status":"success","data":{"resultType":"matrix",'
            . '"result":[';

        for (my $i = 0; length $text < $bytes{$path}; $i++) {
            $text .= sprintf '{"metric":{"instance":"host-%05d"},'
                . '"values":[[1790000000,"%.3f"]]},', $i, $i * 1234.567;
        }

        write_file("remote$path",
            substr($text, 0, $bytes{$path} - 4) . ']}}]');
    }

    my $more = <<"END";
        root @{[work()]}/remote;
        types { }
        default_type application/json;
        error_page 405 =200 \$uri;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        open_file_cache max=8;
END

    Sides::pin(0);
    config('remote', <<'MAIN', <<"HTTP", 4096);
worker_processes 1;
MAIN
    server {
        listen 127.0.0.1:@{[REMOTE]};
        sendfile on;
$more
    }
    server {
        listen 127.0.0.1:@{[SECURE]} ssl;
        output_buffers 1 128k;
$more
@{[Sides::tls()]}    }
HTTP

    start('remote');
}


# From now on sides ask the remote by https, or again by http.

sub secure
{
    ($https) = @_;
}


sub url
{
    return $https ? 'https://127.0.0.1:' . SECURE
        : 'http://127.0.0.1:' . REMOTE;
}


# A side that has the port of its own.

sub side
{
    my ($class, $kind) = @_;

    my ($port) = Sides::ports(1);

    return bless { port => $port, name => "query-$kind-$port" }, $class;
}


# The image's location, with other values in place of its variables if there
# are some; and a server that has the location.

sub location
{
    my (%values) = @_;

    my $file = "$FindBin::Bin/../rootfs/etc/nginx/query-remote.conf";
    open my $fh, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$fh> };

    $text =~ s/\Q$_\E/$values{$_}/g for keys %values;

    return $text;
}


sub server
{
    my ($self, $http, $locations) = @_;

    config($self->{name}, <<"MAIN", <<"HTTP", 4096);
load_module @{[module()]};
worker_processes 1;
MAIN
$http
    proxy_max_temp_file_size 0;
    server {
        listen 127.0.0.1:$self->{port};
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        client_max_body_size 0;
        proxy_request_buffering off;
$locations
    }
HTTP

    return $self->{name};
}


# nginx alone

sub fixed
{
    my ($class) = @_;

    my $self = $class->side('fixed');
    my ($scheme, $address) = url() =~ m{^(\w+)://(.*)};
    my $verify = '';

    $verify = 'proxy_ssl_verify on; proxy_ssl_trusted_certificate '
        . Sides::certificate() . '.crt;' if $https;

    my $location = location(
        '$prom_proxy_scheme://prom_query$prom_token_uri' => "$scheme://remote",
        '$prom_proxy_host' => 'localhost',
        '$prom_token_authorization' => "\"Bearer $token\"",
        '$prom_token_date' => '""', '$prom_token_session' => '""',
        '@query_error' => '@error');

    $self->server(<<"HTTP", <<"LOCATIONS");
    upstream remote {
        server $address;
        keepalive 1024;
    }
HTTP
        location / { $verify $location }
        location \@error { return 502; }
LOCATIONS

    return $self->start_nginx($self->{name})->up;
}


# This one; what the file of remotes has behind the URL.

sub kept
{
    my ($class, $kind, @settings) = @_;

    my $self = $class->side($kind);
    my $ca = $https ? 'ca=' . Sides::certificate() . '.crt' : '';
    my $socket = work() . "/$self->{name}.socket";
    my $remotes = write_file("$self->{name}.remotes",
        join(' ', 'remote', url(), @settings) . "\n");

    my $token = <<"END";
            prom_token remote;
            prom_token_remote @{[url()]} $ca;
            prom_token_api query;
END

    $self->server(<<"HTTP", <<"LOCATIONS");
    prom_token_keeper unix:$socket;
    prom_token_zone query 1m;
    upstream prom_query { prom_proxy_peer; }
HTTP
        location / {
$token
            error_page 401 \@again;
            @{[location()]}
        }
        location \@again {
$token
            @{[location()]}
        }
        location \@query_error { prom_token_error; }
        location = /-/ready { prom_token_ready; }
LOCATIONS

    return $self->program($ENV{BENCH_TOKEN} || 'monitoring-proxy-token',
        'keep', $remotes, $socket, 'warn')->start_nginx($self->{name})->up;
}


sub bearer
{
    my ($class) = @_;

    return $class->kept('bearer', 'bearer-file', 'file=' . token());
}


sub none
{
    my ($class) = @_;

    return $class->kept('none', 'none');
}


sub signed
{
    my ($class) = @_;

    my $secret = write_file('secret', "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE");

    return $class->kept('signed', 'aws', 'region=us-east-1',
        'access_key_id=AKIDEXAMPLE', "secret_access_key_file=$secret");
}


sub go
{
    my ($class) = @_;

    my $self = $class->side('go');

    local $ENV{GOMAXPROCS} = 1;

    return $self->program('query_go', -listen => "127.0.0.1:$self->{port}",
        -token => token(),
        $https ? (-ca => Sides::certificate() . '.crt') : (), url())->up;
}


sub token
{
    return write_file('token', "$token\n");
}


sub up
{
    my ($self) = @_;

    listening($self->{port});

    return $self;
}


1;
