//! Job: computations whose whole state is in registers and flags, stopped every 100 us: what they
//!   compute stays right.
//! Not here: the trampoline by itself, at every instruction (`arch`).

mod common;
mod slices;

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

use gusty::spawn;
use slices::sliced;

/// One round of a computation over `data`.
type Round = fn(&[u64]) -> u64;

const WORDS: usize = 4_096;

fn data(seed: u64) -> Vec<u64> {
    let mut rng = common::Rng(seed);
    (0..WORDS).map(|_| rng.next()).collect()
}

/// Each computation on three goroutines for each P, all at once; every round has to come to what the
/// first one came to, where nobody else ran.
fn stay_right(test: &'static str, rounds: usize, computations: &[Round]) {
    let rounds = if cfg!(debug_assertions) { rounds / 50 } else { rounds };
    sliced(test, &[1, 2, 4], || {
        let expected = |seed, compute: Round| compute(&data(seed));
        let mut workers = Vec::new();
        for (seed, &compute) in (0..3 * gusty::runtime::gomaxprocs(0) as u64)
            .flat_map(|seed| computations.iter().map(move |compute| (seed, compute)))
        {
            let want = expected(seed, compute);
            workers.push(spawn(move || {
                let data = data(seed);
                for _ in 0..rounds {
                    assert_eq!(compute(black_box(&data)), want);
                }
            }));
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// A difference over all words, whose borrow goes from each to the next in the flags alone.
fn borrows(data: &[u64]) -> u64 {
    let (a, b) = data.split_at(data.len() / 2);
    let mut difference = vec![0u64; a.len()];
    // SAFETY: reads `a` and `b`, writes as many words to `difference`.
    unsafe {
        asm!(
            "clc",
            "2:",
            "mov {word}, [{a}]",
            "sbb {word}, [{b}]",
            "mov [{to}], {word}",
            "lea {a}, [{a} + 8]",
            "lea {b}, [{b} + 8]",
            "lea {to}, [{to} + 8]",
            "dec {left}",
            "jnz 2b",
            word = out(reg) _,
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            to = inout(reg) difference.as_mut_ptr() => _,
            left = inout(reg) a.len() => _,
            options(nostack),
        );
    }
    let mut borrow = false;
    for ((a, b), word) in a.iter().zip(b).zip(&difference) {
        let (first, under) = a.overflowing_sub(*b);
        let (second, again) = first.overflowing_sub(u64::from(borrow));
        assert_eq!(second, *word);
        borrow = under || again;
    }
    difference.iter().fold(0, |hash, word| hash.rotate_left(5) ^ word)
}

/// Counters below the stack pointer, where a leaf function may keep what it likes.
fn red_zone(data: &[u64]) -> u64 {
    let sum: u64;
    // SAFETY: reads `data`; what is below the stack pointer is nobody else's, without `nostack` the
    // compiler keeps nothing there.
    unsafe {
        asm!(
            "mov qword ptr [rsp - 8], 0",
            "mov [rsp - 128], {left}",
            "2:",
            "mov {word}, [{at}]",
            "add [rsp - 8], {word}",
            "rol qword ptr [rsp - 8], 3",
            "add {at}, 8",
            "dec qword ptr [rsp - 128]",
            "jnz 2b",
            "mov {word}, [rsp - 8]",
            word = out(reg) sum,
            at = inout(reg) data.as_ptr() => _,
            left = in(reg) data.len(),
        );
    }
    sum
}

/// Instructions that are stopped half done.
fn strings(data: &[u64]) -> u64 {
    let mut copy = vec![0u64; data.len()];
    // SAFETY: copies `data` to as many words.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") size_of_val(data) => _,
            inout("rsi") data.as_ptr() => _,
            inout("rdi") copy.as_mut_ptr() => _,
            options(nostack, preserves_flags),
        );
    }
    assert_eq!(copy, data);
    copy.iter().fold(0, |hash, word| hash.rotate_left(5) ^ word)
}

#[test]
fn flags_and_the_red_zone() {
    if !common::once() {
        return;
    }
    let rounds = 3_000;
    stay_right("flags_and_the_red_zone", rounds, &[borrows, red_zone, strings]);
}

/// Sums in the order of the words: rounding makes any other order visible.
fn floats(data: &[u64]) -> u64 {
    let mut sums = [0f64; 8];
    for chunk in data.chunks_exact(8) {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.mul_add(0.999, (*word >> 11) as f64 / 3.0);
        }
    }
    sums.iter().fold(0, |hash, sum| hash.rotate_left(5) ^ sum.to_bits())
}

/// The x87 stack, and a rounding mode of the goroutine's own.
fn x87(data: &[u64]) -> u64 {
    let (mut saved, mut control) = (0u16, 0u16);
    let third = 1.0f64 / 3.0;
    let mut out = 0.0f64;
    let down = data[0].is_multiple_of(2);
    // SAFETY: the x87 stack is empty before and after, and the control word as it was.
    unsafe {
        asm!("fnstcw [{}]", in(reg) &raw mut saved, options(nostack));
        control |= if down { saved | 0x400 } else { (saved | 0x800) & !0x400 };
        asm!(
            "fldcw [{control}]",
            "fldz",
            "2:",
            "fild qword ptr [{at}]",
            "fmul qword ptr [{third}]",
            "faddp",
            "add {at}, 8",
            "dec {left}",
            "jnz 2b",
            "fstp qword ptr [{out}]",
            "fldcw [{saved}]",
            control = in(reg) &raw const control,
            saved = in(reg) &raw const saved,
            third = in(reg) &raw const third,
            out = in(reg) &raw mut out,
            at = inout(reg) data.as_ptr() => _,
            left = inout(reg) data.len() => _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            options(nostack),
        );
    }
    out.to_bits()
}

#[test]
fn floating_point() {
    if !common::once() {
        return;
    }
    stay_right("floating_point", 2_000, &[floats, x87]);
}

fn words_of<const N: usize, V: Copy>(vector: V) -> u64 {
    // SAFETY: a vector of N words.
    let words: [u64; N] = unsafe { std::mem::transmute_copy(&vector) };
    words.iter().fold(0, |hash, word| hash.rotate_left(5) ^ word)
}

/// What the compiler makes of a plain loop where it may use everything that the processor has.
macro_rules! plain_loop {
    ($name:ident, $features:literal) => {
        #[target_feature(enable = $features)]
        fn $name(data: &[u64]) -> u64 {
            let mut sums = [0u64; 32];
            for chunk in data.chunks_exact(32) {
                for (sum, word) in sums.iter_mut().zip(chunk) {
                    *sum = (*sum ^ word).wrapping_add(word << 7).rotate_left(9);
                }
            }
            sums.iter().fold(0, |hash, sum| hash.rotate_left(5) ^ sum)
        }
    };
}
plain_loop!(plain_avx2, "avx2");
plain_loop!(plain_avx512, "avx512f,avx512vl,avx512bw,avx512dq");

/// Eight accumulators that stay in registers, all 256 bits of them.
#[target_feature(enable = "avx2")]
fn ymm(data: &[u64]) -> u64 {
    let mut sums = [_mm256_setzero_si256(); 8];
    for chunk in data.chunks_exact(4) {
        // SAFETY: four words.
        let words = unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) };
        for sum in &mut sums {
            let rotated = _mm256_or_si256(_mm256_slli_epi64(*sum, 13), _mm256_srli_epi64(*sum, 51));
            *sum = _mm256_add_epi64(_mm256_xor_si256(rotated, words), _mm256_set1_epi64x(0x9e37));
        }
    }
    sums.iter().fold(0, |hash, sum| hash.rotate_left(7) ^ words_of::<4, _>(*sum))
}

/// 24 accumulators, so that the upper half of the 32 registers is used, and a mask register.
#[target_feature(enable = "avx512f")]
fn zmm(data: &[u64]) -> u64 {
    let mut sums = [_mm512_setzero_si512(); 24];
    let mut mask: __mmask8 = 0b0101_1010;
    for chunk in data.chunks_exact(8) {
        // SAFETY: eight words.
        let words = unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) };
        for sum in &mut sums {
            let mixed = _mm512_xor_si512(_mm512_rol_epi64::<13>(*sum), words);
            *sum = _mm512_mask_add_epi64(mixed, mask, mixed, words);
        }
        mask = _mm512_cmplt_epu64_mask(sums[0], sums[1]) ^ mask.rotate_left(1);
    }
    sums.iter().fold(u64::from(mask), |hash, sum| hash.rotate_left(7) ^ words_of::<8, _>(*sum))
}

#[test]
fn vectors_of_256_bits() {
    if !common::once() {
        return;
    }
    if !is_x86_feature_detected!("avx2") {
        eprintln!("{}no AVX2", slices::SKIPPED);
        return;
    }
    // SAFETY: the processor has it.
    let computations: [Round; 2] = [|d| unsafe { plain_avx2(d) }, |d| unsafe { ymm(d) }];
    // The words of a whole register have to be the same as those computed one by one.
    assert_eq!(computations[0](&data(1)), plain(&data(1)));
    stay_right("vectors_of_256_bits", 4_000, &computations);
}

#[test]
fn vectors_of_512_bits() {
    if !common::once() {
        return;
    }
    let has = ["avx512f", "avx512vl", "avx512bw", "avx512dq"];
    let found = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    if !found {
        eprintln!("{}not all of {has:?}", slices::SKIPPED);
        return;
    }
    // SAFETY: the processor has it.
    let computations: [Round; 2] = [|d| unsafe { plain_avx512(d) }, |d| unsafe { zmm(d) }];
    assert_eq!(computations[0](&data(1)), plain(&data(1)));
    stay_right("vectors_of_512_bits", 4_000, &computations);
}

/// As `plain_loop`, for any processor.
fn plain(data: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for chunk in data.chunks_exact(32) {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = (*sum ^ word).wrapping_add(word << 7).rotate_left(9);
        }
    }
    sums.iter().fold(0, |hash, sum| hash.rotate_left(5) ^ sum)
}
