#!/usr/bin/perl

# t/82-keeper-clock.t: a clock that jumps expires no credential, and keeps none
# for longer

use warnings;
use strict;

use FindBin;
use POSIX qw(strftime);
use Test::More;

use lib "$FindBin::Bin/lib";

use Keeper qw(write_to);
use TokenEndpoint;

my $dir = File::Temp->newdir;
my $endpoint = TokenEndpoint->new;
my $url = $endpoint->url;

system($ENV{CC} // 'cc', qw(-std=c17 -D_GNU_SOURCE -shared -fPIC -O1 -Wall
    -Wextra -Werror), "$FindBin::Bin/unit/clock_jump.c", '-o',
    "$dir/clock_jump.so") == 0 or die "the jumping clock isn't built\n";

write_to("$dir/secret", "secret\n");
write_to("$dir/jump", "0\n");


sub oauth2 {
    my ($name, $seconds) = @_;

    $endpoint->answer("/$name", { json => { access_token => 'token-%n',
        expires_in => $seconds } });

    return "$name http://r oauth2 token_url=$url/$name client_id=me"
        . " client_secret_file=$dir/secret";
}

# A time of the day, as far from now as told.

sub keys_until {
    my ($seconds) = @_;

    return { json => { AccessKeyId => 'A', SecretAccessKey => 's',
        Token => 't', Expiration => strftime('%Y-%m-%dT%H:%M:%SZ',
            gmtime time + $seconds) } };
}

$endpoint->answer('/keys', keys_until(3600), keys_until(3600 + 86400));

# what checks memory would want to be loaded first

my $keeper = Keeper->new({ env => { LD_PRELOAD => "$dir/clock_jump.so",
        CLOCK_JUMP => "$dir/jump",
        ASAN_OPTIONS => 'verify_asan_link_order=0' } },
    oauth2('hour', 3600), oauth2('short', 8),
    "keys http://r aws region=r container_uri=$url/keys");

my $worker = $keeper->worker;
my %first = map { ($_ => $worker->credential($_)) } qw(hour short keys);

# a day ahead

write_to("$dir/jump", "86400\n");

my $second = $keeper->worker;
my $late = $second->credential('hour');

is($late->{version}, $first{hour}{version}, 'a day ahead: a token stays');
ok($late->{left} > 3500_000 && $late->{left} <= 3600_000,
    'for as long as it is valid') or diag($late->{left});

$worker->fresh('keys', $first{keys}{version});
my $keys = $worker->credential('keys');
ok($keys->{left} > 3500_000 && $keys->{left} <= 3600_000,
    'what ends at a time of the day, ends by the clock as it is')
    or diag($keys->{left});

# and a year back

write_to("$dir/jump", "-31536000\n");

my @short = $endpoint->await('/short', 3);
is(scalar @short, 3, 'a year back: a token is fetched again');

my $waited = $short[2]{at} - $short[1]{at};
ok($waited > 3 && $waited < 7, 'at half of its life') or diag("$waited s");

ok($worker->credential('short'), 'and handed out');
unlike($worker->seen, qr/^nothing \S+ (?!-)/m, 'nothing has expired');
is(scalar $endpoint->requests('/hour'), 1, 'nor was fetched too early');

my ($logged) = $keeper->log =~ /.*^time=(\d{4})-/ms;
is($logged, 1900 + (gmtime time - 31536000)[5], 'the clock has jumped');

is($keeper->stop, 0, 'it ends');

done_testing();
