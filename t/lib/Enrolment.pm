package Enrolment;

# A stand-in for the proxy's side of WireGuard: a container with an interface
# wg0 of wireguard-go's, and port 4443, where enrolments are answered as they
# should be or as a test wants. Nodes join its network.

use warnings;
use strict;

use parent 'Container';

use Container qw(await directory network write_file);

my $token = 'T' x 43;

# what answers behind nginx' TLS: /tmp/answer if that is there, nothing at all
# where /tmp/hang is; else a node that asks becomes the only peer

my $server = <<'END';
use strict;
use warnings;
use IO::Socket::INET;

$SIG{CHLD} = 'IGNORE';
my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1:8000',
    Listen => 16, ReuseAddr => 1) or die "$!\n";

while (my $client = $socket->accept) {
    next if fork;
    $SIG{CHLD} = 'DEFAULT';

    my ($text, $body) = ('', '');
    while ($text !~ /\r\n\r\n/) { sysread $client, $text, 4096, length $text or exit }
    my ($size) = $text =~ /^content-length: (\d+)/mi or exit;
    while (length($text) - index($text, "\r\n\r\n") - 4 < $size) {
        sysread $client, $text, 4096, length $text or exit;
    }

    open my $log, '>>', '/tmp/requests' or die;
    print $log "$text\n";
    close $log;

    if (-e '/tmp/hang') { 1 while sysread $client, $text, 4096; exit }

    if (open my $answer, '<:raw', '/tmp/answer') {
        local $/;
        print $client scalar <$answer>;
        exit;
    }

    my ($key) = $text =~ /"public_key":"([^"]+)"/ or exit;
    my ($name) = $text =~ /"name":"([^"]+)"/ or exit;

    for my $peer (split /\n/, `wg show wg0 peers`) {
        system 'wg', 'set', 'wg0', 'peer', $peer, 'remove' if $peer ne $key;
    }

    system 'wg', 'set', 'wg0', 'peer', $key, 'allowed-ips',
        '10.87.0.2/32,fd87:1:2::2/128' and exit;

    open my $lines, '<', '/tmp/lines' or die;
    my $good = join '', <$lines>;
    $good = "name $name\n$good";
    printf $client "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        . "Content-Length: %d\r\n\r\n%s", length $good, $good;
    exit;
}
END

my $nginx = <<'END';
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 1;
events { }
stream {
    server {
        listen 4443 ssl;
        ssl_certificate /tmp/tls.crt;
        ssl_certificate_key /tmp/tls.key;
        proxy_pass 127.0.0.1:8000;
        proxy_timeout 60s;
    }
}
END


# Options: image, those of docker.

sub start {
    my ($class, %o) = @_;

    my $network = network();
    my $dir = directory();
    write_file("$dir/server", $server);
    write_file("$dir/nginx.conf", $nginx);

    my $self = $class->run(image => $o{image}, options => [
        '--network', $network, '--network-alias', 'proxy', '--init',
        '--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun',
        '--sysctl', 'net.ipv6.conf.all.disable_ipv6=0',
        '-v', "$dir:/t:ro", @{ $o{options} // [] } ],
        command => [ 'sleep', 'infinity' ]);
    $self->{network} = $network;

    $self->must(<<'END');
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 2 \
    -subj /CN=proxy -keyout /tmp/tls.key -out /tmp/tls.crt 2> /dev/null
umask 077; wg genkey > /tmp/key
wireguard-go wg0
wg set wg0 private-key /tmp/key listen-port 51820
ip address add 10.87.0.1/16 dev wg0
ip address add fd87:1:2::1/64 dev wg0
ip link set wg0 up
cat > /tmp/lines << LINES
address 10.87.0.2/32
address fd87:1:2::2/128
peer $(wg show wg0 public-key)
endpoint proxy:51820
allowed 10.87.0.1/32
allowed fd87:1:2::1/128
port 9100
keepalive 25
LINES
cp /tmp/lines /tmp/good
setsid perl /t/server > /tmp/server.log 2>&1 &
nginx -c /t/nginx.conf
END

    $self->{pin} = $self->must('openssl x509 -pubkey -noout -in /tmp/tls.crt '
        . '| openssl pkey -pubin -outform der | openssl dgst -sha256 -binary '
        . '| base64 | tr +/ -_ | tr -d "=\n"');
    $self->{peer} = $self->must('wg show wg0 public-key | tr -d "\n"');

    return $self;
}


# What a script says, which may not fail.

sub must {
    my ($self, $script) = @_;

    my $r = $self->exec('sh', '-ec', $script);
    $r->{status} == 0 or die $r->{out};

    return $r->{out};
}


# A TOKEN-URL. Options: name, token, pin, host.

sub url {
    my ($self, %o) = @_;

    return 'https://' . ($o{host} // 'proxy:4443') . '/'
        . ($o{name} // 'web-1') . '/' . ($o{token} // $token) . '.'
        . ($o{pin} // $self->{pin});
}


# The next answers: lines behind "name", or all of an answer.

sub lines {
    my ($self, $text) = @_;

    $self->exec({ input => $text }, 'sh', '-c', 'cat > /tmp/lines');
}


sub good { $_[0]->must('cat /tmp/good') }


sub answer {
    my ($self, $text) = @_;

    return $self->must('rm -f /tmp/answer /tmp/hang') if !defined $text;
    $self->exec({ input => $text }, 'sh', '-c', 'cat > /tmp/answer');
}


sub http {
    my ($self, $status, $text, @headers) = @_;

    $self->answer(join("\r\n", "HTTP/1.1 $status", @headers,
        'Content-Length: ' . length $text, '', $text));
}


# What has been asked since the last call.

sub requests {
    my ($self) = @_;

    return $self->must('cat /tmp/requests 2> /dev/null || true; '
        . 'rm -f /tmp/requests');
}


# A node: a container on the network. Options as start() has them.

sub node {
    my ($self, %o) = @_;

    my $class = $o{class} // 'Container';
    my $options = [ '--network', $self->{network}, '--hostname', 'web-1',
        '--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun',
        @{ $o{options} // [] } ];

    return $class->boot(image => $o{image}, options => $options)
        if $class->can('boot');

    return $class->run(image => $o{image}, options => [ @$options, '--init' ],
        command => [ 'prometheus-node-exporter' ]);
}


1;
