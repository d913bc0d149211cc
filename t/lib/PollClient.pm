package PollClient;

# The poll client, as MP_CLIENT of the environment is built, or as it is built
# here: a process that a test starts with flags and whose log it reads.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use FindBin;
use IO::Socket::IP;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(free_port program run_client write_to);

my ($program, @running);

END {
    my $status = $?;
    $_->stop for my @all = @running;   # stop() changes @running
    $? = $status;
}


sub program {
    return $program //= $ENV{MP_CLIENT} // do {
        my $dir = File::Temp::tempdir('mp-client-XXXXXX', TMPDIR => 1,
            CLEANUP => 1);

        system('make', '-s', '-C', "$FindBin::Bin/../client", "OUT=$dir") == 0
            or die "the client isn't built\n";

        "$dir/monitoring-proxy-client";
    };
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
    my $program = $o->{program} // program();
    my $log = File::Temp->new(TEMPLATE => 'mp-log-XXXXXX', TMPDIR => 1);

    unshift @args, '--metrics-addr='
        if !grep { /^--(?:metrics-addr|help|version)/ } @args;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        delete @ENV{qw(HTTP_PROXY HTTPS_PROXY http_proxy https_proxy
            NO_PROXY no_proxy PROM_TOKEN)};
        $ENV{$_} = $o->{env}{$_} for keys %{ $o->{env} // {} };

        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log->filename;
        open STDERR, '>&', \*STDOUT;
        exec $program, @args or POSIX::_exit(127);
    }

    my $self = bless { pid => $pid, log => $log }, $class;
    push @running, $self;

    return $self;
}


sub pid { $_[0]{pid} }


sub log {
    my ($self) = @_;

    open my $fh, '<:raw', $self->{log}->filename or die "log: $!\n";
    local $/;

    return <$fh> // '';
}


# Its status, or 128 and the signal, if it ends in time.

sub ended {
    my ($self, $seconds) = @_;

    my $end = time + $seconds;

    while (defined $self->{pid}) {

        if (waitpid($self->{pid}, WNOHANG) > 0) {
            delete $self->{pid};
            @running = grep { $_ != $self } @running;
            return $self->{status} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
        }

        return if time >= $end;
        sleep 0.02;
    }

    return $self->{status};
}


sub signal {
    my ($self, $signal) = @_;

    kill $signal, $self->{pid} if defined $self->{pid};
}


# kB of memory that it has

sub resident {
    my ($self) = @_;

    open my $fh, '<', "/proc/$self->{pid}/status" or return;

    return map { /^VmRSS:\s+(\d+)/ } <$fh>;
}


# SIGTERM, and its status: one that the sanitizers complain about isn't 0.

sub stop {
    my ($self, $seconds) = @_;

    return $self->{status} if !defined $self->{pid};

    $self->signal('TERM');

    my $status = $self->ended($seconds // 5);
    return $status if defined $status;

    $self->signal('KILL');
    return $self->ended(5);
}


sub free_port {
    my $s = IO::Socket::IP->new(Listen => 1, LocalHost => '127.0.0.1')
        or die "free port: $!\n";

    return $s->sockport;
}


sub write_to {
    my ($file, $text) = @_;

    open my $fh, '>', "$file.new" or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}


1;
