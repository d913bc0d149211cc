# shellcheck shell=sh
#
# How a service watches a file: it defines renew, which takes the file as it is
# now, and calls
#
#     watch FILE

# What differs after any change: in place, by rename, by a symbolic link on the
# way, and of who may read it.

identity() {
    stat -L -c '%d %i %f %u %g %s %y %z' "$1" 2> /dev/null || echo missing
}

# in the background, so that a signal is met at once

await() {
    wait $!
}

# Read once at first, as it may have changed while nobody looked; and only when
# two looks found it the same, since it may be written in several steps.

watch() {
    trap 'kill "${!-}" 2> /dev/null || :; exit 0' TERM

    previous=
    last=

    while :; do
        now=$(identity "$1")

        if [ "$now" = "$previous" ] && [ "$now" != "$last" ]; then
            last=$now
            renew
        fi

        previous=$now
        sleep 0.5 &
        await
    done
}
