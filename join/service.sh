# What keeps the tunnel up.

find_supervisor() {
    if [ -d /run/systemd/system ] && have systemctl; then
        supervisor=systemd
    elif [ -d /run/openrc ] && have rc-service; then
        supervisor=openrc
    else
        supervisor=none
    fi
}

install_service() {
    case $supervisor in
    systemd) put $unit 644 "$(systemd_unit)" ;;
    openrc) put $init 755 "$(openrc_script)" ;;
    esac
}

running() {
    case $supervisor in
    systemd) systemctl -q is-active "$service" ;;
    openrc) rc-service -q "$service" status > /dev/null 2>&1 ;;
    none) return 1 ;;
    esac
}

enabled() {
    case $supervisor in
    systemd) systemctl -q is-enabled "$service" 2> /dev/null ;;
    openrc) [ -e "/etc/runlevels/default/$service" ] ;;
    none) return 1 ;;
    esac
}

start_service() {
    case $supervisor in
    systemd)
        act systemctl daemon-reload
        enabled || act systemctl -q enable $service
        act systemctl start $service || cannot_start
        ;;
    openrc)
        enabled || act rc-update -q add $service default
        act rc-service -q $service start || cannot_start
        ;;
    esac
}

cannot_start() {
    fail 1 "$supervisor could not start $service; its log may say why"
}

stop_service() {
    case $supervisor in
    systemd) act systemctl stop $service ;;
    openrc) act rc-service -q $service stop ;;
    esac
}

# The socket of the user's connection to the proxy, if there is one; 01 is an
# established one's state, in the fourth column, and the eighth is its user.

connection() {
    cat /proc/net/tcp /proc/net/tcp6 2> /dev/null \
        | awk -v port="$(printf ':%04X' "$port")" -v uid="$(id -u "$user")" '
            $4 == "01" && $8 == uid && !found \
                && substr($3, length($3) - 4) == port { print $10; found = 1 }'
}

now() {
    date +%s
}

# A connection without its port ends by itself, and soon.

wait_connected() {
    until=$(($(now) + wait))

    while [ "$(now)" -le "$until" ]; do
        first=$(connection)

        if [ -n "$first" ]; then
            sleep 3
            [ "$(connection)" != "$first" ] || return 0
        fi

        sleep 1
    done

    return 1
}

# Runs ssh as the unit does, until it has its ports or until it ends; why it
# ended is in $tmp/ssh then.

try_ssh() {
    ssh=$(ssh_command | sed '1s/ / -v /')
    count=$(ssh_command | grep -c '^ *-R ')
    until=$(($(now) + wait))
    stands=

    su -s /bin/sh "$user" -c "set -f; echo \$\$; exec $ssh" \
        > "$tmp/pid" 2> "$tmp/ssh" &
    job=$!

    while [ "$(now)" -le "$until" ]; do
        if [ "$(grep -c 'remote forward success for:' "$tmp/ssh")" -eq "$count" ]
        then
            stands=1
            break
        fi

        kill -0 $job 2> /dev/null || break
        sleep 1
    done

    if [ -s "$tmp/pid" ]; then
        kill "$(cat "$tmp/pid")" 2> /dev/null || :
    else
        kill $job 2> /dev/null || :
    fi

    wait $job 2> /dev/null || :
    [ -n "$stands" ]
}

said() {
    grep -q "$1" "$tmp/ssh"
}

# A port is free again a moment after the connection that had it.

try_tunnel() {
    try_ssh && return 0

    if said 'remote port forwarding failed'; then
        sleep 3
        try_ssh && return 0
    fi

    return 1
}

# Says why the tunnel doesn't stand, and sets status.

explain() {
    tr -d '\r' < "$tmp/ssh" | grep -v -e '^debug' -e '^OpenSSH_' \
        -e '^Authenticated to ' -e '^Transferred: ' -e '^Bytes per second: ' \
        -e '^ *$' -e '^@' | tail -n 5 | sed 's/^/    ssh: /' >&2

    if said 'HOST IDENTIFICATION HAS CHANGED'; then
        status=5
        say "The proxy's host key is not the one of $etc/known_hosts:"
        say "either it has been made anew, or this is not the proxy."
        say "Compare with the proxy's log; --known-hosts takes the right one."
    elif said 'Host key verification failed' \
        || said 'host key is known for'
    then
        status=5
        say "The proxy's host key is not in $etc/known_hosts;"
        say "--known-hosts takes it."
    elif said 'Permission denied ('; then
        status=3
        say "The proxy doesn't know this host's key. There, run:"
        say_add
    elif said 'remote port forwarding failed'; then
        status=4
        say "The proxy refused the port: this key's line has another one, or"
        say "a host with this key is connected already."
        say "\"monitoring-proxy list\", at the proxy, says which."
    else
        status=6
        say "No connection to $(known_as) within $wait s. Is that its address and"
        say "port, as seen from here, and does no firewall keep it from us?"
    fi
}

say_add() {
    say "    docker exec proxy monitoring-proxy add $name \\"
    say "      '$public'"
}
