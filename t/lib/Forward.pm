package Forward;

# What tests of the forward proxy share: certificates, users, and the parts of
# a configuration that are the same in most of them.

use warnings;
use strict;

use Exporter 'import';
use Nginx;

our @EXPORT = qw(authority certificate forward_server hashed local_address);


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


# An address of this machine that isn't loopback, or nothing.

sub local_address {
    my $s = IO::Socket::IP->new(PeerHost => '192.0.2.1', PeerPort => 9,
        Type => Socket::SOCK_DGRAM()) or return;

    return $s->sockhost;
}


1;
