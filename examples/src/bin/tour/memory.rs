//! Job: how much memory there is, and how much this process takes.

use std::fs;

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
