# shellcheck shell=sh
#
# What a file of the user's has to be before anything reads it, and what it has;
# with say.sh.

is_there() {
    [ -e "$1" ] || [ -L "$1" ]
}

# Fails after saying why, unless it is a file.

is_file() {
    if [ -d "$1" ]; then
        mistake "$1: is a directory; docker makes one where there is no file" \
            "to mount"
    elif [ ! -e "$1" ]; then
        mistake "$1: is a symbolic link to nothing"
    else
        return 0
    fi

    return 1
}

# The same for one that the proxy's user root reads, who may have no more rights
# in a container than others.

is_readable() {
    is_file "$1" || return 1

    if [ ! -r "$1" ]; then
        mistake "$1: is not readable by root in this container, which has no" \
            "CAP_DAC_OVERRIDE; chown it to root, or chmod a+r it"
        return 1
    fi
}

# how many lines say something

count_lines() {
    awk '{ sub(/^\357\273\277/, "") }
        NF && $1 !~ /^#/ { count++ }
        END { print count + 0 }' "$1"
}
