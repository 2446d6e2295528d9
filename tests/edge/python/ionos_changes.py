"""Changes that no tunnel notices: of weights, of names, of HTTP rules; and another forwarding rule. The further arguments are the
ports of two listeners and of a target."""

import sys

from ionoscloud import models

from ionos import Api, target, tell, websockets_to

listener, another, target_port = sys.argv[2:]
api = Api()

balancer = api.make_balancer()
group = api.make_group("chat", target(target_port))
rule = api.make_rule(balancer, "wss", listener, websockets_to(group))
tell()

group = api.patch_group(group, {"targets": [target(target_port, weight=200)]})
assert group.properties.targets[0].weight == 200

group = api.patch_group(group, {"name": "chat-2"})
assert (group.properties.name, group.properties.targets[0].weight) == ("chat-2", 200)

gone = models.ApplicationLoadBalancerHttpRule(
    name="gone", type="STATIC", status_code=303, response_message="gone", content_type="text/plain",
    conditions=[models.ApplicationLoadBalancerHttpRuleCondition(type="PATH", condition="STARTS_WITH", value="/old")])
rule = api.patch_rule(balancer, rule, {"httpRules": [gone, websockets_to(group)]})
assert [one.name for one in rule.properties.http_rules] == ["gone", "forward"]

api.make_rule(balancer, "another", another, websockets_to(group))
tell()
