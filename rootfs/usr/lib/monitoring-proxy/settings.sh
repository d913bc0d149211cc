# shellcheck shell=sh
#
# What checks the variables of a part of the proxy that can be on or off; with
# say.sh and file.sh. "part" is POLL, say, "variables" are the rest of their
# names, "state" is prepare's, and what is written goes to "made" there; "file"
# is the last that was looked at, and "failed" is 1 after a mistake.

# shellcheck disable=SC2034,SC2154  # the caller's

wrong() {
    mistake "MONITORING_PROXY_$part$1: $2"
    failed=1
}

value() {
    eval "printf '%s' \"\${MONITORING_PROXY_${part}_$1-}\""
}

# Fails after saying why, unless it is a file that nginx's master can read, of
# a name that needs no quotes in its configuration.

named_file() {
    file=$(value "$1")

    case $file in
    *[!A-Za-z0-9._~/@%+,:=-]*)
        wrong "_$1" "\"$file\" has characters that no path here may have;\
 letters, digits and \"._~/@%+,:=-\" are allowed"
        return 1
        ;;
    /*) ;;
    *)
        wrong "_$1" "\"$file\" is not an absolute path; give that of $2 in the\
 container"
        return 1
        ;;
    esac

    if ! is_there "$file"; then
        wrong "_$1" "$file does not exist; give the path of $2 in the\
 container"
        return 1
    fi

    if ! reason=$(is_readable "$file" 2>&1); then
        wrong "_$1" "${reason#"${SAY_ALL-}"}"
        return 1
    fi
}

holds() {
    grep -q -e "-----BEGIN $1-----" "$file"
}

# nginx tells of what it can't take without the variable's name: this tries one
# alone, by what is to stand at the main level.

try_nginx() {
    cat > "$made/try.conf" << END
$1
user www-data;
pid $made/try.pid;
error_log stderr;
events { }
END
    nginx -t -q -c "$made/try.conf" 2>&1
}

# the same of a certificate and its key, and what is to stand beside them

try_tls() {
    try_nginx "http {
        access_log off;
        client_body_temp_path $state/nginx/temp/body;
        proxy_temp_path $state/nginx/temp/proxy;
        fastcgi_temp_path $state/nginx/temp/fastcgi;
        uwsgi_temp_path $state/nginx/temp/uwsgi;
        scgi_temp_path $state/nginx/temp/scgi;
        server {
            listen unix:$made/try.socket ssl;
            ssl_certificate $1;
            ssl_certificate_key $2;
            $3
        }
    }"
}

reason_of() {
    printf '%s\n' "$1" | sed -n '
        /\[emerg\]/ {
            s/.*\[emerg\] [0-9#]*: //
            s/ in [^ ]*try\.conf:[0-9]*$//
            p
            q
        }'
}

# a file as above, but for nginx's workers, who read it again when it changes

workers_file() {
    named_file "$1" "$2" || return 1

    if ! s6-setuidgid www-data test -r "$file"; then
        wrong "_$1" "$file is not readable by everyone; chmod a+r it, and a+rx\
 its directory${3-}"
        return 1
    fi
}

hashes_file() {
    workers_file "$1" "$2" ". It holds hashes alone"
}

is_encrypted() {
    grep -q -e '-----BEGIN ENCRYPTED' -e '^Proc-Type: 4,ENC' "$file"
}

# prints the first word that is no address or network

no_network() {
    tr -s ', \t\n' '\n' | awk '
    function number(text, most) {
        return text ~ /^[0-9]+$/ && length(text) <= 3 && text + 0 <= most
    }

    NF == 0 {
        next
    }

    {
        slash = index($0, "/")
        address = slash ? substr($0, 1, slash - 1) : $0
        bits = slash ? substr($0, slash + 1) : "0"
        wrong = 0

        if (address ~ /:/) {
            n = split(address, group, ":")
            gaps = gsub(/::/, "&", address)
            wrong = !number(bits, 128) || address ~ /:::/ || gaps > 1 \
                || n > 8 + (gaps == 1) || (gaps == 0 && n != 8) \
                || address !~ /^[0-9A-Fa-f:]+$/ || address ~ /^:[^:]/ \
                || address ~ /[^:]:$/

            for (i = 1; i <= n; i++) {
                wrong = wrong || length(group[i]) > 4
            }
        } else {
            n = split(address, group, ".")
            wrong = !number(bits, 32) || n != 4

            for (i = 1; i <= n; i++) {
                wrong = wrong || !number(group[i], 255)
            }
        }

        if (wrong) {
            print
            exit
        }
    }'
}

words() {
    printf '%s\n' "$1" | tr -s ', \t\n' '\n' | sed '/^$/d'
}

# The files that nginx reads when it starts, and how they are now, for the
# service that watches them.

followed() {
    for variable in "$@"; do
        value "$variable"
        echo
    done | sed '/^$/d' >> "$made/files"
}

read_now() {
    [ -e "$made/files" ] || return 0

    # shellcheck disable=SC2046  # no path has a space in it
    identity $(cat "$made/files") > "$made/read"
}

has_ipv6() {
    [ -e /proc/net/if_inet6 ]
}
