package Forwards;

# Forward proxies side by side: this module in nginx, squid, tinyproxy, and one
# written with Go's standard library; each with one worker, on a CPU that
# exporter and scrapers leave alone; and what scrapes through them.

use warnings;
use strict;

use Bench;
use Sides;

our @ISA = qw(Sides);

use constant TARGET => 19443;


# Bench's exporter by TLS: a server beside it, with the same file

sub exporter_with_tls
{
    my ($bytes) = @_;

    Sides::pin(0);
    exporter($bytes);

    config('exporter-tls', <<'MAIN', <<"HTTP", 19_900);
worker_processes 1;
MAIN
    server {
        listen 127.0.0.1:@{[TARGET]} ssl;
        root @{[work()]}/www;
        types { }
        default_type "text/plain; version=0.0.4";
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        open_file_cache max=8;
        output_buffers 1 128k;
@{[Sides::tls()]}    }
HTTP

    start('exporter-tls');
}


# Every side has a port with TLS and one without.

sub side
{
    my ($class, %of) = @_;

    my ($tls, $plain) = Sides::ports(2);

    return bless { target => '127.0.0.1:' . TARGET, https => 'https',
        tls => $tls, plain => $plain, %of }, $class;
}


sub up
{
    my ($self) = @_;

    listening($self->{plain});
    listening($self->{tls}) if $self->{tls};

    return $self;
}


# as the image has it, but for the log, which nobody else writes either

sub ours
{
    my ($class) = @_;

    my $self = $class->side;
    my $name = Sides::certificate();

    (my $stream = module()) =~ s/http_prom_proxy/stream_prom_forward/;

    my $tunnels = <<'END';
        prom_forward bastion;
        proxy_pass prom_forward;
        proxy_timeout 10m;
        proxy_half_close on;
        proxy_buffer_size 4k;
END

    config("forward-$self->{tls}", <<"MAIN", <<"HTTP", 8192);
load_module @{[module()]};
load_module @{[$ENV{BENCH_STREAM}
    || '/usr/lib/nginx/modules/ngx_stream_module.so']};
load_module $stream;
worker_processes 1;
prom_forward bastion {
    allow 127.0.0.1:@{[TARGET]};
    verify $name.crt;
    zone forward 1m;
}
stream {
    upstream prom_forward { prom_forward_peer; }
    server {
        listen 127.0.0.1:$self->{tls} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:forward_tls:10m;
        ssl_session_tickets off;
        ssl_conf_command NumTickets 0;
        ssl_certificate $name.crt;
        ssl_certificate_key $name.key;
$tunnels
    }
    server {
        listen 127.0.0.1:$self->{plain};
$tunnels
    }
}
MAIN
    prom_proxy_zone targets 8m;
    upstream prom_proxy { prom_proxy_peer idle=1024 timeout=600s; }
    server {
        listen unix:@{[work()]}/forward-$self->{tls}.sock;
        prom_forward_server bastion;
        keepalive_timeout 600s;
        keepalive_requests 10000000;
        location / {
            prom_forward bastion;
            proxy_pass \$prom_proxy_scheme://prom_proxy\$prom_forward_uri;
            proxy_http_version 1.1;
            proxy_buffer_size 16k;
            proxy_buffers 4 32k;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host \$prom_proxy_host;
            proxy_ssl_server_name on;
            proxy_ssl_name \$prom_proxy_host;
        }
    }
HTTP

    return $self->start_nginx("forward-$self->{tls}")->up;
}


# It asks an exporter by https for an https URI alone; Prometheus sends none, so
# that it would need a program that rewrites each, or a cache_peer each.

sub squid
{
    my ($class) = @_;

    my $self = $class->side(https => 'gateway');
    my $name = Sides::certificate();

    # written by a user of its own

    my $log = write_file("squid-$self->{tls}.log", '');
    chmod 0666, $log;

    my $file = write_file("squid-$self->{tls}.conf", <<"END");
https_port 127.0.0.1:$self->{tls} tls-cert=$name.crt tls-key=$name.key
http_port 127.0.0.1:$self->{plain}
tls_outgoing_options cafile=$name.crt min-version=1.3
acl exporters dst 127.0.0.1
acl ports port @{[TARGET]}
http_access allow exporters ports
http_access deny all
workers 1
cache deny all
access_log none
cache_store_log none
cache_log $log
pid_filename none
pinger_enable off
max_filedescriptors 16384
client_idle_pconn_timeout 10 minutes
server_idle_pconn_timeout 10 minutes
read_timeout 15 minutes
visible_hostname localhost
shutdown_lifetime 0 seconds
END

    return $self->program('squid', '-N', '-n', "bench$self->{tls}", '-f',
        $file)->up;
}


# without TLS, and without a list of addresses

sub tinyproxy
{
    my ($class) = @_;

    my $self = $class->side(tls => 0);

    my $file = write_file("tinyproxy-$self->{plain}.conf", <<"END");
Listen 127.0.0.1
Port $self->{plain}
Timeout 900
MaxClients 4000
Allow 127.0.0.1
ConnectPort @{[TARGET]}
LogLevel Critical
DisableViaHeader Yes
END

    return $self->program('tinyproxy', '-d', '-c', $file)->up;
}


sub go
{
    my ($class) = @_;

    my $self = $class->side;
    my $name = Sides::certificate();

    local $ENV{GOMAXPROCS} = 1;

    return $self->program('forward_go', -tls => "127.0.0.1:$self->{tls}",
        -plain => "127.0.0.1:$self->{plain}", -cert => "$name.crt",
        -key => "$name.key", -ca => "$name.crt", $self->{target})->up;
}


# opens connections as forward.c says

sub scrapers
{
    my ($self, $how, $connections) = @_;

    my $kind = $how eq 'https' ? $self->{https} : $how;

    return $self->connections($kind,
        $how =~ /^plain/ ? $self->{plain} : $self->{tls}, $self->{target},
        $connections);
}


1;
