#!/bin/sh
#
# Connects this host to a Monitoring Proxy; monitoring-proxy-join --help says
# how. It is one file for any POSIX shell, and may come by a pipe:
#
#     docker exec proxy monitoring-proxy join | ssh root@HOST sh -s -- --help

set -eu

service=monitoring-proxy-tunnel
etc=/etc/$service
unit=/etc/systemd/system/$service.service
init=/etc/init.d/$service
comment='Monitoring Proxy tunnel'

usage() {
    cat << 'END'
NAME
    monitoring-proxy-join - connect this host to a Monitoring Proxy

SYNOPSIS
    monitoring-proxy-join [--name NAME]
    monitoring-proxy-join --port PORT [OPTION ...] HOST[:PORT]
    monitoring-proxy-join --forward PORT:ADDRESS:PORT [OPTION ...] HOST[:PORT]
    monitoring-proxy-join --wireguard TOKEN-URL [--interface NAME]
    monitoring-proxy-join [--wireguard] --status | --uninstall [--purge]
    monitoring-proxy-join --help

DESCRIPTION
    Without a port it makes a system user and a key, unless they are there,
    writes the public half to stdout, and says on stderr what to run at the
    proxy. The private half stays on this host, readable by that user alone,
    and is never overwritten.

    With ports it writes the configuration, tries the tunnel, and has systemd
    or OpenRC keep it up; where neither runs, it says which command to keep
    up. HOST is the proxy, PORT that of its sshd, 22 if not given. A second
    run with the same words changes nothing. All of it needs root.

    "monitoring-proxy add", at the proxy, prints the words for a host.

    With a TOKEN-URL, which "monitoring-proxy wg invite" prints there, this
    host is joined by WireGuard and needs no tunnel. Its key is made here, and
    the public half alone is sent. wg-quick, by systemd or OpenRC where one of
    them runs, keeps an interface up, and nftables lets the proxy, and nobody
    else, reach the exporters' ports. These rules are written to stdout. With
    a TOKEN-URL of "monitoring-proxy wg rotate" the key is replaced, and the
    interface stays up.

OPTIONS
    --port PORT        the port that this host has at the proxy; it leads to
                       localhost:9100, node_exporter's
    --forward PORT:ADDRESS:PORT
                       the same for another exporter: a port of this host's at
                       the proxy, and where it leads to, as seen from here; may
                       be given more than once
    --known-hosts LINE
                       the proxy's host key: a line for known_hosts, or TYPE
                       BASE64 alone
    --known-hosts-file FILE
                       the same from a file; one of both is needed, unless the
                       key is known from an earlier run
    --wireguard TOKEN-URL
                       join by WireGuard; with --status or --uninstall, which
                       are about the interface then, without TOKEN-URL
    --wireguard-file FILE
                       the same from a file, so that no other user of this
                       host sees the token among the processes
    --interface NAME   what the interface is called; wg0
    --name NAME        what this host is called at the proxy; its own name if
                       not given
    --user USER        the system user of the tunnel; monitoring-proxy-tunnel
    --wait SECONDS     how long to wait for the tunnel, or the handshake; 30.
                       With 0, they are neither tried nor waited for
    --dry-run          say what would be done, and do nothing
    --status           say how the tunnel is doing
    --uninstall        stop the tunnel, and remove all but the key
    --purge            remove the key, too; it is all that a later run with
                       the same TOKEN-URL needs
    --print WHAT       write to stdout "systemd", the unit, or "openrc", the
                       init script; and with ports and HOST "command", ssh
                       with its arguments, "conf", the text of tunnel.conf, or
                       "known-as", the proxy's name in known_hosts

FILES
    /etc/monitoring-proxy-tunnel/key, key.pub    this host's key
    /etc/monitoring-proxy-tunnel/known_hosts     the proxy's host key
    /etc/monitoring-proxy-tunnel/tunnel.conf     its address, and the ports
    /etc/systemd/system/monitoring-proxy-tunnel.service
    /etc/init.d/monitoring-proxy-tunnel          where OpenRC runs

    /etc/wireguard/wg0.conf                      the interface, with its key
    /etc/wireguard/wg0.key                       the key, while that isn't there
    /etc/wireguard/monitoring-proxy.nft          the firewall, nftables' table
                                                 inet monitoring_proxy

EXIT STATUS
    0  done; with ports: the tunnel stands
    1  something on this host went wrong, or root is needed
    2  wrong words
    3  the proxy refused the key
    4  the proxy refused a port
    5  the proxy's host key is not known, or not the known one
    6  no connection in time
    7  --status: not connected

    With 3, 4, 5 and 6 the tunnel is installed, and is tried again and again.

    And with --wireguard:
    0  done; there was a handshake
    3  the proxy refused the token: used, expired, or for another name
    4  the proxy could not enrol this host, or its answer makes no sense
    5  the certificate is not the one that the token names
    6  no connection for the enrolment, or no handshake in time; after that
       the interface is installed, and tries again and again

EXAMPLES
    monitoring-proxy-join
    monitoring-proxy-join --port 20001 \
      --known-hosts 'ssh-ed25519 AAAAC3...' proxy.example.com:2222
    monitoring-proxy-join --forward 20001:localhost:9100 \
      --forward 20002:localhost:9104 proxy.example.com:2222
END
}

say() {
    printf '%s\n' "$*" >&2
}

# fail STATUS WORD...

fail() {
    failed=$1
    shift
    say "monitoring-proxy-join: $*"
    exit "$failed"
}

wrong() {
    fail 2 "$*; --help says more"
}

have() {
    command -v "$1" > /dev/null 2>&1
}

# runs a command, or says that it would

act() {
    if [ -n "$dry" ]; then
        say "would run: $*"
    else
        "$@"
    fi
}
