"""A target comes to a group, and another goes from it. The further arguments are the ports of a listener and of these targets."""

import sys

from ionos import Api, target, tell, websockets_to

listener, goes, comes = sys.argv[2:]
api = Api()

balancer = api.make_balancer()
group = api.make_group("chat", target(goes))
# The model of the SDK does not know this property, and a body need not be a model.
api.patch_group(group, {"deregistrationDelay": 1000})
api.make_rule(balancer, "wss", listener, websockets_to(group))
tell()

api.patch_group(group, {"targets": [target(goes, weight=1), target(comes, weight=1)]})
tell()

group = api.patch_group(group, {"targets": [target(comes)]})
assert [one.port for one in group.properties.targets] == [int(comes)]
tell()
