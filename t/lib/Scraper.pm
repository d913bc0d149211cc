package Scraper;

# Scrapes one path over and over in a process of its own, as Prometheus would,
# and remembers what failed.

use warnings;
use strict;

use File::Temp;
use POSIX ();
use Time::HiRes qw(sleep);

use Http;
use Running;


# good is a pattern for the body of a scrape that is right.

sub new {
    my ($class, $port, $path, $good) = @_;

    my ($fh, $record) = File::Temp::tempfile('mp-scraper-XXXXXX',
        TMPDIR => 1);
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my $end = 0;
        $SIG{TERM} = sub { $end = 1 };
        $SIG{INT} = 'IGNORE';
        $fh->autoflush(1);

        until ($end) {
            my $answer = eval { Http::request($port, path => $path) };
            my $status = $answer ? $answer->{status} // '' : "no answer: $@";
            my $right = $status eq '200' && $answer->{body} =~ $good;

            print $fh $right ? "right\n" : "$status\n";
            sleep 0.002;
        }

        POSIX::_exit(0);
    }

    my $self = bless { pid => $pid, record => $record }, $class;
    Running::add($self);

    return $self;
}


# How many scrapes were right so far.

sub right {
    my ($self) = @_;

    open my $fh, '<', $self->{record} or die "$self->{record}: $!\n";
    return scalar grep { /^right$/ } <$fh>;
}


# Ends it. Returns how many scrapes were right, and what became of the others.

sub stop {
    my ($self) = @_;

    return unless $self->{pid};

    kill 'TERM', $self->{pid};
    waitpid $self->{pid}, 0;
    delete $self->{pid};
    Running::remove($self);

    open my $fh, '<', $self->{record} or die "$self->{record}: $!\n";
    my @lines = <$fh>;
    close $fh;
    unlink $self->{record};

    chomp @lines;

    return (scalar(grep { $_ eq 'right' } @lines),
        grep { $_ ne 'right' } @lines);
}


1;
