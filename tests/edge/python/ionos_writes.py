"""What PATCH and PUT make of what is there."""

from ionoscloud import models

from ionos import Api, target

api = Api()

check = models.TargetGroupHealthCheck(check_timeout=60, check_interval=1000, retries=5)
page = models.TargetGroupHttpHealthCheck(path="/health", method="GET", match_type="STATUS_CODE", response="200")
made = api.make_group("chat", target(8080), target(8081), health_check=check, http_health_check=page)
api.patch_group(made, {"deregistrationDelay": "10s"})


def stored():
    return api.groups.targetgroups_find_by_target_group_id(made.id)


# A PATCH changes what it names. Lists are replaced, and what is null goes.
api.patch_group(made, {"healthCheck": {"retries": 7}, "targets": [target(9090)]})
properties = stored().properties
assert (properties.name, properties.http_health_check.path) == ("chat", "/health")
assert (properties.health_check.retries, properties.health_check.check_timeout) == (7, 60)
assert [one.port for one in properties.targets] == [9090]
api.patch_group(made, {"httpHealthCheck": None, "targets": None})
properties = stored().properties
assert (properties.http_health_check, properties.targets) == (None, [])

# A PUT leaves nothing but what it names, and what the SDK cannot name.
whole = models.TargetGroupProperties(name="new", algorithm="LEAST_CONNECTION", protocol="HTTP")
api.done(api.groups.targetgroups_put_with_http_info, made.id, models.TargetGroupPut(properties=whole))
properties = stored().properties
assert (properties.name, properties.algorithm, properties.targets) == ("new", "LEAST_CONNECTION", [])
assert (properties.health_check.retries, properties.health_check.check_timeout) == (3, 2000)
left = api.groups.targetgroups_find_by_target_group_id(made.id, response_type="object")
assert left["properties"]["deregistrationDelay"] == "10s", left

# What was read can be written again.
before = stored()
api.done(api.groups.targetgroups_put_with_http_info, made.id, models.TargetGroupPut(properties=before.properties))
assert stored().properties == before.properties
