package Program;

# A program of the project: built if it isn't there, run in a process of its
# own, its log read. It is the base of what stands for one of them.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use FindBin;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

use Running;

our @EXPORT_OK = qw(built write_to);


# Where a part of the tree, which is a directory with a Makefile, is built for
# this test.

sub built {
    my ($part) = @_;

    my $dir = File::Temp::tempdir("mp-$part-XXXXXX", TMPDIR => 1,
        CLEANUP => 1);

    system('make', '-s', '-C', "$FindBin::Bin/../$part", "OUT=$dir") == 0
        or die "$part/ isn't built\n";

    return "$dir/monitoring-proxy-$part";
}


# Runs a command; what it says is added to the file $self->{log}.

sub run {
    my ($self, $env, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        $ENV{$_} = $env->{$_} for keys %{ $env // {} };

        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{log}";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }

    $self->{pid} = $pid;
    Running::add($self);
}


sub pid { $_[0]{pid} }


sub log {
    my ($self) = @_;

    open my $fh, '<:raw', "$self->{log}" or return '';
    local $/;

    return <$fh> // '';
}


# Its status, or 128 and the signal, if it ends in time.

sub ended {
    my ($self, $seconds) = @_;

    my $end = time + $seconds;

    while (defined $self->{pid}) {

        if (waitpid($self->{pid}, WNOHANG) > 0) {
            my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;

            delete $self->{pid};
            Running::remove($self);
            return $self->{status} = $status;
        }

        return if time >= $end;
        sleep 0.01;
    }

    return $self->{status};
}


sub signal {
    my ($self, $signal) = @_;

    kill $signal, $self->{pid} if defined $self->{pid};
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


sub write_to {
    my ($file, $text) = @_;

    open my $fh, '>', "$file.new" or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}


1;
