#!/usr/bin/perl

# t/48-forward-places.t: where no rule but one that says exactly so leads, in
# whichever notation, and by whichever form, it is asked for

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Backend;
use Dns;
use Forward;
use Http qw(connection read_response send_request);
use Nginx;

my $slow = $ENV{MP_SLOW} ? 4 : 1;
my $nginx = Nginx->new;
my $dir = $nginx->dir;
my $good = Backend->new(host => '127.0.0.2');
my $at = $good->port;
my $bad = Backend->new(host => '127.0.0.1', port => $at);
my $own = local_address();
my %port = map { $_ => free_port() } qw(any ports exact other);

my %names = (
    'good.test' => '127.0.0.2', 'localhost' => '127.0.0.1 ::1',
    'bad.test' => '127.0.0.1', 'flips.test' => '127.0.0.2 ttl=0',
    'own.test' => $own // '127.0.0.1', 'a_b.test' => '127.0.0.2',
);
my $dns = Dns->new(%names);

# everything, as far as a rule can say that without naming an address

$nginx->configure(
    targets => '',
    main => <<"END",
prom_forward any { allow 0.0.0.0/0:1-65535 [::]/0:1-65535 *:1-65535
    *.test:1-65535 localhost 127.0.0.0/8:1-65535 169.254.0.0/16:1-65535
    [fe80::]/10:1-65535 [fd00::]/8:1-65535 127.0.0.2:$at; scheme http;
    own $port{other}; resolver 127.0.0.1:@{[ $dns->port ]};
    resolver_timeout 2s; }
prom_forward ports { allow 192.0.2.0/24 *.test 127.0.0.0/8:22; scheme http; }
prom_forward exact { allow 127.0.0.1:%%PORT%% 127.0.0.1:$at; scheme http; }
END
    stream => 'upstream prom_forward { prom_forward_peer; }'
        . join('', map { forward_stream($_, "0.0.0.0:$port{$_}") }
            qw(any ports exact)),
    http => join('', map { forward_server($_, "unix:%%DIR%%/$_.unused") }
            qw(any ports exact)),
    server => 'location = /own { return 200 "own\\n"; }',
)->start;

my $form;

sub says {
    my ($by, $target, $line, $promise) = @_;

    my $r = asked($form, $port{$by}, $target);
    like($r->{line}, qr/\AHTTP\/1\.1 $line\z/, "$form: $promise");
}

my $exactly = 'which a rule has to name exactly';

for (qw(http connect)) {
    $form = $_;

    is(asked($form, $port{any}, "127.0.0.2:$at")->{status}, 200,
        "$form: an address that a rule names");

    for ([ 'loopback', '127.0.0.1', '127.0.0.3', '127.255.255.254', '[::1]',
            '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]',
            '[::FFFF:7F00:0001]', '[::127.0.0.1]', '[::ffff:0:127.0.0.1]',
            '[64:ff9b::127.0.0.1]', '[64:ff9b::7f00:1]',
            '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]', '[2002:7f00:0001::1]' ],
        [ 'unspecified', '0.0.0.0', '[::]', '[::ffff:0.0.0.0]',
            '[64:ff9b::]', '[2002::]' ],
        [ 'this network', '0.1.2.3', '[::ffff:0.1.2.3]' ],
        [ 'metadata service', '169.254.169.254', '100.100.100.200',
            '168.63.129.16', '192.0.0.192', '[fd00:ec2::254]',
            '[fd00:0ec2:0::0254]', '[fd20:ce::254]',
            '[::ffff:169.254.169.254]', '[64:ff9b::a9fe:a9fe]',
            '[2002:a9fe:a9fe::]', '[fe80::a9fe:a9fe]' ],
        [ 'link-local', '169.254.1.1', '[fe80::1]', '[febf::1]',
            '[64:ff9b::169.254.1.1]' ],
        [ 'multicast', '224.0.0.1', '239.255.255.255', '[ff02::1]',
            '[ff0e::1]' ],
        [ 'broadcast', '255.255.255.255' ], [ 'reserved', '240.0.0.1' ])
    {
        my ($place, @addresses) = @$_;

        for my $address (@addresses) {
            says('any', "$address:$at", "403 .* is $place, $exactly",
                "$place: $address");
        }
    }

    says('any', "127.0.0.1.:$at", "403 127\\.0\\.0\\.1:$at is not allowed: "
        . "127.0.0.1 is loopback, $exactly", 'a dot behind an address');
    says('any', "$_:$at", "403 $_:$at is not allowed: \\S+ is loopback, "
        . $exactly, "a name that leads there: $_") for qw(localhost bad.test);
    is(asked($form, $port{any}, "good.test.:$at")->{status}, 200,
        'a dot behind a name');
    is(asked($form, $port{any}, "GOOD.test:$at")->{status}, 200,
        'a name in upper case');

    # what is no target

    says('any', "$_:$at", '400 .+', "no notation of a target: $_") for
        qw(2130706433 017700000001 0x7f000001 0x7F000001 127.1 127.0.1 127.0
        0 0x0 0177.0.0.1 0x7f.0.0.1 127.0.0.0x1 127.0.0.01 0127.0.0.1 1.2.3.4.5
        1.2.3.256 1.2.3. .1.2.3.4 1..2 good.test.. .good.test a..b -
        %31%32%37.0.0.1 127%2e0.0.1 good.test%00 *.test
        [127.0.0.1] [::1%25lo] [fe80::1%lo] [::1 ::1] [] [:::1] [1::2::3]
        [::ffff:127.1] [::ffff:0177.0.0.1] user:pass@127.0.0.2 user@good.test
        @127.0.0.2 127.0.0.2\\@127.0.0.1 127.0.0.2:80@127.0.0.1
        good.test\\), 'good,test', '127.0.0.2#@127.0.0.1',
        "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1",
        "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1", "127\xe3\x80\x820.0.1";
    says('any', "127.0.0.2:$_", '400 .+', "no port: $_") for
        qw(0 00 65536 65617 99999 4294967376 18446744073709551696 -1 +80 0x50
        8% http 80:80 80@), '80,81', "\xd9\xa8";

    # ports that a rule without any hasn't in it

    says('ports', "192.0.2.1:$_", '403 .*no rule is for 192\.0\.2\.1',
        "port $_ of a rule without ports") for 1, 22, 25, 79, 1023;
    says('ports', '127.0.0.1:22', "403 .* is loopback, $exactly",
        'nor is loopback in a network with a port');

    # this proxy itself

    SKIP: {
        skip 'no address of its own here', 5 if !$own;

        my $is = "$own is a listener of this proxy's own, $exactly";
        says('any', "$own:$port{$_}", "403 .*: $is", "its own port, $_")
            for sort keys %port;
        says('any', "own.test:$port{any}", "403 .*: $is", '... by a name');
        says('any', "[::ffff:$own]:$port{any}", "403 .*: \\S*$is",
            '... as IPv6');
    }

    is(asked($form, $port{exact}, "127.0.0.1:@{[ $nginx->port ]}",
        path => '/own')->{body}, "own\n",
        'what a rule names exactly may be its own, too');
    is($bad->arrived, 0, 'none of it has arrived');
}


# rebinding: a name that leads now here, now there

sub both {
    return join ' ', map { asked($_, $port{any}, "flips.test:$at")->{status} }
        qw(http connect);
}

my $tunnel = connection($port{any});
send_request($tunnel, raw => "CONNECT flips.test:$at HTTP/1.1\r\n"
    . "Host: x\r\n\r\n");
is(connect_head($tunnel)->{status}, 200, 'a name that leads to an address');

for ([ '127.0.0.1', 403, 'elsewhere' ], [ '127.0.0.2', 200, 'there again' ],
    [ '::1', 403, 'elsewhere again' ],
    [ '127.0.0.1 127.0.0.2 ::1', 200, 'to all of them' ])
{
    my ($addresses, $status, $where) = @$_;
    $dns->set(%names, 'flips.test' => "$addresses ttl=0");
    ok(await(sub { both() eq "$status $status" }, 10 * $slow), "... $where");
}

send_request($tunnel, path => '/tunnel', keepalive => 1);
is(read_response($tunnel)->{body}, "GET /tunnel HTTP/1.1\n",
    'a tunnel is where it began');
is($bad->arrived, 0, 'nothing has arrived where it must not');
close $tunnel;

$nginx->finish;

done_testing();
