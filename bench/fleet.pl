#!/usr/bin/perl

# Monitored hosts in a container: an ssh each, which comes back as the unit of
# deploy/systemd does: fleet.pl DIRECTORY HOSTS PROXY
#
# DIRECTORY has a key for each host, "keys/PORT", or one for all, "keys/all",
# and "allowed": the number of hosts to have been started by now.

use warnings;
use strict;

use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use constant FIRST_PORT => 20001;
use constant ADDRESSES  => 250;     # a neighbour table has room for some 1,000

my ($directory, $hosts, $proxy) = @ARGV;
my ($started, @due, %host) = (0);


# Addresses of the container's network, so that the hosts aren't all behind one.
# Docker's networks have 12 bits for them, or more.

sub addresses
{
    my ($interface, $net, $part);

    for (split /\n/, qx(ip -4 -o address)) {
        ($interface, $net, $part) = ($1, $2, $3)
            if /^\d+: (eth\d+) .* inet (\d+\.\d+)\.(\d+)\./;
    }

    $part++;
    my @addresses = map { "$net.$part.$_" } 1 .. ADDRESSES;

    open my $ip, '|-', 'ip -batch -' or die "ip: $!\n";
    print $ip "address add $_/32 dev $interface\n" for @addresses;
    close $ip or die "ip failed\n";

    return @addresses;
}


sub connect_host
{
    my ($number, $address) = @_;

    my $port = FIRST_PORT + $number;
    my ($key) = grep { -e } map { "$directory/keys/$_" } $port, 'all';

    my $pid = fork;
    defined $pid or die "fork: $!\n";

    if ($pid == 0) {
        open STDERR, '>', '/dev/null';
        no warnings 'exec';
        exec 'ssh', '-F', 'none', '-N', '-T', '-b', $address,
            map({ ('-o', $_) } 'BatchMode=yes', 'ConnectTimeout=10',
            'ExitOnForwardFailure=yes', 'IdentitiesOnly=yes',
            "IdentityFile=$key", 'ServerAliveCountMax=3',
            'ServerAliveInterval=15', 'StrictHostKeyChecking=yes',
            "UserKnownHostsFile=$directory/known_hosts"),
            '-R', "$port:localhost:9100", "monitoring\@$proxy";
        POSIX::_exit(127);
    }

    $host{$pid} = $number;
}


sub allowed
{
    open my $fh, '<', "$directory/allowed" or return 0;
    my $line = <$fh>;

    return $line // 0;
}


my @addresses = addresses();

while (1) {
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        my $number = delete $host{$pid};

        # RestartSec, and what ExecStartPre sleeps

        push @due, [ time + 5 + int rand 10, $number ] if defined $number;
    }

    my $now = time;
    my @ready = grep { $_->[0] <= $now } @due;
    @due = grep { $_->[0] > $now } @due;

    connect_host($_, $addresses[$_ % ADDRESSES]) for map { $_->[1] } @ready;

    my $allowed = allowed();

    while ($started < $allowed && $started < $hosts) {
        connect_host($started, $addresses[$started % ADDRESSES]);
        $started++;
    }

    sleep 0.05;
}
