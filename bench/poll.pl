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

# A client that is scraped has two connections, and a process may have 20,000.

use constant MANY  => 10_000;
use constant FEW   => 10;
use constant TURNS => 4000;    # of MANY, that are scraped in turn
use constant BODY  => 90_000;
use constant RATE  => 500;     # scrapes a second, where that is given
use constant AT_ONCE => 32;
use constant PORT  => 19190;

my $quick   = grep { $_ eq '-q' } @ARGV;
my $rounds  = $quick ? 3 : 7;
my $count   = $quick ? 500 : 1000;
my $missing = Polls::missing();

my (%side, %at_rate, %held, %most, @goals);

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

    my $met = !defined $ratio || $goal eq '' ? ''
        : ($most ? $ratio >= $goal : $ratio <= $goal) ? 'met' : 'NOT MET';

    push @goals, [ $what, $theirs // '', $ours,
        defined $ratio ? sprintf '%.3f', $ratio : '', $goal, $met ];
}


# Every side at the same time, each with its clients; those that aren't
# scraped do nothing. In turns, forth and back, and what is compared is side by
# side.

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
    my @many = grep { /, @{[MANY]}$/ } @names;

    # connections for pushes are opened, and are where they belong

    for my $side (@side{@names}) {
        my $names = $side->{clients} < TURNS ? $side->{clients} : TURNS;

        $side->scrape(3 * $names, 0, AT_ONCE, $names);
    }

    for my $round (1 .. $rounds) {
        note("round $round of $rounds");
        @$_ = reverse @$_ for \(@names, @many);

        for (@names) {
            my $side = $side{$_};

            push @{ $at_rate{$_} }, $side->scrape($count, RATE, AT_ONCE,
                $side->{clients} < TURNS ? $side->{clients} : TURNS);
            push @{ $held{$_} }, $side->scrape($count, RATE, AT_ONCE, FEW)
                if $side->{clients} > FEW;
        }

        push @{ $most{$_} },
            $side{$_}->scrape(3 * $count, 0, AT_ONCE, TURNS) for @many;
    }

    $_->{after} = $_->memory for @side{@many};
}


sub memory_table
{
    print "## Poll: clients that wait\n\nMemory (PSS) of all processes of the "
        . "proxy, what they share in it: without a client, with " . MANY
        . " that hold a poll, and after the scrapes below, when " . TURNS
        . " of them have a connection for pushes too.\n\n";

    table([ 'proxy', 'no client, MB', 'all, MB', 'a client, bytes',
        'after scrapes, MB' ],
        map {
            my $side = $side{"$_->[0], @{[MANY]}"};
            my ($empty, $full, $after) = map { sprintf '%.1f', $_ / 1024 }
                @$side{qw(empty full after)};
            [ $_->[0], $empty, $full, sprintf('%.0f', per_client($side)),
                $after ];
        } @sides);
}


sub scrape_row
{
    my ($rows, $name, $title) = @_;

    return [ $title, quartiles('%.1f', map { $_->{cpu} } @{ $rows->{$name} }),
        map { sprintf '%.0f', over_rounds($rows, $_, $name) } qw(median p99) ];
}


sub scrape_table
{
    print "## Poll: scrapes of ", BODY, " bytes\n\n", RATE,
        " a second, $rounds rounds of $count each, in turns; medians, of CPU "
        . "also what the middle half is between. Of " . MANY . " clients "
        . TURNS . " are scraped in turn, or always the same " . FEW
        . ". Microseconds.\n\n";

    table([ 'proxy, clients', 'CPU of the proxy', 'answer after', '99 %' ],
        map({ scrape_row(\%at_rate, "$_->[0], @{[FEW]}",
            "$_->[0], @{[FEW]}") } @sides),
        map({ scrape_row(\%at_rate, "$_->[0], @{[MANY]}",
            "$_->[0], @{[MANY]}") } @sides),
        map({ scrape_row(\%held, "$_->[0], @{[MANY]}",
            "$_->[0], @{[FEW]} of @{[MANY]}") } @sides));

    print "As many as can be, @{[AT_ONCE]} at once, " . TURNS . " of " . MANY
        . " clients in turn. The CPUs are shared with the clients and the "
        . "scrapers; what the proxy could do with a CPU for each worker is "
        . "told by the CPU of its busiest one.\n\n";

    table([ 'proxy', 'scrapes a second', 'CPU of the proxy, microseconds',
        'of its busiest process', 'scrapes in a second of that',
        'connections of each' ],
        map {
            my $name = "$_->[0], @{[MANY]}";
            my $theirs = $_->[0] eq 'PushProx';
            [ $_->[0], map({ sprintf '%.0f', over_rounds(\%most, $_, $name) }
                qw(rate cpu busiest)),
                $theirs ? '' : sprintf('%.0f',
                    1e6 / over_rounds(\%most, 'busiest', $name)),
                $theirs ? '' : join ' + ', $side{$name}->connections ];
        } @sides);
}


sub figures
{
    my ($rows, $figure, @names) = @_;

    return join ' / ', map { sprintf '%.0f', over_rounds($rows, $figure, $_) }
        @names;
}


sub proxy_goals
{
    my ($few, $many) = ({}, {});

    for my $workers ('PushProx', '1 worker', '2 workers') {
        $few->{$workers} = "$workers, @{[FEW]}";
        $many->{$workers} = "$workers, @{[MANY]}";
    }

    my @ours = ('1 worker', '2 workers');

    for my $workers (@ours) {
        my $bytes = per_client($side{$many->{$workers}});
        my $theirs = $missing ? undef : per_client($side{$many->{PushProx}});

        push @goals, [ "bytes for a client that waits, $workers",
            defined $theirs ? sprintf '%.0f', $theirs : '',
            sprintf('%.0f', $bytes),
            defined $theirs ? sprintf '%.3f', $bytes / $theirs : '', '7168',
            $bytes <= 7168 ? 'met' : 'NOT MET' ];
    }

    # theirs needs less for each, the more there are

    for ([ 'CPU for a scrape', \%at_rate, $few, 'cpu', 0.333 ],
        [ 'CPU for one of as many as can be', \%most, $many, 'cpu', 0.333 ],
        [ 'answer after', \%at_rate, $few, 'median', 0.5 ])
    {
        my ($what, $rows, $names, $figure, $goal) = @$_;

        for my $workers (@ours) {
            my ($theirs, $name) = @$names{'PushProx', $workers};

            goal("$what, $workers, microseconds",
                $missing ? undef : figures($rows, $figure, $theirs),
                figures($rows, $figure, $name), $missing ? undef
                    : over_rounds($rows, $figure, $name, $theirs), $goal);
        }
    }

    my ($one, $two) = @$many{@ours};

    goal('scrapes in a second of the busiest worker, 2 workers / 1', undef,
        join(' / ', map { sprintf '%.0f', 1e6 / over_rounds(\%most,
            'busiest', $_) } $two, $one),
        over_rounds(\%most, 'busiest', $one, $two), 1.6, 1);
    goal('scrapes in a second by the clock, beside all the others', undef,
        figures(\%most, 'rate', $two, $one),
        over_rounds(\%most, 'rate', $two, $one), '');

    for my $workers (@ours) {
        my @names = ($many->{$workers}, $few->{$workers});
        my @theirs = ($many->{PushProx}, $few->{PushProx});

        goal("CPU for a scrape, $workers, @{[MANY]} clients / @{[FEW]}",
            $missing ? undef : figures(\%at_rate, 'cpu', @theirs)
                . sprintf(', %.3f', over_rounds(\%at_rate, 'cpu', @theirs)),
            figures(\%at_rate, 'cpu', @names),
            over_rounds(\%at_rate, 'cpu', @names), 1.2);
    }

    # what it costs that others wait, and no memory that is met seldom

    $at_rate{"held, $_"} = $held{$_} for values %$many;

    for my $workers (@ours) {
        my @names = ("held, $many->{$workers}", $few->{$workers});
        my @theirs = ("held, $many->{PushProx}", $few->{PushProx});

        goal("the same, always the same @{[FEW]} of @{[MANY]}, $workers",
            $missing ? undef : figures(\%at_rate, 'cpu', @theirs)
                . sprintf(', %.3f', over_rounds(\%at_rate, 'cpu', @theirs)),
            figures(\%at_rate, 'cpu', @names),
            over_rounds(\%at_rate, 'cpu', @names), '');
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
            my $before = cpu_all($pid{$_});
            my ($median) = load_requests($proxy->{port}, $url{$_}, $count,
                200);
            my $used = (cpu_all($pid{$_}) - $before) / 1000 / $count;

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
