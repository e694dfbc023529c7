# terraform test: what the plan says, with a provider that reaches nothing.

mock_provider "aws" {}

variables {
  region       = "eu-central-1"
  ami_id       = "ami-0123456789abcdef0"
  subnet_id    = "subnet-0123456789abcdef0"
  vpc_id       = "vpc-0123456789abcdef0"
  client_cidrs = ["203.0.113.0/24", "2001:db8::/32"]
}

run "an_enclave_and_no_way_around" {
  command = plan

  assert {
    condition     = aws_instance.node.enclave_options[0].enabled
    error_message = "the instance has no enclaves"
  }
  assert {
    condition     = aws_instance.node.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv1 is open"
  }
  assert {
    condition     = aws_instance.node.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "the metadata service answers through forwarders"
  }
  assert {
    condition     = aws_instance.node.root_block_device[0].encrypted
    error_message = "the disk is not encrypted"
  }
  assert {
    condition     = aws_instance.node.monitoring == false
    error_message = "CloudWatch monitors the instance"
  }
  assert {
    condition     = strcontains(aws_instance.node.user_data, "memory_mib: 2048") && strcontains(aws_instance.node.user_data, "cpu_count: 2")
    error_message = "the allocator is not told what the variables say"
  }
}

run "clients_alone_get_in" {
  command = plan

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.clients) == 2
    error_message = "not one rule for each range of clients"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port == 8480 && rule.to_port == 8480])
    error_message = "a port is open that is not the node's"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients["2001:db8::/32"].cidr_ipv6 == "2001:db8::/32"
    error_message = "a range of IPv6 is taken for one of IPv4"
  }
}

run "burstable_instances_are_refused" {
  command = plan

  variables {
    instance_type = "t3.xlarge"
  }

  expect_failures = [var.instance_type]
}

run "too_little_memory_is_refused" {
  command = plan

  variables {
    enclave_memory_mib = 512
  }

  expect_failures = [var.enclave_memory_mib]
}
