//! What a goroutine that has allocated holds. The programs `alloc_glibc`, `alloc_mimalloc` and
//! `alloc_jemalloc` differ by their global allocator only: each is linked without the others, since an
//! allocator's thread-locals are part of every goroutine's block.
//!
//! Each of 100,000 goroutines (or as many as the argument says) makes and frees 18 blocks of 24 to
//! 2,000 bytes and parks. GOMAXPROCS is 1 if nothing else is set.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gusty_benches::process::memory;

const GOROUTINES: usize = 100_000;
const BLOCKS: usize = 18;
const SMALLEST: usize = 24;
const LARGEST: usize = 2_000;

/// How many have allocated and are about to park.
static PARKED: AtomicUsize = AtomicUsize::new(0);

/// Measures, and prints: the bytes that the process holds more than before, for each goroutine; the
/// time to make, run and park one; the same for goroutines on stacks that were used before.
///
/// # Panics
/// The argument is not a number; `/proc` is not there.
pub(crate) fn main(allocator: &str) {
    let argument = std::env::args().nth(1);
    let goroutines = argument.map_or(GOROUTINES, |text| text.parse().expect("a number"));
    if std::env::var_os("GOMAXPROCS").is_none() {
        gusty::runtime::gomaxprocs(1);
    }
    park_some(1); // the runtime is started, its threads exist
    let before = memory().expect("procfs");
    let (held, new) = park_some(goroutines);
    let (_, used) = park_some(goroutines);
    let bytes = held.saturating_sub(before) as f64 / goroutines as f64;
    println!("{allocator}: {bytes:.0} bytes each; {new:.0} ns new, {used:.0} ns used");
}

/// So many allocate and park; the memory that the process then has, and the time for each. All have
/// ended on return.
fn park_some(goroutines: usize) -> (u64, f64) {
    let run = move || {
        let start = |_| {
            let handle = gusty::spawn(|| {
                allocate();
                PARKED.fetch_add(1, Ordering::Relaxed);
                gusty::park();
            });
            handle.goroutine()
        };
        PARKED.store(0, Ordering::Relaxed);
        let mut all = Vec::with_capacity(goroutines);
        let begun = Instant::now();
        all.extend((0..goroutines).map(start));
        while PARKED.load(Ordering::Relaxed) < goroutines {
            gusty::yield_now();
        }
        let took = begun.elapsed().as_nanos() as f64 / goroutines as f64;
        let held = memory().expect("procfs");
        all.iter().for_each(gusty::Goroutine::unpark);
        (held, took)
    };
    let result = gusty::spawn(run).join().expect("no panic");
    while gusty::runtime::num_goroutine() > 0 {
        std::thread::yield_now();
    }
    result
}

fn allocate() {
    for i in 0..BLOCKS {
        let size = SMALLEST + i * (LARGEST - SMALLEST) / (BLOCKS - 1);
        drop(std::hint::black_box(Vec::<u8>::with_capacity(size)));
    }
}
