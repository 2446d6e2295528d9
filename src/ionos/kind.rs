//! The kinds of objects that the API has, and the words for them.

/// A kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Targets, how one is chosen, and how they are checked.
    TargetGroup,
    /// What balancers, LANs and the rest are in.
    Datacenter,
    /// A network that a balancer listens in, or whose machines are its targets.
    Lan,
    /// What a machine is in a LAN with: there are none here.
    Nic,
    /// Forwarding rules that belong together, and their addresses.
    Balancer,
    /// A listening address and its HTTP rules.
    ForwardingRule,
    /// Where a log of connections would go. It is kept, and nothing is done with it.
    FlowLog,
    /// Public addresses.
    IpBlock,
    /// Where datacenters are.
    Location,
    /// What whoever asks may use.
    Contract,
    /// What was asked for, and what came of it.
    Request,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Kind::TargetGroup,
        Kind::Datacenter,
        Kind::Lan,
        Kind::Nic,
        Kind::Balancer,
        Kind::ForwardingRule,
        Kind::FlowLog,
        Kind::IpBlock,
        Kind::Location,
        Kind::Contract,
        Kind::Request,
    ];

    /// What their collection is called in a path.
    pub fn segment(self) -> &'static str {
        match self {
            Kind::TargetGroup => "targetgroups",
            Kind::Datacenter => "datacenters",
            Kind::Lan => "lans",
            Kind::Nic => "nics",
            Kind::Balancer => "applicationloadbalancers",
            Kind::ForwardingRule => "forwardingrules",
            Kind::FlowLog => "flowlogs",
            Kind::IpBlock => "ipblocks",
            Kind::Location => "locations",
            Kind::Contract => "contracts",
            Kind::Request => "requests",
        }
    }

    /// Its `type`. IONOS' Go SDK can read no other words.
    pub fn word(self) -> &'static str {
        match self {
            Kind::TargetGroup => "target-group",
            Kind::Datacenter => "datacenter",
            Kind::Lan => "lan",
            Kind::Nic => "nic",
            Kind::Balancer => "applicationloadbalancer",
            Kind::ForwardingRule => "forwarding-rule",
            Kind::FlowLog => "flow-log",
            Kind::IpBlock => "ipblock",
            Kind::Location => "location",
            Kind::Contract => "contract",
            Kind::Request => "request",
        }
    }

    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::TargetGroup => "target group",
            Kind::Datacenter => "datacenter",
            Kind::Lan => "LAN",
            Kind::Nic => "NIC",
            Kind::Balancer => "application load balancer",
            Kind::ForwardingRule => "forwarding rule",
            Kind::FlowLog => "flow log",
            Kind::IpBlock => "IP block",
            Kind::Location => "location",
            Kind::Contract => "contract",
            Kind::Request => "request",
        }
    }

    /// What its objects are in; `None` at the top.
    pub fn parent(self) -> Option<Kind> {
        match self {
            Kind::Lan | Kind::Balancer => Some(Kind::Datacenter),
            Kind::Nic => Some(Kind::Lan),
            Kind::ForwardingRule | Kind::FlowLog => Some(Kind::Balancer),
            Kind::TargetGroup
            | Kind::Datacenter
            | Kind::IpBlock
            | Kind::Location
            | Kind::Contract
            | Kind::Request => None,
        }
    }

    /// The kinds of what is in one.
    pub fn children(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| kind.parent() == Some(self))
    }

    /// Whether clients make, change and remove them.
    pub fn is_written(self) -> bool {
        match self {
            Kind::TargetGroup
            | Kind::Datacenter
            | Kind::Lan
            | Kind::Balancer
            | Kind::ForwardingRule
            | Kind::FlowLog
            | Kind::IpBlock => true,
            Kind::Nic | Kind::Location | Kind::Contract | Kind::Request => false,
        }
    }

    /// How many of a collection are shown where nobody says, and at most.
    pub fn page(self) -> (usize, usize) {
        match self {
            Kind::TargetGroup => (100, 200),
            _ => (1000, 10_000),
        }
    }
}
