#!/usr/bin/perl

# t/03-poll-answer.t: what a poll client may push as a response, and what is
# made of it, in pieces of any length

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = answer_dumper();
my $ok = "HTTP/1.1 200 OK\r\n";
my $chunked = "${ok}Transfer-Encoding: chunked\r\n\r\n";


# What the dumper prints; lines are told apart by "|".

sub read_as {
    my ($text, %o) = @_;

    my ($status, $out, $errors) = run($text, $dumper, $o{size} // 4096,
        $o{bodiless} // 0);

    return $status ? "status $status\n$out$errors" : $out =~ s/\n/|/gr;
}

# A text's first line, for a promise.

sub shown {
    my ($text) = @_;

    return '"' . substr($text =~ s/\r\n.*//sr, 0, 20) =~ s/[^ -~]/./gr . '"';
}

sub taken {
    my ($text, $told, $promise, %o) = @_;

    is(read_as($text, %o), $told, $promise);
}

sub refused {
    my ($text, $reason, $promise, %o) = @_;

    like(read_as($text, %o), qr/\|error:[ ]\Q$reason\E\|\z/, $promise);
}


# how a body ends

taken("${ok}Content-Length: 5\r\nContent-Type: text/plain\r\n\r\nup 1\n",
    '200 length 5|Content-Length=5|Content-Type=text/plain||up 1||'
    . 'done, 0 bytes behind it|', 'a body with its length');
taken("${ok}Content-Length: 0\r\n\r\n",
    '200 length 0|Content-Length=0|||done, 0 bytes behind it|',
    'an empty body');
taken("${ok}Content-Length: 2\r\n\r\nabGET / HTTP/1.1\r\n\r\n",
    '200 length 2|Content-Length=2||ab|done, 18 bytes behind it|',
    'what is behind a whole body is left alone');
taken("${chunked}5\r\nup 1\n\r\n0\r\n\r\n",
    '200 chunked|Transfer-Encoding=chunked||up 1||done, 0 bytes behind it|',
    'a chunked body');
taken("${chunked}00a;x=\"y\"\r\n0123456789\r\n1 \r\n.\r\n000\r\n"
    . "Trailer: 1\r\nX: 2\r\n\r\nmore",
    '200 chunked|Transfer-Encoding=chunked||0123456789.|'
    . 'done, 4 bytes behind it|',
    '... with extensions, leading zeros and trailers');
taken("HTTP/1.0 200 OK\r\nServer: x\r\n\r\nup 1", '200 to end|Server=x||up 1|'
    . 'done, 0 bytes behind it|', 'a body up to the end of the push');
taken("HTTP/0.0 500 Internal Server Error\r\nId: 1\r\n\r\nfailed to scrape",
    '500 to end|Id=1||failed to scrape|done, 0 bytes behind it|',
    'what the Go client pushes for its own errors');
taken("HTTP/1.1 204 No Content\r\n\r\n", '204 to end|||'
    . 'done, 0 bytes behind it|', 'a status without a body');
taken("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    '304 length 5|Content-Length=5|||done, 0 bytes behind it|',
    '... even with a length');
taken("${ok}Content-Length: 5\r\n\r\n", '200 length 5|Content-Length=5|||'
    . 'done, 0 bytes behind it|', 'a HEAD\'s answer', bodiless => 1);
taken("$chunked", '200 chunked|Transfer-Encoding=chunked|||'
    . 'done, 0 bytes behind it|', '... without one', bodiless => 1);


# lines

taken("HTTP/1.1 200\r\n\r\n", '200 to end|||done, 0 bytes behind it|',
    'a status without its reason');
taken("HTTP/2.0 404 \r\n\r\n", '404 to end|||done, 0 bytes behind it|',
    'a later version of HTTP');
taken("HTTP/1.1 200 OK\nA: 1\nContent-Length: 1\n\n\n",
    '200 length 1|A=1|Content-Length=1||||done, 0 bytes behind it|',
    'lines of the header may end in a bare LF');
taken("${ok}A:1\r\nB: \t 2 3 \t \r\nC:\r\nD:\xff\r\nContent-Length:0\r\n\r\n",
    "200 length 0|A=1|B=2 3|C=|D=\xff|Content-Length=0|||"
    . 'done, 0 bytes behind it|', 'white space around values is taken off');
taken("${ok}Content-Length: 1\r\ncontent-length: 01\r\n\r\na",
    '200 length 1|Content-Length=1|content-length=01||a|'
    . 'done, 0 bytes behind it|', 'one length said twice');
taken("${ok}Transfer-Encoding:\tCHUNKED \r\n\r\n0\r\n\r\n",
    '200 chunked|Transfer-Encoding=CHUNKED|||done, 0 bytes behind it|',
    'the coding\'s name in any case');
taken("${ok}A: " . 'x' x 100 . "\r\n\r\n", '200 to end|A=' . 'x' x 100 . '|||'
    . 'done, 0 bytes behind it|', 'a header that just fits', size => 124);
refused("${ok}A: " . 'x' x 100 . "\r\n\r\n", 'its header is too long',
    '... and one that doesn\'t', size => 123);
refused("HTTP/1.1 200 " . 'x' x 100, 'its header is too long',
    '... in its first line', size => 64);
refused("${ok}" . 'x' x 256 . ": 1\r\n\r\n",
    'a line of its header is not NAME: VALUE', 'a name of 256 bytes');


# no HTTP

my $status = 'its first line is not an HTTP status';

refused($_, $status, 'a first line ' . shown($_))
    for map { "$_\r\n\r\n" } 'GET / HTTP/1.1', '<html>', 'HTTP/1.1',
    'HTTP/1.1 20', 'HTTP/1.1 2000 OK', 'HTTP/1.1  200 OK', 'http/1.1 200 OK',
    'HTTP/11 200 OK', 'HTTP/1.10 200 OK', 'HTTP/1.x 200 OK',
    'HTTP/1.1 -20 OK', 'HTTP/1.1 2 0 OK', "HTTP/1.1 200 O\rK",
    "HTTP/1.1 200 O\0K", ' HTTP/1.1 200 OK', '', 'ICY 200 OK';
refused("HTTP/1.1 $_ x\r\n\r\n", 'its status is not from 200 to 599',
    "status $_") for '000', 100, 101, 199, 600, 999;


# framing that could be read in two ways

my $line = 'a line of its header is not NAME: VALUE';

refused("${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'it has both Content-Length and Transfer-Encoding',
    'a length and chunks');
refused("${ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    'it has two Content-Lengths that differ', 'two lengths');
refused("${ok}Content-Length: $_\r\n\r\n123456",
    'its Content-Length is not a number', "length \"$_\"")
    for '', '+5', '-1', '5, 5', '0x5', '5 5', '5.', "9223372036854775808",
    '18446744073709551617', '9' x 100;
taken("${ok}Content-Length: 9223372036854775807\r\n\r\n",
    '200 length 9223372036854775807|Content-Length=9223372036854775807|||'
    . 'error: it ends within its body|', 'the greatest length');
refused("${ok}Transfer-Encoding: $_\r\n\r\n0\r\n\r\n",
    'its Transfer-Encoding is not chunked alone', "coding \"$_\"")
    for '', 'gzip', 'gzip, chunked', 'chunked, chunked', 'chunked;q=1',
    'xchunked', 'identity';
refused("${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
    . "\r\n0\r\n\r\n", 'its Transfer-Encoding is not chunked alone',
    'two codings');
refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'it has Transfer-Encoding, which HTTP/1.0 doesn\'t know',
    'chunks in HTTP/1.0');
refused("${ok}A: 1\r\n$_\r\n\r\n", $line, 'a line ' . shown($_))
    for ' folded', "\tfolded", 'A : 1', "A\t: 1", ': 1', 'no colon', "A\r: 1",
    "A\0: 1", "\x{c3}\x{a4}: 1", 'A(: 1', "\r";
refused("${ok}A: 1$_\r\n\r\n", 'a header\'s value has a control character',
    sprintf 'a value with 0x%02x', ord) for "\0", "\r", "\x0b", "\x1b", "\x7f";


# chunks

refused("$chunked$_->[0]", $_->[1], 'chunks ' . shown($_->[0])) for
    ["g\r\n", 'a chunk\'s size is not a number'],
    ["\r\n", 'a chunk\'s size is not a number'],
    [" 1\r\na", 'a chunk\'s size is not a number'],
    ["+1\r\na", 'a chunk\'s size is not a number'],
    ["0x1\r\na", 'a chunk\'s size is not a number'],
    ["1\na\r\n", 'a chunk\'s size is not a number'],
    ["1;\na\r\n", 'a chunk\'s size is not a number'],
    ["1;\0\r\na", 'a chunk\'s size is not a number'],
    ["1\r\r\na", 'its chunks are broken'],
    ["1\r\nab\r\n", 'its chunks are broken'],
    ["1\r\na\n0\r\n\r\n", 'its chunks are broken'],
    ["1\r\na\r0\r\n\r\n", 'its chunks are broken'],
    ["0\r\n\n", 'its chunks are broken'],
    ["0\r\nA: 1\n\r\n", 'its chunks are broken'],
    ["0\r\nA: \0\r\n\r\n", 'its chunks are broken'],
    ["0\r\nA: \r1\r\n\r\n", 'its chunks are broken'],
    ["8000000000000000\r\n", 'a chunk\'s size is too large'],
    ["ffffffffffffffff1\r\n", 'a chunk\'s size is too large'],
    ["7fffffffffffffff\r\na", 'it ends within its body'],
    ['0' x 300 . "\r\n", 'a chunk\'s size is too long'],
    ['1;' . 'x' x 300 . "\r\n", 'a chunk\'s size is too long'],
    ["0\r\n" . "A: 1\r\n" x 1000 . "\r\n", 'its trailers are too long'];


# pushes that break off

refused('', 'it is empty', 'nothing at all');
refused($_, 'it ends within its header', 'an end within the header')
    for 'HTT', "HTTP/1.1 200 OK\r\n", "${ok}A: 1\r\n", "${ok}A: 1\r\n\r";
refused($_, 'it ends within its body', 'an end within the body')
    for "${ok}Content-Length: 5\r\n\r\n", "${ok}Content-Length: 5\r\n\r\n1234",
    map { $chunked . $_ } '', '5', "5\r\nup", "5\r\nup 1\n", "5\r\nup 1\n\r\n",
    "0\r\n", "0\r\nA: 1\r\n", "0\r\n\r";


# what is known of a header with a mistake

my $end = 'error: it ends within its header|';

taken("${ok}Id: 1\r\nA: 2\r\nId:", "|${end}its Id: 1|",
    'lines of a header that ends too early');
taken("${ok}Id: 1\r\nA\r\nId: 2\r\n\r\n", "|error: $line|its Id: 1|",
    '... or has a line that is wrong');
taken("${ok}Id: 1\r\nA: " . 'x' x 100, '|error: its header is too long|'
    . 'its Id: 1|', '... or is too long', size => 64);
taken("HTTP/1.1 999 x\r\nId: 1\r\n\r\n",
    '|error: its status is not from 200 to 599|',
    '... but nothing if the status is wrong');

done_testing();
