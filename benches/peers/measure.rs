//! What the system says of a proxy's processes, and what becomes of many numbers.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;

/// The children of a process.
pub(crate) fn children(parent: u32) -> io::Result<Vec<u32>> {
    let pids =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| stat(*pid).is_ok_and(|fields| fields.parent == parent);
    Ok(pids.filter(is_child).collect())
}

/// The CPU time that processes have had, in user and in system mode.
pub(crate) fn cpu(processes: &[u32]) -> io::Result<Duration> {
    let mut ticks = 0;
    for process in processes {
        ticks += stat(*process)?.ticks;
    }
    Ok(Duration::from_secs_f64(
        ticks as f64 / clock_ticks_per_second() as f64,
    ))
}

/// The memory of processes (PSS: a page that several share is shared out between them), in bytes.
pub(crate) fn memory(processes: &[u32]) -> io::Result<f64> {
    let mut kilobytes = 0.0;
    for process in processes {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        kilobytes += pss(&text).ok_or_else(|| io::Error::other("no Pss in smaps_rollup"))?;
    }
    Ok(kilobytes * 1024.0)
}

fn pss(smaps: &str) -> Option<f64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// Some fields of /proc/PID/stat. The second, a name in brackets, may hold anything.
fn stat(process: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let field = |number: usize| -> io::Result<u64> {
        let field = fields.get(number - 3).and_then(|field| field.parse().ok());
        field.ok_or_else(|| io::Error::other("an unexpected /proc/PID/stat"))
    };
    Ok(Stat {
        parent: field(4)?.try_into().map_err(io::Error::other)?,
        ticks: field(14)? + field(15)?,
    })
}

/// The value that this share of the values does not exceed.
pub(crate) fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let place = (values.len() as f64 * share).ceil() as usize;
    values[place.clamp(1, values.len()) - 1]
}

/// The value in the middle; of two, their mean. `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}
