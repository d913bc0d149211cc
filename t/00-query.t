#!/usr/bin/perl

# t/00-query.t: the query proxy's settings, by file, by environment and by flag:
# what is read, what is told, and what nginx and the keeper get of it

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $tool = query_tool();
my $dir = workdir();
my $url = 'https://prom.example.com/base';

# of whoever runs the tests

delete @ENV{grep { /^(?:MONITORING_PROXY|AZURE|AWS|GCE)_/ } keys %ENV};

mkdir "$dir/files" or die "files: $!\n";
spew("$dir/files/$_", "$_-text\n") for qw(secret token ca.pem);


# {dir} in a text is where the files are.

sub placed {
    my ($text) = @_;

    return $text =~ s/\{dir\}/$dir\/files/gr;
}


sub dump_of {
    my ($text) = @_;

    spew("$dir/remotes", placed($text));
    my (undef, $out, $errors) = run('', $tool, 'dump', "$dir/remotes");

    return $errors . $out =~ s/^\Q$dir\E\/remotes://gmr
        =~ s/\Q$dir\E\/files/{dir}/gr;
}


# Variables, of which those without a prefix are MONITORING_PROXY_QUERY_: what
# prepare says, and on success the files that it has made.

sub prepared {
    my ($env, @ports) = @_;

    local %ENV = (%ENV, map {
        (/^(?:AZURE|AWS|GCE)_/ ? $_ : "MONITORING_PROXY_QUERY_$_")
            => placed($env->{$_}) } keys %$env);

    run('', 'rm', '-rf', "$dir/made");
    my ($status, $out, $errors) = run('', $tool, 'prepare', "$dir/made",
        @ports);

    return ($errors, undef) if $status;
    return ($out, { map { (m{([^/]+)\z} => slurp($_)) } glob "$dir/made/*" });
}


# told WHAT, what is expected, variables

sub told {
    my ($what, $expected, $env, @ports) = @_;

    my ($said, $made) = prepared($env, @ports);

    is($said =~ s/\Q$dir\E\/files/{dir}/gr, $expected, $what);
    ok(!-e "$dir/made" && !-e "$dir/made.new", "$what: nothing is left")
        if !$made;
}


# The keeper's line of the remote in the environment, without what is by
# default.

sub remote {
    my ($env) = @_;

    my ($said, $made) = prepared($env);

    return $said if !$made;

    spew("$dir/remotes", $made->{remotes});
    my (undef, $out, $errors) = run('', $tool, 'dump', "$dir/remotes");

    return $errors . $out =~ s/\Q$dir\E\/files/{dir}/gr;
}


# the file

for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;

    is(dump_of($text), $told, $title);
}

my $name = 'n' x 63;

like(dump_of("$name $url none\n"), qr/^\Q$name\E https /, 'a name of 63 bytes');
is(dump_of("n$name $url none\n"), "1:1: name of 64 bytes; 63 are allowed\n",
    'not of 64');
is(dump_of(join '', map { "r$_ $url none\n" } 1 .. 257),
    "257:1: more than 256 remotes\n", '256 remotes, and no more');
like(dump_of("a $url none ca=/" . 'x' x 8192),
    qr/^1:\d+: ca has 8193 bytes; 8192 are allowed$/, 'a value of 8 kB');

unlike(dump_of("a https://user:planted\@h/planted azure client_secret=planted"
    . "\nb https://h?planted none planted=planted x=\"planted\n"
    . "c h:planted none\nplanted://h\n"),
    qr/planted(?!:|"; there)/, 'no message has what may be a secret in it');

like((run('', $tool, 'dump', "$dir/nix"))[1],
    qr{^\Q$dir\E/nix: \Q$dir\E/nix does not exist}, 'no such file');
like((run('', $tool, 'dump', $dir))[1], qr/ is a directory; docker makes one /,
    'a directory');


# the environment

told('an URL alone is Azure, by a managed identity',
    "port 9090 / is $url, by azure (managed identity); allowed: query\n",
    { URL => "$url/" });

is(remote({ URL => $url }), "remote https prom.example.com 443 \"/base\""
    . " azure\n", 'and all else is by default');

is(remote({ URL => $url, AZURE_TENANT_ID => 't', AZURE_CLIENT_ID => 'c',
    AZURE_FEDERATED_TOKEN_FILE => '{dir}/token', AZURE_AUTHORITY_HOST =>
        'login.example.com/' }),
    'remote https prom.example.com 443 "/base" azure tenant_id=<t>'
    . ' client_id=<c> federated_token_file=<{dir}/token>'
    . " authority=<https://login.example.com>\n",
    'workload identity, and an authority without a scheme');

{
    my ($said, $made) = prepared({ URL => $url, AZURE_TENANT_ID => 't',
        AZURE_CLIENT_ID => 'c', AZURE_CLIENT_SECRET => "se\"cr\\et x\n",
        AZURE_FEDERATED_TOKEN_FILE => '{dir}/token' });

    like($said, qr/by azure \(client secret\)/, 'a client secret goes first');
    is($made->{'secret-remote-client_secret'}, "se\"cr\\et x\n",
        'a secret is in a file, without the newline that a Secret may have');
    is((stat "$dir/made/secret-remote-client_secret")[2] & 07777, 0600,
        'which nobody else can read');
    like($made->{remotes},
        qr{client_secret_file="\Q$dir\E/made/secret-remote-client_secret"},
        'and the keeper knows its path');
    unlike(join('', $said, map { $made->{$_} } grep { !/^secret-/ }
        keys %$made), qr/cr\\et/, 'and it is nowhere else');
    is($made->{files}, "$dir/made/secret-remote-client_secret\n"
        . "$dir/files/token\n", 'the files that settings name');
}

is(remote({ URL => 'http://[fd00::1]:8428', AUTH => 'OAUTH2', TOKEN_URL =>
    'https://t/token?x=1', CLIENT_ID => 'a b', CLIENT_SECRET_FILE =>
    '{dir}/secret', SCOPE => 'x y', AUDIENCE => 'z', CLIENT_AUTH => 'body' }),
    'remote http fd00::1 8428 "" oauth2 client_id=<a b>'
    . ' client_secret_file=<{dir}/secret> token_url=<https://t/token?x=1>'
    . " scope=<x y> audience=<z> client_auth=<body>\n", 'all of oauth2');

is(remote({ URL => $url, AUTH => 'google', GCE_METADATA_HOST =>
    '127.0.0.1:8080' }), 'remote https prom.example.com 443 "/base" google'
    . " metadata_host=<127.0.0.1:8080>\n", 'google');

like(remote({ URL => 'https://aps-workspaces.eu-west-1.amazonaws.com/w/x',
    AUTH => 'aws' }), qr/ aws region=<eu-west-1>$/,
    'the region of an Amazon host');
like(remote({ URL => $url, AUTH => 'aws', AWS_DEFAULT_REGION => 'a-1' }),
    qr/ region=<a-1>$/, 'AWS_DEFAULT_REGION');
like(remote({ URL => $url, AUTH => 'aws', AWS_DEFAULT_REGION => 'a-1',
    AWS_REGION => 'b-1' }), qr/ region=<b-1>$/, 'AWS_REGION goes first');
like(remote({ URL => $url, AUTH => 'aws', AWS_REGION => 'a-1',
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI => '/v2/credentials/1?a=b',
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE => '{dir}/token' }),
    qr! container_uri=</v2/credentials/1\?a=b>
        \ container_token_file=<\{dir\}/token>$!x,
    'credentials of a container');

# as AWS' own programs: without TLS, no farther than this machine

my $full = 'AWS_CONTAINER_CREDENTIALS_FULL_URI';
my %container = (URL => $url, AUTH => 'aws', AWS_REGION => 'a-1');

like(remote({ %container, $full => $_ }), qr/ container_uri=<\Q$_\E>$/,
    "credentials of a container at $_") for 'https://creds.example.com/v1?a=b',
    'http://localhost:81/x', 'http://127.9.0.1', 'http://[::1]:80/x',
    'http://169.254.170.2/v2', 'http://169.254.170.23/v1/credentials',
    'http://[fd00:ec2::23]/v1/credentials';

told("... but not at $_", "$full (--aws-container-credentials-full-uri):"
    . ' begins with http:// and leads elsewhere; https:// is allowed, or one'
    . ' of the hosts localhost, 127.0.0.1, [::1], 169.254.170.2,'
    . " 169.254.170.23 and [fd00:ec2::23]\n", { %container, $full => $_ })
    for 'http://creds.example.com/v1', 'http://169.254.170.3/',
    'http://169.254.169.254/x', 'http://localhost.example.com/',
    'http://[::ffff:127.0.0.1]/', 'http://[fd00:ec2::254]/';

is(remote({ URL => $url, AUTH => 'bearer-file', FILE => '{dir}/token',
    CA => '{dir}/ca.pem', ALLOW => 'Write, query' }),
    'remote https prom.example.com 443 "/base" bearer-file'
    . " allow=<write,query> ca=<{dir}/ca.pem> file=<{dir}/token>\n",
    'bearer-file');

for (['DEBUG', 'debug'], ['info', 'info'], ['Warning', 'warn'],
    ['ERROR', 'error'])
{
    my (undef, $made) = prepared({ URL => $url, LOG_LEVEL => $_->[0] });
    is($made && $made->{level}, $_->[1], "level $_->[0]");
}

told('what others have set is no matter of an AUTH that has no use for it',
    "port 9090 / is $url, by none; allowed: query\n",
    { URL => $url, AUTH => 'none', AWS_REGION => 'a', AZURE_CLIENT_SECRET =>
        's', AZURE_CLIENT_SECRET_FILE => '/nix', GCE_METADATA_HOST => '/' });

told('what Kubernetes makes of a Service is no port',
    "port 9090 / is $url, by none; allowed: query\n",
    { URL => $url, AUTH => 'none', PORT => 'tcp://10.0.0.1:9090' });


# mistakes

my $no_url = 'is set, but MONITORING_PROXY_QUERY_URL (--prometheus-url) is not';

told('a setting without an URL', "MONITORING_PROXY_QUERY_ALLOW (--allow):"
    . " $no_url\nMONITORING_PROXY_QUERY_CLIENT_SECRET_FILE"
    . " (--client-secret-file): $no_url\n",
    { ALLOW => 'all', CLIENT_SECRET_FILE => '/x' });
told('an empty variable is none', "port 9090 / is $url, by azure (managed"
    . " identity); allowed: query\n", { URL => $url, CA => '', FILE => '' });

told("\"$_->[1]\" as $_->[0]", "MONITORING_PROXY_QUERY_$_->[0] (--$_->[2]):"
    . " $_->[3]\n", { URL => $url, $_->[0] => $_->[1] }) for
    ['URL', 'prom.example.com', 'prometheus-url',
        'begins with neither http:// nor https://'],
    ['URL', 'https://u:p@h', 'prometheus-url',
        'has "@" in it; a user and a password are not allowed'],
    ['URL', 'https://h/?query=up', 'prometheus-url',
        'has "?" in it; a query and a fragment are not allowed'],
    ['URL', 'https://h/#x', 'prometheus-url',
        'has "#" in it; a query and a fragment are not allowed'],
    ['URL', 'https://unix:/x', 'prometheus-url',
        'is a unix socket; a host is allowed'],
    ['URL', "https://h\x01", 'prometheus-url',
        'has a byte 0x01 in it; printable ASCII is allowed'],
    ['URL', 'https://h:0', 'prometheus-url',
        'port "0" is not a number from 1 to 65535 without leading zeros'],
    ['URL', 'https://h/../x', 'prometheus-url',
        'path "/../x" has ".." in it; it is /SEGMENT[/SEGMENT ...]'],
    ['PORT', '65536', 'port',
        'is no port; a number from 1 to 65535 is allowed'],
    ['PORT', '090', 'port', 'is no port; a number from 1 to 65535 is allowed'],
    ['AUTH', 'azur', 'auth', '"azur" is not allowed; allowed is one of: azure'
        . ' oauth2 google aws bearer-file basic-file none'],
    ['ALLOW', 'query,wirte', 'allow', '"wirte" is not allowed; allowed are:'
        . ' query write admin all'],
    ['ALLOW', ',', 'allow', 'has no value'],
    ['VERIFY', 'no', 'verify',
        '"no" is not allowed; allowed is one of: on off'],
    ['LOG_LEVEL', 'TRACE', 'log-level', '"TRACE" is not allowed; allowed is'
        . ' one of: DEBUG INFO WARNING ERROR'],
    ['CA', 'ca.pem', 'ca', 'is not an absolute path; give that of a file in'
        . ' the container'],
    ['CA', '/x y', 'ca', 'has " " in it; letters, digits and "._~/@%+,:=-"'
        . ' are allowed in a path'],
    ['CA', '{dir}', 'ca', '{dir} is a directory; docker makes one where there'
        . ' is no file to mount'],
    ['CA', '/nix', 'ca', '/nix does not exist; give the path of a file in the'
        . ' container'],
    ['FILE', '/x', 'file', 'is set, but has no effect with azure'],
    ['TOKEN_URL', 'x', 'token-url', 'is set, but has no effect with azure'],
    ['CERT', '{dir}/ca.pem', 'cert', 'is set, but MONITORING_PROXY_QUERY_KEY'
        . ' (--key) is not; both are needed'];

my $needs = 'is not set; oauth2 needs it';

told('what oauth2 needs', "MONITORING_PROXY_QUERY_TOKEN_URL (--token-url):"
    . " $needs\nMONITORING_PROXY_QUERY_CLIENT_ID (--client-id): $needs\n"
    . "MONITORING_PROXY_QUERY_CLIENT_SECRET (--client-secret): $needs\n",
    { URL => $url, AUTH => 'oauth2' });
told('what a client secret needs', join('', map {
    "AZURE_${_}_ID (--azure-" . lc . "-id): is not set; a client secret needs"
    . " it\n" } qw(TENANT CLIENT)),
    { URL => $url, AZURE_CLIENT_SECRET => 's' });
told('a secret beside its file', 'AZURE_CLIENT_SECRET_FILE'
    . ' (--azure-client-secret-file): is set, and so is what it would have;'
    . " one of both is allowed\n", { URL => $url, AZURE_TENANT_ID => 't',
        AZURE_CLIENT_ID => 'c', AZURE_CLIENT_SECRET => 's',
        AZURE_CLIENT_SECRET_FILE => '{dir}/secret' });
told('half an access key', "AWS_SECRET_ACCESS_KEY (--aws-secret-access-key):"
    . ' is set, but AWS_ACCESS_KEY_ID (--aws-access-key-id) is not; both are'
    . " needed\n", { URL => $url, AUTH => 'aws', AWS_REGION => 'r',
        AWS_SECRET_ACCESS_KEY => 's' });
told('no region', "AWS_REGION (--aws-region): is not set; the URL's host has"
    . " none\n", { URL => $url, AUTH => 'aws' });
told('certificates of nobody', 'MONITORING_PROXY_QUERY_CA (--ca): is set, but'
    . " nothing is verified; one of both is allowed\n",
    { URL => $url, CA => '{dir}/ca.pem', VERIFY => 'off' });
told('a port that is taken', 'MONITORING_PROXY_QUERY_PORT (--port): port 80 is'
    . " that of another part of this proxy; another is allowed\n",
    { URL => $url, PORT => 80 }, 22, 80);

like((prepared({ URL => 'http://h', VERIFY => 'off', ALLOW => 'all' }))[0],
    qr/^warning: remote: CERTIFICATES .*\n.*WITHOUT TLS.*\n.* do more than ask/m,
    'what is not safe is warned of');


# several remotes, and what nginx gets

spew("$dir/several", placed("a http://h none\nb $url bearer-file"
    . " file={dir}/token port=9091 verify=off\nc $url/ none ca={dir}/ca.pem"
    . " allow=query,write\n"));

{
    my ($said, $made) = prepared({ URL => $url, PORT => 9099,
        REMOTES => "$dir/several" });
    my $conf = $made->{'servers.conf'};
    my %servers = $conf =~ /^server \{\n    listen +(\d+);(.*?)^\}/msg;

    is(join(' ', sort keys %servers), '9091 9099', 'a server for each port');
    is_deeply([ $servers{9099} =~ /^    location (\S+) /mg ],
        [ '/', '@remote_again', '/a/', '@a_again', '/c/', '@c_again' ],
        'and a location for each remote, which may be asked again');
    like($servers{9099}, qr{"http://h" prefix=/a;}, 'at /NAME/');
    like($servers{9099}, qr!"\Q$url\E"\ prefix=/c\ ca=\Q$dir\E/files/ca.pem;
        \s+prom_token_api\s+query\ write;!x,
        'by its own CA, and with what it allows');
    like($servers{9099}, qr{"\Q$url\E" ca=/etc/ssl/certs/ca-certificates.crt;},
        'or else by the system\'s');
    like($servers{9091}, qr!location\ /\ \{\s+prom_token\s+b;
        \s+prom_token_remote\s+"\Q$url\E"\ verify=off;!x,
        'a port of its own');
    is($said =~ s/^warning.*\n//gmr, "port 9099 / is $url, by azure (managed"
        . " identity); allowed: query\nport 9099 /a/ is http://h, by none;"
        . " allowed: query\nport 9091 / is $url, by bearer-file; allowed:"
        . " query\nport 9099 /c/ is $url, by none; allowed: query,write\n",
        'and each is told');
}

like((prepared({ REMOTES => "$dir/several" }))[1]{'servers.conf'},
    qr/query-none\.conf/, 'where / is nobody\'s, it says so');
like((prepared({ URL => $url, PORT => 9091, REMOTES => "$dir/several" }))[0],
    qr{^\Q$dir\E/several: a port of a remote's own is that of }m,
    'one port for two');

spew("$dir/several", "remote $url none\nx $url bearer-file file=/nix\n");

is((prepared({ URL => $url, REMOTES => "$dir/several" }))[0],
    "$dir/several:1:1: name \"remote\" is that of the remote in"
    . " MONITORING_PROXY_QUERY_URL already\n"
    . "$dir/several:2:50: file: /nix does not exist; give the path of a file"
    . " in the container\n", 'mistakes of the file are told at once');


# flags

my @run = ($tool, 'run', '/usr/bin/env');

sub flags {
    my ($status, $out, $errors) = run('', @run, @_);

    return $status ? $errors : join ' ', sort grep { /^(?:MONIT|AZURE|AWS)/ }
        split /\n/, $out;
}

is(flags('--prometheus-url', $url, '--azure-client-secret=a=b', '--log-level',
    'INFO', '--port=9091'), "AZURE_CLIENT_SECRET=a=b"
    . " MONITORING_PROXY_QUERY_LOG_LEVEL=INFO MONITORING_PROXY_QUERY_PORT=9091"
    . " MONITORING_PROXY_QUERY_URL=$url", 'flags become variables');
is(flags('--azure-client-secret-file', '/x'), 'AZURE_CLIENT_SECRET_FILE=/x',
    'a secret\'s file');
is(flags(@{ $_->[0] }), "monitoring-proxy run: $_->[1]; see --help\n",
    "flags: @{ $_->[0] }") for
    [['--no'], 'no such flag: --no'],
    [['--por', '1'], 'no such flag: --por'],
    [['--ports', '1'], 'no such flag: --ports'],
    [['--port-file', '1'], 'no such flag: --port-file'],
    [['--port'], '--port needs a value'],
    [['--port='], '--port has no value'],
    [['planted'], 'argument 1 is no flag'],
    [['--auth', 'none', '--file', 'x'],
        '--file has no effect with --auth none'];

{
    local $ENV{MONITORING_PROXY_QUERY_PORT} = 1;
    is(flags('--port', 2, '--port', 3), 'MONITORING_PROXY_QUERY_PORT=3',
        'a flag wins over its variable, and the last over others');
}


# help and docs

my ($status, $help) = run('', @run, '--help');
my ($none, $table) = run('', $tool, 'settings');
my @rows = map { [ split /\t/, $_, -1 ] } split /\n/, $table;

is($status, 0, '--help');
unlike($help, qr/^.{80}/m, 'which is 79 columns wide');

for my $row (@rows) {
    my (undef, $variable, $flag) = map { s/\[.*//r } @$row;

    like($help, qr/^  --\Q$flag\E .*?\[\Q$variable\E\]/ms, "help has --$flag")
        if $flag;
}

my $page = slurp("$FindBin::Bin/../docs/query.md");
my @documented;

for my $part ($page =~ /^### For (.*?)(?=^#)/msg) {
    my ($auths) = $part =~ /\A([^\n]*)/;
    $auths = join ',', $auths =~ /`([^`]+)`/g;

    for my $line (grep { /^\| `/ } split /\n/, $part) {
        my (undef, @cells) = map { s/^ | $//gr } split / ?\| ?/, $line;
        my ($variable, $flag, $key, $preset) = map { s/`//gr } @cells;

        $key = '' if $key =~ /^[A-Z]/;
        $variable =~ s/^(\w+), \1_FILE$/$1\[_FILE]/;
        $flag =~ s/^--([\w-]+), --\1-file$/$1\[-file]/;
        $flag =~ s/^--//;

        push @documented, join ' ', $key, $variable, $flag,
            $auths eq '' ? 'all' : $auths, $preset;
    }
}

is_deeply([ sort @documented ],
    [ sort map { join ' ', @$_[0 .. 4] } @rows ],
    'docs/query.md has each setting as it is');

done_testing();

__DATA__
=== remotes
# comment

a http://localhost:9090 none
B-_9	https://[::1]:8443/x/	bearer-file	file={dir}/token   # another
c https://b oauth2 token_url=https://t/o client_id="a b" client_secret_file=/no/such scope="a \"b\\" port=9091
---
a http localhost 9090 "" none
B-_9 https ::1 8443 "/x" bearer-file file=<{dir}/token>
c https b 443 "" oauth2 own=9091 client_id=<a b> client_secret_file=</no/such> token_url=<https://t/o> scope=<a "b\>
=== a byte order mark, CRLF, and no end of the last line
<ef><bb><bf>a http://h none<0d>
b http://h none<EOF>
---
a http h 80 "" none
b http h 80 "" none
=== names
a.b http://h none
api http://h none
- http://h none
a http://h none
a http://h none
---
1:2: name has "." in it; letters, digits and "_-" are allowed in NAME, and a line is NAME URL AUTH [KEY=VALUE ...]
2:1: name "api" would hide paths of the proxy; another is allowed
3:1: name "-" would hide paths of the proxy; another is allowed
5:1: name "a" is on line 4 already
=== too little
a
b http://h
---
1:2: no URL behind the name; a line is NAME URL AUTH [KEY=VALUE ...]
2:11: no AUTH behind the URL; a line is NAME URL AUTH [KEY=VALUE ...]
=== settings that are none
a http://h none file=/x
b http://h basic-file fil=/x file=/y
c http://h oauth2 client_secret=x
d http://h none ca=/x ca=/y
e http://h none verify
f http://h none =x
---
1:17: this AUTH has no "file"; there are: port allow ca cert key verify
2:23: no such setting "fil"; there are: port allow ca cert key verify file
3:19: client_secret would be a secret in this file; client_secret_file=FILE is allowed
4:23: ca is in the line already
5:17: "verify" has no "="; behind AUTH come KEY=VALUE, with spaces KEY="VALUE"
6:17: no such setting ""; there are: port allow ca cert key verify
=== values that are none
a http://h none ca=
b http://h none ca=""
c http://h none ca="/x
d http://h none ca="/x"y
e http://h none ca=/x"y
f http://h oauth2 scope="a\n"
g ftp://h none
---
1:20: ca has no value
2:20: ca has no value
3:20: value of ca has no closing quote in its line
4:24: something right after the closing quote of ca; white space is allowed
5:22: value of ca has " in it; that is allowed only in double quotes
6:27: value of scope has \ before something else than " and \, which are allowed
7:3: URL begins with neither http:// nor https://
=== one port for two
a http://h none port=9091
b http://h none port=9091
---
2:17: port 9091 is that of line 1 already
=== what is missing is told at the name, or at what needs it
a http://h oauth2 client_id=x
b http://h azure cert=/x
---
1:1: token_url is not set; oauth2 needs it
1:1: client_secret_file is not set; oauth2 needs it
2:18: cert is set, but key is not; both are needed
2:18: cert is a certificate for an URL that begins with http://
