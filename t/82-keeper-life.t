#!/usr/bin/perl

# t/82-keeper-life.t: a credential's life: it is fetched again in time, once at
# a time, stays while that fails, and follows its file

use warnings;
use strict;

use FindBin;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Keeper qw(await write_to);
use TokenEndpoint;

my $endpoint = TokenEndpoint->new;
my $url = $endpoint->url;
my $dir = File::Temp->newdir;
my $worker;

write_to("$dir/$_", "$_-1\n") for qw(secret federated bearer key);
write_to("$dir/basic", "user:basic-1\n");


# Tokens that are valid for so many seconds.

sub token {
    my ($seconds, %o) = @_;

    return { json => { access_token => 'token-%n', expires_in => $seconds },
        %o };
}

sub remote {
    my ($name, @answers) = @_;

    $endpoint->answer("/$name", @answers);

    return "$name http://r oauth2 token_url=$url/$name client_id=me"
        . " client_secret_file=$dir/secret client_auth=body";
}


# The keeper does what comes first, first: it has read what it was sent once it
# tells of a file that was written later.

my $passed = 2;

sub passes {
    my ($promise) = @_;

    $passed++;
    write_to("$dir/basic", "user:basic-$passed\n");
    is($worker->credential('basic')->{value},
        'Basic ' . encode_base64("user:basic-$passed", ''), $promise);
}


my $failed = { status => 500 };
my $hangs = { hang => 1 };

my $keeper = Keeper->new(
    remote('short', token(8)),
    remote('brief', token(1)),
    remote('failing', token(6), $failed),
    remote('hanging', token(8), $hangs, token(8)),
    remote('slow', token(8, delay => 1)),
    remote('forced', token(3600, delay => 0.3)),
    remote('held', token(3600), $hangs),
    remote('busy', token(4),
        { status => 429, headers => [ 'Retry-After: 30' ] }),
    remote('rotated', token(4)),
    "workload http://r azure authority=$url tenant_id=workload client_id=w"
        . " federated_token_file=$dir/federated",
    "bearer http://r bearer-file file=$dir/bearer",
    "basic http://r basic-file file=$dir/basic",
    "keys http://r aws region=r-1 access_key_id=A"
        . " secret_access_key_file=$dir/key",
    'none http://r none',
);

$endpoint->answer('/workload/oauth2/v2.0/token', token(4));

my $started = time;
$worker = $keeper->worker;
my @others = map { $keeper->worker } 1 .. 3;


# rotated while the keeper runs; each is told of below

write_to("$dir/federated", "federated-2\n");
write_to("$dir/secret", "secret-2\n");

# files

my %first = map { ($_ => $worker->credential($_)) } qw(bearer basic keys
    forced held busy slow);

cmp_ok($first{slow}{left}, '<=', 7000,
    'a token that comes late is valid from when it was asked for');

write_to("$dir/bearer", "bearer-2\n");
write_to("$dir/basic", "user:basic-2\n");
write_to("$dir/key", "key-2\n");

my $written = time;
my $bearer = $worker->credential('bearer');

is($bearer->{value}, 'Bearer bearer-2', 'bearer-file is followed');
cmp_ok($bearer->{version}, '>', $first{bearer}{version},
    'by a greater version');
is($worker->credential('basic')->{value}, 'Basic dXNlcjpiYXNpYy0y',
    'basic-file is followed');
is($worker->credential('keys')->{value}, 'r-1 A key-2 -',
    'the file of an access key is followed');
cmp_ok(time - $written, '<', 2.5, 'each within a second or so');

unlink "$dir/bearer" or die "bearer: $!\n";
ok($worker->stats('bearer', file => 2), 'a file that is gone is counted');
unlike($worker->seen, qr/^nothing bearer /m, 'and its token stays');

# one that was refused

is($first{forced}{value}, 'Bearer token-1', 'a token');

for my $w ($worker, @others) {
    $w->fresh('forced', $first{forced}{version}) for 1 .. 25;
}

my @forced = map { $_->credential('forced')->{value} } @others;
is($worker->credential('forced')->{value}, 'Bearer token-2',
    'one that is refused is fetched anew');
is(scalar $endpoint->requests('/forced'), 2, 'once, for who ever asks');

$worker->fresh('forced', $first{forced}{version});
$worker->fresh('forced', $first{forced}{version} + 1_000_000);
$worker->fresh('none', 1);
$worker->fresh('nobody', 1);

passes('who asks for what there is not is no trouble');
is(scalar $endpoint->requests('/forced'), 2,
    'one that was replaced already is not fetched anew');

my ($version) = $worker->seen =~ /.*^token forced (\d+)/ms;
$worker->fresh('forced', $version);
my $same = $worker->credential('forced');
is($same->{value}, 'Bearer token-2',
    'one that is refused again within 10 s is all that there is');
cmp_ok($same->{version}, '>', $version, 'for which nobody waits in vain');

write_to("$dir/bearer", "bearer-2\n");
ok($keeper->logged(qr/msg="the credential can be read again" remote=bearer$/m),
    'a file that is there again is read');

$worker->fresh('bearer', $bearer->{version});
my $again = $worker->credential('bearer');
is($again->{value}, 'Bearer bearer-2', 'a file that is refused is what it is');
cmp_ok($again->{version}, '>', $bearer->{version},
    'and who waits for another one needn\'t');

is(scalar $endpoint->requests('/forced'), 2,
    'a token is not fetched anew twice in 10 s');

# a fetch under way is the only one

$worker->fresh('held', $first{held}{version});
is(scalar(my @held = $endpoint->await('/held', 2)), 2, 'a fetch that hangs');
$_->fresh('held', $first{held}{version}) for @others, $worker;
passes('asked for again, and again');
is(scalar $endpoint->requests('/held'), 2, 'it is the only one');

# it stays for as long as it is valid

ok($worker->line(qr/^nothing failing (\d+) the token endpoint answered 500$/),
    'a token that has expired is gone');
cmp_ok(time - $started, '>', 5.5, 'but not before it has');
ok($worker->stats('failing', server => 2), 'after more tries than one');

my ($since) = $worker->seen =~ /.*^nothing failing (\d+) /ms;
ok($since > 1500 && $since < 6000, 'callers are told how long it has failed')
    or diag("$since ms");

# half-life

my @short = $endpoint->await('/short', 3);

for my $i (1, 2) {
    my $waited = $short[$i]{at} - $short[$i - 1]{at};

    ok($waited > 3 && $waited < 7,
        'a token of 8 s is fetched again after 4 s') or diag("$waited s");
}

my @brief = $endpoint->requests('/brief');
cmp_ok(scalar @brief, '<=', time - $started + 1,
    'one of a second is not asked for more often than each second');

# and what becomes of failures

$endpoint->answer('/failing', token(3600));
ok($worker->credential('failing'), 'and there is one when it no longer fails');

ok($worker->stats('hanging', timeout => 1, refreshes => 2),
    'a fetch that hangs is given up');
my @hanging = $endpoint->await('/hanging', 3);
my $gave_up = $hanging[2]{at} - $hanging[1]{at};
ok($gave_up > 2 && $gave_up < 6, 'after half of what the token has left')
    or diag("$gave_up s");
unlike($worker->seen, qr/^nothing hanging (?!-)/m, 'and it stays');

ok($worker->line(qr/^nothing busy \d+ the token endpoint answered 429$/),
    'one that expires while we are to wait is gone');
$worker->fresh('busy', $first{busy}{version});

# what was rotated

for my $try ([ workload => '/workload/oauth2/v2.0/token', 'client_assertion',
        'federated' ], [ rotated => '/rotated', 'client_secret', 'secret' ])
{
    my ($name, $path, $field, $file) = @$try;
    my @requests = $endpoint->await($path, 2);

    is($requests[-1]{form}{$field}[0], "$file-2",
        "$name: the next fetch has what its file has by then");
}

is(scalar $endpoint->requests('/busy'), 2, 'and nothing was asked meanwhile');

is($keeper->stop, 0, 'it ends');
unlike($keeper->log, qr/token-\d|secret-\d|federated-\d|(?:key|basic|bearer)-\d/,
    'no secret is in its log');

done_testing();
