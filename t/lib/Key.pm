package Key;

# Public keys that are right in form, for hosts files of tests in which nobody
# logs in.

use warnings;
use strict;

use Digest::SHA qw(sha256);
use Exporter 'import';
use MIME::Base64;

our @EXPORT = qw(public_key);


# "TYPE BASE64", another one for each text.

sub public_key {
    my ($text) = @_;

    return 'ssh-ed25519 ' . encode_base64(pack('N/a* N/a*', 'ssh-ed25519',
        sha256($text)), '');
}


1;
