//! The objects of the Gateway API and of Kubernetes' core, as far as they matter here: types of our
//! own, read leniently.
//!
//! Nothing in an object can hide another one: what is wrong is a [`Flaw`] with its path, kept at
//! the object, or at its part (a listener, a rule) where the specification has a word for that part
//! alone. Words that nobody knows stay words.

mod combinations;
mod fields;
mod filters;
mod gateway;
mod http_route;
mod meta;
mod own;
mod plain;
mod policies;
mod route_reader;
mod services;
mod words;

use std::sync::Arc;

use serde_json::Value;
use strum::{EnumIter, IntoStaticStr};

pub use self::combinations::EXCLUSIVE;
pub use self::fields::Flaw;
use self::fields::{Fields, Flaws};
pub use self::filters::{Cors, Filter, HeaderChanges, Mirror, PathChange, Redirect, Rewrite};
pub(super) use self::gateway::GROUP;
pub use self::gateway::{From, Gateway, GatewayClass, Listener, Validation};
pub use self::http_route::{
    Backend, HttpRoute, Match, ParentRef, PathMatch, Retry, Rule, Session, ValueMatch,
};
pub use self::meta::{Meta, Name, Place, told};
use self::own::OWN_GROUP;
#[cfg(test)]
pub(super) use self::own::{TARGET_KEYS, TUNNEL_KEYS};
pub use self::own::{TargetPolicy, TunnelPolicy};
pub use self::plain::{ConfigMap, Granted, Namespace, ReferenceGrant, Secret};
pub use self::policies::{
    BackendTlsPolicy, GrpcHealthCheck, HealthCheck, HealthCheckPolicy, HttpHealthCheck,
};
pub use self::services::{Endpoint, EndpointSlice, Endpoints, Service, ServicePort};
pub use self::words::{Host, Reference};

/// The kinds of objects that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr)]
pub enum Kind {
    /// GatewayClass
    GatewayClass,
    /// Gateway
    Gateway,
    /// HTTPRoute
    #[strum(serialize = "HTTPRoute")]
    HttpRoute,
    /// ReferenceGrant
    ReferenceGrant,
    /// BackendTLSPolicy
    #[strum(serialize = "BackendTLSPolicy")]
    BackendTlsPolicy,
    /// HealthCheckPolicy
    HealthCheckPolicy,
    /// TunnelPolicy
    TunnelPolicy,
    /// TargetPolicy
    TargetPolicy,
    /// Service
    Service,
    /// EndpointSlice
    EndpointSlice,
    /// Endpoints
    Endpoints,
    /// Secret
    Secret,
    /// ConfigMap
    ConfigMap,
    /// Namespace
    Namespace,
}

impl Kind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Its API group; empty for the core.
    pub fn group(self) -> &'static str {
        match self {
            Kind::GatewayClass
            | Kind::Gateway
            | Kind::HttpRoute
            | Kind::ReferenceGrant
            | Kind::BackendTlsPolicy => GROUP,
            Kind::HealthCheckPolicy => "alb.networking.azure.io",
            Kind::TunnelPolicy | Kind::TargetPolicy => OWN_GROUP,
            Kind::EndpointSlice => "discovery.k8s.io",
            Kind::Service | Kind::Endpoints | Kind::Secret | Kind::ConfigMap | Kind::Namespace => {
                ""
            }
        }
    }

    /// Whether its objects are in namespaces.
    pub fn has_namespaces(self) -> bool {
        !matches!(self, Kind::GatewayClass | Kind::Namespace)
    }

    /// Whether something is told of its objects in their status.
    pub fn has_status(self) -> bool {
        matches!(
            self,
            Kind::GatewayClass
                | Kind::Gateway
                | Kind::HttpRoute
                | Kind::BackendTlsPolicy
                | Kind::HealthCheckPolicy
                | Kind::TunnelPolicy
                | Kind::TargetPolicy
        )
    }

    fn of(group: &str, kind: &str) -> Option<Self> {
        use strum::IntoEnumIterator as _;
        Kind::iter().find(|one| one.as_str() == kind && one.group() == group)
    }
}

/// An object.
#[derive(Debug, Clone)]
pub enum Object {
    /// A GatewayClass.
    GatewayClass(Arc<GatewayClass>),
    /// A Gateway.
    Gateway(Arc<Gateway>),
    /// An HTTPRoute.
    HttpRoute(Arc<HttpRoute>),
    /// A ReferenceGrant.
    ReferenceGrant(Arc<ReferenceGrant>),
    /// A BackendTLSPolicy.
    BackendTlsPolicy(Arc<BackendTlsPolicy>),
    /// A HealthCheckPolicy.
    HealthCheckPolicy(Arc<HealthCheckPolicy>),
    /// A TunnelPolicy.
    TunnelPolicy(Arc<TunnelPolicy>),
    /// A TargetPolicy.
    TargetPolicy(Arc<TargetPolicy>),
    /// A Service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// Endpoints.
    Endpoints(Arc<Endpoints>),
    /// A Secret.
    Secret(Arc<Secret>),
    /// A ConfigMap.
    ConfigMap(Arc<ConfigMap>),
    /// A Namespace.
    Namespace(Arc<Namespace>),
}

/// Why a value is no object that is read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRead {
    /// It is of another kind, which is none of our business: `apps/Deployment`.
    Other(String),
    /// It cannot be told what it is.
    Broken(Flaw),
}

/// What kind of object a value is, and what it is called.
pub fn identify(value: &Value) -> Result<(Kind, Name), NotRead> {
    let broken = |path: &str, message: &str| {
        NotRead::Broken(Flaw {
            path: path.to_owned(),
            message: message.to_owned(),
        })
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let version = text(value.get("apiVersion"));
    let version = version.ok_or_else(|| broken("apiVersion", "is required: a string"))?;
    let word = text(value.get("kind")).ok_or_else(|| broken("kind", "is required: a string"))?;
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let kind = Kind::of(group, &word).ok_or_else(|| match group {
        "" => NotRead::Other(word.clone()),
        group => NotRead::Other(format!("{group}/{word}")),
    })?;
    let metadata = value.get("metadata");
    let field = |key: &str| metadata.and_then(|metadata| metadata.get(key));
    let name = text(field("name")).filter(|name| words::is_name(name));
    let name = name.ok_or_else(|| broken("metadata.name", "is required: a name in lower case"))?;
    let namespace = match field("namespace").filter(|value| !value.is_null()) {
        _ if !kind.has_namespaces() => String::new(),
        None => "default".to_owned(),
        Some(value) => text(Some(value))
            .filter(|name| words::is_label(name))
            .ok_or_else(|| broken("metadata.namespace", "must be a name in lower case"))?,
    };
    Ok((kind, Name::new(&namespace, &name)))
}

impl Object {
    /// Reads one. What is wrong with it, as long as it can be told what it is, is kept in it.
    pub fn read(value: &Value, place: Place) -> Result<Self, NotRead> {
        let (kind, name) = identify(value)?;
        let flaws = Flaws::default();
        let top = Fields::of(value, &flaws);
        let meta = Meta::read(name, &top, place);
        Ok(match kind {
            Kind::GatewayClass => {
                let object = GatewayClass::read(meta, &top);
                Object::GatewayClass(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::Gateway => {
                let object = Gateway::read(meta, &top);
                Object::Gateway(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::HttpRoute => {
                let object = HttpRoute::read(meta, &top);
                Object::HttpRoute(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::ReferenceGrant => {
                let object = ReferenceGrant::read(meta, &top);
                Object::ReferenceGrant(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::BackendTlsPolicy => {
                let object = BackendTlsPolicy::read(meta, &top);
                Object::BackendTlsPolicy(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::HealthCheckPolicy => {
                let object = HealthCheckPolicy::read(meta, &top);
                Object::HealthCheckPolicy(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::TunnelPolicy => {
                let object = TunnelPolicy::read(meta, &top);
                Object::TunnelPolicy(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::TargetPolicy => {
                let object = TargetPolicy::read(meta, &top);
                Object::TargetPolicy(whole(object, |object| &mut object.meta, &flaws))
            }
            Kind::Service
            | Kind::EndpointSlice
            | Kind::Endpoints
            | Kind::Secret
            | Kind::ConfigMap
            | Kind::Namespace => Object::of_the_core(kind, meta, &top, &flaws),
        })
    }

    fn of_the_core(kind: Kind, meta: Meta, top: &Fields, flaws: &Flaws) -> Self {
        match kind {
            Kind::Service => {
                let object = Service::read(meta, top);
                Object::Service(whole(object, |object| &mut object.meta, flaws))
            }
            Kind::EndpointSlice => {
                let object = EndpointSlice::read(meta, top);
                Object::EndpointSlice(whole(object, |object| &mut object.meta, flaws))
            }
            Kind::Endpoints => {
                let object = Endpoints::read(meta, top);
                Object::Endpoints(whole(object, |object| &mut object.meta, flaws))
            }
            Kind::Secret => {
                let object = Secret::read(meta, top);
                Object::Secret(whole(object, |object| &mut object.meta, flaws))
            }
            Kind::ConfigMap => {
                let object = ConfigMap::read(meta, top);
                Object::ConfigMap(whole(object, |object| &mut object.meta, flaws))
            }
            _ => {
                let object = Namespace::read(meta);
                Object::Namespace(whole(object, |object| &mut object.meta, flaws))
            }
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Object::GatewayClass(_) => Kind::GatewayClass,
            Object::Gateway(_) => Kind::Gateway,
            Object::HttpRoute(_) => Kind::HttpRoute,
            Object::ReferenceGrant(_) => Kind::ReferenceGrant,
            Object::BackendTlsPolicy(_) => Kind::BackendTlsPolicy,
            Object::HealthCheckPolicy(_) => Kind::HealthCheckPolicy,
            Object::TunnelPolicy(_) => Kind::TunnelPolicy,
            Object::TargetPolicy(_) => Kind::TargetPolicy,
            Object::Service(_) => Kind::Service,
            Object::EndpointSlice(_) => Kind::EndpointSlice,
            Object::Endpoints(_) => Kind::Endpoints,
            Object::Secret(_) => Kind::Secret,
            Object::ConfigMap(_) => Kind::ConfigMap,
            Object::Namespace(_) => Kind::Namespace,
        }
    }

    /// What all objects have.
    pub fn meta(&self) -> &Meta {
        match self {
            Object::GatewayClass(object) => &object.meta,
            Object::Gateway(object) => &object.meta,
            Object::HttpRoute(object) => &object.meta,
            Object::ReferenceGrant(object) => &object.meta,
            Object::BackendTlsPolicy(object) => &object.meta,
            Object::HealthCheckPolicy(object) => &object.meta,
            Object::TunnelPolicy(object) => &object.meta,
            Object::TargetPolicy(object) => &object.meta,
            Object::Service(object) => &object.meta,
            Object::EndpointSlice(object) => &object.meta,
            Object::Endpoints(object) => &object.meta,
            Object::Secret(object) => &object.meta,
            Object::ConfigMap(object) => &object.meta,
            Object::Namespace(object) => &object.meta,
        }
    }
}

/// An object with what is wrong with it.
fn whole<T>(mut object: T, meta: fn(&mut T) -> &mut Meta, flaws: &Flaws) -> Arc<T> {
    meta(&mut object).flaws = flaws.take();
    Arc::new(object)
}
