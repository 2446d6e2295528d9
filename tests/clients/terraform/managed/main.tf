# A balancer with a datacenter, LANs and addresses that are managed with it.

variable "endpoint" {}
variable "token" {}
variable "listener_port" {}
variable "target_port" {}

variable "name" {
  default = "edge"
}

terraform {
  required_providers {
    ionoscloud = {
      source = "ionos-cloud/ionoscloud"
    }
  }
}

provider "ionoscloud" {
  endpoint = var.endpoint
  token    = var.token
}

resource "ionoscloud_datacenter" "edge" {
  name     = var.name
  location = "de/txl"
}

resource "ionoscloud_lan" "public" {
  datacenter_id = ionoscloud_datacenter.edge.id
  public        = true
  name          = var.name
}

resource "ionoscloud_lan" "private" {
  datacenter_id = ionoscloud_datacenter.edge.id
  public        = false
}

resource "ionoscloud_ipblock" "edge" {
  location = ionoscloud_datacenter.edge.location
  size     = 2
  name     = var.name
}

resource "ionoscloud_target_group" "chat" {
  name             = "chat"
  algorithm        = "LEAST_CONNECTION"
  protocol         = "HTTP"
  protocol_version = "HTTP1"
  targets {
    ip                   = "127.0.0.1"
    port                 = var.target_port
    weight               = 1
    health_check_enabled = true
  }
}

resource "ionoscloud_application_loadbalancer" "edge" {
  datacenter_id = ionoscloud_datacenter.edge.id
  name          = var.name
  listener_lan  = ionoscloud_lan.public.id
  target_lan    = ionoscloud_lan.private.id
  ips           = ionoscloud_ipblock.edge.ips
}

resource "ionoscloud_application_loadbalancer_forwardingrule" "wss" {
  datacenter_id               = ionoscloud_datacenter.edge.id
  application_loadbalancer_id = ionoscloud_application_loadbalancer.edge.id
  name                        = var.name
  protocol                    = "HTTP"
  listener_ip                 = ionoscloud_ipblock.edge.ips[0]
  listener_port               = var.listener_port
  http_rules {
    name         = "all"
    type         = "FORWARD"
    target_group = ionoscloud_target_group.chat.id
  }
}

output "listener" {
  value = ionoscloud_ipblock.edge.ips[0]
}
