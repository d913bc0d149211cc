# Files: written only where they are not yet as they should be.

# put FILE MODE TEXT

put() {
    if [ -f "$1" ] && [ "$(cat "$1")" = "$3" ]; then
        return 0
    fi

    changed=1

    if [ -n "$dry" ]; then
        say "would write $1:"
        printf '%s\n' "$3" | sed 's/^/    /' >&2
        return 0
    fi

    rm -f "$1.new"
    printf '%s\n' "$3" > "$1.new"
    chmod "$2" "$1.new"
    mv -f "$1.new" "$1"
    label "$1"
    say "wrote $1"
}

# SELinux's label, which a file that was moved doesn't have by its place

label() {
    if have restorecon; then
        restorecon "$1" 2> /dev/null || :
    fi
}

is_user() {
    id -u "$1" > /dev/null 2>&1
}

make_user() {
    if is_user "$user"; then
        [ "$(id -u "$user")" -ne 0 ] || wrong "--user: $user has root's rights"
        return 0
    fi

    changed=1
    shell=/bin/false

    for file in /sbin/nologin /usr/sbin/nologin; do
        [ ! -x $file ] || shell=$file
    done

    if have useradd; then
        group=--user-group
        ! grep -q "^$user:" /etc/group || group="--gid $user"

        # shellcheck disable=SC2086
        act useradd --system $group --no-create-home \
            --home-dir /nonexistent --shell $shell --comment "$comment" "$user"

    elif have adduser; then
        grep -q "^$user:" /etc/group || act addgroup -S "$user"
        act adduser -S -D -H -h /nonexistent -s $shell -g "$comment" \
            -G "$user" "$user"

    else
        fail 1 "no useradd or adduser here: make a system user $user by hand," \
            "and call this again"
    fi

    [ -n "$dry" ] || say "made the user $user"
}

make_directory() {
    [ -d $etc ] || act mkdir -p $etc
    [ -d $etc ] || return 0

    act_quietly chown 0:0 $etc
    act_quietly chmod 755 $etc
}

# of what changes nothing in most cases, a dry run doesn't speak

act_quietly() {
    [ -n "$dry" ] || "$@"
}

# a private half that can't be used is not replaced: it may be wanted

make_key() {
    if [ ! -e $etc/key ]; then
        changed=1

        if [ -n "$dry" ]; then
            say "would make the key $etc/key"
            return 0
        fi

        # Ed25519 is refused where FIPS 140 rules

        (umask 077 && mkdir "$tmp/new")
        ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$tmp/new/key" \
            || ssh-keygen -q -t ecdsa -b 384 -N '' -C "$name" -f "$tmp/new/key"

        (umask 077 && cat "$tmp/new/key" > $etc/key.new)
        cat "$tmp/new/key.pub" > $etc/key.pub
        mv $etc/key.new $etc/key
        say "made the key $etc/key"
    fi

    act_quietly chmod 600 $etc/key
    act_quietly chown "$user" $etc/key
    label $etc/key

    if [ -n "$dry" ] && [ ! -r $etc/key ]; then
        return 0
    fi

    public=$(ssh-keygen -y -P '' -f $etc/key 2> /dev/null) \
        || fail 1 "$etc/key is not a private key, or has a passphrase; move" \
            "it away, and a new one is made"

    # with its comment, if it has one

    if ! read -r type key _ 2> /dev/null < $etc/key.pub \
        || [ "$type $key" != "$(printf '%s' "$public" | cut -d ' ' -f 1-2)" ]
    then
        put $etc/key.pub 644 "$public"
    fi

    act_quietly chmod 644 $etc/key.pub
    public=$(cat $etc/key.pub)
}

# how known_hosts calls the proxy

known_as() {
    if [ "$port" -eq 22 ]; then
        echo "$proxy"
    else
        echo "[$proxy]:$port"
    fi
}

knows_proxy() {
    [ -s "$1" ] && ssh-keygen -F "$(known_as)" -f "$1" > /dev/null 2>&1
}

no_host_key() {
    say "monitoring-proxy-join: $1"
    say "At the proxy, \"monitoring-proxy add\" prints the line to give to"
    say "--known-hosts, and so does its log, behind \"host key\":"
    say "    docker logs proxy 2>&1 | grep -o 'host key ssh-ed25519 .*'"
    exit 5
}

make_known_hosts() {
    if [ -z "$known" ]; then
        knows_proxy $etc/known_hosts || no_host_key \
            "the host key of $(known_as) is not known here; give --known-hosts"

        return 0
    fi

    printf '%s\n' "$known" | tr -d '\r' | awk -v name="$(known_as)" '
        $1 ~ /^(ssh-|ecdsa-|sk-)/ && $2 ~ /^AAAA/ { print name, $1, $2; next }
        NF && $1 !~ /^#/ { print }' > "$tmp/known_hosts"

    if ! ssh-keygen -l -f "$tmp/known_hosts" > /dev/null 2>&1; then
        no_host_key "--known-hosts has no valid key in it; cut off?"
    fi

    knows_proxy "$tmp/known_hosts" || no_host_key \
        "--known-hosts has a line of another name than $(known_as)"

    put $etc/known_hosts 644 "$(cat "$tmp/known_hosts")"
}
