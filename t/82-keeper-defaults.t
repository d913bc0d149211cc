#!/usr/bin/perl

# t/82-keeper-defaults.t: where the keeper asks if it isn't told where: the
# hosts and paths of each cloud, for which this host stands here

use warnings;
use strict;

use FindBin;
use POSIX qw(strftime);
use Test::More;

use lib "$FindBin::Bin/lib";

use Forward qw(authority certificate);
use Keeper qw(write_to);
use Nginx;
use TokenEndpoint;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $endpoint = TokenEndpoint->new;
my $behind = $endpoint->url;
my $https = free_port();

my @hosts = qw(login.microsoftonline.com sts.eu-west-1.amazonaws.com
    sts.cn-north-1.amazonaws.com.cn);

authority($dir, 'ca');
certificate($dir, 'clouds', ca => 'ca',
    names => join ',', map { "DNS:$_" } @hosts);

$nginx->configure(targets => '', http => <<"END")->start;
server {
    listen 127.0.0.1:$https ssl;
    ssl_certificate %%DIR%%/clouds.crt;
    ssl_certificate_key %%DIR%%/clouds.key;
    location / {
        proxy_pass $behind/\$http_host\$request_uri;
        proxy_set_header Host \$http_host;
    }
}
END

system($ENV{CC} // 'cc', qw(-std=c17 -D_GNU_SOURCE -shared -fPIC -O1 -Wall
    -Wextra -Werror), "$FindBin::Bin/unit/far_hosts.c", '-o',
    "$dir/far_hosts.so") == 0 or die "the far hosts aren't built\n";

write_to("$dir/secret", "secret\n");

my $until = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime time + 3600);
my %keys = (AccessKeyId => 'AKIA', SecretAccessKey => 's', Token => 't',
    Expiration => $until);
my $sts = '<Credentials><AccessKeyId>AKIA</AccessKeyId><SecretAccessKey>s'
    . "</SecretAccessKey><SessionToken>t</SessionToken><Expiration>$until"
    . '</Expiration></Credentials>';
my $roles = '/latest/meta-data/iam/security-credentials';

$endpoint->answer("/$_/", { body => $sts }) for @hosts;
$endpoint->answer('/v2/credentials/1', { json => \%keys });
$endpoint->answer('/latest/api/token', { body => 'session' });
$endpoint->answer("$roles/", { body => 'role' });
$endpoint->answer("$roles/role", { json => \%keys });

my $keeper = Keeper->new({ env => { LD_PRELOAD => "$dir/far_hosts.so",
        FAR_HTTP => $endpoint->port, FAR_HTTPS => $https,
        ASAN_OPTIONS => 'verify_asan_link_order=0' } },
    "azure https://r azure tenant_id=te client_id=me ca=$dir/ca.crt"
        . " client_secret_file=$dir/secret",
    'managed https://r azure',
    'google https://r google',
    "web https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/x aws"
        . " role_arn=r web_identity_token_file=$dir/secret ca=$dir/ca.crt",
    "china https://r aws region=cn-north-1 role_arn=r ca=$dir/ca.crt"
        . " web_identity_token_file=$dir/secret",
    'container https://r aws region=r container_uri=/v2/credentials/1',
    'instance https://r aws region=r',
);

my $worker = $keeper->worker;


# That a remote has got what was asked for at a URL, and what more that had.

sub asks {
    my ($name, $host, $path, %more) = @_;

    my $got = $worker->credential($name);
    ok($got, "$name has a credential") or diag($keeper->log);

    my ($request) = $endpoint->requests($path);
    is($request->{headers}{host}, $host, "... of $host");

    my %fields = (%{ $request->{form} }, %{ $request->{params} });
    is($fields{$_}[0], $more{$_}, "... asked with $_") for sort keys %more;

    return $got;
}

my $scope = 'https://prometheus.monitor.azure.com';

asks('azure', $hosts[0], "/$hosts[0]/te/oauth2/v2.0/token",
    scope => "$scope/.default");
asks('managed', '169.254.169.254', '/metadata/identity/oauth2/token',
    resource => $scope);
asks('google', 'metadata.google.internal',
    '/computeMetadata/v1/instance/service-accounts/default/token');

is(asks('web', $hosts[1], "/$hosts[1]/",
    RoleSessionName => 'monitoring-proxy')->{value},
    'eu-west-1 AKIA s t', '... with the region of the URL');
asks('china', $hosts[2], "/$hosts[2]/");
asks('container', '169.254.170.2', '/v2/credentials/1');
asks('instance', '169.254.169.254', "$roles/role");

is($keeper->stop, 0, 'it ends');

done_testing();
