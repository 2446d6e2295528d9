"""What there is, with a depth, in parts, in an order, and with filters. The further argument is the port of a listener."""

import sys

from ionos import DATACENTER, Api, target, websockets_to

api = Api()

names = ["chat", "web east", "Web West"]
groups = [api.make_group(name, target(8080)) for name in reversed(names)]
balancer = api.make_balancer()
rule = api.make_rule(balancer, "wss", sys.argv[2], websockets_to(groups[0]))


def named(part={}, **query):
    """The names of the groups on a page, with what the SDK has no parameters for."""
    listed = api.groups.targetgroups_get(depth=1, **part, query_params=query)
    return [group.properties.name for group in listed.items]


# Bare references, unless a depth is asked for.
bare = api.groups.targetgroups_get()
assert {(group.id, group.type) for group in bare.items} == {(group.id, "target-group") for group in groups}
assert all(group.properties is None for group in bare.items)

assert sorted(named()) == sorted(names)
assert named(orderBy="name") == names
pages = [{"limit": 2, "offset": offset} for offset in (0, 2, 4)]
assert [named(page, orderBy="name") for page in pages] == [names[:2], names[2:], []]
assert named(orderBy="name", **{"filter.name": "web"}) == names[1:]
assert named(**{"filter.name": "no such"}) == []
assert len(named(**{"filter.imageAlias": "debian"})) == 3

# A datacenter is there as soon as a path names it, with the LANs that a balancer names.
at = api.balancers.datacenters_applicationloadbalancers_get
assert at(DATACENTER).items[0].properties is None
assert at(DATACENTER, depth=1).items[0].entities.forwardingrules.items is None
assert at(DATACENTER, depth=2).items[0].entities.forwardingrules.items[0].properties is None
shown = at(DATACENTER, depth=3).items[0]
assert shown.properties.listener_lan == 1
assert shown.entities.forwardingrules.items[0].properties.listener_port == int(sys.argv[2])
assert at("22222222-2222-4222-8222-222222222222").items == []
