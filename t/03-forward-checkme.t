#!/usr/bin/perl

# t/03-forward-checkme.t: values of the header CheckMe, and which are believed

use warnings;
use strict;

use Digest::SHA qw(hmac_sha256_hex);
use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = checkme_dumper();
my $key = '0123456789abcdef';

sub said {
    my ($status, $out, $errors) = run('', $dumper, @_);

    return $status ? "status $status\n$errors" : $out;
}

sub signed {
    my ($text, $with) = @_;

    return "$text " . hmac_sha256_hex($text, $with // $key);
}

my $form = qq{it is no value of CheckMe: "v1 TIME TARGET MAC"\n};
my $other = "it was not made with this proxy's key, or was changed\n";

for ([ 'db-1:9100', 1700000000 ], [ '[fd00::1]:9100', 0 ],
    [ 'a' x 253 . ':65535', '18446744073709551615' ], [ 'a:1', 1 ])
{
    my ($target, $time) = @$_;
    my $value = signed("v1 $time $target");

    is(said('make', $key, $target, $time), "$value\n", "made: $target $time");
    is(said('verify', $key, $value), length $time > 19 ? $form
        : "$time $target\n", '... and verified');
    is(said('verify', "x$key", $value), $other, '... with another key');
}

my $value = signed('v1 1700000000 db-1:9100');

for my $i (0 .. length($value) - 1) {
    my $changed = $value;
    substr $changed, $i, 1, substr($value, $i, 1) eq '1' ? '2' : '1';
    unlike(said('verify', $key, $changed), qr/\A\d/, "changed at $i");
}

is(said('verify', $key, $_), $form, 'not one: ' . substr $_, 0, 20) for '',
    'v1', 'x' x 70, signed('v2 1 a:1'), signed('v1 x a:1'), signed('v1 1 '),
    signed('v1  a:1'), signed('v1 1'), substr($value, 1);

done_testing();
