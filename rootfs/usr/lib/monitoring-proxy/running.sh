# shellcheck shell=sh
#
# The proxy that runs in this container, if one does, for the commands that
# change what it has.

runs() {
    s6-svok /run/monitoring-proxy/service/sessions 2> /dev/null
}

# Has sessions do something; fails after printing why it didn't.

ask() {
    /usr/lib/monitoring-proxy/sessions-ask /run/monitoring-proxy "$@" 2>&1
}
