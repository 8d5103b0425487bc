//! Job: `LazyLock`: std's, over goroutines that park.
//! Layer: L3 (blocking)
//! Not here: who makes the value and who waits (`once_lock`).
//! Invariants
//!   LL1  `make` is taken by the one who makes the value, inside `cell`'s closure, or through
//!        `&mut`. Gone without a value means that it panicked: the lock is poisoned.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once_lock::OnceLock;

/// A value that is made when it is first used, with [`std::sync::LazyLock`]'s API and poisoning.
///
/// Who comes while it is being made waits: parks a goroutine, blocks a plain thread.
///
/// ```
/// use gusty::sync::LazyLock;
///
/// static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| "one two three".split(' ').collect());
/// let seen = gusty::spawn(|| WORDS.len());
/// assert_eq!(WORDS[0], "one");
/// assert_eq!(seen.join().unwrap(), 3);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    make: Cell<Option<F>>,
}

// SAFETY: `cell` is shared as a `OnceLock` is; `make` is used by one at a time (LL1), perhaps on
// another thread than its maker's.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will make.
    ///
    /// See [`LazyLock`] for an example.
    #[inline]
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock { cell: OnceLock::new(), make: Cell::new(Some(f)) }
    }

    /// The value, made now if it is not there; as `&*this`.
    ///
    /// # Panics
    /// The closure panics, or has panicked before.
    ///
    /// ```
    /// use gusty::sync::LazyLock;
    /// let lazy = LazyLock::new(|| 5);
    /// assert_eq!(LazyLock::force(&lazy), &5);
    /// ```
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.cell.get_or_init(|| match this.make.take() {
            Some(make) => make(), // LL1
            None => panic_poisoned(),
        })
    }

    /// The value, made now if it is not there; as `&mut *this`.
    ///
    /// # Panics
    /// The closure panics, or has panicked before.
    ///
    /// ```
    /// use gusty::sync::LazyLock;
    /// let mut lazy = LazyLock::new(|| 5);
    /// *LazyLock::force_mut(&mut lazy) += 1;
    /// assert_eq!(*lazy, 6);
    /// ```
    #[inline]
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        LazyLock::force(this);
        this.cell.get_mut().expect("just made")
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made.
    ///
    /// ```
    /// use gusty::sync::LazyLock;
    /// let mut lazy = LazyLock::new(|| 5);
    /// assert_eq!(LazyLock::get_mut(&mut lazy), None);
    /// LazyLock::force(&lazy);
    /// assert_eq!(LazyLock::get_mut(&mut lazy), Some(&mut 5));
    /// ```
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        this.cell.get_mut()
    }

    /// The value, if it has been made. Never blocks.
    ///
    /// ```
    /// use gusty::sync::LazyLock;
    /// let lazy = LazyLock::new(|| 5);
    /// assert_eq!(LazyLock::get(&lazy), None);
    /// LazyLock::force(&lazy);
    /// assert_eq!(LazyLock::get(&lazy), Some(&5));
    /// ```
    #[inline]
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        this.cell.get()
    }
}

#[cold]
fn panic_poisoned() -> ! {
    panic!("LazyLock instance has previously been poisoned");
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
