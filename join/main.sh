# What is asked for.

need_root() {
    if [ -z "$dry" ] && [ "$(id -u)" -ne 0 ]; then
        fail 1 "this needs root: sudo monitoring-proxy-join ..."
    fi
}

need_programs() {
    for program in ssh ssh-keygen su awk; do
        have $program || fail 1 "no $program here; install OpenSSH's client" \
            "(openssh-client, on Red Hat's openssh-clients) and coreutils"
    done

    [ -x /usr/bin/ssh ] || fail 1 "ssh is not at /usr/bin/ssh"
}

make_tmp() {
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 1' HUP INT TERM
}

print() {
    case $what in
    systemd) systemd_unit ;;
    openrc) openrc_script ;;
    command | conf | known-as)
        if [ -z "$forwards" ] || [ -z "$proxy" ]; then
            wrong "--print $what wants --port or --forward, and HOST"
        fi

        case $what in
        command) ssh_command ;;
        conf) tunnel_conf ;;
        known-as) known_as ;;
        esac
        ;;
    *)
        wrong "--print: \"$what\" is none of systemd, openrc, command, conf," \
            "known-as"
        ;;
    esac
}

status() {
    find_supervisor

    if ! read_conf; then
        echo "not installed: no $etc/tunnel.conf"

        for file in "$wg_etc"/*.conf; do
            ! is_ours "$file" || say "But there is $file: --wireguard --status"
        done

        exit 7
    fi

    running=no
    ! running || running=yes
    user=$(installed_user)
    user=${user:-$service}

    echo "proxy       $(known_as)"
    echo "ports      $(printf ' %s' "$forwards" | sed 's/ -R / /g')"
    echo "supervisor  $supervisor"
    echo "running     $running"

    if is_user "$user" && [ -n "$(connection)" ]; then
        echo "connected   yes"
        exit 0
    fi

    echo "connected   no"
    exit 7
}

remove() {
    for file; do
        if [ -e "$file" ]; then
            act rm -f "$file"
            [ -n "$dry" ] || say "removed $file"
        fi
    done
}

# a user that somebody else made is somebody else's

remove_user() {
    grep -q "^$user:[^:]*:[^:]*:[^:]*:$comment:" /etc/passwd || return 0

    if have userdel; then
        act userdel "$user"
    else
        act deluser "$user"
    fi

    [ -n "$dry" ] || say "removed the user $user"
}

uninstall() {
    need_root
    find_supervisor
    installed=$(installed_user)
    user=${installed:-$user}

    if [ "$supervisor" = systemd ] && [ -e $unit ]; then
        act systemctl -q disable --now $service
        remove $unit
        act systemctl daemon-reload
    elif [ "$supervisor" = openrc ] && [ -e $init ]; then
        ! running || stop_service
        ! enabled || act rc-update -q del $service default
    elif [ "$supervisor" = none ] && [ -e $etc/tunnel.conf ]; then
        say "Neither systemd nor OpenRC runs here: end the tunnel where you" \
            "had it started."
    fi

    remove $unit $init $etc/tunnel.conf $etc/known_hosts

    if [ -n "$purge" ]; then
        remove $etc/key $etc/key.pub $etc/key-cert.pub
        [ ! -d $etc ] || act rmdir $etc
    elif [ -e $etc/key ]; then
        act chown 0:0 $etc/key
        say "left the key, $etc/key; --purge removes it"
    fi

    remove_user
    say "At the proxy, \"monitoring-proxy remove NAME\" takes this host out."
}

# without a port: the key, and what to do with it

introduce() {
    [ -z "$known" ] || wrong "--known-hosts wants --port or --forward, too"

    make_user
    make_directory
    make_key

    [ -n "$public" ] || return 0

    say "This host's public key is on the next line. Unless a pipe takes it to"
    say "the proxy, run there:"
    say_add
    say "It prints the command to run next."
    printf '%s\n' "$public"
}

# a tunnel that stands is left alone, whatever keeps it up

settled() {
    if [ -n "$changed" ] || [ -z "$(connection)" ]; then
        return 1
    fi

    [ "$supervisor" = none ] || { enabled && running; }
}

join() {
    [ -n "$proxy" ] || wrong "which proxy? give HOST or HOST:PORT"

    find_supervisor
    make_user
    make_directory
    make_key
    make_known_hosts
    put $etc/tunnel.conf 644 "$(tunnel_conf)"
    install_service

    if [ -n "$dry" ]; then
        [ -z "$changed" ] || start_service
        return 0
    fi

    if settled; then
        say "nothing to do: the tunnel to $(known_as) stands"
        return 0
    fi

    ! running || stop_service

    if [ "$wait" -gt 0 ]; then
        say "trying the tunnel to $(known_as)"
        try_tunnel || explain
        sleep 1
    fi

    if [ "$supervisor" = none ]; then
        say "Neither systemd nor OpenRC runs here. Have your own supervisor"
        say "keep this up, as the user $user:"
        ssh_command
        return 0
    fi

    start_service

    if [ "$wait" -eq 0 ]; then
        say "started $service, unseen"
    elif [ $status -ne 0 ]; then
        say "$service is started, and tries again and again."
    elif wait_connected; then
        say "the tunnel to $(known_as) stands"
    else
        status=6
        say "The tunnel stood when tried, but $service has not"
        say "connected within $wait s; its log says why."
    fi
}

wireguard() {
    if [ -n "$proxy$forwards$known" ]; then
        wrong "--wireguard goes without HOST, --port, --forward and" \
            "--known-hosts; the TOKEN-URL says all"
    fi

    if [ "$mode" = --print ]; then
        wrong "--print has nothing of WireGuard's"
    elif [ -z "$mode$url" ]; then
        wrong "--wireguard wants a TOKEN-URL"
    elif [ -n "$mode" ] && [ -n "$url" ]; then
        wrong "$mode goes without a TOKEN-URL"
    fi

    interface=${interface:-wg0}
    need_root
    make_tmp

    case $mode in
    --status) wireguard_status ;;
    --uninstall) wireguard_uninstall ;;
    *) join_wireguard ;;
    esac
}

main() {
    # the script itself may be what comes on stdin

    exec < /dev/null

    user=$service
    name=$(uname -n)
    wait=30
    status=0
    mode='' what='' dry='' purge='' proxy='' port=22 forwards='' known=''
    changed='' public=''
    wireguard='' url='' interface=''

    # a range of letters is ASCII's, whatever the host speaks

    LC_ALL=C
    export LC_ALL

    parse "$@"
    [ -z "$purge" ] || [ "$mode" = --uninstall ] \
        || wrong "--purge goes with --uninstall"

    if [ -n "$wireguard" ]; then
        wireguard
        exit $status
    fi

    [ -z "$interface" ] || wrong "--interface goes with --wireguard"

    case $mode in
    --print) print ;;
    --status) status ;;
    --uninstall) uninstall ;;
    *)
        need_root
        need_programs
        make_tmp

        if [ -n "$forwards" ]; then
            join
        else
            introduce
        fi
        ;;
    esac

    exit $status
}

main "$@"
