//! Job: what the kernel says about this process, and what may be asked of it: memory, the limit
//! on descriptors, the CPU a thread runs on.

use std::io;

/// Bytes of physical memory this process holds: its resident pages and its page tables.
///
/// Page tables are memory, too, and a program with a million stacks has half a gigabyte of them.
///
/// # Errors
/// `/proc/self/status` is not readable, or lacks the fields.
pub fn memory() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name| {
        kib(&status, name).ok_or_else(|| io::Error::other(format!("/proc/self/status: no {name}")))
    };
    Ok((field("VmRSS:")? + field("VmPTE:")?) * 1024)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Raises the limit on open descriptors to at least `wanted` (the hard limit too, where the
/// process may) and returns the limit then in force.
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    if limit.rlim_cur >= wanted {
        return limit.rlim_cur;
    }
    for max in [wanted.max(limit.rlim_max), limit.rlim_max] {
        let asked = libc::rlimit { rlim_cur: wanted.min(max), rlim_max: max };
        // SAFETY: `asked` is valid for reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const asked) } == 0 {
            return asked.rlim_cur;
        }
    }
    limit.rlim_cur
}

/// Keeps the calling thread on the first CPU it may use, so that two such threads take turns
/// rather than run side by side.
///
/// # Errors
/// The kernel refuses.
pub fn pin_to_one_cpu() -> io::Result<()> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: all-zero is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `allowed` is valid for writes of `size` bytes; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the index is below the size of the set.
    let is_allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &allowed) };
    let first = (0..libc::CPU_SETSIZE as usize).find(is_allowed).unwrap_or(0);
    // SAFETY: all-zero is the empty set.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the index is below the size of the set.
    unsafe { libc::CPU_SET(first, &mut one) };
    // SAFETY: `one` is valid for reads of `size` bytes; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size, &raw const one) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_pages_and_page_tables() {
        let status = "Name:\tx\nVmRSS:\t    1000 kB\nVmPTE:\t      24 kB\n";
        assert_eq!(kib(status, "VmRSS:"), Some(1000));
        assert_eq!(kib(status, "VmPTE:"), Some(24));
        assert_eq!(kib(status, "VmSwap:"), None);
        assert!(memory().unwrap() > 100 * 1024);
    }

    #[test]
    fn a_limit_that_is_high_enough_stays() {
        let now = raise_descriptor_limit(1);
        assert_eq!(raise_descriptor_limit(now), now);
    }

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        let counted = std::thread::spawn(|| {
            pin_to_one_cpu().unwrap();
            std::thread::available_parallelism().unwrap().get()
        });
        assert_eq!(counted.join().unwrap(), 1);
    }
}
