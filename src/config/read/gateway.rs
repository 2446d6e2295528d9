//! `gateway`: objects of the Gateway API that are served beside the file's.

use std::net::IpAddr;
use std::path::PathBuf;

use super::super::model::Gateway;
use super::super::tree::{Mapping, Node};
use super::defaults;

pub(super) const KEYS: &[&str] = &["manifests", "controllerName", "addresses"];

/// How long a controller's name may be.
const LONGEST_NAME: usize = 253;

pub(super) fn read(top: &Mapping) -> Option<Option<Gateway>> {
    let Some(node) = top.get("gateway") else {
        return Some(None);
    };
    let mapping = node.mapping(KEYS)?;
    let manifests = mapping.required("manifests", manifests);
    let default = defaults::CONTROLLER_NAME.to_owned();
    let controller_name = mapping.or("controllerName", default, controller_name);
    let addresses = mapping.or("addresses", Vec::new(), addresses);
    Some(Some(Gateway {
        manifests: manifests?,
        controller_name: controller_name?,
        addresses: addresses?,
    }))
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
