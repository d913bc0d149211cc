# One monitor and its nodes at DigitalOcean.

provider "digitalocean" {
  token = var.token
}

locals {
  region = coalesce(var.region, "fra1")
  size   = coalesce(var.size, "s-1vcpu-1gb")
  image  = coalesce(var.image, "debian-13-x64")
  anyone = ["0.0.0.0/0", "::/0"]

  ssh_keys = concat(var.ssh_keys, [for key in digitalocean_ssh_key.this : key.fingerprint])
}

resource "digitalocean_ssh_key" "this" {
  for_each = toset(var.ssh_public_keys)

  name       = "${var.name}-${substr(sha256(each.value), 0, 8)}"
  public_key = each.value
}

# firewalls go by tags, so that no machine is ever without them

resource "digitalocean_tag" "machine" {
  name = var.name
}

resource "digitalocean_tag" "monitor" {
  name = "${var.name}-monitor"
}

resource "digitalocean_firewall" "machine" {
  name = var.name
  tags = [digitalocean_tag.machine.name]

  inbound_rule {
    protocol         = "tcp"
    port_range       = "22"
    source_addresses = var.ssh_from
  }

  inbound_rule {
    protocol         = "udp"
    port_range       = tostring(var.wireguard_port)
    source_addresses = local.anyone
  }

  inbound_rule {
    protocol         = "icmp"
    source_addresses = local.anyone
  }

  dynamic "outbound_rule" {
    for_each = ["tcp", "udp"]

    content {
      protocol              = outbound_rule.value
      port_range            = "1-65535"
      destination_addresses = local.anyone
    }
  }

  outbound_rule {
    protocol              = "icmp"
    destination_addresses = local.anyone
  }
}

resource "digitalocean_firewall" "monitor" {
  count = length(var.monitor_tcp_ports) > 0 ? 1 : 0

  name = "${var.name}-monitor"
  tags = [digitalocean_tag.monitor.name]

  dynamic "inbound_rule" {
    for_each = var.monitor_tcp_ports

    content {
      protocol         = "tcp"
      port_range       = tostring(inbound_rule.value)
      source_addresses = local.anyone
    }
  }
}

resource "digitalocean_droplet" "monitor" {
  name     = "${var.name}-monitor"
  region   = local.region
  size     = coalesce(var.monitor_size, local.size)
  image    = local.image
  ipv6     = true
  ssh_keys = local.ssh_keys
  tags     = [digitalocean_tag.machine.name, digitalocean_tag.monitor.name]

  depends_on = [digitalocean_firewall.machine]

  lifecycle {
    # a new image or key is no reason to lose the machine
    ignore_changes = [image, ssh_keys]

    precondition {
      condition     = length(var.ssh_public_keys) + length(var.ssh_keys) > 0
      error_message = "Without ssh_public_keys or ssh_keys nobody could log in."
    }
  }
}

resource "digitalocean_droplet" "node" {
  for_each = var.nodes

  name     = "${var.name}-${each.key}"
  region   = local.region
  size     = coalesce(each.value.size, local.size)
  image    = local.image
  ipv6     = true
  ssh_keys = local.ssh_keys
  tags     = [digitalocean_tag.machine.name]

  depends_on = [digitalocean_firewall.machine]

  lifecycle {
    ignore_changes = [image, ssh_keys]
  }
}

module "inventory" {
  source = "../inventory"

  monitor         = var.monitor
  monitor_address = digitalocean_droplet.monitor.ipv4_address
  wireguard_port  = var.wireguard_port
  nodes = {
    for name, node in digitalocean_droplet.node : name => {
      address = node.ipv4_address
      labels  = var.nodes[name].labels
    }
  }
}
