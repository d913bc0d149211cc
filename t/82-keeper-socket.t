#!/usr/bin/perl

# t/82-keeper-socket.t: the keeper's socket: who gets at it, what is said on
# it, and what becomes of it when the keeper ends or is killed

use warnings;
use strict;

use FindBin;
use IO::Socket::UNIX;
use Test::More;

use lib "$FindBin::Bin/lib";

use Keeper qw(await write_to);
use TokenEndpoint;

my $endpoint = TokenEndpoint->new;
my $url = $endpoint->url;
my $dir = File::Temp->newdir;

write_to("$dir/secret", "secret\n");
write_to("$dir/bearer", "bearer-1\n");

sub oauth2 {
    my ($name) = @_;

    return "$name http://r oauth2 token_url=$url/$name client_id=me"
        . " client_secret_file=$dir/secret";
}

$endpoint->answer('/hangs', { hang => 1 });

my @remotes = (oauth2('good'), oauth2('hangs'),
    "bearer http://r bearer-file file=$dir/bearer");
my $keeper = Keeper->new({ level => 'info' }, @remotes);
my $worker = $keeper->worker;
my $good = $worker->credential('good');


# who may

is(sprintf('%o', (stat $keeper->socket)[2]), '140666',
    'whoever gets into the directory of the socket may connect');

my $second = Keeper->new({ dir => $keeper->dir });
is($second->ended(30), 1, 'a second keeper at the same socket ends');
like($second->log, qr/ err="another keeper listens at it"$/m, 'and says why');
ok($keeper->worker->credential('good'), 'of which the first knows nothing');

# what

is($good->{value}, 'Bearer token-1', 'a token');
is($worker->line(qr/^nothing hangs (.*)$/), '- it is being fetched',
    'a credential that is not there yet, and has not failed');

for my $sent ('x', "x\n", "\n", "fresh\n", "fresh good\n", "fresh good \n",
    "fresh good 1 2\n", "fresh good -1\n", "fresh good x\n", "fresh  good 1\n",
    'fresh good ' . '1' x 20 . "\n", "token good 1 0 x\n", "fresh good 1\0\n",
    "fresh good 1\nx\n", 'fresh ' . 'x' x 300, 'fresh ' . 'x' x 300 . " 1\n")
{
    my $w = $keeper->worker;
    my $shown = substr $sent =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger, 0, 30;

    $w->credential('good');
    $w->send($sent);
    next if $sent eq 'x';   # it may go on

    ok($w->closed, "who sends $shown is disconnected");
}

my $pieces = $keeper->worker;

for my $piece (split //, "fresh good $good->{version}\nfresh good 1\n") {
    $pieces->send($piece);
}

is($worker->credential('good')->{value}, 'Bearer token-2',
    'a line may come in pieces');

# one that doesn't read isn't waited for, and takes no memory without end

my $large = Keeper->new((map { "r$_ http://r bearer-file file=$dir/large" }
    1 .. 32));
my $deaf = $large->worker;
my $hears = $large->worker;
my $resident = resident($large);
my $n = 0;

sub resident {
    my ($k) = @_;

    open my $fh, '<', '/proc/' . $k->pid . '/status' or return 0;

    my ($kb) = map { /^VmRSS:\s+(\d+)/ } <$fh>;

    return $kb;
}

ok(await(sub {
    write_to("$dir/large", sprintf '%016000d', ++$n);
    return if !$hears->line(qr/^token r1 \d+ 0 Bearer 0+$n$/, 5);
    return $large->log =~ /a worker doesn't read what it is told/;
}, 60), 'one that reads nothing is disconnected');
ok($deaf->closed, 'as it finds when it does');
ok($hears->line(qr/^token r32 \d+ 0 Bearer 0+$n$/), 'another is not');

cmp_ok(resident($large) - $resident, '<', 30_000,
    'for which it needs little memory');
is($large->stop, 0, 'it ends');

# many at a time

my @many = map { $keeper->worker } 1 .. 100;
is(scalar(grep { $_->credential('bearer') } @many), 100, 'a hundred workers');
write_to("$dir/bearer", "bearer-2\n");
is(scalar(grep { $_->credential('bearer')->{value} eq 'Bearer bearer-2' }
    @many), 100, 'are told what is new');
undef @many;


# its end, and one that comes after it

my $version = $good->{version};

ok($endpoint->await('/hangs', 1), 'while a fetch is under way');
$keeper->signal('KILL');
is($keeper->ended(5), 128 + 9, 'it is killed');
ok($worker->closed, 'its workers notice');
ok(-S $keeper->socket, 'its socket is still there');

$endpoint->answer('/hangs', {});
$keeper->start;
$worker = $keeper->worker;

is($worker->credential('hangs')->{value}, 'Bearer token-1',
    'another keeper takes its place, and fetches');
cmp_ok($worker->credential('good')->{version}, '>', $version,
    'versions go on growing');

$keeper->signal('INT');
is($keeper->ended(5), 0, 'SIGINT ends it');
ok(!-e $keeper->socket, 'and removes the socket');
unlike($keeper->log, qr/level=DEBUG/, 'its log is of the level that was asked');

# what keeps it from starting

sub refused {
    my ($dir, $status, $pattern, $promise, @remotes) = @_;

    my $k = Keeper->new({ dir => $dir }, @remotes);

    is($k->ended(30), $status, "$promise: it ends");
    like($k->log, $pattern, '... and says why');
}

my $other = File::Temp->newdir;
write_to("$other/socket", 'not mine');
refused($other, 1, qr/ err="there is something that is no socket"$/m,
    'a file in the place of the socket', @remotes);
ok(-s "$other/socket", '... which stays');

refused(File::Temp->newdir, 2, qr/level=ERROR msg=.* at=\S+remotes/,
    'no file of remotes');
refused(File::Temp->newdir, 2, qr/level=ERROR msg=.* at=\S+remotes:1:/,
    'a mistake in the file', 'r http://r what');

my $long = File::Temp->newdir;
mkdir "$long/" . 'x' x 100;
refused("$long/" . 'x' x 100, 1, qr/ err="its path has more than 107 bytes"$/m,
    'a path that is too long', @remotes);

done_testing();
