package Teller;

# Stands for the keeper of credentials, in a process of its own: it says to the
# workers of nginx what it is told to, also what no keeper should, and records
# what they say.

use warnings;
use strict;

use File::Temp;
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Socket;
use Time::HiRes qw(time);

use Running;


# Listens at path. Options: fresh, a sub that gets NAME and VERSION of a line
# "fresh" and returns lines to say then.

sub new {
    my ($class, $path, %o) = @_;

    my (undef, $record) = File::Temp::tempfile('mp-keeper-XXXXXX',
        TMPDIR => 1);
    my $self = bless { path => $path, record => $record, lines => {}, %o },
        $class;

    return $self->start;
}


sub start {
    my ($self) = @_;

    unlink $self->{path};
    my $listen = IO::Socket::UNIX->new(Local => $self->{path}, Listen => 128)
        or die "keeper cannot listen: $!\n";
    chmod 0777, $self->{path};
    socketpair my $parent, my $child, AF_UNIX, SOCK_SEQPACKET, 0
        or die "socketpair: $!\n";

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        $SIG{PIPE} = 'IGNORE';
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';
        close $parent;
        serve($self, $listen, $child);
        POSIX::_exit(0);
    }

    close $child;
    $self->{control} = $parent;
    Running::add($self);

    return $self;
}


sub serve {
    my ($self, $listen, $control) = @_;

    open my $record, '>>', $self->{record} or die "$self->{record}: $!\n";
    my $select = IO::Select->new($listen, $control);
    my (%text, %client);

    my $tell = sub { syswrite $_, $_[0] for values %client };

    while (1) {
        for my $s ($select->can_read) {
            if ($s == $listen) {
                my $c = $listen->accept or next;
                my ($pid) = unpack 'i', getsockopt $c, SOL_SOCKET, SO_PEERCRED;
                $select->add($c);
                $client{$c} = $c;
                syswrite $record, "connected $pid\n";
                syswrite $c, "$self->{lines}{$_}\n"
                    for sort keys %{ $self->{lines} };
                next;
            }

            my $n = sysread $s, my $bytes, 1_000_000;

            if ($s == $control) {
                return if !$n;
                my ($what, $line) = unpack 'a1a*', $bytes;

                if ($what eq 'c') {
                    $select->remove($_) for values %client;
                    close $_ for values %client;
                    %client = ();

                } elsif ($what eq 's') {
                    my ($kind, $name) = split ' ', $line;
                    keep($self, $line);
                    $tell->("$line\n");

                } else {
                    $tell->($line);
                }

                syswrite $control, '.';
                next;
            }

            if (!$n) {
                $select->remove($s);
                delete $client{$s};
                close $s;
                next;
            }

            $text{$s} .= $bytes;

            while ($text{$s} =~ s/\A([^\n]*)\n//) {
                syswrite $record, "$1\n";
                my (undef, $name, $version) = split ' ', $1;
                my @lines = $self->{fresh}
                    ? $self->{fresh}->($name, $version) : ();
                keep($self, $_) for @lines;
                $tell->("$_\n") for @lines;
            }
        }
    }
}


# what is said to who connects later: the last line of a remote, and its stats

sub keep {
    my ($self, $line) = @_;

    my ($kind, $name) = split ' ', $line;
    $self->{lines}{ $kind eq 'stats' ? "stats $name" : $name } = $line;
}


# Says a line to all, and to those who connect later.

sub say {
    my ($self, $line) = @_;

    keep($self, $line);
    $self->control("s$line");

    return $self;
}


# Says bytes as they are, to those who are connected.

sub raw {
    my ($self, $bytes) = @_;

    $self->control("r$_") for unpack '(a60000)*', $bytes;
}


# Closes all connections.

sub hang_up {
    my ($self) = @_;

    $self->control('c');
}


sub control {
    my ($self, $what) = @_;

    syswrite $self->{control}, $what or die "keeper: $!\n";
    sysread $self->{control}, my $done, 1;
}


# The lines that it has heard, without those that begin a connection.

sub heard {
    my ($self) = @_;

    return grep { !/^connected / } $self->recorded;
}


# The process ids of workers, in the order in which they have connected.

sub connected {
    my ($self) = @_;

    return map { /^connected (\d+)/ ? $1 : () } $self->recorded;
}


sub recorded {
    my ($self) = @_;

    open my $fh, '<', $self->{record} or die "$self->{record}: $!\n";
    chomp(my @lines = <$fh>);

    return @lines;
}


# Ends it; start() begins anew with what it has said by say().

sub stop {
    my ($self) = @_;

    if ($self->{pid}) {
        kill 'KILL', $self->{pid};
        waitpid $self->{pid}, 0;
        delete $self->{pid};
        close $self->{control};
    }

    unlink $self->{path};
    Running::remove($self);
}


1;
