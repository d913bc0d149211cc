package Peers;

# A board of WireGuard peers as monitoring-proxy-wireguard writes it, for tests
# of those who read it; see ngx_prom_proxy_module/ngx_prom_peers.h.

use warnings;
use strict;

use MIME::Base64;
use Time::HiRes qw(time);

use Board;

our @ISA = ('Board');

use constant MAGIC => 0x3177706d;


# Changes the head: nodes, loaded (s), failures, reason (undef: none failed).

sub head {
    my ($self, %o) = @_;

    my $head = $self->{head};
    %$head = (%$head, %o);

    my $reason = $head->{reason} // '';

    $self->guarded(8, 12, pack('LQQLLa512', $head->{nodes} // 0,
        1000 * ($head->{loaded} // 0), $head->{failures} // 0,
        $reason ne '' ? 1 : 0, length $reason, $reason), $o{torn});
}


# Writes the record of an address: key (base64), handshake (so many seconds
# ago; undef: never), rx, tx, endpoint.

sub peer {
    my ($self, $address, %o) = @_;

    my $offset = Board::HEAD + Board::RECORD * number($address);

    $self->guarded($offset, $offset + 4, pack('LQQQa32a64', 0,
        defined $o{handshake} ? time - $o{handshake} : 0, $o{rx} // 0,
        $o{tx} // 0, decode_base64($o{key}), $o{endpoint} // '192.0.2.7:51820'),
        $o{torn});
}


# The low 16 bits of 10.87.0.2 or of fd87::1:2.

sub number {
    my ($address) = @_;

    return 256 * $1 + $2 if $address =~ /(\d+)\.(\d+)\z/;
    return hex $1 if $address =~ /:(\w+)\z/;
    die "$address is no address\n";
}


1;
