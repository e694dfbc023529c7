# One parent instance with an enclave. It makes no key, opens no SSH, and sends no log anywhere.
# A key for sealed models is its owner's, in the owner's account: docs/sealed-models.md.

locals {
  tags = { Name = var.name, Project = "countersign" }
}

resource "aws_security_group" "node" {
  name_prefix = "${var.name}-"
  description = "Countersign node: clients in, package updates out"
  vpc_id      = var.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_cidrs

  security_group_id = aws_security_group.node.id
  description       = "Clients: encrypted requests, evidence, health"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.node.id
  description       = "Package updates, models, Session Manager"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.key == "ipv4" ? each.value : null
  cidr_ipv6         = each.key == "ipv6" ? each.value : null
}

resource "aws_instance" "node" {
  ami                    = var.ami_id
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = [aws_security_group.node.id]
  iam_instance_profile   = var.instance_profile
  # CloudWatch's detailed monitoring; the node has /metrics of its own.
  monitoring = false
  tags       = local.tags

  enclave_options {
    enabled = true
  }

  # IMDSv2 only, and not through a forwarder: a hop more would be a container's, or a tricked proxy's.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = var.root_volume_gib
    tags        = local.tags
  }

  user_data_replace_on_change = true
  user_data = templatefile("${path.module}/user-data.yaml.tftpl", {
    enclave_cpus       = var.enclave_cpus
    enclave_memory_mib = var.enclave_memory_mib
  })
}
