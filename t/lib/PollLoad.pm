package PollLoad;

# Many poll clients and scrapers, of bench/poll.c: what each body is to be, it
# knows itself.

use warnings;
use strict;

use File::Temp;
use FindBin;
use IPC::Open2;

use Running;

my $program;


# Built on first use, in a directory that goes with the test.

sub program {
    return $program //= do {
        my $dir = File::Temp::tempdir('mp-load-XXXXXX', TMPDIR => 1,
            CLEANUP => 1);
        my $bench = "$FindBin::Bin/../bench";

        system('gcc', '-O2', '-o', "$dir/poll", glob("$bench/poll*.c"),
            "$bench/client.c") == 0 or die "bench/poll.c isn't built\n";

        "$dir/poll";
    };
}


# Options in front of its arguments, as poll.c has them.

sub new {
    my ($class, $port, $clients, @options) = @_;

    my $self = bless { log => File::Temp->new }, $class;

    # what went wrong is much where things are killed: see said()

    $self->{pid} = open2($self->{out}, $self->{in}, 'sh', '-c',
        'exec "$@" 2> "$0"', $self->{log}->filename, program(), @options,
        $port, $clients);
    Running::add($self);

    return $self;
}


sub pid { $_[0]{pid} }


# The first few things that went wrong in each run.

sub said {
    my ($self) = @_;

    open my $fh, '<', $self->{log}->filename or return '';
    local $/;

    return <$fh> // '';
}


# Gives a command; answer() then waits for what came of it, a hash.

sub say {
    my ($self, $command) = @_;

    print { $self->{in} } "$command\n";
    $self->{in}->flush;

    return $self;
}


sub answer {
    my ($self, $seconds) = @_;

    my $line = eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        alarm($seconds // 60);
        my $read = readline $self->{out};
        alarm 0;
        $read;
    };

    alarm 0;
    defined $line or die 'poll: no answer: ', $@ || 'it ended', "\n";

    return { $line =~ /(\w+)=([\d.]+)/g };
}


sub told {
    my ($self, $command, $seconds) = @_;

    return $self->say($command)->answer($seconds);
}


sub stop {
    my ($self) = @_;

    Running::remove($self);
    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
}


1;
