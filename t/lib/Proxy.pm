package Proxy;

# A container of the image under test, and how hosts and Prometheus use it.

use warnings;
use strict;

use Exporter 'import';
use JSON::PP ();
use Time::HiRes ();

use Container qw(await command directory write_file);
use Http;

our @ISA = qw(Container Exporter);
our @EXPORT_OK = qw(@confined entry key public_key);

# options that leave a proxy no more rights than it needs

our @confined = ('--read-only', '--tmpfs', '/run', '--cap-drop', 'ALL',
    (map { ('--cap-add', $_) } qw(SETUID SETGID SYS_CHROOT NET_BIND_SERVICE)),
    '--security-opt', 'no-new-privileges');

my ($keys, %kept);


# The path of a private key, made on first use; TYPE may have "-BITS". Keys
# with a different label are different keys.

sub key {
    my ($type, $label) = @_;

    $type //= 'ed25519';
    $label //= '';

    return $kept{"$type $label"} //= do {
        $keys //= directory();
        my $path = "$keys/$type$label";
        my ($name, $bits) = split /-/, $type;

        my $r = command('ssh-keygen', '-q', '-t', $name, '-N', '', '-C',
            "key of a test", $bits ? ('-b', $bits) : (), '-f', $path);
        $r->{status} == 0 or die "ssh-keygen: $r->{out}";

        $path;
    };
}


sub public_key {
    my $text = Container::read_file(key(@_) . '.pub');
    chomp $text;

    return $text;
}


# A key as a line of the hosts file has it: its type and its base64.

sub entry {
    my ($type, $blob) = split / /, public_key('ed25519', $_[0]);

    return "$type $blob";
}


# Options: targets, hosts, ssh_ca and conf (texts of files), directory (where
# the first three are to be, and may be already), writable (so that the proxy
# can change them), key (the variable's text; the default key's, if not given,
# and unset if undef), env (a hash), options and image as Container->run takes
# them, network that is the test's way to it.

sub start {
    my ($class, %o) = @_;

    my ($files, @options) = options(%o);
    my $self = $class->run(image => $o{image}, options => \@options);

    $self->{files} = $files;
    $self->{network} = $o{network};

    $self->ready or die "$self->{name} doesn't answer: " . $self->logs;

    return $self;
}


# One that is refused: its exit status and what it said. Options as above.

sub refused {
    my ($class, %o) = @_;

    my (undef, @options) = options(%o);

    return $class->run_to_end(image => $o{image}, options => \@options);
}


sub options {
    my (%o) = @_;

    my @options = @{ $o{options} // [] };
    my %env = %{ $o{env} // {} };
    my %files;

    my $key = exists $o{key} ? $o{key} : public_key();
    $env{MONITORING_PROXY_PUBLIC_KEY} = $key if defined $key;

    my %text = (targets => $o{targets}, hosts => $o{hosts},
        'ssh_ca.pub' => $o{ssh_ca});
    my @given = grep { defined $text{$_} } sort keys %text;

    if (@given || defined $o{directory}) {
        $files{directory} = $o{directory} // directory();
        write_file("$files{directory}/$_", $text{$_}) for @given;
        push @options, '-v', "$files{directory}:/etc/monitoring"
            . ($o{writable} ? '' : ':ro');
    }

    if (defined $o{conf}) {
        $files{conf} = write_file(directory() . '/monitoring-proxy.conf',
            $o{conf});
        push @options, '-v',
            "$files{conf}:/etc/nginx/conf.d/monitoring-proxy.conf:ro";
    }

    return (\%files, @options, map { ('-e', "$_=$env{$_}") } sort keys %env);
}


sub address {
    my ($self) = @_;

    return $self->{address} //= $self->ip($self->{network});
}


# After a restart docker may give another address.

sub moved { delete $_[0]{address} }


sub ready {
    my ($self, $seconds) = @_;

    return await($seconds // 60, sub {
        $self->moved;
        $self->http(path => '/-/ready', timeout => 1)->{status} == 200
            && $self->banner =~ /^SSH-2\.0-/;
    });
}


sub http {
    my ($self, %o) = @_;

    return Http::request(80, host => $self->address, %o);
}


sub scrape { $_[0]->http(path => $_[1]) }


# What sshd says first.

sub banner {
    my ($self) = @_;

    my $s = Http::connection(22, $self->address);
    my $text = '';

    local $SIG{ALRM} = sub { die "no banner\n" };
    alarm 5;
    my $line = eval { <$s> } // '';
    alarm 0;

    return $line =~ s/\s+$//r;
}


# ssh from here: options in front of the words that follow the address.

sub ssh {
    my ($self, $options, @words) = @_;

    my @key = grep({ $_ eq '-i' } @$options) ? () : ('-i', key());

    return command({ seconds => 30 }, 'ssh', @key, ssh_options(), @$options,
        'monitoring@' . $self->address, @words);
}


sub ssh_options {
    return map { ('-o', $_) } 'BatchMode=yes', 'IdentitiesOnly=yes',
        'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null',
        'GlobalKnownHostsFile=/dev/null', 'ConnectTimeout=10',
        'LogLevel=ERROR';
}


# Opens a tunnel from here as a monitored host does: PORT of the proxy leads to
# LOCAL on this machine. True if it stands; it lives until close_tunnel().

sub tunnel {
    my ($self, $port, $local, @options) = @_;

    my $socket = directory() . '/s';
    my $r = $self->ssh([ @options, '-o', "ControlPath=$socket", '-M', '-f',
        '-N', '-T', '-o', 'ExitOnForwardFailure=yes', '-R',
        "$port:localhost:$local" ]);

    $self->{error} = $r->{out};
    return unless $r->{status} == 0;

    push @{ $self->{tunnels} }, $socket;
    return $socket;
}


# What list --json says of each host, by name.

sub hosts {
    my ($self) = @_;

    my $list = eval { JSON::PP::decode_json($self->exec('monitoring-proxy',
        'list', '--json')->{out}) } // [];

    return { map { $_->{name} => $_ } @$list };
}


# The seconds from BEGIN until the port was last seen open.

sub open_for {
    my ($self, $begin, $port) = @_;

    my $last = 0;

    await(60, sub {
        my $look = Time::HiRes::time;
        return 1 if !$self->listens($port);
        $last = $look - $begin;
        return;
    }) or return 'inf';

    return $last;
}


# Whether a tunnel to PORT can be opened; it is closed again.

sub may_bind {
    my ($self, $port, @options) = @_;

    my $socket = $self->tunnel($port, 9, @options) or return;
    $self->close_tunnel($socket);

    # sshd notices a moment later

    return await(60, sub { !$self->listens($port) });
}


# Whether something listens on PORT, in the container; on ADDRESS, as
# /proc/net/tcp has it, if given.

sub listens {
    my ($self, $port, $address) = @_;

    $address //= '[0-9A-F]+';
    my $hex = sprintf '%04X', $port;

    return $self->exec('cat', '/proc/net/tcp', '/proc/net/tcp6')->{out}
        =~ /^ *\d+: $address:$hex [0-9A-F:]+ 0A /m;
}


sub close_tunnel {
    my ($self, $socket) = @_;

    command('ssh', '-o', "ControlPath=$socket", '-O', 'exit', 'proxy');
}


sub DESTROY {
    my ($self) = @_;

    local $?;
    $self->close_tunnel($_) for grep { -e } @{ $self->{tunnels} // [] };
}


1;
