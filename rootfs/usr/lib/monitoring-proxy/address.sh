# shellcheck shell=sh
#
# What an address that others reach us at may be.

label_pattern='[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?'
name_pattern="$label_pattern(\\.$label_pattern)*"
ipv6_pattern='\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*\]'
host_max=253

# HOST or HOST:PORT, and SCHEME (a pattern) in front of it
#
#     is_address ADDRESS [SCHEME]

is_address() {
    # -z: one text, whatever lines are in it

    printf '%s' "$1" | grep -q -z -x -E \
        "${2-}($name_pattern|$ipv6_pattern)(:[1-9][0-9]{0,4})?" || return 1

    host=$(host_of "${1#*://}")

    [ ${#host} -le $host_max ] && [ "$(port_of "${1#*://}" 0)" -le 65535 ]
}

# HOST of HOST or HOST:PORT, without [] around an IPv6 address

host_of() {
    case $1 in
    \[*) host=${1#\[} && echo "${host%%\]*}" ;;
    *) echo "${1%%:*}" ;;
    esac
}

# PORT of HOST:PORT, or else what is given

port_of() {
    case ${1##*\]} in
    *:*) echo "${1##*:}" ;;
    *) echo "$2" ;;
    esac
}
