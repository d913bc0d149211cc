# shellcheck shell=sh
#
# How start and run-query begin and end, with say.sh; lib and state are theirs.

# shellcheck disable=SC2154

# until s6-svscan has the signals; a shell that is process 1 would ignore them

begin() {
    trap 'exit 143' HUP INT QUIT TERM
    umask 022

    if [ ! -w /run ]; then
        mistake "/run is not writable; with --read-only, add --tmpfs /run"
        exit 1
    fi

    # the image's is for any user that it is started as; a mounted one may be
    # somebody's who isn't root

    if [ "$(id -u)" -eq 0 ]; then
        chmod 755 /run 2> /dev/null || :
    fi

    if s6-svok "$state/service/nginx" 2> /dev/null; then
        mistake "already running in this container"
        exit 1
    fi

    while read -r line; do
        say "$line"
    done < "$lib/versions"

    clear_state
    mkdir "$state"
}

# What an earlier run of this container left; what is www-data's can only be
# removed by www-data where CAP_DAC_OVERRIDE is dropped.

clear_state() {
    if [ -d "$state/nginx/temp" ]; then
        as_worker find "$state/nginx/temp" -mindepth 2 -delete || :
    fi

    rm -rf "$state"
}

# as the user of nginx's workers: www-data, if root is who starts it

as_worker() {
    if [ "$(id -u)" -eq 0 ]; then
        s6-setuidgid www-data "$@"
    else
        "$@"
    fi
}

# nothing of the configuration in the services' environment

forget() {
    for variable in $(env | sed -n \
        's/^\(\(MONITORING_PROXY\|AZURE\|AWS\|GCE\)_[A-Za-z0-9_]*\)=.*/\1/p')
    do
        unset "$variable"
    done

    unset SAY_ALL
}
