#!/usr/bin/perl

# t/45-poll-auth.t: scrapers have passwords of their own, beside those that
# they have for exporters

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64;
use Test::More;

use Http qw(request);
use Nginx;
use Poll;

my $port = free_port();
my $nginx = Nginx->new;

$nginx->write('passwords', "prometheus:{PLAIN}secret\n");
$nginx->configure(targets => '', workers => 2, http => poll_http(
    port => $port,
    server => 'access_log %%DIR%%/logs/poll.log combined;',
    scrape => 'auth_basic scrapers; auth_basic_user_file %%DIR%%/passwords;',
))->start;


sub basic { 'Basic ' . encode_base64("$_[0]:$_[1]", '') }


# A scrape with these headers, which a client answers: what the client was
# handed, and what the scraper got.

sub round {
    my ($answer, @headers) = @_;

    my $client = poll($port, 'host-1');

    await(sub { request($port, path => '/clients')->{body} =~ /host-1/ });

    my $scraper = scrape($port, 'http://host-1:9100/metrics',
        headers => [ 'X-Prometheus-Scrape-Timeout-Seconds: 5', @headers ]);
    my $handed = handed($client);

    push_answer($port, $handed->{id}, %$answer);

    return ($handed, scraped($scraper));
}


# who may not scrape

sub asked {
    my (@headers) = @_;

    return scraped(scrape($port, 'http://host-1:9100/metrics',
        headers => \@headers));
}

for (
    [ 'no password' ],
    [ 'a wrong one', 'Proxy-Authorization: ' . basic('prometheus', 'x') ],
    [ 'another user', 'Proxy-Authorization: ' . basic('x', 'secret') ],
    [ 'one for the exporter alone',
        'Authorization: ' . basic('prometheus', 'secret') ],
    [ 'one that is no Basic', 'Proxy-Authorization: Bearer secret' ],
) {
    my ($what, @headers) = @$_;
    my $r = asked(@headers);

    is($r->{status}, 407, "$what: 407");
    is($r->{line}, 'HTTP/1.1 407 Proxy Authentication Required',
        "$what: in words");
    is($r->{headers}{'proxy-authenticate'}, 'Basic realm="scrapers"',
        "$what: Proxy-Authenticate");
    is($r->{headers}{'www-authenticate'}, undef,
        "$what: no WWW-Authenticate");
}


# who may, and what reaches the exporter

my $right = 'Proxy-Authorization: ' . basic('prometheus', 'secret');

my ($handed, $r) = round({ body => "up 1\n" }, $right);
is($r->{status}, 200, 'the right password');
is($r->{body}, "up 1\n", 'gets the answer');
is($handed->{request}{'proxy-authorization'}, undef,
    'it stays at the proxy');
is($handed->{request}{authorization}, undef, 'nor is it the exporter\'s');

($handed, $r) = round({}, 'Authorization: Bearer for-the-exporter', $right);
is($r->{status}, 200, 'beside one for the exporter');
is($handed->{request}{authorization}, 'Bearer for-the-exporter',
    'which is passed to it');
is($handed->{request}{'proxy-authorization'}, undef, 'and it alone');


# what the exporter wants is no matter of the proxy's

(undef, $r) = round({ status => '401 Unauthorized',
    headers => [ 'WWW-Authenticate: Basic realm="node"' ] }, $right);
is($r->{status}, 401, 'the exporter\'s 401 stays one');
is($r->{headers}{'www-authenticate'}, 'Basic realm="node"',
    'with its WWW-Authenticate');
is($r->{headers}{'proxy-authenticate'}, undef, 'and no Proxy-Authenticate');

(undef, $r) = round({ status => '407 Proxy Authentication Required',
    headers => [ 'Proxy-Authenticate: Basic realm="node"' ] }, $right);
is($r->{headers}{'proxy-authenticate'}, undef,
    'an exporter can\'t ask for the proxy\'s password');


# clients have no part in it

$r = handed(poll($port, 'host-2', wait => 1));
is($r->{status}, 204, 'polls need no password');

open my $fh, '<', $nginx->dir . '/logs/poll.log' or die "poll.log: $!\n";
my $log = join '', <$fh>;
like($log, qr{ - prometheus \[.*"GET http://host-1:9100/metrics HTTP/1\.1" 200 },
    'the log has the scraper\'s name');

$nginx->finish;

done_testing();
