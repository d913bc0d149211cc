package PollWorkers;

# An nginx of several workers that serves polls, and connections to a worker of
# one's choice. What is exported as a variable is that of the one nginx that a
# test has at a time.

use warnings;
use strict;

use Exporter 'import';
use Test::More;

use Http qw(connection read_response send_request);
use Nginx;
use Poll;

our @EXPORT = qw($nginx $port $spread %idle $patience $number $log %said
    start to said said_yet files sockets settled new_name held between waiting
    asked);

our ($nginx, $port, $spread, %idle, $log, %said);
our $patience = 60;
our $number = 0;


# Connections to $spread are shared out by the kernel; which worker has one, it
# says itself. There they stay: those with a PROXY protocol are never moved, so
# that what concerns another worker hops.

sub start {
    my ($workers, %o) = @_;

    $nginx = Nginx->new;
    ($port, $spread) = (free_port(), free_port());
    %idle = ();

    my %in = map { $_ => delete $o{$_} // '' } qw(poll push);

    $nginx->configure(targets => '', workers => $workers, %o,
        http => poll_http(port => $port, %in, server => <<"END"));
listen 127.0.0.1:$spread reuseport proxy_protocol;
location = /pid { return 200 \$pid; }
location = /metrics { prom_poll_metrics; }
END

    # half of all that listen take turns

    my $conf = Nginx::slurp($nginx->dir . '/nginx.conf');
    $conf =~ s/(worker_connections 512;)/$1 accept_mutex on;/
        if $workers == 2;
    $nginx->write('nginx.conf', $conf);

    ($log, %said) = ();

    $nginx->start;
    settled($workers) unless $o{main};
}


# A connection to a worker of one's choice.

sub to {
    my ($pid) = @_;

    for (1 .. 1000) {
        return pop @{ $idle{$pid} } if @{ $idle{$pid} // [] };

        my $s = connection($spread);
        send_request($s, raw => "PROXY UNKNOWN\r\n");
        send_request($s, path => '/pid', keepalive => 1);
        push @{ $idle{ read_response($s)->{body} } }, $s;
    }

    die "no connection goes to worker $pid\n";
}


# Waits for a line of the log, which has only become longer since.

sub said {
    my ($line) = @_;

    my $found = await(sub {
        said_yet();
        return $said{$line};
    }, $patience);

    ok(0, "the log has no \"$line\"") unless $found;
}


sub said_yet {
    open $log, '<', $nginx->dir . '/logs/error.log' unless $log;
    seek $log, 0, 1;

    while (my $text = <$log>) {

        # the rest of a line comes with the next page of the file

        if ($text !~ /\n\z/) {
            seek $log, -length $text, 1;
            last;
        }

        $said{$1} = 1 if $text =~ /prom poll: (.*)$/
            || $text =~ /(prom poll hop to \S+): "push/
            || $text =~ /(\d+#\d+: gracefully shutting down)/;
    }
}


sub files {
    my @found = sort map { s{.*/}{}r } glob $nginx->dir . '/poll/*';
    return @found;
}


# those that requests hop to

sub sockets {
    my @found = grep { /-/ } files();
    return @found;
}


# as many workers as there are to be, each with its two sockets

sub settled {
    my ($workers) = @_;

    return await(sub {
        my @now = files();
        return $nginx->workers == $workers && @now == 2 * $workers
            && !grep { /\./ } @now;
    }, $patience);
}


sub new_name { return 'c' . ++$number }


# Holds a poll at a worker.

sub held {
    my ($name, $pid, %o) = @_;

    my $s = poll($spread, $name, on => to($pid), %o);
    said("poll of \"$name\" is held");

    return $s;
}


# A client that polls, but not just now.

sub between {
    my ($name, $pid) = @_;

    my $status = handed(poll($spread, $name, on => to($pid), wait => 0))
        ->{status};

    $status == 204 or ok(0, "$name: $status instead of 204");
}


# A scrape that waits at a worker for the next poll.

sub waiting {
    my ($name, $pid, %o) = @_;

    my $s = asked($name, $pid, %o);
    said("scrape of \"$name\" waits");

    return $s;
}


sub asked {
    my ($name, $pid, %o) = @_;

    return scrape($spread, "http://$name:9100/metrics", on => to($pid),
        timeout => $patience, %o);
}


1;
