package PollProxy;

# A PushProx proxy of the test's own, in its process: it shows each request of
# a client as it came, and answers what the test says, right or not.

use warnings;
use strict;

use IO::Select;
use IO::Socket::IP;
use Time::HiRes qw(time);


# Options: port.

sub new {
    my ($class, %o) = @_;

    my $listen = IO::Socket::IP->new(LocalHost => '127.0.0.1',
        LocalPort => $o{port} // 0, Listen => 128, ReuseAddr => 1)
        or die "proxy cannot listen: $! $@\n";

    return bless { listen => $listen, port => $listen->sockport,
        select => IO::Select->new($listen), connections => {},
        requests => [], broken => [], ids => 0 }, $class;
}


sub port { $_[0]{port} }
sub url { "http://127.0.0.1:$_[0]{port}" }


# Waits until a request to a path is there, and takes it: a hash of socket,
# path, line, headers (lower case names), text and body. Nothing in time:
# undef. A pattern is what its body must match.

sub request {
    my ($self, $path, $seconds, $pattern) = @_;

    my $end = time + ($seconds // 10);

    # a client that has ended meanwhile has no requests any more

    1 while $self->_turn(0);

    while (1) {
        my $requests = $self->{requests};

        for my $i (0 .. $#$requests) {
            return splice @$requests, $i, 1
                if $requests->[$i]{path} eq $path
                    && (!$pattern || $requests->[$i]{body} =~ $pattern);
        }

        return if time >= $end;
        $self->_turn($end - time);
    }
}


# Waits for a poll, of a name if that is given.

sub poll {
    my ($self, $name, $seconds) = @_;

    return $self->request('/poll', $seconds,
        defined $name ? qr/\A\Q$name\E\z/ : undef);
}


# What is under way is left as it is for so long.

sub idle {
    my ($self, $seconds) = @_;

    my $end = time + $seconds;
    $self->_turn($end - time) while time < $end;
}


# Answers a request. Options: status, headers (lines), raw (all of it), close.

sub answer {
    my ($self, $request, $body, %o) = @_;

    my $text = $o{raw} // join "\r\n", 'HTTP/1.1 ' . ($o{status} // 200)
        . ' Said', 'Content-Length: ' . length($body), @{ $o{headers} // [] },
        '', $body;

    my $s = $request->{socket};
    local $SIG{PIPE} = 'IGNORE';
    print $s $text;
    $s->flush;

    $self->_forget($s) if $o{close};
}


# The text of a scrape; options: method, id, headers (lines), timeout, host.

sub scrape_text {
    my ($self, $url, %o) = @_;

    my ($host) = $url =~ m{^\w+://([^/?]*)};
    my $id = $o{id} // sprintf '%08d-0000-4000-8000-000000000000',
        ++$self->{ids};

    return ($id, join "\r\n", ($o{method} // 'GET') . " $url HTTP/1.1",
        'Host: ' . ($o{host} // $host), "Id: $id",
        'X-Prometheus-Scrape-Timeout-Seconds: ' . ($o{timeout} // 10),
        @{ $o{headers} // [] }, '', '');
}


# Hands a scrape to the next poll, and says its Id.

sub give {
    my ($self, $url, %o) = @_;

    my $poll = $self->poll($o{name}, $o{seconds}) or return;
    my ($id, $text) = $self->scrape_text($url, %o);

    $self->answer($poll, $text);

    return $id;
}


# A scrape from its poll to its push: a hash of status, headers and body, what
# the scraper would see.

sub scrape {
    my ($self, $url, %o) = @_;

    my $id = $self->give($url, %o) // return { status => 0, body => 'no poll' };

    return $self->pushed($id, $o{seconds});
}


sub pushed {
    my ($self, $id, $seconds) = @_;

    my $push = $self->request('/push', $seconds, qr/^Id: \Q$id\E\r$/m)
        or return { status => 0, body => 'no push' };

    $self->answer($push, '');

    my ($head, $body) = split /\r\n\r\n/, $push->{body}, 2;
    my ($line, $headers) = split /\r\n/, $head // '', 2;

    my %answer = (line => $line // '', push => $push,
        headers => _fields($headers // ''), body => $body // '',
        status => ($line // '') =~ m{^HTTP/\d\.\d (\d+)} ? $1 : 0);

    $answer{body} = _chunks($answer{body})
        if ($answer{headers}{'transfer-encoding'} // '') eq 'chunked';
    $answer{id} = ($answer{headers}{id} // '') eq $id;

    return \%answer;
}


# Requests that ended halfway, and how many connections there are.

sub broken { scalar @{ $_[0]{broken} } }
sub connections { scalar keys %{ $_[0]{connections} } }


# As if the network were gone: nothing is read, answered or closed.

sub deaf { $_[0]{deaf} = $_[1] }


sub cut {
    my ($self) = @_;

    $self->_forget($_->{socket}) for values %{ $self->{connections} };
    $self->{requests} = [];
}


sub stop {
    my ($self) = @_;

    $self->cut;
    close $self->{listen};
}


sub _turn {
    my ($self, $seconds) = @_;

    if ($self->{deaf}) {
        select undef, undef, undef, $seconds;
        return 0;
    }

    my @ready = $self->{select}->can_read($seconds > 0 ? $seconds : 0);

    for my $s (@ready) {

        if ($s == $self->{listen}) {
            my $new = $s->accept or next;
            $self->{select}->add($new);
            $self->{connections}{$new} = { socket => $new, text => '' };
            next;
        }

        my $c = $self->{connections}{$s};

        if (!sysread $s, $c->{text}, 262144, length $c->{text}) {
            push @{ $self->{broken} }, $c->{text} if length $c->{text};
            $self->{requests} = [ grep { $_->{socket} != $s }
                @{ $self->{requests} } ];
            $self->_forget($s);
            next;
        }

        while (my $request = _take($c)) {
            $request->{socket} = $s;
            push @{ $self->{requests} }, $request;
        }
    }

    return scalar @ready;
}


sub _forget {
    my ($self, $s) = @_;

    $self->{select}->remove($s);
    delete $self->{connections}{$s};
    close $s;
}


# Takes a whole request off what has come on a connection.

sub _take {
    my ($c) = @_;

    my $end = index $c->{text}, "\r\n\r\n";
    return if $end < 0;

    my $head = substr $c->{text}, 0, $end;
    my ($line, $rest) = split /\r\n/, $head, 2;
    my $headers = _fields($rest // '');
    my ($start, $body) = ($end + 4, '');
    my $length = $start;

    if (($headers->{'transfer-encoding'} // '') eq 'chunked') {
        return if substr($c->{text}, -5) ne "0\r\n\r\n";
        $body = _chunks(substr $c->{text}, $start);
        return if !defined $body;
        $length = length $c->{text};

    } else {
        $length += $headers->{'content-length'} // 0;
        return if length $c->{text} < $length;
        $body = substr $c->{text}, $start, $length - $start;
    }

    my $text = substr $c->{text}, 0, $length, '';
    my ($path) = $line =~ /^\S+ (\S+)/;

    return { line => $line, path => $path // '', headers => $headers,
        text => $text, body => $body };
}


sub _fields {
    my ($text) = @_;

    return { map { /^([^:]+):\s*(.*?)\s*$/ ? (lc $1, $2) : () }
        split /\r\n/, $text };
}


# undef if they don't end here

sub _chunks {
    my ($text) = @_;

    my ($body, $at) = ('', 0);

    while (1) {
        pos($text) = $at;
        $text =~ /\G([0-9a-f]+)\r\n/gci or return;
        my $n = hex $1;
        $at = pos $text;

        return $body if $n == 0 && length $text == $at + 2;
        return if length $text < $at + $n + 2;

        $body .= substr $text, $at, $n;
        $at += $n + 2;
    }
}


1;
