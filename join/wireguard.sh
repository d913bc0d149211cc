# WireGuard: an interface of this host's, kept up by wg-quick, and its firewall.

wg_etc=/etc/wireguard
rules=$wg_etc/monitoring-proxy.nft
table=monitoring_proxy
ours='# Written by monitoring-proxy-join.'

set_interface() {
    case $1 in
    '' | [!A-Za-z]* | *[!A-Za-z0-9_-]* | ????????????????* | all | default | lo)
        wrong "--interface: \"$1\" is no interface's name; it has at most 15" \
            "letters, digits, \"_\" and \"-\""
        ;;
    esac

    interface=$1
}

need_wireguard() {
    PATH=$PATH:/usr/sbin:/sbin
    missing=

    for program in wg wg-quick nft curl ip; do
        have $program || missing="$missing $program"
    done

    [ -n "$missing" ] || return 0

    if have apt-get; then
        install='apt-get install wireguard-tools nftables curl iproute2'
    elif have dnf; then
        install='dnf install wireguard-tools nftables curl iproute'
    elif have apk; then
        install='apk add wireguard-tools nftables curl iproute2'
    else
        install='install wireguard-tools, nftables, curl and iproute2'
    fi

    fail 1 "not here:$missing; $install"
}

is_ours() {
    [ -r "$1" ] && [ "$(head -n 1 "$1")" = "$ours" ]
}

exists() {
    [ -e "/sys/class/net/$interface" ]
}

is_up() {
    exists && wg show "$interface" > /dev/null 2>&1
}

# what a run before this wrote to FILE: noted FILE WORD, and the whole answer

noted() {
    sed -n "s/^#: $2 //p" "$1"
}

answer_of() {
    sed -n '/^#: token /d; /^#: pin /d; /^#: proxy /d; s/^#: //p' "$1"
}

# An interface, or a proxy, that is somebody else's is left alone.

check_interface() {
    if [ -e "$conf" ] && ! is_ours "$conf"; then
        fail 1 "$conf is not from here, and is left alone; give" \
            "--interface NAME another name than $interface"
    elif [ ! -e "$conf" ] && exists; then
        fail 1 "there is an interface $interface that is not from here; give" \
            "--interface NAME another name"
    elif [ -e "$conf" ] && [ "$(noted "$conf" pin)" != "$pin" ] \
        && [ "$(noted "$conf" proxy)" != "$url_host:$url_port" ]
    then
        fail 1 "$interface is joined to another proxy," \
            "$(noted "$conf" proxy); give --interface NAME another name, or" \
            "run this with --wireguard --uninstall first"
    fi
}

# before a token is used: can there be an interface, and can there be rules?

check_kernel() {
    if said=$(ip link add dev "$interface" type wireguard 2>&1); then
        ip link del dev "$interface"
    else
        case $said in
        *'not permitted'*)
            fail 1 "no right to make an interface; a container needs" \
                "--cap-add NET_ADMIN"
            ;;
        esac

        have "${WG_QUICK_USERSPACE_IMPLEMENTATION:-wireguard-go}" \
            || fail 1 "this kernel has no WireGuard; install wireguard-go"
        [ -c /dev/net/tun ] || fail 1 "this kernel has no WireGuard, and" \
            "wireguard-go needs /dev/net/tun, which is not here"
    fi

    said=$(echo "table inet ${table}_tried { chain tried {
        type filter hook prerouting priority -150;
        fib daddr type local ct state established drop; }; }" \
        | nft -c -f - 2>&1) \
        || fail 1 "nft can't be used here: $(echo "$said" | head -n 1)"
}

# The key of this token, and the answer if there was one: $tmp/private and
# $tmp/answer. A key is written down before it is sent, so that the same token
# can be used again should the answer be lost.

take_key() {
    hash=$(token_hash)
    from='' fresh=''

    for file in "$conf" "$kept"; do
        if [ -z "$from" ] && is_ours "$file" \
            && [ "$(noted "$file" token)" = "$hash" ]
        then
            from=$file
        fi
    done

    if [ -n "$from" ]; then
        sed -n 's/^PrivateKey = //p' "$from" > "$tmp/private"
        answer_of "$from" > "$tmp/answer"
    else
        fresh=1
        wg genkey > "$tmp/private"
        : > "$tmp/answer"
        [ -n "$dry" ] || keep
    fi

    public=$(wg pubkey < "$tmp/private" 2> /dev/null) \
        || fail 1 "$from: its PrivateKey is no key any more"

    [ -s "$tmp/answer" ] || return 0

    check_answer "$tmp/answer" "$node" || fail 1 "$from has been changed:" \
        "$(cat "$tmp/why"); \"monitoring-proxy wg rotate $node\", at the" \
        "proxy, prints a TOKEN-URL that makes it anew"
}

notes() {
    echo "$ours"
    echo "# What it needs to know of it is behind \"#:\"; changes are undone by"
    echo "# its next run."
    echo "#"
    echo "#: token $hash"
    echo "#: pin $pin"
    echo "#: proxy $url_host:$url_port"
    sed 's/^/#: /' "$tmp/answer"
    echo
}

keep() {
    mkdir -p $wg_etc
    { notes; sed 's/^/PrivateKey = /' "$tmp/private"; } | write "$kept"
}

forget() {
    rm -f "$kept"
}

# whole or not at all

write() {
    cat > "$1.new" && mv -f "$1.new" "$1" || return 1
    label "$1"
}

# Sets what an answer says. A family that one end lacks is left out.

read_answer() {
    own4=$(sed -n 's|^address \(.*/32\)$|\1|p' "$1")
    own6=$(sed -n 's|^address \(.*/128\)$|\1|p' "$1")
    monitor4=$(sed -n 's|^allowed \(.*/32\)$|\1|p' "$1")
    monitor6=$(sed -n 's|^allowed \(.*/128\)$|\1|p' "$1")
    ports=$(sed -n 's/^port //p' "$1" | sort -n -u | tr '\n' ' ')
    ports=${ports% }

    if [ -z "$own4" ] || [ -z "$monitor4" ]; then
        own4='' monitor4=''
    fi

    if [ -z "$own6" ] || [ -z "$monitor6" ] || ! has_ipv6; then
        own6='' monitor6=''
    fi
}

has_ipv6() {
    [ -e /proc/net/if_inet6 ] \
        && [ "$(cat /proc/sys/net/ipv6/conf/default/disable_ipv6)" -eq 0 ]
}

wireguard_conf() {
    notes
    echo '[Interface]'
    sed 's/^/PrivateKey = /' "$tmp/private"
    echo "Address = $own4${own4:+${own6:+, }}$own6"
    sed -n 's/^mtu /MTU = /p' "$tmp/answer"
    echo "PreUp = nft -f $rules"
    echo
    echo '[Peer]'
    sed -n 's/^peer /PublicKey = /p' "$tmp/answer"
    sed -n 's/^endpoint /Endpoint = /p' "$tmp/answer"
    echo "AllowedIPs = $monitor4${monitor4:+${monitor6:+, }}$monitor6"
    sed -n 's/^keepalive /PersistentKeepalive = /p' "$tmp/answer"
}

# The rules of all interfaces from here: rules_of ANSWER/INTERFACE... They come
# before others change where a packet goes to, as Docker does for its ports.

rules_of() {
    all=

    cat << END
#!/usr/sbin/nft -f

# Written by monitoring-proxy-join. Exporters of this host are reached over
# WireGuard, from the proxy's address alone. What other tables refuse, they
# still refuse.

table inet $table
delete table inet $table

table inet $table {
    chain prerouting {
        type filter hook prerouting priority -150; policy accept;

        iifname "lo" accept
END

    for file; do
        echo "        iifname \"${file##*/}\" goto from_${file##*/}"
        all="$all $(sed -n 's/^port //p' "$file" | tr '\n' ' ')"
    done

    cat << END
        fib daddr type local tcp dport $(port_set "$all") drop
    }

    chain forward {
        type filter hook forward priority 0; policy accept;

END

    for file; do
        echo "        oifname \"${file##*/}\" ct state established,related accept"
        echo "        oifname \"${file##*/}\" drop"
    done

    echo "    }"

    for file; do
        read_answer "$file"
        set="tcp dport $(port_set "$ports") accept"

        echo
        echo "    chain from_${file##*/} {"
        echo "        ct state established,related accept"
        [ -z "$own4" ] || echo "        ip saddr ${monitor4%/*}" \
            "ip daddr ${own4%/*} $set"
        [ -z "$own6" ] || echo "        ip6 saddr ${monitor6%/*}" \
            "ip6 daddr ${own6%/*} $set"
        echo "        icmp type echo-request accept"
        echo "        icmpv6 type echo-request accept"
        echo "        drop"
        echo "    }"
    done

    echo "}"
}

port_set() {
    # shellcheck disable=SC2086
    echo "{ $(printf '%s\n' $1 | sort -n -u | tr '\n' ' ' \
        | sed 's/ \(.\)/, \1/g')}"
}

# all rules but those of this interface, which are added if $1 is its answer

make_rules() {
    rm -rf "$tmp/joined"
    mkdir "$tmp/joined"

    for file in "$wg_etc"/*.conf; do
        if is_ours "$file" && [ "$file" != "$conf" ]; then
            other=${file##*/}
            other=${other%.conf}
            answer_of "$file" > "$tmp/joined/$other"

            check_answer "$tmp/joined/$other" "$(noted "$file" name)" \
                || fail 1 "$file has been changed: $(cat "$tmp/why")"
        fi
    done

    [ -z "$1" ] || cp "$1" "$tmp/joined/$interface"
    [ -z "$(ls "$tmp/joined")" ] || rules_of "$tmp"/joined/*
}

has_rules() {
    nft list table inet $table > /dev/null 2>&1
}

# since the last handshake, in seconds

handshake_age() {
    wg show "$interface" latest-handshakes 2> /dev/null \
        | awk -v now="$(now)" '$2 > 0 { print now - $2; exit }'
}

connected() {
    age=$(handshake_age)
    [ -n "$age" ] && [ "$age" -lt 180 ]
}

wait_handshake() {
    until=$(($(now) + wait))

    until connected; do
        [ "$(now)" -lt "$until" ] || return 1
        sleep 1
    done
}

# Says why there is no handshake. WireGuard itself says nothing to strangers.

explain_silence() {
    status=6
    sent=$(wg show "$interface" transfer 2> /dev/null | awk '{ print $3 }')
    to=$(wg show "$interface" endpoints 2> /dev/null | awk '{ print $2 }')
    host=$(sed -n 's/^endpoint \(.*\):[0-9]*$/\1/p' "$tmp/answer" | tr -d '[]')

    if [ "${to:-(none)}" = '(none)' ]; then
        say "No handshake: $host has no address, as seen from here."
        return 0
    elif [ "${sent:-0}" -eq 0 ]; then
        say "No handshake: nothing could be sent to $to/udp. Is there a way"
        say "there, \"ip route get\", and does no firewall of this host refuse it?"
        return 0
    fi

    say "No handshake within $wait s: $to/udp doesn't answer. Is this UDP port"
    say "published at the proxy, and does no firewall on the way keep it from us?"

    if [ -z "$fresh" ]; then
        say "Or the proxy has removed this host, as \"monitoring-proxy wg list\""
        say "says there; or this host's clock was set back, which the proxy takes"
        say "for an attack: it is $(date -u '+%Y-%m-%d %H:%M:%S') UTC here."
    fi

    say "$interface stays up, and tries again and again."
}

# which: nobody, localhost alone (near), or more

listens() {
    cat /proc/net/tcp /proc/net/tcp6 2> /dev/null \
        | awk -v port="$(printf ':%04X' "$1")" '
            BEGIN {
                who = "nobody"
            }

            $4 == "0A" && substr($2, length($2) - 4) == port {
                if ($2 !~ /^(0100007F|000000000000000000000000(0100007F|01000000)):/) {
                    who = "all"
                } else if (who == "nobody") {
                    who = "near"
                }
            }

            END {
                print who
            }'
}

# Exporters that the proxy won't reach, by the listeners in /proc; and firewalls
# that are not to be touched from here.

say_exporters() {
    for one in $ports; do
        at=${own4%/*}
        at=${at:-[${own6%/*}]}:$one

        case $(listens "$one") in
        nobody) say "Nothing listens on port $one yet; $at is where to." ;;
        near)
            say "Port $one listens on localhost alone, which the proxy can't" \
                "reach; have its"
            say "exporter listen on $at."
            ;;
        esac
    done

    if have firewall-cmd && firewall-cmd -q --state 2> /dev/null; then
        say "firewalld runs here, and has to let the proxy in, too:"
        say "    firewall-cmd --permanent --zone=trusted" \
            "--add-interface=$interface && firewall-cmd --reload"
    elif have ufw && ufw status 2> /dev/null | grep -q '^Status: active'; then
        say "ufw runs here, and has to let the proxy in, too:"

        for one in $ports; do
            say "    ufw allow in on $interface to any port $one proto tcp"
        done
    fi
}
