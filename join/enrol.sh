# Enrolment by WireGuard: the words of a TOKEN-URL, and what the proxy answers.
# Secrets are written by echo alone, which every shell has built in: they are
# in no process' arguments.

answer_max=16384

# https://HOST:PORT/NAME/TOKEN.PIN; what is wrong is told without the token

set_url() {
    [ -z "$url" ] || wrong "one TOKEN-URL is enough"
    url=$2

    case $url in
    https://*/*/*.*) ;;
    *) bad_url "$1" "it is https://HOST:4443/NAME/TOKEN.PIN" ;;
    esac

    rest=${url#https://}
    where=${rest%%/*}
    secret=${rest##*/}
    node=${rest#*/}
    node=${node%/*}
    token=${secret%%.*}
    pin=${secret#*.}

    url_host=${where%:*}
    url_port=${where##*:}

    case $url_host in
    \[*[!0-9A-Fa-f:.]*\] | \[\]) bad_url "$1" "HOST is no address" ;;
    \[*:*\]) ;;
    '' | [.-]* | *[!A-Za-z0-9._-]*) bad_url "$1" "HOST is no name" ;;
    esac

    if ! is_number "$url_port" || [ "$url_port" -lt 1 ] \
        || [ "$url_port" -gt 65535 ]
    then
        bad_url "$1" "there is no port behind HOST"
    fi

    case /$node/ in
    *//* | */./* | */../* | *[!A-Za-z0-9._~/-]*)
        bad_url "$1" "NAME is no name; it has letters, digits and \"._~-\""
        ;;
    esac

    [ ${#node} -le 255 ] || bad_url "$1" "NAME is longer than 255"

    case $token$pin in
    *[!A-Za-z0-9_-]*) bad_url "$1" "TOKEN.PIN has a character of no token" ;;
    esac

    if [ ${#token} -ne 43 ] || [ ${#pin} -ne 43 ]; then
        bad_url "$1" "TOKEN and PIN are 43 characters each; cut off?"
    fi
}

bad_url() {
    wrong "$1: this is no TOKEN-URL of \"monitoring-proxy wg invite\":" "$2"
}

# what tells one token from another, and gives none away

token_hash() {
    echo "$node $token" | sha256sum | cut -d ' ' -f 1
}

refused() {
    failed=$1
    shift

    grep -v -e '^ *$' -e '^ *<' "$tmp/text" | head -n 3 | cut -c 1-200 \
        | sed 's/^/    proxy: /' >&2

    fail "$failed" "$*"
}

# Sends the public half, and leaves the answer in $tmp/answer. The certificate
# is the token's, whoever signed it.

enrol() {
    say "enrolling at $url_host:$url_port as $node"

    pin64=$(echo "$pin=" | tr _- /+)
    unset SSLKEYLOGFILE

    echo "{\"name\":\"$node\",\"token\":\"$token\",\"public_key\":\"$public\"}" \
        | post "https://$url_host:$url_port/enrol" \
        | head -c $((answer_max + 8)) > "$tmp/all"

    # behind the answer is a line of its own, the status

    code=$(tail -n 1 "$tmp/all" | tr -dc 0-9)
    sed '$d' "$tmp/all" > "$tmp/text"
    sed '$d' "$tmp/text" > "$tmp/answer"
    curl=$(cat "$tmp/curl")

    if [ "$(wc -c < "$tmp/all")" -gt $((answer_max + 5)) ]; then
        fail 4 "the answer is longer than $answer_max bytes; is this the proxy?"
    fi

    [ "$curl" -eq 0 ] || no_answer

    if [ -n "$(tr -d '\n\040-\176' < "$tmp/text" | od -An -tx1)" ]; then
        fail 4 "the answer is no plain text; is this the proxy?"
    fi

    [ "$code" -eq 200 ] || no_enrolment
    [ -z "$(tail -n 1 "$tmp/text")" ] || cut_off

    check_answer "$tmp/answer" "$node" \
        || fail 4 "the proxy's answer makes no sense: $(cat "$tmp/why")"

    # an exporter's port is closed to all others

    ssh=${SSH_CONNECTION-}

    for one in 22 ${ssh##* }; do
        ! grep -qx "port $one" "$tmp/answer" || fail 4 "port $one is ssh's," \
            "and would be closed for all but the proxy; invite this host" \
            "with other --ports"
    done
}

post() {
    code=0
    limit=$wait
    [ "$limit" -ge 10 ] || limit=10

    curl -q -g -sS -k --proto =https --tlsv1.2 --http1.1 --noproxy '*' \
        --pinnedpubkey "sha256//$pin64" \
        --connect-timeout 10 --max-time "$limit" \
        -H 'Content-Type: application/json' --data-binary @- \
        -w '\n%{http_code}\n' "$1" 2> "$tmp/said" || code=$?

    echo "$code" > "$tmp/curl"
}

no_answer() {
    tr -cd '\n\040-\176' < "$tmp/said" | tail -n 3 | cut -c 1-200 \
        | sed 's/^/    /' >&2

    # what was sent may have been taken, and is asked again with the same key

    case $curl in
    2 | 4 | 5 | 6 | 7 | 35 | 48 | 90) [ -z "$fresh" ] || forget ;;
    esac

    case $curl in
    90)
        say "The certificate of $url_host:$url_port is not the token's: either"
        say "it has been made anew, or this is not the proxy. Nothing was sent."
        fail 5 "no enrolment; \"monitoring-proxy wg invite $node\", at the" \
            "proxy, prints a TOKEN-URL with the certificate of now"
        ;;
    2 | 4 | 48)
        fail 1 "this curl can't verify a certificate by its key; it takes" \
            "curl 7.44 with OpenSSL or GnuTLS"
        ;;
    5 | 6) fail 6 "$url_host: no such name, as seen from here" ;;
    7)
        fail 6 "nobody answers at $url_host:$url_port: is the port published" \
            "at the proxy, and does no firewall keep it from us?"
        ;;
    28)
        fail 6 "no answer from $url_host:$url_port in time; once it can be" \
            "reached, the same command goes on"
        ;;
    35)
        fail 6 "$url_host:$url_port doesn't speak TLS as the proxy does; is" \
            "this the proxy?"
        ;;
    esac

    cut_off
}

cut_off() {
    fail 6 "the answer of $url_host:$url_port was cut off; the same command" \
        "goes on"
}

no_enrolment() {
    case $code in
    403)
        forget
        refused 3 "the proxy refused the token of $node"
        ;;
    409)
        forget
        refused 3 "the proxy refused this host's key; call this again, and" \
            "it makes another"
        ;;
    400 | 413 | 415) refused 4 "the proxy could not read what was asked" ;;
    429 | 50[0-9])
        refused 4 "the proxy could not enrol this host now (HTTP $code);" \
            "once it can, the same command goes on"
        ;;
    esac

    refused 4 "HTTP $code is no answer of a proxy's; is this" \
        "$url_host:$url_port?"
}

# check_answer FILE NAME: is each line one that a proxy says? Else $tmp/why names
# the one that isn't. Nothing of an answer is used before.

check_answer() {
    awk -v name="$2" '
        function bad(why) {
            print "line " NR ", \"" substr($0, 1, 60) "\", " why
            failed = 1
            exit 1
        }

        # once, or once for IPv4 and once for IPv6

        function once(what) {
            if (seen[what]++) {
                bad("is there a second time")
            }
        }

        function number(text, low, high) {
            return text ~ /^[1-9][0-9]*$/ && length(text) < 6 \
                && text + 0 >= low && text + 0 <= high
        }

        # of the networks that are for private use

        function ipv4(text,    part, i) {
            if (split(text, part, ".") != 4) {
                return 0
            }

            for (i = 1; i <= 4; i++) {
                if (part[i] != "0" && !number(part[i], 1, 255)) {
                    return 0
                }
            }

            return part[1] == 10 || part[1] == 192 && part[2] == 168 \
                || part[1] == 172 && part[2] >= 16 && part[2] <= 31 \
                || part[1] == 100 && part[2] >= 64 && part[2] <= 127
        }

        function ipv6(text,    part, count, gaps, i) {
            if (text !~ /^[fF][cdCD][0-9a-fA-F][0-9a-fA-F]:[0-9a-fA-F:]+$/ \
                || text ~ /:::/ || text ~ /[^:]:$/)
            {
                return 0
            }

            gaps = gsub(/::/, ":X:", text)
            sub(/:$/, "", text)
            count = split(text, part, ":")

            for (i = 1; i <= count; i++) {
                if (length(part[i]) > 4 || part[i] == "") {
                    return 0
                }
            }

            return gaps == 0 && count == 8 || gaps == 1 && count <= 8
        }

        function address(text) {
            if (sub(/\/32$/, "", text) && ipv4(text)) {
                once($1 " 4")
            } else if (sub(/\/128$/, "", text) && ipv6(text)) {
                once($1 " 6")
            } else {
                bad("is no private address with /32 or /128")
            }
        }

        NF != 2 || $0 != $1 " " $2 { bad("is not two words") }

        $1 == "name" {
            once($1)

            if ($2 != name) {
                bad("is another name than that of the TOKEN-URL")
            }

            next
        }

        $1 == "address" || $1 == "allowed" { address($2); next }

        $1 == "peer" {
            once($1)

            if (length($2) != 44 || $2 !~ /^[A-Za-z0-9+\/]+=$/ \
                || $2 ~ /^A+=$/)
            {
                bad("is no key")
            }

            next
        }

        $1 == "endpoint" {
            once($1)
            port = $2
            sub(/^.*:/, "", port)

            if ($2 !~ /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*):[^:]+$/ \
                || !number(port, 1, 65535))
            {
                bad("is not HOST:PORT")
            }

            next
        }

        # two exporters may have one

        $1 == "port" {
            if (!number($2, 1, 65535)) {
                bad("is no port")
            }

            ports++
            next
        }

        $1 == "keepalive" || $1 == "mtu" {
            once($1)

            if (!number($2, $1 == "mtu" ? 576 : 1, 65535)) {
                bad("is out of range")
            }

            next
        }

        { bad("is nothing that is asked for") }

        END {
            if (failed) {
                exit 1
            }

            count = split("name peer endpoint", wanted, " ")

            for (i = 1; i <= count; i++) {
                if (!seen[wanted[i]]) {
                    print "there is no line \"" wanted[i] "\""
                    exit 1
                }
            }

            if (!ports) {
                print "there is no line \"port\""
                exit 1
            }

            if (!(seen["address 4"] && seen["allowed 4"]) \
                && !(seen["address 6"] && seen["allowed 6"]))
            {
                print "there are no \"address\" and \"allowed\" of one kind"
                exit 1
            }
        }' "$1" > "$tmp/why"
}
