package Running;

# What a test has running: each is stopped when the test ends, the last one
# first, whichever way it ends.

use warnings;
use strict;

my @running;

END {
    my $status = $?;
    $_->stop for reverse my @all = @running;   # stop() changes @running
    $? = $status;
}


sub add {
    my ($one) = @_;

    push @running, $one;
}


sub remove {
    my ($one) = @_;

    @running = grep { $_ != $one } @running;
}


1;
