#!/usr/bin/perl

# t/03-poll-zone.t: the poll clients in shared memory: who is where, bounds,
# workers that are killed at any instruction

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $nginx = '/usr/src/nginx';
my $module = "$FindBin::Bin/../ngx_prom_proxy_module";
my $zone = workdir() . '/poll_zone';

plan skip_all => "no configured nginx in $nginx"
    if !-f "$nginx/objs/ngx_auto_config.h";

for ([$zone, '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
    ["$zone-fast", '-O2'])
{
    my ($out, @flags) = @$_;

    my ($status, undef, $errors) = run('', '/usr/bin/env', $ENV{CC} // 'cc',
        qw(-std=gnu17 -g -O1 -Wall -Wextra -Wno-unused-parameter -Werror
            -ffunction-sections -fdata-sections), '-Wl,--gc-sections', @flags,
        "-I$module", (map { "-I$nginx/$_" } qw(src/core src/event src/os/unix
            objs)), "$FindBin::Bin/unit/poll_zone.c",
        (map { "$module/ngx_prom_$_.c" }
            qw(poll_zone poll_table poll_slots lock)),
        (map { "$nginx/src/core/ngx_$_.c" } qw(slab shmtx rbtree string)),
        '-o', $out, '-lpthread');

    is($status, 0, 'it is built') or BAIL_OUT($errors);
}

$ENV{ASAN_OPTIONS} = 'detect_leaks=0';


# Runs commands and compares what each says, if it is to say something:
# "COMMAND -> LINE|LINE".

sub says {
    my ($promise, $script, $first) = @_;

    my (@commands, @lines);

    for (split /\n/, $script) {
        my ($command, $told) = /^\s*(.*?)(?:\s+->\s+(.*))?$/;

        push @commands, $command;
        push @lines, split /\|/, $told if defined $told;
    }

    my ($failed, $out, $errors) = run(join("\n", $first
        // 'zone 400 100 300000', @commands, 'check', ''),
        $script =~ /^\s*(?:step|flood)/m ? "$zone-fast" : $zone);

    my @said = grep { !/^(?:enter|join) ok$/ } split /\n/, $out;

    is_deeply(\@said, [ @lines, 'check ok' ], $promise);
    is($failed . $errors, '0', "$promise: nothing else") if $failed || $errors;
}


says('a poll is found where it is held', <<'END');
    join 0
    join 1
    find 0 c1 -> absent
    enter 0 c1 192.0.2.1 env=prod
    hold 0 c1
    find 0 c1 -> here
    find 1 c1 -> there 0
    find 1 c -> absent
    find 1 c11 -> absent
    unhold 0 c1 answered
    find 0 c1 -> between
    find 1 c1 -> between
    exit 0 c1
    find 1 c1 -> between
    time 300001
    find 1 c1 -> absent
    count -> count 1
    expire
    count -> count 0
END

says('one whose poll broke off is absent, but for its other polls', <<'END');
    join 0
    join 1
    enter 0 c1
    hold 0 c1
    hold 0 c1
    unhold 0 c1 gone
    find 1 c1 -> there 0
    enter 1 c1
    hold 1 c1
    unhold 0 c1 gone
    find 0 c1 -> there 1
    unhold 1 c1 gone
    find 0 c1 -> absent
    exit 0 c1
    exit 1 c1
    find 0 c1 -> absent
    count -> count 1
END

says('a scrape that waits is found, and only that', <<'END');
    join 0
    join 1
    enter 0 c1
    hold 0 c1
    findwait 1 c1 -> absent
    unhold 0 c1 answered
    exit 0 c1
    enter 0 c1
    wait 0 c1
    findwait 0 c1 -> here
    findwait 1 c1 -> there 0
    unwait 0 c1
    findwait 1 c1 -> absent
END

says('of a poll and a scrape at two workers, one goes to the other', <<'END');
    join 0
    join 1
    enter 0 c1
    enter 1 c1
    offer 0 c1 -> here
    await 1 c1 -> there 0
    find 1 c1 -> there 0
    findwait 0 c1 -> absent
    unhold 0 c1 answered
    await 1 c1 -> here
    offer 0 c1 -> there 1
    find 1 c1 -> between
    await 0 c1 -> here
    offer 0 c1 -> here
END

says('one that closed its answered poll is absent, at once', <<'END');
    join 0
    join 1
    enter 0 c1
    hold 0 c1
    turn 0 c1
    closed
    find 0 c1 -> here
    unhold 0 c1 answered
    find 0 c1 -> between
    closed
    find 0 c1 -> absent
    exit 0 c1
    find 0 c1 -> absent
    check -> check ok
    enter 1 c1
    hold 1 c1
    unhold 1 c1 answered
    closed
    find 0 c1 -> between
    exit 1 c1
    check -> check ok
END

says('but not one that closes each', <<'END');
    join 0
    enter 0 c1
    hold 0 c1
    turn 0 c1
    unhold 0 c1 answered
    closed
    find 0 c1 -> absent
    hold 0 c1
    turn 0 c1
    unhold 0 c1 answered
    closed
    find 0 c1 -> between
    late
    find 0 c1 -> absent
    keeps 0 c1
    hold 0 c1
    turn 0 c1
    unhold 0 c1 answered
    exit 0 c1
    find 0 c1 -> between
    closed
    find 0 c1 -> absent
    check -> check ok
END

says('a client that is another by now stays', <<'END',
    join 0
    enter 0 c1
    hold 0 c1
    turn 0 c1
    unhold 0 c1 answered
    exit 0 c1
    time 30001
    enter 0 c2
    hold 0 c2
    unhold 0 c2 answered
    exit 0 c2
    find 0 c1 -> absent
    closed
    late
    find 0 c2 -> between
    turn 0 c3
    closed
END
    'zone 40 1 300000');

says('what a client says of itself, and since when it is there', <<'END');
    join 0
    enter 0 b 192.0.2.7 a=1,b=2,
    time 1000
    hold 0 b
    version -> version 1
    unhold 0 b answered
    enter 0 b 192.0.2.8 a=1,b=2,
    version -> version 1
    time 1000
    hold 0 b
    list -> b [192.0.2.8] [a,1,b,2,] since 2000 seen 3000 polls 1 handed 1
    enter 0 b
    enter 0 b 192.0.2.8 a=1,b=3,
    version -> version 2
    unhold 0 b gone
    time 1000
    list -> b [192.0.2.8] [a,1,b,3,] since 2000 seen 3000 polls 0 handed 1 gone
    hold 0 b
    unhold 0 b released
    hold 0 b
    list -> b [192.0.2.8] [a,1,b,3,] since 4000 seen 4000 polls 1 handed 1
    find 0 b -> here
END

my $long = 'n' x 255;
my $labels = 'l=' . 'v' x 2045 . ',';
my $told = $labels =~ tr/=/,/r;

says('texts of any length, and names in their order', <<"END");
    join 0
    enter 0 $long 2001:db8::1 $labels
    hold 0 $long
    find 0 $long -> here
    enter 0 abcdefgh
    enter 0 abcdefghi
    enter 0 abcdefg
    enter 0 b
    list -> abcdefg [] [] since 1000 seen 1000 polls 0 handed 0 gone|abcdefgh [] [] since 1000 seen 1000 polls 0 handed 0 gone|abcdefghi [] [] since 1000 seen 1000 polls 0 handed 0 gone|b [] [] since 1000 seen 1000 polls 0 handed 0 gone|$long [2001:db8::1] [$told] since 1000 seen 1000 polls 1 handed 0
END

says('those that are too long are refused', <<"END");
    join 0
    enter 0 n$long -> enter error
    enter 0 a 1 x$labels -> enter error
    enter 0 a ${\('1' x 47)} -> enter error
    count -> count 0
END

says('the oldest that is gone gives way, and none that is there', <<'END',
    join 0
    enter 0 a
    hold 0 a
    enter 0 b
    hold 0 b
    enter 0 c
    hold 0 c
    unhold 0 c gone
    exit 0 c
    unhold 0 b gone
    exit 0 b
    enter 0 d
    hold 0 d
    find 0 c -> absent
    count -> count 3
    enter 0 b
    hold 0 b
    enter 0 e -> enter declined
    unhold 0 d answered
    exit 0 d
    enter 0 e -> enter declined
    time 30001
    enter 0 e
    limit 4 300000
    enter 0 f
END
    'zone 400 3 300000');

says('a million names take no more than there is', <<'END',
    join 0
    enter 0 here 192.0.2.1 a=b
    hold 0 here
    flood 0 0 1000000 -> flood 0 refused
    count -> count 100
    find 0 here -> here
END
    'zone 2000 100 300000');

says('nor do they where memory is what ends first', <<'END',
    join 0
    enter 0 here 192.0.2.1 a=b
    hold 0 here
    flood 0 0 20000 -> flood 0 refused
    count -> count 19
    find 0 here -> here
END
    'zone 40 1000000 300000');

says('with no memory left at all', <<"END",
    join 0
    enter 0 a 1 ${\('l=' . 'v' x 1500 . ',')}
    hold 0 a
    enter 0 b 1 ${\('l=' . 'v' x 1500 . ',')} -> enter error
    enter 0 a 1 ${\('l=' . 'v' x 1600 . ',')} -> enter error
    enter 0 b
    hold 0 b
    unhold 0 b gone
    exit 0 b
    find 0 a -> here
    count -> count 2
END
    'zone 24 100 300000');

says('a worker that was killed takes its polls along, which come back', <<'END');
    join 0
    join 1
    join 2
    enter 0 a
    hold 0 a
    enter 1 a
    hold 1 a
    enter 1 b
    hold 1 b
    enter 2 c
    hold 2 c
    wait 2 c
    kill 1
    has 1 -> has 1
    join 3 -> gone 1
    has 1 -> has 0
    find 3 a -> there 0
    find 3 b -> between
    find 3 c -> there 2
    time 5000
    find 3 b -> between
    time 1
    find 3 b -> absent
    leave 2
    has 2 -> has 0
    find 3 c -> between
    findwait 3 c -> absent
    kill 0
    join 4 -> gone 0
    find 3 a -> between
    time 5001
    find 3 a -> absent
    check -> check ok
END


# each of these is killed at each of its instructions

says('a worker killed at it leaves what the next can use', <<"END",
    join 0
    join 1
    enter 0 held 192.0.2.1 a=1,
    hold 0 held
    enter 1 held 192.0.2.1 a=1,
    hold 1 held
    enter 0 once
    hold 0 once
    enter 0 gone 192.0.2.1 ${\('l=' . 'v' x 300 . ',')}
    hold 0 gone
    unhold 0 gone gone
    exit 0 gone
    flood 1 0 12 -> flood 0 refused
    step enter 0 new 192.0.2.1 ${\('l=' . 'v' x 300 . ',')} -> step ok
    step enter 0 held 192.0.2.1 ${\('l=' . 'v' x 300 . ',')} -> step ok
    step enter 0 gone -> step ok
    step hold 0 held -> step ok
    step offer 0 held -> step ok
    step await 1 held -> step ok
    step unhold 0 once gone -> step ok
    step exit 0 once -> step ok
    step exit 0 held -> step ok
    step find 0 held -> step ok
    step leave 1 -> step ok
    time 300001
    step expire -> step ok
    step list -> step ok
END
    'zone 60 17 300000');

done_testing();
