package Careless;

# An image whose sshd allows what ours refuses, as what fails there as well
# would prove nothing about ours; and a kernel that can't limit it.

use warnings;
use strict;

use Exporter 'import';
use JSON::PP;

use Container qw(build directory image write_file);

our @EXPORT_OK = qw(careless without_landlock);

my $config = <<'EOT';
UsePAM no
AllowUsers root nobody
PermitRootLogin yes
AuthenticationMethods any
PasswordAuthentication yes
AuthorizedKeysFile /etc/ssh/careless_keys
AuthorizedKeysCommand none
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
AllowAgentForwarding yes
GatewayPorts clientspecified
PermitOpen any
PermitListen any
PermitTunnel yes
PermitTTY yes
X11Forwarding yes
XAuthLocation /bin/true
MaxSessions 10
Subsystem sftp internal-sftp
PerSourcePenalties authfail:30s min:1s
EOT

# in place of the programs that have the kernel limit sshd

my $capable = <<'EOT';
#!/bin/sh
exec "$@"
EOT

# in place of the service that ends sessions which it has not allowed

my $lenient = <<'EOT';
#!/bin/sh
echo >&3
exec sleep infinity
EOT

my $unlimited = <<'EOT';
#!/bin/sh
[ "$1" != --available ] || exit 1
shift
exec "$@"
EOT


# These public keys may log in, as any user, and all may with the password.

sub careless {
    my ($password, @keys) = @_;

    return build('FROM ' . image() . "\n" . <<'EOT',
COPY careless careless_keys /etc/ssh/
COPY password /tmp/
COPY landlock-tcp few-capabilities sessions /usr/lib/monitoring-proxy/
RUN chmod 644 /etc/ssh/careless_keys \
    && cd /usr/lib/monitoring-proxy \
    && chmod 755 landlock-tcp few-capabilities sessions \
    && f=/usr/lib/monitoring-proxy/sshd_config \
    && cat /etc/ssh/careless $f > /tmp/config && cat /tmp/config > $f \
    && sed -i '/^monitoring:/s|:[^:]*$|:/bin/sh|' /etc/passwd \
    && sed -i "s|^monitoring:[^:]*|monitoring:$(cat /tmp/password)|" \
        /etc/shadow
EOT
        careless => $config,
        'landlock-tcp' => $unlimited,
        'few-capabilities' => $capable,
        sessions => $lenient,
        careless_keys => join('', map { "$_\n" } @keys),
        password => crypt($password, '$6$salt$'));
}


# Options for a proxy that finds no Landlock, as on an older kernel.

sub without_landlock {
    my $file = write_file(directory() . '/seccomp', encode_json({
        defaultAction => 'SCMP_ACT_ALLOW',
        syscalls => [ {
            names => [ map { "landlock_$_" }
                qw(create_ruleset add_rule restrict_self) ],
            action => 'SCMP_ACT_ERRNO',
            errnoRet => 38 } ] }));

    return ('--security-opt', "seccomp=$file");
}


1;
