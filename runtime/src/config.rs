//! Job: every setting, read once at start: environment over defaults.
//! Layer: L0 (machine)
//! Not here: what the settings do; `GUSTY_TEST_TIMEOUT`, which only tests read (`entry`).
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `GOMAXPROCS` | number of Ps, 1 to 1024 | CPUs allowed by affinity and cgroup quota |
//! | `GUSTY_STACK_SIZE` | default stack size in bytes | 262144; with debug assertions 1048576 |
//! | `GUSTY_STACK_GUARD` | `auto`, `madvise`, `uffd` or `mprotect` | `auto` |
//! | `GUSTY_MAX_GOROUTINES` | most goroutines alive at once | three quarters of memory at 4.8 KB each |
//! | `GUSTY_TLS` | whose thread-locals goroutines use: `own`, `pthread`, `pinned` or `shared` (`runtime::TlsLevel`) | `own` |
//! | `GUSTY_TLS_SURPLUS` | room for thread-locals of libraries opened later: `eat` or `keep` | `eat` |
//! | `GUSTY_MAX_THREADS` | most scheduler threads at once, up to 32768 | 10000 |
//! | `GUSTY_THREAD_IDLE_MS` | how long a thread beyond GOMAXPROCS + 2 idles before it ends | 10000 |
//! | `GUSTY_MAX_STOPPED` | most goroutines that hold threads though they have no P, because they were stopped where they cannot leave them | 4 * GOMAXPROCS, at least 16 |
//! | `GUSTY_KICK` | how a goroutine that computes is stopped: `auto`, `perf`, `timer`, `tgkill` or `off` | `auto` |
//! | `GUSTY_SLICE_US` | how long a goroutine runs while others wait, at least 100 us; `off` | 10000 |
//! | `GUSTY_GRANULARITY_US` | how long goroutines woken by the network or a timer may use the P of one that computes before that has had as much; `off` | 1000 |
//! | `GUSTYDEBUG` | a list of `migrate=1`: a goroutine that parks goes through the global queue (for tests); `schedtrace=N`: a line about the scheduler every N ms; `scheddetail=1`: lines about each P | |
//!
//! A value that cannot be used is reported on stderr once and the default is taken.

use std::num::ParseIntError;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::stack::{GuardKind, SizeClass};
use crate::sys::kick::Rung;
use crate::tls::{Level, Surplus};

/// The most Ps there can be.
pub(crate) const MAX_PROCS: usize = 1024;

/// The most scheduler threads there can be.
pub(crate) const MAX_THREADS: u32 = 1 << 15;

/// The largest `GUSTY_MAX_STOPPED`.
pub(crate) const MAX_STOPPED: usize = 4 * MAX_PROCS;

/// Default slice in microseconds. Go's value.
const SLICE_US: u64 = 10_000;

/// Default granularity in microseconds.
const GRANULARITY_US: u64 = 1_000;

/// Default stack: 3.6 times what the deepest of the usual suspects (serde, flate2, regex, TLS
/// handshakes) needs in release; debug frames are about four times as large.
const DEFAULT_STACK: usize = if cfg!(debug_assertions) { 1 << 20 } else { 256 << 10 };

/// Memory of one parked goroutine: a page of stack, its share of page tables, the header.
const PARKED_BYTES: u64 = 4_800;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) procs: usize,
    pub(crate) stack: SizeClass,
    pub(crate) guard: GuardKind,
    pub(crate) max_goroutines: usize,
    /// The most that goroutines may have of thread-locals of their own.
    pub(crate) tls: Level,
    pub(crate) surplus: Surplus,
    /// The first way of kicking threads that is tried.
    pub(crate) kick: Rung,
    /// How long a goroutine runs while others wait, in nanoseconds; NEVER for as long as it likes.
    pub(crate) slice: u64,
    /// How long urgent goroutines may use the P of one that computes, in nanoseconds; 0: not at all.
    pub(crate) granularity: u64,
    pub(crate) max_threads: u32,
    /// Most Ms that may be without a P because it was taken while they computed; `None`: by procs.
    pub(crate) max_stopped: Option<usize>,
    /// How long a superfluous scheduler thread idles before it ends.
    pub(crate) thread_idle: Duration,
    pub(crate) debug: Debug,
}

/// `GUSTYDEBUG`: see the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Debug {
    pub(crate) migrate: bool,
    /// Milliseconds between two lines; 0 for none.
    pub(crate) sched_trace: u64,
    pub(crate) sched_detail: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
/// What `#[gusty::main(procs, stack_size)]` asks for, 0 for nothing: between environment and
/// default.
static MAIN_PROCS: AtomicUsize = AtomicUsize::new(0);
static MAIN_STACK: AtomicUsize = AtomicUsize::new(0);

/// The settings, read at the first call.
pub(crate) fn settings() -> &'static Settings {
    SETTINGS.get_or_init(|| {
        let main_procs = MAIN_PROCS.load(Ordering::Relaxed);
        let main_stack = MAIN_STACK.load(Ordering::Relaxed);
        Settings {
            procs: read("GOMAXPROCS", procs).unwrap_or_else(|| match main_procs {
                0 => num_cpus::get().clamp(1, MAX_PROCS),
                n => n.min(MAX_PROCS),
            }),
            stack: read("GUSTY_STACK_SIZE", stack).unwrap_or_else(|| {
                let bytes = if main_stack == 0 { DEFAULT_STACK } else { main_stack };
                SizeClass::for_size(bytes).unwrap_or_else(|error| {
                    warn("main's stack_size", &bytes.to_string(), &error.to_string());
                    SizeClass::for_size(DEFAULT_STACK).expect("the default is valid")
                })
            }),
            guard: read("GUSTY_STACK_GUARD", guard).unwrap_or(GuardKind::Auto),
            max_goroutines: read("GUSTY_MAX_GOROUTINES", count).unwrap_or_else(fit_memory),
            tls: read("GUSTY_TLS", level).unwrap_or(Level::Own),
            surplus: read("GUSTY_TLS_SURPLUS", surplus).unwrap_or(Surplus::Eat),
            kick: read("GUSTY_KICK", kick).unwrap_or(Rung::Perf),
            slice: read("GUSTY_SLICE_US", slice).unwrap_or(SLICE_US * 1_000),
            granularity: read("GUSTY_GRANULARITY_US", granularity)
                .unwrap_or(GRANULARITY_US * 1_000),
            max_threads: read("GUSTY_MAX_THREADS", threads).unwrap_or(10_000),
            max_stopped: read("GUSTY_MAX_STOPPED", stopped),
            thread_idle: Duration::from_millis(
                read("GUSTY_THREAD_IDLE_MS", millis).unwrap_or(10_000),
            ),
            debug: read("GUSTYDEBUG", debug).unwrap_or_default(),
        }
    })
}

/// Defaults of the entry macro. No effect once the settings were read.
pub(crate) fn set_main_defaults(procs: Option<usize>, stack_size: Option<usize>) {
    MAIN_PROCS.store(procs.unwrap_or(0), Ordering::Relaxed); // read by this thread, or published
    MAIN_STACK.store(stack_size.unwrap_or(0), Ordering::Relaxed); // by the Once of the start
}

/// The value of a variable; `None` if it is not set, empty, or reported as unusable just now.
pub(crate) fn read<T>(name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let value = std::env::var_os(name)?;
    let text = value.to_string_lossy();
    if text.is_empty() {
        return None;
    }
    parse(text.trim()).map_err(|why| warn(name, &text, &why)).ok()
}

fn warn(name: &str, value: &str, why: &str) {
    use std::io::Write;
    let _ =
        writeln!(std::io::stderr(), "gusty: {name}={value:?} ignored: {why}; using the default");
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(n) => Ok(n),
        Err(error) => Err(error.to_string()),
    }
}

fn procs(text: &str) -> Result<usize, String> {
    match count(text)? {
        n if n > MAX_PROCS => Err(format!("at most {MAX_PROCS}")),
        n => Ok(n),
    }
}

fn threads(text: &str) -> Result<u32, String> {
    match u32::try_from(count(text)?) {
        Ok(n) if n <= MAX_THREADS => Ok(n),
        _ => Err(format!("at most {MAX_THREADS}")),
    }
}

fn stopped(text: &str) -> Result<usize, String> {
    match count(text)? {
        n if n <= MAX_STOPPED => Ok(n),
        _ => Err(format!("at most {MAX_STOPPED}")),
    }
}

fn millis(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error: ParseIntError| error.to_string())
}

fn stack(text: &str) -> Result<SizeClass, String> {
    SizeClass::for_size(count(text)?).map_err(|error| error.to_string())
}

fn guard(text: &str) -> Result<GuardKind, String> {
    match text {
        "auto" => Ok(GuardKind::Auto),
        "madvise" => Ok(GuardKind::Madvise),
        "uffd" => Ok(GuardKind::Uffd),
        "mprotect" => Ok(GuardKind::Mprotect),
        _ => Err("one of auto, madvise, uffd, mprotect".into()),
    }
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "own" => Ok(Level::Own),
        "pthread" => Ok(Level::Pthread),
        "pinned" => Ok(Level::Pinned),
        "shared" => Ok(Level::Shared),
        _ => Err("one of own, pthread, pinned, shared".into()),
    }
}

fn surplus(text: &str) -> Result<Surplus, String> {
    match text {
        "eat" => Ok(Surplus::Eat),
        "keep" => Ok(Surplus::Keep),
        _ => Err("one of eat, keep".into()),
    }
}

fn kick(text: &str) -> Result<Rung, String> {
    match text {
        "auto" | "perf" => Ok(Rung::Perf),
        "timer" => Ok(Rung::Timer),
        "tgkill" => Ok(Rung::Tgkill),
        "off" => Ok(Rung::Off),
        _ => Err("one of auto, perf, timer, tgkill, off".into()),
    }
}

fn slice(text: &str) -> Result<u64, String> {
    match text {
        "off" => Ok(u64::MAX),
        _ => match millis(text)? {
            us @ 100.. => Ok(us.saturating_mul(1_000)),
            _ => Err("at least 100, or off".into()),
        },
    }
}

fn granularity(text: &str) -> Result<u64, String> {
    match text {
        "off" => Ok(0),
        _ => match millis(text)? {
            us @ 1..=1_000_000 => Ok(us * 1_000),
            _ => Err("1 to 1000000, or off".into()),
        },
    }
}

fn debug(text: &str) -> Result<Debug, String> {
    let mut debug = Debug::default();
    for item in text.split(',') {
        let (name, value) = item.trim().split_once('=').ok_or("a list of name=value")?;
        let number = millis(value)?;
        match name {
            "migrate" => debug.migrate = number != 0,
            "schedtrace" => debug.sched_trace = number,
            "scheddetail" => debug.sched_detail = number != 0,
            _ => return Err(format!("{name}: one of migrate, schedtrace, scheddetail")),
        }
    }
    Ok(debug)
}

/// As many goroutines as fit into three quarters of the memory this process may use.
fn fit_memory() -> usize {
    let physical = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| mem_total(&text))
        .unwrap_or(8 << 30);
    let limit = cgroup_limit().unwrap_or(u64::MAX);
    let fits = physical.min(limit) / 4 * 3 / PARKED_BYTES;
    usize::try_from(fits).unwrap_or(usize::MAX).max(10_000)
}

/// The least `memory.max` of this process's cgroup (v2) and those above it.
fn cgroup_limit() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    let leaf = root.join(path.trim_start_matches('/'));
    leaf.ancestors()
        .take_while(|dir| dir.starts_with(root))
        .filter_map(|dir| std::fs::read_to_string(dir.join("memory.max")).ok())
        .filter_map(|text| text.trim().parse().ok())
        .min()
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procs_are_numbers_from_1_to_1024() {
        assert_eq!(procs("1"), Ok(1));
        assert_eq!(procs("1024"), Ok(1024));
        for bad in ["0", "-1", "abc", "100000", "1.5", "99999999999999999999999"] {
            assert!(procs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn those_who_are_stopped_are_numbers_from_1_to_4096() {
        assert_eq!([stopped("1"), stopped("4096")], [Ok(1), Ok(4096)]);
        assert!(stopped("0").is_err() && stopped("4097").is_err() && stopped("all").is_err());
    }

    #[test]
    fn slices_and_granularities_are_in_microseconds() {
        assert_eq!((slice("100"), slice("off")), (Ok(100_000), Ok(u64::MAX)));
        assert_eq!((granularity("1"), granularity("off")), (Ok(1_000), Ok(0)));
        assert!(slice("99").is_err());
        for bad in ["0", "1000001", "-1", "x"] {
            assert!(granularity(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn guards_have_names() {
        assert!(guard("mprotect").is_ok());
        assert!(guard("none").is_err());
    }

    #[test]
    fn debug_is_a_list() {
        let want = Debug { migrate: true, sched_trace: 1000, sched_detail: false };
        assert_eq!(debug("migrate=1, schedtrace=1000"), Ok(want));
        for bad in ["migrate", "migrate=x", "nonsense=1", "migrate=1,,"] {
            assert!(debug(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(mem_total("MemTotal:       24000 kB\nMemFree: 1 kB\n"), Some(24_576_000));
        assert_eq!(mem_total("nothing"), None);
    }
}
