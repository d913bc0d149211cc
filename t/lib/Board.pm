package Board;

# A board of tunnels as the sessions service writes it, for tests of those who
# read it; see ngx_prom_proxy_module/ngx_prom_tunnels.h.

use warnings;
use strict;

use Time::HiRes qw(time);

our @reasons = qw(key user certificate protocol timeout limit connected
    closed);

use constant {
    MAGIC => 0x3174706d, PORTS => 65536, HEAD => 4096, RECORD => 128,
};


# Makes one at a path.

sub new {
    my ($class, $file) = @_;

    open my $fh, '+>:raw', $file or die "$file: $!\n";
    truncate $fh, HEAD + PORTS * RECORD or die "$file: $!\n";

    my $self = bless { fh => $fh, file => $file, head => {}, seq => {} },
        $class;
    $self->poke(0, pack 'LL', $self->MAGIC, RECORD);

    return $self;
}


sub file { $_[0]{file} }


# Bytes at a place, as they are.

sub poke {
    my ($self, $offset, $bytes) = @_;

    sysseek $self->{fh}, $offset, 0 or die "$self->{file}: $!\n";
    syswrite($self->{fh}, $bytes) == length $bytes
        or die "$self->{file}: $!\n";
}


# What is guarded by a sequence number: odd while it is written, and left so
# if "torn".

sub guarded {
    my ($self, $number, $offset, $bytes, $torn) = @_;

    $self->poke($number, pack 'L', ++$self->{seq}{$number} | 1);
    $self->poke($offset, $bytes);
    $self->{seq}{$number} |= 1;

    $self->poke($number, pack 'L', ++$self->{seq}{$number}) unless $torn;
}


# Changes the head: hosts, loaded (s), failures, reason (undef: none failed),
# sessions, shared, logins, refused (a hash).

sub head {
    my ($self, %o) = @_;

    my $head = $self->{head};
    %$head = (%$head, %o);

    $self->poke(8, pack 'Q8', map { $head->{refused}{$_} // 0 } @reasons);
    $self->poke(72, pack 'LLQ', map { $_ // 0 }
        @$head{qw(sessions shared logins)});

    my $reason = $head->{reason} // '';

    $self->guarded(88, 92, pack('LQQLLa512', $head->{hosts} // 0,
        1000 * ($head->{loaded} // 0), $head->{failures} // 0,
        $reason ne '' ? 1 : 0, length $reason, $reason), $o{torn});
}


# Writes the record of a port. Connected for so many seconds (or "ended" so
# many ago), with an address and so many logins; digest is 32 bytes.

sub tunnel {
    my ($self, $port, %o) = @_;

    my $offset = HEAD + RECORD * $port;
    my $ms = sub { int 1000 * (time - $_[0]) };

    $self->guarded($offset, $offset + 4, pack('LQQQLCx3a32a48',
        defined $o{ended} ? 0 : 4711, 815, $ms->($o{since} // 60),
        defined $o{ended} ? $ms->($o{ended}) : 0, $o{logins} // 1,
        $o{certificate} ? 1 : 0, $o{digest} // "\x2a" x 32,
        $o{address} // '192.0.2.7'), $o{torn});
}


1;
