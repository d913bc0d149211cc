package Http;

# An HTTP/1.1 client that sends what it is told to, byte by byte, and takes
# the answer apart.

use warnings;
use strict;

use Exporter 'import';
use IO::Socket::IP;
use Time::HiRes qw(time);

our @EXPORT_OK = qw(request connection send_request read_response);


# One request on a connection of its own. Options: path, method, headers (an
# array of lines), body, raw (instead of all of them), host to connect to.
# Returns a hash: status, line, headers (lower case names), body, raw, time,
# closed (whether the server closed before the answer was whole).

sub request {
    my ($port, %o) = @_;

    my $start = time;
    my $s = connection($port, $o{host});

    send_request($s, %o);

    my $response = read_response($s, %o);
    $response->{time} = time - $start;

    return $response;
}


sub connection {
    my ($port, $host) = @_;

    return IO::Socket::IP->new(PeerHost => $host // '127.0.0.1',
        PeerPort => $port, Timeout => 5) || die "connect to $port: $@\n";
}


sub send_request {
    my ($s, %o) = @_;

    my $raw = $o{raw};

    if (!defined $raw) {
        my @headers = @{ $o{headers} // [] };

        unshift @headers, 'Host: proxy' unless grep { /^host:/i } @headers;
        push @headers, 'Connection: close' unless $o{keepalive};
        push @headers, 'Content-Length: ' . length $o{body} if exists $o{body};

        $raw = join "\r\n", ($o{method} // 'GET') . " $o{path} HTTP/1.1",
            @headers, '', '';
        $raw .= $o{body} // '';
    }

    local $SIG{PIPE} = 'IGNORE';

    while (length $raw) {
        my $n = syswrite $s, $raw;
        last unless $n;
        substr $raw, 0, $n, '';
    }
}


# Reads one answer, leaving a kept connection ready for the next.

sub read_response {
    my ($s, %o) = @_;

    my $seconds = $o{timeout} // 60;
    my $end = time + $seconds;
    my $text = '';
    my ($head, $headers, $length, $chunked);

    while (1) {
        if (!defined $head && $text =~ /\A(.*?\r?\n\r?\n)/s) {
            $head = $1;
            $headers = fields($head);
            $length = $headers->{'content-length'};
            $chunked = ($headers->{'transfer-encoding'} // '') =~ /chunked/i;
            $length = 0 if ($o{method} // '') eq 'HEAD'
                || $head =~ m{^HTTP/\S+ (?:204|304)};
        }

        if (defined $head) {
            my $body = substr $text, length $head;

            last if defined $length && length $body >= $length;
            last if $chunked && $body =~ /(?:\A|\r\n)0\r\n\r\n\z/;
        }

        my $left = $end - time;
        my $read = '';
        vec($read, fileno $s, 1) = 1;

        if ($left <= 0 || !select $read, undef, undef, $left) {
            return { status => 0, line => 'timeout', headers => {},
                body => $text, raw => $text };
        }

        my $n = sysread $s, $text, 65536, length $text;

        if (!$n) {
            my $whole = defined $head && !defined $length && !$chunked;
            return answer($text, $head, $headers, 0, !$whole);
        }
    }

    return answer($text, $head, $headers, $chunked, 0);
}


sub answer {
    my ($text, $head, $headers, $chunked, $closed) = @_;

    my $body = defined $head ? substr $text, length $head : '';
    my ($line) = $text =~ /\A([^\r\n]*)/;
    my ($status) = $line =~ m{^HTTP/\S+ (\d+)};

    if ($chunked) {
        my ($from, $to) = ($body, '');

        while ($from =~ s/\A([0-9a-fA-F]+)[^\r\n]*\r\n//) {
            my $n = hex $1 or last;
            $to .= substr $from, 0, $n, '';
            $from =~ s/\A\r\n//;
        }

        $body = $to;
    }

    return { status => $status // 0, line => $line, body => $body,
        headers => $headers // {}, raw => $text, closed => $closed };
}


sub fields {
    my ($head) = @_;

    my %headers;

    for (split /\r?\n/, $head) {
        next unless /^([^:\s]+):\s*(.*?)\s*$/;
        $headers{lc $1} = exists $headers{lc $1} ? "$headers{lc $1}, $2" : $2;
    }

    return \%headers;
}


1;
