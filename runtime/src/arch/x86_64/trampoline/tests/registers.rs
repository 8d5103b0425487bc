//! Job: registers, flags and the red zone under the storm.
//! Layer: L0 (machine)

use std::arch::{asm, naked_asm};

use super::storm::survives;

/// Fills all registers but rsp, the carry flag, the direction flag and the red zone, waits, and
/// returns 0 if everything is still there.
#[rustfmt::skip]
#[unsafe(naked)]
pub(super) extern "C" fn holds_registers() -> usize {
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
