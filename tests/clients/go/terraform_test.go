package clients

import (
	"strings"
	"testing"

	ionos "github.com/ionos-cloud/sdk-go/v6"
)

// What the provider sends for a group, a balancer and a rule: zeros are left out, and words come as they were written.
const (
	terraformsGroup = `{
		"name": "chat", "algorithm": "round_robin", "protocol": "HTTP", "protocolVersion": "HTTP1",
		"targets": [
			{"ip": "10.12.118.224", "port": 8080, "weight": 10, "proxyProtocol": "none", "healthCheckEnabled": true, "maintenanceEnabled": false},
			{"ip": "10.12.118.225", "port": 8080, "proxyProtocol": "v2", "healthCheckEnabled": false, "maintenanceEnabled": false}
		],
		"healthCheck": {"checkTimeout": 5000, "checkInterval": 50000, "retries": 2},
		"httpHealthCheck": {"path": "/.", "method": "GET", "matchType": "STATUS_CODE", "response": "200", "regex": true}
	}`
	terraformsBalancer = `{
		"name": "edge", "listenerLan": 1, "targetLan": 2, "ips": ["127.0.0.1", "10.12.118.224"],
		"lbPrivateIps": ["10.13.72.226/24", "10.13.72.225/24"], "centralLogging": false, "loggingFormat": "%{+Q}o %{-Q}ci"
	}`
	terraformsRule = `{
		"name": "wss", "protocol": "HTTP", "listenerIp": "127.0.0.1", "listenerPort": PORT, "clientTimeout": 1000,
		"httpRules": [
			{"name": "old", "type": "redirect", "location": "www.ionos.com", "statusCode": 301, "dropQuery": true, "conditions": [
				{"type": "QUERY", "condition": "MATCHES", "negate": true, "key": "goto", "value": "^/new"}]},
			{"name": "away", "type": "Static", "statusCode": 303, "responseMessage": "Response", "contentType": "text/html", "conditions": [
				{"type": "header", "condition": "equals", "key": "X-Away", "value": "yes"},
				{"type": "HEADER", "condition": "EQUALS", "value": "a header without a name"},
				{"type": "SOURCE_IP", "value": "10.12.118.224/24"}]},
			{"name": "all", "type": "FORWARD", "targetGroup": "GROUP"}
		]
	}`
)

// What the three resources are, as they were read last.
type applied struct {
	group    ionos.TargetGroup
	balancer ionos.ApplicationLoadBalancer
	rule     ionos.ApplicationLoadBalancerForwardingRule
}

func (c *culvert) readGroup(id *string) (ionos.TargetGroup, *ionos.APIResponse, error) {
	return c.TargetGroupsApi.TargetgroupsFindByTargetGroupId(c.ctx, *id).Execute()
}

func (c *culvert) readBalancer(id *string) (ionos.ApplicationLoadBalancer, *ionos.APIResponse, error) {
	return c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersFindByApplicationLoadBalancerId(c.ctx, datacenter, *id).Execute()
}

func (c *culvert) readRule(balancer, id *string) (ionos.ApplicationLoadBalancerForwardingRule, *ionos.APIResponse, error) {
	return c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersForwardingrulesFindByForwardingRuleId(c.ctx, datacenter, *balancer, *id).Execute()
}

func (c *culvert) flowLogs(balancer *string, depth int32) []ionos.FlowLog {
	list, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersFlowlogsGet(c.ctx, datacenter, *balancer).Depth(depth).Execute()
	return *ok(c, list, answer, err).Items
}

// Creates all three in the provider's order: each is made, its request asked about, and then it is read.
func (c *culvert) apply() applied {
	c.Helper()
	properties := from[ionos.TargetGroupProperties](c, terraformsGroup)
	group, answer, err := c.TargetGroupsApi.TargetgroupsPost(c.ctx).
		TargetGroup(ionos.TargetGroup{Properties: &properties}).Execute()
	group = done(c, group, answer, err)
	group, answer, err = c.readGroup(group.Id)
	group = ok(c, group, answer, err)
	c.comesBack(properties, group.Properties)

	edge := from[ionos.ApplicationLoadBalancerProperties](c, terraformsBalancer)
	balancer, answer, err := c.ApplicationLoadBalancersApi.DatacentersApplicationloadbalancersPost(c.ctx, datacenter).
		ApplicationLoadBalancer(ionos.ApplicationLoadBalancer{Properties: &edge}).Execute()
	balancer = done(c, balancer, answer, err)
	balancer, answer, err = c.readBalancer(balancer.Id)
	balancer = ok(c, balancer, answer, err)
	c.equal(len(c.flowLogs(balancer.Id, 1)), 0)
	c.comesBack(edge, balancer.Properties, "ips", "lbPrivateIps")

	wss := from[ionos.ApplicationLoadBalancerForwardingRuleProperties](
		c, strings.NewReplacer("PORT", c.port, "GROUP", *group.Id).Replace(terraformsRule))
	rule, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersForwardingrulesPost(c.ctx, datacenter, *balancer.Id).
		ApplicationLoadBalancerForwardingRule(ionos.ApplicationLoadBalancerForwardingRule{Properties: &wss}).Execute()
	rule = done(c, rule, answer, err)
	rule, answer, err = c.readRule(balancer.Id, rule.Id)
	rule = ok(c, rule, answer, err)
	c.comesBack(wss, rule.Properties)
	return applied{group, balancer, rule}
}

func (c *culvert) patchRule(
	is applied, properties ionos.ApplicationLoadBalancerForwardingRuleProperties,
) (ionos.ApplicationLoadBalancerForwardingRule, *ionos.APIResponse, error) {
	return c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersForwardingrulesPatch(c.ctx, datacenter, *is.balancer.Id, *is.rule.Id).
		ApplicationLoadBalancerForwardingRuleProperties(properties).Execute()
}

func TestASecondPlanIsEmpty(t *testing.T) {
	c := connect(t)
	is := c.apply()
	group, answer, err := c.readGroup(is.group.Id)
	c.equal(ok(c, group, answer, err), is.group)
	balancer, answer, err := c.readBalancer(is.balancer.Id)
	c.equal(ok(c, balancer, answer, err), is.balancer)
	rule, answer, err := c.readRule(is.balancer.Id, is.rule.Id)
	c.equal(ok(c, rule, answer, err), is.rule)

	// A target's weight that is not said is 1, and what is not said of a balancer is not invented.
	c.equal(*(*group.Properties.Targets)[1].Weight, int32(1))
	properties := from[ionos.ApplicationLoadBalancerProperties](c, `{"name": "bare", "listenerLan": 3, "targetLan": 4}`)
	bare, answer, err := c.ApplicationLoadBalancersApi.DatacentersApplicationloadbalancersPost(c.ctx, datacenter).
		ApplicationLoadBalancer(ionos.ApplicationLoadBalancer{Properties: &properties}).Execute()
	bare = done(c, bare, answer, err)
	c.equal(*bare.Properties.Ips, []string{})
	c.equal(bare.Properties.LbPrivateIps == nil, true)
}

func TestWhatTerraformChanges(t *testing.T) {
	c := connect(t)
	is := c.apply()

	// Nothing that the API has of a balancer: a PATCH of nothing.
	balancer, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersPatch(c.ctx, datacenter, *is.balancer.Id).
		ApplicationLoadBalancerProperties(ionos.ApplicationLoadBalancerProperties{}).Execute()
	c.equal(done(c, balancer, answer, err).Properties, is.balancer.Properties)

	// What has changed of a rule, and no more.
	rule, answer, err := c.patchRule(is, ionos.ApplicationLoadBalancerForwardingRuleProperties{Name: ionos.ToPtr("renamed")})
	rule = done(c, rule, answer, err)
	c.equal(*rule.Properties.Name, "renamed")
	c.equal(rule.Properties.HttpRules, is.rule.Properties.HttpRules)

	// All HTTP rules are gone from the configuration: the provider has a slice that is nil, which is sent as null.
	var none []ionos.ApplicationLoadBalancerHttpRule
	rule, answer, err = c.patchRule(is, ionos.ApplicationLoadBalancerForwardingRuleProperties{HttpRules: &none})
	c.equal(*done(c, rule, answer, err).Properties.HttpRules, []ionos.ApplicationLoadBalancerHttpRule{})

	// A group is put whole, which leaves what the provider does not know.
	path := "/targetgroups/" + *is.group.Id
	status, _ := c.ask("PATCH", path, `{"deregistrationDelay": "7s", "healthCheck": {"healthyThreshold": 5}}`)
	c.equal(status, 202)
	properties := from[ionos.TargetGroupProperties](c, terraformsGroup)
	(*properties.Targets)[0].Weight = ionos.ToPtr(int32(20))
	group, answer, err := c.TargetGroupsApi.TargetgroupsPut(c.ctx, *is.group.Id).
		TargetGroup(ionos.TargetGroupPut{Properties: &properties}).Execute()
	c.comesBack(properties, done(c, group, answer, err).Properties)
	_, stored := c.ask("GET", path, "")
	c.comesBack(
		asMap(c, from[any](c, `{"deregistrationDelay": "7s", "healthCheck": {"healthyThreshold": 5, "retries": 2}}`)),
		stored["properties"])
}

func TestFlowLogsAreListedAtEachDepthThatTheProviderAsksFor(t *testing.T) {
	c := connect(t)
	is := c.apply()
	properties := from[ionos.FlowLogProperties](
		c, `{"name": "flows", "action": "ALL", "direction": "INGRESS", "bucket": "flow-log-bucket"}`)
	flowLog, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersFlowlogsPost(c.ctx, datacenter, *is.balancer.Id).
		ApplicationLoadBalancerFlowLog(ionos.FlowLog{Properties: &properties}).Execute()
	flowLog = ok(c, flowLog, answer, err)
	for _, depth := range []int32{1, 2} {
		c.comesBack(properties, c.flowLogs(is.balancer.Id, depth)[0].Properties)
	}
	c.equal(*c.flowLogs(is.balancer.Id, 0)[0].Id, *flowLog.Id)
}

func TestTheProvidersDataSourcesFindByName(t *testing.T) {
	c := connect(t)
	is := c.apply()
	groups, answer, err := c.TargetGroupsApi.TargetgroupsGet(c.ctx).Depth(1).Limit(200).Execute()
	c.equal(*(*ok(c, groups, answer, err).Items)[0].Properties.Name, "chat")
	groups, answer, err = c.TargetGroupsApi.TargetgroupsGet(c.ctx).Depth(1).Filter("name", "HA").Execute()
	c.equal(*(*ok(c, groups, answer, err).Items)[0].Id, *is.group.Id)
	balancers, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersGet(c.ctx, datacenter).Depth(1).Execute()
	c.equal(*(*ok(c, balancers, answer, err).Items)[0].Properties.Name, "edge")
	rules, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersForwardingrulesGet(c.ctx, datacenter, *is.balancer.Id).Depth(1).Execute()
	c.equal(*(*ok(c, rules, answer, err).Items)[0].Properties.Name, "wss")
}

func TestAListenerIsNobodyElses(t *testing.T) {
	c := connect(t)
	is := c.apply()
	second := *is.rule.Properties
	second.Name = ionos.ToPtr("second")
	_, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersForwardingrulesPost(c.ctx, datacenter, *is.balancer.Id).
		ApplicationLoadBalancerForwardingRule(ionos.ApplicationLoadBalancerForwardingRule{Properties: &second}).Execute()
	c.fails(answer, err, 422, "Listener IP and port combination 127.0.0.1:"+c.port+" already used by wss")
	model := err.(ionos.GenericOpenAPIError).Model().(ionos.Error)
	c.equal(*(*model.Messages)[0].ErrorCode, "371")

	// Its own is its own.
	rule, answer, err := c.patchRule(is, *is.rule.Properties)
	c.equal(done(c, rule, answer, err).Properties, is.rule.Properties)
}

func TestABalancerIsThereOrNot(t *testing.T) {
	c := connect(t)
	is := c.apply()
	_, answer, err := c.readBalancer(is.balancer.Id)
	ok(c, is.balancer, answer, err)
	for _, id := range []string{"22222222-2222-4222-8222-222222222222", "no-uuid"} {
		_, answer, err = c.readBalancer(&id)
		c.fails(answer, err, 404, "does not exist")
		c.equal(answer.HttpNotFound(), true)
	}

	// In the provider's order: a group may go as soon as the request about its rule is done.
	answer, err = c.TargetGroupsApi.TargetGroupsDelete(c.ctx, *is.group.Id).Execute()
	c.fails(answer, err, 422, "the forwarding rule "+*is.rule.Id+" forwards to it")
	c.isDone(c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersForwardingrulesDelete(c.ctx, datacenter, *is.balancer.Id, *is.rule.Id).Execute())
	_, answer, _ = c.readRule(is.balancer.Id, is.rule.Id)
	c.status(answer, 404)
	c.isDone(c.TargetGroupsApi.TargetGroupsDelete(c.ctx, *is.group.Id).Execute())
	_, answer, _ = c.readGroup(is.group.Id)
	c.status(answer, 404)
	c.isDone(c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersDelete(c.ctx, datacenter, *is.balancer.Id).Execute())
	_, answer, _ = c.readBalancer(is.balancer.Id)
	c.status(answer, 404)
}
