//! Job: computations on a coroutine under a storm of signals, each of which makes them call a
//!   function that leaves the stack and dirties every register before it comes back.

use std::arch::{asm, naked_asm};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::panic;
use std::process::Command;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::super::{Exit, start, switch};
use super::{RED_ZONE, prepare, redirect, room};
use crate::sys::signal::AltStack;

const SIGNAL: c_int = libc::SIGUSR2;
const STACK: usize = 256 << 10;
/// Landings that a storm has at least.
const ENOUGH: u64 = 3_000;
/// What is below the part of the stack that `redirect` may use.
const CANARY: u128 = 0x5afe_5afe_5afe_5afe;

/// One coroutine, its home and what its signals did.
struct Run<'a> {
    home: Cell<usize>,
    coroutine: Cell<usize>,
    usable: std::ops::Range<usize>,
    work: RefCell<&'a mut dyn FnMut()>,
    landed: Cell<u64>,
    no_room: Cell<u64>,
    depth: Cell<u32>,
    deepest: Cell<u32>,
    /// The landing function is switching: it must not be interrupted like this.
    switching: Cell<bool>,
    /// Called once, in the first landing.
    look: Cell<Option<fn()>>,
}

thread_local! {
    static RUN: Cell<*const Run<'static>> = const { Cell::new(ptr::null()) };
}

fn current<'a>() -> Option<&'a Run<'static>> {
    // SAFETY: null, or alive while the storm lasts that set it on this thread.
    unsafe { RUN.get().as_ref() }
}

extern "C" fn on_signal(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    let Some(run) = current().filter(|run| !run.switching.get()) else { return };
    let context: *mut ucontext_t = context.cast();
    // SAFETY: the context is the kernel's; the stack is the coroutine's, the handler runs on
    // another; whatever is interrupted is not `switch`.
    let sent = unsafe { redirect(context, run.usable.clone(), landing) };
    // SAFETY: as above.
    let sp = unsafe { (*context).uc_mcontext.gregs[libc::REG_RSP as usize] as usize };
    if !sent && run.usable.contains(&sp) {
        run.no_room.set(run.no_room.get() + 1);
    }
}

extern "C" fn landing() {
    let run = current().expect("only in a storm");
    run.depth.set(run.depth.get() + 1);
    run.deepest.set(run.deepest.get().max(run.depth.get()));
    if let Some(look) = run.look.take() {
        look();
    }
    if run.deepest.get() < 3 {
        assert_eq!(interrupted_here(), 0); // time for a nested signal
    }
    run.switching.set(true);
    // SAFETY: errno of this thread; home saved itself when it resumed this coroutine (SW1).
    unsafe {
        *libc::__errno_location() = 77;
        switch(run.coroutine.as_ptr(), run.home.get(), 1, 0);
    }
    run.landed.set(run.landed.get() + 1);
    run.depth.set(run.depth.get() - 1);
    run.switching.set(false);
}

unsafe extern "C" fn body(run: usize) -> Exit {
    // SAFETY: the storm keeps it alive.
    let run: &Run<'static> = unsafe { &*ptr::with_exposed_provenance(run) };
    let result = panic::catch_unwind(panic::AssertUnwindSafe(|| (run.work.borrow_mut())()));
    run.switching.set(true);
    Exit { to: run.home.get(), msg: if result.is_ok() { 2 } else { 3 } }
}

/// What another goroutine might do meanwhile. Checks that it starts from a clean state.
fn dirty_everything() {
    let (mut mxcsr, mut control, mut tag) = (0u32, 0u16, [0u16; 14]);
    // SAFETY: stores and fills registers that a call may change.
    unsafe {
        asm!(
            "stmxcsr [{mxcsr}]", "fnstcw [{control}]", "fnstenv [{tag}]",
            "pcmpeqd xmm0, xmm0", "pcmpeqd xmm7, xmm7", "pcmpeqd xmm8, xmm8", "pcmpeqd xmm15, xmm15",
            mxcsr = in(reg) &raw mut mxcsr, control = in(reg) &raw mut control,
            tag = in(reg) &raw mut tag,
            clobber_abi("sysv64"),
        );
    }
    assert_eq!((mxcsr & 0xffc0, control, tag[4]), (0x1f80, 0x37f, 0xffff));
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has it; all of these belong to the callee.
        unsafe {
            asm!(
                "vpternlogd zmm0, zmm0, zmm0, 255",
                "vpternlogd zmm5, zmm5, zmm5, 255",
                "vpternlogd zmm16, zmm16, zmm16, 255",
                "vpternlogd zmm31, zmm31, zmm31, 255",
                "kxnorw k1, k1, k1",
                "kxnorw k7, k7, k7",
                clobber_abi("sysv64"),
            );
        }
    }
}

/// Repeats `work` on a coroutine of this thread, a signal every 30 us, until enough have landed.
/// `look` runs in the first landing. Returns landings, how many had no room, and the deepest nesting.
fn storm(stack_bytes: usize, look: Option<fn()>, mut work: impl FnMut()) -> (u64, u64, u32) {
    assert!(prepare());
    install();
    let _alt = AltStack::install().unwrap();
    let words = size_of::<u128>();
    let mut stack = vec![CANARY; (room() + stack_bytes) / words];
    let spare = room() / words; // never to be touched
    let low = ptr::from_mut(&mut stack[spare]).expose_provenance();
    let top = stack.as_mut_ptr_range().end.expose_provenance();
    let mut repeat = || {
        let landed = || current().map_or(0, |run| run.landed.get());
        for _ in 0..2_000_000 {
            work();
            if landed() >= ENOUGH {
                return;
            }
        }
    };
    let run = Run {
        home: Cell::new(0),
        coroutine: Cell::new(0),
        usable: low..top,
        work: RefCell::new(&mut repeat),
        landed: Cell::new(0),
        no_room: Cell::new(0),
        depth: Cell::new(0),
        deepest: Cell::new(0),
        switching: Cell::new(false),
        look: Cell::new(look),
    };
    RUN.set(ptr::from_ref(&run).cast());
    let timer = Timer::every_30_us();
    let arg = ptr::from_ref(&run).expose_provenance();
    // SAFETY: the stack is fresh and aligned, the body catches panics (SW1).
    let mut message = unsafe { start(run.home.as_ptr(), top, arg, body, 0) };
    while message == 1 {
        dirty_everything();
        // SAFETY: the coroutine has just suspended itself in `landing` (SW1).
        message = unsafe { switch(run.home.as_ptr(), run.coroutine.get(), 0, 0) };
    }
    RUN.set(ptr::null());
    drop(timer);
    assert_eq!(message, 2, "the computation failed");
    assert!(stack[..spare].iter().all(|word| *word == CANARY), "below the limit");
    (run.landed.get(), run.no_room.get(), run.deepest.get())
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: zeroes are valid; the handler has the signature for SA_SIGINFO.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            assert_eq!(libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()), 0);
        }
    });
}

struct Timer(libc::timer_t);

impl Timer {
    fn every_30_us() -> Timer {
        let mut timer = ptr::null_mut();
        let every = libc::timespec { tv_sec: 0, tv_nsec: 30_000 };
        let value = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: valid arguments; the signal has a handler; the thread deletes it before its end.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = libc::gettid();
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
            assert_eq!(made, 0);
            assert_eq!(libc::timer_settime(timer, 0, &raw const value, ptr::null_mut()), 0);
        }
        Timer(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: made by this thread, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

fn survives(work: impl FnMut()) {
    let (landed, ..) = storm(STACK, None, work);
    assert!(landed >= ENOUGH, "{landed} landings");
}

/// Fills all registers but rsp, the carry flag, the direction flag and the red zone, waits, and
/// returns 0 if everything is still there.
#[rustfmt::skip]
#[unsafe(naked)]
extern "C" fn holds_registers() -> usize {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "mov rax, 1", "mov rdx, 3", "mov rbx, 4", "mov rsi, 5", "mov rdi, 6", "mov rbp, 7",
        "mov r8, 8", "mov r9, 9", "mov r10, 10", "mov r11, 11", "mov r12, 12", "mov r13, 13",
        "mov r14, 14", "mov r15, 15",
        "mov qword ptr [rsp - 8], 108", "mov qword ptr [rsp - 64], 164",
        "mov qword ptr [rsp - 120], 220", "mov qword ptr [rsp - 128], 228",
        "mov ecx, 20000",
        "std", "stc",
        "2:", "dec ecx", "jnz 2b", // leaves the carry flag alone
        "jnc 9f",
        "pushfq", "pop rcx", "cld", // uses the red zone's first word
        "test ecx, 0x400", "jz 9f",
        "cmp rax, 1", "jne 9f", "cmp rdx, 3", "jne 9f", "cmp rbx, 4", "jne 9f",
        "cmp rsi, 5", "jne 9f", "cmp rdi, 6", "jne 9f", "cmp rbp, 7", "jne 9f",
        "cmp r8, 8", "jne 9f", "cmp r9, 9", "jne 9f", "cmp r10, 10", "jne 9f",
        "cmp r11, 11", "jne 9f", "cmp r12, 12", "jne 9f", "cmp r13, 13", "jne 9f",
        "cmp r14, 14", "jne 9f", "cmp r15, 15", "jne 9f",
        "cmp qword ptr [rsp - 64], 164", "jne 9f",
        "cmp qword ptr [rsp - 120], 220", "jne 9f",
        "cmp qword ptr [rsp - 128], 228", "jne 9f",
        "xor eax, eax", "jmp 8f",
        "9:", "mov eax, 1",
        "8:", "cld",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
    )
}

#[test]
fn registers_flags_and_the_red_zone_stay() {
    survives(|| assert_eq!(holds_registers(), 0));
}

#[test]
fn carry_chains_are_not_broken() {
    fn add(to: &mut [u64; 4], from: &[u64; 4]) {
        // SAFETY: reads and writes the two arrays.
        unsafe {
            asm!(
                "mov {t}, [{from}]", "add [{to}], {t}",
                "mov {t}, [{from} + 8]", "adc [{to} + 8], {t}",
                "mov {t}, [{from} + 16]", "adc [{to} + 16], {t}",
                "mov {t}, [{from} + 24]", "adc [{to} + 24], {t}",
                t = out(reg) _, to = in(reg) to.as_mut_ptr(), from = in(reg) from.as_ptr(),
            );
        }
    }
    fn by_hand(to: &mut [u64; 4], from: &[u64; 4]) {
        let mut carry = 0;
        for (to, from) in to.iter_mut().zip(from) {
            let sum = u128::from(*to) + u128::from(*from) + carry;
            (*to, carry) = (sum as u64, sum >> 64);
        }
    }
    let step = [u64::MAX - 1, u64::MAX, 0x1234_5678, 1 << 60];
    let mut expected = [0; 4];
    (0..10_000).for_each(|_| by_hand(&mut expected, &step));
    survives(|| {
        let mut sum = [0; 4];
        (0..10_000).for_each(|_| add(&mut sum, &step));
        assert_eq!(sum, expected);
    });
}

#[test]
fn string_instructions_go_on_where_they_were() {
    let from: Vec<u8> = (0..40_000u32).map(|i| (i * 7) as u8).collect();
    let mut to = vec![0u8; from.len()];
    survives(|| {
        to.fill(0);
        let (last, end) = (from.len() - 1, from.len());
        // SAFETY: copies from the last byte down to the first, within both vectors.
        unsafe {
            asm!(
                "std", "rep movsb", "cld",
                inout("rsi") &raw const from[last] => _, inout("rdi") &raw mut to[last] => _,
                inout("rcx") end => _,
            );
        }
        assert_eq!(from, to);
    });
}

#[inline(always)]
fn mix(values: &[u32], weights: &[f64]) -> (u32, f64) {
    let sum = values.iter().fold(0u32, |sum, v| sum.wrapping_mul(3).wrapping_add(v ^ (sum >> 7)));
    let wide = values.iter().map(|v| v.wrapping_mul(2_654_435_761)).fold(0, u32::wrapping_add);
    let dot = weights.chunks(8).fold([0.0; 8], |mut lanes: [f64; 8], chunk| {
        lanes.iter_mut().zip(chunk).for_each(|(lane, w)| *lane += w * 1.000_1);
        lanes
    });
    (sum ^ wide, dot.iter().sum())
}

#[target_feature(enable = "avx2,fma")]
fn mix_avx2(values: &[u32], weights: &[f64]) -> (u32, f64) {
    mix(values, weights)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn mix_avx512(values: &[u32], weights: &[f64]) -> (u32, f64) {
    mix(values, weights)
}

#[test]
fn vector_and_floating_point_sums_are_right() {
    let values: Vec<u32> = (0..20_000u32).map(|i| i.wrapping_mul(40_503)).collect();
    let weights: Vec<f64> = (0..20_000).map(|i| f64::from(i) / 3.0).collect();
    let check = |compute: &dyn Fn() -> (u32, f64)| {
        let (sum, dot) = compute();
        survives(|| {
            let (again, dot_again) = compute();
            assert_eq!((again, dot_again.to_bits()), (sum, dot.to_bits()));
        });
    };
    check(&|| mix(&values, &weights));
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has it.
        check(&|| unsafe { mix_avx2(&values, &weights) });
    }
    if is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl") {
        // SAFETY: the processor has it (no processor has these without the other two).
        check(&|| unsafe { mix_avx512(&values, &weights) });
    }
}

#[test]
fn vector_and_mask_registers_stay() {
    if !is_x86_feature_detected!("avx512f") {
        return;
    }
    survives(|| {
        let (low, high, masks): (u64, u64, u64);
        // SAFETY: fills registers, waits, and combines them again.
        unsafe {
            asm!(
                "vpbroadcastq zmm1, rax", "vpbroadcastq zmm14, rdx",
                "vpbroadcastq zmm17, rdx", "vpbroadcastq zmm30, rax",
                "kmovw k2, eax", "kmovw k6, edx",
                "2:", "dec ecx", "jnz 2b",
                "vpxorq zmm1, zmm1, zmm30", "vpxorq zmm14, zmm14, zmm17",
                "vporq zmm1, zmm1, zmm14",
                "vextracti64x4 ymm2, zmm1, 1", "vpor ymm1, ymm1, ymm2",
                "vextracti128 xmm2, ymm1, 1", "vpor xmm1, xmm1, xmm2",
                "vmovq rax, xmm1", "vpextrq rdx, xmm1, 1",
                "kxorw k2, k2, k6", "kmovw ecx, k2",
                "vzeroupper",
                inout("rax") 0x1122_3344_5566_7788u64 => low,
                inout("rdx") 0x99aa_bbcc_ddee_ff01u64 => high,
                inout("rcx") 20_000u64 => masks,
                clobber_abi("sysv64"),
            );
        }
        assert_eq!((low, high, masks), (0, 0, 0x7788 ^ 0xff01));
    });
}

#[test]
fn rounding_modes_and_the_x87_stack_stay() {
    survives(|| {
        let (down, usual) = (0x1f80u32 | 0x2000, 0x1f80u32);
        let (chop, normal) = (0x0f7fu16, 0x037fu16);
        let (mut found, mut control, mut seven) = (0u32, 0u16, 0f64);
        // SAFETY: changes the modes, waits, and puts them back before any Rust code runs.
        unsafe {
            asm!(
                "ldmxcsr [{down}]", "fldcw [{chop}]",
                "fldz", "fld1", "fld1", "fld1", "fld1", "fld1", "fld1", "fld1", // eight deep
                "2:", "dec {n:e}", "jnz 2b",
                "faddp", "faddp", "faddp", "faddp", "faddp", "faddp", "faddp",
                "fstp qword ptr [{seven}]",
                "stmxcsr [{found}]", "fnstcw [{control}]",
                "ldmxcsr [{usual}]", "fldcw [{normal}]",
                down = in(reg) &raw const down, chop = in(reg) &raw const chop,
                usual = in(reg) &raw const usual, normal = in(reg) &raw const normal,
                seven = in(reg) &raw mut seven, found = in(reg) &raw mut found,
                control = in(reg) &raw mut control, n = inout(reg) 20_000u64 => _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            );
        }
        assert_eq!((found & 0xffc0, control, seven), (down, chop, 7.0));
    });
}

#[test]
fn errno_allocations_and_unwinding_are_not_disturbed() {
    survives(|| {
        // SAFETY: errno of this thread.
        unsafe { *libc::__errno_location() = 5 };
        let mut map = HashMap::new();
        (0..300u32).for_each(|i| drop(map.insert(i, vec![i; 1 + i as usize % 40])));
        assert_eq!(map.values().map(|v| v.len() as u64 * u64::from(v[0])).sum::<u64>(), 899_500);
        let caught = panic::catch_unwind(|| {
            let _guard = Box::new([1u8; 100]);
            panic::resume_unwind(Box::new(map[&7][0]))
        });
        assert_eq!(*caught.unwrap_err().downcast::<u32>().unwrap(), 7);
        // SAFETY: as above. Nothing in between fails, and nobody else sets it.
        assert_eq!(unsafe { *libc::__errno_location() }, 5);
    });
}

#[test]
fn a_deep_recursion_is_interrupted_until_there_is_no_room() {
    #[inline(never)]
    fn depth(end: usize) -> usize {
        let frame = black_box([end; 12]);
        if ptr::from_ref(&frame).addr() < end {
            return interrupted_here() as usize;
        }
        1 + depth(end) + (frame[5] - end)
    }
    let (landed, no_room, _) = storm(room() + (48 << 10), None, || {
        // To where a landing would not fit any more.
        let end = current().expect("in a storm").usable.start + room();
        assert!(depth(end) > 100);
    });
    assert!(landed >= ENOUGH && no_room > 0, "{landed} landed, {no_room} had no room");
}

#[test]
fn a_landing_can_be_interrupted_itself() {
    let (.., deepest) = storm(4 * STACK, None, || assert_eq!(holds_registers(), 0));
    assert!(deepest >= 2);
}

#[test]
fn without_room_or_on_another_stack_nothing_changes() {
    assert!(prepare());
    // SAFETY: plain data.
    let mut context: ucontext_t = unsafe { std::mem::zeroed() };
    let mut stack = vec![CANARY; (room() + 4096) / 16];
    let range = stack.as_mut_ptr_range();
    let (low, top) = (range.start.expose_provenance(), range.end.expose_provenance());
    let (rip, rsp) = (libc::REG_RIP as usize, libc::REG_RSP as usize);
    let mut attempt = |sp: usize| {
        context.uc_mcontext.gregs[rsp] = sp as i64;
        context.uc_mcontext.gregs[rip] = 4711;
        // SAFETY: the stack is the test's own, and nothing resumes the context.
        let done = unsafe { redirect(&raw mut context, low..top, landing) };
        let registers = context.uc_mcontext.gregs;
        (done, registers[rip] as usize, registers[rsp] as usize)
    };
    for sp in [low + room() - 1, top + 1, low, 8] {
        assert_eq!(attempt(sp), (false, 4711, sp));
    }
    let (done, ip, sp) = attempt(low + room());
    assert!(done && ip != 4711 && sp == low + room() - RED_ZONE - 16);
    let frame = (sp - low) / 16;
    assert_eq!(stack[frame] as u64, 4711);
    assert!(stack.iter().enumerate().all(|(i, word)| i == frame || *word == CANARY));
}

#[inline(never)]
fn interrupted_here() -> u64 {
    (0..black_box(30_000u64)).fold(0, |a, b| black_box(a ^ b))
}

#[test]
fn a_backtrace_goes_on_in_the_interrupted_function() {
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    let look = || {
        let text = Backtrace::force_capture().to_string();
        // Now and then it is the caller that is interrupted.
        let at = text.find("interrupted_here");
        INSIDE.fetch_add(u64::from(at.is_some()), Ordering::Relaxed);
        assert!(text[at.unwrap_or(0)..].contains("tests::body"), "{text}");
    };
    for _ in 0..10 {
        let (landed, ..) = storm(4 * STACK, Some(look), || assert_eq!(interrupted_here(), 0));
        assert!(landed >= ENOUGH);
        if INSIDE.load(Ordering::Relaxed) != 0 {
            return;
        }
    }
    panic!("the function was never interrupted");
}

#[test]
fn a_panic_in_the_landing_ends_the_process() {
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &name, "--nocapture"]).env("GUSTY_TEST_LANDING", "panic");
    let output = child.output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
}

/// Does nothing unless the test above started this process.
#[test]
fn child() {
    if std::env::var_os("GUSTY_TEST_LANDING").is_some() {
        storm(4 * STACK, Some(|| panic!("in the landing")), || _ = interrupted_here());
    }
}
