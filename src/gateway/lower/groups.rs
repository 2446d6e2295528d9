//! Target groups: of a port of a Service, with its checks and its TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use rustls::RootCertStore;
use rustls::pki_types::DnsName;

use super::defaults::GROUP;
use crate::config::model::{
    Check, Expected, GrpcCheck, HealthCheck, HttpCheck, HttpVersion, OwnCertificate, Source,
    Target, TargetGroup, TargetTls,
};
use crate::gateway::compiled::{Group, GroupTls};
use crate::gateway::objects;
use crate::gateway::system::SYSTEM;

/// The group, with these endpoints.
pub(super) fn target_group(
    group: &Group,
    endpoints: &[SocketAddr],
    source: &dyn Fn(&str) -> Source,
) -> TargetGroup {
    let name = group.name.text.to_string();
    let base = base(group);
    let sticky = group.sticky.as_ref();
    let own = sticky.map(|sticky| sticky.by.clone());
    let health = group
        .health
        .as_ref()
        .filter(|_| !is_checked_by_policy(group));
    TargetGroup {
        source: source(&name),
        name,
        tls: group.tls.as_ref().map(tls),
        http_version: match group.h2c {
            true => HttpVersion::Http2,
            false => HttpVersion::Http1,
        },
        targets: targets(endpoints, is_checked(group)),
        health_check: health.map_or_else(|| base.health_check.clone(), health_check),
        // Whoever stays is not moved.
        rebalance: base.rebalance.filter(|_| own.is_none()),
        stickiness: own.or_else(|| base.stickiness.clone()),
        ..base.clone()
    }
}

/// What holds where nothing else is said: what the TargetPolicy says, or the defaults.
fn base(group: &Group) -> &TargetGroup {
    let policy = group.policy.as_ref();
    let said = policy.and_then(|policy| policy.said.as_deref());
    said.unwrap_or(&GROUP)
}

fn is_checked_by_policy(group: &Group) -> bool {
    group
        .policy
        .as_ref()
        .is_some_and(|policy| policy.is_checked)
}

/// Without a policy an endpoint that is ready is healthy.
fn is_checked(group: &Group) -> bool {
    group.health.is_some() || is_checked_by_policy(group)
}

/// What it was lowered to, with other endpoints.
pub(super) fn with_endpoints(
    group: &Group,
    lowered: &TargetGroup,
    endpoints: &[SocketAddr],
) -> TargetGroup {
    TargetGroup {
        targets: targets(endpoints, is_checked(group)),
        ..lowered.clone()
    }
}

fn targets(endpoints: &[SocketAddr], is_checked: bool) -> Vec<Target> {
    let target = |address: &SocketAddr| Target {
        address: (*address).into(),
        weight: 1,
        health_check_enabled: is_checked,
        maintenance_enabled: false,
        maintenance_drain: false,
        proxy_protocol: None,
        max_connections: None,
        host: None,
        health_check_port: None,
    };
    endpoints.iter().map(target).collect()
}

fn tls(tls: &GroupTls) -> TargetTls {
    let authorities = tls.authorities.as_ref();
    let system = || {
        SYSTEM
            .clone()
            .unwrap_or_else(|| Arc::new(RootCertStore::empty()))
    };
    TargetTls {
        server_name: DnsName::try_from(tls.host.to_string()).ok(),
        subject_names: tls.alternatives.clone(),
        roots: authorities.map_or_else(system, |found| Arc::clone(&found.roots)),
        authorities: authorities.map(|found| found.certificates.clone()),
        verify_certificate: true,
        client_certificate: tls.own.as_ref().map(|own| OwnCertificate {
            name: own.name.clone(),
            key: Arc::clone(&own.key),
        }),
    }
}

/// What a policy does not say is as with Azure.
fn health_check(check: &objects::HealthCheck) -> HealthCheck {
    const INTERVAL: Duration = Duration::from_secs(5);
    const TIMEOUT: Duration = Duration::from_secs(30);
    HealthCheck {
        check_timeout: check.timeout.unwrap_or(TIMEOUT),
        check_interval: check.interval.unwrap_or(INTERVAL),
        retries: GROUP.health_check.retries,
        healthy_threshold: check.healthy.unwrap_or(1),
        unhealthy_threshold: check.unhealthy.unwrap_or(3),
        port: check.port,
        check: match (&check.http, &check.grpc) {
            (Some(http), _) => Check::Http(http_check(http)),
            (None, Some(grpc)) => Check::Grpc(GrpcCheck {
                service: grpc.service.clone(),
                host: grpc.authority.clone(),
            }),
            (None, None) => Check::Tcp,
        },
    }
}

fn http_check(http: &objects::HttpHealthCheck) -> HttpCheck {
    HttpCheck {
        path: http.path.clone(),
        method: Method::GET,
        host: http.host.clone(),
        headers: HeaderMap::new(),
        expected: match (&http.body, &http.codes[..]) {
            (Some(body), []) => Expected::Body(body.clone()),
            (Some(body), codes) => Expected::StatusAndBody(codes.to_vec(), body.clone()),
            (None, []) => Expected::Status(vec![200..=399]),
            (None, codes) => Expected::Status(codes.to_vec()),
        },
        negate: false,
    }
}
