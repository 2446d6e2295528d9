//! The configuration: from a file to checked values, or to all that is wrong with it.
//!
//! The way of a file: `document` makes a value tree of the YAML, `read` goes through it key by key
//! and makes a [`Config`] of it. `tree` and `scalar` are what it reads with: they note each problem
//! with its path and go on, so that one run reports them all. What the values do is left to the
//! rooms that are built from them.

use std::path::Path;
use std::time::Duration;

pub(crate) mod bounded;
pub mod difference;
pub(crate) mod document;
pub mod fault;
pub mod model;
pub mod objects;
pub mod origin;
pub mod problem;
mod read;
pub mod renewal;
mod scalar;
pub mod schema;
pub mod secret_key;
pub mod template;
mod tree;
mod unique;
mod units;
mod words;

use bounded::{LARGEST_FILE, read_bounded};
pub use model::Config;
use problem::{Problem, Problems};
use serde_json::Value;
use tree::{Findings, Node};

/// A file without problems.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is allowed but hardly meant.
    pub warnings: Vec<Problem>,
}

/// Reads the file at `path`, which messages show as it is given here.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    parse(&path.display().to_string(), &read_text(path)?)
}

/// The file at `path` with all that holds where it says nothing, as YAML. What is secret is not in
/// it.
pub fn effective(path: &Path) -> Result<String, Problems> {
    let name = path.display().to_string();
    let text = read_text(path)?;
    parse(&name, &text)?;
    let top = schema::filled(parse_tree(&name, &text)?);
    serde_yaml::to_string(&top).map_err(|error| Problems::whole_file(&name, error.to_string()))
}

/// Reads only `admin` of the file at `path`; what is wrong elsewhere does not matter.
pub fn load_admin(path: &Path) -> Result<model::Admin, Problems> {
    let name = path.display().to_string();
    let top = parse_tree(&name, &read_text(path)?)?;
    let (admin, problems, _) = read_with(&top, read::only_admin);
    let is_here = |problem: &Problem| problem.path.starts_with("admin") || problem.path.is_empty();
    let problems = problems.into_iter().filter(is_here).collect();
    admin.ok_or(Problems {
        file: name,
        problems,
    })
}

/// Reads `text`, which messages call the file `name`.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Problems> {
    let top = parse_tree(name, text)?;
    let (config, problems, warnings) = read_with(&top, read::config);
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded { config, warnings }),
        _ => Err(Problems {
            file: name.to_owned(),
            problems,
        }),
    }
}

fn parse_tree(name: &str, text: &str) -> Result<Value, Problems> {
    check_size(name, text.as_bytes())?;
    let top = document::parse(text).map_err(|error| Problems::whole_file(name, error))?;
    match top.is_null() {
        true => Err(Problems::whole_file(name, "is empty")),
        false => Ok(top),
    }
}

/// What `read` makes of a tree, with the problems and the warnings.
fn read_with<T>(
    top: &Value,
    read: impl FnOnce(&Node) -> Option<T>,
) -> (Option<T>, Vec<Problem>, Vec<Problem>) {
    let findings = Findings::default();
    let value = read(&Node::top(top, &findings));
    let (problems, warnings) = findings.into_parts();
    (value, problems, warnings)
}

fn read_text(path: &Path) -> Result<String, Problems> {
    let name = path.display().to_string();
    let bytes = read_bounded(path)
        .map_err(|error| Problems::whole_file(&name, format!("cannot be read: {error}")))?;
    check_size(&name, &bytes)?;
    String::from_utf8(bytes)
        .map_err(|error| Problems::whole_file(&name, error.utf8_error().to_string()))
}

/// A duration as a file may write it: `90s`, or `90000` for milliseconds. The error is what it must
/// be.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let number = text.parse::<u64>().map(Value::from);
    let value = number.unwrap_or_else(|_| Value::from(text));
    units::duration(&value).map_err(|reason| reason.expected())
}

fn check_size(name: &str, bytes: &[u8]) -> Result<(), Problems> {
    if bytes.len() > LARGEST_FILE {
        return Err(Problems::whole_file(name, "is larger than 16 MiB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    fn files_in(directory: &str) -> Vec<PathBuf> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        let entries = fs::read_dir(directory).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        });
        paths.sort();
        assert!(!paths.is_empty());
        paths
    }

    /// What the comments at the top of a file announce.
    fn announced(path: &Path, mark: &str) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map_while(|line| line.strip_prefix(mark));
        lines.map(str::to_owned).collect()
    }

    fn lines(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn files_with_problems_report_them_all() {
        for path in files_in("tests/edge/config/invalid") {
            let problems = load(&path).expect_err(&path.display().to_string());
            assert_eq!(
                lines(&problems.problems),
                announced(&path, "# problem: "),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn files_without_problems_load_with_the_warnings_they_announce() {
        for path in files_in("tests/edge/config/valid") {
            let loaded = load(&path).unwrap();
            assert_eq!(
                lines(&loaded.warnings),
                announced(&path, "# warning: "),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn the_files_that_come_with_culvert_load_without_a_warning() {
        for path in files_in("conf") {
            let loaded = load(&path).unwrap();
            assert_eq!(lines(&loaded.warnings), [""; 0], "{}", path.display());
        }
    }

    fn culvert_yaml() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/culvert.yaml");
        fs::read_to_string(path).unwrap()
    }

    /// Whatever the outcome, it can be shown: a refusal has a problem, and each is one line.
    fn parse_and_check(text: &str) {
        let shown = match parse("fuzz", text) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => {
                assert!(!problems.problems.is_empty(), "{text}");
                problems.problems
            }
        };
        for problem in lines(&shown) {
            assert!(!problem.contains(['\n', '\r']), "{problem:?}");
        }
    }

    #[test]
    fn no_prefix_of_a_file_panics() {
        let text = culvert_yaml();
        let comment = |line: &&str| line.trim_start().starts_with('#');
        let lines: Vec<&str> = text.lines().filter(|line| !comment(line)).collect();
        let text = lines.join("\n");
        for (end, _) in text.char_indices() {
            parse_and_check(&text[..end]);
        }
    }

    /// The places of all values below the top, as JSON pointers.
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        let below: Vec<(String, &Value)> = match value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(i, v)| (i.to_string(), v))
                .collect(),
            Value::Object(map) => map.iter().map(|(key, v)| (key.clone(), v)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        for (key, value) in below {
            let pointer = format!("{at}/{key}");
            pointers(value, &pointer, found);
            found.push(pointer);
        }
    }

    #[test]
    fn no_value_in_the_place_of_another_panics() {
        let top = document::parse(&culvert_yaml()).unwrap();
        let mut places = Vec::new();
        pointers(&top, "", &mut places);
        let strange = [
            json!(null),
            json!([]),
            json!({}),
            json!(-1),
            json!("x"),
            json!(1e300),
            json!([null]),
        ];
        for place in places {
            for value in &strange {
                let mut top = top.clone();
                *top.pointer_mut(&place).unwrap() = value.clone();
                parse_and_check(&top.to_string());
            }
        }
    }

    #[test]
    fn the_manual_tells_the_defaults() {
        const WITH_DEFAULT: &[&str] = &[
            "server",
            "admin",
            "accessLog",
            "readOnly",
            "hostNames",
            "certificates",
            "clientTimeout",
            "trustedProxies",
            "v6only",
            "maxConnections",
            "maxConnectionsPerClient",
            "maxRequestsPerSecondPerClient",
            "tunnel",
            "serverCertificates",
            "minTlsVersion",
            "strictSni",
            "negate",
            "dropQuery",
            "statusCode",
            "contentType",
            "serverName",
            "caFile",
            "verifyCertificate",
            "protocolVersion",
            "checkTimeout",
            "checkInterval",
            "healthyThreshold",
            "unhealthyThreshold",
            "retries",
            "healthCheck/method",
            "healthCheck/matchType",
            "healthCheck/response",
            "healthCheck/regex",
            "httpHealthCheck",
            "slowStart",
            "failOpen",
            "onUnhealthy",
            "consecutiveFailures",
            "baseEjectionTime",
            "maxEjectionTime",
            "maxEjectedPercent",
            "healthCheckPort",
            "connectTimeout",
            "responseTimeout",
            "weight",
            "healthCheckEnabled",
            "maintenanceEnabled",
            "proxyProtocol",
        ];
        let mut top = document::parse(&culvert_yaml()).unwrap();
        let told = parse("told", &top.to_string()).unwrap();
        let mut places = Vec::new();
        pointers(&top, "", &mut places);
        places.retain(|place| {
            WITH_DEFAULT
                .iter()
                .any(|key| place.ends_with(&format!("/{key}")))
        });
        for place in places {
            // `negate: true` is an example, not a default.
            let value = top.pointer_mut(&place).unwrap();
            if *value != json!(true) || place.ends_with("healthCheckEnabled") {
                *value = json!(null);
            }
        }
        let silent = parse("silent", &top.to_string()).unwrap();
        assert_eq!(
            format!("{:#?}", told.config),
            format!("{:#?}", silent.config)
        );
    }

    fn tempfile_with(bytes: &[u8]) -> PathBuf {
        let name = format!("culvert-config-{}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_file_that_cannot_be_read_is_one_problem() {
        let missing = load(Path::new("/nonexistent/edge.yaml")).unwrap_err();
        let expected =
            "/nonexistent/edge.yaml: cannot be read: No such file or directory (os error 2)";
        assert_eq!(missing.to_string(), expected);
        let directory = load(Path::new("/")).unwrap_err();
        assert!(
            directory.to_string().starts_with("/: cannot be read: "),
            "{directory}"
        );
        let endless = load(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.to_string(), "/dev/zero: is larger than 16 MiB");
        let not_text = tempfile_with(b"a: \xff");
        let problems = load(&not_text).unwrap_err();
        let expected = "invalid utf-8 sequence of 1 bytes from index 3";
        assert_eq!(lines(&problems.problems), [expected]);
        fs::remove_file(not_text).unwrap();
    }

    #[test]
    fn a_file_may_have_16_mib() {
        let text = format!("#{}", " ".repeat(LARGEST_FILE - 1));
        assert_eq!(parse("a", &text).unwrap_err().to_string(), "a: is empty");
        let text = format!("{text} ");
        assert_eq!(
            parse("a", &text).unwrap_err().to_string(),
            "a: is larger than 16 MiB"
        );
    }

    #[test]
    fn a_group_may_have_65535_targets() {
        let with_targets = |count: u32| {
            let target = |n: u32| json!({"ip": format!("10.0.{}.{}", n >> 8, n & 255), "port": 80});
            let targets: Vec<Value> = (0..count).map(target).collect();
            let group = json!({"name": "g", "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
                "targets": targets});
            let http_rule = json!({"name": "r", "type": "FORWARD", "targetGroup": "g"});
            let rule = json!({"name": "a", "protocol": "HTTP", "listenerIp": "127.0.0.1",
                "listenerPort": 80, "httpRules": [http_rule]});
            parse(
                "a",
                &json!({"forwardingRules": [rule], "targetGroups": [group]}).to_string(),
            )
        };
        assert_eq!(
            with_targets(65535).unwrap().config.target_groups[0]
                .targets
                .len(),
            65535
        );
        assert_eq!(
            with_targets(65536).unwrap_err().to_string(),
            "a: targetGroups[0].targets: must have at most 65535 entries, not 65536"
        );
    }
}
