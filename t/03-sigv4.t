#!/usr/bin/perl

# t/03-sigv4.t: signatures of AWS, Version 4, are those that AWS has published
# and that are computed here

use warnings;
use strict;

use Digest::SHA 'sha256_hex';
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/unit";
use Test::More;
use Time::HiRes 'time';

use SigV4;
use Unit;

my $dumper = sigv4_dumper();

my %defaults = (date => '20150830T123600Z', region => 'us-east-1',
    service => 'service', key => 'AKIDEXAMPLE',
    secret => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY');


# Has requests signed; each is a hash, and gets one of what was made of it.

sub signed {
    my @requests = map { { %defaults, body => '', query => '', %$_ } } @_;
    my $input = '';

    for my $request (@requests) {
        my @fields = map { [ $_, $request->{$_} ] } qw(method path query);

        push @fields, map { [ header => $_ ] } @{ $request->{headers} };
        push @fields, [ payload => sha256_hex($request->{body}) ];
        push @fields, map { [ $_, $request->{$_} ] }
            qw(date region service key secret);

        $input .= "$_->[0] " . length($_->[1]) . "\n$_->[1]\n" for @fields;
    }

    my ($status, $out, $errors) = run($input, $dumper);
    die "status $status\n$errors" if $status;

    my (@made, %made);

    while ($out =~ s/\A(\w+) (\d+)\n//) {
        my $name = $1;

        $made{$name} = substr $out, 0, $2;
        substr $out, 0, $2 + 1, '';
        push @made, { %made } if $name eq 'authorization';
    }

    return @made;
}


# The canonical form of a query, as the dumper has it.

sub canonical {
    my ($query) = @_;

    return (signed({ method => 'GET', path => '/', query => $query,
        headers => [ 'host:a' ] }))[0]{query};
}


# The same once more, in Perl.

sub computed {
    my ($request) = @_;

    return sigv4({ %defaults, body => '', query => '', %$request });
}


# AWS' own

open my $fh, '<:raw', "$FindBin::Bin/unit/sigv4-vectors.txt"
    or die "vectors: $!\n";

my @vectors = cases($fh);

is(scalar @vectors, 36, 'there are vectors');

for (@vectors) {
    my ($title, $text, $told) = @$_;

    my ($head, $body) = split /\n\n/, $text, 2;
    my ($line, @headers) = split /\n/, $head;
    my ($method, $target) = split / /, $line, 2;
    my ($path, $query) = split /\?/, $target, 2;
    my ($hash, $signature) = split /\n/, $told;
    chomp $body;

    my $request = { method => $method, path => $path, query => $query // '',
        headers => \@headers, body => $body };
    my ($made) = signed($request);

    is(sha256_hex($made->{canonical}), $hash, "$title: the canonical request")
        or diag($made->{canonical});
    like($made->{authorization}, qr/, Signature=\Q$signature\E\z/,
        '... and the signature');
    is_deeply($made, computed($request), '... which are computed here, too');
}


# queries in one form, whoever wrote them

is(canonical($_->[0]), $_->[1], "query $_->[0]") for
    [ 'query=up+offset+5m', 'query=up%20offset%205m' ],
    [ 'query=a%2Bb', 'query=a%2Bb' ],
    [ 'match[]=up&match[]={a="b"}',
        'match%5B%5D=%7Ba%3D%22b%22%7D&match%5B%5D=up' ],
    [ 'match%5b%5d=up', 'match%5B%5D=up' ],
    [ 'a', 'a=' ], [ 'a=', 'a=' ], [ '=a', '=a' ], [ '=', '=' ],
    [ 'a==b', 'a=%3Db' ], [ '', '' ], [ '&', '' ], [ '&&a=1&&', 'a=1' ],
    [ 'b=1&a=2&B=3', 'B=3&a=2&b=1' ],
    [ 'a-b=1&a=2', 'a=2&a-b=1' ],
    [ 'a=b&a=a&a', 'a=&a=a&a=b' ],
    [ '%61=%7e', 'a=~' ],
    [ 'a=%', 'a=%25' ], [ 'a=%4', 'a=%254' ], [ 'a=%zz', 'a=%25zz' ],
    [ 'a=%25zz', 'a=%25zz' ],
    [ 'a=%00', 'a=%00' ], [ "a=\xe1\x88\xb4", 'a=%E1%88%B4' ];


# paths once more, as they were sent

is((split /\n/, (signed({ method => 'GET', path => $_->[0],
    headers => [ 'host:a' ] }))[0]{canonical})[1], $_->[1], "path $_->[0]") for
    [ '/workspaces/ws-1/api/v1/query', '/workspaces/ws-1/api/v1/query' ],
    [ '/api/v1/label/a%20b/values', '/api/v1/label/a%2520b/values' ],
    [ '/a+b:c@d', '/a%2Bb%3Ac%40d' ],
    [ '', '/' ];


# anything

sub anything {
    my ($max, @of) = @_;

    return join '', map { $of[rand @of] } 1 .. rand $max;
}

my $seed = $ENV{MP_SEED} // int rand 1e9;
srand $seed;

my @bytes = map { chr } 0x01 .. 0xff;
my @usual = ('a' .. 'e', qw(A B 0 1 - . _ ~ % %2B %2f %e1 + = & / : [ ]), ' ');

my @requests = map {
    my %headers = map { anything(9, 'a' .. 'z', '-') . 'x'
        => anything(20, 'a' .. 'z', ' ', "\t", ',') } 0 .. rand 5;
    my $of = rand 2 < 1 ? \@usual : \@bytes;

    { method => (qw(GET POST PUT))[rand 3], path => '/' . anything(50, @$of),
        query => anything(80, @$of), body => anything(200, @bytes),
        date => sprintf('%04d%02d%02dT%02d%02d%02dZ', 2000 + rand 99,
            1 + rand 12, 1 + rand 28, rand 24, rand 60, rand 60),
        region => anything(20, 'a' .. 'z', '-'), service => 'aps',
        key => anything(20, 'A' .. 'Z'), secret => anything(100, @bytes),
        headers => [ map { "$_:$headers{$_}" } sort keys %headers ] }
} 1 .. 2000;

is_deeply([ signed(@requests) ], [ map { computed($_) } @requests ],
    "2,000 requests at random (MP_SEED=$seed)");


# a query of 64 kB, of as many parameters as it can have

for (join('&', map { chr 97 + $_ % 26 } 1 .. 32768),
    join('&', map { "match[]=" . 'a' x 500 . $_ } reverse 1 .. 128))
{
    my $start = time;
    my $query = canonical($_);

    cmp_ok(time - $start, '<', 2, length() . ' bytes take no time');
    ok($query eq computed({ method => 'GET', path => '/', query => $_,
        headers => [] })->{query}, '... and come out right');
}

done_testing();
