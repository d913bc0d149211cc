# The words of the command line.

is_number() {
    case $1 in
    '' | 0?* | *[!0-9]* | ??????*) return 1 ;;
    esac
}

need_port() {
    if ! is_number "$2" || [ "$2" -lt "$3" ] || [ "$2" -gt 65535 ]; then
        wrong "$1: \"$2\" is not a port; it is a number, $3 to 65535"
    fi
}

add_forward() {
    listen=${2%%:*}
    address=${2#*:}

    case $2 in
    *:*:*) ;;
    *) wrong "$1: \"$2\" is not PORT:ADDRESS:PORT" ;;
    esac

    need_port "$1" "$listen" 1024
    need_port "$1" "${address##*:}" 1
    address=${address%:*}

    case $address in
    \[*[!0-9A-Fa-f:.]*\] | \[\]) ;;
    \[*:*\]) address= ;;
    '' | -* | *[!A-Za-z0-9._-]*) ;;
    *) address= ;;
    esac

    if [ -n "$address" ] || [ "$2" = "$listen::${2##*:}" ]; then
        wrong "$1: \"$2\" has no address; it is a name, or an IPv6 address" \
            "in []"
    fi

    case " $forwards " in
    *" -R $listen:"*) wrong "$1: port $listen is given twice" ;;
    esac

    forwards="${forwards:+$forwards }-R $2"
}

# HOST, HOST:PORT, [IPV6]:PORT, IPV6

set_proxy() {
    [ -z "$proxy" ] || wrong "one HOST is enough: \"$proxy\", \"$1\""
    port=22

    case $1 in
    \[*\]:*)
        port=${1##*\]:}
        proxy=${1%\]:*}
        proxy=${proxy#\[}
        ;;
    \[*\])
        proxy=${1#\[}
        proxy=${proxy%\]}
        ;;
    *:*:*)
        proxy=$1
        ;;
    *:*)
        port=${1##*:}
        proxy=${1%:*}
        ;;
    *)
        proxy=$1
        ;;
    esac

    case $proxy in
    *:*)
        case $proxy in
        *[!0-9A-Fa-f:.]*) wrong "\"$1\" is not an address" ;;
        esac
        ;;
    '' | -* | *[!A-Za-z0-9._-]*)
        wrong "\"$1\" is not HOST or HOST:PORT"
        ;;
    esac

    need_port "$1" "$port" 1
}

set_user() {
    case $1 in
    '' | [!a-z_]* | *[!a-z0-9_-]*) wrong "--user: \"$1\" is no user's name" ;;
    root) wrong "--user: the tunnel has no use for root's rights" ;;
    esac

    user=$1
}

set_name() {
    case $1 in
    '' | -* | /* | */ | *[!A-Za-z0-9._~/-]*)
        wrong "--name: \"$1\" is no name; it has letters, digits and \"._~-\""
        ;;
    esac

    name=$1
}

is_key() {
    case $1:$2 in
    ssh-*:AAAA* | ecdsa-*:AAAA* | sk-*:AAAA*) ;;
    *) return 1 ;;
    esac
}

# On its way through ssh a key loses its quotes, and is two words, or three with
# a name in front. Sets value to all of them, and count to how many they are.

gather_key() {
    value=$1
    count=1

    if is_key "$1" "${2-}"; then
        value="$1 $2"
        count=2
    elif is_key "${2-}" "${3-}"; then
        value="$1 $2 $3"
        count=3
    fi
}

set_known() {
    [ -z "$known" ] || wrong "one --known-hosts or --known-hosts-file is enough"
    known=$2
    [ -n "$known" ] || wrong "$1: there is nothing in it"
}

set_mode() {
    [ -z "$mode" ] || wrong "$mode and $1 don't go together"
    mode=$1
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --*=*)
            option=$1
            shift
            set -- "${option%%=*}" "${option#*=}" "$@"
            ;;
        esac

        case $1 in
        --port | --forward | --known-hosts | --known-hosts-file | --name | \
            --user | --wait | --print | --wireguard-file | --interface)
            [ $# -gt 1 ] || wrong "$1 wants a value"
            ;;
        esac

        case $1 in
        --port)
            need_port "$1" "$2" 1024
            add_forward "$1" "$2:localhost:9100"
            shift
            ;;
        --forward)
            add_forward "$1" "$2"
            shift
            ;;
        --known-hosts)
            option=$1
            shift
            gather_key "$@"
            set_known "$option" "$value"
            shift $((count - 1))
            ;;
        --known-hosts-file)
            [ -r "$2" ] || fail 1 "$1: can't read $2"
            set_known "$1" "$(cat "$2")"
            shift
            ;;
        --name)
            set_name "$2"
            shift
            ;;
        --user)
            set_user "$2"
            shift
            ;;
        --wait)
            is_number "$2" || wrong "--wait: \"$2\" is no number of seconds"
            wait=$2
            shift
            ;;
        --wireguard)
            wireguard=1

            case ${2--} in
            -*) ;;
            *)
                set_url "$1" "$2"
                shift
                ;;
            esac
            ;;
        --wireguard-file)
            [ -r "$2" ] || fail 1 "$1: can't read $2"
            wireguard=1
            set_url "$1" "$(cat "$2")"
            shift
            ;;
        --interface)
            set_interface "$2"
            shift
            ;;
        --print)
            set_mode "$1"
            what=$2
            shift
            ;;
        --status | --uninstall) set_mode "$1" ;;
        --purge) purge=1 ;;
        --dry-run) dry=1 ;;
        --help | -h)
            usage
            exit 0
            ;;
        -*) wrong "no such option: $1" ;;
        *) set_proxy "$1" ;;
        esac

        shift
    done
}
