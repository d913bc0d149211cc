package TokenEndpoint;

# An endpoint that gives tokens, in a process of its own: it shows each request
# as it came, and answers by path what the test says, right or not.

use warnings;
use strict;

use IO::Socket::IP;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep time);

use Http qw(request);
use Running;


# Options: port.

sub new {
    my ($class, %o) = @_;

    my $listen = IO::Socket::IP->new(LocalHost => '127.0.0.1',
        LocalPort => $o{port} // 0, Listen => 512, ReuseAddr => 1)
        or die "token endpoint cannot listen: $! $@\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        $SIG{PIPE} = 'IGNORE';
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';
        serve($listen);
    }

    my $self = bless { pid => $pid, port => $listen->sockport }, $class;

    close $listen;
    Running::add($self);

    return $self;
}


sub port { $_[0]{port} }
sub url { "http://127.0.0.1:$_[0]{port}" . ($_[1] // '') }


# What a path, without its query, answers: one after the other, and the last
# for ever. Each is a hash: status, headers (an array of lines), body, json (a
# hash), type; size (bytes of a token), delay (s), hang (nothing comes), cut
# (so many bytes come), raw (instead of all else). "%n" in a body is how many
# requests the path had. A path that nobody has told about gives a token.

sub answer {
    my ($self, $path, @answers) = @_;

    for (@answers) {
        $_->{body} = JSON::PP->new->canonical->encode(delete $_->{json})
            if $_->{json};
    }

    my $r = request($self->{port}, path => '/-/answers', method => 'POST',
        body => JSON::PP->new->ascii->encode([ $path, @answers ]));

    $r->{status} == 200 or die "token endpoint: $r->{line}\n";
}


# The requests that came: of a path, or all. Each is a hash: method, path,
# query, headers (lower case names), body, form (what the body has, decoded; an
# array for each name), params (the same of the query), at.

sub requests {
    my ($self, $path) = @_;

    my $r = request($self->{port}, path => '/-/requests');
    my $requests = JSON::PP->new->ascii->decode($r->{body});

    for (@$requests) {
        $_->{form} = form($_->{body});
        $_->{params} = form($_->{query} // '');
    }

    return grep { !defined $path || $_->{path} eq $path } @$requests;
}


# Waits until there are so many.

sub await {
    my ($self, $path, $n, $seconds) = @_;

    my $end = time + ($seconds // 20);

    while (1) {
        my @requests = $self->requests($path);
        return @requests if @requests >= $n || time > $end;
        sleep 0.02;
    }
}


sub form {
    my ($text) = @_;

    my %form;

    for my $pair (split /&/, $text) {
        my ($name, $value) = map { s/\+/ /gr =~ s/%([0-9A-Fa-f]{2})/chr hex
            $1/ger } split /=/, $pair, 2;
        push @{ $form{$name} }, $value;
    }

    return \%form;
}


sub stop {
    my ($self) = @_;

    return if !defined $self->{pid};

    kill 'KILL', $self->{pid};
    waitpid delete $self->{pid}, 0;
    Running::remove($self);
}


# the process

sub serve {
    my ($listen) = @_;

    my (%in, %out, %late, %answers, %n, @requests);
    my $now = sub { clock_gettime(CLOCK_MONOTONIC) };

    $listen->blocking(0);

    while (1) {
        my ($read, $write) = ('', '');

        vec($read, fileno $listen, 1) = 1;
        vec($read, $_, 1) = 1 for keys %in;
        vec($write, $_, 1) = 1 for keys %out;

        my @wait = sort { $a <=> $b } map { $_->{at} - $now->() } values %late;
        select $read, $write, undef, @wait ? ($wait[0] > 0 ? $wait[0] : 0)
            : undef;

        for my $fd (grep { $late{$_}{at} <= $now->() } keys %late) {
            $out{$fd} = { s => $in{$fd}{s}, %{ delete $late{$fd} } };
        }

        if (vec $read, fileno $listen, 1) {
            while (my $s = $listen->accept) {
                $s->blocking(0);
                $in{fileno $s} = { s => $s, text => '' };
            }
        }

        for my $fd (grep { vec $read, $_, 1 } keys %in) {
            my $c = $in{$fd};
            my $n = sysread $c->{s}, $c->{text}, 65536, length $c->{text};

            if (!defined $n && $!{EAGAIN}) {
                next;
            }

            if (!$n) {
                delete $_->{$fd} for \(%in, %out, %late);
                next;
            }

            my $request = take($c) or next;

            if ($request->{path} eq '/-/answers') {
                my ($path, @list) = @{ JSON::PP->new->ascii->decode(
                    $request->{body}) };
                $answers{$path} = \@list;
                $n{$path} //= 0;
                $out{$fd} = { s => $c->{s}, text => text({ body => 'ok' }) };
                next;
            }

            if ($request->{path} eq '/-/requests') {
                $out{$fd} = { s => $c->{s}, text => text({ body =>
                    JSON::PP->new->ascii->encode(\@requests) }) };
                next;
            }

            $request->{at} = $now->();
            push @requests, $request;

            my $path = $request->{path};
            my $list = $answers{$path} // [ { json => 1 } ];
            my $answer = @$list > 1 ? shift @$list : $list->[0];

            next if $answer->{hang};

            my $text = text($answer, ++$n{$path});
            my $cut = $answer->{cut};

            $out{$fd} = { s => $c->{s}, text => $text, close => defined $cut };
            substr($out{$fd}{text}, $cut) = '' if defined $cut;

            $late{$fd} = { %{ delete $out{$fd} },
                at => $now->() + $answer->{delay} } if $answer->{delay};
        }

        for my $fd (grep { vec $write, $_, 1 } keys %out) {
            my $c = $out{$fd};
            my $n = syswrite $c->{s}, $c->{text};

            if (!defined $n && $!{EAGAIN}) {
                next;
            }

            substr($c->{text}, 0, $n) = '' if $n;

            if (!defined $n || ($c->{close} && $c->{text} eq '')) {
                delete $_->{$fd} for \(%in, %out);

            } elsif ($c->{text} eq '') {
                delete $out{$fd};
            }
        }
    }
}


# a request, once it is whole

sub take {
    my ($c) = @_;

    return if $c->{text} !~ /\A(.*?)\r\n\r\n/s;

    my ($line, @lines) = split /\r\n/, $1;
    my $length = 0;
    my %headers;

    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*?)\s*$/ or next;
        $headers{lc $name} = exists $headers{lc $name}
            ? "$headers{lc $name}, $value" : $value;
    }

    my $head = 4 + length $1;
    my $body = $headers{'content-length'} // 0;

    return if length $c->{text} < $head + $body;

    my $text = substr $c->{text}, 0, $head + $body, '';
    my ($method, $uri) = split / /, $line;
    my ($path, $query) = split /\?/, $uri, 2;

    return { method => $method, path => $path, query => $query,
        headers => \%headers, body => substr($text, $head) };
}


sub text {
    my ($answer, $number) = @_;

    return $answer->{raw} if defined $answer->{raw};

    my $body = $answer->{body} // '{"access_token":"token-%n",'
        . '"token_type":"Bearer","expires_in":3600}';

    $body = '{"access_token":"' . 'x' x $answer->{size}
        . '","token_type":"Bearer","expires_in":3600}' if $answer->{size};
    $body =~ s/%n/$number/g if defined $number;

    return join "\r\n", 'HTTP/1.1 ' . ($answer->{status} // 200) . ' Status',
        'Content-Type: ' . ($answer->{type} // 'application/json'),
        'Content-Length: ' . length $body,
        @{ $answer->{headers} // [] }, '', $body;
}


1;
