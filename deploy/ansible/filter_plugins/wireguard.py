"""Numbers and addresses of nodes, and the file that remembers them.

A line of that file is "NUMBER NAME KEY", KEY a public one, or "-" for a node
that has none or is gone; one line is "network6 NETWORK". Number n has the
n-th address of the IPv4 network and of the IPv6 one. Lines are never removed,
so that no number is given to a second name.
"""

import base64
import binascii
import ipaddress
import re

from ansible.errors import AnsibleFilterError


NAME = re.compile(r'[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*')
MONITOR = 1


def is_key(text):
    """Whether text is a public key as wg prints it."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False

    return len(text) == 44 and len(raw) == 32 and any(raw)


def read(text):
    """What the file says."""
    state = {'network6': '', 'nodes': {}}

    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()

        if not words or words[0].startswith('#'):
            continue

        if words[0] == 'network6' and len(words) == 2:
            state['network6'] = words[1]
            continue

        if len(words) != 3 or not words[0].isdigit():
            raise AnsibleFilterError(
                f'line {number} of the file of nodes: "{line}" is not '
                '"NUMBER NAME KEY"')

        state['nodes'][words[1]] = {'number': int(words[0]), 'key': words[2]}

    return state


def address(network, number):
    """The number-th address of a network."""
    return str(ipaddress.ip_network(network)[int(number)])


def endpoint(host, port):
    """HOST:PORT of a host that may be an IPv6 address, or have a port."""
    host = str(host)

    if host.startswith('[') or host.count(':') == 1:
        return host if re.search(r':\d+$', host) else f'{host}:{port}'

    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def highest(text, networks):
    """The highest number among the addresses of a text, or one less than what
    its line "next NUMBER" says, or 0."""
    numbers = [0]
    numbers += [int(n) - 1 for n in re.findall(r'^next (\d+)$', text, re.M)]

    for word in re.findall(r'[0-9A-Fa-f:.]{3,}', text):
        try:
            found = ipaddress.ip_address(word)
        except ValueError:
            continue

        for network in map(ipaddress.ip_network, networks):
            if found in network:
                numbers.append(int(found) - int(network.network_address))

    return max(numbers)


def network6(text):
    """The IPv6 network of a line "Address" of a configuration, or ""."""
    found = re.search(r'^Address\s*=.*?([0-9a-fA-F]*:[0-9a-fA-F:]+/\d+)', text,
                      re.M)

    return str(ipaddress.ip_interface(found[1]).network) if found else ''


def allot(state, names, keys, networks, used=0):
    """What the file should say: names are those of the nodes there are, keys
    the public keys that were asked for by name, used a number up to which
    others have them."""
    old = state['nodes']
    last = max([MONITOR, int(used)] + [node['number'] for node in old.values()])
    room = min(ipaddress.ip_network(n).num_addresses for n in networks) - 2
    nodes = {name: {'number': node['number'], 'key': '-'}
             for name, node in old.items()}
    owner = {}

    for name in names:
        if not NAME.fullmatch(name):
            raise AnsibleFilterError(
                f'node "{name}": a name is letters, digits and "._~-"')

        if name not in nodes:
            last += 1
            nodes[name] = {'number': last, 'key': '-'}

            if last > room:
                raise AnsibleFilterError(
                    f'node "{name}": the network {networks[0]} is full; '
                    f'{room} is its last number')

        # one that didn't answer keeps what it had

        key = keys.get(name) or old.get(name, {}).get('key', '-')

        if key != '-' and not is_key(key):
            raise AnsibleFilterError(
                f'node "{name}": "{key}" is no public key')

        if key != '-' and owner.setdefault(key, name) != name:
            raise AnsibleFilterError(
                f'nodes "{owner[key]}" and "{name}" have the same key: one '
                'is a copy of the other; remove the private key of one, and '
                'run this again')

        nodes[name]['key'] = key

    return {'network6': state['network6'], 'nodes': nodes, 'next': last + 1}


class FilterModule:
    """The filters, by the names that templates have for them."""

    def filters(self):
        """As Ansible asks."""
        return {
            'wireguard_read': read,
            'wireguard_allot': allot,
            'wireguard_address': address,
            'wireguard_highest': highest,
            'wireguard_network_of': network6,
            'wireguard_endpoint': endpoint,
        }
