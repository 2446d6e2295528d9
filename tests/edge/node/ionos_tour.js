// The tour of IONOS' page on WebSockets with IONOS' SDK for Node: a balancer, a target group and a forwarding rule, a change, and their
// removal in the wrong order first. The arguments are the URL of an API and the ports of a listener and of a target. It tells the
// test what is true, in a line of JSON each, and goes on when the test has looked. The SDK waits for a second before each call.

const assert = require("node:assert/strict");
const readline = require("node:readline");
const ionos = require("@ionos-cloud/sdk-nodejs");

const [, , url, listenerPort, targetPort] = process.argv;
const datacenterId = "11111111-1111-4111-8111-111111111111";
const configuration = new ionos.Configuration({ basePath: `${url}/cloudapi/v6`, apiKey: "0123456789abcdef" });
const groups = new ionos.TargetGroupsApi(configuration);
const balancers = new ionos.ApplicationLoadBalancersApi(configuration);
const requests = new ionos.RequestsApi(configuration);

const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function tell(facts) {
  console.log(JSON.stringify(facts));
  await input.next();
}

// What is told of a call that fails.
async function refused(call) {
  const { response } = await call.then(() => assert.fail("it is done"), (error) => error);
  assert.equal(response.status, response.data.httpStatus);
  return `${response.status} ${response.data.messages[0].message}`;
}

async function tour() {
  const { data: balancer } = await balancers.datacentersApplicationloadbalancersPost({
    datacenterId,
    applicationLoadBalancer: {
      properties: {
        name: "alb-websocket",
        listenerLan: 1,
        targetLan: 2,
        ips: ["127.0.0.1"],
        lbPrivateIps: ["10.20.30.40/24"],
      },
    },
  });
  const applicationLoadBalancerId = balancer.id;
  const target = { ip: "127.0.0.1", port: Number(targetPort), weight: 10, healthCheckEnabled: true };
  const { data: group } = await groups.targetgroupsPost({
    targetGroup: {
      properties: { name: "websocket-target-group", algorithm: "ROUND_ROBIN", protocol: "HTTP", targets: [target] },
    },
  });
  const targetGroupId = group.id;
  const { data: rule, headers } = await balancers.datacentersApplicationloadbalancersForwardingrulesPost({
    datacenterId,
    applicationLoadBalancerId,
    applicationLoadBalancerForwardingRule: {
      properties: {
        name: "websocket-rule",
        protocol: "HTTP",
        listenerIp: "127.0.0.1",
        listenerPort: Number(listenerPort),
        httpRules: [{
          name: "forward",
          type: "FORWARD",
          targetGroup: targetGroupId,
          conditions: [
            { type: "HEADER", condition: "EQUALS", key: "Connection", value: "upgrade" },
            { type: "HEADER", condition: "EQUALS", key: "Upgrade", value: "websocket" },
          ],
        }],
      },
    },
  });
  const [, requestId] = headers.location.match("/requests/([^/]+)/status$");
  const { data: { metadata } } = await requests.requestsStatusGet({ requestId });
  assert.equal(metadata.status, "DONE");
  assert.equal(metadata.targets[0].target.id, rule.id);
  await tell({ balancer: balancer.id, group: group.id, rule: rule.id });

  const { data: renamed } = await groups.targetgroupsPatch({ targetGroupId, targetGroupProperties: { name: "chat" } });
  assert.deepEqual([renamed.properties.name, renamed.properties.targets[0].port], ["chat", Number(targetPort)]);
  const why = await refused(groups.targetGroupsDelete({ targetGroupId }));
  assert.equal(why, `422 the forwarding rule ${rule.id} forwards to it`);
  await tell({});

  await balancers.datacentersApplicationloadbalancersDelete({ datacenterId, applicationLoadBalancerId });
  await groups.targetGroupsDelete({ targetGroupId });
  const gone = await refused(groups.targetgroupsFindByTargetGroupId({ targetGroupId }));
  assert.equal(gone, `404 target group ${group.id} does not exist`);
  await tell({});
}

tour().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
