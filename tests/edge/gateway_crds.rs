//! What a cluster has to know of the policies is printed by the program, and kept beside the pages.

use std::fs;
use std::process::Command;

#[test]
fn the_definitions_of_the_policies_are_printed_as_they_are_kept() {
    let program = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["gateway", "crds"])
        .output()
        .unwrap();
    assert!(program.status.success(), "{program:?}");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kubernetes/crds");
    let kept = ["tunnelpolicies", "targetpolicies", "healthcheckpolicies"].map(|name| {
        let path = format!("{folder}/{name}.yaml");
        fs::read_to_string(&path).expect(&path)
    });
    assert_eq!(String::from_utf8_lossy(&program.stdout), kept.join("---\n"));
}
