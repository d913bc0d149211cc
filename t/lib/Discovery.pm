package Discovery;

# The discovery, as MP_DISCOVERY of the environment is built, or as it is built
# here: a process that a test starts with flags, whose pages and log it reads.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use IO::Socket::IP;
use JSON::PP;

use Container qw(await);
use Http qw(request);
use Program qw(built write_to);
use parent -norequire, 'Program';

our @EXPORT_OK = qw(free_port group run_discovery write_to);

my $program;


sub program {
    return $program //= $ENV{MP_DISCOVERY} // built('discovery');
}


# Runs it to its end, in 10 seconds: its status and what it said.

sub run_discovery {
    my @args = @_;

    my $self = Discovery->new(@args);
    my $status = $self->ended(10);

    return ($status, $self->log);
}


# Options in front, in a hash: env, program (what runs it). The rest are flags.
# Its pages are at a free port, which --sd-listen takes where it has no value,
# if none is given.

sub new {
    my ($class, @args) = @_;

    my $o = ref $args[0] ? shift @args : {};
    my $log = File::Temp->new(TEMPLATE => 'mp-log-XXXXXX', TMPDIR => 1);
    my ($given) = map { /^--(?:sd-listen|metrics-addr)=.*:(\d+)$/ } @args;
    my $port = $given // free_port();

    s/^--sd-listen$/--sd-listen=127.0.0.1:$port/ for @args;
    unshift @args, "--metrics-addr=127.0.0.1:$port"
        if !grep { /^--(?:metrics-addr|sd-listen|help|version)/ } @args;

    my $self = bless { log => $log, port => $port }, $class;
    $self->run($o->{env}, $o->{program} // program(), @args);

    return $self;
}


sub port { $_[0]{port} }


# The answer to a page, or nothing while there is none.

sub page {
    my ($self, $path) = @_;

    return eval { request($self->{port}, path => $path) };
}


# What it serves at /targets: the groups; or nothing, as long as it doesn't.

sub targets {
    my ($self) = @_;

    my $r = $self->page('/targets');

    return if !$r || $r->{status} != 200 || $r->{closed};
    return JSON::PP->new->utf8->decode($r->{body});
}


# Each target that it lists as INSTANCE@ADDRESS, in the order of the list.

sub listed {
    my ($self) = @_;

    return join ' ', map { "$_->{labels}{instance}\@$_->{targets}[0]" }
        @{ $self->targets // [] };
}


# A sample of its page, by its name with its labels, or nothing.

sub metric {
    my ($self, $name) = @_;

    my ($value) = (($self->page('/metrics') // {})->{body} // '')
        =~ /^\Q$name\E (\S+)$/m;

    return $value;
}


# Waits until it is ready.

sub ready {
    my ($self, $seconds) = @_;

    return await($seconds // 30, sub {
        (($self->page('/-/ready') // {})->{status} // 0) == 200;
    });
}


# A group as a proxy lists it, whose labels may be others, or more.

sub group {
    my ($name, %labels) = @_;

    my $connected = delete $labels{connected};
    $labels{__meta_monitoring_proxy_connected} = $connected
        if defined $connected;

    return { targets => [ 'proxy:80' ], labels => { instance => $name,
        __metrics_path__ => "/$name/metrics", __scheme__ => 'http',
        %labels } };
}


sub free_port {
    my $s = IO::Socket::IP->new(Listen => 1, LocalHost => '127.0.0.1')
        or die "free port: $!\n";

    return $s->sockport;
}


1;
