output "inventory" {
  description = "Ansible's inventory"
  value       = module.inventory.text
}

output "addresses" {
  description = "The machines' addresses, one a line"
  value       = module.inventory.addresses
}
