#!/usr/bin/perl

# t/07-ansible.t: what Ansible is given, and how it gives out addresses

use warnings;
use strict;

use File::Temp;
use FindBin;
use JSON::PP;
use Test::More;

my $ansible = "$FindBin::Bin/../deploy/ansible";

my $a = 'YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=';
my $b = 'YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=';
my @networks = ('10.87.0.0/16', 'fd01:2:3::/64');

plan skip_all => 'no ansible-playbook here'
    if system('command -v ansible-playbook > /dev/null') != 0;

# a copy, as the tools leave files beside

my $dir = File::Temp->newdir;
my $copy = "$dir/ansible";
system('cp', '-R', $ansible, $copy) == 0 or die "can't copy $ansible\n";

@ENV{qw(HOME PYTHONDONTWRITEBYTECODE ANSIBLE_NOCOLOR LC_ALL)}
    = ($dir, 1, 1, 'C.UTF-8');


sub run {
    my (@command) = @_;

    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        chdir $copy;
        exec @command or exit 127;
    }

    local $/;
    my $text = <$out> // '';
    close $out;

    return ($? >> 8, $text);
}


# What a filter of filter_plugins/wireguard.py makes of its arguments, or the
# mistake that it finds in them.

sub filter {
    my ($name, @arguments) = @_;

    my $json = JSON::PP->new->allow_nonref;
    my ($status, $text) = run('python3', '-c', <<'END',
import json, sys
sys.path.insert(0, 'filter_plugins')
import wireguard
from ansible.errors import AnsibleFilterError
filter = wireguard.FilterModule().filters()['wireguard_' + sys.argv[1]]
try:
    print(json.dumps(filter(*json.loads(sys.argv[2]))))
except AnsibleFilterError as e:
    print(json.dumps('mistake: ' + str(e)))
END
        $name, $json->encode(\@arguments));

    $status == 0 or die $text;

    return $json->decode($text);
}


# Numbers by name, of the file that was, nodes and their keys

sub numbers {
    my ($was, $names, $keys, $used) = @_;

    my $read = filter('read', $was);
    my $state = !ref $read ? $read
        : filter('allot', $read, $names, $keys, \@networks, $used // 0);

    return ref $state ? { map { $_ => $state->{nodes}{$_}{number} }
        keys %{ $state->{nodes} } } : $state;
}


# addresses

is_deeply(numbers('', ['b', 'a'], {}), { b => 2, a => 3 },
    'nodes get numbers in the inventory\'s order, after the monitor\'s');
is_deeply(numbers("5 a $a\n# x\n7 b -\n", ['c', 'b'], {}),
    { a => 5, b => 7, c => 8 }, 'one that is gone keeps its number');
is_deeply(numbers("2 a $a\n", ['a', 'c'], {}, 300), { a => 2, c => 301 },
    'a number that others have is not given');

my $nodes = filter('allot', filter('read', "2 a $a\n3 b $b\n"), ['a'], {},
    \@networks)->{nodes};

is($nodes->{a}{key}, $a, 'a node that did not answer keeps its key');
is($nodes->{b}{key}, '-', 'a node that is gone has none');

is(numbers('', ['a', 'b'], { a => $a, b => $a }), 'mistake: nodes "a" and "b"'
    . ' have the same key: one is a copy of the other; remove the private key'
    . ' of one, and run this again', 'two machines with one key are refused');
is(numbers('', ['a'], { a => 'x' }), 'mistake: node "a": "x" is no public key',
    'so is what is no key');
like(numbers("65534 a -\n", ['b'], {}), qr/^mistake: .* is full; 65534 is/,
    'so is one more node than the network has room for');
is(numbers("2 a\n", [], {}), 'mistake: line 1 of the file of nodes: "2 a" is '
    . 'not "NUMBER NAME KEY"', 'and a file that someone broke');

is(filter('address', $networks[0], 300), '10.87.1.44', 'an IPv4 address');
is(filter('address', $networks[1], 300), 'fd01:2:3::12c', 'an IPv6 address');
is(filter('highest', "n $a 10.87.1.4,fd01:2:3::105 x=10.88.9.9\n",
    \@networks), 261, 'the highest number is found in others\' files');

is(filter('endpoint', 'm.example', 51820), 'm.example:51820', 'an endpoint');
is(filter('endpoint', 'fd01::1', 51820), '[fd01::1]:51820', 'of IPv6');
is(filter('endpoint', 'm.example:7', 51820), 'm.example:7', 'with a port');


# what users see

my ($status, $text) = run('ansible-inventory', '-i', 'inventory.example.yml',
    '--list');
my $inventory = JSON::PP::decode_json($text);

is_deeply($inventory->{monitor}{hosts}, ['monitor-1'],
    'the example has one monitor');
is_deeply($inventory->{nodes}{hosts}, ['node-1', 'node-2'], 'and nodes');

($status, $text) = run('ansible-playbook', '-i', 'inventory.example.yml',
    '--syntax-check', 'site.yml');
is($status, 0, 'Ansible takes the playbook') or diag $text;

SKIP: {
    skip 'no ansible-lint here', 2
        if system('command -v ansible-lint > /dev/null') != 0;

    my @lint = ('ansible-lint', '--offline', '--nocolor', '--profile',
        'production', 'site.yml', 'inventory.example.yml');

    ($status, $text) = run(@lint);
    is($status, 0, 'ansible-lint has nothing to say, in production') or diag
        $text;

    open my $fh, '>>', "$copy/site.yml" or die "site.yml: $!\n";
    print $fh "\n- hosts: all\n  tasks:\n    - shell: ls\n";
    close $fh;

    isnt((run(@lint))[0], 0, 'and would have of a bad task');
}

done_testing();
