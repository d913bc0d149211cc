# One monitor and its nodes at Hetzner.

provider "hcloud" {
  token = var.token
}

locals {
  region = coalesce(var.region, "fsn1")
  size   = coalesce(var.size, "cx23")
  image  = coalesce(var.image, "debian-13")
  anyone = ["0.0.0.0/0", "::/0"]

  ssh_keys = concat(var.ssh_keys, [for key in hcloud_ssh_key.this : key.name])
}

resource "hcloud_ssh_key" "this" {
  for_each = toset(var.ssh_public_keys)

  name       = "${var.name}-${substr(sha256(each.value), 0, 8)}"
  public_key = each.value
}

resource "hcloud_firewall" "machine" {
  name = var.name

  rule {
    direction  = "in"
    protocol   = "tcp"
    port       = "22"
    source_ips = var.ssh_from
  }

  rule {
    direction  = "in"
    protocol   = "udp"
    port       = tostring(var.wireguard_port)
    source_ips = local.anyone
  }

  rule {
    direction  = "in"
    protocol   = "icmp"
    source_ips = local.anyone
  }
}

resource "hcloud_firewall" "monitor" {
  count = length(var.monitor_tcp_ports) > 0 ? 1 : 0

  name = "${var.name}-monitor"

  dynamic "rule" {
    for_each = var.monitor_tcp_ports

    content {
      direction  = "in"
      protocol   = "tcp"
      port       = tostring(rule.value)
      source_ips = local.anyone
    }
  }
}

resource "hcloud_server" "monitor" {
  name         = "${var.name}-monitor"
  location     = local.region
  server_type  = coalesce(var.monitor_size, local.size)
  image        = local.image
  ssh_keys     = local.ssh_keys
  firewall_ids = concat([hcloud_firewall.machine.id], hcloud_firewall.monitor[*].id)

  lifecycle {
    # a new image or key is no reason to lose the machine
    ignore_changes = [image, ssh_keys]

    precondition {
      condition     = length(var.ssh_public_keys) + length(var.ssh_keys) > 0
      error_message = "Without ssh_public_keys or ssh_keys nobody could log in."
    }
  }
}

resource "hcloud_server" "node" {
  for_each = var.nodes

  name         = "${var.name}-${each.key}"
  location     = local.region
  server_type  = coalesce(each.value.size, local.size)
  image        = local.image
  ssh_keys     = local.ssh_keys
  firewall_ids = [hcloud_firewall.machine.id]

  lifecycle {
    ignore_changes = [image, ssh_keys]
  }
}

module "inventory" {
  source = "../inventory"

  monitor         = var.monitor
  monitor_address = hcloud_server.monitor.ipv4_address
  wireguard_port  = var.wireguard_port
  nodes = {
    for name, node in hcloud_server.node : name => {
      address = node.ipv4_address
      labels  = var.nodes[name].labels
    }
  }
}
