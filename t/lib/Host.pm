package Host;

# A monitored host: a container on a network of its own, with node_exporter on
# its localhost:9100 and ssh, of the image that has what tests need.

use warnings;
use strict;

use Container qw(directory network read_file test_image write_file);
use Proxy qw(key public_key);

our @ISA = qw(Container);

my $ssh_config = <<'EOF';
Host *
    User                    monitoring
    IdentitiesOnly          yes
    BatchMode               yes
    StrictHostKeyChecking   no
    UserKnownHostsFile      /dev/null
    GlobalKnownHostsFile    /dev/null
    ConnectTimeout          10
    ServerAliveInterval     5
    ServerAliveCountMax     2
    ExitOnForwardFailure    yes
    LogLevel                ERROR
EOF

# what the scripts of sh() can use: S is the server's name, KEY another key

my $functions = <<'EOF';
KEY=/keys/id
with_key() { timeout 15 "$1" -F /keys/config -i "$KEY" "${@:2}"; }
ssh()  { with_key ssh "$@"; }
sftp() { with_key sftp "$@"; }
scp()  { with_key scp "$@"; }
get()  { curl -s -f -m 5 "$@"; }

# with OPTIONS COMMAND: while the forwards of the options stand
with() {
    rm -f /tmp/control
    ssh -M -S /tmp/control -f -N -T $1 "$S" || return 1
    eval "$2"
    set -- $?
    ssh -S /tmp/control -O exit "$S" 2> /dev/null
    return $1
}
EOF


# Options: options (docker's), keys (labels of more keys than "other" and
# "unknown" that are to be in /keys).

sub start {
    my ($class, %o) = @_;

    my $network = network();
    my $keys = directory();

    write_file("$keys/id", read_file(key()), 0600);
    write_file("$keys/$_", read_file(key('ed25519', $_)), 0600)
        for qw(other unknown), @{ $o{keys} // [] };
    write_file("$keys/config", $ssh_config);

    my $self = $class->run(image => test_image(),
        options => [ '--network', $network, '-v', "$keys:/keys:ro",
            @{ $o{options} // [] } ],
        command => [ 'prometheus-node-exporter',
            '--web.listen-address=localhost:9100' ]);

    $self->{network} = $network;

    return $self;
}


# Puts a proxy within the host's reach, under a name.

sub reaches {
    my ($self, $proxy, $name) = @_;

    my $r = Container::docker('network', 'connect', '--alias', $name,
        $self->{network}, $proxy->name);
    $r->{status} == 0 or die $r->{out};
}


# Runs a script on the host, with S set to the name of a proxy; its status and
# output as command() has them.

sub sh {
    my ($self, $server, $script) = @_;

    return $self->exec('bash', '-c', "S=$server\n$functions\n$script");
}


1;
