package Systemd;

# A container whose first process is systemd, so that units are started as they
# are on a host, with their confinement.

use warnings;
use strict;

use parent 'Container';

use Container qw(await);

# No service of the image is started, but what all units have. The cgroups that
# docker has mounted can't be written to, and may be of version 1; and units'
# secrets are mounted, which is to be seen by others.

my @command = ('unshare', '--cgroup', 'sh', '-ec', 'mount --make-rshared /; '
    . 'mount -t cgroup2 cgroup2 /sys/fs/cgroup; '
    . 'exec /lib/systemd/systemd --unit=basic.target');

# units are given namespaces, which root may enter

my @options = ('--cap-add', 'SYS_ADMIN', '--cap-add', 'SYS_PTRACE',
    '--security-opt', 'seccomp=unconfined',
    '--security-opt', 'apparmor=unconfined',
    '--tmpfs', '/run', '--tmpfs', '/run/lock', '-e', 'container=docker');


# The options of Container->run, but command; the image has systemd in it.
# Dies if that doesn't come up.

sub boot {
    my ($class, %o) = @_;

    my $self = $class->run(%o, command => \@command,
        options => [ @options, @{ $o{options} // [] } ]);
    my $up = qr/^(?:running|degraded)$/;
    my $state;

    await(60, sub {
        $state = $self->exec('systemctl', 'is-system-running')->{out};
        return $state =~ $up || !$self->running;
    });

    $state =~ $up or die "systemd doesn't run: $state" . $self->logs;

    return $self;
}


1;
