//! Where an object is: its path below the API's base, which is also what it is stored under.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::kind::Kind;

/// An object's path, such as `/datacenters/D/lans/1`. In order, what is in an object comes behind
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ResourcePath {
    path: Arc<str>,
    kind: Kind,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// All objects of a kind, in one or at the top.
    Collection(Kind, Option<ResourcePath>),
    /// An object.
    One(Kind, ResourcePath),
    /// What came of a request.
    Status(ResourcePath),
}

impl Ord for ResourcePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.path.cmp(&other.path)
    }
}

impl PartialOrd for ResourcePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for ResourcePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

impl ResourcePath {
    /// The object of this kind and with this id in another, or at the top.
    pub fn of(kind: Kind, parent: Option<&ResourcePath>, id: &str) -> Self {
        let path = format!("{}{id}", ResourcePath::collection(kind, parent)).into();
        ResourcePath { path, kind }
    }

    /// What the paths of all objects of this kind in another, or at the top, begin with.
    pub fn collection(kind: Kind, parent: Option<&ResourcePath>) -> String {
        let parent = parent.map_or("", ResourcePath::as_str);
        format!("{parent}/{}/", kind.segment())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The last part of it; of a location all that is behind the collection.
    pub fn id(&self) -> &str {
        match self.kind {
            Kind::Location => self.path.strip_prefix("/locations/").unwrap_or_default(),
            _ => self.path.rsplit('/').next().unwrap_or_default(),
        }
    }

    /// What kind of object is there.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the object is in.
    pub fn parent(&self) -> Option<ResourcePath> {
        let kind = self.kind.parent()?;
        let (collection, _) = self.path.rsplit_once('/')?;
        let (parent, _) = collection.rsplit_once('/')?;
        let path = parent.into();
        Some(ResourcePath { path, kind })
    }

    /// Whether it is in this object, at any depth.
    pub fn is_in(&self, other: &ResourcePath) -> bool {
        let rest = self.path.strip_prefix(&*other.path);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The kind follows from the path.
impl Borrow<str> for ResourcePath {
    fn borrow(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl From<ResourcePath> for String {
    fn from(path: ResourcePath) -> Self {
        path.path.to_string()
    }
}

impl TryFrom<String> for ResourcePath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        match Resource::parse(&path) {
            Some(Resource::One(_, place)) => Ok(place),
            _ => Err(format!("{path:?} is no path of an object")),
        }
    }
}

impl Resource {
    /// What a path below the base leads to. Slashes too many are none, and ids are in lower case.
    pub(super) fn parse(path: &str) -> Option<Resource> {
        let mut segments = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .peekable();
        let mut parent = None;
        let mut inside = None;
        loop {
            let word = segments.next()?;
            let of_here = |kind: &Kind| kind.segment() == word && kind.parent() == inside;
            let kind = Kind::ALL.into_iter().find(of_here)?;
            let Some(id) = segments.next() else {
                return Some(Resource::Collection(kind, parent));
            };
            let mut id = id.to_owned();
            while let Some(more) = segments.next_if(|_| kind == Kind::Location) {
                id = format!("{id}/{more}");
            }
            let place = ResourcePath::of(kind, parent.as_ref(), &id.to_ascii_lowercase());
            match segments.peek() {
                None => return Some(Resource::One(kind, place)),
                Some(&"status") if kind == Kind::Request => {
                    segments.next();
                    return segments.next().is_none().then_some(Resource::Status(place));
                }
                Some(_) => (parent, inside) = (Some(place), Some(kind)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> ResourcePath {
        path.to_owned().try_into().unwrap()
    }

    #[test]
    fn a_path_leads_to_a_collection_or_an_object_or_nowhere() {
        let collection = |kind, parent: &str| {
            let parent = (!parent.is_empty()).then(|| path(parent));
            Some(Resource::Collection(kind, parent))
        };
        let one = |kind, of: &str| Some(Resource::One(kind, path(of)));
        for (path, expected) in [
            ("/targetgroups", collection(Kind::TargetGroup, "")),
            ("//targetgroups/", collection(Kind::TargetGroup, "")),
            (
                "/targetgroups/AB",
                one(Kind::TargetGroup, "/targetgroups/ab"),
            ),
            (
                "/datacenters/d/lans",
                collection(Kind::Lan, "/datacenters/d"),
            ),
            (
                "/datacenters/d/lans/1",
                one(Kind::Lan, "/datacenters/d/lans/1"),
            ),
            (
                "/datacenters/d/lans/1/nics",
                collection(Kind::Nic, "/datacenters/d/lans/1"),
            ),
            (
                "/datacenters/d/applicationloadbalancers/a/forwardingrules/r",
                one(
                    Kind::ForwardingRule,
                    "/datacenters/d/applicationloadbalancers/a/forwardingrules/r",
                ),
            ),
            ("/locations/de", one(Kind::Location, "/locations/de")),
            (
                "/locations/de/txl",
                one(Kind::Location, "/locations/de/txl"),
            ),
            (
                "/locations/de/fra/2",
                one(Kind::Location, "/locations/de/fra/2"),
            ),
            (
                "/requests/r/status",
                Some(Resource::Status(path("/requests/r"))),
            ),
            ("/requests/r/status/x", None),
            ("/targetgroups/g/status", None),
            ("/targetgroups/g/targets", None),
            ("/lans", None),
            ("/servers", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(Resource::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn a_place_knows_its_id_its_kind_and_what_it_is_in() {
        let lan = path("/datacenters/d/lans/1");
        let datacenter = path("/datacenters/d");
        assert_eq!((lan.id(), lan.kind()), ("1", Kind::Lan));
        assert_eq!(lan.parent(), Some(datacenter.clone()));
        assert_eq!(datacenter.parent(), None);
        assert!(lan.is_in(&datacenter) && !datacenter.is_in(&lan));
        assert!(!path("/datacenters/de").is_in(&datacenter));
        let location = path("/locations/de/txl");
        assert_eq!((location.id(), location.parent()), ("de/txl", None));
        assert_eq!(ResourcePath::of(Kind::Lan, Some(&datacenter), "1"), lan);
    }
}
