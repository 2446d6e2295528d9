"""All that can be wrong, and what the SDK's exception says of it. The further arguments are the ports of a listener, and of one that
the configuration file has."""

import sys

import ionoscloud
from ionoscloud import models

from ionos import DATACENTER, Api, refused, target, websockets_to

NOBODY = "00000000-0000-4000-8000-000000000000"
listener, of_the_file = sys.argv[2:]
api = Api()
group = api.make_group("chat", target(8080))
balancer = api.make_balancer()
api.make_rule(balancer, "wss", listener, websockets_to(group))

refused(401, "the token is not valid", Api(token="fedcba9876543210").groups.targetgroups_get)
refused(401, "credentials are needed", Api(token=None).groups.targetgroups_get)

refused(404, f"target group {NOBODY} does not exist", api.groups.targetgroups_find_by_target_group_id, NOBODY)
refused(404, f"target group {NOBODY} does not exist", api.groups.target_groups_delete, NOBODY)
refused(404, f"request {NOBODY} does not exist", api.client.wait_for_completion, NOBODY)
refused(404, "/servers does not exist", api.client.call_api, "/servers", "GET", auth_settings=["TokenAuthentication"])

refused(422, "[(root).properties.targets[0].port] ", api.make_group, "bad", target(0))
refused(422, "[(root).properties.targets[1].weight] ", api.make_group, "bad", target(1), target(2, weight=257))
refused(422, "[(root).properties.name] ", api.groups.targetgroups_post, {"properties": {"algorithm": "RANDOM", "protocol": "HTTP"}})
refused(422, "[(root).properties.algorithm] ", api.groups.targetgroups_patch, group.id, {"algorithm": "FASTEST"})
refused(422, "[(root).properties.typo] ", api.groups.targetgroups_patch, group.id, {"typo": 1})
missing = models.TargetGroup(id=NOBODY)
refused(422, "[(root).properties.httpRules[0].targetGroup] ", api.make_rule, balancer, "bad", 1, websockets_to(missing))
codes = refused(
    422, f"[(root).properties.listenerIp] Listener IP and port combination 127.0.0.1:{listener} already used by wss",
    api.make_rule, balancer, "second", listener)
assert codes == ["371"], codes

codes = refused(422, f"127.0.0.1:{of_the_file} already used by edge", api.make_rule, balancer, "bad", of_the_file)
assert codes == ["371"], codes

second = Api()
second.client.set_default_header("If-Match", group.metadata.etag)
second.patch_group(group, {"name": "first"})
refused(412, "", second.patch_group, group, {"name": "second"})

[of_file] = api.groups.targetgroups_get(query_params={"filter.name": "of-the-file"}).items
refused(403, "is the configuration file's", api.groups.target_groups_delete, of_file.id)
refused(403, "is the configuration file's", api.patch_group, of_file, {"name": "mine"})
places = [one.id for one in ionoscloud.DataCentersApi(api.client).datacenters_get().items]
balancers = [(place, one) for place in places
             for one in api.balancers.datacenters_applicationloadbalancers_get(place, depth=1).items]
[(place, edge)] = [(place, one) for place, one in balancers if one.properties.name == "file"]
refused(
    403, "is the configuration file's",
    api.balancers.datacenters_applicationloadbalancers_patch, place, edge.id, {"name": "mine"})

refused(405, "DELETE is not for /targetgroups", api.client.call_api, "/targetgroups", "DELETE", auth_settings=["TokenAuthentication"])

# Nothing of it has changed anything.
assert sorted(one.properties.name for one in api.groups.targetgroups_get(depth=1).items) == ["first", "of-the-file"]
rules = api.balancers.datacenters_applicationloadbalancers_forwardingrules_get(DATACENTER, balancer.id)
assert len(rules.items) == 1
