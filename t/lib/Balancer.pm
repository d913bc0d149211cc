package Balancer;

# HAProxy, which shares out TCP connections among servers of this host, one
# after the other: it knows nothing of what is said by them.

use warnings;
use strict;

use File::Temp;
use IO::Socket::IP;

use Nginx qw(await free_port);
use Program;
use parent -norequire, 'Program';


# The ports of the servers, of which those that don't listen get nothing.  No
# "on-marked-down shutdown-sessions": a connection that is on its way to the
# server just then would hang.

sub new {
    my ($class, @ports) = @_;

    my $log = File::Temp->new(TEMPLATE => 'mp-log-XXXXXX', TMPDIR => 1);
    my $conf = File::Temp->new(TEMPLATE => 'mp-haproxy-XXXXXX', TMPDIR => 1);
    my $self = bless { log => $log, conf => $conf, port => free_port() },
        $class;
    my $servers = join '', map { "    server s$_ 127.0.0.1:$_ check\n" }
        @ports;

    print $conf <<"END";
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    option redispatch 1
    retries 3
    default-server inter 100ms fall 1 rise 1
listen all
    bind 127.0.0.1:$self->{port}
    balance roundrobin
$servers
END
    $conf->flush;

    $self->run(undef, 'haproxy', '-db', '-f', "$conf");

    await(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1',
        PeerPort => $self->{port}) }) or die 'no haproxy: ', $self->log;

    return $self;
}


sub port { $_[0]{port} }
sub url { "http://127.0.0.1:$_[0]{port}" }


1;
