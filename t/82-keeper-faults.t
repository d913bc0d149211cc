#!/usr/bin/perl

# t/82-keeper-faults.t: whatever an endpoint does, callers are told why there
# is no credential, the operator is told more, and nobody is told a secret

use warnings;
use strict;

use FindBin;
use MIME::Base64;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Keeper qw(await write_to);
use TokenEndpoint;

my $endpoint = TokenEndpoint->new;
my $url = $endpoint->url;
my $dir = File::Temp->newdir;
my $secret = 'pl~nted/s3cret+%';
my $escaped = 'pl~nted%2Fs3cret%2B%25';

write_to("$dir/secret", "$secret\n");
write_to("$dir/empty", "\n");
write_to("$dir/control", "one\ttwo\n");
write_to("$dir/second", "\nsecond\n");
write_to("$dir/large", 'x' x 20000);
write_to("$dir/colon", "nobody\n");
write_to("$dir/unicode", "b\xc3\xa9arer\n");

my (%answer, %told, %kind, @lines);


# A remote whose endpoint misbehaves: what the callers are told then, which of
# the counters counts it, and the answers.

sub fault {
    my ($name, $kind, $told, @answers) = @_;

    push @lines, "$name http://r oauth2 token_url=$url/$name client_id=me"
        . " client_secret_file=$dir/secret client_auth="
        . ($name =~ /basic/ ? 'basic' : 'body');
    $told{$name} = $told;
    $kind{$name} = $kind;
    $endpoint->answer("/$name", @answers);
}

sub unusable {
    my ($name, $auth, $told, $settings) = @_;

    push @lines, "$name http://r $auth $settings";
    $told{$name} = "the file of the $told is not usable";
    $kind{$name} = 'file';
}

sub answered { return "the token endpoint answered $_[0]" }

my $invalid = "the token endpoint's answer is no valid credential";
my $broken = "the token endpoint's answer is no HTTP, or not whole";
my $token = '{"access_token":"planted-token","token_type":"Bearer"';


fault('aadsts', 'refused', answered(400), { status => 400, json => {
    error => 'invalid_client', error_description => 'AADSTS7000215: Invalid '
        . "client secret.\r\nTrace ID: 1", error_codes => [ 7000215 ] } });
fault('echo', 'refused', answered(401), { status => 401, json => {
    error => 'bad', error_description => "was <$secret>, as <$escaped>, or <"
        . lc($escaped) . '>' . 'x' x 900 } });
fault('echo-basic', 'refused', answered(401), { status => 401, json => {
    error => 'bad', error_description => encode_base64("me:$escaped", '') } });
fault('google-like', 'refused', answered(403), { status => 403, json => {
    error => { code => 403, status => 'DENIED', message => 'no scope' } } });
fault('missing', 'refused', answered(404), { status => 404,
    body => '<html>planted-page</html>', type => 'text/html' });
fault('server', 'server', answered(500), { status => 500, body => '' });
fault('gateway', 'server', answered(502), { status => 502,
    body => "<html>planted-page</html>" });
fault('redirect', 'invalid', answered(302), { status => 302,
    headers => [ "Location: $url/elsewhere" ] });
fault('moved', 'invalid', answered(307), { status => 307,
    headers => [ "Location: $url/elsewhere" ] });

fault('html', 'invalid', $invalid,
    { body => '<html>planted-page</html>', type => 'text/html' });
fault('nothing', 'invalid', $invalid, { body => '' });
fault('truncated', 'invalid', $invalid, { body => substr $token, 0, 30 });
fault('trailing', 'invalid', $invalid, { body => "$token} planted-page" });
fault('array', 'invalid', $invalid, { body => "[$token}]" });
fault('tokenless', 'invalid', $invalid, { json => { expires_in => 60 } });
fault('empty', 'invalid', $invalid, { json => { access_token => '' } });
fault('number', 'invalid', $invalid, { json => { access_token => 1 } });
fault('spaces', 'invalid', $invalid, { json => { access_token => 'a b' } });
fault('newline', 'invalid', $invalid,
    { json => { access_token => "planted-token\r\nX: y" } });
fault('unicode', 'invalid', $invalid, { body => '{"access_token":"\u00e9"}' });
fault('large', 'invalid', $invalid, { size => 16385 });
fault('huge', 'invalid', $invalid, { size => 10_000_000 });
fault('mac', 'invalid', $invalid,
    { body => '{"access_token":"planted-token","token_type":"mac"}' });
fault('expired', 'invalid', $invalid, { body => "$token,\"expires_in\":0}" });
fault('negative', 'invalid', $invalid,
    { body => "$token,\"expires_in\":\"-5\"}" });
fault('past', 'invalid', $invalid,
    { body => "$token,\"expires_on\":\"1000000000\"}" });
fault('word', 'invalid', $invalid,
    { body => "$token,\"expires_in\":\"soon\"}" });
fault('true', 'invalid', $invalid, { body => "$token,\"expires_in\":true}" });
fault('deep', 'invalid', $invalid, { body => '[' x 100_000 });

fault('cut', 'invalid', $broken, { body => "$token}", cut => 120 });
fault('garbage', 'invalid', $broken, { raw => "planted-page\r\n\r\n" });
fault('closed', 'connect', 'the token endpoint closed the connection',
    { cut => 0 });
fault('hang', 'timeout', "the token endpoint didn't answer in time",
    { hang => 1 });

push @lines, "refused http://r oauth2 token_url=http://127.0.0.1:1/"
    . " client_id=me client_secret_file=$dir/secret";
$told{refused} = q(can't connect to the token endpoint);
$kind{refused} = 'connect';

unusable('no-file', 'oauth2', 'client secret',
    "token_url=$url/none client_id=me client_secret_file=$dir/none");
unusable('no-assertion', 'azure', 'federated token',
    "authority=$url tenant_id=t client_id=me federated_token_file=$dir/none");
unusable('directory', 'bearer-file', 'token', "file=$dir");
unusable('empty-file', 'bearer-file', 'token', "file=$dir/empty");
unusable('control', 'bearer-file', 'token', "file=$dir/control");
unusable('second', 'bearer-file', 'token', "file=$dir/second");
unusable('large-file', 'bearer-file', 'token', "file=$dir/large");
unusable('unicode-file', 'bearer-file', 'token', "file=$dir/unicode");
unusable('no-colon', 'basic-file', 'password', "file=$dir/colon");

# AWS, whose answers are of other kinds

my %keys = (AccessKeyId => 'AKIA', SecretAccessKey => 'planted-token',
    Token => 'planted-token');
my $aws = 'http://r aws region=r-1';

sub sts {
    my ($until, $key) = @_;

    return "<A><Credentials><AccessKeyId>AKIA</AccessKeyId><SecretAccessKey>"
        . ($key // 'planted-token') . '</SecretAccessKey><SessionToken>'
        . "planted-token</SessionToken><Expiration>$until</Expiration>"
        . '</Credentials></A>';
}

sub aws_fault {
    my ($name, $kind, $told, $answer) = @_;

    my $at = $name =~ /^sts/
        ? "sts_url=$url/$name role_arn=r web_identity_token_file=$dir/secret"
        : "container_uri=$url/$name container_token_file=$dir/secret";
    push @lines, "$name $aws $at";
    $told{$name} = $told;
    $kind{$name} = $kind;
    $endpoint->answer("/$name", $answer);
}

my $service = "the token service's answer is no valid credential";
my $container = "the container endpoint's answer is no valid credential";

aws_fault('sts-refused', 'refused', 'the token service answered 400',
    { status => 400, body => '<ErrorResponse><Error><Type>Sender</Type><Code>'
        . "InvalidIdentityToken</Code><Message>no &lt;$secret&gt;</Message>"
        . '</Error></ErrorResponse>' });
aws_fault('sts-past', 'invalid', $service,
    { body => sts('2020-01-01T00:00:00Z') });
aws_fault('sts-when', 'invalid', $service, { body => sts('2040-13-01') });
aws_fault('sts-html', 'invalid', $service, { body => '<html>planted-page' });
aws_fault('sts-inner', 'invalid', $service,
    { body => sts('2040-01-01T00:00:00Z', '<a>planted-token</a>') });
aws_fault('sts-entity', 'invalid', $service,
    { body => sts('2040-01-01T00:00:00Z', 'a&#10;b') });
aws_fault('sts-cut', 'invalid', $service,
    { body => substr sts('2040-01-01T00:00:00Z'), 0, 100 });
aws_fault('keys-failed', 'invalid', $container,
    { json => { Code => 'AssumeRoleUnauthorizedAccess' } });
aws_fault('keys-past', 'invalid', $container,
    { json => { %keys, Expiration => '2020-01-01T00:00:00Z' } });
aws_fault('keys-when', 'invalid', $container,
    { json => { %keys, Expiration => 1 } });
aws_fault('keys-space', 'invalid', $container,
    { json => { %keys, SecretAccessKey => 'planted-token 2' } });

push @lines, "imds $aws metadata_url=$url/imds";
$told{imds} = "the metadata server's answer is no valid credential";
$kind{imds} = 'invalid';
$endpoint->answer('/imds/latest/api/token', { body => "planted token\n" });

# those that are to wait, and one that is tried again and again

sub throttled {
    my ($name, $status, $after) = @_;

    fault($name, $status == 429 ? 'throttled' : 'server', answered($status),
        { status => $status, headers => [ "Retry-After: $after" ] }, {});
}

throttled('seconds', 429, 3);
throttled('busy', 503, 3);
throttled('date', 429, strftime('%a, %d %b %Y %H:%M:%S GMT',
    gmtime time + 60));
throttled('nonsense', 429, 'soon');
fault('backoff', 'server', answered(500), { status => 500 });

# and those whose time has to be read

my %left = ('in-number' => [ '"expires_in":3599', 3599 ],
    'in-string' => [ '"expires_in":"3599"', 3599 ],
    'in-real' => [ '"expires_in":3599.9', 3599 ],
    'on-number' => [ '"expires_on":' . (3600 + int time), 3600 ],
    'on-string' => [ '"expires_on":"' . (3600 + int time) . '"', 3600 ],
    'both' => [ '"expires_in":600,"expires_on":"01/01/2030 00:00:00"', 600 ],
    'none' => [ '"x":1', 300 ], 'null' => [ '"expires_in":null', 300 ],
    'long' => [ '"expires_in":1e30', 10 * 366 * 86400 ]);

for my $name (sort keys %left) {
    fault("left-$name", '', '', { body => "$token,$left{$name}[0]}" });
    delete $_->{"left-$name"} for \(%told, %kind);
}


my $keeper = Keeper->new(@lines);
my $worker = $keeper->worker;

for my $name (sort keys %left) {
    my $c = $worker->credential("left-$name") // {};
    my $left = ($c->{left} // 0) / 1000;

    ok($left <= $left{$name}[1] && $left > $left{$name}[1] - 30,
        "valid as said: $left{$name}[0]") or diag("$left s");
}

for my $name (sort keys %told) {
    is($worker->line(qr/^nothing \Q$name\E \d+ (.*)$/), $told{$name},
        "$name: callers are told why");
    ok($worker->stats($name, $kind{$name} => 1), "$name: it is counted");
}

is(scalar $endpoint->requests('/elsewhere'), 0,
    'a redirect is not followed');


# what the operator is told

my $log = $keeper->log;

sub operator {
    my ($name, $pattern, $promise) = @_;

    my ($line) = $log =~ /^(.* remote=\Q$name\E err=.*)$/m;

    like($line, $pattern, "the operator is told $promise");
}

operator('aadsts', qr/ err="the token endpoint answered 400: invalid_client:/,
    'an error of the endpoint');
operator('aadsts', qr/: AADSTS7000215: Invalid client secret\.  Trace ID: 1"/,
    'and its description');
operator('echo', qr/: bad: was <\[secret\]>, as <\[secret\]>, or <\[secret\]>x/,
    'no secret that comes back');
operator('echo-basic', qr/: bad: \[secret\]"/, 'nor one in base64');
operator('sts-refused', qr/: InvalidIdentityToken: no <\[secret\]>"/,
    'an error in XML, without a secret');
operator('google-like', qr/: DENIED: no scope"/, 'an error of Google\'s');
operator('redirect', qr/: redirects are not followed"/,
    'that redirects are not followed');
operator('huge', qr/: it has more than 1048576 bytes"/,
    'that an answer is too long');
operator('large', qr/: its \\"access_token\\" has more than 16384 bytes"/,
    'that a token is too long');
operator('truncated', qr/: it isn't JSON, or not whole \(line 1, column 30\)"/,
    'that JSON ends too early');
operator('expired', qr/: its token has expired already"/,
    'that a token has expired');
operator('hang', qr/ timed out after 10\d\d\d milliseconds /,
    'that there was no answer in 10 s');
operator('no-file', qr{: $dir/none: No such file}, 'which file is not there');
operator('refused', qr/: connect to 127\.0\.0\.1:1: Connection refused"/,
    'what refused the connection');

my ($longest) = sort { $b <=> $a } map { length } split /\n/, $log;
cmp_ok($longest, '<', 800, 'no line of the log is long');


# when it is tried again

for my $name (qw(seconds busy)) {
    my @at = map { $_->{at} } $endpoint->await("/$name", 2);
    my $waited = $at[1] - $at[0];

    ok($waited >= 2.9 && $waited < 10, "$name: Retry-After is waited for")
        or diag("$waited s");
}

like($log, qr/remote=date err=.* retry=(?:[45]\d|60)\.\ds/,
    'as is a date of Retry-After');
is(scalar $endpoint->requests('/date'), 1, 'and not asked before');
is($worker->credential('nonsense')->{value}, 'Bearer token-2',
    'one that makes no sense is not');

my @at = map { $_->{at} } $endpoint->await('/backoff', 4);
my @waited = map { $at[$_] - $at[$_ - 1] } 1 .. 3;

for my $i (0 .. 2) {
    my $most = 2 ** $i;

    ok($waited[$i] >= $most / 2 && $waited[$i] < $most + 2,
        'try ' . ($i + 2) . " waits $most s, or half of it at least")
        or diag("$waited[$i] s");
}


# files that are right by now

write_to("$dir/empty", "token\n");
write_to("$dir/colon", "some:body\n");
is($worker->credential('empty-file')->{value}, 'Bearer token',
    'a file that is written later is found');
is($worker->credential('no-colon')->{value}, 'Basic c29tZTpib2R5',
    'and one that is corrected');


# and no secret anywhere

is($keeper->stop, 0, 'it ends, with fetches under way');

for my $text ($keeper->log, $worker->seen =~ s/^token .*$//gmr) {
    unlike($text, qr/\Q$secret\E|\Q$escaped\E|planted|token-\d/i,
        'no secret, no token, no page of others');
    ok(index($text, encode_base64("me:$escaped", '')) < 0, 'nor in base64');
}

unlike($worker->seen, qr/AADSTS|Trace|invalid_client|\[secret\]|none:/,
    'callers are told nothing that endpoints say');

done_testing();
