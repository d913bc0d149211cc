package Node;

# A machine that joins a proxy by WireGuard: a container with node_exporter on
# all of its addresses, of the image that has what tests need.

use warnings;
use strict;

use Container qw(directory network test_image);
use Proxy;

our @ISA = qw(Container);

# what WireGuard needs of docker, beside wg0's IPv6 where eth0 has none

our @rights = ('--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun',
    '--sysctl', 'net.ipv6.conf.default.disable_ipv6=0');


# A proxy with WireGuard, on a network, where it is called "monitor". Options as
# Proxy->start takes them.

sub monitor {
    my (%o) = @_;

    my $network = $o{network} // network();

    my $proxy = Proxy->start(key => undef, directory => directory(),
        writable => 1, %o, network => $network,
        options => [ '--network', $network, '--network-alias', 'monitor',
            @rights, @{ $o{options} // [] } ],
        env => { MONITORING_PROXY_WIREGUARD => 'on',
            MONITORING_PROXY_ADVERTISE => 'monitor', %{ $o{env} // {} } });

    $proxy->{wireguard} = "$proxy->{files}{directory}/wireguard";

    return $proxy;
}


# What a command of "monitoring-proxy wg" prints, stdout alone; its messages
# are in $proxy->{said}.

sub wg {
    my ($proxy, @words) = @_;

    my $r = $proxy->exec('sh', '-c', 'monitoring-proxy wg "$@" 2> /run/said',
        'sh', @words);
    $proxy->{said} = $proxy->exec('cat', '/run/said')->{out};
    $proxy->{status} = $r->{status};
    chomp $r->{out};

    return $r->{out};
}


# Options: network, options (docker's), exporter (where it listens).

sub start {
    my ($class, %o) = @_;

    my $self = $class->run(image => test_image(),
        options => [ '--network', $o{network}, @rights,
            @{ $o{options} // [] } ],
        command => [ 'prometheus-node-exporter',
            '--web.listen-address=' . ($o{exporter} // ':9100'),
            '--collector.textfile.directory=/tmp' ]);

    $self->{network} = $o{network};

    return $self;
}


# The parts of an invitation's URL.

sub parts {
    my ($url) = @_;

    my ($host, $name, $token, $pin)
        = $url =~ m{^https://([^/]+)/(.+)/([\w-]{43})\.([\w-]{43})$}
        or die "no invitation: $url\n";

    return { host => $host, name => $name, token => $token,
        pin => ($pin =~ tr{-_}{+/}r) . '=' };
}


# Makes a key, and prints its public half.

sub key {
    my ($self, $file) = @_;

    $file //= '/etc/wireguard/key';

    return $self->exec('sh', '-c', 'umask 077; mkdir -p /etc/wireguard;'
        . " wg genkey > $file; wg pubkey < $file")->{out} =~ s/\n//r;
}


# Enrols by hand, as the protocol has it: status and body of the answer, and its
# lines by their first word. CHANGED has what differs from the invitation.

sub enrol {
    my ($self, $url, $key, %changed) = @_;

    my %part = (%{ parts($url) }, %changed);
    my $body = $changed{body} // qq({"name":"$part{name}",)
        . qq("token":"$part{token}","public_key":"$key"});

    my $r = $self->exec({ input => $body, seconds => 40 }, 'curl', '-sS', '-k',
        '-m', '30', '--pinnedpubkey', "sha256//$part{pin}", '-H',
        'Content-Type: application/json', '--data-binary', '@-', '-w',
        '\n%{http_code}', "https://$part{host}/enrol");

    my ($text, $status) = $r->{out} =~ /\A(.*)\n(\d+)\z/s;
    my %answer = (status => $status // "curl: $r->{out}", body => $text // '');

    for (split /\n/, $answer{body}) {
        my ($word, $value) = split / /, $_, 2;
        push @{ $answer{$word} }, $value if $answer{status} eq '200';
    }

    return \%answer;
}


# Brings wg0 up by what an enrolment answered.

sub up {
    my ($self, $answer, $file) = @_;

    $file //= '/etc/wireguard/key';
    my ($port) = @{ $answer->{port} };
    my $address = join ', ', @{ $answer->{address} };
    my $allowed = join ', ', @{ $answer->{allowed} };

    my ($monitor) = $allowed =~ m{^([\d.]+)/32};
    my $conf = <<"EOT";
[Interface]
Address = $address
PreUp = nft -f /etc/wireguard/wg0.nft
PrivateKey = KEY

[Peer]
PublicKey = $answer->{peer}[0]
Endpoint = $answer->{endpoint}[0]
AllowedIPs = $allowed
PersistentKeepalive = $answer->{keepalive}[0]
EOT

    my $nft = <<"EOT";
table inet monitoring_proxy
delete table inet monitoring_proxy
table inet monitoring_proxy {
    chain input {
        type filter hook input priority filter; policy accept;
        iifname "wg0" jump wg
        iifname != { "wg0", "lo" } tcp dport $port drop
    }
    chain wg {
        ct state established,related accept
        ip saddr $monitor tcp dport $port accept
        icmp type echo-request accept
        drop
    }
}
EOT

    my $r = $self->exec({ input => "$conf\0$nft" }, 'bash', '-c', 'umask 077;'
        . ' cd /etc/wireguard; IFS= read -r -d "" conf; echo "${conf/KEY/$('
        . "cat $file)}\" > wg0.conf; cat > wg0.nft; wg-quick up wg0");
    $self->{up} = $r->{out};
    $self->{address} = $answer->{address};

    return $r->{status} == 0;
}


# Whether a page answers within seconds.

sub gets {
    my ($self, $url, @options) = @_;

    return $self->exec('curl', '-sS', '-k', '-m', '3', '-o', '/dev/null',
        @options, $url)->{status} == 0;
}


sub pings {
    my ($self, $address, @options) = @_;

    return $self->exec('busybox', 'ping', '-c', '1', '-W', '2', @options,
        $address)->{status} == 0;
}

1;
