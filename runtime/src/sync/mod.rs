//! Locks and counters that park goroutines: `std::sync`'s API, and Go's `WaitGroup`.
//!
//! What std blocks a thread for, these block a goroutine for; on a plain thread they do as std's.
//!
//! ```
//! use std::sync::Arc;
//! use gusty::{go, sync::{Mutex, WaitGroup}};
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
mod wait_group_word;

#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
mod raw_mutex;
#[cfg(not(loom))]
mod wait_group;

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
