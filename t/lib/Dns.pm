package Dns;

# A name server on 127.0.0.1 that answers A queries from a file, which the
# test may rewrite meanwhile: lines "NAME ADDRESS [ADDRESS ...]". A name that
# is not there does not exist; the address "silence" gets no answer at all.

use warnings;
use strict;

use File::Temp;
use IO::Socket::IP;
use Socket qw(inet_aton SOCK_DGRAM);
use POSIX ();

my @running;

END {
    my $status = $?;
    $_->stop for my @all = @running;
    $? = $status;
}


sub new {
    my ($class, %names) = @_;

    my (undef, $file) = File::Temp::tempfile('mp-dns-XXXXXX', TMPDIR => 1);
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
        Type => SOCK_DGRAM) or die "name server: $@\n";
    my $self = bless { file => $file, port => $socket->sockport }, $class;

    $self->set(%names);
    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';
        open STDOUT, '>', '/dev/null';

        while (my $from = $socket->recv(my $query, 512)) {
            my $answer = answer($query, $file);
            $socket->send($answer, 0, $from) if defined $answer;
        }

        POSIX::_exit(0);
    }

    push @running, $self;

    return $self;
}


sub port { $_[0]{port} }


# Sets all names at once: NAME => "ADDRESS ADDRESS".

sub set {
    my ($self, %names) = @_;

    open my $fh, '>', "$self->{file}.new" or die "$self->{file}: $!\n";
    print $fh "$_ $names{$_}\n" for keys %names;
    close $fh;
    rename "$self->{file}.new", $self->{file};
}


# RFC 1035: one question, answers that live for 1 s

sub answer {
    my ($query, $file) = @_;

    my ($id, undef, $questions) = unpack 'nnn', $query;
    my ($pos, @labels) = (12);

    while (my $len = ord substr $query, $pos, 1) {
        push @labels, substr $query, $pos + 1, $len;
        $pos += 1 + $len;
    }

    my $question = substr $query, 12, $pos + 5 - 12;
    my $type = unpack 'n', substr $query, $pos + 1, 2;
    my $name = lc join '.', @labels;

    open my $fh, '<', $file or return;
    my %names = map { /^(\S+) (.*)$/ } <$fh>;

    my @addresses = split ' ', $names{$name} // '';
    return if "@addresses" eq 'silence';

    my $rcode = exists $names{$name} ? 0 : 3;
    @addresses = () if $type != 1;

    return pack('nnnnnn', $id, 0x8180 | $rcode, 1, scalar @addresses, 0, 0)
        . $question . join '', map {
            pack 'nnnNn/a*', 0xc00c, 1, 1, 1, inet_aton($_)
        } @addresses;
}


sub stop {
    my ($self) = @_;

    if ($self->{pid}) {
        kill 'KILL', $self->{pid};
        waitpid $self->{pid}, 0;
        delete $self->{pid};
    }

    unlink $self->{file};
    @running = grep { $_ != $self } @running;
}


1;
