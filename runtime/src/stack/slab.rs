//! Job: map stacks, many at a time, guarded before anybody can touch them.
//! Layer: L0 (machine)
//! Invariants: ST1 and ST2 of `stack` begin here.

use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, MAP_STACK};

use super::advise::errno;
use super::class::SizeClass;
use super::error::StackError;
use super::guard::{Guards, Span};
use super::kind::GuardKind;
use super::registry;
use crate::sys::sleep_lock::SleepLock;

const MIB: usize = 1 << 20;
/// What one entry of a page directory covers: a slab aligned to it wastes no page table.
const HUGE: usize = 2 * MIB;
/// Limits of one slab, whichever is reached first.
const MAX_STACKS: usize = 1024;
const MAX_BYTES: usize = 256 * MIB;

static GUARDS: SleepLock<Guards> = SleepLock::new(Guards::new(GuardKind::Auto));

/// Chooses how the stacks of slabs to come are guarded. A kind other than `Auto` that does not work
/// makes every request for a new slab an error that names it.
pub(crate) fn choose_guard(kind: GuardKind) {
    GUARDS.lock().choose(kind);
}

/// How many stacks a class's first slab has.
pub(super) fn first_count(class: SizeClass) -> usize {
    match class.stride() / MIB {
        0..=1 => 16,
        2..=8 => 4,
        _ => 1,
    }
}

/// How many stacks follow a slab of `count`.
pub(super) fn next_count(class: SizeClass, count: usize) -> usize {
    (2 * count).min(MAX_STACKS).min(MAX_BYTES / class.stride()).max(1)
}

/// Maps up to `want` stacks, at least one.
pub(super) fn create(class: SizeClass, want: usize) -> Result<Span, StackError> {
    create_with(&mut GUARDS.lock(), class, want)
}

/// [`create`] with guards of one's own.
pub(super) fn create_with(
    guards: &mut Guards,
    class: SizeClass,
    want: usize,
) -> Result<Span, StackError> {
    let mut want = want;
    loop {
        let count = guards.room(want)?;
        match try_create(guards, class, count) {
            Err(error) if error.is_out_of_memory() && count > 1 => want = count / 2,
            Err(StackError::Guard { errno, .. }) if errno != libc::ENOMEM && guards.step_down() => {
            }
            result => return result,
        }
    }
}

fn try_create(guards: &mut Guards, class: SizeClass, count: usize) -> Result<Span, StackError> {
    let bytes = count * class.stride();
    let base = map(bytes).map_err(|errno| StackError::Mmap { errno, bytes })?;
    let span = Span { base, class, count };
    // SAFETY: the mapping is new; guards come before its publication (ST1).
    let made = unsafe { guards.install(span) }.and_then(|()| registry::publish(span));
    match made {
        Ok(()) => Ok(span),
        Err(error) => {
            // SAFETY: the mapping is ours alone; it was not published (ST2).
            unsafe { unmap(base, bytes) };
            Err(error)
        }
    }
}

/// Maps `bytes` (a multiple of the page size) that take no memory until touched and never become
/// huge pages: one touched stack would otherwise cost 2 MiB.
fn map(bytes: usize) -> Result<usize, i32> {
    let slack = if bytes >= HUGE { HUGE } else { 0 };
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    let anywhere = std::ptr::null_mut();
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let mapped = unsafe { libc::mmap(anywhere, bytes + slack, protection, flags, -1, 0) };
    if mapped == MAP_FAILED {
        return Err(errno());
    }
    let mapped = mapped.expose_provenance();
    let base = if slack == 0 { mapped } else { mapped.next_multiple_of(HUGE) };
    let below = base - mapped;
    // SAFETY: both ranges are parts of the new mapping that are not returned.
    unsafe {
        unmap(mapped, below);
        unmap(base + bytes, slack - below);
    }
    let start = std::ptr::with_exposed_provenance_mut(base);
    // SAFETY: the range is ours. A kernel without huge pages refuses; nothing is lost then.
    unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    Ok(base)
}

/// # Safety
/// Nobody uses the range.
unsafe fn unmap(start: usize, bytes: usize) {
    if bytes != 0 {
        // SAFETY: as for this function. If it fails, address space is lost and nothing else.
        unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(start), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_start_small_and_double_to_a_limit() {
        let counts = |bytes: usize| {
            let class = SizeClass::for_size(bytes).unwrap();
            let next = |&count: &usize| Some(next_count(class, count));
            std::iter::successors(Some(first_count(class)), next).take(9).collect::<Vec<_>>()
        };
        assert_eq!(counts(64 << 10), [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
        assert_eq!(counts(MIB), [16, 32, 64, 128, 256, 256, 256, 256, 256]);
        assert_eq!(counts(8 * MIB), [4, 8, 16, 32, 32, 32, 32, 32, 32]);
        assert_eq!(counts(128 * MIB), [1, 2, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(counts(1024 * MIB), [1; 9]);
    }

    #[test]
    fn large_mappings_are_aligned() {
        for bytes in [HUGE, 3 * HUGE] {
            assert_eq!(map(bytes).unwrap() % HUGE, 0);
        }
    }
}
