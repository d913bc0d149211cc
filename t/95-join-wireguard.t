#!/usr/bin/perl

# t/95-join-wireguard.t: what monitoring-proxy-join --wireguard takes from a
# proxy, and what it doesn't

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command directory test_image write_file);
use Enrolment;

my $image = test_image();
my $dir = directory();
my $script = `$FindBin::Bin/../scripts/join`;

write_file("$dir/join", $script, 0755);

my $proxy = Enrolment->start(image => $image);
my $node = $proxy->node(image => $image,
    options => [ '-v', "$dir:/t:ro" ]);


sub sh { $_[0]->exec({ seconds => 90 }, 'sh', '-c', $_[1]) }


# The script on the node; more words are options.

sub join_with {
    my ($url, @words) = @_;

    return $node->exec({ seconds => 90 }, '/t/join', '--wait', 5, @words,
        '--wireguard', $url);
}


# What there is of WireGuard on the node: files, rules, interfaces.

sub traces {
    return sh($node, 'cd /etc/wireguard 2> /dev/null && ls -A; '
        . 'nft list tables 2> /dev/null | grep -v "table ip nat"; '
        . 'ls /sys/class/net | grep -v -x -e lo -e eth0')->{out};
}


# words: the same to each shell

my $url = $proxy->url;
my $a = 'A' x 43;

my @wrong = (
    [ qr/wants a TOKEN-URL/, '--wireguard' ],
    [ qr/it is https:/, '--wireguard', '' ],
    [ qr/it is https:/, '--wireguard', 'http' . substr $url, 5 ],
    [ qr/it is https:/, '--wireguard', 'https://proxy:4443/web-1' ],
    [ qr/no port behind HOST/, '--wireguard', "https://proxy/web-1/$a.$a" ],
    [ qr/no port behind HOST/, '--wireguard', "https://proxy:0/web-1/$a.$a" ],
    [ qr/HOST is no name/, '--wireguard', "https://a\$(id):1/web-1/$a.$a" ],
    [ qr/HOST is no name/, '--wireguard', "https://-k:4443/web-1/$a.$a" ],
    [ qr/HOST is no name/, '--wireguard', "https://a\@b:4443/web-1/$a.$a" ],
    [ qr/HOST is no address/, '--wireguard', "https://[x]:4443/web-1/$a.$a" ],
    [ qr/NAME is no name/, '--wireguard', "https://a:4443/a/../b/$a.$a" ],
    [ qr/NAME is no name/, '--wireguard', "https://a:4443/a//$a.$a" ],
    [ qr/NAME is no name/, '--wireguard', "https://a:4443/a\"b/$a.$a" ],
    [ qr/NAME is no name/, '--wireguard', "https://a:4443/a\nb/$a.$a" ],
    [ qr/longer than 255/, '--wireguard',
        'https://a:4443/' . 'a' x 256 . "/$a.$a" ],
    [ qr/43 characters/, '--wireguard', substr $url, 0, -1 ],
    [ qr/43 characters/, '--wireguard', "https://a:4443/b/${a}A.$a" ],
    [ qr/of no token/, '--wireguard', "https://a:4443/b/$a.$a?x" ],
    [ qr/of no token/, '--wireguard', "https://a:4443/b/$a.a.$a" ],
    [ qr/one TOKEN-URL is enough/, '--wireguard', $url, '--wireguard', $url ],
    [ qr/no interface's name/, '--interface', 'a;b', '--wireguard', $url ],
    [ qr/no interface's name/, '--interface', 'a' x 16, '--wireguard', $url ],
    [ qr/no interface's name/, '--interface', '../wg0', '--wireguard', $url ],
    [ qr/no interface's name/, '--interface', 'lo', '--wireguard', $url ],
    [ qr/goes with --wireguard/, '--interface', 'wg1' ],
    [ qr/the TOKEN-URL says all/, '--wireguard', $url, 'proxy:2222' ],
    [ qr/the TOKEN-URL says all/, '--wireguard', $url, '--port', 20001 ],
    [ qr/--status goes without/, '--status', '--wireguard', $url ],
    [ qr/--purge goes with --uninstall/, '--purge', '--wireguard', $url ],
    [ qr/nothing of WireGuard's/, '--print', 'conf', '--wireguard' ],
);

for my $shell ('dash', 'busybox sh', 'bash --posix') {
    my @not = grep {
        my ($reason, @words) = @$_;
        my $r = command(split(/ /, $shell), "$dir/join", @words);
        $r->{status} != 2 || $r->{out} !~ $reason || $r->{out} =~ /AAAA|TTTT/
    } @wrong;

    is(join(' | ', map { "@$_" } @not), '',
        "$shell: wrong words are refused, with a reason and without the token");
}

is(traces(), '', 'no node yet');


# answers: only what is asked for, in the form that it has

my $good = $proxy->good;
my ($peer) = $good =~ /^peer (.*)$/m;

sub changed {
    my ($line, $new) = @_;

    my $text = "name web-1\n$good";
    $text =~ s/^\Q$line\E.*$/$new/m or die "no $line\n";

    return $text;
}

my $post_up = 'PostUp = touch /tmp/owned';
my @answers = (
    [ 'a line of wg-quick\'s', qr/line 10, "PostUp = touch/,
        "name web-1\n$good$post_up\n" ],
    [ 'one behind a value', qr/line 8, /, changed('port', "port 9100;$post_up") ],
    [ 'one in an address', qr/line 2, "address 10\.87\.0\.2\/32,\$\(id\)"/,
        changed('address', 'address 10.87.0.2/32,$(id)') ],
    [ 'a carriage return', qr/no plain text/,
        changed('keepalive', "keepalive 25\r$post_up") ],
    [ 'a NUL', qr/no plain text/, changed('keepalive', "keepalive 2\0005") ],
    [ 'a terminal\'s sequence', qr/no plain text/,
        changed('keepalive', "keepalive \e[2J") ],
    [ 'a letter beyond ASCII', qr/no plain text/,
        changed('endpoint', "endpoint pr\xc3\xb6xy:1") ],
    [ 'an unknown word', qr/line 10, "dns 10\.87\.0\.1", is nothing that is/,
        "name web-1\n${good}dns 10.87.0.1\n" ],
    [ 'a tab', qr/no plain text/,
        "name web-1\n${good}mtu\t1420\n" ],
    [ 'an empty line', qr/line 10, "", is not two words/,
        "name web-1\n$good\n" ],
    [ 'a comment', qr/line 10, "# x"/, "name web-1\n$good# x\n" ],
    [ 'another name', qr/line 1, "name web-2", is another name/,
        "name web-2\n$good" ],
    [ 'no name', qr/there is no line "name"/, $good ],
    [ 'no peer', qr/there is no line "peer"/, changed('peer', 'mtu 1420') ],
    [ 'no port', qr/there is no line "port"/, changed('port', 'mtu 1420') ],
    [ 'a peer of zeros', qr/is no key/,
        changed('peer', 'peer ' . $a . '=') ],
    [ 'half a peer', qr/is no key/, changed('peer', 'peer ' . 'A' x 20) ],
    [ 'two peers', qr/line 4, .* is there a second time/,
        changed('peer', "peer $peer\npeer $peer") =~ s/^address fd.*\n//mr ],
    [ 'a network for an address', qr/is no private address/,
        changed('address', 'address 10.87.0.2/16') ],
    [ 'a way for everything', qr/line 6, "allowed 0\.0\.0\.0\/0"/,
        changed('allowed', 'allowed 0.0.0.0/0') ],
    [ 'a way for all of IPv6', qr/line 7, "allowed ::\/0"/,
        changed('allowed fd', 'allowed ::/0') ],
    [ 'a public address', qr/line 6, "allowed 8\.8\.8\.8\/32"/,
        changed('allowed', 'allowed 8.8.8.8/32') ],
    [ 'localhost', qr/is no private address/,
        changed('allowed', 'allowed 127.0.0.1/32') ],
    [ 'a number that IPv4 has not', qr/is no private address/,
        changed('address', 'address 10.87.0.256/32') ],
    [ 'an octal number', qr/is no private address/,
        changed('address', 'address 10.87.0.010/32') ],
    [ 'nine groups', qr/is no private address/,
        changed('address fd', 'address fd00:1:2:3:4:5:6:7:8/128') ],
    [ 'two gaps', qr/is no private address/,
        changed('address fd', 'address fd00::1::2/128') ],
    [ 'two addresses of IPv4', qr/is there a second time/,
        changed('address fd', 'address 10.87.0.3/32') ],
    [ 'IPv4 here and IPv6 there', qr/of one kind/,
        changed('address', 'mtu 1420') =~ s/^allowed fd.*\n//mr ],
    [ 'an option for a host', qr/is not HOST:PORT/,
        changed('endpoint', 'endpoint -e:51820') ],
    [ 'a command for a host', qr/is not HOST:PORT/,
        changed('endpoint', 'endpoint `id`:51820') ],
    [ 'a host without a port', qr/is not HOST:PORT/,
        changed('endpoint', 'endpoint proxy') ],
    [ 'a port beyond 65535', qr/is no port/, changed('port', 'port 65536') ],
    [ 'the port of ssh', qr/port 22 is ssh's/, "name web-1\n${good}port 22\n" ],
    [ 'an MTU of 1', qr/is out of range/, "name web-1\n${good}mtu 1\n" ],
    [ 'nothing', qr/there is no line "name"/, '' ],
    [ 'HTML', qr/line 1, "<html>/, "<html><body>Welcome</body></html>\n" ],
    [ 'too much', qr/longer than 16384 bytes/,
        "name web-1\n$good" . 'port 1' . "\n" x 16384 ],
    [ 'far too much', qr/longer than 16384 bytes/, "name web-1\n" x 2000000 ],
);

for my $case (@answers) {
    my ($what, $reason, $text) = @$case;

    $proxy->http('200 OK', $text);
    my $r = join_with($url);

    is($r->{status}, 4, "answer: $what") or diag $r->{out};
    like($r->{out}, $reason, 'told');
}

is(traces(), "wg0.key\n", 'nothing came of them but the key that was sent');
isnt(sh($node, 'test -e /tmp/owned')->{status}, 0, 'nothing was run');

my @keys = $proxy->requests =~ /"public_key":"([^"]+)"/g;
is(scalar(keys %{ { map { $_ => 1 } @keys } }), 1,
    'which is one key, as the token is one');


# other statuses

my $text = 'this token is not valid: used, expired, or for another name';

for my $case (
    [ '503 Service Unavailable', 4, qr/not enrol this host now \(HTTP 503\)/ ],
    [ '502 Bad Gateway', 4, qr/not enrol this host now \(HTTP 502\)/ ],
    [ '400 Bad Request', 4, qr/could not read/ ],
    [ '404 Not Found', 4, qr/HTTP 404 is no answer of a proxy's/ ],
    [ '302 Found', 4, qr/HTTP 302 is no answer/,
        'Location: https://proxy:4443/other' ],
    [ '409 Conflict', 3, qr/refused this host's key/ ],
    [ '403 Forbidden', 3, qr/refused the token of web-1/ ],
) {
    my ($answer, $status, $reason, @headers) = @$case;

    $proxy->http($answer, "$text\n", @headers);
    my $r = join_with($url);

    is($r->{status}, $status, "HTTP $answer: $status") or diag $r->{out};
    like($r->{out}, $reason, 'told');
    like($r->{out}, qr/^    proxy: \Q$text\E$/m, 'with what the proxy said');
}

is(traces(), '', 'of a refused token nothing is left');
unlike($proxy->requests, qr{/other}, 'a redirection leads nowhere');

$proxy->http('500 Oh', "<html>\n<b>Internal</b>\n\e[31mred\n");
unlike(join_with($url)->{out}, qr/html|\e/, 'a page is not shown');
$proxy->http('403 Forbidden', "a\nb\nc\nd\n" . 'e' x 3000);
my @said = join_with($url)->{out} =~ /^    proxy: (.*)$/mg;
is("@said", 'a b c', 'nor more than some lines');


# connections

$proxy->requests;
$proxy->answer(undef);

my $r = join_with($proxy->url(pin => $a));
is($r->{status}, 5, 'another certificate: 5') or diag $r->{out};
like($r->{out}, qr/not the token's/, 'told');
is($proxy->requests, '', 'and nothing was sent there');
is(traces(), '', 'nor is anything left');

for my $case (
    [ 'nobody there', qr/nobody answers/, host => 'proxy:4444' ],
    [ 'no such host', qr/no such name/, host => 'nowhere.invalid:4443' ],
    [ 'no TLS there', qr/doesn't speak TLS/, host => 'web-1:9100' ],
) {
    my ($what, $reason, @options) = @$case;
    my $r = join_with($proxy->url(@options));

    is($r->{status}, 6, "$what: 6") or diag $r->{out};
    like($r->{out}, $reason, 'told');
}

$proxy->http('200 OK', "name web-1\n" . substr $good, 0, -1);
$r = join_with($url);
is($r->{status}, 6, 'an answer without its end: 6') or diag $r->{out};
like($r->{out}, qr/was cut off; the same command goes on/, 'told');

$proxy->answer("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nname web-1\n$good");
is(join_with($url)->{status}, 6, 'one that is shorter than it says: 6');

$proxy->must('touch /tmp/hang');
$r = join_with($url);
is($r->{status}, 6, 'one that never comes: 6') or diag $r->{out};
like($r->{out}, qr/in time; once it can be reached, the same/, 'told');

@keys = $proxy->requests =~ /"public_key":"([^"]+)"/g;
is(scalar(keys %{ { map { $_ => 1 } @keys } }), 1,
    'each time the same key was sent');


# a dry run

$proxy->answer(undef);
$r = join_with($proxy->url(token => 'D' x 43), '--dry-run');
is($r->{status}, 0, 'a dry run') or diag $r->{out};
like($r->{out}, qr/would make a key, and enrol .* at proxy:4443 as web-1/,
    'says what it would do');
is(traces(), "wg0.key\n", 'and does nothing');
is($proxy->requests, '', 'and asks nobody');


# what others may see of the secrets: of every program that is called, its
# arguments and its environment

sh($node, <<'END');
mkdir /spy
cat > /spy/spy << 'SPY'
#!/bin/sh
{ echo "$0 $*"; env; } >> /tmp/spied
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec "${0##*/}" "$@"
SPY
chmod 755 /spy/spy
for program in curl wg wg-quick nft ip sed awk cat mv cp rm tr cut head tail \
    grep sha256sum wc od mkdir mktemp date sort cmp id ls sleep env; do
    [ $program = env ] || ln -s spy /spy/$program
done
END

$r = sh($node, "echo '$url' > /tmp/url; export https_proxy=http://localhost:1 "
    . 'ALL_PROXY=http://localhost:1 SSLKEYLOGFILE=/tmp/tls-keys; '
    . 'echo proxy=http://localhost:1 > ~/.curlrc; '
    . 'PATH=/spy:$PATH /t/join --wireguard-file /tmp/url > /tmp/out 2>&1');
is($r->{status}, 0, 'a good answer, with proxies in environment and .curlrc')
    or diag sh($node, 'cat /tmp/out')->{out};

my ($private) = sh($node, 'cat /etc/wireguard/wg0.conf')->{out}
    =~ /^PrivateKey = (\S{44})$/m;
ok($private, 'there is a key');

my $spied = sh($node, 'cat /tmp/spied')->{out};
like($spied, qr{^/spy/wg pubkey.*^/spy/curl -q .*^/spy/nft -f}ms,
    'programs were watched') or diag $spied;
unlike($spied, qr/TTTT/, 'none has the token among its words');
unlike($spied, qr/\Q$private\E/, 'nor the private key');
unlike(sh($node, 'cat /tmp/out')->{out}, qr/\Q$private\E|TTTT/,
    'and neither is told');
unlike($proxy->requests, qr/\Q$private\E/, 'the proxy has not seen the key');
isnt(sh($node, 'test -e /tmp/tls-keys')->{status}, 0,
    'and no key of TLS is logged');
is(sh($node, 'cd /etc/wireguard; stat -c "%n %U %a" . *')->{out},
    ". root 700\nmonitoring-proxy.nft root 600\nwg0.conf root 600\n",
    'what was written is for root alone');


# where there can't be an interface, no token is used

for my $case (
    [ 'no NET_ADMIN', qr/--cap-add NET_ADMIN/, '--cap-drop', 'NET_ADMIN' ],
    [ 'no device', qr/needs \/dev\/net\/tun/, '--cap-add', 'NET_ADMIN' ],
) {
    my ($what, $reason, @options) = @$case;

    my $r = Container->run_to_end(image => $image,
        options => [ '--network', $proxy->{network}, '-v', "$dir:/t:ro",
            @options ],
        command => [ '/t/join', '--wireguard', $url ]);

    is($r->{status}, 1, "$what: 1");
    like($r->{out}, $reason, 'told') or diag $r->{out};
}

is($proxy->requests, '', 'and nobody was asked');

done_testing();
