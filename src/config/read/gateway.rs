//! `gateway`: objects of the Gateway API that are served beside the file's.

use std::net::IpAddr;
use std::path::PathBuf;

use super::super::model::{Access, Gateway, Kubernetes};
use super::super::tree::{Mapping, Node};
use super::defaults;
use super::host_name;

pub(super) const KEYS: &[&str] = &[
    "manifests",
    "kubernetes",
    "cache",
    "controllerName",
    "addresses",
];
pub(super) const KUBERNETES_KEYS: &[&str] =
    &["kubeconfig", "context", "inCluster", "namespace", "node"];

/// How long a controller's name may be.
const LONGEST_NAME: usize = 253;
/// How long the name of a node or a namespace may be.
const LONGEST_NODE: usize = 63;

pub(super) fn read(top: &Mapping) -> Option<Option<Gateway>> {
    let Some(node) = top.get("gateway") else {
        return Some(None);
    };
    let mapping = node.mapping(KEYS)?;
    let kubernetes = mapping.or("kubernetes", None, |node| kubernetes(node).map(Some));
    let manifests = match mapping.get("kubernetes") {
        Some(_) => {
            mapping.forbidden("manifests", "is not for objects of a cluster");
            Some(Vec::new())
        }
        None => {
            mapping.forbidden("cache", "is only for objects of a cluster: with kubernetes");
            mapping.required("manifests", manifests)
        }
    };
    let cache = mapping.or("cache", None, |node| node.path_of_file().map(Some));
    let default = defaults::CONTROLLER_NAME.to_owned();
    let controller_name = mapping.or("controllerName", default, controller_name);
    let addresses = mapping.or("addresses", Vec::new(), addresses);
    Some(Some(Gateway {
        manifests: manifests?,
        kubernetes: kubernetes?,
        cache: cache?,
        controller_name: controller_name?,
        addresses: addresses?,
    }))
}

fn kubernetes(node: &Node) -> Option<Kubernetes> {
    if cfg!(not(feature = "kubernetes")) {
        return node.problem("this culvert is built without the feature kubernetes");
    }
    let mapping = node.mapping(KUBERNETES_KEYS)?;
    let is_inside = mapping.or("inCluster", false, Node::boolean);
    let path = mapping.or("kubeconfig", None, |node| node.path_of_file().map(Some));
    let context = mapping.or("context", None, |node| {
        node.text().map(|text| Some(text.into()))
    });
    let default = defaults::LEASE_NAMESPACE.to_owned();
    let namespace = mapping.or("namespace", default, |node| {
        label(node, "a namespace", |name| {
            !name.contains('.') && is_name(name)
        })
    });
    let node_name = match mapping.get("node") {
        Some(node) => label(&node, "a name of a node", is_name),
        None => own_name(&mapping),
    };
    let access = match (is_inside?, path?) {
        (false, None) => return mapping.problem("kubeconfig", "is required, or inCluster: true"),
        (true, Some(_)) => return mapping.problem("kubeconfig", "is not for inCluster: true"),
        (true, None) => {
            mapping.forbidden("context", "is only for a kubeconfig");
            Access::InCluster
        }
        (false, Some(path)) => Access::Kubeconfig {
            path,
            context: context?,
        },
    };
    Some(Kubernetes {
        access,
        namespace: namespace?,
        node: node_name?,
    })
}

/// The name of the host, as leases may be named.
fn own_name(mapping: &Mapping) -> Option<String> {
    let name = host_name::read().to_ascii_lowercase();
    match is_name(&name) {
        true => Some(name),
        false => mapping.problem("node", "is required: the name of this machine is no label"),
    }
}

fn label(node: &Node, what: &str, is_good: fn(&str) -> bool) -> Option<String> {
    let name = node.string()?;
    match is_good(name) {
        true => Some(name.to_owned()),
        false => node.wrong(&format!(
            "{what}: up to {LONGEST_NODE} of a to z and 0 to 9, with hyphens between them"
        )),
    }
}

/// Whether this may be a part of the name of an object.
fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().last()];
        ends.into_iter().all(|end| end.is_some_and(is_inner))
            && part.bytes().all(|byte| is_inner(byte) || byte == b'-')
    };
    name.len() <= LONGEST_NODE && name.split('.').all(is_part)
}

fn manifests(list: &Node) -> Option<Vec<PathBuf>> {
    let paths = list.each(|node| node.path_of_file())?;
    match paths.is_empty() {
        true => list.problem("must name at least one file or folder"),
        false => Some(paths),
    }
}

/// A host name and a path, as the API has it.
fn controller_name(node: &Node) -> Option<String> {
    let name = node.string()?;
    let is_named = |(host, path): (&str, &str)| {
        let is_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
        let parts = [host, path];
        parts.iter().all(|part| !part.is_empty())
            && host.chars().all(is_host)
            && path.chars().all(is_path)
    };
    match name.len() <= LONGEST_NAME && name.split_once('/').is_some_and(is_named) {
        true => Some(name.to_owned()),
        false => node.wrong("a host name, a slash and a path, like culvert.dev/gateway"),
    }
}

fn addresses(list: &Node) -> Option<Vec<IpAddr>> {
    let mut all: Vec<IpAddr> = Vec::new();
    for node in list.entries()? {
        let address = address(&node)?;
        if all.contains(&address) {
            return node.problem("is there already");
        }
        all.push(address);
    }
    Some(all)
}

fn address(node: &Node) -> Option<IpAddr> {
    let address: Option<IpAddr> = node.string()?.parse().ok();
    match address.map(|address| address.to_canonical()) {
        Some(address) if !address.is_unspecified() => Some(address),
        Some(_) => node.problem("must be one address: others listen on it, too"),
        None => node.wrong("an IP address"),
    }
}
