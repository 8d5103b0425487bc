//! Job: `Pool`: objects that are dear to make, kept for the next who needs one.
//! Layer: L3 (blocking)
//! Not here: the shelves and what they keep (`pool_shelf`), the guard (`pool_guard`).
//! Source: Go's sync.Pool (a place for each P, taking from the others when it is empty). Without a
//!   garbage collector to empty it: a bound, and a rule that lets go of what is not needed.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use super::pool_shelf::Shelf;
use crate::sched::global::SCHED;
use crate::sched::{lifecycle, m, park};
use crate::sys::section::Section;

type Shelves<T> = Box<[CachePadded<Shelf<T>>]>;

/// Keeps objects for reuse: buffers, parsers, connections.
///
/// [`get`](Pool::get) takes an object that was [`put`](Pool::put) by this P, or by another one, or
/// makes a new one; which, nobody may rely on. Objects are as they were put: whoever takes one puts
/// it into the state it needs.
///
/// **What it keeps.** At most [`limit`](Pool::with_limit) objects for each P, and fewer if that many
/// are not in use at the same time: out of every 64 objects that are put on a P's shelf, as many are
/// dropped as half of those that lay there untouched all the while. So after a peak the pool shrinks
/// by use, never by time: one that is not used keeps what it has, until [`clear`](Pool::clear).
///
/// Never blocks, but for the time of `new`; no lock is held while objects are made and dropped.
///
/// ```
/// use gusty::sync::Pool;
/// static BUFFERS: Pool<Vec<u8>> = Pool::new(Vec::new);
///
/// let mut buffer = BUFFERS.guard();
/// buffer.clear();
/// buffer.extend(b"response");
/// // and back, as the guard is dropped
/// ```
pub struct Pool<T, F = fn() -> T> {
    new: F,
    limit: usize,
    /// Made with the first `put`, when the number of Ps is known.
    shelves: OnceLock<Shelves<T>>,
}

// A panic of `new` or of a destructor finds no lock held and leaves nothing half done.
impl<T, F: UnwindSafe> UnwindSafe for Pool<T, F> {}
impl<T, F: RefUnwindSafe> RefUnwindSafe for Pool<T, F> {}

impl<T, F> Pool<T, F> {
    /// What [`new`](Pool::new) keeps at most for each P.
    pub const LIMIT: usize = 32;

    /// An empty pool; `new` makes an object when there is none.
    pub const fn new(new: F) -> Pool<T, F> {
        Pool::with_limit(Self::LIMIT, new)
    }

    /// As [`new`](Pool::new), with at most `limit` objects kept for each P.
    ///
    /// ```
    /// let pool = gusty::sync::Pool::with_limit(0, || 1); // keeps nothing
    /// pool.put(5);
    /// assert_eq!(pool.get(), 1);
    /// ```
    pub const fn with_limit(limit: usize, new: F) -> Pool<T, F> {
        Pool { new, limit, shelves: OnceLock::new() }
    }
}

impl<T: Send, F: Fn() -> T> Pool<T, F> {
    /// An object that was put, or a new one.
    ///
    /// ```
    /// let pool = gusty::sync::Pool::new(String::new);
    /// pool.put("used".to_owned());
    /// assert!(["", "used"].contains(&pool.get().as_str()));
    /// ```
    pub fn get(&self) -> T {
        self.take().unwrap_or_else(&self.new)
    }

    /// Keeps `object` for the next, or drops it.
    ///
    /// # Panics
    /// If it is dropped and its destructor panics.
    pub fn put(&self, object: T) {
        let shelves = self.shelves.get_or_init(|| self.make_shelves());
        drop(shelves[home(shelves.len())].put(object));
    }

    /// Drops all that is kept now.
    pub fn clear(&self) {
        for shelf in self.shelves.get().into_iter().flatten() {
            while let Some(object) = shelf.take() {
                drop(object);
            }
        }
    }

    /// How many objects are kept: an estimate, while others get and put.
    pub fn len(&self) -> usize {
        self.shelves.get().into_iter().flatten().map(|shelf| shelf.len()).sum()
    }

    /// Whether it keeps nothing; as [`len`](Pool::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&self) -> Option<T> {
        let shelves = self.shelves.get()?;
        let home = home(shelves.len());
        let (before, from_home) = shelves.split_at(home);
        from_home.iter().chain(before).find_map(|shelf| shelf.take())
    }

    #[cold]
    fn make_shelves(&self) -> Shelves<T> {
        lifecycle::ensure_started();
        let n = SCHED.procs().max(1);
        (0..n).map(|_| CachePadded::new(Shelf::new(self.limit))).collect()
    }
}

/// The shelf of the caller: its P's. It may lose that P at any moment, so this is a hint.
fn home(shelves: usize) -> usize {
    let p = {
        let _section = Section::enter_if_outside(); // M3 of `m`
        m::current().and_then(m::M::p)
    };
    match p {
        Some(p) => p.id as usize % shelves,
        None => park::current().id() as usize % shelves,
    }
}

impl<T, F> fmt::Debug for Pool<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("limit", &self.limit).finish_non_exhaustive()
    }
}
