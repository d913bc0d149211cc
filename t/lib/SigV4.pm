package SigV4;

# Signatures of AWS, Version 4, computed once more: as AWS describes them, and
# as a server of its does that has only what arrived.

use warnings;
use strict;

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use Exporter 'import';

our @EXPORT = qw(sigv4 sigv4_mistake);


sub encoded {
    my ($text, $also) = @_;
    $also //= '';

    return $text =~ s/([^A-Za-z0-9\-._~$also])/sprintf '%%%02X', ord $1/ger;
}

sub decoded {
    my ($text) = @_;

    return $text =~ tr/+/ /r =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
}


# Makes the canonical query and request, the string to sign and the value of
# Authorization of a request: method path query headers body date region
# service key secret. A header is "name:value".

sub sigv4 {
    my ($request) = @_;

    my $query = join '&', map { "$_->[0]=$_->[1]" }
        sort { $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1] }
        map { [ map { encoded(decoded($_ // '')) } (split(/=/, $_, 2))[0, 1] ] }
        grep { length } split /&/, $request->{query};

    my (@names, @headers);

    for (@{ $request->{headers} }) {
        my ($name, $value) = split /:/, $_, 2;

        $value =~ s/[ \t]+/ /g;
        $value =~ s/^ | $//g;
        push @names, $name;
        push @headers, "$name:$value\n";
    }

    my $canonical = join "\n", $request->{method},
        encoded(length $request->{path} ? $request->{path} : '/', '/'), $query,
        join('', @headers), join(';', @names), sha256_hex($request->{body});

    my $day = substr $request->{date}, 0, 8;
    my $scope = "$day/$request->{region}/$request->{service}/aws4_request";
    my $string = join "\n", 'AWS4-HMAC-SHA256', $request->{date}, $scope,
        sha256_hex($canonical);

    my $key = hmac_sha256($day, "AWS4$request->{secret}");
    $key = hmac_sha256($_, $key)
        for @$request{qw(region service)}, 'aws4_request';

    return { query => $query, canonical => $canonical, string => $string,
        authorization => "AWS4-HMAC-SHA256 Credential=$request->{key}/$scope, "
            . 'SignedHeaders=' . join(';', @names) . ', Signature='
            . hmac_sha256_hex($string, $key) };
}


# What is wrong with the signature of a request as it arrived, or nothing.
# Wanted: region, service, key, secret, session.

sub sigv4_mistake {
    my ($arrived, %want) = @_;

    return 'nothing has arrived' if !length($arrived // '');

    my ($head, $body) = split /\r\n\r\n/, $arrived, 2;
    my ($line, @lines) = split /\r\n/, $head;
    my ($method, $target) = $line =~ m{\A(\S+) (\S+) HTTP/1\.1\z}
        or return "request line $line";
    my ($path, $query) = split /\?/, $target, 2;
    my %headers;

    for (@lines) {
        my ($name, $value) = /\A([^:]+): (.*)\z/ or return "header $_";
        return "two of $name" if exists $headers{lc $name};
        $headers{lc $name} = $value;
    }

    my @names = (qw(host x-amz-date),
        $want{session} ? 'x-amz-security-token' : ());

    return 'session: ' . ($headers{'x-amz-security-token'} // 'none')
        if ($headers{'x-amz-security-token'} // '') ne ($want{session} // '');
    return 'date: ' . ($headers{'x-amz-date'} // 'none')
        if ($headers{'x-amz-date'} // '') !~ /\A\d{8}T\d{6}Z\z/;

    my $made = sigv4({ %want, method => $method, path => $path,
        query => $query // '', body => $body // '',
        date => $headers{'x-amz-date'},
        headers => [ map { "$_:$headers{$_}" } @names ] });

    # nobody can read the query in another way than it was signed

    return "query: $query" if defined $query && $query ne $made->{query};

    return if ($headers{authorization} // '') eq $made->{authorization};
    return 'Authorization: ' . ($headers{authorization} // 'none')
        . ", and not $made->{authorization} of\n$made->{canonical}";
}

1;
