package Keeper;

# The keeper of tokens, as MP_TOKEN of the environment is built, or as it is
# built here, with workers that connect to it.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use IO::Socket::UNIX;
use Time::HiRes qw(sleep time);

use Program qw(built write_to);
use parent -norequire, 'Program';

our @EXPORT_OK = qw(await program write_to);

my $program;

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
$SIG{PIPE} = 'IGNORE';


sub program {
    return $program //= $ENV{MP_TOKEN} // built('token');
}


sub await {
    my ($sub, $seconds) = @_;

    my $end = time + ($seconds // 20);

    while (1) {
        my $result = $sub->();
        return $result if $result || time > $end;
        sleep 0.01;
    }
}


# The lines of the file of remotes. Options in front, in a hash: dir (that of
# another one), socket (its name there), level, env.

sub new {
    my ($class, @lines) = @_;

    my $o = ref $lines[0] ? shift @lines : {};
    my $dir = $o->{dir} // File::Temp->newdir('mp-keeper-XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir, log => "$dir/keeper.log", o => $o }, $class;

    write_to("$dir/remotes", join '', map { "$_\n" } @lines) if @lines;
    $self->start;

    return $self;
}


sub start {
    my ($self) = @_;

    $self->run($self->{o}{env}, program(), 'keep', "$self->{dir}/remotes",
        $self->socket, $self->{o}{level} // 'debug');
}


sub dir { $_[0]{dir} }
sub socket { "$_[0]{dir}/" . ($_[0]{o}{socket} // 'socket') }


sub logged {
    my ($self, $pattern, $seconds) = @_;

    return await(sub { $self->log =~ $pattern }, $seconds);
}


# A worker, once the keeper takes it.

sub worker {
    my ($self) = @_;

    my $s = await(sub { IO::Socket::UNIX->new(Peer => $self->socket) })
        or die 'no keeper at ' . $self->socket . ":\n" . $self->log;

    return bless { s => $s, text => '', lines => [], seen => '' },
        'Keeper::Worker';
}


sub stop { $_[0]->SUPER::stop($_[1] // 10) }


package Keeper::Worker;

use Time::HiRes qw(time);


# Waits for a line that matches, among those that weren't taken yet, and takes
# it and all in front of it that are about the same remote. Returns what the
# pattern's groups have, or the line; nothing if it doesn't come in time.

sub line {
    my ($self, $pattern, $seconds) = @_;

    my $end = time + ($seconds // 20);

    while (1) {
        my $lines = $self->{lines};

        for my $i (0 .. $#$lines) {
            my @found = $lines->[$i] =~ $pattern or next;
            my (undef, $name) = split / /, $lines->[$i];

            @found = ($lines->[$i]) if !defined $1;
            @$lines = (grep({ (split / /)[1] ne $name } @$lines[0 .. $i - 1]),
                @$lines[$i + 1 .. $#$lines]);

            return wantarray ? @found : $found[0];
        }

        return if time >= $end || !$self->read($end - time);
    }
}


# The next credential of a remote: a hash of verb, version, left and value.

sub credential {
    my ($self, $name, $seconds) = @_;

    my ($verb, $version, $left, $value) = $self->line(
        qr/^(token|aws|plain) \Q$name\E (\d+) (\d+)(?: (.*))?$/, $seconds)
        or return;

    return { verb => $verb, version => $version, left => $left,
        value => $value };
}


# Its counters, once they are as told, by name.

my @stats = qw(refreshes connect timeout refused throttled server invalid
    file);

sub stats {
    my ($self, $name, %wanted) = @_;

    while (1) {
        my $line = $self->line(qr/^stats \Q$name\E (.*)$/) // return;
        my %stats;
        @stats{@stats} = split / /, $line;

        return \%stats
            if !grep { $stats{$_} < $wanted{$_} } keys %wanted;
    }
}


# What comes, for at most so long; false at the end.

sub read {
    my ($self, $seconds) = @_;

    my $read = '';
    vec($read, fileno $self->{s}, 1) = 1;
    select $read, undef, undef, $seconds or return 1;

    my $n = sysread $self->{s}, $self->{text}, 65536, length $self->{text};
    return if !$n;

    while ($self->{text} =~ s/\A([^\n]*)\n//) {
        push @{ $self->{lines} }, $1;
        $self->{seen} .= "$1\n";
    }

    return 1;
}


# All that it was told so far, but tokens.

sub seen { $_[0]{seen} }


sub send {
    my ($self, $text) = @_;

    syswrite $self->{s}, $text;
}


sub fresh {
    my ($self, $name, $version) = @_;

    $self->send("fresh $name $version\n");
}


# Whether the keeper closes the connection.

sub closed {
    my ($self, $seconds) = @_;

    my $end = time + ($seconds // 10);

    while (time < $end) {
        return 1 if !$self->read($end - time);
    }

    return 0;
}


1;
