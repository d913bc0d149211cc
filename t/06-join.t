#!/usr/bin/perl

# t/06-join.t: monitoring-proxy-join makes a tunnel of a host, and takes it away
#
# In containers with real ssh, ssh-keygen and sshd. Neither systemd nor OpenRC
# can run there: stand-ins for their commands do what the script asks for, and
# run what the installed unit says, as its user.

use warnings;
use strict;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command directory test_image write_file);

my $root = "$FindBin::Bin/..";
my $etc = '/etc/monitoring-proxy-tunnel';
my $unit = '/etc/systemd/system/monitoring-proxy-tunnel.service';
my $init = '/etc/init.d/monitoring-proxy-tunnel';
my $user = 'monitoring-proxy-tunnel';

my $script = `$root/scripts/join`;
is($?, 0, 'the parts make one script') or die;

my $dir = directory();
write_file("$dir/join", $script, 0755);


# The stand-ins: what is started runs until it is stopped, and its user and
# its command are those of the installed file.

write_file("$dir/service", <<'END', 0755);
#!/bin/sh
case $1 in
is-active)
    [ -e /tmp/service ] && kill -0 "$(cat /tmp/service)" 2> /dev/null
    ;;
start)
    "$0" is-active && exit
    . /etc/monitoring-proxy-tunnel/tunnel.conf
    # shellcheck disable=SC2086,SC2154
    setsid sh -c "while :; do $2; sleep 1; done" > /dev/null 2>&1 &
    echo $! > /tmp/service
    ;;
stop)
    [ -e /tmp/service ] || exit 0
    kill -- "-$(cat /tmp/service)" 2> /dev/null
    pkill -x -u monitoring-proxy-tunnel ssh
    rm -f /tmp/service
    ;;
esac
END

write_file("$dir/systemctl", <<'END', 0755);
#!/bin/sh
echo "systemctl $*" >> /tmp/calls
[ "$1" != -q ] || shift
unit=/etc/systemd/system/monitoring-proxy-tunnel.service
case $1 in
start)
    user=$(sed -n 's/^User=//p' $unit)
    . /etc/monitoring-proxy-tunnel/tunnel.conf
    words=$(sed -n '/^ExecStart=/,/[^\\]$/ { s/^ExecStart=//; p }' $unit)
    words=$(PORT=$PORT FORWARDS=$FORWARDS PROXY=$PROXY sh -c "echo $words")
    /t/service start "su -s /bin/sh $user -c '$words'"
    ;;
is-enabled) [ -e /tmp/enabled ] ;;
enable) touch /tmp/enabled ;;
disable) rm -f /tmp/enabled; /t/service stop ;;
*) /t/service "$1" ;;
esac
END

write_file("$dir/rc-service", <<'END', 0755);
#!/bin/sh
echo "rc-service $*" >> /tmp/calls
[ "$1" != -q ] || shift
case $2 in
start)
    # shellcheck source=/dev/null
    . /etc/init.d/monitoring-proxy-tunnel
    # shellcheck disable=SC2154
    /t/service start "su -s /bin/sh $command_user -c '$command $command_args'"
    ;;
status) /t/service is-active ;;
*) /t/service "$2" ;;
esac
END

write_file("$dir/rc-update", <<'END', 0755);
#!/bin/sh
echo "rc-update $*" >> /tmp/calls
mkdir -p /etc/runlevels/default
case $2 in
add) touch "/etc/runlevels/default/$3" ;;
del) rm -f "/etc/runlevels/default/$3" ;;
esac
END

# Debian's busybox has everything but these, which Alpine's has

write_file("$dir/adduser", <<'END', 0755);
#!/bin/sh
[ "$*" = "-S -D -H -h /nonexistent -s /usr/sbin/nologin -g Monitoring Proxy \
tunnel -G monitoring-proxy-tunnel monitoring-proxy-tunnel" ] || exit 1
exec /usr/sbin/useradd -r -M -d /nonexistent -s "$7" -c "$9" -g "${11}" "${12}"
END
write_file("$dir/addgroup", qq{#!/bin/sh\nexec /usr/sbin/groupadd -r "\$2"\n},
    0755);
write_file("$dir/deluser", qq{#!/bin/sh\nexec /usr/sbin/userdel "\$1"\n}, 0755);


# The proxy's stand-in: OpenSSH with its configuration of tunnels, at 2222.

write_file("$dir/sshd_config", <<'END');
Port 2222
AllowUsers monitoring
AuthorizedKeysFile /srv/keys
StrictModes no
PasswordAuthentication no
AllowTcpForwarding remote
MaxSessions 0
HostKey /srv/host_key
END

my $setup = <<'END';
set -e
useradd --system --home-dir /nonexistent --password '*' monitoring
mkdir -p /run/sshd /srv /bb
ssh-keygen -q -t ed25519 -N '' -f /srv/host_key
touch /srv/keys
chmod 644 /srv/keys
busybox --install -s /bb
for name in ssh ssh-keygen; do ln -s /usr/bin/$name /bb/; done
for name in adduser addgroup deluser; do ln -s /t/$name /bb/; done
END


# A host, and the proxy's stand-in on it. Options: systemd, openrc.

sub host {
    my (%o) = @_;

    my $host = Container->run(image => test_image(),
        options => [ '-v', "$dir:/t:ro", '--hostname', 'host-1', '--init' ],
        command => [ 'sh', '-c', 'sleep 600' ]);

    my $r = $host->exec('sh', '-c', "$setup\n"
        . ($o{systemd} ? "mkdir -p /run/systemd/system\n"
            . "ln -s /t/systemctl /usr/local/sbin/\nln -s /t/systemctl /bb/\n"
            : '')
        . ($o{openrc} ? "mkdir -p /run/openrc\n"
            . "ln -s /t/rc-service /t/rc-update /bb/\n" : '')
        . "/usr/sbin/sshd -f /t/sshd_config -E /tmp/sshd.log\n");
    $r->{status} == 0 or die $r->{out};

    $host->{shell} = $o{shell} // 'dash';
    $host->{key} = $host->sh('cut -d " " -f 1-2 /srv/host_key.pub')->{out};
    chomp $host->{key};

    return $host;
}


sub sh {
    my ($host, $text) = @_;

    return $host->exec('sh', '-c', $text);
}


# The script with these words; out has both outputs, public stdout alone.

sub join_with {
    my ($host, @words) = @_;

    my @path = $host->{shell} =~ /^busybox/
        ? ('env', 'PATH=/bb') : ('env');

    my $r = $host->exec({ seconds => 90 }, 'sh', '-c',
        '"$@" > /tmp/stdout; s=$?; echo "$s" > /tmp/status; exit "$s"', 'sh',
        @path, split(/ /, $host->{shell} =~ s/^busybox/\/bin\/busybox/r),
        '/t/join', @words);
    $r->{stdout} = $host->sh('cat /tmp/stdout')->{out};

    return $r;
}


sub known { ('--known-hosts', $_[0]{key}) }


# Lets a public key have ports, and no other.

sub allow {
    my ($host, $public, @ports) = @_;

    my $list = join ',', map { qq{permitlisten="localhost:$_"} } @ports;

    $host->exec({ input => "restrict,port-forwarding,$list $public" }, 'sh',
        '-c', 'cat > /srv/keys');
}


sub listens {
    my ($host, $port) = @_;

    return $host->sh(sprintf 'grep -qE "^ *[0-9]+: 0100007F:%04X .* 0A " '
        . '/proc/net/tcp', $port)->{status} == 0;
}


sub files {
    my ($host) = @_;

    return $host->sh("stat -c '%n %U %a %Y %s' $etc $etc/* $unit $init "
        . '2> /dev/null; grep tunnel /etc/passwd; cat /tmp/calls | grep -v -e is- -e status')
        ->{out};
}

{
    no warnings 'once';
    *Container::sh = \&sh;
    *Container::join_with = \&join_with;
    *Container::listens = \&listens;
}


# what needs no container: the same words to each shell

my @shells = ('dash', 'busybox sh', 'bash --posix');

my %wrong = (
    '--port' => qr/--port wants a value/,
    '--port 22 proxy' => qr/"22" is not a port; it is a number, 1024 to 65535/,
    '--port 065535 proxy' => qr/"065535" is not a port/,
    '--port 65536 proxy' => qr/"65536" is not a port/,
    '--port 20001 --port 20001 proxy' => qr/port 20001 is given twice/,
    '--forward 20001 proxy' => qr/"20001" is not PORT:ADDRESS:PORT/,
    '--forward 20001::9100 proxy' => qr/has no address/,
    '--forward 20001:-oX:9100 proxy' => qr/has no address/,
    '--forward 20001:$(id):9100 proxy' => qr/has no address/,
    '--forward 20001:a:9100:b proxy' => qr/"b" is not a port/,
    '--port 20001 -oProxyCommand=id' => qr/no such option: -oProxyCommand=id/,
    '--port 20001 a`id`' => qr/"a`id`" is not HOST or HOST:PORT/,
    '--port 20001 proxy:0' => qr/"0" is not a port/,
    '--port 20001 a b' => qr/one HOST is enough: "a", "b"/,
    '--user root' => qr/root's rights/,
    '--user a;b' => qr/no user's name/,
    '--name a;b' => qr/no name/,
    '--wait soon' => qr/no number of seconds/,
    '--status --uninstall' => qr/don't go together/,
    '--purge' => qr/--purge goes with --uninstall/,
    '--print it' => qr/none of systemd, openrc, command, conf/,
    '--print command --port 20001' => qr/and HOST/,
    '--nonsense' => qr/no such option: --nonsense/,
);

for my $shell (@shells) {
    my @shell = split / /, $shell;

    my @not = grep {
        my $r = command(@shell, "$dir/join", split / /);
        $r->{status} != 2 || $r->{out} !~ $wrong{$_} } sort keys %wrong;
    is(join(' | ', @not), '', "$shell: wrong words are refused, with a reason");

    my $help = command(@shell, "$dir/join", '--help');
    is($help->{status}, 0, "$shell: --help");
    like($help->{out}, qr/^EXIT STATUS\n    0  done/m, 'is like a man page');
    is((grep { length > 80 } split /\n/, $help->{out}), 0,
        'and fits 80 columns');

    my $piped = command({ input => $script }, @shell, '-s', '--', '--print',
        'systemd');
    is($piped->{out}, Container::read_file(
        "$root/deploy/systemd/monitoring-proxy-tunnel.service"),
        "$shell: by a pipe it prints the unit of deploy/systemd");
}

{
    my $nobody = command('setpriv', '--reuid', 65534, '--clear-groups', 'sh',
        '-c', $script);
    is($nobody->{status}, 1, 'without root it ends');
    like($nobody->{out}, qr/this needs root/, 'and says so');
}


# each shell: from nothing to a tunnel, and back

for my $shell (@shells) {
    my $host = host(systemd => 1, shell => $shell);

    my $dry = $host->join_with('--dry-run', '--port', 20001, known($host),
        'localhost:2222');
    is($dry->{status}, 0, "$shell: a dry run") or diag $dry->{out};
    like($dry->{out}, qr/would write \Q$unit\E/, 'says what it would do');
    is(files($host), '', 'and does nothing');

    my $first = $host->join_with();
    is($first->{status}, 0, "$shell: without a port") or diag $first->{out};
    like($first->{stdout}, qr/\Assh-ed25519 AAAA\S+ host-1\n\z/,
        'stdout is the public key alone');
    like($first->{out}, qr{^\s+docker\ exec\ proxy\ monitoring-proxy\ add\ host-1
        \ \\\n\s+'ssh-ed25519\ AAAA\S+\ host-1'$}mx,
        'stderr says what to run at the proxy');
    is($host->sh("stat -c '%U %a' $etc $etc/key")->{out},
        "root 755\n$user 600\n", "the key is the tunnel's user's alone");
    is($host->join_with()->{stdout}, $first->{stdout}, 'a second run: the same');

    my @words = ('--port', 20001, known($host), 'localhost:2222');
    allow($host, $first->{stdout}, 20001, 20002);

    my $r = $host->join_with(@words);
    is($r->{status}, 0, "$shell: with a port") or diag $r->{out};
    like($r->{out}, qr/^the tunnel to \[localhost\]:2222 stands$/m,
        'it waits until the tunnel stands');
    ok(listens($host, 20001), 'which it does');
    is($host->join_with('--status')->{status}, 0, '--status says so, too');
    is($host->sh("cat $unit")->{out}, Container::read_file(
        "$root/deploy/systemd/monitoring-proxy-tunnel.service"),
        'the unit is that of deploy/systemd');

    is($host->sh("cat $etc/tunnel.conf")->{out}, Container::read_file(
        "$root/deploy/systemd/tunnel.conf") =~ s/^PROXY=\K.*/localhost/mr,
        'and so is its configuration');

    my $before = files($host);
    $r = $host->join_with(@words);
    is($r->{status}, 0, "$shell: the same again");
    like($r->{out}, qr/^nothing to do/m, 'is nothing to do');
    is(files($host), $before, 'and changes nothing');

    $r = $host->join_with('--forward', '20002:localhost:9100',
        'localhost:2222');
    is($r->{status}, 0, "$shell: another port, with the host key that is known")
        or diag $r->{out};
    ok(listens($host, 20002) && !listens($host, 20001),
        'the tunnel has that one alone');

    $r = $host->join_with('--uninstall');
    is($r->{status}, 0, "$shell: --uninstall") or diag $r->{out};
    ok(await(5, sub { !listens($host, 20002) }), 'ends the tunnel');
    is($host->sh("ls -A $etc; ls $unit; id $user")->{out} =~ s/^\w+: .*\n//mgr,
        "key\nkey.pub\n", 'and leaves the key alone');
    is($host->join_with()->{stdout}, $first->{stdout}, 'which is used again');

    is($host->join_with('--uninstall', '--purge')->{status}, 0,
        "$shell: --uninstall --purge");
    isnt($host->sh("test -e $etc")->{status}, 0, 'leaves nothing');
    is($host->join_with('--uninstall')->{status}, 0,
        'and is fine where there is nothing');
}


# OpenRC, as in Alpine

{
    my $host = host(openrc => 1, shell => 'busybox sh');

    allow($host, $host->join_with()->{stdout}, 20001);

    my @words = ('--port', 20001, known($host), 'localhost:2222');
    my $r = $host->join_with(@words);
    is($r->{status}, 0, 'OpenRC: with a port') or diag $r->{out};
    ok(listens($host, 20001), 'the tunnel stands');
    like($host->sh('cat /tmp/calls')->{out}, qr/^rc-update -q add $user default$/m,
        'and will after the next boot');

    my $before = files($host);
    like($host->join_with(@words)->{out}, qr/^nothing to do/m, 'once is enough');
    is(files($host), $before, 'twice changes nothing');

    is($host->join_with('--uninstall', '--purge')->{status}, 0, '--uninstall');
    is($host->sh("ls -d $etc $init /etc/runlevels/default/*")->{out}
        =~ s/^ls: .*\n//mgr, '', 'leaves nothing');
}


# neither; and what can go wrong

{
    my $host = host(shell => 'busybox sh');
    my $public = $host->join_with()->{stdout};
    my @words = ('--wait', 5, '--port', 20001);
    my @to = (known($host), 'localhost:2222');

    my $r = $host->join_with(@words, 'localhost:2222');
    is($r->{status}, 5, 'an unknown host key is not accepted');
    like($r->{out}, qr/give --known-hosts/, 'the script says what to give');

    $r = $host->join_with(@words, '--known-hosts', 'other ' . $host->{key},
        'localhost:2222');
    is($r->{status}, 5, "nor another machine's line");
    like($r->{out}, qr/of another name than \[localhost\]:2222/, 'as it says');

    $r = $host->join_with(@words, '--known-hosts', substr($host->{key}, 0, 50),
        'localhost:2222');
    is($r->{status}, 5, 'nor half a key');

    for my $line ($host->{key}, "[localhost]:2222 $host->{key}") {
        $r = $host->join_with('--dry-run', @words, '--known-hosts',
            split(/ /, $line), 'localhost:2222');
        is($r->{status}, 0, 'a key without the quotes, which ssh takes off')
            or diag $r->{out};
    }

    $r = $host->join_with(@words, @to);
    is($r->{status}, 3, 'a key that the proxy does not know: 3')
        or diag $r->{out};
    like($r->{out}, qr/^    ssh: .*Permission denied/m, 'with what ssh said');
    like($r->{out}, qr/monitoring-proxy add host-1/, 'and what to do');

    allow($host, $public, 20002);
    $r = $host->join_with(@words, @to);
    is($r->{status}, 4, 'a port that the key may not have: 4')
        or diag $r->{out};
    like($r->{out}, qr/^    ssh: .*remote port forwarding failed/m,
        'with what ssh said');

    allow($host, $public, 20001);
    $r = $host->join_with(@words, @to);
    is($r->{status}, 0, 'no supervisor: the tunnel is tried') or diag $r->{out};
    like($r->{out}, qr/^Neither systemd nor OpenRC runs here/m, 'it says so');

    $host->sh("setsid su -s /bin/sh $user -c '" . $r->{stdout} . "' "
        . '> /tmp/ssh.log 2>&1 &');
    ok(await(10, sub { listens($host, 20001) }),
        'and prints the command to run');

    $r = $host->join_with(@words, @to);
    is($r->{status}, 0, 'while that runs, the same again') or diag $r->{out};
    like($r->{out}, qr/^nothing to do/m, 'is nothing to do');

    $host->sh('ssh-keygen -q -t ed25519 -N "" -f /srv/other; '
        . 'pkill -x ssh; sed "s|/host_key|/other|; s|2222|2223|" '
        . '/t/sshd_config > /tmp/other; /usr/sbin/sshd -f /tmp/other');

    $r = $host->join_with(@words, known($host), 'localhost:2223');
    is($r->{status}, 5, 'a host key that has changed: 5') or diag $r->{out};
    like($r->{out}, qr/host key is not the one of/, 'and what that means');

    $r = $host->join_with(@words, known($host), 'localhost:2229');
    is($r->{status}, 6, 'nobody there: 6') or diag $r->{out};
    like($r->{out}, qr{^    ssh: .*connect to host}m, 'with what ssh said');

    $host->sh("echo broken > $etc/key");
    $r = $host->join_with();
    is($r->{status}, 1, 'a broken key ends it');
    is($host->sh("cat $etc/key")->{out}, "broken\n", 'and is left as it is');
}


# what is verified by systemd itself

{
    my $text = $script =~ /^\[Unit\]/m ? `$root/scripts/join | sh -s -- --user \\
        daemon --print systemd` : '';
    my $file = write_file(directory() . "/$user.service", $text);

    is(`systemd-analyze verify --man=no $file 2>&1`, '',
        'systemd takes the unit');
    is(command('systemd-analyze', 'security', '--offline=true',
        '--threshold=15', $file)->{status}, 0,
        'its exposure is 1.5 of 10 at most');
}

done_testing();
