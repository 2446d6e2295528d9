//! Service, EndpointSlice and Endpoints: where the Pods are that answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::fields::{Fields, Node};
use super::meta::{Meta, Name};

/// A Service.
#[derive(Debug)]
pub struct Service {
    /// What all objects have.
    pub meta: Meta,
    /// Whether it is but another name of something (`ExternalName`).
    pub is_external: bool,
    /// `ports`
    pub ports: Vec<ServicePort>,
}

/// An entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`: empty where there is none.
    pub name: Arc<str>,
    /// `port`
    pub port: u16,
    /// `appProtocol`
    pub app_protocol: Option<Arc<str>>,
}

impl Service {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let entries = spec.list("ports", 1000).into_iter();
        let port = |node: Node| {
            let fields = node.fields();
            if fields.text("protocol").is_some_and(|word| word != "TCP") {
                return None;
            }
            Some(ServicePort {
                name: fields.text("name").unwrap_or_default().into(),
                port: fields.port("port")?,
                app_protocol: fields.text("appProtocol").map(Into::into),
            })
        };
        Service {
            meta,
            is_external: spec.text("type") == Some("ExternalName"),
            ports: entries.filter_map(port).collect(),
        }
    }
}

/// An EndpointSlice, or a subset of Endpoints.
#[derive(Debug)]
pub struct EndpointSlice {
    /// What all objects have.
    pub meta: Meta,
    /// The Service that it is of: the label `kubernetes.io/service-name`.
    pub service: Option<Name>,
    /// Name and number of its ports.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// An entry of `endpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its addresses; one in practice.
    pub addresses: Vec<IpAddr>,
    /// `conditions.ready`, true where it is not said.
    pub is_ready: bool,
    /// Whether it still serves while it ends.
    pub is_serving: bool,
}

impl EndpointSlice {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let service = meta.labels.get("kubernetes.io/service-name");
        let service = service.map(|name| Name::new(&meta.name.namespace, name));
        let endpoints = top.list("endpoints", 1000).into_iter();
        EndpointSlice {
            service,
            ports: ports(top),
            endpoints: endpoints.map(endpoint).collect(),
            meta,
        }
    }
}

/// Endpoints: what there was before EndpointSlices, and is enough for files.
#[derive(Debug)]
pub struct Endpoints {
    /// What all objects have. Their name is that of the Service.
    pub meta: Meta,
    /// `subsets`: ports and endpoints of each.
    pub subsets: Vec<Subset>,
}

/// An entry of `subsets`.
#[derive(Debug)]
pub struct Subset {
    /// Name and number of its ports.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

impl Endpoints {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let subsets = top.list("subsets", 1000).into_iter();
        let subset = |node: Node| {
            let fields = node.fields();
            let addresses = |key: &str, is_ready: bool| {
                let entries = fields.list(key, 1000).into_iter();
                let entries = entries.filter_map(|node| ip(&node.fields().node("ip")?));
                let endpoints = entries.map(|ip| Endpoint {
                    addresses: vec![ip],
                    is_ready,
                    is_serving: is_ready,
                });
                endpoints.collect::<Vec<_>>()
            };
            let mut endpoints = addresses("addresses", true);
            endpoints.extend(addresses("notReadyAddresses", false));
            Subset {
                ports: ports(&fields),
                endpoints,
            }
        };
        Endpoints {
            meta,
            subsets: subsets.map(subset).collect(),
        }
    }
}

fn ports(of: &Fields) -> Vec<(Arc<str>, u16)> {
    let entries = of.list("ports", 1000).into_iter();
    let port = |node: Node| {
        let fields = node.fields();
        let name = fields.text("name").unwrap_or_default();
        Some((name.into(), fields.port("port")?))
    };
    entries.filter_map(port).collect()
}

fn endpoint(node: Node) -> Endpoint {
    let fields = node.fields();
    let addresses = fields.list("addresses", 100).into_iter();
    let conditions = fields.fields("conditions");
    let said = |key: &str| conditions.as_ref().and_then(|fields| fields.boolean(key));
    let is_ready = said("ready").unwrap_or(true);
    let is_ending = said("terminating").unwrap_or(false);
    Endpoint {
        addresses: addresses.filter_map(|node| ip(&node)).collect(),
        is_ready: is_ready && !is_ending,
        is_serving: is_ending && said("serving").unwrap_or(is_ready),
    }
}

fn ip(node: &Node) -> Option<IpAddr> {
    match node.text()?.parse::<IpAddr>() {
        Ok(ip) => Some(ip.to_canonical()),
        Err(_) => node.flaw("must be an IP address"),
    }
}
