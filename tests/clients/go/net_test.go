package clients

import (
	"testing"

	ionos "github.com/ionos-cloud/sdk-go/v6"
)

// The datacenter, the LAN and the addresses that a Terraform configuration manages, too.

func TestADatacenterIsManaged(t *testing.T) {
	c := connect(t)
	properties := from[ionos.DatacenterPropertiesPost](c, `{"name": "dc", "location": "de/txl", "secAuthProtection": false}`)
	made, answer, err := c.DataCentersApi.DatacentersPost(c.ctx).
		Datacenter(ionos.DatacenterPost{Properties: &properties}).Execute()
	id := *done(c, made, answer, err).Id
	read, answer, err := c.DataCentersApi.DatacentersFindById(c.ctx, id).Execute()
	read = ok(c, read, answer, err)
	c.comesBack(properties, read.Properties)
	// Without a processor there is a difference in every plan.
	processor := (*read.Properties.CpuArchitecture)[0]
	c.equal(*processor.MaxCores > 0 && *processor.MaxRam > 0 && *processor.CpuFamily != "" && *processor.Vendor != "", true)

	patched, answer, err := c.DataCentersApi.DatacentersPatch(c.ctx, id).
		Datacenter(ionos.DatacenterPropertiesPut{Name: ionos.ToPtr("renamed")}).Execute()
	c.equal(*done(c, patched, answer, err).Properties.Name, "renamed")
	listed, answer, err := c.DataCentersApi.DatacentersGet(c.ctx).Depth(1).Filter("name", "renamed").Execute()
	c.equal(*(*ok(c, listed, answer, err).Items)[0].Id, id)

	c.isDone(c.DataCentersApi.DatacentersDelete(c.ctx, id).Execute())
	_, answer, _ = c.DataCentersApi.DatacentersFindById(c.ctx, "no-uuid").Execute()
	c.status(answer, 404)
}

func TestALanIsDeleteProtectedUntilItsBalancerIsGone(t *testing.T) {
	c := connect(t)
	lan, answer, err := c.LANsApi.DatacentersLansPost(c.ctx, datacenter).
		Lan(from[ionos.Lan](c, `{"properties": {"public": true, "name": "", "ipv6CidrBlock": ""}}`)).Execute()
	lan = done(c, lan, answer, err)
	c.equal(*lan.Id, "1")
	lan, answer, err = c.LANsApi.DatacentersLansFindById(c.ctx, datacenter, *lan.Id).Execute()
	c.equal(*ok(c, lan, answer, err).Metadata.State, ionos.Available)
	c.equal(*lan.Properties.Public, true)

	is := c.apply()
	nics, answer, err := c.LANsApi.DatacentersLansNicsGet(c.ctx, datacenter, *lan.Id).Execute()
	c.equal(len(*ok(c, nics, answer, err).Items), 0)
	answer, err = c.LANsApi.DatacentersLansDelete(c.ctx, datacenter, *lan.Id).Execute()
	// By this the provider knows that it may try again.
	c.fails(answer, err, 403, "is delete-protected by")

	c.isDone(c.ApplicationLoadBalancersApi.
		DatacentersApplicationloadbalancersDelete(c.ctx, datacenter, *is.balancer.Id).Execute())
	answer, err = c.LANsApi.DatacentersLansDelete(c.ctx, datacenter, *lan.Id).Execute()
	c.isDone(answer, err)
	_, answer, _ = c.LANsApi.DatacentersLansFindById(c.ctx, datacenter, *lan.Id).Execute()
	c.status(answer, 404)
}

func TestAnIpBlockHasAsManyAddressesAsItWasAskedFor(t *testing.T) {
	c := connect(t)
	properties := from[ionos.IpBlockProperties](c, `{"name": "public", "location": "de/txl", "size": 2}`)
	block, answer, err := c.IPBlocksApi.IpblocksPost(c.ctx).Ipblock(ionos.IpBlock{Properties: &properties}).Execute()
	block = done(c, block, answer, err)
	block, answer, err = c.IPBlocksApi.IpblocksFindById(c.ctx, *block.Id).Execute()
	block = ok(c, block, answer, err)
	c.comesBack(properties, block.Properties)
	ips := *block.Properties.Ips
	c.equal(len(ips), 2)

	block, answer, err = c.IPBlocksApi.IpblocksPatch(c.ctx, *block.Id).
		Ipblock(ionos.IpBlockProperties{Name: ionos.ToPtr("renamed")}).Execute()
	c.equal(*done(c, block, answer, err).Properties.Ips, ips)
	c.isDone(c.IPBlocksApi.IpblocksDelete(c.ctx, *block.Id).Execute())
}

func TestWhatSurroundsABalancerIsThere(t *testing.T) {
	c := connect(t)
	named, answer, err := c.DataCentersApi.DatacentersFindById(c.ctx, datacenter).Execute()
	c.equal(*ok(c, named, answer, err).Id, datacenter)
	locations, answer, err := c.LocationsApi.LocationsGet(c.ctx).Execute()
	c.equal(len(*ok(c, locations, answer, err).Items) > 0, true)
	location, answer, err := c.LocationsApi.LocationsFindByRegionIdAndId(c.ctx, "de", "txl").Execute()
	location = ok(c, location, answer, err)
	c.equal([]string{*location.Id, *location.Properties.Name}, []string{"de/txl", "de/txl"})
	contracts, answer, err := c.ContractResourcesApi.ContractsGet(c.ctx).Depth(1).Execute()
	c.equal(*(*ok(c, contracts, answer, err).Items)[0].Properties.ContractNumber, int64(1))
}
