package clients

import (
	"net/http"
	"testing"

	ionos "github.com/ionos-cloud/sdk-go/v6"
)

// As ionosctl asks: these parameters are in every query, also of what is written.
func connectLikeIonosctl(t *testing.T) *culvert {
	c := connect(t)
	for name, value := range map[string]string{"depth": "1", "limit": "50", "offset": "0", "order-by": "name"} {
		c.GetConfig().AddDefaultQueryParam(name, value)
	}
	return c
}

// A group as ionosctl makes it: no flag takes the checks away.
func (c *culvert) create() ionos.TargetGroup {
	c.Helper()
	group, answer, err := c.TargetGroupsApi.TargetgroupsPost(c.ctx).TargetGroup(from[ionos.TargetGroup](c, `{"properties": {
		"name": "chat", "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
		"healthCheck": {"checkTimeout": 2000, "checkInterval": 2000, "retries": 3},
		"httpHealthCheck": {"path": "/.", "method": "GET", "matchType": "STATUS_CODE", "response": "200", "regex": false, "negate": false}
	}}`)).Execute()
	return done(c, group, answer, err)
}

func (c *culvert) patchGroup(id *string, properties string) ionos.TargetGroup {
	c.Helper()
	group, answer, err := c.TargetGroupsApi.TargetgroupsPatch(c.ctx, *id).
		TargetGroupProperties(from[ionos.TargetGroupProperties](c, properties)).Execute()
	return done(c, group, answer, err)
}

func TestIonosctlReadsAListAndWritesItBack(t *testing.T) {
	c := connectLikeIonosctl(t)
	group := c.create()
	// `target list` fails where there is no list.
	c.equal(*group.Properties.Targets, []ionos.TargetGroupTarget{})

	// `target add` and `target remove`
	target := from[ionos.TargetGroupTarget](c, `{
		"ip": "10.0.0.7", "port": 8080, "weight": 1, "healthCheckEnabled": true, "maintenanceEnabled": false}`)
	group = c.patchGroup(group.Id, `{"targets": [`+text(target)+`]}`)
	c.comesBack(target, (*group.Properties.Targets)[0])
	c.equal(*group.Properties.HttpHealthCheck.Path, "/.")
	group = c.patchGroup(group.Id, `{"targets": []}`)
	c.equal(*group.Properties.Targets, []ionos.TargetGroupTarget{})

	// `update` with one flag, and with none
	group = c.patchGroup(group.Id, `{"healthCheck": {"retries": 5}}`)
	check := group.Properties.HealthCheck
	c.equal([]int32{*check.Retries, *check.CheckTimeout}, []int32{5, 2000})
	c.equal(c.patchGroup(group.Id, `{}`).Properties, group.Properties)

	// `target remove --all` sends back all that it has read.
	group.Properties.Targets = &[]ionos.TargetGroupTarget{}
	c.equal(c.patchGroup(group.Id, text(group.Properties)).Properties, group.Properties)
}

func TestIonosctlsHttpRulesComeAndGo(t *testing.T) {
	c := connectLikeIonosctl(t)
	is := c.apply()

	// `httprule add` with a cookie's key says COOKIES.
	cookie := from[ionos.ApplicationLoadBalancerHttpRule](c, `{
		"name": "cookie", "type": "STATIC", "statusCode": 503, "responseMessage": "no", "contentType": "application/json",
		"conditions": [{"type": "COOKIES", "condition": "EQUALS", "negate": false, "key": "session", "value": "old"}]}`)
	rules := append(*is.rule.Properties.HttpRules, cookie)
	properties := *is.rule.Properties
	properties.HttpRules = &rules
	rule, answer, err := c.patchRule(is, properties)
	rule = done(c, rule, answer, err)
	c.comesBack(cookie, (*rule.Properties.HttpRules)[len(rules)-1])

	// With the word COOKIE it sends no key, and is told of it.
	rules[len(rules)-1] = from[ionos.ApplicationLoadBalancerHttpRule](c, `{
		"name": "cookie", "type": "STATIC", "statusCode": 503, "responseMessage": "no", "contentType": "application/json",
		"conditions": [{"type": "COOKIE", "condition": "EQUALS", "negate": false, "value": "old"}]}`)
	_, answer, err = c.patchRule(is, properties)
	c.fails(answer, err, 422, "[(root).properties.httpRules[3].conditions[0]")

	// `httprule remove --all` sends the whole rule back, its own listener with it.
	properties.HttpRules = &[]ionos.ApplicationLoadBalancerHttpRule{}
	rule, answer, err = c.patchRule(is, properties)
	c.equal(*done(c, rule, answer, err).Properties.HttpRules, []ionos.ApplicationLoadBalancerHttpRule{})
}

func TestIonosctlListsAndRemovesAll(t *testing.T) {
	c := connectLikeIonosctl(t)
	c.create()
	is := c.apply()
	groups, answer, err := c.TargetGroupsApi.TargetgroupsGet(c.ctx).Execute()
	groups = ok(c, groups, answer, err)
	c.equal(len(*groups.Items), 2)

	// `list --all` goes by all datacenters, with the balancers' filter.
	datacenters, answer, err := c.DataCentersApi.DatacentersGet(c.ctx).Filter("listenerLan", "1").Execute()
	c.equal(*(*ok(c, datacenters, answer, err).Items)[0].Id, datacenter)
	balancers, answer, err := c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersGet(c.ctx, datacenter).Filter("listenerlan", "1").Execute()
	c.equal(*(*ok(c, balancers, answer, err).Items)[0].Id, *is.balancer.Id)

	c.isDone(c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersDelete(c.ctx, datacenter, *is.balancer.Id).Execute())
	for _, group := range *groups.Items {
		c.isDone(c.TargetGroupsApi.TargetGroupsDelete(c.ctx, *group.Id).Execute())
	}
	groups, answer, err = c.TargetGroupsApi.TargetgroupsGet(c.ctx).Execute()
	c.equal(len(*ok(c, groups, answer, err).Items), 0)
}

// `--wait` asks for what was made, and for each parent up to the datacenter, until its state is one of those that are good.
func TestEverythingOnTheWayUpIsAvailable(t *testing.T) {
	c := connectLikeIonosctl(t)
	is := c.apply()
	balancer := "/datacenters/" + datacenter + "/applicationloadbalancers/" + *is.balancer.Id
	for _, path := range []string{balancer + "/forwardingrules/" + *is.rule.Id, balancer, "/datacenters/" + datacenter} {
		status, shown := c.ask("GET", path+"?depth=1", "")
		c.equal(status, http.StatusOK)
		c.equal(shown["metadata"].(map[string]any)["state"], "AVAILABLE")
		c.equal(shown["href"], c.GetConfig().Servers[0].URL+path)
	}
}

// `request list` and `request wait`
func TestRequestsAreToldAsIonosctlReadsThem(t *testing.T) {
	c := connectLikeIonosctl(t)
	group := c.create()
	c.GetConfig().AddDefaultQueryParam("depth", "2")
	requests, answer, err := c.RequestsApi.RequestsGet(c.ctx).Execute()
	newest := (*ok(c, requests, answer, err).Items)[0]
	c.equal(*newest.Properties.Method, "POST")
	c.equal(newest.Metadata.CreatedDate.IsZero(), false)
	status := newest.Metadata.RequestStatus.Metadata
	c.equal(*status.Status, ionos.RequestStatusDone)
	c.equal(*(*status.Targets)[0].Target.Id, *group.Id)
	one, answer, err := c.RequestsApi.RequestsFindById(c.ctx, *newest.Id).Execute()
	c.equal(*ok(c, one, answer, err).Href, c.GetConfig().Servers[0].URL+"/requests/"+*newest.Id)
	_, answer, err = c.RequestsApi.RequestsStatusGet(c.ctx, "22222222-2222-4222-8222-222222222222").Execute()
	c.fails(answer, err, 404, "does not exist")
}

func TestCredentialsAreAskedFor(t *testing.T) {
	c := connectLikeIonosctl(t)
	c.GetConfig().Token = "another-token-than-that"
	_, answer, err := c.TargetGroupsApi.TargetgroupsGet(c.ctx).Execute()
	c.fails(answer, err, 401, "")
}
