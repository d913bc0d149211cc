#!/usr/bin/perl

# t/87-query-secrets.t: at the most verbose level, and with endpoints that say
# what they were told, no secret or token is in anything that the query proxy's
# image prints, answers or shows of its processes

use warnings;
use strict;

use FindBin;
use MIME::Base64;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Container qw(await directory write_file);
use Http qw(request);
use Nginx qw(free_port);
use TokenEndpoint;

# with what a form, JSON and a shell write otherwise

my %secret = map { $_ => "planted/$_+\"%'=" } qw(flag basic body html);
$secret{$_} = "planted-$_-0123456789/+" for qw(federated bearer user key
    session token echoed caller);
$secret{cut} = 'planted-' x 12;                  # where messages are cut

my $endpoint = TokenEndpoint->new;
my $url = $endpoint->url;
my $dir = directory();

write_file("$dir/$_", "$secret{$_}\n") for grep { $_ ne 'flag' } keys %secret;
write_file("$dir/user", "somebody:$secret{user}\n");

# one that gives a token, and those that give away what they got, in the forms
# in which it was sent

sub encoded { $_[0] =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger }
sub basic { encode_base64('me:' . encoded($_[0]), '') }

sub says {
    my ($path, @said) = @_;

    $endpoint->answer($path, { status => 400, json => {
        error => 'invalid_client', error_description =>
            'AADSTS7000215: wrong: ' . join ' ', @said } });
}

my %gives = (json => { access_token => $secret{token}, expires_in => 60 });

$endpoint->answer('/flag/tenant/oauth2/v2.0/token', \%gives);
$endpoint->answer('/basic', \%gives);
says('/body', $secret{body}, encoded($secret{body}));
says('/federated/tenant/oauth2/v2.0/token', $secret{federated},
    encoded($secret{federated}));
says('/echoed', $secret{echoed}, basic($secret{echoed}));
says('/cut', 'x' x 220, $secret{cut});
$endpoint->answer('/html', { status => 403, type => 'text/html', body =>
    "<p>Basic @{[basic($secret{html})]} $secret{html}" });

my $remote = Backend->new(answer => sub {
    my ($s, $request) = @_;

    return 0 if $request =~ /^GET \S*series/;       # it ends without an answer

    my $line = $request =~ /^GET \S*labels/ ? '401 Unauthorized'
        : $request =~ /^GET \S*rules/ ? "302 Found\r\nLocation: http://x/"
        : '200 OK';
    print $s "HTTP/1.1 $line\r\nContent-Length: 2\r\n\r\n{}";

    return 1;
});
my $to = 'http://127.0.0.1:' . $remote->port;
my $port = free_port();

write_file("$dir/remotes", join '', map { "$_\n" }
    "basic $to oauth2 token_url=$url/basic client_id=me"
        . ' client_secret_file=/s/basic',
    "body $to oauth2 token_url=$url/body client_id=me client_auth=body"
        . ' client_secret_file=/s/body',
    "html $to oauth2 token_url=$url/html client_id=me"
        . ' client_secret_file=/s/html',
    "echoed $to oauth2 token_url=$url/echoed client_id=me"
        . ' client_secret_file=/s/echoed',
    "cut $to oauth2 token_url=$url/cut client_id=me"
        . ' client_secret_file=/s/cut',
    "federated $to azure tenant_id=tenant client_id=me"
        . " authority=$url/federated federated_token_file=/s/federated",
    "bearer $to bearer-file file=/s/bearer",
    "user $to basic-file file=/s/user",
    "key $to aws region=r access_key_id=AKIDEXAMPLE"
        . ' secret_access_key_file=/s/key session_token_file=/s/session');

my $proxy = Container->run(options => [ '--network', 'host', '--user', 65534,
        '--read-only', '--tmpfs', '/run', '--cap-drop', 'ALL', '-v',
        "$dir:/s:ro" ],
    command => [ 'run', '--prometheus-url', $to, '--remotes', '/s/remotes',
        '--azure-tenant-id', 'tenant', '--azure-client-id', 'me',
        '--azure-client-secret', $secret{flag}, '--azure-authority-host',
        "$url/flag", '--port', $port, '--log-level', 'DEBUG' ]);

ok(await(60, sub { request($port, path => '/api/v1/query')->{status} == 200 }),
    'a proxy for ten remotes') or diag $proxy->logs;
ok(await(60, sub { !grep { !$endpoint->requests($_) } qw(/body /html /echoed
    /cut /federated/tenant/oauth2/v2.0/token) }), 'all endpoints were asked');

my @with = map { "$_: $secret{caller}" } 'Authorization', 'Cookie', 'X-Secret',
    'Proxy-Authorization';
my $said = '';

for my $path ('', map { "/$_" } qw(basic body html echoed cut federated bearer
    user key))
{
    for (qw(query labels rules series write ../x x), "query?$path") {
        my $r = request($port, path => "$path/api/v1/$_", headers => \@with);
        $said .= "$r->{raw}\n";
    }
}

$said .= request($port, path => $_, headers => \@with)->{raw}
    for qw(/metrics /-/ready /-/healthy / /nowhere/);

ok($proxy->logged(qr{"GET /key/api/v1/query\?/key }, 10), 'all is logged');

my $log = $proxy->logs;
my $shown = $proxy->exec('sh', '-c', 'for p in /proc/[0-9]*; do '
    . 'tr "\0" "\n" < $p/cmdline; tr "\0" "\n" < $p/environ; done 2> /dev/null')
    ->{out};

# what there is to be found

my $arrived = join '', $remote->arrived;
my $asked = join ' ', map { ($_->{body}, $_->{headers}{authorization} // '') }
    $endpoint->requests;

like($arrived, qr/^Authorization: \Q$_\E\r$/m, "the remote gets $_")
    for "Bearer $secret{token}", "Bearer $secret{bearer}", 'Basic '
    . encode_base64("somebody:$secret{user}", '');
like($arrived, qr/^X-Amz-Security-Token: \Q$secret{session}\E\r$/m,
    'and a session token');
ok(index($asked, $_) >= 0, 'an endpoint gets a secret')
    for encoded($secret{flag}), encoded($secret{body}),
    encoded($secret{federated}), basic($secret{html}), basic($secret{echoed});

like($log, qr/level=DEBUG/, 'the log has all there is');
like($log, qr/AADSTS7000215: wrong/, '... and what endpoints find wrong');
like($log, qr/wrong: x{200}/, '... up to where it is cut');
unlike($said, qr/AADSTS/, 'which callers are not told');
like($said, qr/ 503 .*answered 400/s, '... but that it is');
like($said, qr{^HTTP/1.1 $_ }m, "callers have got $_")
    for 200, 302, 400, 401, 403, 502, 503;
like($shown, qr/^keep$/m, 'processes are seen');

# and what isn't

for my $name (sort keys %secret) {
    my $forms = join '|', map { quotemeta } $secret{$name},
        encoded($secret{$name}), basic($secret{$name}),
        encode_base64("somebody:$secret{$name}", ''),
        $secret{$name} =~ s/(["\\])/\\$1/gr;

    unlike($log, qr/$forms/, "$name: not in the log");
    unlike($said, qr/$forms/, "$name: in no answer, page or metric");
    unlike($shown, qr/$forms/, "$name: in no process' arguments");
}

unlike($_, qr/Signature=|planted/, 'nothing that is a part of one')
    for $log, $said, $shown;

$proxy->remove;

done_testing();
