//! Job: a block that libc makes: that of a thread on the goroutine's stack, whose kernel thread ends
//!   at once. What is tried where blocks cannot be written after a model.
//! Layer: L0 (machine)
//! Not here: when stacks get one (`stack::pool`), what is the same for all blocks (`block`).
//! Invariants
//!   PT1  The kernel's thread is gone for good before anybody else uses the stack. libc is not told:
//!        it keeps the control block, in its list of threads, and the thread-locals for ever. So such
//!        a stack is never unmapped (ST2) and never a thread's again, and keeps these pages (PL3).
//!   PT2  Its number is replaced by one that no kernel thread has, and it ends only when libc does
//!        not wait for an answer to a signal (setuid and its kin signal all threads that libc knows).
//!   PT3  The thread runs nothing of libc but what starts it and the handler of that signal, and
//!        nothing of it uses a thread-local.
//! Orderings
//!   E1  body: number.store, fence -> flags.load   ||   libc: flag set, then number read
//!       One side sees the other (PT2).
//!   All that the thread writes comes before the kernel clears `alive`, which `wait` acquires.
//!
//! A thread's stack is not returned as it was: above `sp` are frames of libc's that its control block
//! points to.

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::block::{self, Block, COMPLETE, Fields, Source};
use super::dtv;
use super::fsbase::fs;
use super::modules::Module;
use super::sample;
use super::template::{self, DTV, NO_RSEQ, RSEQ_BYTES};
use super::words::{self, STACK_LIMIT};

/// libc waits for this thread to answer the signal of setuid: a bit of its flags since 2.3.
const SETXID: u32 = 1 << 6;

/// What a thread is told and what it tells.
struct Birth {
    top: usize,
    /// Its new number.
    number: u32,
    /// Where its number is; 0 until the first thread finds out.
    tid_at: isize,
    /// Where that is by the debugger interface; 0 if it does not say, or nobody asks.
    named: isize,
    /// Where its flags are; 0 if unknown.
    flags_at: isize,
    fs: usize,
    sp: usize,
    /// The kernel clears it when the thread is gone.
    alive: AtomicU32,
}

/// What the first such thread showed.
pub(super) struct First {
    pub(super) fs: usize,
    /// Below it the stack is free.
    pub(super) sp: usize,
    pub(super) fields: Fields,
}

/// Makes the first block, on a stack that stays for ever, and finds out how libc makes them.
///
/// # Safety
/// As [`furnish`], with no shape needed.
pub(super) unsafe fn first(top: usize, limit: usize) -> Result<First, &'static str> {
    let flags = template::field(c"_thread_db_pthread_cancelhandling");
    // SAFETY: as for this function.
    let born = unsafe { bear(top, limit, 0, flags.unwrap_or(0)) };
    let birth = born.map_err(|_| "no thread can be made")?;
    if !(limit..top).contains(&birth.sp) || !(birth.sp..top).contains(&birth.fs) {
        return Err("the control block is not at the top of a thread's stack");
    }
    if birth.tid_at == 0 {
        return Err("the thread number is not where it should be");
    }
    let rseq = template::rseq();
    if rseq.is_some_and(|at| {
        at & 7 != 0 || !(birth.sp..top).contains(&birth.fs.wrapping_add_signed(at))
    }) {
        return Err("the area for restartable sequences is not in the control block");
    }
    let specific = template::field(c"_thread_db_pthread_specific").filter(|at| {
        let first = birth.fs.wrapping_add_signed(*at);
        let readable = first & 7 == 0 && (birth.fs..top - 8).contains(&first);
        // SAFETY: read only if it is aligned and within the block, which is ours (PT1).
        readable && (birth.fs..top).contains(unsafe { &*ptr::with_exposed_provenance(first) })
    });
    let fields = Fields { tid: birth.tid_at, flags, rseq, specific };
    Ok(First { fs: birth.fs, sp: birth.sp, fields })
}

/// Is the loader's table of the first thread as we expect it, judged by what it says of libc?
///
/// # Safety
/// The thread is gone and its stack there.
pub(super) unsafe fn table_is_as_expected(first: &First, libc: &Module) -> bool {
    let word = ptr::with_exposed_provenance::<usize>(first.fs.wrapping_add_signed(DTV));
    // SAFETY: as for this function; the place of the table's address is the ABI's.
    unsafe { dtv::is_as_expected(*word, libc.id, first.fs - libc.below) }
}

/// Sees to it that the stack has a block; otherwise returns the error number of `pthread_create`.
///
/// # Safety
/// The stack is mapped for ever and the caller's, and nobody runs on it. Blocks have a shape. The
/// caller is a plain thread or on g0.
pub(super) unsafe fn furnish(top: usize, limit: usize) -> Result<(), c_int> {
    let Some(shape) = block::shape() else { return Ok(()) };
    let Source::Threads(fields) = &shape.source else { return Ok(()) };
    let block = Block::of_stack(shape, top);
    // SAFETY: as for this function; all words are within the block.
    unsafe {
        if block.is_complete() {
            return Ok(());
        }
        let birth = bear(top, limit, fields.tid, fields.flags.unwrap_or(0)).inspect_err(|_| {
            block.put(COMPLETE, 0); // libc had begun (BL1)
        })?;
        if birth.fs != block.fs() || birth.sp < block.stack_top() {
            misplaced();
        }
        if let Some(rseq) = fields.rseq {
            block.put(rseq, NO_RSEQ);
            (8..RSEQ_BYTES).step_by(8).for_each(|at| block.put(rseq + at, 0));
        }
        *words::at(block.fs(), STACK_LIMIT) = limit;
    }
    Ok(())
}

/// libc put a thread elsewhere than the ones before, and would keep it there: there is no way on.
#[cold]
fn misplaced() -> ! {
    const TEXT: &str = "fatal error: libc places threads on stacks now here, now there\n";
    // SAFETY: valid memory.
    unsafe { libc::write(2, TEXT.as_ptr().cast(), TEXT.len()) };
    std::process::abort();
}

/// Makes a thread and waits until it is gone (PT1).
///
/// # Safety
/// As [`furnish`]; the offsets are right or 0.
unsafe fn bear(top: usize, limit: usize, tid_at: isize, flags_at: isize) -> Result<Birth, c_int> {
    let alive = AtomicU32::new(1);
    let number = block::next_number();
    let named = if tid_at == 0 { template::field(template::NUMBER).unwrap_or(0) } else { 0 };
    let mut birth = Birth { top, number, tid_at, named, flags_at, fs: 0, sp: 0, alive };
    let stack = ptr::with_exposed_provenance_mut(limit);
    let mut all = MaybeUninit::uninit();
    let mut mask = MaybeUninit::uninit();
    // SAFETY: the sets are initialised before they are read. The new thread inherits the mask (PT3);
    // its stack and `birth` are its alone until it is gone.
    let made = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), mask.as_mut_ptr());
        let made = sample::spawn_on(stack, top - limit, body, (&raw mut birth).cast());
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
        made
    };
    made?; // never joined: libc must not know that it ended
    wait(&birth.alive);
    Ok(birth)
}

/// Waits until the kernel has cleared the word.
fn wait(alive: &AtomicU32) {
    while alive.load(Ordering::Acquire) != 0 {
        // partner: the kernel
        let forever = ptr::null::<libc::timespec>();
        // The kernel's wake-up is not a private one.
        // SAFETY: a valid word.
        unsafe { libc::syscall(libc::SYS_futex, alive.as_ptr(), libc::FUTEX_WAIT, 1, forever) };
    }
}

/// The thread (PT3).
extern "C" fn body(birth: *mut c_void) -> *mut c_void {
    let birth = birth.cast::<Birth>();
    // SAFETY: `bear` passes its own and touches nothing but `alive` meanwhile. The fields of the
    // control block are this thread's, from its address to the end of the stack.
    let alive = unsafe {
        let fs = fs();
        (*birth).fs = fs;
        asm!("mov {}, rsp", out(reg)(*birth).sp, options(nomem, nostack, preserves_flags));
        if (*birth).tid_at == 0 {
            let number = call(libc::SYS_gettid) as u32;
            (*birth).tid_at = find_number(fs, (*birth).top, number, (*birth).named);
        }
        let Birth { number, tid_at, flags_at, .. } = *birth;
        let field = |at: isize| ptr::with_exposed_provenance_mut(fs.wrapping_add_signed(at));
        if tid_at != 0 {
            AtomicU32::from_ptr(field(tid_at)).store(number, Ordering::Relaxed);
            fence(Ordering::SeqCst); // E1
        }
        // E1: glibc sets the flag, then reads the number
        while tid_at != 0
            && flags_at != 0
            && AtomicU32::from_ptr(field(flags_at)).load(Ordering::Relaxed) & SETXID != 0
        {
            call(libc::SYS_sched_yield);
        }
        (*birth).alive.as_ptr()
    };
    // SAFETY: the word is valid until it is cleared, which is after the thread's last instruction.
    unsafe {
        asm!(
            "syscall", // set_tid_address
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            exit = const libc::SYS_exit,
            in("rax") libc::SYS_set_tid_address,
            in("rdi") alive,
            options(noreturn),
        )
    }
}

/// A system call without arguments, past libc (PT3).
///
/// # Safety
/// Such a call, and a harmless one.
#[inline(always)]
unsafe fn call(number: i64) -> i64 {
    let result;
    // SAFETY: as for this function.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, out("rcx") _, out("r11") _,
            options(nostack));
    }
    result
}

/// The offset of the field of the control block with the thread's number: the one that is `named`, or if
/// none is, the only one with that value; else 0. (There are others by chance: half of an address in a
/// mapping is a number around 32,700.)
///
/// # Safety
/// The block, from `fs` to `top`, is the caller's; `named` is in it.
#[inline(always)]
unsafe fn find_number(fs: usize, top: usize, number: u32, named: isize) -> isize {
    // SAFETY: as for this function. Volatile: it may be libc's at the same time.
    let has = |at| unsafe { ptr::with_exposed_provenance::<u32>(at).read_volatile() } == number;
    if named != 0 {
        return if has(fs.wrapping_add_signed(named)) { named } else { 0 };
    }
    let mut found = 0;
    let mut at = fs;
    while at < top {
        if has(at) {
            if found != 0 {
                return 0;
            }
            found = (at - fs) as isize;
        }
        at += 4;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::find_number;

    #[test]
    fn a_number_that_is_half_of_an_address_is_not_mistaken_for_the_threads() {
        let block = [0u32, 7, 0x7f46, 0x1000, 0x7f46, 9];
        let fs = block.as_ptr().expose_provenance();
        let top = fs + size_of_val(&block);
        // SAFETY: within the array.
        let find = |number, named| unsafe { find_number(fs, top, number, named) };
        assert_eq!((find(0x7f46, 0), find(9, 0), find(8, 0)), (0, 20, 0), "by value");
        assert_eq!((find(0x7f46, 8), find(0x7f46, 4)), (8, 0), "by name");
    }
}
