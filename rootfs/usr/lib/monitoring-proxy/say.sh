# shellcheck shell=sh
#
# How the programs here speak, one line a message. SAY_ALL starts every line,
# SAY_OK those that report what is well; start and check set them.

say() {
    printf '%s%s%s\n' "${SAY_ALL-}" "${SAY_OK-}" "$*"
}

warn() {
    printf '%swarning: %s\n' "${SAY_ALL-}" "$*"
}

# a mistake of the user's: where it is, what it is, what is allowed

mistake() {
    printf '%s%s\n' "${SAY_ALL-}" "$*" >&2
}

# passes on the messages of other programs

relay_mistakes() {
    sed "s|^|${SAY_ALL-}|" >&2
}
