//! Job: what the processor has beside its general registers (x87, SSE, AVX, AVX-512, AMX, APX,
//!   protection keys), how large it is and by which instruction it is saved.
//! Layer: L0 (machine)
//! Not here: saving it (`trampoline`).
//! Source: Intel SDM volume 1 chapter 13; AMD APM volume 3, appendix D.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

/// Legacy area and header, which every format begins with.
pub(super) const LEGACY_BYTES: usize = 512 + 64;
/// The register of the protection keys: a thread's, so it must not be reset for others.
const PKRU: u64 = 1 << 9;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XState {
    /// Bytes that saving all of it takes, a multiple of 64.
    pub(super) bytes: usize,
    /// Is it saved by `xsavec` (compacted, and without the parts that are in their initial state)
    /// rather than by `xsave`? `xsaveopt` would be wrong: it may skip what it believes it has
    /// already saved at this address, and addresses on stacks are used for other things.
    pub(super) compact: bool,
    /// The parts that are put into their initial state for the code that runs meanwhile.
    pub(super) resettable: u64,
}

/// Asks the processor and the kernel; `None` if programs cannot save their state.
pub(super) fn detect() -> Option<XState> {
    const OSXSAVE: u32 = 1 << 27;
    const XSAVEC: u32 = 1 << 1;
    if __cpuid(0).eax < 0xd || __cpuid(1).ecx & OSXSAVE == 0 || shadow_stack() {
        return None;
    }
    let enabled = xcr0();
    let compact = __cpuid_count(0xd, 1).eax & XSAVEC != 0;
    let bytes = if compact { compacted_bytes(enabled) } else { __cpuid_count(0xd, 0).ebx as usize };
    Some(XState { bytes: bytes.next_multiple_of(64), compact, resettable: enabled & !PKRU })
}

/// The compacted format has the enabled parts one after the other, some of them aligned.
fn compacted_bytes(enabled: u64) -> usize {
    (2..63).filter(|part| enabled & 1 << part != 0).fold(LEGACY_BYTES, |end, part| {
        let leaf = __cpuid_count(0xd, part);
        let start = if leaf.ecx & 2 != 0 { end.next_multiple_of(64) } else { end };
        start + leaf.eax as usize
    })
}

/// The parts that the kernel has enabled.
fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller has seen OSXSAVE, so the instruction exists and register 0, too.
    unsafe {
        asm!(
            "xgetbv",
            in("ecx") 0, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags),
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Does this thread have a shadow stack? No stack switch of ours would survive one.
fn shadow_stack() -> bool {
    let pointer: u64;
    // SAFETY: reads the shadow stack's pointer; where there is none it does nothing, on processors
    // that do not know it, too.
    unsafe {
        asm!(
            "xor eax, eax",
            "rdsspq rax",
            out("rax") pointer,
            options(nomem, nostack),
        );
    }
    pointer != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_what_the_processor_says() {
        let found = detect().expect("every processor with wrfsbase has xsave");
        assert!(found.resettable & 3 == 3, "x87 and SSE are always enabled: {found:?}");
        // What `xsavec` needs for all that is enabled, the kernel's own parts included.
        let most = __cpuid_count(0xd, 1).ebx as usize;
        let standard = __cpuid_count(0xd, 0).ebx as usize;
        assert!(found.bytes >= LEGACY_BYTES && found.bytes.is_multiple_of(64));
        assert!(found.bytes <= standard.max(most).next_multiple_of(64), "{found:?}");
        if is_x86_feature_detected!("avx512f") {
            assert!(found.bytes >= LEGACY_BYTES + 256 + 64 + 512 + 1024, "{found:?}");
        }
    }
}
