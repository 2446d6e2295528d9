"""The tour of IONOS' page on WebSockets: a balancer, a target group and a forwarding rule; then all of it goes again. The further
arguments are the ports of the listener and of a target."""

import sys

from ionos import DATACENTER, Api, refused, target, tell, websockets_to

listener, target_port = sys.argv[2:]
api = Api()

balancer = api.make_balancer()
group = api.make_group("websocket-target-group", target(target_port))
rule = api.make_rule(balancer, "websocket-rule", listener, websockets_to(group))
tell(balancer=balancer.id, group=group.id, rule=rule.id)

# In the wrong order first.
refused(422, f"the forwarding rule {rule.id} forwards to it", api.groups.target_groups_delete, group.id)
tell()

api.done(
    api.balancers.datacenters_applicationloadbalancers_forwardingrules_delete_with_http_info,
    DATACENTER, balancer.id, rule.id)
api.done(api.groups.target_groups_delete_with_http_info, group.id)
api.done(api.balancers.datacenters_applicationloadbalancers_delete_with_http_info, DATACENTER, balancer.id)
assert api.groups.targetgroups_get().items == []
assert api.balancers.datacenters_applicationloadbalancers_get(DATACENTER).items == []
tell()
