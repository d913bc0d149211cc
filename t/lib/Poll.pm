package Poll;

# Poll clients and scrapers for tests, each a socket that sends what it is
# told to; and the configuration that serves them.

use warnings;
use strict;

use Exporter 'import';

use Http qw(connection send_request read_response);

our @EXPORT = qw(poll_http poll handed push_answer push_raw answer_of
    scrape scraped ask);


# For Nginx->configure(http => ...): a server on a port of its own. Options:
# port; zone, the arguments of prom_poll_zone; poll, push, scrape, worker,
# server, http: directives more in each of these.

sub poll_http {
    my (%o) = @_;

    my %default = (zone => 'poll 1m', map { $_ => '' }
        qw(poll push scrape worker server http));
    %o = (%default, %o);

    return <<"END";
    prom_poll_zone $o{zone};
    prom_poll_path %%DIR%%/poll;
    upstream prom_poll {
        prom_poll_peer;
    }
    proxy_set_header Connection "";
    $o{http}
    server {
        listen 127.0.0.1:$o{port};
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout 1d;
        client_max_body_size 256m;
        $o{server}
        location = /poll {
            prom_poll;
            proxy_pass http://prom_poll;
            client_max_body_size 4k;
            $o{poll}
        }
        location = /push {
            prom_poll_push;
            proxy_pass http://prom_poll;
            $o{push}
        }
        location \@scrape {
            prom_poll_scrape;
            proxy_pass http://prom_poll;
            $o{scrape}
        }
        location \@workers {
            prom_poll_worker;
            proxy_pass http://prom_poll;
            $o{worker}
        }
        location = /clients {
            prom_poll_clients;
        }
        location /other {
            return 200 "other\\n";
        }
    }
END
}


# Sends a poll, and returns its socket. Options are those of send_request();
# on is a connection that it has already; labels, wait and identity are
# headers.

sub poll {
    my ($port, $name, %o) = @_;

    my $s = delete $o{on} // connection($port);
    my @headers = @{ delete $o{headers} // [] };

    push @headers, "Prom-Poll-Labels: $o{labels}" if defined $o{labels};
    push @headers, "Prefer: wait=$o{wait}" if defined $o{wait};
    push @headers, "X-Identity: $o{identity}" if defined $o{identity};

    send_request($s, method => 'POST', path => '/poll', body => $name,
        keepalive => 1, headers => \@headers, %o);

    return $s;
}


# What a poll gets: the answer, with the request in it taken apart: method,
# uri, request (headers by lower case names), id. An answer's status is 0 if
# there is none in time.

sub handed {
    my ($s, %o) = @_;

    my $answer = read_response($s, timeout => 60, %o);

    $answer->{request} = Http::fields($answer->{body});
    $answer->{id} = $answer->{request}{id};
    ($answer->{method}, $answer->{uri}) = $answer->{body}
        =~ m{\A(\S+) (\S+) HTTP/1\.1\r\n};

    return $answer;
}


# A response as a client pushes it. Options: status, headers (lines), body,
# chunked.

sub answer_of {
    my ($id, %o) = @_;

    my $body = $o{body} // "up 1\n";
    my @headers = @{ $o{headers} // [ 'Content-Type: text/plain' ] };

    if ($o{chunked}) {
        push @headers, 'Transfer-Encoding: chunked';
        $body = join '', (map { sprintf "%x\r\n%s\r\n", length, $_ }
            $body =~ /(.{1,1000})/gs), "0\r\n\r\n";

    } else {
        push @headers, 'Content-Length: ' . length $body;
    }

    return join("\r\n", 'HTTP/1.1 ' . ($o{status} // '200 OK'), @headers,
        "Id: $id", '', '') . $body;
}


# Pushes a response; returns the proxy's answer to that. Option: identity.

sub push_answer {
    my ($port, $id, %o) = @_;

    return push_raw($port, answer_of($id, %o), %o);
}


sub push_raw {
    my ($port, $text, %o) = @_;

    my $s = connection($port);

    send_request($s, method => 'POST', path => '/push', body => $text,
        headers => [ defined $o{identity} ? "X-Identity: $o{identity}"
            : () ]);

    return read_response($s, timeout => 60);
}


# Sends a scrape of a URL, and returns its socket. Options: on, timeout,
# headers, method, version, body.

sub scrape {
    my ($port, $url, %o) = @_;

    my $s = $o{on} // connection($port);
    my ($host) = $url =~ m{^\w+://([^/?]*)};

    my @headers = ('Host: ' . ($host || 'none'), @{ $o{headers} // [] });

    push @headers, "X-Prometheus-Scrape-Timeout-Seconds: $o{timeout}"
        if defined $o{timeout};
    push @headers, 'Content-Length: ' . length $o{body} if defined $o{body};

    send_request($s, raw => join("\r\n", ($o{method} // 'GET') . " $url HTTP/"
        . ($o{version} // '1.1'), @headers, '', '') . ($o{body} // ''));

    return $s;
}


sub scraped {
    my ($s, %o) = @_;

    return read_response($s, timeout => 60, %o);
}


# A scrape for which the answer comes at once.

sub ask {
    my ($port, $url, %o) = @_;

    return scraped(scrape($port, $url, %o));
}


1;
