package Prometheus;

# A real Prometheus in a container: Prometheus->start(DIRECTORY, NETWORK) with
# DIRECTORY/prometheus.yml.

use warnings;
use strict;

use JSON::PP ();

use Container qw(test_image);
use Http;

our @ISA = qw(Container);


sub start {
    my ($class, $etc, $network) = @_;

    my $self = $class->run(image => test_image(),
        options => [ '--network', $network, '-v', "$etc:/etc/prometheus:ro" ],
        command => [ 'prometheus',
            '--config.file=/etc/prometheus/prometheus.yml',
            '--storage.tsdb.path=/tmp/prometheus' ]);

    $self->{network} = $network;

    return $self;
}


sub page {
    my ($self, $path) = @_;

    return Http::request(9090, host => $self->ip($self->{network}),
        path => $path)->{body};
}


# What it answers: to an expression, each of its series; of the targets.

sub query {
    my ($self, $query) = @_;

    return $self->api("query?query=$query")->{result};
}


sub targets { $_[0]->api('targets?state=active')->{activeTargets} }


sub api {
    my ($self, $call) = @_;

    return JSON::PP::decode_json($self->page("/api/v1/$call"))->{data};
}

1;
