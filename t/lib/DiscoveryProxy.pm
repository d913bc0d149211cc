package DiscoveryProxy;

# What stands for a proxy where the test is about what it lists, or where it
# must misbehave: it answers a path with what it was told last.

use warnings;
use strict;

use File::Temp;
use JSON::PP;
use Storable qw(nstore retrieve);
use Time::HiRes qw(sleep);

use Backend;


sub new {
    my ($class, %o) = @_;

    my $dir = File::Temp->newdir(TEMPLATE => 'mp-lists-XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir }, $class;

    $self->{backend} = Backend->new(port => $o{port},
        answer => sub { answer("$dir", @_) });

    return $self;
}


sub port { $_[0]{backend}->port }
sub address { '127.0.0.1:' . $_[0]->port }
sub stop { $_[0]{backend}->stop }
sub asked { scalar $_[0]{backend}->arrived }


# The groups that it lists from now on.

sub lists {
    my ($self, @groups) = @_;

    return $self->says('/targets',
        body => JSON::PP->new->utf8->encode(\@groups));
}


# What it answers to a path, with or without its arguments: status, body, etag,
# which makes it 304 where the body is there already; or
# line and length, of which it sends so many bytes; or raw, byte by byte. It
# does so after wait seconds.

sub says {
    my ($self, $path, %answer) = @_;

    my $file = file($self->{dir}, $path);

    nstore(\%answer, "$file.new");
    rename "$file.new", $file or die "$file: $!\n";

    return $self;
}


sub file {
    my ($dir, $path) = @_;

    return "$dir/" . unpack 'H*', $path;
}


sub answer {
    my ($dir, $s, $request) = @_;

    my ($path, $args) = $request =~ m{^\w+ ([^ ?]+)(\S*)};
    my $told = eval { retrieve(file($dir, "$path$args")) }
        // eval { retrieve(file($dir, $path)) };
    my %o = $told ? (status => 200, %$told)
        : (status => 404, body => "nothing at $path\n");

    my ($known) = $request =~ /^If-None-Match: (\S+)/mi;

    %o = (status => 304, body => '')
        if defined $o{etag} && ($known // '') eq $o{etag};

    sleep $o{wait} if $o{wait};

    if (defined $o{raw}) {
        syswrite $s, $o{raw};
        return 0;
    }

    my $head = "HTTP/1.1 $o{status} x\r\nContent-Type: application/json\r\n"
        . (defined $o{etag} ? "ETag: $o{etag}\r\n" : '')
        . "Connection: close\r\n";

    if (!$o{line}) {
        print $s $head . 'Content-Length: ' . length($o{body})
            . "\r\n\r\n$o{body}";
        return 0;
    }

    # by chunks, so that how much there will be isn't known before

    print $s "${head}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n";

    my $lines = $o{line} x (65536 / length $o{line});
    my $chunk = sprintf "%x\r\n%s\r\n", length $lines, $lines;

    for (my $sent = 0; $sent < $o{length}; $sent += length $lines) {
        print $s $chunk or return 0;
    }

    print $s "0\r\n\r\n";

    return 0;
}


1;
