//! Locks and counters that park goroutines: `std::sync`'s API, and Go's `WaitGroup`.
//!
//! What std blocks a thread for, these block a goroutine for; on a plain thread they do as std's.
//! Code that was written for `std::sync` works with `use gusty::sync` in its place: names,
//! signatures, poisoning and error types are the same, and what never blocks ([`Arc`], [`atomic`])
//! is std's own. Beyond std, whatever waits can wait for a limited time.
//!
//! ```
//! use gusty::{go, sync::{Arc, Mutex, WaitGroup}};
//!
//! let shared = Arc::new((Mutex::new(0), WaitGroup::new()));
//! for _ in 0..100 {
//!     shared.1.add(1);
//!     let shared = shared.clone();
//!     go!(move || {
//!         *shared.0.lock().unwrap() += 1;
//!         shared.1.done();
//!     });
//! }
//! shared.1.wait();
//! assert_eq!(*shared.0.lock().unwrap(), 100);
//! ```

// Job: the module's front: the list of what is public.
// Layer: L3 (blocking)

mod mutex_word;
mod rwlock_spread;
mod rwlock_word;
mod wait_group_word;

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod condvar;
#[cfg(not(loom))]
mod lazy_lock;
#[cfg(not(loom))]
pub mod mpsc;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
mod once;
#[cfg(not(loom))]
mod once_lock;
#[cfg(not(loom))]
mod poison;
#[cfg(not(loom))]
mod raw_condvar;
#[cfg(not(loom))]
mod raw_mutex;
#[cfg(not(loom))]
mod raw_rwlock;
#[cfg(not(loom))]
mod rwlock;
#[cfg(not(loom))]
mod rwlock_guard;
#[cfg(not(loom))]
mod wait_group;
#[cfg(not(loom))]
mod with_context;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

#[cfg(not(loom))]
pub use barrier::{Barrier, BarrierWaitResult};
#[cfg(not(loom))]
pub use condvar::{Condvar, WaitTimeoutResult};
#[cfg(not(loom))]
pub use lazy_lock::LazyLock;
#[cfg(not(loom))]
mod err_group;
#[cfg(not(loom))]
mod notify;
#[cfg(not(loom))]
mod permit;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
mod pool_guard;
#[cfg(not(loom))]
mod pool_shelf;
#[cfg(not(loom))]
mod semaphore;
#[cfg(not(loom))]
mod single_flight;
#[cfg(not(loom))]
mod until;
#[cfg(not(loom))]
mod wait_group_go;

#[cfg(not(loom))]
pub use mutex::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub use once::{Once, OnceState};
#[cfg(not(loom))]
pub use once_lock::OnceLock;
#[cfg(not(loom))]
pub use rwlock::RwLock;
#[cfg(not(loom))]
pub use rwlock_guard::{RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
pub use wait_group::WaitGroup;

#[cfg(not(loom))]
pub use err_group::ErrGroup;
#[cfg(not(loom))]
pub use notify::{Listener, Notify};
#[cfg(not(loom))]
pub use permit::{OwnedSemaphorePermit, Permit, SemaphorePermit};
#[cfg(not(loom))]
pub use pool::Pool;
#[cfg(not(loom))]
pub use pool_guard::PoolGuard;
#[cfg(not(loom))]
pub use semaphore::Semaphore;
#[cfg(not(loom))]
pub use single_flight::SingleFlight;
