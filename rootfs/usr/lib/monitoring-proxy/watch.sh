# shellcheck shell=sh
#
# How a service watches files: it defines renew, which takes them as they are
# now, and calls
#
#     watch FILE ...

# What differs after any change: in place, by rename, by a symbolic link on the
# way, and of who may read it.

identity() {
    stat -L -c '%n %d %i %f %u %g %s %y %z' "$@" 2> /dev/null || :
}

# for who has something to do at each look

looked() { :; }

# in the background, so that a signal is met at once

await() {
    wait $!
}

# Read once at first, as it may have changed while nobody looked; and only when
# two looks found it the same, since it may be written in several steps. What
# came and went again is a change, too: renew may have read it in between.

watch() {
    trap 'kill "${!-}" 2> /dev/null || :; exit 0' TERM

    previous=none
    changed=yes

    while :; do
        now=$(identity "$@")

        if [ "$now" != "$previous" ]; then
            changed=yes
        elif [ -n "$changed" ]; then
            changed=
            renew
        fi

        looked
        previous=$now
        sleep 0.5 &
        await
    done
}
