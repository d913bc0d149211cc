package QueryRemote;

# A remote as a cloud has it: a real Prometheus that scrapes itself, behind TLS,
# where each request needs a token of TokenEndpoint's, or is answered with 401.
# Writes and the admin API would work, were they let through.

use warnings;
use strict;

use IO::Socket::IP;
use POSIX ();

use Backend;
use Container qw(await directory read_file write_file);
use Forward qw(authority certificate);
use Http;
use Nginx qw(free_port);
use Running;


sub new {
    my ($class) = @_;

    my $dir = directory();
    my $self = bless { dir => $dir, port => free_port(), plain => free_port(),
        pids => [] }, $class;
    Running::add($self);

    authority($dir, 'ca');
    certificate($dir, 'remote', ca => 'ca',
        names => 'DNS:localhost,IP:127.0.0.1');
    chmod 0644, glob "$dir/*";

    $self->accept_from(1);
    $self->{check} = Backend->new(answer => sub {
        my ($s, $request) = @_;

        my ($token) = $request =~ /^Authorization: Bearer token-(\d+)\r$/m;
        my $status = defined $token && $token >= read_file("$dir/least")
            ? 204 : 401;
        print $s "HTTP/1.1 $status Checked\r\nContent-Length: 0\r\n\r\n";

        return 0;
    });

    $self->{api} = $self->prometheus('remote', <<'END',
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: itself
    static_configs:
      - targets: [%%]
rule_files:
  - rules.yml
END
        '--web.enable-admin-api', '--web.enable-remote-write-receiver');

    $self->tls;

    return $self;
}


# The least number of a token that is still taken.

sub accept_from {
    my ($self, $number) = @_;

    write_file("$self->{dir}/least.new", $number);
    rename "$self->{dir}/least.new", "$self->{dir}/least";
}


# A Prometheus with this configuration, in which %% is its own address. Returns
# its port, once it answers.

sub prometheus {
    my ($self, $name, $config, @flags) = @_;

    my $port = free_port();
    my $dir = "$self->{dir}/$name";
    my $program = $ENV{MP_PROMETHEUS} // 'prometheus';

    mkdir $dir;
    write_file("$dir/prometheus.yml", $config =~ s/%%/"127.0.0.1:$port"/gr);
    write_file("$dir/rules.yml", <<'END');
groups:
  - name: some
    rules:
      - record: one
        expr: vector(1)
      - alert: Always
        expr: vector(1)
END

    $self->start("$dir/log", $program, "--config.file=$dir/prometheus.yml",
        "--storage.tsdb.path=$dir/tsdb",
        "--web.listen-address=127.0.0.1:$port", @flags);

    await(60, sub { Http::request($port, path => '/-/ready')->{status} == 200 })
        or die "Prometheus: " . read_file("$dir/log");

    return $port;
}


sub tls {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $check = $self->{check}->port;

    write_file("$dir/nginx.conf", <<"END");
daemon off;
user root;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 4096; }
http {
    log_format requests '\$request_method \$request_uri';
    access_log $dir/access.log requests;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    proxy_http_version 1.1;
    server {
        listen 127.0.0.1:$self->{port} ssl;
        ssl_certificate $dir/remote.crt;
        ssl_certificate_key $dir/remote.key;
        location / {
            auth_request /-/check;
            proxy_pass http://127.0.0.1:$self->{api};
            proxy_set_header Host \$http_host;
        }
        location = /-/check {
            internal;
            proxy_pass http://127.0.0.1:$check;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
    }
    server {
        listen 127.0.0.1:$self->{plain} backlog=2048;
        default_type application/json;
        if (\$http_authorization !~ ^Bearer.token-) {
            return 401;
        }
        return 200 '{"status":"success"}';
    }
}
END

    $self->start("$dir/stderr", $ENV{MP_NGINX} // '/usr/sbin/nginx', '-p',
        $dir, '-e', "$dir/error.log", '-c', "$dir/nginx.conf");

    await(20, sub { IO::Socket::IP->new(PeerHost => '127.0.0.1',
        PeerPort => $self->{port}) }) or die read_file("$dir/error.log");
}


sub start {
    my ($self, $log, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }

    push @{ $self->{pids} }, $pid;
}


sub ca { "$_[0]{dir}/ca.crt" }
sub url { "https://127.0.0.1:$_[0]{port}" . ($_[1] // '') }

# another one, without TLS and Prometheus, that many may ask at once

sub plain { "http://127.0.0.1:$_[0]{plain}" }

# the port where Prometheus itself is, without any check

sub api { $_[0]{api} }


# The headers of the requests that came, and their methods and paths.

sub arrived { $_[0]{check}->arrived }


sub asked {
    my ($self) = @_;

    return split /\n/, read_file("$self->{dir}/access.log");
}


sub stop {
    my ($self) = @_;

    kill 'TERM', @{ $self->{pids} };
    waitpid $_, 0 for @{ $self->{pids} };
    Running::remove($self);
}


1;
