//! The conditions of GatewayClasses, Gateways and their listeners.

use super::certificates::Fault;
use super::listeners::{Plan, Planned};
use super::objects::{GatewayClass, Kind, Listener};
use super::statuses::{Body, Condition, ListenerStatus, Statuses};

/// What is supported beyond what every implementation has to, by the names of the specification;
/// sorted.
pub const FEATURES: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendRequestRedirect",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
];

/// The version of the API that is read, as the annotation of its CRDs has it.
const VERSIONS: &str = "v1.";

/// Tells of a GatewayClass of ours.
pub(super) fn class(class: &GatewayClass, bundle: Option<&str>, statuses: &mut Statuses) {
    let accepted = match class_fault(class) {
        Some((reason, message)) => Condition::fails("Accepted", reason, message),
        None => Condition::holds("Accepted", "Accepted", "Valid GatewayClass"),
    };
    let mut conditions = vec![accepted];
    if let Some(version) = bundle {
        conditions.push(match version.starts_with(VERSIONS) {
            true => Condition::holds(
                "SupportedVersion",
                "SupportedVersion",
                format!("The CRDs are of version {version}"),
            ),
            false => Condition::fails(
                "SupportedVersion",
                "UnsupportedVersion",
                format!("The CRDs are of version {version}, not of v1"),
            ),
        });
    }
    let body = Body::Class(conditions, FEATURES);
    statuses.tell(Kind::GatewayClass, &class.meta, body);
}

/// Why a GatewayClass of ours is not accepted.
pub(super) fn class_fault(class: &GatewayClass) -> Option<Fault> {
    if class.has_parameters {
        let message = "parametersRef is of no use here".to_owned();
        return Some(("InvalidParameters", message));
    }
    let fault = class.meta.fault()?;
    Some(("InvalidParameters", fault))
}

/// Tells of a Gateway, with how many routes attach to each of its listeners.
pub(super) fn gateway(plan: &Plan, attached: &[usize], statuses: &mut Statuses) {
    let listeners: Vec<_> = plan
        .all()
        .zip(attached)
        .map(|((listener, planned), attached)| ListenerStatus {
            name: listener.name.clone(),
            kinds: planned.kinds.clone(),
            attached: *attached,
            conditions: listener_conditions(plan, listener, planned),
        })
        .collect();
    let serves = programmed_fault(plan).is_none();
    let addresses = plan.assigned.addresses.iter().filter(|_| serves);
    let body = Body::Gateway {
        addresses: addresses.map(|ip| ip.to_string().into()).collect(),
        conditions: gateway_conditions(plan),
        listeners,
    };
    statuses.tell(Kind::Gateway, &plan.gateway.meta, body);
}

fn gateway_conditions(plan: &Plan) -> Vec<Condition> {
    let mut conditions = vec![accepted(plan)];
    conditions.push(match programmed_fault(plan) {
        Some((reason, message)) => Condition::fails("Programmed", reason, message),
        None => Condition::holds("Programmed", "Programmed", "The Gateway is served"),
    });
    match &plan.own {
        None => {}
        Some(Ok(_)) => conditions.push(Condition::holds(
            "ResolvedRefs",
            "ResolvedRefs",
            "The client certificate is there",
        )),
        Some(Err((reason, message))) => {
            conditions.push(Condition::fails("ResolvedRefs", reason, message));
        }
    }
    let frontend = &plan.gateway.frontend;
    let ports = frontend.ports.values().flatten();
    let mut validations = frontend.default.iter().chain(ports);
    if validations.any(|validation| validation.is_optional) {
        conditions.push(Condition::holds(
            "InsecureFrontendValidationMode",
            "ConfigurationChanged",
            "Clients without a valid certificate are let in: AllowInsecureFallback",
        ));
    }
    conditions
}

fn accepted(plan: &Plan) -> Condition {
    let fault = plan.fault.as_ref().or(plan.assigned.unsupported.as_ref());
    if let Some((reason, message)) = fault {
        return Condition::fails("Accepted", reason, message);
    }
    let invalid = plan.all().filter(|(_, planned)| !planned.is_accepted());
    let names: Vec<&str> = invalid.map(|(listener, _)| &*listener.name).collect();
    let message = format!("Not accepted: listener {}", names.join(", "));
    match names.len() {
        0 => Condition::holds("Accepted", "Accepted", "Valid Gateway"),
        some if some < plan.listeners.len() => {
            Condition::holds("Accepted", "ListenersNotValid", message)
        }
        _ => Condition::fails("Accepted", "ListenersNotValid", message),
    }
}

fn programmed_fault(plan: &Plan) -> Option<Fault> {
    if plan.fault.is_some() || plan.assigned.unsupported.is_some() {
        return Some(("Invalid", "The Gateway is not accepted".to_owned()));
    }
    if let Some(fault) = &plan.assigned.unusable {
        return Some(fault.clone());
    }
    let mut programmed = plan
        .all()
        .filter(|(listener, one)| one.is_programmed(listener));
    match programmed.next() {
        Some(_) => None,
        None => Some(("Invalid", "No listener can serve".to_owned())),
    }
}

fn listener_conditions(plan: &Plan, listener: &Listener, planned: &Planned) -> Vec<Condition> {
    let accepted = match planned.fault.as_ref().or(planned.conflict.as_ref()) {
        Some((reason, message)) => Condition::fails("Accepted", reason, message),
        None => Condition::holds("Accepted", "Accepted", "Listener is accepted"),
    };
    let programmed = match (planned.is_programmed(listener), programmed_fault(plan)) {
        (true, None) => Condition::holds("Programmed", "Programmed", "The listener is served"),
        (true, Some((_, message))) => Condition::fails("Programmed", "Pending", message),
        (false, _) => Condition::fails("Programmed", "Invalid", why_not(planned)),
    };
    let resolved = match &planned.unresolved {
        Some((reason, message)) => Condition::fails("ResolvedRefs", reason, message),
        None => Condition::holds("ResolvedRefs", "ResolvedRefs", "All references are there"),
    };
    let conflicted = match &planned.conflict {
        Some((reason, message)) => Condition::holds("Conflicted", reason, message),
        None => Condition::fails("Conflicted", "NoConflicts", ""),
    };
    let mut conditions = vec![accepted, programmed, resolved, conflicted];
    if let Some((reason, message)) = &planned.overlap {
        conditions.push(Condition::holds("OverlappingTLSConfig", reason, message));
    }
    conditions
}

fn why_not(planned: &Planned) -> String {
    let mut faults = [&planned.fault, &planned.conflict, &planned.unresolved]
        .into_iter()
        .flatten();
    let fault = faults.next().map(|(_, message)| message.clone());
    fault.unwrap_or_else(|| "The listener takes no kind of route".to_owned())
}
