# shellcheck shell=sh
#
# How a certificate that nobody else vouches for is made, with its key, and a
# pair of the user's checked; with say.sh, file.sh and settings.sh. The files
# are "stem".crt and "stem".key in "directory", "names" has the certificate's,
# "common_name" is for who looks at it, "made" is a directory of prepare's, and
# "failed" is 1 after a mistake.

# shellcheck disable=SC2034,SC2154  # the caller's

san_pattern='(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*'

is_ip() {
    case $1 in
    */*) return 1 ;;
    *:*) ;;
    *[!0-9.]*) return 1 ;;
    esac

    [ -z "$(printf '%s\n' "$1" | no_network)" ]
}

# what is only digits and dots, or has a colon, is no name

is_name() {
    case $1 in
    *[!0-9.]*) ;;
    *) return 1 ;;
    esac

    [ ${#1} -le 253 ] && printf '%s' "$1" | grep -q -x -E "$san_pattern"
}

# of itself, as nobody else vouches for it; so it is no CA

request() {
    cat << END
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
O = Monitoring Proxy
CN = $common_name
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = @names
[names]
END

    n=0

    for name in $names; do
        n=$((n + 1))

        if is_ip "$name"; then
            echo "IP.$n = $name"
        else
            echo "DNS.$n = $name"
        fi
    done
}

# the key first: a certificate is there only with it

make_pair() {
    request > "$made/request"

    (umask 077 && openssl ecparam -genkey -name secp384r1 -noout \
        > "$1/$stem.key.new" && mv "$1/$stem.key.new" "$1/$stem.key") \
        && openssl req -x509 -new -sha384 -days 3650 -config "$made/request" \
            -key "$1/$stem.key" -out "$1/$stem.crt.new" \
        && mv "$1/$stem.crt.new" "$1/$stem.crt"
}

refuse() {
    mistake "$file: $1"
    failed=1
}

check_certificate() {
    file=$directory/$stem.crt

    if ! is_there "$file"; then
        refuse "does not exist, but $stem.key does; give both, or neither"
    elif ! is_readable "$file"; then
        failed=1
    elif ! holds CERTIFICATE || ! openssl x509 -in "$file" -noout 2> /dev/null
    then
        refuse "has no certificate in it; give a PEM file with the server's\
 certificate first, then those between it and the root"
    fi
}

check_key() {
    file=$directory/$stem.key

    if ! is_there "$file"; then
        refuse "does not exist, but $stem.crt does; give both, or neither"
    elif ! is_readable "$file"; then
        failed=1
    elif is_encrypted; then
        refuse "is encrypted; give a key without a passphrase"
    elif ! holds '[A-Z ]*PRIVATE KEY'; then
        refuse "has no private key in it; give a PEM file"
    else
        case $(stat -L -c %a "$file") in
        *[4-7]) warn "$file: everyone can read it; chmod 600" ;;
        esac
    fi
}

pair_matches() {
    file=$directory/$stem.crt

    if ! messages=$(try_tls "$file" "$directory/$stem.key" ''); then
        refuse "does not go with $stem.key: $(reason_of "$messages")"
        return 1
    fi
}
