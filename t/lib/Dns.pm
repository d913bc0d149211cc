package Dns;

# A name server on 127.0.0.1, by UDP and TCP, that answers from a file, which the test may
# rewrite meanwhile: lines "NAME WORD ...". A name that is not there does not
# exist. A WORD is
#
#   an address   of IPv4 or IPv6
#   ttl=SECONDS  how long the answer lives; 1 unless it says so
#   srv=PORT:NAME  a service's record
#   truncated    by UDP there is no more than that the answer is too long
#   cname=NAME   an alias, and what that NAME has with it
#   alias=NAME   one alone, as an authoritative server may answer
#   silence      there is no answer at all
#   hold         none until the file says something else of this name
#   fail         SERVFAIL

use warnings;
use strict;

use File::Temp;
use IO::Select;
use IO::Socket::IP;
use Socket qw(AF_INET AF_INET6 SOCK_DGRAM SOCK_STREAM inet_pton);
use POSIX ();

use Running;

my ($A, $CNAME, $AAAA, $SRV) = (1, 5, 28, 33);


sub new {
    my ($class, %names) = @_;

    my (undef, $file) = File::Temp::tempfile('mp-dns-XXXXXX', TMPDIR => 1);
    my ($socket, $tcp);

    # a port that is free for UDP may not be free for TCP

    for (1 .. 20) {
        $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1',
            LocalPort => 0, Type => SOCK_DGRAM) or die "name server: $@\n";
        $tcp = IO::Socket::IP->new(LocalHost => '127.0.0.1',
            LocalPort => $socket->sockport, Type => SOCK_STREAM, Listen => 16)
            and last;
    }

    die "name server: $@\n" if !$tcp;

    my $self = bless { file => $file, port => $socket->sockport }, $class;

    $self->set(%names);
    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';
        $SIG{PIPE} = 'IGNORE';
        open STDOUT, '>', '/dev/null';
        serve($socket, $tcp, $file);
    }

    Running::add($self);

    return $self;
}


sub port { $_[0]{port} }


# Sets all names at once: NAME => "WORD ...".

sub set {
    my ($self, %names) = @_;

    open my $fh, '>', "$self->{file}.new" or die "$self->{file}: $!\n";
    print $fh "$_ $names{$_}\n" for keys %names;
    close $fh;
    rename "$self->{file}.new", $self->{file};
}


# How often a name has been asked for, by A, or the number of another type.

sub asked {
    my ($self, $name, $type) = @_;

    $type //= $A;
    open my $fh, '<', "$self->{file}.asked" or return 0;

    return scalar grep { $_ eq "$name $type\n" } <$fh>;
}


sub serve {
    my ($socket, $tcp, $file) = @_;

    my $select = IO::Select->new($socket, $tcp);
    my @held;

    open my $asked, '>>', "$file.asked" or die "$file.asked: $!\n";
    $asked->autoflush;

    while (1) {
        for my $ready ($select->can_read(@held ? 0.02 : undef)) {
            my ($query, $from);

            if ($ready == $tcp) {
                $select->add($tcp->accept // ());
                next;
            }

            if ($ready == $socket) {
                $from = $socket->recv($query, 512);

            } elsif (!defined($query = whole($ready))) {
                $select->remove($ready);
                next;
            }

            my ($name, $type) = question($query);

            print $asked "$name $type\n";
            push @held, [ $ready, $from, $query ];
        }

        my %names = names($file);

        @held = grep { !answer(@$_, \%names) } @held;
    }
}


# A query by TCP, behind its length; undef at the connection's end.

sub whole {
    my ($connection) = @_;

    my $bytes = '';

    while (length $bytes < 2 || length $bytes < 2 + unpack 'n', $bytes) {
        sysread $connection, $bytes, 512, length $bytes or return;
    }

    return substr $bytes, 2;
}


sub names {
    my ($file) = @_;

    open my $fh, '<', $file or POSIX::_exit(0);

    return map { /^(\S+) (.*)$/ } <$fh>;
}


# RFC 1035: the name, the type, and all of the one question

sub question {
    my ($query) = @_;

    my ($pos, @labels) = (12);

    while (my $len = ord substr $query, $pos, 1) {
        push @labels, substr $query, $pos + 1, $len;
        $pos += 1 + $len;
    }

    return (lc join('.', @labels), unpack('n', substr $query, $pos + 1, 2),
        substr $query, 12, $pos + 5 - 12);
}


# True once it has said all that there is to say.

sub answer {
    my ($socket, $from, $query, $names) = @_;      # by TCP without from

    my ($name, $type, $question) = question($query);
    my $words = $names->{$name} // '';

    return 0 if $words eq 'hold';
    return 1 if $words eq 'silence';

    my $code = $words eq 'fail' ? 2 : exists $names->{$name} ? 0 : 3;
    my @records = records($name, $type, $names);
    my $flags = 0x8180;

    if ($from && $words =~ /\btruncated\b/) {
        $flags |= 0x200;
        @records = ();
    }

    my $answer = pack('a2nnnnn', $query, $flags | $code, 1, scalar @records,
        0, 0) . $question . join('', @records);

    if ($from) {
        $socket->send($answer, 0, $from);

    } else {
        syswrite $socket, pack 'n/a*', $answer;
    }

    return 1;
}


sub records {
    my ($name, $type, $names) = @_;

    my $words = $names->{$name} // '';
    my $ttl = $words =~ /\bttl=(\d+)/ ? $1 : 1;
    my @records;

    for (split ' ', $words) {
        if (/^(cname|alias)=(\S+)$/) {
            push @records, record($name, $CNAME, $ttl, labels($2));
            push @records, records($2, $type, $names) if $1 eq 'cname';

        } elsif ($type == $SRV && /^srv=(\d+):(\S+)$/) {
            push @records, record($name, $SRV, $ttl,
                pack('nnn', 0, 0, $1) . labels($2));

        } elsif ($type == $A && /^[\d.]+$/) {
            push @records, record($name, $A, $ttl, inet_pton(AF_INET, $_));

        } elsif ($type == $AAAA && /:/ && !/=/) {
            push @records, record($name, $AAAA, $ttl, inet_pton(AF_INET6, $_));
        }
    }

    return @records;
}


sub record {
    my ($name, $type, $ttl, $value) = @_;

    return labels($name) . pack 'nnNn/a*', $type, 1, $ttl, $value;
}


sub labels { pack '(C/a*)*x', split /\./, $_[0] }


sub stop {
    my ($self) = @_;

    if ($self->{pid}) {
        kill 'KILL', $self->{pid};
        waitpid $self->{pid}, 0;
        delete $self->{pid};
    }

    unlink $self->{file}, "$self->{file}.asked";
    Running::remove($self);
}


1;
