//! The memory's cgroups that the process is in, of both versions: what the kernel lets them have,
//! and what they use.
//!
//! `/proc/self/cgroup` tells where in a hierarchy the process is, and `/proc/self/mountinfo` where
//! that hierarchy can be seen: the whole of it, or from somewhere further down on, as in a
//! container. Each cgroup counts what those below it use, and each may have a limit.

use std::io;
use std::path::{Component, Path, PathBuf};

use procfs::process::MountInfo;
use procfs::{FromRead as _, ProcessCGroups};

use super::figure::Figure;
use super::reading::Reading;

/// A cgroup with a limit.
#[derive(Debug)]
pub(super) struct Cgroup {
    limits: Vec<Figure>,
    usage: Figure,
    statistics: Figure,
    files: &'static Files,
}

/// How a version calls what we ask for.
#[derive(Debug)]
struct Files {
    limits: &'static [&'static str],
    usage: &'static str,
    /// In `memory.stat`: the cache of files, which is dropped before anybody is killed, also that
    /// which is often read.
    cache: [&'static str; 2],
}

const V1: Files = Files {
    limits: &["memory.limit_in_bytes"],
    usage: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};
/// Over `memory.high` nobody is killed, but all are made to wait.
const V2: Files = Files {
    limits: &["memory.max", "memory.high"],
    usage: "memory.current",
    cache: ["inactive_file", "active_file"],
};

impl Cgroup {
    /// The cgroups of the process with this folder in /proc that have a limit below `total`.
    pub(super) fn with_limit(process: &Path, total: u64) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for (folder, files) in folders(process)? {
            let Some(cgroup) = Cgroup::open(&folder, files)? else {
                continue;
            };
            if cgroup.limit()?.is_some_and(|limit| limit < total) {
                found.push(cgroup);
            }
        }
        Ok(found)
    }

    /// `None` for one that does not count memory: that of version 2 at the root, or where version 1
    /// does.
    fn open(folder: &Path, files: &'static Files) -> io::Result<Option<Self>> {
        let limits = files.limits.iter();
        let limits = limits.map(|name| Figure::find(&folder.join(name)));
        let limits: Vec<_> = limits.collect::<io::Result<_>>()?;
        let usage = Figure::find(&folder.join(files.usage))?;
        let statistics = Figure::find(&folder.join("memory.stat"))?;
        Ok(usage.zip(statistics).map(|(usage, statistics)| Cgroup {
            limits: limits.into_iter().flatten().collect(),
            usage,
            statistics,
            files,
        }))
    }

    fn limit(&self) -> io::Result<Option<u64>> {
        let limits = self.limits.iter().map(Figure::number);
        let limits = limits.collect::<io::Result<Vec<_>>>()?;
        Ok(limits.into_iter().flatten().min())
    }

    /// What it uses of its limit; `None` where it has none any more.
    pub(super) fn read(&self) -> io::Result<Option<Reading>> {
        let (limit, usage) = (self.limit()?, self.usage.number()?);
        let mut cache = 0;
        for name in self.files.cache {
            cache += self.statistics.named(name)?.unwrap_or(0);
        }
        Ok(limit.zip(usage).map(|(limit, usage)| Reading {
            used: usage.saturating_sub(cache),
            limit,
        }))
    }
}

/// The folders of the cgroups that the process is in, from its own to the last that can be seen, of
/// each hierarchy.
fn folders(process: &Path) -> io::Result<Vec<(PathBuf, &'static Files)>> {
    let text = std::fs::read_to_string(process.join("mountinfo"))?;
    let mounts: Vec<_> = text.lines().filter_map(hierarchy).collect();
    let cgroups = ProcessCGroups::from_file(process.join("cgroup")).map_err(io::Error::other)?;
    let mut found = Vec::new();
    for cgroup in cgroups {
        let files = match cgroup.hierarchy {
            0 => &V2,
            _ if cgroup.controllers.iter().any(|name| name == "memory") => &V1,
            _ => continue,
        };
        let mut here = mounts
            .iter()
            .filter(|(of, _)| std::ptr::eq(*of, files))
            .map(|(_, mount)| (mount, below(mount, &cgroup.pathname)));
        // One that shows the process's own is better than one that does not.
        let seen = here.clone().find(|(_, below)| below.is_some());
        if let Some((mount, below)) = seen.or_else(|| here.next()) {
            let own = mount.mount_point.join(below.unwrap_or_default());
            let all = own.ancestors();
            let visible = all.take_while(|folder| folder.starts_with(&mount.mount_point));
            found.extend(visible.map(|folder| (folder.to_owned(), files)));
        }
    }
    Ok(found)
}

/// The mount on a line of `mountinfo`, if it is of a hierarchy that may count memory.
fn hierarchy(line: &str) -> Option<(&'static Files, MountInfo)> {
    // Other lines may have what the parser does not understand.
    let is_one = line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let mount = MountInfo::from_line(line).ok().filter(|_| is_one)?;
    match mount.fs_type.as_str() {
        "cgroup2" => Some((&V2, mount)),
        _ if mount.super_options.contains_key("memory") => Some((&V1, mount)),
        _ => None,
    }
}

/// Where below a mount this cgroup is; `None` where it cannot be seen there.
fn below(mount: &MountInfo, cgroup: &str) -> Option<PathBuf> {
    let below = Path::new(cgroup).strip_prefix(&mount.root).ok()?;
    let is_plain = |part: Component| matches!(part, Component::Normal(_));
    below.components().all(is_plain).then(|| below.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const MACHINE: u64 = 1 << 30;
    /// What version 1 says where there is no limit.
    const NONE: &str = "9223372036854771712\n";

    /// A process's folder, and what it sees of its cgroups.
    struct Tree(TempDir);

    impl Tree {
        /// `MOUNT` stands for the folder in which hierarchies are mounted.
        fn new(cgroup: &str, mountinfo: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mount = folder.path().join("mount");
            let mountinfo = mountinfo.replace("MOUNT", mount.to_str().unwrap());
            fs::write(folder.path().join("cgroup"), cgroup).unwrap();
            fs::write(folder.path().join("mountinfo"), mountinfo).unwrap();
            Tree(folder)
        }

        /// Adds a cgroup with these files.
        fn with(self, cgroup: &str, files: &[(&str, &str)]) -> Self {
            let folder = self.0.path().join("mount").join(cgroup);
            fs::create_dir_all(&folder).unwrap();
            for (name, text) in files {
                fs::write(folder.join(name), text).unwrap();
            }
            self
        }

        fn v1(self, cgroup: &str, limit: &str, usage: &str) -> Self {
            let files = [
                ("memory.limit_in_bytes", limit),
                ("memory.usage_in_bytes", usage),
                (
                    "memory.stat",
                    "inactive_file 1\ntotal_inactive_file 60\ntotal_active_file 40\n",
                ),
            ];
            self.with(cgroup, &files)
        }

        fn v2(self, cgroup: &str, most: &str, high: &str, current: &str) -> Self {
            let files = [
                ("memory.max", most),
                ("memory.high", high),
                ("memory.current", current),
                (
                    "memory.stat",
                    "anon 5\nfile 7\ninactive_file 60\nactive_file 40\n",
                ),
            ];
            self.with(cgroup, &files)
        }

        /// What is used of which limit, from the innermost cgroup on.
        fn found(&self) -> Vec<(u64, u64)> {
            let cgroups = Cgroup::with_limit(self.0.path(), MACHINE).unwrap();
            let read = |cgroup: &Cgroup| cgroup.read().unwrap().unwrap();
            let readings = cgroups.iter().map(read);
            readings.map(|one| (one.used, one.limit)).collect()
        }
    }

    const V1_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / MOUNT/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / MOUNT/memory rw,relatime shared:11 - cgroup cgroup rw,memory
36 31 0:33 / /a\\040b rw - ext4 rw
";
    const V2_MOUNT: &str =
        "30 23 0:26 / MOUNT rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn version_1_has_a_hierarchy_for_memory_and_each_parent_counts() {
        let tree = Tree::new(
            "5:cpu,cpuacct:/x\n4:memory:/a/b\n1:name=systemd:/\n",
            V1_MOUNTS,
        )
        .v1("memory", NONE, "5000")
        .v1("memory/a", "3000\n", "2000\n")
        .v1("memory/a/b", NONE, "1500");
        assert_eq!(tree.found(), [(1900, 3000)]);
    }

    #[test]
    fn version_2_has_one_hierarchy_and_the_lower_of_two_limits() {
        let tree = Tree::new("0::/system.slice/culvert.service\n", V2_MOUNT)
            .with("", &[("memory.stat", "inactive_file 5\n")])
            .v2("system.slice", "4096\n", "max\n", "2000\n")
            .v2("system.slice/culvert.service", "2048\n", "1024\n", "700\n");
        assert_eq!(tree.found(), [(600, 1024), (1900, 4096)]);
    }

    #[test]
    fn in_a_hybrid_one_memory_is_counted_by_version_1() {
        let mounts =
            V1_MOUNTS.to_owned() + "41 31 0:38 / MOUNT/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let tree = Tree::new("4:memory:/a\n0::/b\n", &mounts)
            .v1("memory/a", "3000", "2000")
            .with("unified/b", &[("cgroup.procs", "1\n")]);
        assert_eq!(tree.found(), [(1900, 3000)]);
    }

    #[test]
    fn a_container_sees_its_own_cgroup_at_the_mount() {
        let mounts = "35 31 0:32 /docker/abc MOUNT/memory ro - cgroup cgroup rw,memory\n";
        let tree = Tree::new("4:memory:/docker/abc/worker\n", mounts)
            .v1("memory", "3000", "2000")
            .v1("memory/worker", "1000", "200");
        assert_eq!(tree.found(), [(100, 1000), (1900, 3000)]);
    }

    #[test]
    fn with_a_namespace_paths_begin_at_its_root_and_what_is_outside_counts_as_the_mount() {
        for cgroup in ["0::/\n", "0::/../other\n", "0::/elsewhere/x/../..\n"] {
            let tree = Tree::new(cgroup, V2_MOUNT).v2("", "3000", "max", "2000");
            assert_eq!(tree.found(), [(1900, 3000)], "{cgroup}");
        }
        let outside = V2_MOUNT.replace(" / ", " /.. ");
        let tree = Tree::new("0::/a\n", &outside).v2("", "3000", "max", "2000");
        assert_eq!(tree.found(), [(1900, 3000)]);
    }

    #[test]
    fn the_mount_that_shows_the_process_is_taken() {
        let mounts = "\
35 31 0:32 /elsewhere MOUNT/other ro - cgroup2 cgroup2 rw
36 31 0:32 / MOUNT/all ro - cgroup2 cgroup2 rw
";
        let tree = Tree::new("0::/a\n", mounts)
            .v2("other", "1000", "max", "200")
            .v2("all/a", "3000", "max", "2000");
        assert_eq!(tree.found(), [(1900, 3000)]);
    }

    #[test]
    fn a_limit_that_the_machine_does_not_have_is_none() {
        let tree = Tree::new("0::/a\n", V2_MOUNT).v2("a", "2147483648", "max", "2000");
        assert_eq!(tree.found(), []);
        let none = Tree::new("", "");
        assert_eq!(none.found(), []);
    }

    #[test]
    fn a_limit_that_changes_is_seen_at_the_next_look() {
        let tree = Tree::new("0::/a\n", V2_MOUNT).v2("a", "3000", "max", "2000");
        let cgroups = Cgroup::with_limit(tree.0.path(), MACHINE).unwrap();
        let tree = tree.v2("a", "max", "max", "2000");
        assert_eq!(cgroups[0].read().unwrap(), None);
        drop(tree);
    }
}
