# Ansible's inventory of one monitor and its nodes, whoever has the machines.

variable "monitor_address" {
  type = string
}

variable "nodes" {
  type = map(object({
    address = string
    labels  = map(string)
  }))
}

variable "monitor" {
  type = string
}

variable "wireguard_port" {
  type = number
}

locals {
  inventory = {
    all = {
      vars = {
        ansible_user   = "root"
        monitor        = var.monitor
        wireguard_port = var.wireguard_port
      }
      children = {
        monitor = {
          hosts = {
            monitor-1 = {
              ansible_host       = var.monitor_address
              wireguard_endpoint = var.monitor_address
            }
          }
        }
        nodes = {
          hosts = {
            for name, node in var.nodes : name => {
              ansible_host       = node.address
              wireguard_endpoint = node.address
              labels             = node.labels
            }
          }
        }
      }
    }
  }
}

output "text" {
  value = "# Written by Terraform: changes are overwritten.\n${yamlencode(local.inventory)}"
}

output "addresses" {
  value = join("", [for address in concat([var.monitor_address], [for node in var.nodes : node.address]) : "${address}\n"])
}
