variable "region" {
  description = "AWS region of the node."
  type        = string
}

variable "name" {
  description = "Name of the instance, and prefix of what belongs to it."
  type        = string
  default     = "countersign"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "A name is lower case, digits and dashes, at most 31 characters."
  }
}

variable "ami_id" {
  description = "Amazon Linux 2023 for the instance's architecture. Named, not looked up: a machine image does not change by itself."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.ami_id))
    error_message = "An image's name is ami- and 8 to 17 hexadecimal digits."
  }
}

variable "instance_type" {
  description = "A type with Nitro Enclaves and at least four vCPUs: two stay with the parent."
  type        = string
  default     = "m6i.xlarge"

  validation {
    condition     = !can(regex("^(t[0-9]|mac)", var.instance_type)) && !can(regex("\\.metal", var.instance_type))
    error_message = "Burstable, Mac and bare-metal instances run no enclaves."
  }
}

variable "subnet_id" {
  description = "Subnet of the instance."
  type        = string
}

variable "vpc_id" {
  description = "The subnet's network."
  type        = string
}

variable "client_cidrs" {
  description = "Who may reach the node. Clients encrypt to the enclave, so it may be everybody; no default, so that somebody has decided."
  type        = set(string)

  validation {
    condition     = alltrue([for cidr in var.client_cidrs : can(cidrhost(cidr, 0))])
    error_message = "Each is an address range, such as 10.0.0.0/16."
  }
}

variable "port" {
  description = "Port of the node; COUNTERSIGN_LISTEN of /etc/countersign/node.env names the same."
  type        = number
  default     = 8480

  validation {
    condition     = var.port >= 1024 && var.port <= 65535
    error_message = "The node runs without the right to ports below 1024."
  }
}

variable "enclave_cpus" {
  description = "vCPUs set apart for the enclave: whole cores, so two where a core has two threads."
  type        = number
  default     = 2

  validation {
    condition     = var.enclave_cpus >= 1 && floor(var.enclave_cpus) == var.enclave_cpus
    error_message = "A whole number of vCPUs."
  }
}

variable "enclave_memory_mib" {
  description = "Memory set apart for the enclave; docs/deploy-nitro.md says how much its models need."
  type        = number
  default     = 2048

  validation {
    condition     = var.enclave_memory_mib >= 1024 && floor(var.enclave_memory_mib) == var.enclave_memory_mib
    error_message = "At least 1024 MiB: AWS's tools want four times the image."
  }
}

variable "root_volume_gib" {
  description = "System disk: the machine, the releases and the models. The enclave has none."
  type        = number
  default     = 32
}

variable "instance_profile" {
  description = "Instance profile, for example one for Session Manager. Null is none: the node calls no AWS service, unless it serves sealed models whose keys are in AWS KMS; they name its role."
  type        = string
  default     = null
}
