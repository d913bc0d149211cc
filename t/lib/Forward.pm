package Forward;

# What tests of the forward proxy share: certificates, users, and the parts of
# a configuration that are the same in most of them.

use warnings;
use strict;

use Exporter 'import';
use IO::Select;
use IO::Socket::IP;
use MIME::Base64;

use Http;
use Nginx;

our @EXPORT = qw(asked authority basic certificate connect_head forward_server
    forward_stream hashed local_address);


sub openssl {
    my ($dir, $what) = @_;

    system("openssl $what 2>>$dir/openssl.log") == 0
        or die "openssl $what: " . Nginx::slurp("$dir/openssl.log");
}


# A certificate authority, DIR/NAME.crt.

sub authority {
    my ($dir, $name) = @_;

    openssl($dir, 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 '
        . "-nodes -days 2 -subj '/CN=authority $name' "
        . "-keyout $dir/$name.key -out $dir/$name.crt");
}


# A certificate DIR/NAME.crt, and its key. Options: ca, a name as above, or it
# signs itself; names, as subjectAltName has them; cn; days.

sub certificate {
    my ($dir, $name, %o) = @_;

    my $cn = $o{cn} // $name;
    my $names = $o{names} ? "subjectAltName=$o{names}" : 'nsComment=none';
    my $by = $o{ca} ? "-CA $dir/$o{ca}.crt -CAkey $dir/$o{ca}.key" : '';
    my @dates = $o{expired}
        ? qw(-not_before 20200101000000Z -not_after 20210101000000Z)
        : ('-days', 2);

    openssl($dir, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        . "-nodes @dates -subj '/CN=$cn' -addext '$names' "
        . "-addext basicConstraints=critical,CA:FALSE $by "
        . "-keyout $dir/$name.key -out $dir/$name.crt");
}


# A line of a file of users, cheap to check.

sub hashed {
    my ($user, $password, $cost) = @_;

    return "$user:" . crypt($password,
        sprintf '$2b$%02d$%s', $cost // 4, 'abcdefghijklmnopqrstuu') . "\n";
}


# A server of http for requests in absolute form, by the block NAME. listen is
# where it can be asked without stream; more is for the location.

sub forward_server {
    my ($name, $listen, $more) = @_;

    $more //= '';

    return <<"END";
server {
    listen $listen;
    prom_forward_server $name;
    location / {
        prom_forward $name;
        proxy_pass \$prom_proxy_scheme://prom_proxy\$prom_forward_uri;
        proxy_set_header Host \$prom_proxy_host;
        proxy_set_header Connection "";
        proxy_set_header CheckMe \$prom_forward_checkme;
        proxy_ssl_server_name on;
        proxy_ssl_name \$prom_proxy_host;
        error_page 500 502 503 504 \@forward_error;
        $more
    }
    location \@forward_error {
        internal;
        prom_forward_error;
    }
}
END
}


# A server of stream, which has both forms: http's is the one above.

sub forward_stream {
    my ($name, $listen, $more) = @_;

    $more //= '';

    return <<"END";
server {
    listen $listen;
    prom_forward $name;
    proxy_pass prom_forward;
    proxy_half_close on;
    $more
}
END
}


# The header of a user.

sub basic {
    return 'Proxy-Authorization: Basic ' . encode_base64($_[0], '');
}


# What is said to one request for a target in a form, "http" or "connect", on a
# connection of its own; as Http.pm has it. The body of what is allowed is the
# target's in both forms. Options: headers; path.

sub asked {
    my ($form, $port, $target, %o) = @_;

    my $path = $o{path} // '/';
    my @headers = @{ $o{headers} // [] };

    if ($form eq 'http') {
        return Http::request($port, path => "http://$target$path",
            headers => [ 'Host: x', @headers ]);
    }

    my $s = Http::connection($port);

    Http::send_request($s, raw => join "\r\n",
        "CONNECT $target HTTP/1.1", "Host: x", @headers, '', '');

    my $r = connect_head($s);

    if ($r->{status} == 200) {
        Http::send_request($s, path => $path);
        $r->{body} = Http::read_response($s)->{body};
    }

    return $r;
}


# What a CONNECT is answered: nothing is read that is a tunnel's. socket is that
# of the tunnel.

sub connect_head {
    my ($s) = @_;

    my $text = '';
    1 while $text !~ /\r\n\r\n\z/ && more($s, \$text, 1);

    my $headers = Http::fields($text);
    my $length = $headers->{'content-length'} // 0;
    my $body = '';
    1 while length $body < $length && more($s, \$body, $length);

    my ($line) = $text =~ /\A([^\r\n]*)/;
    my ($status) = $line =~ m{^HTTP/\S+ (\d+)};

    return { status => $status // 0, line => $line, headers => $headers,
        body => $body, socket => $s };
}


sub more {
    my ($s, $text, $most) = @_;

    return IO::Select->new($s)->can_read(60)
        && sysread $s, $$text, $most, length $$text;
}


# An address of this machine that isn't loopback, or nothing; of IPv6 if asked
# for 6. Nothing is sent to find it.

sub local_address {
    my ($version) = @_;

    my $far = ($version // 4) == 6 ? '2001:db8::1' : '192.0.2.1';
    my $s = IO::Socket::IP->new(PeerHost => $far, PeerPort => 9,
        Type => Socket::SOCK_DGRAM()) or return;

    return $s->sockhost;
}


1;
