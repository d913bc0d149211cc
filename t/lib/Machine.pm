package Machine;

# A machine to set up by Ansible, with systemd and an sshd that knows one key;
# and Ansible, to set it up from here.

use warnings;
use strict;

use parent 'Systemd';

use Container qw(command directory write_file);
use FindBin;

my $image = 'monitoring-proxy-test:machine';
my ($made, $key);

my $ansible = "$FindBin::Bin/../deploy/ansible";


sub image {
    $made //= do {
        my $d = "$FindBin::Bin/../scripts/test.d";
        my $r = command({ seconds => 600 }, 'docker', 'build', '-q', '-t',
            $image, '-f', "$d/Dockerfile.machine", $d);

        $r->{status} == 0 or die "building $image: $r->{out}";
        1;
    };

    return $image;
}


# The controller's own directory: its key, known_hosts, what Ansible keeps.

sub controller {
    $key //= do {
        my $dir = directory();
        my $r = command('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f',
            "$dir/key");

        $r->{status} == 0 or die "ssh-keygen: $r->{out}";
        $dir;
    };

    return $key;
}


# Options as those of Systemd->boot, and no_ipv6.

sub boot {
    my ($class, %o) = @_;

    my $self = $class->SUPER::boot(image => image(), %o, options => [
        '--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun',
        (map { ('--sysctl', "net.ipv6.conf.$_.disable_ipv6="
            . ($o{no_ipv6} ? 1 : 0)) } qw(all default)),
        @{ $o{options} // [] } ]);

    open my $fh, '<', controller() . '/key.pub' or die "key.pub: $!\n";
    my $public = <$fh>;

    my $r = $self->exec({ input => $public }, 'sh', '-ec',
        'install -d -m 700 /root/.ssh; cat > /root/.ssh/authorized_keys; '
        . 'rm -f /run/nologin; ssh-keygen -qA; systemctl start ssh');

    $r->{status} == 0 or die "sshd doesn't start: $r->{out}";

    return $self;
}


# Options as docker's network has them.

sub address {
    my ($self) = @_;

    return $self->{address} //= $self->ip;
}


# A command of Ansible's, with the inventory's text: what it is, its arguments.
# Returns its status and what it said, and for a playbook what its recap has:
# {NAME}{changed} and so on.

sub ansible {
    my ($inventory, $command, @arguments) = @_;

    my $dir = controller();
    write_file("$dir/inventory.yml", $inventory);

    my $r = command({ seconds => 400 }, 'env', '-C', $ansible,
        "HOME=$dir", 'LC_ALL=C.UTF-8', 'ANSIBLE_NOCOLOR=1', 'ANSIBLE_FORKS=6',
        "ANSIBLE_LOCAL_TEMP=$dir/tmp", "ANSIBLE_PRIVATE_KEY_FILE=$dir/key",
        "ANSIBLE_SSH_CONTROL_PATH_DIR=$dir/cp",
        "ANSIBLE_SSH_COMMON_ARGS=-o StrictHostKeyChecking=accept-new"
        . " -o UserKnownHostsFile=$dir/known_hosts",
        $command, '-i', "$dir/inventory.yml", @arguments);

    my ($recap) = $r->{out} =~ /^PLAY RECAP \*+\n(.*)/ms;

    while (($recap // '') =~ /^(\S+)\s+:((?: +\w+=\d+)+)/mg) {
        my ($name, $counts) = ($1, $2);
        $r->{recap}{$name} = { $counts =~ /(\w+)=(\d+)/g };
    }

    return $r;
}


1;
