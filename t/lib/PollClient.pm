package PollClient;

# The poll client, as MP_CLIENT of the environment is built, or as it is built
# here: a process that a test starts with flags and whose log it reads.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use IO::Socket::IP;

use Program qw(built write_to);
use parent -norequire, 'Program';

our @EXPORT_OK = qw(free_port program run_client write_to);

my $program;


sub program {
    return $program //= $ENV{MP_CLIENT} // built('client');
}


# Runs it to its end, in 10 seconds: its status and what it said.

sub run_client {
    my @args = @_;

    my $self = PollClient->new(@args);
    my $status = $self->ended(10);

    return ($status, $self->log);
}


# Options in front, in a hash: env, program (what runs it). The rest are flags.
# It serves no metrics if it isn't told where.

sub new {
    my ($class, @args) = @_;

    my $o = ref $args[0] ? shift @args : {};
    my $log = File::Temp->new(TEMPLATE => 'mp-log-XXXXXX', TMPDIR => 1);

    unshift @args, '--metrics-addr='
        if !grep { /^--(?:metrics-addr|help|version)/ } @args;

    delete local @ENV{qw(HTTP_PROXY HTTPS_PROXY http_proxy https_proxy
        NO_PROXY no_proxy PROM_TOKEN)};

    my $self = bless { log => $log }, $class;
    $self->run($o->{env}, $o->{program} // program(), @args);

    return $self;
}


# kB of memory that it has

sub resident {
    my ($self) = @_;

    open my $fh, '<', "/proc/$self->{pid}/status" or return;

    return map { /^VmRSS:\s+(\d+)/ } <$fh>;
}


sub free_port {
    my $s = IO::Socket::IP->new(Listen => 1, LocalHost => '127.0.0.1')
        or die "free port: $!\n";

    return $s->sockport;
}


1;
