package Container;

# Containers, networks and images for end-to-end tests, removed at the end
# whatever happens. They are called mp-t-PID-…; in the test container
# mp-test-PID-…, which is what scripts/test removes should this be killed.
#
# MP_IMAGE is the image under test, MP_TEST_IMAGE the one that has what tests
# need (see scripts/test.d), MP_TMP a directory that docker's daemon sees under
# the same name.

use warnings;
use strict;

use Exporter 'import';
use File::Path ();
use File::Temp ();
use FindBin;
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(image test_image build network directory write_file
    replace link_to read_file await command docker);

my $prefix = ($ENV{MP_NAMES} // (defined $ENV{MP_TMP} ? 'mp-test' : 'mp-t'))
    . "-$$";
my $owner = $$;
my ($number, $directory, $child, @containers, @networks, @images) = (0);

# exit, so that END removes what there is; it would wait for a command that
# still runs

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub {
    alarm 0;
    kill 'KILL', -$child if $child;
    exit 1;
};

END {
    my $status = $?;

    if ($$ == $owner) {
        # a docker run that is cut short may yet have made its container

        push @containers, split /\n/, docker('ps', '-a', '--filter',
            "name=^/$prefix-", '--format', '{{.Names}}')->{out};

        docker('rm', '-fv', @containers) if @containers;
        docker('network', 'rm', @networks) if @networks;
        docker('rmi', '-f', @images) if @images;
        File::Path::remove_tree($directory) if $directory;
    }

    $? = $status;
}


sub image { $ENV{MP_IMAGE} // 'monitoring-proxy:latest' }


# As scripts/test-image builds it, unless it is there.

sub test_image {
    my $image = $ENV{MP_TEST_IMAGE} // 'monitoring-proxy-test:trixie';

    docker('image', 'inspect', $image)->{status} == 0
        or must("$FindBin::Bin/../scripts/test-image");

    return $image;
}


# Runs a command. Options in a hash in front: input for its stdin, seconds
# until it is killed. Returns its status, or 128 and the signal, and what it
# wrote to both outputs.

sub command {
    my $o = ref $_[0] ? shift : {};
    my @command = @_;

    my $input = File::Temp->new;
    print $input $o->{input} // '';
    $input->flush;

    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if ($pid == 0) {
        setpgrp 0, 0;
        $SIG{INT} = $SIG{TERM} = $SIG{HUP} = 'DEFAULT';
        open STDIN, '<', $input->filename or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
        { no warnings 'exec'; exec { $command[0] } @command; }
        POSIX::_exit(127);
    }

    my $text = '';
    $child = $pid;

    eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        alarm($o->{seconds} // 60);
        local $/;
        $text = <$out> // '';
        alarm 0;
        1;
    } or do {
        alarm 0;
        kill 'KILL', -$pid;
        $text .= "(killed after its time)\n";
    };

    close $out;
    undef $child;
    my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;

    return { status => $status, out => $text };
}


sub docker { command(ref $_[0] ? shift : {}, 'docker', @_) }


sub must {
    my $r = command({ seconds => 1200 }, @_);
    $r->{status} == 0 or die "@_: $r->{out}";
    return $r->{out};
}


# Calls the sub until it returns something true, which is returned, or until
# the time is over.

sub await {
    my ($seconds, $sub) = @_;

    my $end = time + $seconds;

    while (1) {
        my $result = eval { $sub->() };
        return $result if $result;
        return if time > $end;
        sleep 0.05;
    }
}


sub unused { $prefix . '-' . ++$number }


sub directory {
    if (!$directory) {
        $directory = File::Temp::tempdir('mp-XXXXXX',
            DIR => $ENV{MP_TMP} // '/tmp');
        chmod 0755, $directory;
    }

    my $path = "$directory/" . ++$number;
    mkdir $path or die "$path: $!\n";

    return $path;
}


# In place, as an editor or the kubelet would not: a mounted file stays the
# same file.

sub write_file {
    my ($path, $text, $mode) = @_;

    open my $fh, '>:raw', $path or die "$path: $!\n";
    print $fh $text;
    close $fh or die "$path: $!\n";
    chmod $mode // 0644, $path;

    return $path;
}


# As an editor or "mv" does it: another file under the same name.

sub replace {
    my ($path, $text) = @_;

    write_file("$path.new", $text);
    rename "$path.new", $path or die "$path: $!\n";
}


sub link_to {
    my ($to, $path) = @_;

    symlink $to, "$path.new" or die "$path: $!\n";
    rename "$path.new", $path or die "$path: $!\n";
}


sub read_file {
    my ($path) = @_;

    open my $fh, '<:raw', $path or die "$path: $!\n";
    local $/;

    return <$fh> // '';
}


# A network, by default with IPv4 alone; docker's options.

sub network {
    my (@options) = @_;

    my $name = unused();
    push @networks, $name;
    must('docker', 'network', 'create', @options, $name);

    return $name;
}


# An image of a Dockerfile's text and the files of its context.

sub build {
    my ($dockerfile, %files) = @_;

    my $context = directory();
    write_file("$context/Dockerfile", $dockerfile);
    write_file("$context/$_", $files{$_}) for keys %files;

    my $name = unused();
    push @images, $name;
    must('docker', 'build', '-q', '-t', $name, $context);

    return $name;
}


# Options: image, options (docker's), command. Docker's own failure dies.

sub run {
    my ($class, %o) = @_;

    my $self = bless { name => unused() }, $class;
    push @containers, $self->{name};

    must('docker', 'run', '-d', '--name', $self->{name},
        @{ $o{options} // [] }, $o{image} // image(),
        @{ $o{command} // [] });

    return $self;
}


# One that ends by itself: its status and what it said, as command() has them.

sub run_to_end {
    my ($class, %o) = @_;

    my $name = unused();
    push @containers, $name;

    my $r = docker({ seconds => 20 }, 'run', '--rm', '--name', $name,
        @{ $o{options} // [] }, $o{image} // image(),
        @{ $o{command} // [] });

    docker('rm', '-fv', $name) if $r->{status} > 125;
    pop @containers;

    return $r;
}


sub name { $_[0]{name} }


sub inspect {
    my ($self, $format) = @_;

    my $out = docker('inspect', '-f', $format, $self->{name})->{out};
    chomp $out;

    return $out;
}


sub ip {
    my ($self, $network) = @_;

    return $self->inspect('{{(index .NetworkSettings.Networks "'
        . ($network // 'bridge') . '").IPAddress}}');
}


# The port of this machine that the container's port is published as.

sub published {
    my ($self, $port) = @_;

    return docker('port', $self->{name}, $port)->{out} =~ /:(\d+)$/m
        ? $1 : undef;
}


sub logs { docker('logs', $_[0]{name})->{out} }


sub logged {
    my ($self, $pattern, $seconds) = @_;

    return await($seconds // 60, sub { $self->logs =~ $pattern });
}


# Runs a command in the container; options as command() has them, and tty.

sub exec {
    my $self = shift;
    my $o = ref $_[0] ? shift : {};

    return docker($o, 'exec', '-i', $self->{name}, @_);
}


sub running { $_[0]->inspect('{{.State.Running}}') eq 'true' }


# Waits for the container to end by itself, and returns its exit status.

sub ended {
    my ($self, $seconds) = @_;

    await($seconds // 60, sub { !$self->running }) or return;

    return $self->inspect('{{.State.ExitCode}}');
}


# Process ids in the container of the processes whose command line matches.

sub pids {
    my ($self, $pattern) = @_;

    my $list = $self->exec('sh', '-c', 'for d in /proc/[0-9]*; do '
        . 'echo "${d#/proc/} $(tr "\0" " " < $d/cmdline)"; done'
        . ' 2> /dev/null')->{out};

    my @pids;

    for (split /\n/, $list) {
        my ($pid, $command) = /^(\d+) (.*)/ or next;
        push @pids, $pid if $command =~ $pattern;
    }

    return @pids;
}


sub kill {
    my ($self, $signal, @pids) = @_;

    return $self->exec('sh', '-c', "kill -$signal @pids")->{status} == 0;
}


sub remove {
    my ($self) = @_;

    docker('rm', '-fv', $self->{name});
    @containers = grep { $_ ne $self->{name} } @containers;
}


1;
