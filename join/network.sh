# Joining by WireGuard, and leaving.

find_wireguard() {
    find_supervisor

    # OpenRC's script comes with a package of its own, on Alpine

    if [ "$supervisor" = openrc ] && [ ! -e /etc/init.d/wg-quick ]; then
        say "no /etc/init.d/wg-quick here, so $interface won't be up after the" \
            "next boot; install wireguard-tools-openrc"
        supervisor=none
    fi

    case $supervisor in
    systemd) service=wg-quick@$interface ;;
    openrc) service=wg-quick.$interface ;;
    esac

    conf=$wg_etc/$interface.conf
    kept=$wg_etc/$interface.key
}

quick() {
    if [ -n "$dry" ]; then
        act wg-quick "$@"
    else
        wg-quick "$@" > "$tmp/quick" 2>&1
    fi
}

# Started by hand, an interface is in the way of the service.

start_interface() {
    if is_up && ! running; then
        quick down "$interface" || :
    fi

    enable_interface || return 1

    case $supervisor in
    systemd)
        act_quietly systemctl reset-failed "$service" 2> /dev/null || :
        act systemctl --no-block restart "$service"
        ;;
    openrc) act rc-service -q "$service" restart || return 1 ;;
    none) quick up "$interface" || return 1 ;;
    esac

    [ -n "$dry" ] || wait_up
}

enable_interface() {
    ! enabled || return 0

    case $supervisor in
    systemd) act systemctl -q enable "$service" ;;
    openrc)
        [ -e "/etc/init.d/$service" ] \
            || act ln -s wg-quick "/etc/init.d/$service" || return 1
        act rc-update -q add "$service" default
        ;;
    esac
}

# a name that can't be resolved keeps wg-quick waiting under systemd

wait_up() {
    until=$(($(now) + 30))

    while [ "$(now)" -le "$until" ]; do
        if [ "$supervisor" = none ] || running; then
            is_up && return 0
        fi

        if [ "$supervisor" = systemd ] && systemctl -q is-failed "$service"
        then
            return 1
        fi

        sleep 1
    done

    return 1
}

say_quick() {
    if [ "$supervisor" = systemd ] && have journalctl; then
        journalctl -q -o cat -n 5 -u "$service" > "$tmp/quick" 2> /dev/null
    fi

    [ ! -e "$tmp/quick" ] || tail -n 5 "$tmp/quick" | sed 's/^/    /' >&2
}

# what wg alone can't change

frame() {
    sed -n '/^Address = /p; /^MTU = /p; /^AllowedIPs = /p' "$1"
}

# Puts the new files in place and has them in effect; peers and key of an
# interface that is up change without it going down.

change() {
    new=$tmp/$interface.conf

    cmp -s "$tmp/rules" $rules || write $rules < "$tmp/rules" || return 1
    nft -f $rules || return 1
    cmp -s "$new" "$conf" && same=1 || same=
    [ -n "$same" ] || write "$conf" < "$new" || return 1

    if needs_start; then
        start_interface
        return
    fi

    enable_interface || return 1

    # a name that has got another address is looked up once more

    { [ -n "$same" ] && connected; } || reload_interface
}

needs_start() {
    if ! is_up || [ ! -e "$tmp/old.conf" ]; then
        return 0
    fi

    [ "$(frame "$new")" != "$(frame "$tmp/old.conf")" ] \
        || { [ "$supervisor" != none ] && ! running; }
}

reload_interface() {
    wg-quick strip "$interface" > "$tmp/stripped" \
        && wg setconf "$interface" "$tmp/stripped"
}

# the files of before; what isn't there wasn't

restore() {
    [ -e "$tmp/old.conf" ] || return 0

    cmp -s "$tmp/old.conf" "$conf" || write "$conf" < "$tmp/old.conf" || :

    if [ -e "$tmp/old.rules" ]; then
        cmp -s "$tmp/old.rules" $rules || write $rules < "$tmp/old.rules" || :
        nft -f "$tmp/old.rules" || :
    fi

    if is_up; then
        reload_interface || :
    else
        start_interface || :
    fi

    say "$interface is as it was before"
}

would_join() {
    if [ ! -s "$tmp/answer" ]; then
        say "would make a key, and enrol its public half at" \
            "$url_host:$url_port as $node"
        say "would write $conf, $rules: what the proxy answers"
    else
        cmp -s "$tmp/$interface.conf" "$conf" || say "would write $conf"

        if ! cmp -s "$tmp/rules" $rules; then
            say "would write $rules:"
            sed 's/^/    /' "$tmp/rules" >&2
        fi
    fi

    is_up || start_interface
}

prepare() {
    read_answer "$tmp/answer"

    [ -n "$own4$own6" ] || fail 1 "the proxy gave this host IPv6 alone, which" \
        "is off here"

    wireguard_conf > "$tmp/$interface.conf"
    (make_rules "$tmp/answer") > "$tmp/rules" || exit 1
}

settled_interface() {
    cmp -s "$tmp/$interface.conf" "$conf" && cmp -s "$tmp/rules" $rules \
        && has_rules && is_up && connected || return 1

    [ "$supervisor" = none ] || { enabled && running; }
}

join_wireguard() {
    umask 077
    need_wireguard
    find_wireguard
    check_interface
    [ -n "$dry" ] || exists || check_kernel
    take_key

    if [ -n "$dry" ]; then
        [ ! -s "$tmp/answer" ] || prepare
        would_join
        return 0
    fi

    if [ ! -s "$tmp/answer" ]; then
        enrol
        keep
    fi

    prepare

    if settled_interface; then
        rm -f "$kept"
        say "nothing to do: $interface is connected to $url_host"
        return 0
    fi

    [ ! -e "$conf" ] || cp "$conf" "$tmp/old.conf"
    [ ! -e $rules ] || cp $rules "$tmp/old.rules"

    # of what can be wrong, all that can be seen before a change

    nft -c -f "$tmp/rules" || fail 1 "nft doesn't take the rules of $rules"
    wg-quick strip "$tmp/$interface.conf" > /dev/null \
        || fail 1 "wg-quick doesn't take the new $conf"

    was=$(noted "$conf" name 2> /dev/null) || was=

    if ! change; then
        say_quick
        restore
        fail 1 "$interface could not be brought up; once what keeps it is" \
            "mended, the same command goes on"
    fi

    rm -f "$kept"
    say "wrote $conf and $rules"

    if [ -n "$was" ] && [ "$was" != "$node" ]; then
        say "This host was $was before: \"monitoring-proxy wg remove $was\", at" \
            "the proxy, takes that out."
    fi

    if [ "$wait" -eq 0 ]; then
        say "$interface is up, unseen by the proxy"
    elif wait_handshake; then
        say "$interface is up, and connected to $url_host as $node"
    else
        explain_silence
    fi

    say_after
}

say_after() {
    say "The firewall that was set; tables of others are as they were:"
    nft list table inet $table
    say_exporters

    if [ "$supervisor" = none ]; then
        say "Neither systemd nor OpenRC starts it here: after a boot, run"
        say "    wg-quick up $interface"
    fi
}

wireguard_status() {
    PATH=$PATH:/usr/sbin:/sbin
    find_wireguard

    if ! is_ours "$conf"; then
        echo "not installed: no $conf from here"
        exit 7
    fi

    up=no fire=no
    ! is_up || up=yes
    ! has_rules || fire=yes
    age=$(handshake_age)
    age=${age:+$age s ago}

    echo "name        $(noted "$conf" name)"
    echo "proxy       $(noted "$conf" endpoint)/udp"
    echo "interface   $interface"
    echo "address     $(sed -n 's/^Address = //p' "$conf")"
    echo "ports       $(noted "$conf" port | tr '\n' ' ' | sed 's/ $//')"
    echo "supervisor  $supervisor"
    echo "running     $up"
    echo "firewall    $fire"
    echo "handshake   ${age:-never}"

    if [ $up = yes ] && connected; then
        echo "connected   yes"
        exit 0
    fi

    echo "connected   no"
    exit 7
}

wireguard_uninstall() {
    umask 077
    PATH=$PATH:/usr/sbin:/sbin
    find_wireguard

    if [ -e "$conf" ] && ! is_ours "$conf"; then
        fail 1 "$conf is not from here, and is left alone"
    fi

    if [ -e "$conf" ]; then
        node=$(noted "$conf" name)

        case $supervisor in
        systemd) act systemctl -q disable --now "$service" || : ;;
        openrc)
            ! running || act rc-service -q "$service" stop
            ! enabled || act rc-update -q del "$service" default
            [ ! -L "/etc/init.d/$service" ] || remove "/etc/init.d/$service"
            ;;
        esac

        if is_up; then
            quick down "$interface" \
                || { say_quick; fail 1 "$interface could not be taken down"; }
        fi
    fi

    remove_rules

    if [ -n "$purge" ]; then
        remove "$conf" "$kept"
    elif [ -e "$conf" ]; then
        act mv -f "$conf" "$kept"
        say "left the key, in $kept; --purge removes it"
    fi

    [ -z "${node-}" ] || say "At the proxy, \"monitoring-proxy wg remove $node\"" \
        "takes this host out."
}

# those of this interface: all, unless there is another from here

remove_rules() {
    (make_rules '') > "$tmp/rules" || exit 1

    if [ -s "$tmp/rules" ]; then
        if ! cmp -s "$tmp/rules" $rules && [ -z "$dry" ]; then
            write $rules < "$tmp/rules"
            nft -f $rules
        fi
    elif have nft && has_rules; then
        act nft delete table inet $table
    fi

    [ -s "$tmp/rules" ] || remove $rules
}
