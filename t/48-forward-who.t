#!/usr/bin/perl

# t/48-forward-who.t: who may use the proxy: by address, by password and by
# certificate, for each request of either form; and no target hears of it

use warnings;
use strict;

use FindBin;
use MIME::Base64;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Dns;
use Forward;
use Http qw(connection read_response send_request);
use Nginx;

my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $backend = Backend->new;
my $target = '127.0.0.1:' . $backend->port;
my $dns = Dns->new('name.test' => '127.0.0.1');
my %port = map { $_ => free_port() } qw(users from far all);

# of a hash that isn't bcrypt's, made with little to do

my @kinds = grep { length(crypt('word', $_->[1]) // '') > 20 } (
    [ 'y', '$y$j75$abcdefgh$' ], [ '7', '$7$CU..../....abcd$' ],
    [ 6, '$6$rounds=1000$abcdefgh$' ], [ 5, '$5$rounds=1000$abcdefgh$' ]);

authority($dir, $_) for qw(ca clients other);
certificate($dir, 'proxy', ca => 'ca', names => 'DNS:localhost,IP:127.0.0.1');
certificate($dir, 'client', ca => 'clients', names => 'DNS:prometheus');
certificate($dir, 'stranger', ca => 'other', names => 'DNS:prometheus');
certificate($dir, 'self', names => 'DNS:prometheus');
$nginx->write('users', hashed('scraper', 'secret') . hashed('other', 'word')
    . join('', map { "user$_->[0]:" . crypt('word', $_->[1]) . "\n" } @kinds));

my $tls = <<"END";
    ssl_certificate %%DIR%%/proxy.crt;
    ssl_certificate_key %%DIR%%/proxy.key;
    ssl_client_certificate %%DIR%%/clients.crt;
    ssl_verify_client optional_no_ca;
END
my $block = "allow $target; scheme http; resolver 127.0.0.1:"
    . $dns->port . ' ipv6=off;';

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward users { $block users %%DIR%%/users; }
prom_forward from { $block from 192.0.2.0/24 127.0.0.2 ::1 fd00::/8; }
prom_forward far { $block from 192.0.2.0/24; users %%DIR%%/users; }
prom_forward all { $block from 127.0.0.0/8; users %%DIR%%/users;
    client_certificate on; }
END
    stream => 'upstream prom_forward { prom_forward_peer; }'
        . 'log_format forward \'$prom_forward_decision $prom_forward_user '
        . '$status\'; access_log %%DIR%%/logs/connect.log forward;'
        . forward_stream('users', "127.0.0.1:$port{users}")
        . forward_stream('from', "127.0.0.1:$port{from}")
        . forward_stream('far', "127.0.0.1:$port{far}")
        . forward_stream('all', "127.0.0.1:$port{all} ssl", $tls),
    http => 'log_format forward \'$prom_forward_decision $prom_forward_user '
        . '$status\'; access_log %%DIR%%/logs/http.log forward;'
        . join('', map { forward_server($_, "unix:%%DIR%%/$_.unused") }
            sort keys %port),
)->start;

my @right = basic('scraper:secret');
my $wants = 'this proxy wants a user and a password, by Proxy-Authorization: '
    . 'Basic';
my $knows = 'this proxy knows no such user and password';

sub refused {
    my ($r, $line, $promise) = @_;

    is($r->{line}, "HTTP/1.1 $line", $promise);
    is($r->{body}, $line =~ s/^\d+ //r . "\n", '... in its text, too');
}

for my $form (qw(http connect)) {
    my $ask = sub {
        my ($by, @headers) = @_;

        return asked($form, $port{$by}, $target, headers => \@headers);
    };

    # passwords

    my $r = $ask->('users');
    refused($r, "407 $wants", "$form: nobody");
    is($r->{headers}{'proxy-authenticate'}, 'Basic realm="Monitoring Proxy"',
        '... and what to send');

    $r = $ask->('users', basic('scraper:wrong'));
    refused($r, "407 $knows", 'a wrong password');
    is($r->{headers}{'proxy-authenticate'}, 'Basic realm="Monitoring Proxy"',
        '... and what to send');
    refused($ask->('users', basic('nobody:secret')), "407 $knows",
        'a user that there isn\'t');
    refused($ask->('users', basic('other:secret')), "407 $knows",
        'another\'s password');

    for ('Basic', 'Basic !!!', 'Bearer eDp5', 'Basic eA==', 'Digest x',
        'Basic ' . encode_base64("scraper:secret\0", ''),
        'Basic ' . encode_base64('scraper:' . 'x' x 2000, ''),
        'Basic ' . encode_base64(':', ''), ', Basic '
        . encode_base64('scraper:secret', ''))
    {
        is($ask->('users', "Proxy-Authorization: $_")->{status}, 407,
            'no credentials: ' . substr $_, 0, 20);
    }

    is($ask->('users', 'Authorization: Basic '
        . encode_base64('scraper:secret', ''))->{status}, 407,
        'Authorization is not the proxy\'s');
    is($ask->('users', @right, @right)->{status}, 400, 'twice the same');
    is($ask->('users', @right, basic('scraper:wrong'))->{status}, 400,
        '... and another');
    is($backend->arrived, 0, 'none of it has arrived');

    is($ask->('users', basic("user$_->[0]:word"))->{status}, 200,
        "a hash of the kind $_->[0]") for @kinds;
    is($ask->('users', basic("user$_->[0]:other"))->{status}, 407,
        "... of another password") for @kinds;

    $r = $ask->('users', map { s/^P.*?:/pROXY-aUTHORIZATION:/r } @right);
    is($r->{status}, 200, 'the right ones, with the header in any case');
    is(scalar(grep { /proxy-|secret|c2NyYXBlcjpzZWNyZXQ/i }
        $backend->arrived), 0, '... which the target doesn\'t hear of');
    is($ask->('users', @right, 'Connection: proxy-authorization, x')->{status},
        200, 'nor when Connection names it');
    is(scalar(grep { /proxy-|c2NyYXBlcjpzZWNyZXQ/i } $backend->arrived), 0,
        '... in any way');

    # addresses

    refused($ask->('from', @right), '403 this proxy is not for 127.0.0.1',
        'an address that is in no network');
    refused($ask->('far', @right), '403 this proxy is not for 127.0.0.1',
        '... with a password');
    refused($ask->('from', 'X-Forwarded-For: 192.0.2.1',
        'X-Real-IP: 192.0.2.1', 'Forwarded: for=192.0.2.1'),
        '403 this proxy is not for 127.0.0.1', '... and with another\'s');

    # who may not ask learns nothing of names and rules

    for ([ 'far', 403 ], [ 'users', 407 ]) {
        my ($by, $status) = @$_;
        is(asked($form, $port{$by}, $_)->{status}, $status,
            "$by: who may not ask is told so alone, not of $_")
            for 'name.test:80', 'none.test:80', '127.0.0.9:80', '10.0.0.1:80';
    }

    is($dns->asked('name.test'), 0, '... and nobody asks for a name');
}

# a second address of this machine's is one that may

for my $form (qw(http connect)) {
    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
        PeerPort => $port{from}, LocalHost => '127.0.0.2') or die "$@\n";
    send_request($s, raw => ($form eq 'http' ? "GET http://$target/"
        : "CONNECT $target") . " HTTP/1.1\r\nHost: x\r\n\r\n");
    is(connect_head($s)->{status}, 200, "$form: an address that may");
}

$backend->arrived;


# what is in a tunnel is the target's

my $s = connection($port{users});
send_request($s, raw => "CONNECT $target HTTP/1.1\r\nHost: x\r\n"
    . "$right[0]\r\nProxy-Connection: keep-alive\r\n\r\n");
is(connect_head($s)->{status}, 200, 'a tunnel');
my $inner = "GET /inner HTTP/1.1\r\nHost: x\r\n"
    . "Proxy-Authorization: Basic aW5uZXI6eA==\r\n\r\n";
send_request($s, raw => $inner);
read_response($s);
is(join('', $backend->arrived), $inner,
    '... whose bytes arrive, and nothing else');
close $s;

# a refusal ends the connection of a tunnel, and not that of a request

$s = connection($port{users});
send_request($s, raw => "CONNECT $target HTTP/1.1\r\nHost: x\r\n\r\n"
    . "CONNECT $target HTTP/1.1\r\nHost: x\r\n$right[0]\r\n\r\n");
my $r = connect_head($s);
is("$r->{status} $r->{headers}{connection}", '407 close',
    'CONNECT without a password ends its connection');
is(sysread($s, my $more, 100), 0, '... whatever follows');

$s = connection($port{users});

for ([ [], 407 ], [ \@right, 200 ], [ [], 407 ],
    [ [ basic('scraper:wrong') ], 407 ], [ [ basic('other:word') ], 200 ],
    [ [ 'Proxy-Authorization: Basic' ], 407 ], [ \@right, 200 ])
{
    my ($headers, $status) = @$_;
    send_request($s, path => "http://$target/", keepalive => 1,
        headers => [ 'Host: x', @$headers ]);
    is(read_response($s)->{status}, $status,
        "each request is asked on its own: $status");
}

# several at once, of which some come with the connection

$s = connection($port{users});
send_request($s, raw => join '', map {
    "GET http://$target/$_->[0] HTTP/1.1\r\nHost: x\r\n"
    . ($_->[1] ? "$right[0]\r\n" : '') . "\r\n"
} [ 1, 1 ], [ 2, 0 ], [ 3, 1 ], [ 4, 0 ]);
is(join(' ', map { connect_head($s)->{status} } 1 .. 4), '200 407 200 407',
    'so it is with requests that come at once');
like(join('', $backend->arrived), qr{/1 (?s:.*)/3 }, '... and those arrive');


# certificates, and all of it

sub curl {
    my ($form, $certificate, @options) = @_;

    my $url = $form eq 'http' ? "http://$target/" : "-p http://$target/";
    my $with = $certificate
        ? "--proxy-cert $dir/$certificate.crt --proxy-key $dir/$certificate.key"
        : '';
    my $said = `curl -sS -m 20 -i -o $dir/said -D $dir/head --proxy \\
        https://localhost:$port{all} --proxy-cacert $dir/ca.crt $with \\
        @options $url 2>&1`;
    my ($line) = Nginx::slurp("$dir/head") =~ m{\AHTTP/1\.1 ([^\r\n]*)};

    unlink "$dir/head", "$dir/said";

    return $line // $said;
}

my $user = '--proxy-user scraper:secret';

for my $form (qw(http connect)) {
    like(curl($form, 'client', $user), qr/\A200 /,
        "$form: all of address, certificate and password");
    is(curl($form, 'client'), "407 $wants", 'no password');
    is(curl($form, 'client', '--proxy-user scraper:wrong'), "407 $knows",
        'a wrong one');
    is(curl($form, undef, $user), '403 this proxy wants a client certificate',
        'no certificate');
    like(curl($form, $_, $user), qr/\A403 the client certificate is refused: /,
        "one by another authority: $_") for qw(stranger self);
}

for my $form (qw(http connect)) {
    my $log;
    await(sub { ($log = Nginx::slurp("$dir/logs/$form.log"))
        =~ /^certificate/m });
    like($log, qr/^$_$/m, "$form\'s log: $_") for 'credentials - 407',
        'source - 403', 'certificate - 403', 'allowed scraper 200';
}

unlike(Nginx::slurp("$dir/logs/http.log")
    . Nginx::slurp("$dir/logs/connect.log"), qr/wrong|secret/,
    'no log has a password');

$nginx->finish;

done_testing();
