//! What is around a balancer, as far as a write makes it: the LANs that it names, and the addresses
//! of an IP block.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::checks;
use super::error::{ApiError, Problem};
use super::kind::Kind;
use super::object::Object;
use super::path::ResourcePath;
use super::plan::Planner;
use super::properties;

/// How many addresses an IP block may have.
const LARGEST_BLOCK: usize = 256;

impl Planner<'_> {
    /// Gives an IP block its addresses.
    pub(super) fn fill_block(&self, block: &mut Map<String, Value>) -> Result<(), ApiError> {
        let size = block.get("size").and_then(Value::as_u64);
        let size = size.and_then(|size| usize::try_from(size).ok());
        let invalid = |message| {
            let problem = Problem::new("properties.size", message);
            ApiError::invalid(vec![problem])
        };
        let size = size.filter(|size| (1..=LARGEST_BLOCK).contains(size));
        let wrong = || invalid(format!("must be a number from 1 to {LARGEST_BLOCK}"));
        let size = size.ok_or_else(wrong)?;
        let ips = self
            .objects
            .all(Kind::IpBlock)
            .flat_map(|(_, block)| checks::ips(block));
        let free = (self.new_ips)(size, &ips.collect());
        let none = || {
            invalid(format!(
                "there are no {size} addresses left: see api.addresses"
            ))
        };
        let free = free.ok_or_else(none)?;
        let texts: Vec<Value> = free.iter().map(|ip| ip.to_string().into()).collect();
        block.insert("ips".to_owned(), texts.into());
        Ok(())
    }

    /// The number of a new LAN: the first that none has.
    pub(super) fn next_lan(&self, datacenter: Option<&ResourcePath>) -> String {
        let lans = self.objects.list(Kind::Lan, datacenter);
        let numbers: HashSet<u32> = lans
            .iter()
            .filter_map(|(place, _)| place.id().parse().ok())
            .collect();
        let free = (1..).find(|number| !numbers.contains(number));
        free.unwrap_or(1_u32).to_string()
    }

    /// The LANs that a balancer names are there. They are made where the datacenter has none, or
    /// any datacenter is there.
    pub(super) fn name_lans(
        &self,
        place: &ResourcePath,
        balancer: &Object,
        objects: &mut Vec<(ResourcePath, Option<Object>)>,
    ) -> Result<(), ApiError> {
        let Some(datacenter) = place.parent() else {
            return Ok(());
        };
        for name in ["listenerLan", "targetLan"] {
            let Some(number) = balancer.properties.get(name).and_then(Value::as_i64) else {
                continue;
            };
            let lan = ResourcePath::of(Kind::Lan, Some(&datacenter), &number.to_string());
            let is_there =
                objects.iter().any(|(place, _)| *place == lan) || self.objects.get(&lan).is_some();
            if is_there {
                continue;
            }
            let lists_lans = !self.objects.list(Kind::Lan, Some(&datacenter)).is_empty();
            if !self.any_datacenter && lists_lans {
                let message = format!("there is no LAN {number} in the datacenter");
                let problem = Problem::new(format!("properties.{name}"), message);
                return Err(ApiError::invalid(vec![problem]));
            }
            let given = Map::from_iter([("name".to_owned(), format!("LAN {number}").into())]);
            if let Ok(properties) = properties::filled(Kind::Lan, &given) {
                objects.push((lan, Some(Object::new(properties, self.by))));
            }
        }
        Ok(())
    }
}
