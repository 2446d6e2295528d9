//! GatewayClass and Gateway.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::fields::{Fields, Flaw, Flaws, Node};
use super::meta::Meta;
use super::words::{Host, Reference, host, is_name};

/// A GatewayClass.
#[derive(Debug)]
pub struct GatewayClass {
    /// What all objects have.
    pub meta: Meta,
    /// `controllerName`: whose class it is.
    pub controller: Arc<str>,
    /// Whether it has `parametersRef`, of which there are none here.
    pub has_parameters: bool,
}

impl GatewayClass {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        GatewayClass {
            meta,
            controller: spec
                .required_text("controllerName")
                .unwrap_or_default()
                .into(),
            has_parameters: spec.has("parametersRef"),
        }
    }
}

/// A Gateway.
#[derive(Debug)]
pub struct Gateway {
    /// What all objects have.
    pub meta: Meta,
    /// `gatewayClassName`
    pub class: Arc<str>,
    /// `listeners`
    pub listeners: Vec<Listener>,
    /// `addresses`: type and value, which may be empty.
    pub addresses: Vec<(Arc<str>, Arc<str>)>,
    /// `infrastructure.parametersRef`
    pub parameters: Option<Reference>,
    /// `tls.backend.clientCertificateRef`
    pub client_certificate: Option<Reference>,
    /// `tls.frontend`
    pub frontend: Frontend,
    /// `status.addresses`, which somebody has written.
    pub given: Vec<Arc<str>>,
}

/// `tls.frontend`: how clients prove who they are.
#[derive(Debug, Default)]
pub struct Frontend {
    /// `default.validation`
    pub default: Option<Validation>,
    /// `perPort`: what holds for a port instead.
    pub ports: BTreeMap<u16, Option<Validation>>,
}

/// `validation` of certificates of clients.
#[derive(Debug)]
pub struct Validation {
    /// `caCertificateRefs`
    pub authorities: Vec<Reference>,
    /// `mode` is AllowInsecureFallback.
    pub is_optional: bool,
}

/// An entry of `listeners`.
#[derive(Debug)]
pub struct Listener {
    /// `name`
    pub name: Arc<str>,
    /// `hostname`
    pub host: Option<Host>,
    /// `port`: 0 where it cannot be read.
    pub port: u16,
    /// `protocol`
    pub protocol: Arc<str>,
    /// `tls.mode` is Passthrough.
    pub passes_through: bool,
    /// `tls.certificateRefs`
    pub certificates: Vec<Reference>,
    /// `allowedRoutes.namespaces`
    pub from: From,
    /// `allowedRoutes.kinds`: group and kind.
    pub kinds: Vec<(Arc<str>, Arc<str>)>,
    /// What is wrong with it.
    pub flaws: Vec<Flaw>,
}

/// `allowedRoutes.namespaces`: from where routes may attach.
#[derive(Debug)]
pub enum From {
    /// `Same`
    Same,
    /// `All`
    All,
    /// `Selector`
    Selector(Selector),
    /// `None`, or what nobody knows.
    Nowhere,
}

/// Which labels an object must have.
#[derive(Debug, Default)]
pub struct Selector {
    /// `matchLabels`
    pub labels: BTreeMap<String, String>,
    /// `matchExpressions`: key, operator and values.
    pub expressions: Vec<(String, String, Vec<String>)>,
}

impl Selector {
    /// Whether these labels are those.
    pub fn is(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |key: &String, value: &String| labels.get(key) == Some(value);
        let holds = |(key, operator, values): &(String, String, Vec<String>)| {
            let value = labels.get(key);
            let is_in = value.is_some_and(|value| values.contains(value));
            match operator.as_str() {
                "In" => is_in,
                "NotIn" => !is_in,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        };
        self.labels.iter().all(|(key, value)| has(key, value)) && self.expressions.iter().all(holds)
    }
}

/// The group of the Gateway API.
pub(in super::super) const GROUP: &str = "gateway.networking.k8s.io";

impl Gateway {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let infrastructure = spec.fields("infrastructure");
        let parameters = infrastructure.and_then(|fields| fields.fields("parametersRef"));
        let tls = spec.fields("tls");
        let backend = tls.as_ref().and_then(|tls| tls.fields("backend"));
        let shown = backend.and_then(|backend| backend.fields("clientCertificateRef"));
        let frontend = tls.and_then(|tls| tls.fields("frontend"));
        // What is wrong with a status is nothing wrong with the object.
        let flaws = Flaws::default();
        let status = top.node("status").map(|node| node.apart(&flaws));
        let given = status.map_or(Vec::new(), |status| addresses(&status));
        Gateway {
            meta,
            class: spec
                .required_text("gatewayClassName")
                .unwrap_or_default()
                .into(),
            listeners: listeners(&spec),
            addresses: addresses(&spec),
            parameters: parameters.and_then(|fields| Reference::read(&fields, "", "")),
            client_certificate: shown.and_then(|fields| Reference::read(&fields, "", "Secret")),
            frontend: frontend.map_or(Frontend::default(), |fields| read_frontend(&fields)),
            given: given.into_iter().map(|(_, value)| value).collect(),
        }
    }
}

fn addresses(of: &Fields) -> Vec<(Arc<str>, Arc<str>)> {
    let entries = of.list("addresses", 16).into_iter();
    let address = |node: Node| {
        let fields = node.fields();
        let kind = fields.text("type").unwrap_or("IPAddress");
        let value = fields.text("value").unwrap_or_default();
        (kind.into(), value.into())
    };
    entries.map(address).collect()
}

fn read_frontend(fields: &Fields) -> Frontend {
    let validation = |tls: Option<Fields>| {
        let fields = tls?.fields("validation")?;
        let refs = fields.list("caCertificateRefs", 8).into_iter();
        let mode = fields.text("mode").unwrap_or("AllowValidOnly");
        if !["AllowValidOnly", "AllowInsecureFallback"].contains(&mode) {
            fields.flaws.note(&fields.path_of("mode"), "is not known");
        }
        Some(Validation {
            authorities: refs
                .filter_map(|node| Reference::read(&node.fields(), "", ""))
                .collect(),
            is_optional: mode == "AllowInsecureFallback",
        })
    };
    let mut ports = BTreeMap::new();
    for node in fields.list("perPort", 64) {
        let entry = node.fields();
        let Some(port) = entry.port("port") else {
            continue;
        };
        if ports.contains_key(&port) {
            entry
                .flaws
                .note(&entry.path_of("port"), "occurs twice in perPort");
            continue;
        }
        ports.insert(port, validation(entry.fields("tls")));
    }
    Frontend {
        default: validation(fields.fields("default")),
        ports,
    }
}

fn listeners(spec: &Fields) -> Vec<Listener> {
    let nodes = spec.list("listeners", 64);
    if nodes.is_empty() {
        spec.flaws
            .note(&spec.path_of("listeners"), "has no listener");
    }
    let mut names = HashSet::new();
    let listeners = nodes.into_iter().map(|node| {
        let flaws = Flaws::default();
        let fields = node.apart(&flaws);
        let mut listener = listener(&fields);
        if !names.insert(Arc::clone(&listener.name)) {
            let message = format!("another listener is called {:?}", listener.name);
            flaws.note(&fields.path_of("name"), message);
        }
        listener.flaws = flaws.take();
        listener
    });
    listeners.collect()
}

fn listener(fields: &Fields) -> Listener {
    let protocol = fields.required_text("protocol").unwrap_or_default();
    let port = fields.port("port");
    if !fields.has("port") {
        fields.flaws.note(&fields.path_of("port"), "is required");
    }
    let name = fields.required_text("name").unwrap_or_default();
    if fields.has("name") && !is_name(name) {
        let message = "must be a DNS name in lower case";
        fields.flaws.note(&fields.path_of("name"), message);
    }
    let tls = fields.fields("tls");
    let mode = tls.as_ref().and_then(|tls| tls.text("mode"));
    let refs = tls.iter().flat_map(|tls| tls.list("certificateRefs", 64));
    let certificates: Vec<_> = refs
        .filter_map(|node| Reference::read(&node.fields(), "", "Secret"))
        .collect();
    check_tls(fields, tls.as_ref(), protocol, mode, &certificates);
    let allowed = fields.fields("allowedRoutes");
    Listener {
        name: name.into(),
        host: fields
            .node("hostname")
            .filter(|node| node.value != "")
            .and_then(|node| host(&node)),
        port: port.unwrap_or(0),
        protocol: protocol.into(),
        passes_through: mode == Some("Passthrough"),
        certificates,
        from: from(allowed.as_ref()),
        kinds: kinds(allowed.as_ref()),
        flaws: Vec::new(),
    }
}

/// What the CRD asks of `tls`.
fn check_tls(
    listener: &Fields,
    tls: Option<&Fields>,
    protocol: &str,
    mode: Option<&str>,
    certificates: &[Reference],
) {
    let note = |key: &str, message: &str| listener.flaws.note(&listener.path_of(key), message);
    match (protocol, tls) {
        ("HTTP" | "TCP" | "UDP", Some(_)) => note("tls", "goes with HTTPS or TLS alone"),
        ("HTTPS" | "TLS", None) => note("tls", "is required with HTTPS or TLS"),
        ("HTTPS", Some(_)) if mode.is_some_and(|mode| mode != "Terminate") => {
            note("tls.mode", "must be Terminate with HTTPS");
        }
        ("HTTPS", Some(tls)) if certificates.is_empty() && !tls.has("options") => {
            note("tls.certificateRefs", "is required with mode Terminate");
        }
        _ => {}
    }
}

fn from(allowed: Option<&Fields>) -> From {
    let Some(namespaces) = allowed.and_then(|allowed| allowed.fields("namespaces")) else {
        return From::Same;
    };
    match namespaces.text("from").unwrap_or("Same") {
        "Same" => From::Same,
        "All" => From::All,
        "Selector" => match namespaces.fields("selector") {
            Some(fields) => From::Selector(selector(&fields)),
            None => From::Nowhere,
        },
        "None" => From::Nowhere,
        _ => {
            let path = namespaces.path_of("from");
            namespaces
                .flaws
                .note(&path, "must be Same, All, Selector or None");
            From::Nowhere
        }
    }
}

fn selector(fields: &Fields) -> Selector {
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let labels = fields.text_map("matchLabels").into_iter().map(own);
    let expressions = fields.list("matchExpressions", 64).into_iter();
    let expressions = expressions.filter_map(|node| {
        let fields = node.fields();
        let values = fields.texts("values", 256).into_iter();
        Some((
            fields.required_text("key")?.to_owned(),
            fields.required_text("operator")?.to_owned(),
            values.map(str::to_owned).collect(),
        ))
    });
    Selector {
        expressions: expressions.collect(),
        labels: labels.collect(),
    }
}

fn kinds(allowed: Option<&Fields>) -> Vec<(Arc<str>, Arc<str>)> {
    let entries = allowed.map_or(Vec::new(), |allowed| allowed.list("kinds", 8));
    let kind = |node: Node| {
        let fields = node.fields();
        let group = fields.text("group").unwrap_or(GROUP);
        Some((group.into(), fields.required_text("kind")?.into()))
    };
    entries.into_iter().filter_map(kind).collect()
}
