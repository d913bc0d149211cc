#!/usr/bin/perl

# t/03-forward-connect.t: which requests for a tunnel are taken, and as what,
# in pieces of any length

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = connect_dumper();
my $host = "Host: a\r\n";


sub read_as {
    my ($text) = @_;

    my ($status, $out, $errors) = run($text, $dumper);
    chomp $out;

    return $status ? "status $status\n$out$errors" : $out;
}

sub shown {
    my ($text) = @_;

    return '"' . substr($text, 0, 50) =~ s/[^ -~]/./gr . '"';
}

sub taken {
    my ($text, $told, $promise) = @_;

    is(read_as($text), $told, $promise);
}

# a target, in a request that is right but for that

sub target {
    my ($target) = @_;

    return read_as("CONNECT $target HTTP/1.1\r\n$host\r\n");
}

sub refused {
    my ($reason, @targets) = @_;

    is(target($_), $reason, 'target ' . shown($_)) for @targets;
}

# headers, in a request that is right but for those

sub headers {
    my ($headers, $told) = @_;

    is(read_as("CONNECT a:1 HTTP/1.1\r\n$headers\r\n"), $told,
        'headers ' . shown($headers));
}


# what a tunnel is asked for with

taken("CONNECT db-1.internal:9100 HTTP/1.1\r\nHost: db-1.internal:9100\r\n"
    . "User-Agent: Prometheus/3.5.0\r\n\r\n",
    'db-1.internal:9100|db-1.internal|9100|1.1|0 bytes behind it',
    'a name and a port');
taken("CONNECT 10.0.0.1:443 HTTP/1.0\r\n\r\n",
    '10.0.0.1:443|10.0.0.1|443|1.0|0 bytes behind it',
    'HTTP/1.0, which has no Host');
taken("CONNECT [fd00::1]:9100 HTTP/1.1\n$host\n",
    '[fd00::1]:9100|fd00::1|9100|1.1|0 bytes behind it',
    'IPv6 in brackets, and lines that end in a bare LF');
taken("CONNECT a:1 HTTP/1.1\r\n$host\r\n\x16\x03\x01\0\n\n",
    'a:1|a|1|1.1|6 bytes behind it', 'early data is left alone');
taken("CONNECT A_b.:65535 HTTP/1.1\r\n${host}proxy-authorization:\t Basic x\t "
    . "\r\nContent-Length: 0\r\n\r\n",
    'A_b.:65535|A_b.|65535|1.1|<Basic x>|0 bytes behind it',
    'credentials, without the white space around them');
taken("CONNECT a:1 HTTP/1.1\r\n${host}Proxy-Authorization:\r\n\r\n",
    'a:1|a|1|1.1|<>|0 bytes behind it', 'credentials that are empty');
taken("CONNECT a:1 HTTP/1.1\r\nHost: b:2\r\nX: \"\xff\t\"\r\nKeep-Alive\x7c:\r\n"
    . "\r\n", 'a:1|a|1|1.1|0 bytes behind it',
    'the first line names the target, whatever Host says');
taken('CONNECT ' . 'a' x 254 . ":1 HTTP/1.1\r\n$host\r\n",
    'a' x 254 . ':1|' . 'a' x 254 . '|1|1.1|0 bytes behind it',
    'a host of 254 bytes');


# not all of it is there, or it is http's business

taken($_, 'again', 'cut: ' . shown($_)) for '', 'C', 'CONNECT ',
    'CONNECT a:1 HTTP/1.1', "CONNECT a:1 HTTP/1.1\r\n",
    "CONNECT a:1 HTTP/1.1\r\n${host}X: 1", "CONNECT a:1 HTTP/1.1\r\n$host\r";
taken('GET http://a:1/ HTTP/1.1', 'other, after 1', 'another method');
taken("COPY / HTTP/1.1\r\n", 'other, after 3', 'one that begins alike');
taken("CONNECTS a:1 HTTP/1.1\r\n", 'other, after 8', 'or even so');
taken("connect a:1 HTTP/1.1\r\n", 'other, after 1', 'in lower case');
taken("CONNECT\ta:1 HTTP/1.1\r\n", 'other, after 8', 'a tab behind it');
taken("\r\nCONNECT a:1 HTTP/1.1\r\n", 'other, after 1', 'an empty line first');
taken("\x16\x03\x01", 'other, after 1', 'TLS');


# targets

my $form = 'it is HOST:PORT';

refused("the target has no port; $form", qw(a a: 10.0.0.1 [::1] [::1]:));
refused('the target\'s port is 0', qw(a:0 a:00000));
refused('the target\'s port is beyond 65535', qw(a:65536 a:4294967297
    a:99999999999999999999), 'a:' . '9' x 500);
refused('the target\'s port is not a number', qw(a:http a:-1 a:+80 a:0x50 a:8%30
    [::1]:x));
refused("the target has a user; $form", qw(u@a:1 u:p@a:1 @a:1 a@:1 a:1@b:2
    u@a:1/));
refused("the target has a path; $form", qw(/ a:1/ http://a:1 a:1/b a:1?b
    a?:1 //a:1 http://u@a:1/), 'a:1#b');
refused("the target has no host; $form", qw(:1 :));
refused('the target\'s host is too long', 'a' x 255 . ':1');
refused('the target\'s host has other than letters, digits and "._-"',
    "\xc3\xa4:1", qw(a%2eb:1 a*:1 *:1 a]:1), 'a,b:1', 'a\\b:1', 'a"b:1');
refused('the target has several colons; IPv6 is [ADDRESS]:PORT',
    qw(fd00::1:9100 a:1:2 [::1]:1:2));
refused('the target has an opening bracket alone', qw([ [::1:80));
refused('the target has no IPv6 address in its brackets', qw([]:1 [a]:1
    [10.0.0.1]:1 [fe80::1%eth0]:1 [fe80::1%25eth0]:1 [v1.a:b]:1 [[::1]]:1),
    '[' . ':' x 46 . ']:1');
refused('the target has more than a port behind its bracket', qw([::1]80
    [::1]]:80 [::1]a:80));


# the first line

for (' a:1 HTTP/1.1', 'a:1  HTTP/1.1', 'a:1 HTTP/1.1 ', 'a:1', '', 'a:1 ',
    'a:1 http/1.1', 'a:1 HTTP/1', 'a:1 HTTP/11.1', 'a:1 HTTP/1.1x',
    'a:1 b HTTP/1.1', 'a:1 ICAP/1.1')
{
    taken("CONNECT $_\r\n$host\r\n",
        'the first line is not CONNECT HOST:PORT HTTP/1.1',
        'the first line ' . shown("CONNECT $_"));
}

taken("CONNECT a:1 HTTP/$_\r\n$host\r\n", 'the version is none of HTTP/1',
    "HTTP/$_") for '0.9', '2.0', '3.0';
taken("CONNECT a:1$_ HTTP/1.1\r\n$host\r\n",
    'the first line has a control character', 'the first line '
    . shown("CONNECT a:1$_ HTTP/1.1")) for "\0", "\r", "\t", "\x7f";


# headers

my $name = 'a header is not NAME: VALUE';

headers("${host}$_\r\n", $name) for ' folded', "\tfolded", 'X : 1', 'X',
    ': 1', "X\0: 1", "X\xe4: 1", 'X Y: 1', '"X": 1', "X\r: 1", "\rX: 1";
headers(" first: 1\r\n$host", $name);
headers("${host}X: $_\r\n", 'a header has a control character')
    for "a\rb", "a\0", "\x7f", "\x1b[m", "a\r";
headers('', 'there is no Host header');
headers("X: Host: a\r\n", 'there is no Host header');
headers("$host$host", 'there are two Host headers');
headers("${host}hOST: b\r\n", 'there are two Host headers');
headers("Host: $_\r\n", 'the Host header is not a host')
    for '', ' ', 'a b', 'a/b', 'http://a';
headers("${host}Content-Length: $_\r\n",
    'CONNECT has no body, and no Content-Length but 0')
    for 1, '+0', '-0', '', '0, 0', '0x0', '00a', '18446744073709551616';
headers("${host}Content-Length: 0\r\nContent-length: 0\r\n",
    'there are two Content-Length headers');
headers("${host}Transfer-Encoding: $_\r\n",
    'CONNECT has no body, and no Transfer-Encoding') for 'chunked', 'identity',
    '';
headers("${host}Proxy-Authorization: Basic x\r\nPROXY-AUTHORIZATION: Basic x"
    . "\r\n", 'there are two Proxy-Authorization headers');

taken("CONNECT a:1 HTTP/1.0\r\n$host$host\r\n", 'there are two Host headers',
    'two in HTTP/1.0');

done_testing();
