//! Job: `OnceLock`: std's, over goroutines that park.
//! Layer: L3 (blocking)
//! Not here: who runs and who waits (`once`).
//! Invariants
//!   OL1  The value is there exactly if `once` is completed. It is written by the closure of `once`
//!        and from then on only read, or reached through `&mut self`.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::once::Once;
use crate::wait::Until;

/// A cell that is written once, with [`std::sync::OnceLock`]'s API.
///
/// ```
/// use gusty::sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
/// let made: Vec<_> = (0..3)
///     .map(|i| gusty::spawn(move || NAME.get_or_init(|| format!("made by {i}")).as_str()))
///     .collect();
/// for name in made {
///     assert_eq!(Some(name.join().unwrap()), NAME.get().map(String::as_str));
/// }
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<MaybeUninit<T>>,
    /// It owns a `T` and drops it.
    _owns: PhantomData<T>,
}

// SAFETY: the value is given out as `&T` to whoever asks (Sync) and may be made and dropped by
// different threads (Send).
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: owning the cell is owning the value.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty cell.
    ///
    /// See [`OnceLock`] for an example.
    #[must_use]
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            once: Once::new(),
            value: UnsafeCell::new(MaybeUninit::uninit()),
            _owns: PhantomData,
        }
    }

    /// The value, if there is one. Never blocks.
    ///
    /// ```
    /// let cell = gusty::sync::OnceLock::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(5).unwrap();
    /// assert_eq!(cell.get(), Some(&5));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: OL1.
        self.once.is_completed().then(|| unsafe { self.get_unchecked() })
    }

    /// # Safety
    /// The value is there (OL1), and that was seen by `is_completed` or a call of `once`.
    #[inline]
    unsafe fn get_unchecked(&self) -> &T {
        // SAFETY: promised by the caller; nobody writes it any more (OL1).
        unsafe { (*self.value.get()).assume_init_ref() }
    }

    /// The value, if there is one.
    ///
    /// ```
    /// let mut cell = gusty::sync::OnceLock::from(5);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&6));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: OL1.
        self.once.is_completed().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Waits until there is a value. Parks a goroutine, blocks a plain thread.
    ///
    /// ```
    /// static CELL: gusty::sync::OnceLock<u32> = gusty::sync::OnceLock::new();
    /// gusty::go!(|| CELL.set(5).unwrap());
    /// assert_eq!(*CELL.wait(), 5);
    /// ```
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        // SAFETY: OL1.
        unsafe { self.get_unchecked() }
    }

    /// As [`wait`](OnceLock::wait), for at most `timeout`; `None` if that passed first.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cell = gusty::sync::OnceLock::<u32>::new();
    /// assert_eq!(cell.wait_timeout(Duration::from_millis(1)), None);
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        if timeout.is_zero() { self.get() } else { self.wait_until(Until::timeout(timeout)) }
    }

    /// `None` if `until` came first.
    pub(super) fn wait_until(&self, until: Until<'_>) -> Option<&T> {
        self.once.wait_until(true, until);
        self.get()
    }

    /// Sets the value, waiting for a [`get_or_init`](OnceLock::get_or_init) that is under way.
    ///
    /// # Errors
    /// There is a value already; the new one comes back.
    ///
    /// ```
    /// let cell = gusty::sync::OnceLock::new();
    /// assert_eq!(cell.set(5), Ok(()));
    /// assert_eq!(cell.set(6), Err(6));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value, made by `f` if there is none. Of several who come at once, one runs its `f` and
    /// the others wait for it. Parks a goroutine, blocks a plain thread.
    ///
    /// If `f` panics there is no value, and the next one tries. An `f` that asks for the value
    /// itself never returns.
    ///
    /// See [`OnceLock`] for an example.
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: the closure of `once` is alone with the cell (OL1).
            unsafe { (*self.value.get()).write(value) };
        });
        // SAFETY: OL1.
        unsafe { self.get_unchecked() }
    }

    /// The value, if there is one.
    ///
    /// ```
    /// assert_eq!(gusty::sync::OnceLock::from(5).into_inner(), Some(5));
    /// ```
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out; the cell is as new.
    ///
    /// ```
    /// let mut cell = gusty::sync::OnceLock::from(5);
    /// assert_eq!(cell.take(), Some(5));
    /// assert_eq!(cell.take(), None);
    /// ```
    pub fn take(&mut self) -> Option<T> {
        self.once.is_completed().then(|| {
            self.once = Once::new();
            // SAFETY: the value was there, and counts as gone now (OL1).
            unsafe { self.value.get_mut().assume_init_read() }
        })
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let cell = OnceLock::new();
        cell.get_or_init(|| value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.get().map_or_else(OnceLock::new, |value| OnceLock::from(value.clone()))
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
