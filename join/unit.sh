# What is installed: the unit is the one source of ssh's words.

systemd_unit() {
    sed "s/^User=.*/User=$user/" << 'END'
@UNIT@
END
}

# its words, with the values of tunnel.conf

ssh_command() {
    systemd_unit | awk -v proxy="$proxy" -v port="$port" \
        -v forwards="$forwards" '

        sub(/^ExecStart=/, "") {
            inside = 1
        }

        inside && /\$FORWARDS/ {
            print "    -p " port " \\"
            count = split(forwards, word, " ")

            for (i = 1; i < count; i += 2) {
                print "    " word[i] " " word[i + 1] " \\"
            }

            print "    monitoring@" proxy
            exit
        }

        inside'
}

openrc_script() {
    words=$(systemd_unit | sed -n '
        /^ExecStart=/,/[^\\]$/ {
            s/^ExecStart=[^ ]* //
            p
        }')

    cat << END
#!/sbin/openrc-run

# A monitored host's tunnel to the Monitoring Proxy. Reads, from
# $etc: tunnel.conf, key, known_hosts.

. $etc/tunnel.conf

name="$comment"
description="ssh tunnel to the Monitoring Proxy"
supervisor=supervise-daemon
command=/usr/bin/ssh
command_user=$user
command_args="$words"

# However long the proxy is away, never give up; and after an outage, hosts
# must not all come back in the same second.

respawn_delay=\$((5 + \$(shuf -i 0-9 -n 1)))
respawn_max=0

# what ssh has to say

error_logger="logger -t $service"

depend() {
    need net
    after firewall
}
END
}

tunnel_conf() {
    cat << END
# $etc/tunnel.conf, read by
# $service.service

# the proxy, and the port of its sshd

PROXY=$proxy
PORT=$port

# -R PORT:ADDRESS for each exporter: PORT is this host's at the proxy, as in
# its hosts or targets file, and ADDRESS is the exporter as seen from here

FORWARDS="$forwards"
END
}

# what an earlier run wrote

read_conf() {
    [ -r $etc/tunnel.conf ] || return 1

    proxy=$(sed -n 's/^PROXY=//p' $etc/tunnel.conf)
    port=$(sed -n 's/^PORT=//p' $etc/tunnel.conf)
    forwards=$(sed -n 's/^FORWARDS="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' \
        $etc/tunnel.conf)
}

installed_user() {
    cat $unit $init 2> /dev/null \
        | sed -n 's/^User=//p; s/^command_user=//p' | head -n 1
}
