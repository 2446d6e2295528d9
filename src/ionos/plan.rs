//! What a write makes of the objects: who is where, which ids are new, what goes with it, and what
//! is not allowed. Whether it can be served is found out by whoever serves.

use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::checks;
use super::datacenter::{may_be_datacenter, named_datacenter};
use super::error::{ApiError, INVALID, Problem};
use super::kind::Kind;
use super::merge;
use super::object::Object;
use super::objects::Objects;
use super::path::ResourcePath;
use super::properties;
use super::write::{Change, Write};

/// How many objects may be kept.
const MOST_OBJECTS: usize = 100_000;
/// How many objects a body may have in `entities`.
const MOST_INSIDE: usize = 1000;

/// So many addresses that are not among these.
pub(super) type NewIps<'a> = &'a dyn Fn(usize, &HashSet<IpAddr>) -> Option<Vec<IpAddr>>;

/// Whether another target group than the one with this label had this name before, and still has
/// tunnels by it.
pub(super) type IsFormer<'a> = &'a dyn Fn(&str, Option<&str>) -> bool;

/// Who writes, to what.
pub(super) struct Planner<'a> {
    /// The objects as they are.
    pub objects: &'a Objects,
    /// A user's name.
    pub by: &'a str,
    /// Whether a datacenter is there where somebody names it.
    pub any_datacenter: bool,
    /// Whether a target group had this name before that is not the one with this label.
    pub is_former: IsFormer<'a>,
    /// Addresses for an IP block: so many that are not among these.
    pub new_ips: NewIps<'a>,
    /// Makes an id.
    pub new_id: &'a dyn Fn() -> String,
}

impl Planner<'_> {
    /// What a write makes of the objects.
    pub(super) fn change(&self, write: &Write) -> Result<Change, ApiError> {
        match write {
            Write::Create(kind, parent, body) => self.create(*kind, parent.clone(), body),
            Write::Replace(place, body) => self.replace(place.clone(), body),
            Write::Patch(place, body) => self.patch(place.clone(), body),
            Write::Delete(place) => self.delete(place.clone()),
        }
    }

    fn create(
        &self,
        kind: Kind,
        parent: Option<ResourcePath>,
        body: &Value,
    ) -> Result<Change, ApiError> {
        check_written(kind)?;
        check_count(body)?;
        if self.objects.count() >= MOST_OBJECTS {
            let message = format!("[(root)] there are {MOST_OBJECTS} objects already");
            return Err(ApiError::new(422, INVALID, message));
        }
        let mut objects = Vec::new();
        if let Some(parent) = &parent {
            self.find_parent(parent, &mut objects)?;
        }
        let given = bare(body)?;
        let id = match kind {
            Kind::Lan => self.next_lan(parent.as_ref()),
            _ => (self.new_id)(),
        };
        let place = ResourcePath::of(kind, parent.as_ref(), &id);
        let mut properties = filled(kind, given)?;
        if kind == Kind::IpBlock {
            self.fill_block(&mut properties)?;
        }
        let object = Object::new(properties, self.by);
        self.put(kind, &place, object, &mut objects)?;
        self.create_inside(kind, &place, body, &mut objects)?;
        Ok(Change { place, objects })
    }

    /// What a body has in `entities`.
    fn create_inside(
        &self,
        kind: Kind,
        place: &ResourcePath,
        body: &Value,
        objects: &mut Vec<(ResourcePath, Option<Object>)>,
    ) -> Result<(), ApiError> {
        if entities(body).next().is_none() {
            return Ok(());
        }
        let mut now = self.objects.clone();
        now.apply(shared(objects));
        for child in kind.children().filter(|child| child.is_written()) {
            let items = body.pointer(&format!("/entities/{}/items", child.segment()));
            let items = items.and_then(Value::as_array).into_iter().flatten();
            for (number, item) in items.enumerate() {
                let inner = Planner {
                    objects: &now,
                    ..*self
                };
                let made = inner.create(child, Some(place.clone()), item);
                let place = format!("entities.{}.items[{number}]", child.segment());
                let made = made.map_err(|error| error.inside(&place))?;
                now.apply(shared(&made.objects));
                objects.extend(made.objects);
            }
        }
        Ok(())
    }

    fn replace(&self, place: ResourcePath, body: &Value) -> Result<Change, ApiError> {
        let (kind, before) = self.existing(&place)?;
        let schema = properties::schema(kind);
        let given = merge::put(schema, &before.properties, bare(body)?);
        self.changed(kind, place, &before, &given)
    }

    fn patch(&self, place: ResourcePath, body: &Value) -> Result<Change, ApiError> {
        let (kind, before) = self.existing(&place)?;
        let given = merge::patched(&before.properties, bare(body)?);
        self.changed(kind, place, &before, &given)
    }

    fn changed(
        &self,
        kind: Kind,
        place: ResourcePath,
        before: &Object,
        given: &Map<String, Value>,
    ) -> Result<Change, ApiError> {
        let mut properties = filled(kind, given)?;
        if kind == Kind::IpBlock {
            // Its addresses are not for clients to say.
            let ips = before.properties.get("ips").cloned();
            properties.insert("ips".to_owned(), ips.unwrap_or_default());
            if properties.get("size") != before.properties.get("size") {
                let problem = Problem::new("properties.size", "stays what it is");
                return Err(ApiError::invalid(vec![problem]));
            }
        }
        let object = before.changed(properties, self.by);
        let mut objects = Vec::new();
        self.put(kind, &place, object, &mut objects)?;
        Ok(Change { place, objects })
    }

    fn delete(&self, place: ResourcePath) -> Result<Change, ApiError> {
        let (kind, _) = self.existing(&place)?;
        match kind {
            Kind::TargetGroup => checks::check_unused(self.objects, &place)?,
            Kind::Lan => checks::check_no_balancer_in(self.objects, &place)?,
            Kind::Datacenter => {
                if let Some((balancer, _)) = self.objects.list(Kind::Balancer, Some(&place)).first()
                {
                    let message =
                        format!("the application load balancer {} is in it", balancer.id());
                    return Err(ApiError::new(422, INVALID, message));
                }
            }
            _ => {}
        }
        let mut objects = vec![(place.clone(), None)];
        let inside = self.objects.inside(&place).into_iter();
        objects.extend(inside.map(|(inside, _)| (inside.clone(), None)));
        Ok(Change { place, objects })
    }

    /// Has an object at a place, after a look at what is around it.
    fn put(
        &self,
        kind: Kind,
        place: &ResourcePath,
        mut object: Object,
        objects: &mut Vec<(ResourcePath, Option<Object>)>,
    ) -> Result<(), ApiError> {
        match kind {
            Kind::ForwardingRule => checks::check_rule(self.objects, place, &object)?,
            Kind::Balancer => {
                checks::check_listeners(self.objects, place, &object)?;
                self.name_lans(place, &object, objects)?;
            }
            _ => {}
        }
        if matches!(kind, Kind::ForwardingRule | Kind::TargetGroup) {
            object.label = self.label(kind, place, object.name());
        }
        objects.push((place.clone(), Some(object)));
        Ok(())
    }

    /// What log and metrics call an object whose name is another's already, or was, and there are
    /// tunnels from that time.
    fn label(&self, kind: Kind, place: &ResourcePath, name: &str) -> Option<String> {
        let is_other = |(other, object): (&ResourcePath, &std::sync::Arc<Object>)| {
            other != place && object.label() == name
        };
        let before = self.objects.get(place).map(|object| object.label());
        let is_taken = self.objects.all(kind).any(is_other)
            || kind == Kind::TargetGroup && (self.is_former)(name, before);
        is_taken.then(|| format!("{name} {}", place.id().get(..8).unwrap_or(place.id())))
    }

    fn existing(&self, place: &ResourcePath) -> Result<(Kind, Object), ApiError> {
        let kind = place.kind();
        check_written(kind)?;
        match self.objects.get(place) {
            Some(object) if object.is_of_file => Err(read_only(kind, place)),
            Some(object) => Ok((kind, Object::clone(object))),
            None => Err(ApiError::unknown(&format!(
                "{} {}",
                kind.name(),
                place.id()
            ))),
        }
    }

    /// Errors: the object that something is to be in is not there.
    fn find_parent(
        &self,
        parent: &ResourcePath,
        objects: &mut Vec<(ResourcePath, Option<Object>)>,
    ) -> Result<(), ApiError> {
        let kind = parent.kind();
        if let Some(found) = self.objects.get(parent) {
            let is_open = !found.is_of_file || kind == Kind::Datacenter;
            return match is_open {
                true => Ok(()),
                false => Err(read_only(kind, parent)),
            };
        }
        if self.any_datacenter && may_be_datacenter(parent) {
            objects.push((parent.clone(), Some(named_datacenter(parent, self.by))));
            return Ok(());
        }
        Err(ApiError::unknown(&format!(
            "{} {}",
            kind.name(),
            parent.id()
        )))
    }
}

fn shared(objects: &[(ResourcePath, Option<Object>)]) -> Vec<super::objects::Change> {
    let share = |(place, object): &(ResourcePath, Option<Object>)| {
        (place.clone(), object.clone().map(std::sync::Arc::new))
    };
    objects.iter().map(share).collect()
}

fn check_written(kind: Kind) -> Result<(), ApiError> {
    match kind.is_written() {
        true => Ok(()),
        false => Err(ApiError::new(
            405,
            INVALID,
            format!("a {} is not written", kind.name()),
        )),
    }
}

/// What a body has in `entities`, of all kinds.
fn entities(body: &Value) -> impl Iterator<Item = &Value> {
    let kinds = body.get("entities").and_then(Value::as_object);
    let lists = kinds.into_iter().flat_map(|kinds| kinds.values());
    let lists = lists.filter_map(|kind| kind.get("items").and_then(Value::as_array));
    lists.flatten()
}

/// Each is looked at beside all others.
fn check_count(body: &Value) -> Result<(), ApiError> {
    let mut count = 0;
    let mut left: Vec<&Value> = entities(body).collect();
    while let Some(one) = left.pop() {
        count += 1;
        if count > MOST_INSIDE {
            let message = format!("may have {MOST_INSIDE} objects in one request");
            return Err(ApiError::invalid(vec![Problem::new("entities", message)]));
        }
        left.extend(entities(one));
    }
    Ok(())
}

/// The properties in a body: it may be them, or have them.
fn bare(body: &Value) -> Result<&Map<String, Value>, ApiError> {
    let given = body.get("properties").unwrap_or(body);
    given.as_object().ok_or_else(|| {
        let problem = Problem::new("properties", "must be an object");
        ApiError::invalid(vec![problem])
    })
}

fn filled(kind: Kind, given: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    properties::filled(kind, given).map_err(ApiError::invalid)
}

fn read_only(kind: Kind, place: &ResourcePath) -> ApiError {
    let message = format!(
        "the {} {} is the configuration file's",
        kind.name(),
        place.id()
    );
    ApiError::new(403, INVALID, message)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    const DATACENTER: &str = "11111111-1111-4111-8111-111111111111";

    /// Objects that are written to.
    #[derive(Default)]
    struct Written {
        objects: Objects,
        last: Cell<u32>,
        /// Whether the configuration file lists the datacenters.
        is_listed: bool,
    }

    impl Written {
        /// With a group of the configuration file.
        fn new() -> Self {
            let properties = Map::from_iter([("name".to_owned(), "file".into())]);
            let mut group = Object::new(properties, "file");
            group.is_of_file = true;
            let path = ResourcePath::of(Kind::TargetGroup, None, "of-the-file");
            let mut written = Written::default();
            written.objects.apply([(path, Some(Arc::new(group)))]);
            written
        }

        fn write(&mut self, write: Write) -> Result<ResourcePath, ApiError> {
            let id = || {
                self.last.set(self.last.get() + 1);
                format!("{:08}-0000-4000-8000-000000000000", self.last.get())
            };
            let planner = Planner {
                objects: &self.objects,
                by: "test",
                any_datacenter: !self.is_listed,
                is_former: &|name, label| name == "former" && label != Some("now"),
                new_ips: &|count, taken| {
                    let all = (1..=4).map(|last| IpAddr::from([198, 51, 100, last]));
                    let free: Vec<_> = all.filter(|ip| !taken.contains(ip)).take(count).collect();
                    (free.len() == count).then_some(free)
                },
                new_id: &id,
            };
            let change = planner.change(&write)?;
            self.objects.apply(shared(&change.objects));
            Ok(change.place)
        }

        fn create(
            &mut self,
            kind: Kind,
            parent: Option<&ResourcePath>,
            body: Value,
        ) -> Result<ResourcePath, ApiError> {
            self.write(Write::Create(kind, parent.cloned(), body))
        }

        fn group(&mut self, name: &str) -> ResourcePath {
            let body = json!({"name": name, "algorithm": "ROUND_ROBIN", "protocol": "HTTP"});
            self.create(Kind::TargetGroup, None, json!({"properties": body}))
                .unwrap()
        }

        fn balancer(&mut self) -> ResourcePath {
            let datacenter = ResourcePath::of(Kind::Datacenter, None, DATACENTER);
            let body =
                json!({"name": "alb", "listenerLan": 1, "targetLan": 2, "ips": ["192.0.2.1"]});
            self.create(Kind::Balancer, Some(&datacenter), body)
                .unwrap()
        }

        fn rule(
            &mut self,
            balancer: &ResourcePath,
            port: u16,
            group: &str,
        ) -> Result<ResourcePath, ApiError> {
            self.create(Kind::ForwardingRule, Some(balancer), rule(port, group))
        }
    }

    fn rule(port: u16, group: &str) -> Value {
        json!({"properties": {
            "name": "rule", "protocol": "HTTP", "listenerIp": "192.0.2.1", "listenerPort": port,
            "httpRules": [{"name": "all", "type": "FORWARD", "targetGroup": group}],
        }})
    }

    fn status(result: Result<ResourcePath, ApiError>) -> (u16, String) {
        let error = result.unwrap_err();
        (error.status, error.messages[0].1.clone())
    }

    #[test]
    fn a_balancer_is_in_any_datacenter_and_its_lans_are_there() {
        let mut written = Written::new();
        let balancer = written.balancer();
        let datacenter = balancer.parent().unwrap();
        assert_eq!(written.objects.get(&datacenter).unwrap().name(), DATACENTER);
        let lans = written.objects.list(Kind::Lan, Some(&datacenter));
        let ids: Vec<&str> = lans.iter().map(|(place, _)| place.id()).collect();
        assert_eq!(ids, ["1", "2"]);
        let lan = written
            .create(Kind::Lan, Some(&datacenter), json!({"name": ""}))
            .unwrap();
        assert_eq!(lan.id(), "3");
        let (code, message) = status(written.write(Write::Delete(ResourcePath::of(
            Kind::Lan,
            Some(&datacenter),
            "1",
        ))));
        assert_eq!(code, 403);
        assert!(message.contains("is delete-protected by"), "{message}");
        written.is_listed = true;
        let mut to = |lan: u32| {
            let body = json!({"name": "b", "listenerLan": 2, "targetLan": lan});
            written.create(Kind::Balancer, Some(&datacenter), body)
        };
        assert!(to(3).is_ok());
        let expected = "[(root).properties.targetLan] there is no LAN 9 in the datacenter";
        assert_eq!(status(to(9)), (422, expected.to_owned()));
        written.is_listed = false;
        for id in ["not-a-uuid", "00000000-0000-0000-0000-000000000000"] {
            let nowhere = ResourcePath::of(Kind::Datacenter, None, id);
            let refused = written.create(Kind::Lan, Some(&nowhere), json!({}));
            assert_eq!(status(refused).0, 404);
        }
    }

    #[test]
    fn a_listener_is_one_rules_and_on_an_address_of_the_balancer() {
        let mut written = Written::new();
        let group = written.group("g");
        let balancer = written.balancer();
        let first = written.rule(&balancer, 80, group.id()).unwrap();
        let (code, message) = status(written.rule(&balancer, 80, group.id()));
        assert_eq!(code, 422);
        let expected = format!(
            "[(root).properties.listenerIp] Listener IP and port combination 192.0.2.1:80 already \
             used by rule ({})",
            first.id()
        );
        assert_eq!(message, expected);
        // A rule is in nobody's way but others'.
        written
            .write(Write::Patch(first.clone(), rule(80, group.id())))
            .unwrap();
        let wrong = json!({"listenerIp": "192.0.2.9"});
        assert_eq!(status(written.write(Write::Patch(first, wrong))).0, 422);
        let without = json!({"ips": []});
        let (_, message) = status(written.write(Write::Patch(balancer, without)));
        assert!(message.starts_with("[(root).properties.ips]"), "{message}");
    }

    #[test]
    fn a_target_group_that_is_named_is_there_and_stays() {
        let mut written = Written::new();
        let balancer = written.balancer();
        let (code, message) = status(written.rule(&balancer, 80, "nobody"));
        assert_eq!(code, 422);
        let expected =
            "[(root).properties.httpRules[0].targetGroup] there is no target group nobody";
        assert_eq!(message, expected);
        written.rule(&balancer, 81, "of-the-file").unwrap();
        let group = written.group("g");
        let rule = written.rule(&balancer, 80, group.id()).unwrap();
        assert_eq!(status(written.write(Write::Delete(group.clone()))).0, 422);
        written.write(Write::Delete(rule.clone())).unwrap();
        written.write(Write::Delete(group.clone())).unwrap();
        assert_eq!(status(written.write(Write::Delete(group))).0, 404);
        assert_eq!(status(written.write(Write::Patch(rule, json!({})))).0, 404);
    }

    #[test]
    fn what_is_in_an_object_goes_with_it() {
        let mut written = Written::new();
        let balancer = written.balancer();
        let rule = written.rule(&balancer, 80, "of-the-file").unwrap();
        let datacenter = balancer.parent().unwrap();
        assert_eq!(
            status(written.write(Write::Delete(datacenter.clone()))).0,
            422
        );
        written.write(Write::Delete(balancer)).unwrap();
        assert!(written.objects.get(&rule).is_none());
        written.write(Write::Delete(datacenter)).unwrap();
        let mut left = written.objects.iter();
        assert!(left.all(|(_, object)| object.is_of_file));
    }

    #[test]
    fn what_is_in_a_body_is_made_with_it() {
        let mut written = Written::new();
        let datacenter = ResourcePath::of(Kind::Datacenter, None, DATACENTER);
        let rules = [rule(80, "of-the-file"), rule(81, "of-the-file")];
        let body = json!({
            "properties": {"name": "alb", "listenerLan": 1, "targetLan": 2, "ips": ["192.0.2.1"]},
            "entities": {"forwardingrules": {"items": rules}},
        });
        let balancer = written
            .create(Kind::Balancer, Some(&datacenter), body)
            .unwrap();
        let rules = written.objects.list(Kind::ForwardingRule, Some(&balancer));
        assert_eq!(rules.len(), 2);
        let labels: HashSet<&str> = rules.iter().map(|(_, rule)| rule.label()).collect();
        assert_eq!(labels.len(), 2);
    }

    #[test]
    fn what_is_wrong_in_a_body_is_told_with_its_place_there() {
        let mut written = Written::new();
        let log = json!({"name": "f", "action": "SOME", "direction": "EGRESS", "bucket": "b"});
        let body = |items: Vec<Value>| {
            json!({
                "properties": {"name": "alb", "listenerLan": 1, "targetLan": 2},
                "entities": {"flowlogs": {"items": items}},
            })
        };
        let datacenter = ResourcePath::of(Kind::Datacenter, None, DATACENTER);
        let mut refused = |body: Value| {
            let error = written.create(Kind::Balancer, Some(&datacenter), body);
            error.unwrap_err().messages[0].1.clone()
        };
        let mut right = log.clone();
        right["action"] = "ALL".into();
        let message = refused(body(vec![right, log.clone()]));
        let place = "[(root).entities.flowlogs.items[1].properties.action] must be ";
        assert!(message.starts_with(place), "{message}");
        let message = refused(body(vec![json!({"properties": log}); MOST_INSIDE + 1]));
        assert!(
            message.starts_with("[(root).entities] may have 1000"),
            "{message}"
        );
    }

    #[test]
    fn there_are_only_so_many_objects() {
        let mut written = Written::new();
        let object = Arc::new(Object::new(Map::new(), "test"));
        let place = |id: usize| ResourcePath::of(Kind::IpBlock, None, &id.to_string());
        let all = (2..MOST_OBJECTS).map(|id| (place(id), Some(Arc::clone(&object))));
        written.objects.apply(all);
        let group = json!({"name": "g", "algorithm": "RANDOM", "protocol": "HTTP"});
        let mut create = || written.create(Kind::TargetGroup, None, group.clone());
        assert!(create().is_ok());
        assert_eq!(status(create()).0, 422);
    }

    #[test]
    fn a_block_has_the_size_that_it_was_made_with() {
        let mut written = Written::new();
        let body = json!({"location": "de/txl", "size": 2});
        let block = written.create(Kind::IpBlock, None, body).unwrap();
        let mut patch = |body: Value| written.write(Write::Patch(block.clone(), body));
        assert!(patch(json!({"name": "n", "size": 2})).is_ok());
        let message = patch(json!({"size": 3})).unwrap_err().messages[0].1.clone();
        assert_eq!(message, "[(root).properties.size] stays what it is");
    }

    #[test]
    fn a_name_that_is_anothers_is_told_apart_by_the_id() {
        let mut written = Written::new();
        let [one, other, third, fourth] =
            ["g", "g", "file", "former"].map(|name| written.group(name));
        let label = |place: &ResourcePath| written.objects.get(place).unwrap().label().to_owned();
        assert_eq!(
            [&one, &other, &third, &fourth].map(label),
            ["g", "g 00000002", "file 00000003", "former 00000004"]
        );
    }
}
