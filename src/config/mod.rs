//! The configuration: from a file to checked values, or to all that is wrong with it.
//!
//! The way of a file: `document` makes a value tree of the YAML, `include` adds what other files
//! have, `read` goes through it key by key and makes a [`Config`] of it. `tree` and `scalar` are
//! what it reads with: they note each problem with its path and go on, so that one run reports them
//! all; `positions` finds their lines. What the values do is left to the rooms that are built.

use std::path::Path;
use std::time::Duration;

pub(crate) mod bounded;
pub mod difference;
pub(crate) mod document;
pub mod fault;
mod include;
pub mod model;
pub mod objects;
pub mod origin;
mod positions;
pub mod problem;
mod read;
pub mod renewal;
mod scalar;
pub mod schema;
pub mod secret_key;
pub mod template;
mod text;
mod tree;
mod unique;
mod units;
mod words;

pub use model::Config;
use model::Parts;
use positions::Text;
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

/// Reads the file at `path`, which messages show as it is given here, and those that it includes.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let text = text::read(path).map_err(|problem| alone(&name, problem))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse_in(Some(folder), &name, text)
}

/// The file at `path` with all that holds where it says nothing, as YAML. What is secret is not in
/// it.
pub fn effective(path: &Path) -> Result<String, Problems> {
    load(path)?;
    let name = path.display().to_string();
    let text = text::read(path).map_err(|problem| alone(&name, problem))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut top = whole(Some(folder), &name, text)?.top;
    // What is included is in it.
    if let Value::Object(keys) = &mut top {
        keys.remove("include");
    }
    let top = schema::filled(top);
    serde_yaml::to_string(&top).map_err(|error| alone(&name, Problem::new("", error.to_string())))
}

/// Reads only `admin` of the file at `path`; what is wrong elsewhere does not matter.
pub fn load_admin(path: &Path) -> Result<model::Admin, Problems> {
    let name = path.display().to_string();
    let text = text::read(path).map_err(|problem| alone(&name, problem))?;
    let top = text::tree(&text).map_err(|problem| alone(&name, problem))?;
    let (admin, problems, _) = read_with(&top, read::only_admin);
    let is_here = |problem: &Problem| problem.path.starts_with("admin") || problem.path.is_empty();
    let problems = problems.into_iter().filter(is_here).collect();
    admin.ok_or_else(|| of_texts(problems, &[Text::named(&name, text)], &Parts::default()))
}

/// Reads `text`, which messages call the file `name`. It includes no other.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Problems> {
    parse_in(None, name, text.to_owned())
}

/// Gives problems of a file, or of those that it includes, their positions.
pub fn located(path: &Path, problems: Vec<Problem>) -> Problems {
    let mut files = vec![path.display().to_string()];
    for file in problems
        .iter()
        .filter_map(|problem| problem.file.as_deref())
    {
        if !files.iter().any(|known| known == file) {
            files.push(file.to_owned());
        }
    }
    // What cannot be read again has no positions.
    let text = |file: &String| Text::named(file, text::read(Path::new(file)).unwrap_or_default());
    let texts: Vec<_> = files.iter().map(text).collect();
    of_texts(problems, &texts, &Parts::default())
}

fn parse_in(folder: Option<&Path>, name: &str, text: String) -> Result<Loaded, Problems> {
    let Whole { top, texts, parts } = whole(folder, name, text)?;
    let (config, problems, mut warnings) = read_with(&top, read::config);
    match config {
        Some(mut config) if problems.is_empty() => {
            positions::locate(&mut warnings, &texts, &parts);
            config.parts = parts;
            Ok(Loaded { config, warnings })
        }
        _ => Err(of_texts(problems, &texts, &parts)),
    }
}

/// A file with those that it includes.
struct Whole {
    top: Value,
    /// The first one is of the file itself.
    texts: Vec<Text>,
    parts: Parts,
}

fn whole(folder: Option<&Path>, name: &str, text: String) -> Result<Whole, Problems> {
    let mut top = text::tree(&text).and_then(|top| match top.is_null() {
        true => Err(Problem::new("", "is empty")),
        false => Ok(top),
    });
    let included = top
        .as_mut()
        .map(|top| include::read(top, folder, text.len()));
    let included = included.unwrap_or_default();
    let mut texts = vec![Text::named(name, text)];
    texts.extend(included.texts);
    let parts = included.parts;
    match top {
        Ok(top) if included.problems.is_empty() => Ok(Whole { top, texts, parts }),
        Ok(_) => Err(of_texts(included.problems, &texts, &Parts::default())),
        Err(problem) => Err(of_texts(vec![problem], &texts, &Parts::default())),
    }
}

/// The problems with their positions. The first text is of the file as a whole.
fn of_texts(mut problems: Vec<Problem>, texts: &[Text], parts: &Parts) -> Problems {
    positions::locate(&mut problems, texts, parts);
    let file = texts.first().map(|text| text.name.to_string());
    Problems {
        file: file.unwrap_or_default(),
        problems,
    }
}

fn alone(file: &str, problem: Problem) -> Problems {
    Problems {
        file: file.to_owned(),
        problems: vec![problem],
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

/// A duration as a file may write it: `90s`, or `90000` for milliseconds. The error is what it must
/// be.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let number = text.parse::<u64>().map(Value::from);
    let value = number.unwrap_or_else(|_| Value::from(text));
    units::duration(&value).map_err(|reason| reason.expected())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::bounded::LARGEST_FILE;
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

    /// As the headers have them: without the file.
    fn lines(problems: &[Problem]) -> Vec<String> {
        let line = |problem: &Problem| match problem.position {
            Some(position) => format!("{position}: {problem}"),
            None => problem.to_string(),
        };
        problems.iter().map(line).collect()
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
            "a:1:230: targetGroups[0] \"g\": targets: must have at most 65535 entries, not 65536"
        );
    }
}
