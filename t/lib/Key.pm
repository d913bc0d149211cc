package Key;

# Public keys that are right in form, for hosts and nodes files of tests in
# which nobody logs in.

use warnings;
use strict;

use Digest::SHA qw(sha256);
use Exporter 'import';
use MIME::Base64;

our @EXPORT = qw(public_key wireguard_key);


# "TYPE BASE64", another one for each text.

sub public_key {
    my ($text) = @_;

    return 'ssh-ed25519 ' . encode_base64(pack('N/a* N/a*', 'ssh-ed25519',
        sha256($text)), '');
}


# A node's public key, another one for each text.

sub wireguard_key { return encode_base64(sha256($_[0]), '') }


1;
