#!/usr/bin/perl

# t/34-join.t: each way that "monitoring-proxy add" prints connects a host

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await directory docker image read_file);
use Host;
use Proxy;

my $etc = '/etc/monitoring-proxy-tunnel';
my $root = "$FindBin::Bin/..";
my $name = 'external-host-1';

# the host's directory, which "docker run" there would mount

my $dir = directory();
my $host = Host->start(options => [ '-v', "$dir:$etc",
    '--hostname', $name ]);

my $proxy = Proxy->start(key => undef,
    env => { MONITORING_PROXY_SSH => 'proxy' },
    options => [ '-v', directory() . ':/etc/monitoring' ]);

$host->reaches($proxy, 'proxy');


sub scraped {
    return $proxy->scrape("/$name/metrics")->{status};
}


sub stands { await($_[0] // 15, sub { scraped() == 200 }) }


sub is_gone { await(60, sub { scraped() == 502 }) }


# Runs on the host, in the background.

sub start {
    my ($text) = @_;

    docker('exec', '-d', $host->name, 'sh', '-c',
        "{\n$text} > /tmp/log 2>&1");
}


sub end {
    my ($pattern) = @_;

    $host->kill('TERM', $host->pids($pattern));
    is_gone() or die "the tunnel stays\n";
}


sub log_of_host { diag $host->exec('cat', '/tmp/log')->{out}, $proxy->logs }


# from no key to what is printed

my $script = $proxy->exec('monitoring-proxy', 'join')->{out};
like($script, qr{\A#!/bin/sh\n.*\nmain "\$@"\n\z}s, 'join prints the script');

my $key = $host->exec({ input => $script }, 'sh', '-c', 'sh 2> /dev/null')
    ->{out};
like($key, qr/\Assh-ed25519 \S+ $name\n\z/,
    'of which the host makes a key, and prints it');

my $add = $proxy->exec({ input => $key }, 'monitoring-proxy', 'add', $name,
    '-');
is($add->{status}, 0, 'whose line add writes') or diag $add->{out};

my $text = $add->{out};
like($text, qr/\Aname     $name\nport     20001\nkey      SHA256:\S{43}\n/,
    'it says name, port and key');
like($text, qr{^metrics  /$name/metrics, from localhost:9100 of the host$}m,
    'and what is scraped');
unlike($text, qr/placeholder/, 'and knows its address');

my @long = grep { length > 80 && !/ssh-ed25519 AAAA/ } split /\n/, $text;
is("@long", '', 'it fits 80 columns, but for a key');

# WAY: what to paste, without comments

my %way;

while ($text =~ /^# == (\w+):.*?\n(.*?)(?=^# == |\z)/msg) {
    my ($way, $lines) = ($1, $2);
    $way{$way} = $way eq 'systemd' ? $lines : $lines =~ s/^#.*\n//mgr;
}

is(join(' ', sort keys %way), 'autossh docker files join ssh systemd',
    'the ways are there');


# ssh and autossh, as printed

ok(is_gone(), 'there is no tunnel yet');
is($host->exec('sh', '-c', $way{files})->{status}, 0, 'known_hosts, as printed');

start($way{ssh});
ok(stands(), 'ssh, as printed: the host is scraped') or log_of_host();
end(qr/^ssh -F none/);

start($way{autossh});
ok(stands(), 'autossh, as printed: the host is scraped') or log_of_host();
end(qr/autossh/);


# docker: of the line, what is this test's own is put in its place

my $container = $host->name . '-docker';
my $line = $way{docker};

$line =~ s/--name \S+/--name $container/ or die "no --name\n";
$line =~ s/--network host/'--network container:' . $host->name/e
    or die "no --network\n";
$line =~ s/-v \S+?:/-v $dir:/ or die "no -v\n";
$line =~ s/ssh monitoring-proxy /'ssh ' . image() . ' '/e or die "no image\n";

my $r = Container::command('sh', '-c', $line);
is($r->{status}, 0, 'docker run, as printed') or diag $r->{out};
ok(stands(), 'the host is scraped') or diag docker('logs', $container)->{out};
docker('rm', '-f', $container);
ok(is_gone(), 'until the container ends');


# join: nothing supervises in the host's container, so that the tunnel is tried
# and the command for a supervisor is what is left to do

my ($piped, $local) = split /\n\n/, $way{join} =~ s/\A\n+//r;

$host->exec({ input => $script }, 'sh', '-c', 'cat > /tmp/script');
$host->exec('rm', "$etc/known_hosts");

for ([ $piped, 'by a pipe' ], [ $local, 'on the host' ]) {
    my ($words, $how) = @$_;

    # stand-ins for the way to the host, on which ssh joins the words to one

    my $command = 'cd /tmp; cp script monitoring-proxy-join; '
        . "docker() { [ \"\$*\" = 'exec proxy monitoring-proxy join' ] "
        . '&& cat script; }; ssh() { '
        . "[ \$1 = root\@$name ] || return 1; shift; sh -c \"\$*\"; }\n$words";

    my $r = $host->exec({ seconds => 90 }, 'sh', '-c',
        "{ $command\n} 2> /tmp/log");
    is($r->{status}, 0, "join $how, as printed") or log_of_host();
    like($r->{out}, qr{\A/usr/bin/ssh -F none}, 'has tried the tunnel');

    ok(is_gone(), 'which it ended');
    start("su -s /bin/sh monitoring-proxy-tunnel -c '$r->{out}'\n");
    ok(stands(), "with what join $how prints, the host is scraped")
        or log_of_host();
    end(qr{^/usr/bin/ssh -F none});
}


# systemd doesn't run there, either: files alone

$host->exec('sh', '-c', "mkdir -p /etc/systemd/system; rm $etc/tunnel.conf\n"
    . "systemctl() { echo \"\$*\" >> /tmp/systemctl; }\n$way{systemd}");

for ([ "$etc/tunnel.conf", 'tunnel.conf' ],
    [ '/etc/systemd/system/monitoring-proxy-tunnel.service',
        'monitoring-proxy-tunnel.service' ])
{
    my ($path, $file) = @$_;

    is($host->exec('cat', $path)->{out},
        read_file("$root/deploy/systemd/$file")
            =~ s/^PROXY=\K.*/proxy/mr =~ s/^PORT=\K.*/22/mr,
        "systemd, as printed: $file is that of deploy/systemd");
}

is($host->exec('cat', '/tmp/systemctl')->{out},
    "daemon-reload\nenable --now monitoring-proxy-tunnel\n",
    'and the unit is started');

done_testing();
