#!/usr/bin/perl

# t/82-keeper.t: what the keeper asks for each kind of credential, to the
# letter, and what it makes of the answer

use warnings;
use strict;

use FindBin;
use MIME::Base64;
use POSIX qw(strftime);
use Test::More;

use lib "$FindBin::Bin/lib";

use Keeper qw(write_to);
use TokenEndpoint;

my $endpoint = TokenEndpoint->new;
my $url = $endpoint->url;
my $port = $endpoint->port;
my $dir = File::Temp->newdir;

# every byte that a secret may have

my $secret = 'a b' . join '', map { chr } 0x20 .. 0x7e, 0x80 .. 0xff;

write_to("$dir/$_->[0]", $_->[1]) for [ secret => "$secret\n" ],
    [ federated => "eyJh.eyJi.c-_\r\n" ], [ bearer => " bearer.1~+/= \nand more\n" ],
    [ basic => "us\xe9r:pass word:x \n" ], [ key => "wJal/K7MDENG+bPx\n" ],
    [ session => "session/+=\n" ], [ container => "Basic container+token\n" ];

my $scope = 'https://prometheus.monitor.azure.com/.default';
my $azure = "http://r azure scope=$scope";
my $aws = 'http://r aws region=r-1';

my %keys = (AccessKeyId => 'ASIAKEY', SecretAccessKey => 'k/e+y',
    Token => 'to/ken+==', Expiration => strftime('%Y-%m-%dT%H:%M:%SZ',
        gmtime time + 3600));

my $sts = <<"END";
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>sub</SubjectFromWebIdentityToken>
    <Credentials>
      <SessionToken>t&amp;o&#x2F;ken=</SessionToken>
      <SecretAccessKey>k/e+y</SecretAccessKey>
      <Expiration>$keys{Expiration}</Expiration>
      <AccessKeyId>ASIASTS</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>
END

my $roles = '/latest/meta-data/iam/security-credentials';

$endpoint->answer('/sts', { body => $sts, type => 'text/xml' });
$endpoint->answer('/v2/creds', { json => \%keys });
$endpoint->answer('/imds/latest/api/token', { body => "imds-token==\n" });
$endpoint->answer("/imds$roles/", { body => "a+role\n" });
$endpoint->answer("/imds$roles/a%2Brole",
    { json => { %keys, Code => 'Success', Type => 'AWS-HMAC' } });

# no proxy of the environment is asked

my %env = map { ($_ => 'http://127.0.0.1:1', uc $_ => 'http://127.0.0.1:1') }
    qw(http_proxy https_proxy all_proxy);

my $keeper = Keeper->new({ env => \%env },
    'none http://r none',
    "bearer http://r bearer-file file=$dir/bearer",
    "basic http://r basic-file file=$dir/basic",

    "secret $azure authority=$url tenant_id=te-nant client_id=c&id"
        . " client_secret_file=$dir/secret",
    "workload $azure authority=$url/a/ tenant_id=workload client_id=w"
        . " federated_token_file=$dir/federated",
    "managed $azure pod_identity_authority=$url/m1/",
    "chosen $azure pod_identity_authority=$url/m2 client_id=id/1",
    "other http://r azure scope=api://x pod_identity_authority=$url/m3",

    "oauth http://r oauth2 token_url=$url/oauth?x=1 client_id=i:d"
        . qq( client_secret_file=$dir/secret scope="a b" audience=http://a/&b),
    "body http://r oauth2 token_url=$url/body client_id=i:d client_auth=body"
        . " client_secret_file=$dir/secret",

    "google http://r google metadata_host=127.0.0.1:$port",

    "keys $aws access_key_id=AKIA1 secret_access_key_file=$dir/key",
    "session $aws access_key_id=AKIA1 secret_access_key_file=$dir/key"
        . " session_token_file=$dir/session",
    "web $aws sts_url=$url/sts role_arn=arn:aws:iam::1:role/x"
        . " web_identity_token_file=$dir/federated role_session_name=me",
    "container $aws container_uri=$url/v2/creds"
        . " container_token_file=$dir/container",
    "instance $aws metadata_url=$url/imds/",
);

my $worker = $keeper->worker;


# The only request to a path, without what each of them has.

sub asked {
    my ($path) = @_;

    my ($request, @more) = $endpoint->requests($path)
        or return "nothing was asked at $path";

    return "asked more than once at $path" if @more;

    my $headers = $request->{headers};
    delete @$headers{qw(host user-agent content-length)};
    delete @$request{qw(at path)};
    delete $request->{accept} if ($request->{accept} // '') eq '*/*';

    return $request;
}


# What a remote got, and how that was asked for.

sub gives {
    my ($name, $verb, $value, $left, $promise) = @_;

    my $c = $worker->credential($name) // { verb => 'nothing' };
    my $got = "$c->{verb} " . ($c->{value} // '');

    is($got, "$verb $value", $promise);

    if ($left) {
        my $seconds = $c->{left} / 1000;
        ok($seconds <= $left && $seconds > $left - 30,
            "$name: and it is valid for $left s")
            or diag("$seconds s");
    } else {
        is($c->{left}, 0, "$name: and it is valid for ever");
    }
}

sub posted {
    my ($name, $path, $headers, %form) = @_;

    my $request = asked($path);
    is_deeply($request, { method => 'POST', query => $request->{query},
        params => $request->{params}, body => $request->{body},
        headers => { 'content-type' => 'application/x-www-form-urlencoded',
            %$headers },
        form => { map { ($_ => [ $form{$_} ]) } keys %form } },
        "$name: asked for with just these fields");
    unlike($request->{body}, qr/[^\w.~%&=-]/, "$name: in which nothing stands"
        . ' that a form encodes');

    return $request;
}

sub got {
    my ($name, $path, $headers, %params) = @_;

    my $request = asked($path);
    is_deeply($request, { method => 'GET', query => $request->{query},
        headers => { accept => '*/*', %$headers }, body => '', form => {},
        params => { map { ($_ => [ $params{$_} ]) } keys %params } },
        "$name: asked for with just these parameters");
}


# what stands in files, or nowhere

gives('none', 'plain', '', 0, 'none: nothing is added');
gives('bearer', 'token', 'Bearer bearer.1~+/=', 0,
    'bearer-file: without the white space around');
gives('basic', 'token', 'Basic ' . encode_base64("us\xe9r:pass word:x", ''), 0,
    'basic-file: as base64');

# Azure

my %json = (accept => 'application/json');
my %client = (grant_type => 'client_credentials', scope => $scope);

gives('secret', 'token', 'Bearer token-1', 3600, 'azure with a secret');
posted('azure with a secret', '/te-nant/oauth2/v2.0/token', \%json, %client,
    client_id => 'c&id', client_secret => $secret);

gives('workload', 'token', 'Bearer token-1', 3600, 'azure, workload identity');
posted('azure, workload identity', '/a/workload/oauth2/v2.0/token', \%json,
    %client, client_id => 'w', client_assertion => 'eyJh.eyJi.c-_',
    client_assertion_type =>
        'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');

my $path = 'metadata/identity/oauth2/token';
my %version = ('api-version' => '2018-02-01');

gives('managed', 'token', 'Bearer token-1', 3600, 'azure, managed identity');
got('azure, managed identity', "/m1/$path", { metadata => 'true' }, %version,
    resource => 'https://prometheus.monitor.azure.com');

gives('chosen', 'token', 'Bearer token-1', 3600, 'azure, a chosen identity');
got('azure, a chosen identity', "/m2/$path", { metadata => 'true' }, %version,
    resource => 'https://prometheus.monitor.azure.com', client_id => 'id/1');

gives('other', 'token', 'Bearer token-1', 3600, 'azure, another resource');
got('azure, another resource', "/m3/$path", { metadata => 'true' }, %version,
    resource => 'api://x');

# any OAuth 2: ID and secret are each encoded before they are put together

my $encoded = 'i%3Ad:' . $secret =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X',
    ord $1/ger;
my $request;

gives('oauth', 'token', 'Bearer token-1', 3600, 'oauth2');
$request = posted('oauth2', '/oauth', { %json,
    authorization => 'Basic ' . encode_base64($encoded, '') },
    grant_type => 'client_credentials', scope => 'a b',
    audience => 'http://a/&b');
is($request->{query}, 'x=1', 'oauth2: the query of the URL stays');

gives('body', 'token', 'Bearer token-1', 3600, 'oauth2 in the body');
posted('oauth2 in the body', '/body', \%json, client_id => 'i:d',
    grant_type => 'client_credentials', client_secret => $secret);

# Google

gives('google', 'token', 'Bearer token-1', 3600, 'google');
got('google', '/computeMetadata/v1/instance/service-accounts/default/token',
    { 'metadata-flavor' => 'Google' });

# AWS

gives('keys', 'aws', 'r-1 AKIA1 wJal/K7MDENG+bPx -', 0, 'aws, access key');
gives('session', 'aws', 'r-1 AKIA1 wJal/K7MDENG+bPx session/+=', 0,
    'aws, access key of a session');

gives('web', 'aws', 'r-1 ASIASTS k/e+y t&o/ken=', 3600, 'aws, web identity');
posted('aws, web identity', '/sts', { accept => '*/*' },
    Action => 'AssumeRoleWithWebIdentity', Version => '2011-06-15',
    RoleArn => 'arn:aws:iam::1:role/x', RoleSessionName => 'me',
    WebIdentityToken => 'eyJh.eyJi.c-_');

gives('container', 'aws', 'r-1 ASIAKEY k/e+y to/ken+==', 3600,
    'aws, container');
got('aws, container', '/v2/creds',
    { authorization => 'Basic container+token' });

gives('instance', 'aws', 'r-1 ASIAKEY k/e+y to/ken+==', 3600, 'aws, instance');

$request = asked('/imds/latest/api/token');
is_deeply([ @$request{qw(method body headers)} ], [ 'PUT', '', {
    accept => '*/*', 'x-aws-ec2-metadata-token-ttl-seconds' => '21600' } ],
    'aws, instance: a session is asked for');

my %token = ('x-aws-ec2-metadata-token' => 'imds-token==');

got('aws, instance: the role', "/imds$roles/", \%token);
got('aws, instance: its keys', "/imds$roles/a%2Brole", \%token);

# all of it is told to whoever comes later, too

my $second = $keeper->worker;
my @names = qw(none bearer basic secret workload managed chosen other oauth
    body google keys session web container instance);

is_deeply([ map { $second->credential($_)->{verb} } @names ],
    [ 'plain', ('token') x 10, ('aws') x 5 ],
    'who connects later is told all at once');
is_deeply([ map { $second->stats($_)->{refreshes} } @names ],
    [ (1) x @names ], 'and that each was fetched once');

is($keeper->stop, 0, 'SIGTERM ends it');
ok(!-e $keeper->socket, 'and its socket is gone');
ok($worker->closed && $second->closed, 'as are its connections');

done_testing();
