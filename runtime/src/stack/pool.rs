//! Job: hand out stacks and take them back, the one used last first.
//! Layer: L0 (machine)
//! Not here: mapping (`slab`), when to trim (the caller's clock).
//! Invariants
//!   PL1  `warm` and `cold` of a class have room for every stack made in it. Room comes from the
//!        kernel: neither making a stack nor giving one back allocates.
//!   PL2  Locks are taken in the order `fresh`, `free`; making a slab holds `fresh` only, so stacks
//!        can be given back meanwhile.
//!   PL3  Once there is a furnisher, every stack goes through its hands before it is handed out, and
//!        the pages that it uses are never given back to the kernel.
//!
//! A free stack is *warm* (its top pages hold memory), *cold* (trimmed) or *fresh* (the unused rest
//! of the newest slab). The lists are outside the stacks: keeping a cold or fresh one costs no
//! page. Reusing a warm stack is 10 to 40 times cheaper than touching another one first, hence
//! the order in which they are tried: this P's warm, everybody's warm, cold, fresh.

use std::num::NonZeroUsize;
use std::sync::OnceLock;

use super::advise::{advise, range};
use super::class::{PAGE, SizeClass};
use super::error::StackError;
use super::ring::Ring;
use super::slab;
use crate::sys::map::Mapped;
use crate::sys::sleep_lock::SleepLock;

/// Stacks a [`LocalCache`] holds: 256 KiB of warm memory a P.
pub(super) const LOCAL: usize = 64;
/// Stacks moved between a cache and the common list at a time.
pub(super) const BATCH: usize = LOCAL / 2;
/// Stacks trimmed at a time, without the lock.
const TRIM_BATCH: usize = 512;

/// A stack: a name for it, not its owner. One word: the high end (a multiple of the page size)
/// plus the class index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Stack(NonZeroUsize);

impl Stack {
    fn new(top: usize, class: SizeClass) -> Stack {
        debug_assert!(top != 0 && top.is_multiple_of(PAGE));
        Stack(NonZeroUsize::new(top | usize::from(class.index())).expect("no stack ends at 0"))
    }

    /// One word that [`from_bits`](Self::from_bits) turns back; never 0.
    #[inline]
    pub(crate) fn to_bits(self) -> usize {
        self.0.get()
    }

    /// The stack behind a word from [`to_bits`](Self::to_bits); `None` for 0.
    #[inline]
    pub(crate) fn from_bits(bits: usize) -> Option<Stack> {
        NonZeroUsize::new(bits).map(Stack)
    }

    /// The exclusive high end, a multiple of 4096.
    #[inline]
    pub(crate) fn top(self) -> usize {
        self.0.get() & !(PAGE - 1)
    }

    #[inline]
    pub(crate) fn class(self) -> SizeClass {
        let index = (self.0.get() & (PAGE - 1)) as u8;
        SizeClass::from_index(index).expect("the word is from `to_bits`")
    }

    /// [`class`](Self::class) compared, without a detour.
    #[inline]
    fn is_of(self, class: SizeClass) -> bool {
        self.0.get() & (PAGE - 1) == usize::from(class.index())
    }

    /// The lowest usable address: the guard's exclusive end.
    #[inline]
    pub(crate) fn limit(self) -> usize {
        self.top() - self.class().usable()
    }
}

/// Whoever needs something at the upper ends of stacks for as long as they exist (PL3).
pub(crate) struct Furnisher {
    /// Called with the top and the limit of a stack that nobody uses; does nothing if the stack is
    /// furnished, or returns the error number of what it needs.
    pub(crate) furnish: unsafe fn(usize, usize) -> Result<(), i32>,
    /// How much of the upper end it uses.
    pub(crate) bytes: usize,
}

static FURNISHER: OnceLock<Furnisher> = OnceLock::new();

/// From now on stacks are furnished. The first call counts.
pub(crate) fn furnish_with(furnisher: Furnisher) {
    let _ = FURNISHER.set(furnisher);
}

/// Bytes of a stack that can be given back to the kernel, from its limit on.
fn disposable(class: SizeClass) -> usize {
    let kept = FURNISHER.get().map_or(0, |furnisher| furnisher.bytes.next_multiple_of(PAGE));
    class.usable() - kept
}

/// Free stacks of one class that have been used.
struct Free {
    /// The one used last is at the back.
    warm: Ring<Stack>,
    cold: Ring<Stack>,
}

impl Free {
    fn push(&mut self, stack: Stack) {
        self.warm.push_back(stack); // PL1
    }

    /// Takes back a stack that could not be furnished: any other comes before it.
    fn put_aside(&mut self, stack: Stack) {
        self.cold.push_front(stack); // PL1
    }

    fn pop(&mut self) -> Option<Stack> {
        self.warm.pop_back().or_else(|| self.cold.pop_back())
    }

    /// Whether there is room for so many (PL1).
    fn has_room(&self, stacks: usize) -> bool {
        stacks <= self.warm.capacity().min(self.cold.capacity())
    }
}

/// Stacks of one class that nobody has used yet.
struct Fresh {
    next_base: usize,
    end: usize,
    /// Stacks of the newest slab; 0 before the first.
    slab_count: usize,
    /// Stacks of all slabs.
    total: usize,
}

/// All stacks of one class that no [`LocalCache`] holds.
pub(super) struct ClassPool {
    free: SleepLock<Free>,
    fresh: SleepLock<Fresh>,
}

static POOLS: [ClassPool; SizeClass::COUNT] = [const { ClassPool::new() }; SizeClass::COUNT];

impl ClassPool {
    const fn new() -> ClassPool {
        let free = Free { warm: Ring::new(), cold: Ring::new() };
        let fresh = Fresh { next_base: 0, end: 0, slab_count: 0, total: 0 };
        ClassPool { free: SleepLock::new(free), fresh: SleepLock::new(fresh) }
    }

    pub(super) fn of(class: SizeClass) -> &'static ClassPool {
        &POOLS[usize::from(class.index())]
    }

    fn take_fresh(&self, class: SizeClass) -> Result<Stack, StackError> {
        let mut fresh = self.fresh.lock();
        if fresh.next_base == fresh.end {
            let want = match fresh.slab_count {
                0 => slab::first_count(class),
                count => slab::next_count(class, count),
            };
            self.reserve(fresh.total + want)?; // PL1
            let span = slab::create(class, want)?;
            (fresh.next_base, fresh.end) = (span.base, span.end());
            fresh.slab_count = span.count;
            fresh.total += span.count;
        }
        fresh.next_base += class.stride();
        Ok(Stack::new(fresh.next_base, class))
    }

    /// Makes room for so many stacks (PL1); only one thread at a time does.
    fn reserve(&self, stacks: usize) -> Result<(), StackError> {
        if self.free.lock().has_room(stacks) {
            return Ok(());
        }
        let room = || Mapped::with_room(stacks).map_err(|_| StackError::Lists { stacks });
        let (warm, cold) = (room()?, room()?);
        let mut free = self.free.lock(); // PL2: made without it, and dropped after it
        let _old = (free.warm.adopt(warm), free.cold.adopt(cold));
        drop(free);
        Ok(())
    }

    /// Gives the memory of all but the `keep` newest warm stacks back to the kernel.
    fn trim(&self, keep: usize) -> usize {
        let mut excess = self.free.lock().warm.len().saturating_sub(keep);
        let mut batch = [None; TRIM_BATCH];
        let mut ranges = [range(0, 0); TRIM_BATCH];
        let mut trimmed = 0;
        loop {
            let mut count = 0;
            {
                let mut free = self.free.lock();
                while count < excess.min(TRIM_BATCH)
                    && let Some(stack) = free.warm.pop_front()
                {
                    batch[count] = Some(stack);
                    count += 1;
                }
            }
            if count == 0 {
                return trimmed;
            }
            excess -= count;
            let stacks = batch[..count].iter().flatten();
            for (place, stack) in ranges.iter_mut().zip(stacks.clone()) {
                *place = range(stack.limit(), disposable(stack.class()));
            }
            // SAFETY: the stacks were taken off the list, so they are ours and hold nothing that
            // anybody relies on (ST3); the ranges leave out the guards (ST1) and what is kept (PL3).
            let done = unsafe { advise(&ranges[..count], libc::MADV_DONTNEED) };
            let mut free = self.free.lock();
            if done.is_err() {
                // Locked memory cannot be given back; they stay as good as they were.
                stacks.rev().for_each(|&stack| free.warm.push_front(stack));
                return trimmed;
            }
            trimmed += count;
            stacks.for_each(|&stack| free.cold.push_back(stack));
        }
    }

    /// Lengths of the warm and the cold list.
    #[cfg(test)]
    pub(super) fn lens(&self) -> (usize, usize) {
        let free = self.free.lock();
        (free.warm.len(), free.cold.len())
    }
}

/// Gives memory of free stacks back to the kernel, except for the `keep` used last of each class.
/// Returns how many stacks it was. They remain free stacks. Makes system calls.
pub(crate) fn trim(keep: usize) -> usize {
    POOLS.iter().map(|pool| pool.trim(keep)).sum()
}

/// How many free stacks hold memory in the common lists.
pub(crate) fn warm() -> usize {
    POOLS.iter().map(|pool| pool.free.lock().warm.len()).sum()
}

/// Free stacks of one P. Only its owner touches it: no lock, no atomics.
pub(crate) struct LocalCache {
    class: SizeClass,
    len: usize,
    /// The first `len` are stacks, the one used last at the end.
    stacks: [Option<Stack>; LOCAL],
}

impl LocalCache {
    /// A cache for the class that most goroutines use; others are served without it.
    pub(crate) const fn new(class: SizeClass) -> LocalCache {
        LocalCache { class, len: 0, stacks: [None; LOCAL] }
    }

    /// A stack that nobody uses. Its contents are unspecified, but for what a furnisher put there.
    #[inline]
    pub(crate) fn take(&mut self, class: SizeClass) -> Result<Stack, StackError> {
        let stack = self.take_bare(class)?;
        match FURNISHER.get() {
            None => Ok(stack),
            Some(furnisher) => furnished(stack, furnisher),
        }
    }

    #[inline]
    fn take_bare(&mut self, class: SizeClass) -> Result<Stack, StackError> {
        if class == self.class
            && let Some(last) = self.len.checked_sub(1)
            && let Some(stack) = self.stacks[last]
        {
            self.len = last;
            return Ok(stack);
        }
        self.take_common(class)
    }

    #[cold]
    fn take_common(&mut self, class: SizeClass) -> Result<Stack, StackError> {
        let pool = ClassPool::of(class);
        {
            let mut free = pool.free.lock();
            if let Some(stack) = free.pop() {
                if class == self.class {
                    self.fill(&mut free);
                }
                return Ok(stack);
            }
        }
        pool.take_fresh(class)
    }

    /// Moves the rest of a batch of warm stacks here, in their order.
    fn fill(&mut self, free: &mut Free) {
        let count = free.warm.len().min(BATCH - 1);
        for place in self.stacks[self.len..self.len + count].iter_mut().rev() {
            *place = free.warm.pop_back();
        }
        self.len += count;
    }

    /// Gives a used stack back.
    ///
    /// # Safety
    /// The stack came from a `take`, was not given back since, and nobody uses it any more (ST3).
    #[inline]
    pub(crate) unsafe fn put(&mut self, stack: Stack) {
        if stack.is_of(self.class) && self.len < LOCAL {
            self.stacks[self.len] = Some(stack);
            self.len += 1;
        } else {
            self.put_common(stack);
        }
    }

    #[cold]
    fn put_common(&mut self, stack: Stack) {
        if !stack.is_of(self.class) {
            ClassPool::of(stack.class()).free.lock().push(stack);
            return;
        }
        self.give(BATCH);
        self.stacks[self.len] = Some(stack);
        self.len += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives all stacks to the other Ps.
    pub(crate) fn drain(&mut self) {
        self.give(self.len);
    }

    /// Moves the `count` oldest to the common list.
    fn give(&mut self, count: usize) {
        let mut free = ClassPool::of(self.class).free.lock();
        self.stacks[..count].iter().flatten().for_each(|&stack| free.push(stack));
        drop(free);
        self.stacks.copy_within(count..self.len, 0);
        self.len -= count;
    }
}

/// The stack, furnished (PL3).
fn furnished(stack: Stack, furnisher: &Furnisher) -> Result<Stack, StackError> {
    // SAFETY: the stack was just taken (ST3), and is never unmapped (ST2).
    let result = unsafe { (furnisher.furnish)(stack.top(), stack.limit()) };
    result.map(|()| stack).map_err(|errno| {
        ClassPool::of(stack.class()).free.lock().put_aside(stack);
        StackError::Furnish { errno }
    })
}

impl Drop for LocalCache {
    fn drop(&mut self) {
        self.drain();
    }
}
