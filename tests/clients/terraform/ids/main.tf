# A balancer in a datacenter and LANs that only have ids, and what a WebSocket goes through. The variables are what a test changes.

variable "endpoint" {}
variable "token" {}
variable "listener_port" {}
variable "target_port" {}

variable "name" {
  default = "chat"
}

variable "weight" {
  default = 1
}

variable "upgrades" {
  type    = list(string)
  default = ["websocket"]
}

variable "listeners" {
  type    = number
  default = 1
}

variable "datacenter" {
  default = "11111111-1111-4111-8111-111111111111"
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

resource "ionoscloud_target_group" "chat" {
  name             = var.name
  algorithm        = "ROUND_ROBIN"
  protocol         = "HTTP"
  protocol_version = "HTTP1"
  targets {
    ip                   = "127.0.0.1"
    port                 = var.target_port
    weight               = var.weight
    health_check_enabled = true
  }
  health_check {
    check_timeout  = 5000
    check_interval = 50000
    retries        = 2
  }
}

resource "ionoscloud_application_loadbalancer" "edge" {
  datacenter_id   = var.datacenter
  name            = "edge"
  listener_lan    = 1
  target_lan      = 2
  ips             = ["10.12.118.224", "127.0.0.1"]
  lb_private_ips  = ["10.13.72.225/24"]
  central_logging = false
  logging_format  = "%%{+Q}o %%{-Q}ci - - [%trg]"
  flowlog {
    name      = "flows"
    action    = "ALL"
    direction = "INGRESS"
    bucket    = "flow-log-bucket"
  }
}

resource "ionoscloud_application_loadbalancer_forwardingrule" "wss" {
  count                       = var.listeners
  datacenter_id               = var.datacenter
  application_loadbalancer_id = ionoscloud_application_loadbalancer.edge.id
  name                        = "wss-${count.index}"
  protocol                    = "HTTP"
  listener_ip                 = "127.0.0.1"
  listener_port               = var.listener_port
  dynamic "http_rules" {
    for_each = var.upgrades
    content {
      name         = http_rules.value
      type         = "forward"
      target_group = ionoscloud_target_group.chat.id
      conditions {
        type      = "header"
        condition = "equals"
        key       = "Upgrade"
        value     = http_rules.value
      }
    }
  }
}

data "ionoscloud_target_group" "chat" {
  name       = var.name
  depends_on = [ionoscloud_target_group.chat]
}

data "ionoscloud_application_loadbalancer" "edge" {
  datacenter_id = var.datacenter
  name          = "dge"
  partial_match = true
  depends_on    = [ionoscloud_application_loadbalancer.edge]
}

data "ionoscloud_application_loadbalancer_forwardingrule" "wss" {
  datacenter_id               = var.datacenter
  application_loadbalancer_id = ionoscloud_application_loadbalancer.edge.id
  name                        = "wss-0"
  depends_on                  = [ionoscloud_application_loadbalancer_forwardingrule.wss]
}

output "group" {
  value = ionoscloud_target_group.chat.id
}

output "balancer" {
  value = ionoscloud_application_loadbalancer.edge.id
}

output "rule" {
  value = ionoscloud_application_loadbalancer_forwardingrule.wss[0].id
}

output "found" {
  value = [
    data.ionoscloud_target_group.chat.id,
    data.ionoscloud_application_loadbalancer.edge.id,
    data.ionoscloud_application_loadbalancer_forwardingrule.wss.id,
  ]
}
