package Nginx;

# A real nginx with the module, for one test: writes its files, starts it,
# asks it, stops it, and at the end looks for what no test should leave behind
# in its log.

use warnings;
use strict;

use Exporter 'import';
use File::Path qw(remove_tree);
use File::Temp;
use IO::Socket::IP;
use POSIX qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(sleep time);

use Http qw(request);
use Running;

our @EXPORT = qw(await free_port);

$SIG{INT} = $SIG{TERM} = sub { exit 1 };


# Waits until the sub returns something true, which it returns; at most a
# minute, which a machine may stand still for, or the seconds given.

sub await {
    my ($sub, $seconds) = @_;

    my $end = time + ($seconds // 60);

    while (1) {
        my $result = $sub->();
        return $result if $result || time > $end;
        sleep 0.01;
    }
}


# A port of 127.0.0.1 and ::1 that nobody listens on.

sub free_port {
    while (1) {
        my $v4 = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
            Listen => 1) or die "no free port: $@\n";
        my $port = $v4->sockport;

        return $port if IO::Socket::IP->new(LocalHost => '::1',
            LocalPort => $port, Listen => 1) || $@ !~ /in use/;
    }
}


sub new {
    my ($class) = @_;

    for (qw(MP_NGINX MP_MODULE)) {
        die "$_ must name nginx and the built module, see scripts/test\n"
            unless $ENV{$_};
    }

    my $dir = File::Temp::tempdir('mp-nginx-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    mkdir "$dir/logs";

    return bless { dir => $dir, port => free_port() }, $class;
}


# The version as nginx's own NGINX_VERSION counts: 1026003 is 1.26.3.

sub version {
    my ($major, $minor, $patch) = `$ENV{MP_NGINX} -v 2>&1`
        =~ m{/(\d+)\.(\d+)\.(\d+)};

    return ($major * 1000 + $minor) * 1000 + $patch;
}


sub dir { $_[0]{dir} }
sub port { $_[0]{port} }


# Writes a file in its directory. %%DIR%% and %%PORT%% are its own.

sub write {
    my ($self, $name, $text) = @_;

    $text =~ s/%%DIR%%/$self->{dir}/g;
    $text =~ s/%%PORT%%/$self->{port}/g;

    open my $fh, '>:raw', "$self->{dir}/$name.new" or die "$name: $!\n";
    print $fh $text;
    close $fh or die "$name: $!\n";
    rename "$self->{dir}/$name.new", "$self->{dir}/$name" or die "$name: $!\n";

    return "$self->{dir}/$name";
}


# The configuration that users write, around what a test is about:
# main, stream, http, router, server, workers, connections; targets is the text
# of the file.

sub configure {
    my ($self, %part) = @_;

    $self->write('targets', $part{targets}) if defined $part{targets};

    my %default = (
        main => '', stream => undef, http => '', router => '', server => '',
        workers => 1, connections => 512, zone => '8m',
        peer => 'prom_proxy_peer;',
        registry => 'prom_proxy_targets %%DIR%%/targets;',
    );
    %part = (%default, %part);

    my ($modules, $stream) = ('', '');

    if (defined $part{stream}) {
        $modules = stream_modules();
        $stream = "stream {\n$part{stream}\n}";
    }

    $self->write('nginx.conf', <<"END");
load_module $ENV{MP_MODULE};
$modules
daemon off;
user root;
worker_processes $part{workers};
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/logs/error.log debug;
$part{main}
events {
    worker_connections $part{connections};
}
$stream
http {
    access_log %%DIR%%/logs/access.log;
    client_body_temp_path %%DIR%%/body;
    proxy_temp_path %%DIR%%/proxy;
    fastcgi_temp_path %%DIR%%/fastcgi;
    uwsgi_temp_path %%DIR%%/uwsgi;
    scgi_temp_path %%DIR%%/scgi;
    absolute_redirect off;
    proxy_http_version 1.1;
    prom_proxy_zone targets $part{zone};
    $part{registry}
    upstream prom_proxy {
        $part{peer}
    }
    $part{http}
    server {
        listen 127.0.0.1:%%PORT%%;
        location \@targets {
            prom_proxy targets;
            proxy_pass \$prom_proxy_scheme://prom_proxy\$prom_proxy_uri;
            proxy_redirect \$prom_proxy_address /\$prom_proxy_target/;
            proxy_set_header Host \$prom_proxy_host;
            proxy_set_header Connection "";
            proxy_ssl_server_name on;
            proxy_ssl_name \$prom_proxy_host;
            error_page 404 500 502 503 504 \@target_error;
            $part{router}
        }
        location \@target_error {
            internal;
            default_type text/plain;
            return 200 "\$prom_proxy_error\\n";
        }
        $part{server}
    }
}
END

    return $self;
}


# The lines that load the module's part for stream, and stream itself where
# that is a module, too.

sub stream_modules {
    my $built = `$ENV{MP_NGINX} -V 2>&1`;
    my ($dir) = $built =~ /--modules-path=(\S+)/;

    return join '', map { "load_module $_;\n" }
        ("$dir/ngx_stream_module.so") x ($built =~ /--with-stream=dynamic/),
        $ENV{MP_MODULE} =~ s{[^/]*$}{ngx_stream_prom_forward_module.so}r;
}


# "nginx -t": returns its exit status and what it said.

sub check {
    my ($self) = @_;

    my $said = `$ENV{MP_NGINX} -p $self->{dir} -c $self->{dir}/nginx.conf \\
        -e $self->{dir}/logs/check.log -t 2>&1`;

    return ($? >> 8, $said);
}


sub start {
    my ($self) = @_;

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$self->{dir}/logs/stdout";
        open STDERR, '>', "$self->{dir}/logs/stderr";
        exec $ENV{MP_NGINX}, '-p', $self->{dir}, '-c',
            "$self->{dir}/nginx.conf" or POSIX::_exit(127);
    }

    Running::add($self);

    # a master listens before it takes signals, and has workers after that

    my $master = slurp("$self->{dir}/nginx.conf") !~ /^master_process off;/m;

    await(sub {
        waitpid($self->{pid}, WNOHANG) == $self->{pid}
            and die "nginx did not start:\n" . slurp("$self->{dir}/logs/stderr");
        ($self->workers || !$master) && IO::Socket::IP->new(
            PeerHost => '127.0.0.1', PeerPort => $self->{port});
    }) or die "nginx does not listen on port $self->{port}\n";

    return $self;
}


# Asks a path, or sends bytes as they are; see Http.pm.

sub get {
    my ($self, $path, %options) = @_;

    return request($self->{port}, path => $path, %options);
}


sub signal {
    my ($self, $signal) = @_;

    kill $signal, $self->{pid};
}


# the process ids of the workers that are there

sub workers {
    my ($self) = @_;

    open my $fh, '<', "/proc/$self->{pid}/task/$self->{pid}/children"
        or return;

    return split ' ', <$fh> // '';
}


# Stops a worker while it waits for events: elsewhere it may have the lock of a
# zone, without which the others can't go on. True once it is.

sub pause {
    my ($self, $pid) = @_;

    my $patience = $ENV{MP_SLOW} ? 60 : 10;

    return await(sub {
        kill 'STOP', $pid;
        await(sub { slurp("/proc/$pid/stat") =~ /\) T / }, $patience);

        return 1 if $self->waits($pid);

        kill 'CONT', $pid;
        return 0;
    }, $patience);
}


# true if the last that a worker said is that it waits for events

sub waits {
    my ($self, $pid) = @_;

    my $log = $self->log;
    my $from = rindex $log, " $pid#$pid: ";

    return substr($log, $from) =~ /\A[^\n]*: epoll timer: /;
}


# "nginx -s reload", until old workers have gone and a new one has come

sub reload {
    my ($self) = @_;

    my %old = map { $_ => 1 } $self->workers;
    $self->signal('HUP');

    return await(sub {
        my @now = $self->workers;
        return @now && !grep { $old{$_} } @now;
    });
}


# Its log; all of it, or what came behind so many bytes.

sub log {
    my ($self, $from) = @_;

    return slurp("$self->{dir}/logs/error.log", $from);
}


sub slurp {
    my ($file, $from) = @_;

    open my $fh, '<:raw', $file or return '';
    seek $fh, $from // 0, 0;
    local $/;
    return <$fh> // '';
}


sub stop {
    my ($self) = @_;

    if ($self->{pid}) {
        kill 'QUIT', $self->{pid};

        unless (await(sub { waitpid($self->{pid}, WNOHANG) != 0 })) {
            kill 'KILL', $self->{pid};
            waitpid $self->{pid}, 0;
            Test::More::diag('nginx did not end by itself');
        }

        delete $self->{pid};
    }

    remove_tree($self->{dir});
    Running::remove($self);
}


# Ends nginx and tests its log: no alert, no crash, nothing kept open. Call it
# last. A test that provokes an alert names it by a pattern.

sub finish {
    my ($self, $allowed) = @_;

    kill 'QUIT', $self->{pid};

    ok(await(sub { waitpid($self->{pid}, WNOHANG) != 0 }),
        'nginx ends gracefully');
    delete $self->{pid};

    # hundreds of megabytes, maybe

    my @alerts;

    for my $file ('error.log', 'stderr') {
        open my $fh, '<:raw', "$self->{dir}/logs/$file" or next;

        while (<$fh>) {
            next unless /\[(?:alert|emerg)\]|exited on signal|[Ss]anitizer
                |:[ ]runtime[ ]error:/x;
            push @alerts, $_ unless $allowed && /$allowed/;
        }
    }

    is(join('', @alerts), '', 'no alert in the log');

    $self->stop;
}


1;
