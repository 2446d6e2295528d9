//! Why a configuration that is sound in itself cannot be put in place: an address that another
//! process has, say.
//!
//! Whichever source it has, a fault names its object; where the source is a file, the place of the
//! object there is told instead.

use std::fmt;
use std::sync::Arc;

use super::model::Config;
use super::problem::Problem;

/// What stands in the way of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is about.
    pub object: Object,
    /// Which of its keys, where it is one.
    pub key: Option<&'static str>,
    /// What: one line.
    pub message: String,
}

/// What a fault is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The process.
    Process,
    /// A setting for the process, as the configuration calls it: `admin.listen`.
    Setting(&'static str),
    /// The forwarding rule of this name.
    ForwardingRule(String),
    /// The target group of this name.
    TargetGroup(String),
}

impl Fault {
    /// What is wrong with an object.
    pub fn new(object: Object, message: impl ToString) -> Self {
        Fault {
            object,
            key: None,
            message: message.to_string(),
        }
    }

    /// The same, of this key of the object.
    pub fn of_key(self, key: &'static str) -> Self {
        let key = Some(key);
        Fault { key, ..self }
    }

    /// The fault as a problem of this configuration; `is_file` where that is a file, which has
    /// places.
    pub fn into_problem(self, config: &Config, is_file: bool) -> Problem {
        let place = is_file.then(|| self.object.place(config)).flatten();
        let path = place.unwrap_or_else(|| self.object.to_string());
        let (file, path) = match config.parts.own(&path).filter(|_| is_file) {
            Some((file, path)) => (Some(Arc::clone(file)), path),
            None => (None, path),
        };
        let mut problem = Problem::new(path, self.message);
        problem.file = file;
        problem
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.object {
            Object::Process => f.write_str(&self.message),
            _ => write!(f, "{}: {}", self.object, self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl Object {
    /// Its path in the file of this configuration, or in the API. What is the file's is before what
    /// is not.
    pub fn place(&self, config: &Config) -> Option<String> {
        match self {
            Object::Process => Some(String::new()),
            Object::Setting(path) => Some((*path).to_owned()),
            Object::ForwardingRule(name) => {
                let mut rules = config.forwarding_rules.iter();
                let place = rules.position(|rule| rule.name == *name)?;
                let source = &config.forwarding_rules.get(place)?.source;
                Some(source.place(|| format!("forwardingRules[{place}]")))
            }
            Object::TargetGroup(name) => {
                let mut groups = config.target_groups.iter();
                let place = groups.position(|group| group.name == *name)?;
                let source = &config.target_groups.get(place)?.source;
                Some(source.place(|| format!("targetGroups[{place}]")))
            }
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Process => Ok(()),
            Object::Setting(path) => f.write_str(path),
            Object::ForwardingRule(name) => write!(f, "forwarding rule {name}"),
            Object::TargetGroup(name) => write!(f, "target group {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_its_place_in_a_file_and_by_name_where_there_is_none() {
        let text = "forwardingRules:
- {name: edge, protocol: HTTP, listenerIp: 127.0.0.1, listenerPort: 80, httpRules: []}
targetGroups:
- {name: a, algorithm: RANDOM, protocol: HTTP}
- {name: chat, algorithm: RANDOM, protocol: HTTP}";
        let config = crate::config::parse("edge.yaml", text).unwrap().config;
        for (object, in_file, by_name) in [
            (Object::Process, "", ""),
            (
                Object::Setting("admin.listen"),
                "admin.listen",
                "admin.listen",
            ),
            (
                Object::TargetGroup("chat".into()),
                "targetGroups[1]",
                "target group chat",
            ),
            (
                Object::ForwardingRule("edge".into()),
                "forwardingRules[0]",
                "forwarding rule edge",
            ),
        ] {
            let told = |is_file| Fault::new(object.clone(), "why").into_problem(&config, is_file);
            assert_eq!(
                (told(true).path, told(false).path),
                (in_file.into(), by_name.into())
            );
        }
        let fault = Fault::new(Object::TargetGroup("chat".into()), "cannot be used: why");
        assert_eq!(fault.to_string(), "target group chat: cannot be used: why");
    }
}
