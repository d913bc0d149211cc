package Backend;

# A server in a process of its own that stands for a target where the test is
# about what arrives, or where the target must misbehave. It handles each
# connection in a process, records every request, byte by byte, and answers as
# it is told.

use warnings;
use strict;

use File::Temp;
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX ();

use Running;


# Options: answer, a sub that gets the socket and the request's bytes and
# returns true to go on with the next request; host, port or path (of a unix
# socket) to listen on.

sub new {
    my ($class, %o) = @_;

    my ($fh, $record) = File::Temp::tempfile('mp-backend-XXXXXX',
        TMPDIR => 1);

    my $listen = $o{path}
        ? IO::Socket::UNIX->new(Local => $o{path}, Listen => 128)
        : IO::Socket::IP->new(LocalHost => $o{host} // '127.0.0.1',
            LocalPort => $o{port} // 0, Listen => 128, ReuseAddr => 1);

    $listen or die "backend cannot listen: $! $@\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        # a group of its own, that ends with it
        setpgrp 0, 0;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        $SIG{CHLD} = 'IGNORE';
        $SIG{PIPE} = 'IGNORE';
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';

        my $number = 0;

        while (1) {
            my $s = $listen->accept or next;
            $number++;

            next if fork // 1;

            serve($s, $fh, $number, $o{answer} // \&ok);
            POSIX::_exit(0);
        }
    }

    my $self = bless { pid => $pid, record => $record,
        port => $o{path} ? undef : $listen->sockport }, $class;

    close $listen;
    Running::add($self);

    return $self;
}


# One that answers everything with a line.

sub of_text {
    my ($class, $text) = @_;

    return $class->new(answer => sub {
        my ($s) = @_;

        print $s "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n$text\n";

        return 0;
    });
}


sub port { $_[0]{port} }


sub serve {
    my ($s, $record, $number, $answer) = @_;

    my $text = '';

    while (1) {
        my $request = take(\$text);

        if (!defined $request) {
            sysread $s, $text, 65536, length $text or last;
            next;
        }

        # one write, as processes share the file

        syswrite $record, pack 'NN/a*', $number, $request;

        $answer->($s, $request, $number) or last;
    }

    close $s;
}


# Takes one whole request off the text, or returns nothing.

sub take {
    my ($text) = @_;

    return unless $$text =~ /\A(.*?\r\n\r\n)/s;

    my $head = $1;
    my $length = length $head;

    if ($head =~ /^content-length:\s*(\d+)/im) {
        $length += $1;

    } elsif ($head =~ /^transfer-encoding:\s*chunked/im) {
        my $end = index $$text, "0\r\n\r\n", $length;
        return if $end < 0;
        $length = $end + 5;
    }

    return if length $$text < $length;
    return substr $$text, 0, $length, '';
}


# The default answer: 200, with the request's first line as the body.

sub ok {
    my ($s, $request) = @_;

    my ($line) = $request =~ /\A([^\r\n]*)/;
    my $body = $request =~ /\AHEAD / ? '' : "$line\n";

    print $s "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    $s->flush;

    return 1;
}


# All that arrived so far: pairs of a connection's number and a request.

sub requests {
    my ($self) = @_;

    open my $fh, '<:raw', $self->{record} or die "$self->{record}: $!\n";
    local $/;
    my $bytes = <$fh> // '';
    my @requests;

    while (length $bytes) {
        my ($number, $request) = unpack 'NN/a*', $bytes;
        substr $bytes, 0, 8 + length $request, '';
        push @requests, [ $number, $request ];
    }

    return @requests;
}


# The requests since the last call, without their connections.

sub arrived {
    my ($self) = @_;

    my @all = map { $_->[1] } $self->requests;
    my @new = @all[($self->{seen} // 0) .. $#all];
    $self->{seen} = @all;

    return @new;
}


sub stop {
    my ($self) = @_;

    if ($self->{pid}) {
        kill 'KILL', -$self->{pid};
        kill 'KILL', $self->{pid};
        waitpid $self->{pid}, 0;
        delete $self->{pid};
    }

    unlink $self->{record};
    Running::remove($self);
}


1;
