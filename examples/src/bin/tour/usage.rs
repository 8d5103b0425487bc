//! Job: how much memory there is, and how much memory and CPU time this process takes.

use std::fs;
use std::time::Duration;

/// Bytes this process takes: its pages, its page tables and the kernel's stacks of all threads
/// (the last is the machine's figure; others' threads hardly change meanwhile).
pub(crate) fn taken() -> u64 {
    let status = "/proc/self/status";
    field(status, "VmRSS:") + field(status, "VmPTE:") + field("/proc/meminfo", "KernelStack:")
}

/// Bytes that can be had without hurting anybody: the machine's or the container's.
pub(crate) fn available() -> u64 {
    let machine = match field("/proc/meminfo", "MemAvailable:") {
        0 => 512 << 20, // no /proc: assume a small machine
        bytes => bytes,
    };
    let groups = [
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ];
    let left = groups
        .iter()
        .filter_map(|(max, used)| Some(number(max)? - number(used)?.min(number(max)?)));
    left.fold(machine, u64::min)
}

/// CPU time of this process so far, of all threads and in the kernel, to 10 ms; zero without /proc.
pub(crate) fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the name, which may hold anything, between parentheses.
    let (_, fields) = text.rsplit_once(')').unwrap_or_default();
    let user_and_system = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = user_and_system.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10) // a tick is 10 ms on every Linux
}

/// A field in kB of a file of lines `name value kB`, as bytes; 0 if there is none.
fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    value.unwrap_or(0_u64) * 1024
}

/// A file that holds one number; `max` is none.
fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
