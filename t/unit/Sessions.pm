package Sessions;

# The service of sessions in a directory of its own, and processes that stand
# for sshd's sessions.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use FindBin;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep time);

# for CFLAGS; the image's user isn't here

our $user = '-DPROCESS_USER=\"nobody\"';

our @EXPORT = qw(await build builds gone key ports serve session slurp spew take);

my $root = "$FindBin::Bin/..";
my $dir = File::Temp->newdir;
my $next = 24000 + $$ % 300 * 20;
my (%keys, %children);


END {
    local $?;
    take($_) for keys %children;
}


sub workdir {
    return "$dir";
}


# make -C sessions with these variables; returns the directory of what it made.

sub build {
    my ($name, @variables) = @_;

    mkdir "$dir/$name";

    my $said = `make -s -C '$root/sessions' OUT='$dir/$name' @variables 2>&1`;
    die "cannot build $name:\n$said" if $?;

    return "$dir/$name";
}


# The same of several, side by side: NAME => [VARIABLES], ... Returns where each
# is, or would be, had it not failed.

sub builds {
    my (%builds) = @_;

    my %pids;

    for my $name (keys %builds) {
        $pids{$name} = fork // die "fork: $!\n";
        next if $pids{$name};
        my $built = eval { build($name, @{ $builds{$name} }) };
        print STDERR $@ if !$built;
        POSIX::_exit($built ? 0 : 1);
    }

    waitpid $_, 0 for values %pids;

    return map { $_ => "$dir/$_" } keys %builds;
}


# Waits until the code returns true, and returns that; for 15 s at most.

sub await {
    my ($code, $seconds) = @_;

    my $until = time + ($seconds // 15);

    while (time < $until) {
        my $result = $code->();
        return $result if $result;
        sleep 0.02;
    }

    return;
}


# TYPE BASE64 of a key by its name.

sub key {
    my ($name) = @_;

    return $keys{$name} //= do {
        my $file = "$dir/key-$name";

        system('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '',
            '-f', $file) == 0 or die "ssh-keygen failed\n";
        join ' ', (split ' ', slurp("$file.pub"))[0, 1];
    };
}


# TYPE BASE64 of a certificate for a key by its name.

sub certificate {
    my ($name, $authority, @options) = @_;

    key($_) for $name, $authority;

    my $said = `ssh-keygen -q -s '$dir/key-$authority' -I id @options \\
        '$dir/key-$name.pub' 2>&1`;
    die "cannot sign: $said" if $?;

    return join ' ', (split ' ', slurp("$dir/key-$name-cert.pub"))[0, 1];
}


# The first of so many ports that nobody has.

sub ports {
    my ($n) = @_;

    for (;;) {
        my $first = $next;
        $next += $n;

        return $first if $n == grep { IO::Socket::INET->new(
            LocalAddr => '127.0.0.1', LocalPort => $_, Listen => 1,
            ReuseAddr => 1) } $first .. $first + $n - 1;
    }
}


# A process with a child, both of one group. Returns the pid of the first. With
# a name, that is theirs; with a user, the child is that user's.

sub session {
    my (%o) = @_;

    pipe my $in, my $order or die "pipe: $!\n";
    pipe my $ready, my $tell or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if ($pid) {
        close $in;
        close $tell;
        readline $ready;
        $children{$pid} = [$order, $ready];
        return $pid;
    }

    # not what the test has open, as listeners

    for my $fd (3 .. 1100) {
        POSIX::close($fd) if $fd != fileno $in && $fd != fileno $tell;
    }

    setpgrp;
    $SIG{TERM} = 'IGNORE' if $o{stubborn};
    $0 = $o{name} if $o{name};

    my $child = fork // POSIX::_exit(1);

    POSIX::setuid(scalar getpwnam $o{user}) if !$child && $o{user};

    if ($child) {
        $SIG{TERM} = sub { kill TERM => $child; POSIX::_exit(0) }
            if !$o{stubborn};
        syswrite $tell, "\n";
        close $tell;
        waitpid $child, 0;
        POSIX::_exit(0);
    }

    my @listen = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $_, Listen => 16, ReuseAddr => 1)
        || POSIX::_exit(1) } split ' ', readline $in;

    syswrite $tell, "\n";
    close $tell;

    while (1) {
        my $bits = '';
        vec($bits, fileno $_, 1) = 1 for @listen;
        select $bits, undef, undef, undef;

        for (grep { vec($bits, fileno $_, 1) } @listen) {
            my $socket = $_->accept or next;
            1 while sysread $socket, my $buf, 4096;

            # its number is also that of a handle that was closed above

            POSIX::close(fileno $socket);
        }
    }
}


# Has the child of a session listen on the ports, and close what the other side
# does.

sub serve {
    my ($pid, @ports) = @_;

    syswrite $children{$pid}[0], "@ports\n";
    readline $children{$pid}[1];
}


# Ends a session and all of its group.

sub take {
    my ($pid) = @_;

    kill KILL => -$pid;
    waitpid $pid, 0;
    delete $children{$pid};
}


# Is a session gone, or gone within so many seconds.

sub gone {
    my ($pid, $seconds) = @_;

    return 1 if !$children{$pid};

    return await(sub {
        return if waitpid($pid, POSIX::WNOHANG()) == 0;
        delete $children{$pid};
        return 1;
    }, $seconds // 0.1);
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    local $/;

    return <$fh> // '';
}


sub spew {
    my ($file, $text) = @_;

    open my $fh, '>:raw', "$file.new" or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}


# The service: its hosts, targets, keys and authorities are texts. command is
# what runs it.

sub new {
    my ($class, %o) = @_;

    my $self = bless { command => $o{command},
        dir => File::Temp->newdir(DIR => "$dir") }, $class;
    mkdir "$self->{dir}/$_" for qw(state etc);

    $self->{hosts} = "$self->{dir}/etc/hosts";
    $self->{state} = "$self->{dir}/state";
    $self->{log} = "$self->{dir}/log";

    for (['hosts', $o{hosts}], ['ssh_ca.pub', $o{authorities}]) {
        my ($file, $text) = @$_;
        next if !defined $text;
        spew("$self->{dir}/$_/$file", $text) for qw(etc state);
    }

    spew("$self->{dir}/etc/targets", $o{targets}) if defined $o{targets};
    spew("$self->{state}/public-keys", $o{keys} // '');
    spew("$self->{state}/ports-from", "targets\n");

    $self->start;

    return $self;
}


sub start {
    my ($self) = @_;

    unlink "$self->{state}/sessions.sock";
    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        open STDERR, '>>', $self->{log} or POSIX::_exit(1);
        open STDOUT, '>&', \*STDERR or POSIX::_exit(1);
        exec @{ $self->{command} }, $self->{state}, "$self->{dir}/etc"
            or POSIX::_exit(1);
    }

    await(sub { -e "$self->{state}/sessions.sock" }, 30)
        or die "no socket:\n" . $self->log;
}


# Returns its wait status.

sub stop {
    my ($self, $signal) = @_;

    my $pid = delete $self->{pid} or return;
    kill $signal // 'TERM', $pid;
    waitpid $pid, 0;

    return $?;
}


sub DESTROY {
    my ($self) = @_;

    local $?;
    $self->stop('KILL');
}


# Connects, writes and returns the socket.

sub connect {
    my ($self, $text) = @_;

    my $socket = IO::Socket::UNIX->new(Peer => "$self->{state}/sessions.sock")
        or die "sessions.sock: $!\n";
    $socket->autoflush;
    print $socket $text;

    return $socket;
}


# The whole answer to a line.

sub ask {
    my ($self, $line) = @_;

    return answer($self->connect("$line\n"));
}


sub answer {
    my ($socket) = @_;

    local $SIG{ALRM} = sub { die "no answer in 20 s\n" };
    alarm 20;
    local $/;
    my $answer = <$socket>;
    alarm 0;

    return $answer // '';
}


sub open {
    my ($self, $pid, $key, $address) = @_;

    $address //= '192.0.2.1';
    return $self->ask("open $pid $key $address 50000");
}


sub log {
    my ($self) = @_;

    return slurp($self->{log});
}


sub logged {
    my ($self, $pattern, $seconds) = @_;

    return await(sub { $self->log =~ $pattern }, $seconds);
}


# The board's head, and the record of a port; times in ms.

sub head {
    my ($self) = @_;

    my %head;
    (undef, undef, @head{qw(key user certificate protocol timeout limit
        connected closed sessions shared logins seq hosts loaded failures
        failed)}, my $reason) = unpack 'L2 Q8 L2 Q L2 Q2 L L/a',
        slurp("$self->{state}/tunnels");
    $head{reason} = $reason;

    return \%head;
}


sub tunnel {
    my ($self, $port) = @_;

    my %tunnel;
    my $record = substr slurp("$self->{state}/tunnels"), 4096 + 128 * $port,
        128;
    @tunnel{qw(seq pid started since ended logins certificate digest
        address)} = unpack 'L2 Q3 L C x3 a32 Z48', $record;

    return \%tunnel;
}

1;
