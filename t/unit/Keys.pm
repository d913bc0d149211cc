package Keys;

# Public keys, made byte by byte: right ones, and wrong in one place.

use warnings;
use strict;

use Exporter 'import';
use MIME::Base64;

our @EXPORT = qw(ecdsa ed25519 key line mpint rsa sk wire);


# a string of the wire

sub wire {
    my ($bytes) = @_;

    return pack 'N/a*', $bytes;
}


# a number over zero of so many bits

sub mpint {
    my ($bits, $seed) = @_;

    my $top = ($bits - 1) % 8;
    my $bytes = int(($bits + 7) / 8);
    my $number = chr(1 << $top) . substr $seed x $bytes, 0, $bytes - 1;

    return wire($top == 7 ? "\0$number" : $number);
}


# the bytes of keys

sub ed25519 {
    my ($seed) = @_;

    return wire('ssh-ed25519') . wire(substr $seed x 32, 0, 32);
}

sub rsa {
    my ($bits, $seed) = @_;

    return wire('ssh-rsa') . wire("\1\0\1") . mpint($bits, $seed);
}

sub ecdsa {
    my ($bits, $seed) = @_;

    my $bytes = 2 * int(($bits + 7) / 8);

    return wire("ecdsa-sha2-nistp$bits") . wire("nistp$bits")
        . wire("\4" . substr $seed x $bytes, 0, $bytes);
}

sub sk {
    my ($seed) = @_;

    return wire('sk-ssh-ed25519@openssh.com')
        . wire(substr $seed x 32, 0, 32) . wire('ssh:');
}


# TYPE BASE64 of bytes, whose type may be told to be another

sub key {
    my ($bytes, $type) = @_;

    $type //= unpack 'N/a*', $bytes;

    return "$type " . encode_base64($bytes, '');
}


# A file with {ed a}, {rsa 2048 a}, {ecdsa 256 a} and {sk a} for keys.

sub line {
    my ($text) = @_;

    $text =~ s/\{ed (\w)\}/key(ed25519($1))/ge;
    $text =~ s/\{rsa (\d+) (\w)\}/key(rsa($1, $2))/ge;
    $text =~ s/\{ecdsa (\d+) (\w)\}/key(ecdsa($1, $2))/ge;
    $text =~ s/\{sk (\w)\}/key(sk($1))/ge;

    return $text;
}

1;
