#!/usr/bin/perl

# Poll clients: what they cost the proxy while they wait, and while they are
# scraped, and what the client's program costs; beside PushProx's own programs,
# if PUSHPROX_DIR names the directory that has them.

use warnings;
use strict;

use FindBin;
use lib $FindBin::Bin;
use Bench;
use Polls;
use Time::HiRes qw(sleep);

use constant MANY => 10_000;
use constant FEW  => 10;
use constant BODY => 90_000;
use constant RATE => 500;      # scrapes a second, where that is given
use constant PORT => 19190;

my $quick   = grep { $_ eq '-q' } @ARGV;
my $rounds  = $quick ? 3 : 9;
my $count   = $quick ? 500 : 1000;
my $missing = Polls::missing();

my (%side, %at_rate, %most, @goals);

my @sides = ([ 'PushProx', sub { Polls->theirs(@_) } ],
    [ '1 worker', sub { Polls->ours(@_, 1) } ],
    [ '2 workers', sub { Polls->ours(@_, 2) } ]);

shift @sides if $missing;


sub per_client
{
    my ($side) = @_;

    return 1024 * ($side->{full} - $side->{empty}) / $side->{clients};
}


# medians of a figure over the rounds, and the median of the ratios by round

sub over_rounds
{
    my ($rows, $figure, $over, $under) = @_;

    my @over = map { $_->{$figure} } @{ $rows->{$over} };

    return median(@over) unless defined $under;

    my @under = map { $_->{$figure} } @{ $rows->{$under} };

    return median(ratio(\@over, \@under));
}


sub goal
{
    my ($what, $theirs, $ours, $ratio, $goal, $most) = @_;

    my $met = !defined $ratio ? ''
        : ($most ? $ratio >= $goal : $ratio <= $goal) ? 'met' : 'NOT MET';

    push @goals, [ $what, $theirs // '', $ours,
        defined $ratio ? sprintf '%.3f', $ratio : '', $goal, $met ];
}


# Every side at the same time, each with its clients; those that aren't
# scraped do nothing. In turns, forth and back.

sub all_sides
{
    for my $clients (FEW, MANY) {
        for (@sides) {
            my ($name, $start) = @$_;

            note("$name: $clients clients");
            $side{"$name, $clients"} = $start->($clients);
        }
    }

    my @names = sort keys %side;

    $side{$_}->scrape($count / 5, RATE, 32) for @names;

    for my $round (1 .. $rounds) {
        note("round $round of $rounds");
        @names = reverse @names;

        for (@names) {
            push @{ $at_rate{$_} }, $side{$_}->scrape($count, RATE, 32);
        }

        for (grep { /, @{[FEW]}$/ } @names) {
            push @{ $most{$_} }, $side{$_}->scrape(3 * $count, 0, 32);
        }
    }
}


sub memory_table
{
    print "## Poll: clients that wait\n\nMemory (PSS) of all processes of the "
        . "proxy, what they share in it; without a client, and with "
        . MANY . " that hold a poll.\n\n";

    table([ 'proxy', 'no client, MB', 'all, MB', 'a client, bytes' ],
        map {
            my $side = $side{"$_->[0], @{[MANY]}"};
            [ $_->[0], map({ sprintf '%.1f', $_ / 1024 }
                $side->{empty}, $side->{full}),
                sprintf '%.0f', per_client($side) ];
        } @sides);
}


sub scrape_table
{
    print "## Poll: scrapes of ", BODY, " bytes\n\n", RATE,
        " a second, $rounds rounds of $count each, in turns; medians, of CPU "
        . "also what the middle half is between. Microseconds.\n\n";

    table([ 'proxy, clients', 'CPU of the proxy', 'answer after', '99 %' ],
        map {
            my $name = $_;
            [ $name, quartiles('%.1f',
                map { $_->{cpu} } @{ $at_rate{$name} }),
                map { my $figure = $_;
                    sprintf '%.0f', over_rounds(\%at_rate, $figure, $name) }
                    qw(median p99) ];
        } map { my $c = $_; map { "$_->[0], $c" } @sides } FEW, MANY);

    print "As many as can be, by 32 connections, ", FEW, " clients. The CPUs "
        . "are shared with the clients and the scrapers; what the proxy alone "
        . "could do is told by the CPU of its busiest process.\n\n";

    table([ 'proxy', 'scrapes a second', 'CPU of the proxy, microseconds',
        'of its busiest process', 'scrapes in a second of that' ],
        map {
            my $name = "$_->[0], @{[FEW]}";
            [ $_->[0], map({ sprintf '%.0f', over_rounds(\%most, $_, $name) }
                qw(rate cpu busiest)),
                $_->[0] eq 'PushProx' ? ''
                    : sprintf '%.0f', 1e6 / over_rounds(\%most, 'busiest',
                        $name) ];
        } @sides);
}


sub proxy_goals
{
    my ($one, $two) = map { "$_, @{[FEW]}" } '1 worker', '2 workers';
    my $theirs = "PushProx, @{[FEW]}";

    for my $workers ('1 worker', '2 workers') {
        my $bytes = per_client($side{"$workers, @{[MANY]}"});
        my $other = $missing ? undef
            : per_client($side{"PushProx, @{[MANY]}"});

        push @goals, [ "bytes for a client that waits, $workers",
            defined $other ? sprintf '%.0f', $other : '',
            sprintf('%.0f', $bytes),
            defined $other ? sprintf '%.3f', $bytes / $other : '', '7168',
            $bytes <= 7168 ? 'met' : 'NOT MET' ];
    }

    for ([ '1 worker', $one ], [ '2 workers', $two ]) {
        my ($workers, $name) = @$_;

        for ([ 'CPU for a scrape', 'cpu', 0.333 ],
            [ 'answer after', 'median', 0.5 ])
        {
            my ($what, $figure, $goal) = @$_;
            my ($his, $own) = map {
                $at_rate{$_} ? over_rounds(\%at_rate, $figure, $_) : undef
            } $theirs, $name;

            goal("$what, $workers, microseconds",
                defined $his ? sprintf('%.0f', $his) : undef,
                sprintf('%.0f', $own), $missing ? undef
                    : over_rounds(\%at_rate, $figure, $name, $theirs), $goal);
        }
    }

    # theirs needs less for each, the more there are

    for my $name ($one, $two) {
        my ($workers) = split /,/, $name;

        goal("CPU for a scrape of as many as can be, $workers",
            $missing ? undef : sprintf('%.0f', over_rounds(\%most, 'cpu',
                $theirs)),
            sprintf('%.0f', over_rounds(\%most, 'cpu', $name)), $missing
                ? undef : over_rounds(\%most, 'cpu', $name, $theirs), 0.333);
    }

    goal('scrapes in a second, 2 workers / 1', undef,
        sprintf('%.0f / %.0f', map { over_rounds(\%most, 'rate', $_) }
            $two, $one), over_rounds(\%most, 'rate', $two, $one), 1.6, 1);

    goal('the same, by the busiest worker', undef,
        sprintf('%.0f / %.0f', map { 1e6 / over_rounds(\%most, 'busiest', $_) }
            $two, $one), over_rounds(\%most, 'busiest', $one, $two), 1.6, 1);

    for my $workers ('1 worker', '2 workers') {
        goal("CPU for a scrape, $workers, @{[MANY]} clients / @{[FEW]}",
            $missing ? undef : sprintf('%.3f', over_rounds(\%at_rate, 'cpu',
                "PushProx, @{[MANY]}", $theirs)),
            sprintf('%.0f / %.0f', map {
                over_rounds(\%at_rate, 'cpu', "$workers, $_") } MANY, FEW),
            over_rounds(\%at_rate, 'cpu', map { "$workers, $_" } MANY, FEW),
            1.2);
    }
}


# Both clients poll one proxy, and scrape one exporter, which has an address
# for each; one scrape at a time.

sub clients
{
    my %command = (
        PushProx => [ "$ENV{PUSHPROX_DIR}/pushprox-client",
            '--log.level=error' ],
        'this one' => [ $ENV{BENCH_CLIENT}, '--log.level=error' ],
    );

    my @names = grep { defined $command{$_}[0] && -x $command{$_}[0] }
        sort keys %command;
    my ($number, %pid, %rows) = (1);
    my $proxy = Polls->ours(1, 1);

    exporter(BODY);

    my %url = map { $_ => 'http://127.0.0.' . ++$number . ':' . EXPORTER
        . '/metrics' } @names;

    for (@names) {
        my ($address) = $url{$_} =~ /(127[\d.]+)/;

        $pid{$_} = Polls::run(@{ $command{$_} }, "--fqdn=$address",
            "--proxy-url=http://127.0.0.1:$proxy->{port}/",
            '--metrics-addr=127.0.0.1:' . (PORT + $number++));
    }

    $proxy->listed(1 + @names);

    for my $round (0 .. $rounds) {
        @names = reverse @names;

        for (@names) {
            my $before = Polls::used($pid{$_});
            my ($median) = load_requests($proxy->{port}, $url{$_}, $count,
                200);
            my $used = (Polls::used($pid{$_}) - $before) / 1000 / $count;

            push @{ $rows{$_} }, { cpu => $used, median => $median }
                if $round;      # the first is to warm up
        }
    }

    print "## Poll: the client\n\nIts CPU for a scrape of ", BODY, " bytes, "
        . "microseconds: $rounds rounds of $count, one after the other, by "
        . "this module with one worker; and its memory after that.\n\n";

    table([ 'client', 'CPU', 'answer after', 'RSS, kB', 'PSS, kB' ], map {
        my $name = $_;
        [ $name, quartiles('%.1f', map { $_->{cpu} } @{ $rows{$name} }),
            sprintf('%.0f', over_rounds(\%rows, 'median', $name)),
            resident($pid{$name}), pss($pid{$name}) ];
    } sort @names);

    return unless @names == 2;

    goal('CPU of the client for a scrape, microseconds',
        map({ sprintf '%.0f', over_rounds(\%rows, 'cpu', $_) } sort @names),
        over_rounds(\%rows, 'cpu', 'this one', 'PushProx'), 0.333);
    goal('resident memory of the client, kB',
        map({ resident($pid{$_}) } sort @names),
        resident($pid{'this one'}) / resident($pid{PushProx}), 0.333);
}


note("PushProx itself is left out: $missing") if $missing;
$ENV{PUSHPROX_DIR} //= '';

all_sides();
memory_table();
scrape_table();
proxy_goals();
clients();

print "## Poll: goals\n\n";
print "PushProx itself is left out: $missing.\n\n" if $missing;
table([ 'what', 'PushProx', 'this one', 'ratio', 'goal', '' ], @goals);
