#!/usr/bin/perl

# t/00-tool.t: monitoring-proxy-targets reads any file, and dials

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX qw(mkfifo);
use Socket qw(AF_INET SOCK_STREAM inet_aton pack_sockaddr_in);
use Test::More;
use Time::HiRes qw(time);

use Unit;

my $tool = tool();
my $dir = workdir();


# usage

for my $args ([], ['check'], ['check', '-x'], ['check', 'a', 'b'],
    ['check', '--json', 'a'], ['ports', '--json', 'a'], ['list', '--xml', 'a'],
    ['list', '--json'], ['frobnicate', 'a'], ['list', '--json', 'a', 'b'])
{
    my ($status, $out, $errors) = run('', $tool, @$args);
    is("$status $out", '2 ', "wrong usage: @$args");
    like($errors, qr/^usage: monitoring-proxy-targets check FILE$/m,
        '... gets the right one');
}

for my $help ('--help', '-h') {
    my ($status, $out, $errors) = run('', $tool, $help);
    is("$status $errors", '0 ', "$help is not a mistake");
    like($out, qr/^usage: .*FILE:LINE:COLUMN/s, '... and helps');
}


# files

sub told {
    my ($file, $reason, $promise) = @_;

    my ($status, $out, $errors) = run('', $tool, 'check', $file);
    is("$status $out$errors", $reason eq '' ? '0 ' : "1 $file: $reason\n",
        $promise);
}

spew("$dir/good", "localhost:20001 external-host-1\n");
told("$dir/good", '', 'a good file is not talked about');

spew("$dir/empty", '');
told("$dir/empty", '', 'an empty file has no targets');

told("$dir/missing", 'no such file or directory', 'a missing file');
told("$dir/good/x", 'not a directory', 'a file behind a file');
told("$dir", 'is not a regular file', 'a directory');
told('/dev/null', 'is not a regular file', 'a device');

mkfifo("$dir/fifo", 0600) or die "fifo: $!\n";
told("$dir/fifo", 'is not a regular file', 'a FIFO, at once');

my $socket = IO::Socket::UNIX->new(Local => "$dir/socket", Listen => 1);
told("$dir/socket", 'no such device or address', 'a socket');

mkdir "$dir/..2024_01";
spew("$dir/..2024_01/targets", "a:1 a\n");
symlink '..2024_01', "$dir/..data";
symlink '..data/targets', "$dir/targets-link";
told("$dir/targets-link", '', 'symlinks as Kubernetes makes them');

symlink 'nowhere', "$dir/dangling";
told("$dir/dangling", 'no such file or directory', 'a symlink to nothing');

symlink 'loop', "$dir/loop";
told("$dir/loop", 'too many levels of symbolic links', 'a symlink to itself');

symlink 'fifo', "$dir/to-fifo";
told("$dir/to-fifo", 'is not a regular file', 'a symlink to a FIFO');

SKIP: {
    skip 'only root can become another user', 1 if $> != 0;

    chmod 0755, $dir;
    chmod 0600, "$dir/good";

    my (undef, undef, $errors) = run('', $^X, '-e',
        '$( = $) = 65534; $< = $> = 65534; exec @ARGV or die $!',
        $tool, 'check', "$dir/good");
    is($errors, "$dir/good: permission denied\n", 'an unreadable file');
}

my $limit = 64 * 1024 * 1024;

spew("$dir/large", "#\n" . ('#' x 65535 . "\n") x 1023 . '#' x 65533 . "\n");
is(-s "$dir/large", $limit, 'a file of 64 MB');
told("$dir/large", '', '... is allowed');

truncate "$dir/large", $limit + 1;
told("$dir/large", 'has 67108865 bytes, at most 67108864 are allowed',
    'a byte more is not');
unlink "$dir/large";

srand 1;
spew("$dir/binary", join '', map { chr int rand 256 } 1 .. 100_000);
my ($status, undef, $errors) = run('', $tool, 'check', "$dir/binary");
my @lines = split /\n/, $errors;
is("$status " . @lines, '1 21', 'binary: 20 mistakes and a count');
is(scalar(grep { /[^\x20-\x7e]/ } @lines), 0, '... in printable bytes');

# a file that was cut off anywhere is either right or told, with its place

my $whole = "localhost:1 a/b c=d e=\"f \\\" g\"\r\nunix:/a:/b c\nhttps://d e\n";
my %status;

for my $n (0 .. length $whole) {
    my ($status, undef, $errors) = check($tool, substr $whole, 0, $n);
    $status{$status}++;
    $status{odd}++ unless $status ? $errors =~ /\A\d+:\d+: .*\n\z/
        : $errors eq '';
}

is_deeply([ sort keys %status ], [0, 1], 'half-written at any byte');


# ports

spew("$dir/ports", <<'END');
localhost:20010 a
127.0.0.1:20001/base b
[::1]:9 c
https://LOCALHOST d
http://localhost e
localhost:20001 f
127.0.0.2:1001 g
10.0.0.1:1002 h
[::2]:1003 i
example.com:1004 j
unix:/run/x k
END

($status, my $out, $errors) = run('', $tool, 'ports', "$dir/ports");
is("$status $out$errors", "0 9\n80\n443\n20001\n20010\n",
    'ports of this host, sorted, each once');

spew("$dir/wrong", "localhost:1 a\nlocalhost:0 b\n");
for my $command ('ports', 'list') {
    ($status, $out, $errors) = run('', $tool, $command, "$dir/wrong");
    is("$status $out", '1 ', "$command: nothing of a file with a mistake");
    like($errors, qr{^\Q$dir\E/wrong:2:11: port "0"}, '... which is told');
}


# list

sub listener {
    my ($host, $port) = @_;

    return IO::Socket::IP->new(LocalHost => $host, LocalPort => $port // 0,
        Listen => 500, V6Only => 1);
}

my $v4 = listener('127.0.0.1') or die "listen: $@\n";
my $v6 = listener('::1');
my ($p4, $p6) = ($v4->sockport, $v6 ? $v6->sockport : 0);

# a port that has just been free

my $free = do {
    my $closed = listener('127.0.0.1');
    $closed->sockport;
};

spew("$dir/list", <<"END");
localhost:$p4 up-v4
127.0.0.1:$p4/base up/base
https://127.0.0.1:$p4 up-tls
127.0.0.1:$free refused
localhost:$free refused-at-both
unix:$dir/socket up-unix
unix:$dir/missing:/base down-unix
nothing.invalid:80 down-dns
END

($status, $out, $errors) = run('', $tool, 'list', "$dir/list");
is("$status $errors", '0 ', 'list is right even if targets are down');

$out =~ s/^(down-dns \S+ down: )(?=[a-z]).+$/$1.../m;
is($out, <<"END", 'NAME ADDRESS STATE, in the order of the file');
up-v4 localhost:$p4 up
up/base 127.0.0.1:$p4/base up
up-tls https://127.0.0.1:$p4 up
refused 127.0.0.1:$free down: connection refused
refused-at-both localhost:$free down: connection refused
up-unix unix:$dir/socket up
down-unix unix:$dir/missing:/base down: no such file or directory
down-dns nothing.invalid:80 down: ...
END

SKIP: {
    skip 'no IPv6 here', 1 if !$v6;

    spew("$dir/v6", "localhost:$p6 a\n[::1]:$p6 b\n[::1]:$free c\n");
    is((run('', $tool, 'list', "$dir/v6"))[1], <<"END", 'IPv6');
a localhost:$p6 up
b [::1]:$p6 up
c [::1]:$free down: connection refused
END
}

spew("$dir/json", "localhost:$p4 a\nunix:$dir/q\"\\ b\n");
($status, $out) = run('', $tool, 'list', '--json', "$dir/json");
is_deeply(decode_json($out), [
    { name => 'a', address => "localhost:$p4", state => 'up' },
    { name => 'b', address => "unix:$dir/q\"\\", state => 'down',
        error => 'no such file or directory' },
], 'list --json');

is((run('', $tool, 'list', '--json', "$dir/empty"))[1], "[]\n",
    'list --json of no targets');
is((run('', $tool, 'list', "$dir/empty"))[1], '', 'list of no targets');

spew("$dir/many", join '', map { "127.0.0.1:$free n$_\n" } 1 .. 2000);
($status, $out) = run('', $tool, 'list', "$dir/many");
is(scalar(() = $out =~ /^n(\d+) .* down: connection refused$/mg), 2000,
    'more targets than are dialled at once');

# a listener whose queue is full doesn't answer

my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
my @queued;

for (1 .. 4) {
    socket my $s, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    IO::Handle::blocking($s, 0);
    connect $s, pack_sockaddr_in($full->sockport, inet_aton('127.0.0.1'));
    push @queued, $s;
}

spew("$dir/full", join '', map { '127.0.0.1:' . $full->sockport . " n$_\n" }
    1 .. 200);
my $start = time;
($status, $out) = run('', $tool, 'list', "$dir/full");
my $took = time - $start;

SKIP: {
    skip 'this kernel answers for a full queue', 2 if $out =~ / up$/m;

    is(scalar(() = $out =~ / down: connection timed out$/mg), 200,
        'targets that do not answer');
    cmp_ok($took, '<', 3, '... hold it up for a second in all');
}

my $complaint = `'$tool' list --json '$dir/json' 2>&1 >/dev/full`;
like($complaint, qr/cannot write: No space left/, 'a full disk is told');
cmp_ok($? >> 8, '==', 1, '... and is a failure');

done_testing();
