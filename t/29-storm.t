#!/usr/bin/perl

# t/29-storm.t: a storm of bad logins from one address keeps no good host out,
# neither one elsewhere nor one behind the same address

use warnings;
use strict;

use FindBin;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Container qw(await docker);
use Host;
use Proxy;

use constant LOGINS  => 1000;
use constant AT_ONCE => 150;
use constant SILENT  => 30;

# "storm PROXY LOGINS AT-ONCE SILENT": so many logins with a key that is
# unknown, and more until it is enough, as fast as they can, a byte for each
# that has ended; from the middle on, other connections send nothing, and are
# opened again when they are closed

my $storm = <<'EOF';
use warnings;
use strict;
use IO::Select;
use IO::Socket::IP;

my ($proxy, $logins, $at_once, $silent) = @ARGV;

sub be_silent {
    my $select = IO::Select->new;

    while (1) {
        while ($select->count < $silent) {
            my $socket = IO::Socket::IP->new("$proxy:22") or last;
            $select->add($socket);
        }

        for my $socket ($select->can_read(0.1)) {
            sysread($socket, my $text, 1000) or $select->remove($socket);
        }
    }
}

my @ssh = ('ssh', '-F', '/keys/config', '-i', '/keys/unknown', '-N', '-T',
    '-o', 'KexAlgorithms=curve25519-sha256', $proxy);

open STDERR, '>', '/tmp/refusals';
open my $done, '>', '/tmp/done';
my ($n, $running, $quiet) = (0, 0);

sub end_one {
    wait;
    $running--;
    syswrite $done, '.';
}

until ($n >= $logins && -e '/tmp/enough') {
    end_one() if $running == $at_once;

    if (++$n == $logins / 2) {
        $quiet = fork or be_silent();
    }

    fork or exec @ssh;
    $running++;
}

end_one() while $running;
kill 'TERM', $quiet;
open my $over, '>', '/tmp/over';
EOF


# how many of the bad logins have ended

sub ended {
    my ($host) = @_;

    return length $host->exec('sh', '-c', 'cat /tmp/done 2> /dev/null')->{out};
}


# Opens a tunnel as deploy/systemd's unit does, but tries again after one
# second. Returns the seconds that it took and how often it was tried.

sub connects {
    my ($host, $port, $seconds) = @_;

    my $begin = time;
    my $r = $host->exec({ seconds => $seconds + 30 }, 'bash', '-c',
        "end=\$((SECONDS + $seconds)) tries=1
        until ssh -F /keys/config -i /keys/id -M -S /tmp/$port -f -N -T \\
            -R $port:localhost:9100 proxy
        do
            [ \$SECONDS -lt \$end ] || exit 1
            tries=\$((tries + 1))
            sleep 1
        done 2> /dev/null
        echo \$tries");

    $r->{status} == 0 or return;

    return (time - $begin, $r->{out} + 0);
}


sub leaves {
    my ($host, $port) = @_;

    $host->exec('ssh', '-S', "/tmp/$port", '-O', 'exit', 'proxy');
}


# A proxy of 0.7 CPUs, which the storm keeps busy, and which it gets whatever else
# the machine does; the attacker's container also has the good host behind the
# same address.

my @first = ('--cpu-shares', 32768);

my $proxy = Proxy->start(targets => "localhost:20001 neighbour\n"
    . "localhost:20002 elsewhere\n", options => [ @first, '--cpus', '0.7' ]);
my $elsewhere = Host->start(options => \@first);
my $attacker = Host->start;

$_->reaches($proxy, 'proxy') for $elsewhere, $attacker;

ok(defined connects($attacker, 20001, 5), 'a host connects');
leaves($attacker, 20001);

my $begin = time;

docker('exec', '-d', $attacker->name, 'perl', '-e', $storm, 'proxy', LOGINS,
    AT_ONCE, SILENT);
ok(await(60, sub { ended($attacker) }), 'the storm has begun');


# The slowest of a good host's logins during the storm, and their number: for
# as long as it is to last, and until there are so many of them.

sub during_the_storm {
    my ($host, $port, $seconds, $least) = @_;

    my ($slowest, $count) = (0, 0);

    while ($count < $least || ended($attacker) < LOGINS) {
        my ($took, $tries) = connects($host, $port, $seconds);

        $slowest = $took // $seconds if ($took // $seconds) > $slowest;
        last if !defined $took;

        $count++;
        note(sprintf 'port %d: %.1f s, try %d, %d logins into the storm',
            $port, $took, $tries, ended($attacker));
        leaves($host, $port);
        await(60, sub { !$proxy->listens($port) });
    }

    return ($slowest, $count);
}


# behind the same address in a process of its own

my $neighbour = open(my $results, '-|') // die "fork: $!\n";

if ($neighbour == 0) {
    print join ' ', during_the_storm($attacker, 20001, 90, 1);
    close STDOUT;
    POSIX::_exit(0);
}

my ($slowest, $count) = during_the_storm($elsewhere, 20002, 30, 2);

cmp_ok($count, '>', 1, 'a host elsewhere connects while the storm goes on');
cmp_ok($slowest, '<', 5, 'within 5 s each time');

($slowest, $count) = split ' ', <$results> // '';
close $results;

cmp_ok($count // 0, '>', 0, 'one behind the same address gets in as well');

$attacker->exec('touch', '/tmp/enough');
ok(await(60, sub {
    $attacker->exec('test', '-e', '/tmp/over')->{status} == 0
}), 'all bad logins end');
note(sprintf 'after %.1f s', time - $begin);
leaves($attacker, 20001);

my ($took, $tries) = connects($attacker, 20001, 25);
is($tries, 1, 'nothing of it is held against that address afterwards');

done_testing();
