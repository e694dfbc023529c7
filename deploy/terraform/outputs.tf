output "instance_id" {
  description = "The parent instance; its enclaves' names begin with this."
  value       = aws_instance.node.id
}

output "private_ip" {
  description = "Where the node listens, inside the network."
  value       = aws_instance.node.private_ip
}

output "security_group_id" {
  description = "For a load balancer in front of the node."
  value       = aws_security_group.node.id
}
