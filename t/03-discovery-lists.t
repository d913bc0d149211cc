#!/usr/bin/perl

# t/03-discovery-lists.t: what a proxy's list may hold, and which of several
# proxies a target is listed at

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib", "$FindBin::Bin/unit";

use Discovery qw(group);
use Unit;

my $dumper = lists_dumper();
my $json = JSON::PP->new->utf8->canonical;
my $number = 0;


# Writes an answer, groups or text, and returns the file.

sub answer {
    my @groups = @_;

    my $file = workdir() . '/answer-' . ++$number;
    spew($file, ref $groups[0] || !@groups ? $json->encode(\@groups)
        : $groups[0]);

    return $file;
}


# Runs commands, with -o in front if targets are to be listed once.

sub lists {
    my @commands = @_;

    my @flags = $commands[0] eq '-o' ? shift @commands : ();
    my ($status, $out, $errors) = run(join("\n", @commands, ''), $dumper,
        @flags);

    diag($errors) if length $errors;
    return $status ? "status $status" : $out;
}


# What is handed on of a group, which is decoded.

sub taken {
    my ($group, %o) = @_;

    my $out = lists($o{once} ? '-o' : (),
        ($o{clients} ? 'clients' : 'targets') . ' a ' . answer($group),
        'choose');

    return $out =~ /^a (\{.*\})\n\z/ ? $json->decode($1) : $out;
}


# A group, with labels and anything else that it has

sub with {
    my %labels = @_;

    my $group = group('x');
    $group->{labels} = { %{ $group->{labels} }, %labels };
    delete $group->{labels}{$_} for grep { !defined $labels{$_} } keys %labels;

    return $group;
}


# What is handed on

is_deeply(taken(group('x', team => 'y', __scrape_interval__ => '30s',
        __scrape_timeout__ => '5s', __param_module => 'icmp',
        connected => 'yes')),
    { targets => [ 'a:80' ], labels => { instance => 'x', team => 'y',
        __metrics_path__ => '/x/metrics', __scheme__ => 'http',
        __scrape_interval__ => '30s', __scrape_timeout__ => '5s',
        __param_module => 'icmp', replica => 'a' } },
    'labels of a target, at the proxy\'s own address');

is_deeply(taken(with(__scheme__ => 'https', __meta_x => 'y'))->{labels},
    { instance => 'x', __metrics_path__ => '/x/metrics',
        __scheme__ => 'http', replica => 'a' },
    'the scheme is http, and what is said by __meta_ is dropped');

is(taken(group('x'), once => 1)->{labels}{replica}, undef,
    'there is no replica where a target is listed once');

is_deeply([ @{ taken(with(replica => 'r'))->{labels} }{
    qw(replica exported_replica) } ], [ 'a', 'r' ],
    'a replica of its own is another label then');
is(taken(with(replica => 'r'), once => 1)->{labels}{replica}, 'r',
    'and stays where there is none');
is_deeply([ @{ taken(with(replica => 'r', exported_replica => 's'))
    ->{labels} }{qw(replica exported_replica exported_exported_replica)} ],
    [ 'a', 's', 'r' ], 'whatever else it has');

my $odd = "\"quoted\"\n- job_name: \\x\t\x{1}\x{7f}</script> \x{e9}\x{1F600}";
is(taken(with(team => $odd))->{labels}{team}, $odd,
    'a value may be anything, and stays what it is');
unlike(lists('targets a ' . answer(with(team => $odd)), 'choose'),
    qr/[\x00-\x09\x0b-\x1f\x7f]|\n./, 'in one line without control characters');

is_deeply(taken({ targets => [ 'host:9100' ], labels => { team => 'y' } },
    clients => 1),
    { targets => [ 'host:9100' ], labels => { __scheme__ => 'http',
        team => 'y', replica => 'a' } },
    'a client of a PushProx proxy keeps its address');
is_deeply(taken({ targets => [ 'host' ], labels => undef }, clients => 1,
    once => 1), { targets => [ 'host' ], labels => { __scheme__ => 'http' } },
    'and may have no labels');

is(lists('targets a ' . answer(), 'choose'), '', 'no target is none');
is(lists('targets a ' . answer(" [\r\n\t] \n"), 'choose'), '',
    'however it is written');
is(lists('targets a ' . answer(group('b'), group('a'), group('c', 'n' => '1'),
    group('c', 'n' => '2'), group('B')), 'places'),
    "a B\na a\na b\na c\n", 'targets are in order, one of a name');
like(lists('targets a ' . answer(group('c', 'n' => '1'), group('b'),
    group('c', 'n' => '2')), 'choose'), qr/"n":"1"/, 'which is the first');


# What is refused, as a whole

my $good = $json->encode(group('x'));
my @wrong = (
    [ 'nothing', '', qr/no JSON array/ ],
    [ 'a page', '<html>', qr/no JSON array/ ],
    [ 'an object', '{}', qr/no JSON array/ ],
    [ 'a null byte', "\0", qr/no JSON array/ ],
    [ 'an array that ends', '[', qr/group 1, at byte 1: it is no JSON object/ ],
    [ 'a number', '[1]', qr/group 1, at byte 1: it is no JSON object/ ],
    [ 'arrays', '[' . '[' x 100_000, qr/group 1, .*no JSON object/ ],
    [ 'a group that ends', "[$good,{\"targets\":[",
        qr/group 2, at byte \d+: .*end of/ ],
    [ 'no comma', "[$good $good]", qr/no "," or "\]" behind group 1/ ],
    [ 'a comma too many', "[$good,]", qr/group 2, .*no JSON object/ ],
    [ 'something behind it', "[$good] x", qr/behind the array/ ],
    [ 'a second array', "[$good][]", qr/behind the array/ ],
    [ 'a byte of Latin-1', "[{\"targets\":[\"\xe9\"]}]", qr/decode byte 0xe9/ ],
    [ 'a null byte in a text', '[{"targets":["a\\u0000b"]}]', qr/NUL/ ],
    [ 'half a character', '[{"targets":["\\ud800"]}]', qr/invalid Unicode/ ],
    [ 'a label twice', '[{"targets":["a"],"labels":{"a":"1","a":"2"}}]',
        qr/duplicate/ ],
    [ 'deep objects', '[' . '{"a":' x 100_000, qr/maximum parsing depth/ ],
    [ 'a long group', '[' . $json->encode(with(a => 'x' x 300_000)) . ']',
        qr/group 1, .*longer than 262144 bytes/ ],
    [ 'a group without targets', [ { labels => {} } ], qr/"targets" is no/ ],
    [ 'no target', [ { targets => [] } ], qr/"targets" is no array of one/ ],
    [ 'two targets', [ { targets => [ 'a', 'b' ] } ], qr/of one string/ ],
    [ 'a target that is a number', [ { targets => [ 1 ] } ], qr/"targets"/ ],
    [ 'a target that is an object', [ { targets => {} } ], qr/"targets"/ ],
    [ 'labels that are an array', [ { targets => [ 'a' ], labels => [] } ],
        qr/"labels" is no/ ],
    [ 'no labels', [ { targets => [ 'a' ] } ], qr/no label "instance"/ ],
    [ 'no instance', [ with(instance => undef) ], qr/no label "instance"/ ],
    [ 'an empty instance', [ with(instance => '') ], qr/no label "instance"/ ],
    [ 'an instance with a quote', [ with(instance => 'a"b') ],
        qr/no label "instance" with a name/ ],
    [ 'an instance with a newline', [ with(instance => "a\nb: c") ],
        qr/no label "instance" with a name/ ],
    [ 'a long instance', [ with(instance => 'a' x 600) ],
        qr/no label "instance" with a name/ ],
    [ 'an instance that is a number', [ with(instance => 1) ],
        qr/no label "instance"/ ],
    [ 'no path', [ with(__metrics_path__ => undef) ],
        qr/no label "__metrics_path__" with a path/ ],
    [ 'a path that is a host', [ with(__metrics_path__ => '@host/') ],
        qr/no label "__metrics_path__" with a path/ ],
    [ 'an address', [ with(__address__ => 'host:1') ],
        qr/label "__address__": it is none that a proxy may set/ ],
    [ 'a job', [ with(job => 'x') ], qr/label "job": it is Prometheus' own/ ],
    [ 'a label that is a number', [ with(a => 1) ],
        qr/label "a": its value is no string/ ],
    [ 'a label that is null', "[{\"targets\":[\"a\"],\"labels\":{\"instance\":"
        . '"a","__metrics_path__":"/","a":null}}]', qr/value is no string/ ],
    [ 'an empty label', [ with('' => 'x') ], qr/label "": it isn't letters/ ],
    [ 'a label of a digit', [ with('1a' => 'x') ], qr/label "1a": it isn't/ ],
    [ 'a label with a dot', [ with('a.b' => 'x') ], qr/label "a.b": it isn't/ ],
    [ 'another state', [ with(__meta_monitoring_proxy_connected => 'maybe') ],
        qr/it isn't "yes" or "no"/ ],
);

for (@wrong) {
    my ($what, $answer, $why) = @$_;

    my $out = lists('targets a ' . answer(group('kept')),
        'targets a ' . answer(ref $answer ? @$answer : $answer), 'places');

    like($out, qr/^a: .*$why.*\na kept\n\z/, "$what is refused, the list kept");
}

like(lists('clients a ' . answer({ targets => [ "a\nb" ] })),
    qr/^a: group 1, .*its target is no name/,
    'so is a client that is no name');
like(lists('targets a ' . answer((group('x')) x 3, with(job => 'y'))),
    qr/^a: group 4, /, 'which group it is, is said');


# Where a target is listed

sub state_of {
    my ($name, @states) = @_;

    return answer(map { group("$name$_", $states[$_]
        ? (connected => $states[$_]) : ()) } 0 .. $#states);
}

my @states = ('yes', 'no', '');
my @pairs = map { my $first = $_; map { [ $first, $_ ] } @states } @states;
my @all = ('targets a ' . answer(map { group("x$_", $pairs[$_][0]
        ? (connected => $pairs[$_][0]) : ()) } 0 .. $#pairs),
    'targets b ' . answer(map { group("x$_", $pairs[$_][1]
        ? (connected => $pairs[$_][1]) : ()) } 0 .. $#pairs));


# For each pair of states, the proxies that list it

sub placed {
    my ($out) = @_;

    my %at;
    push @{ $at{$2} }, $1 while $out =~ /^(\S+) (\S+)$/mg;

    return join ' ', map { join '', @{ $at{"x$_"} // [ '-' ] } }
        0 .. $#pairs;
}

is(placed(lists(@all, 'places')), 'ab a ab b a b ab a ab',
    'every proxy lists what it may be connected to; else the first');

like(placed(lists('-o', @all, 'places')),
    qr/^[ab] a a b [ab] b b a [ab]$/,
    'listed once, it is where it is connected, or may be');
is(placed(lists('-o', @all, 'stale a', 'places')), 'b a a b b b b a b',
    'rather where the proxy has answered');
is(placed(lists(@all, 'stale a', 'places')), 'ab a ab b a b ab a ab',
    'which changes nothing where all list it');

my $few = answer(map { group("x$_") } 0 .. 2);
is(lists((map { "targets $_ $few" } qw(e c a d b)), 'places'),
    join('', map { my $n = $_; map { "$_ x$n\n" } 'a' .. 'e' } 0 .. 2),
    'proxies are in order, too');

my $many = answer(map { group("host-$_") } 1 .. 3000);
my @three = map { "targets $_ $many" } qw(a b c);


sub at {
    my ($out) = @_;

    my %n;
    $n{$1}++ while $out =~ /^(\S+) /mg;

    return \%n;
}

my $spread = lists('-o', @three, 'places');
is_deeply([ grep { $_ < 900 || $_ > 1100 } values %{ at($spread) } ], [],
    'what nothing tells apart is spread evenly') or diag explain at($spread);
is(lists('-o', reverse(@three), 'places'), $spread,
    'and always the same way');


# Where it was before

# Of each time that the places were printed, which target is where

sub history {
    my @times = ({});

    for (split /\n/, lists(@_)) {
        my ($proxy, $name) = split / /;

        push @times, {} if exists $times[-1]{$name}
            || ($name eq 'host-1' && %{ $times[-1] });
        $times[-1]{$name} = $proxy;
    }

    return @times;
}

my @times = history('-o', @three, 'places', 'gone b', 'places', $three[1],
    'places', 'stale c', 'places');

is_deeply([ map { scalar keys %$_ } @times ], [ (3000) x 4 ],
    'a proxy that goes takes no target along');
is_deeply([ grep { $times[0]{$_} ne 'b' && $times[0]{$_} ne $times[1]{$_} }
    keys %{ $times[0] } ], [], 'those of others stay where they are');
my @moved = grep { $times[0]{$_} eq 'b' } keys %{ $times[0] };
my $to_a = grep { $times[1]{$_} eq 'a' } @moved;
ok($to_a > @moved / 3 && $to_a < @moved * 2 / 3,
    'and its own are spread over all others') or diag "$to_a of " . @moved;
is_deeply($times[2], $times[1], 'as do all when there is another one');
is_deeply([ grep { $times[3]{$_} eq 'c'
    || ($times[2]{$_} ne 'c' && $times[3]{$_} ne $times[2]{$_}) }
    keys %{ $times[3] } ], [], 'only those of one that fails are moved');

my ($yes, $no) = map { answer(group('x', connected => $_)) } qw(yes no);

for my $once (0, 1) {
    my @once = $once ? '-o' : ();
    my $how = $once ? 'listed once' : 'listed everywhere';

    is(lists(@once, "targets a $no", "targets b $yes", 'places',
        "targets b $no", 'places'), "b x\nb x\n",
        "$how, what is cut off stays where it was");
    is(lists(@once, "targets a $no", "targets b $yes", 'places',
        "targets a $yes", "targets b $no", 'places'), "b x\na x\n",
        'and is where it comes back');
    is(lists(@once, "targets a $no", "targets b $no", 'places', 'gone a',
        'places', 'gone b', 'places'), "a x\nb x\n",
        'or at whoever else knows it');
}

is(lists("targets a $no", "targets b $yes", 'places', "targets a $yes",
    'places', "targets a $no", "targets b $no", 'places'),
    "b x\na x\nb x\nb x\n", 'having been at both, it stays at the one');

is(lists('-o', "targets a $yes", "targets b $yes", 'stale a', 'places',
    "targets a $yes", 'places'), "b x\nb x\n",
    'a proxy that answers again takes nothing back');

done_testing();
