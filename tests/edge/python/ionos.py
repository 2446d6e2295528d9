"""IONOS' Python SDK, for the stories that begin with `ionos_`. Their first argument is the URL of an API. A story tells the test
what is true with `tell`, and goes on when the test has looked."""

import json
import re
import sys

import ionoscloud
from ionoscloud import models

TOKEN = "0123456789abcdef"
DATACENTER = "11111111-1111-4111-8111-111111111111"


def tell(**facts):
    print(json.dumps(facts), flush=True)
    sys.stdin.readline()


class Api:
    def __init__(self, token=TOKEN):
        self.client = ionoscloud.ApiClient(ionoscloud.Configuration(host=f"{sys.argv[1]}/cloudapi/v6", token=token))
        self.groups = ionoscloud.TargetGroupsApi(self.client)
        self.balancers = ionoscloud.ApplicationLoadBalancersApi(self.client)

    def done(self, call, *arguments):
        """What a write answers, once its request is done. It is so at the first look: a second one would come too late for the test."""
        made, status, headers = call(*arguments)
        assert status == 202, status
        request = re.search(r"/requests/([^/]+)/status$", headers["Location"])[1]
        self.client.wait_for_completion(request, initial_wait=60)
        return made

    def make_group(self, name, *targets, **more):
        properties = models.TargetGroupProperties(
            name=name, algorithm="ROUND_ROBIN", protocol="HTTP", targets=list(targets), **more)
        return self.done(self.groups.targetgroups_post_with_http_info, models.TargetGroup(properties=properties))

    def make_balancer(self, name="alb-websocket"):
        properties = models.ApplicationLoadBalancerProperties(
            name=name, listener_lan=1, target_lan=2, ips=["127.0.0.1"], lb_private_ips=["10.20.30.40/24"])
        return self.done(
            self.balancers.datacenters_applicationloadbalancers_post_with_http_info,
            DATACENTER, models.ApplicationLoadBalancer(properties=properties))

    def make_rule(self, balancer, name, port, *http_rules):
        properties = models.ApplicationLoadBalancerForwardingRuleProperties(
            name=name, protocol="HTTP", listener_ip="127.0.0.1", listener_port=int(port), http_rules=list(http_rules))
        return self.done(
            self.balancers.datacenters_applicationloadbalancers_forwardingrules_post_with_http_info,
            DATACENTER, balancer.id, models.ApplicationLoadBalancerForwardingRule(properties=properties))

    def patch_rule(self, balancer, rule, properties):
        return self.done(
            self.balancers.datacenters_applicationloadbalancers_forwardingrules_patch_with_http_info,
            DATACENTER, balancer.id, rule.id, properties)

    def patch_group(self, group, properties):
        return self.done(self.groups.targetgroups_patch_with_http_info, group.id, properties)


def target(port, weight=10):
    return models.TargetGroupTarget(ip="127.0.0.1", port=int(port), weight=weight, health_check_enabled=True)


def websockets_to(group):
    """The HTTP rule of IONOS' page."""
    conditions = [
        models.ApplicationLoadBalancerHttpRuleCondition(type="HEADER", condition="EQUALS", key=key, value=value)
        for key, value in [("Connection", "upgrade"), ("Upgrade", "websocket")]
    ]
    return models.ApplicationLoadBalancerHttpRule(
        name="forward", type="FORWARD", target_group=group.id, conditions=conditions)


def refused(status, message, call, *arguments, **named):
    """The call fails with this status, and with this in the message that the exception shows."""
    try:
        call(*arguments, **named)
    except ionoscloud.ApiException as exception:
        body = json.loads(exception.body)
        assert (exception.status, body["httpStatus"]) == (status, status), exception
        assert message in str(exception), exception
        return [one["errorCode"] for one in body["messages"]]
    raise AssertionError(f"{message!r} was expected")
