# What both providers are asked for, so that one can take the other's place:
# digitalocean/ and hetzner/ have a link to this file.

variable "token" {
  description = "The provider's API token; null: DIGITALOCEAN_TOKEN or HCLOUD_TOKEN of the environment, which is better"
  type        = string
  default     = null
  sensitive   = true
}

variable "name" {
  description = "What the machines' names begin with at the provider, and those of firewalls and keys"
  type        = string
  default     = "monitoring"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[a-z0-9]$", var.name))
    error_message = "The name has to be lower case letters, digits and \"-\", as in \"monitoring\"."
  }
}

variable "region" {
  description = "Where; null: Frankfurt or Falkenstein"
  type        = string
  default     = null
}

variable "size" {
  description = "The machines' type; null: the smallest that is enough for 100 nodes"
  type        = string
  default     = null
}

variable "monitor_size" {
  description = "The monitor's type; null: as size"
  type        = string
  default     = null
}

variable "image" {
  description = "Debian or Ubuntu, by the provider's name of it; null: Debian 13"
  type        = string
  default     = null
}

variable "nodes" {
  description = "Each node's name, which Prometheus knows it by, its size if it differs, and labels"
  type = map(object({
    size   = optional(string)
    labels = optional(map(string), {})
  }))

  validation {
    condition = alltrue([
      for name in keys(var.nodes) : can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", name)) && !contains(["monitor", "monitor-1", "nodes"], name)
    ])
    error_message = "A node's name has to be lower case letters, digits and \"-\", and not \"monitor\", \"monitor-1\" or \"nodes\"."
  }
}

variable "ssh_public_keys" {
  description = "Public keys, as in .pub files, that may log in as root; they are added to the provider's account"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for key in var.ssh_public_keys : can(regex("^(ssh|ecdsa|sk)-\\S+ AAAA", key))])
    error_message = "A key has to be the line of a .pub file, such as \"ssh-ed25519 AAAA…\"."
  }
}

variable "ssh_keys" {
  description = "Keys that the account has already: fingerprints at DigitalOcean, names at Hetzner"
  type        = list(string)
  default     = []
}

variable "ssh_from" {
  description = "Networks that may reach SSH"
  type        = list(string)
  default     = ["0.0.0.0/0", "::/0"]
}

variable "monitor_tcp_ports" {
  description = "Further ports of the monitor that are open to all, such as 4443 for enrolment"
  type        = list(number)
  default     = []
}

variable "wireguard_port" {
  description = "WireGuard's UDP port"
  type        = number
  default     = 51820
}

variable "monitor" {
  description = "What scrapes on the monitor: prometheus or container"
  type        = string
  default     = "prometheus"

  validation {
    condition     = contains(["prometheus", "container"], var.monitor)
    error_message = "The monitor has to be \"prometheus\" or \"container\"."
  }
}
