//! Instrumented functions compile and check once for each turn of each loop.

use std::cell::Cell;

thread_local! {
    static CHECKS: Cell<u32> = const { Cell::new(0) };
}

/// In place of the runtime.
fn check_preempt() {
    CHECKS.set(CHECKS.get() + 1);
}

fn checks<T>(run: impl FnOnce() -> T) -> (T, u32) {
    CHECKS.set(0);
    (run(), CHECKS.get())
}

#[gusty_macros::preemptible(crate = crate)]
fn triangle(n: u32) -> u32 {
    let mut sum = 0;
    for i in 0..n {
        for _ in 0..i {
            sum += 1;
        }
    }
    sum
}

#[gusty_macros::preemptible(crate = crate)]
fn first_square_above<T>(limit: u64, found: impl Fn(u64) -> T) -> Result<T, u8> {
    let mut i = 0;
    let square = 'search: loop {
        i += 1;
        if i * i > limit {
            break 'search i * i;
        } else if i > 1_000 {
            Err(7)?;
        }
    };
    Ok(found(square))
}

struct Countdown(Vec<u8>);

impl Countdown {
    #[gusty_macros::preemptible(crate = crate)]
    fn drain(&mut self) -> usize {
        let take = |from: &mut Vec<u8>| {
            let mut taken = 0;
            while from.pop().is_some() {
                taken += 1;
            }
            taken
        };
        take(&mut self.0)
            + [0u8; {
                const N: usize = 3;
                N
            }]
                .len()
    }
}

#[test]
fn each_turn_checks_once() {
    assert_eq!(checks(|| triangle(5)), (10, 15));
    assert_eq!(checks(|| first_square_above(50, |x| x)), (Ok(64), 8));
    assert_eq!(checks(|| first_square_above(u64::MAX / 2, |x| x)), (Err(7), 1_001));
    assert_eq!(checks(|| Countdown(vec![1; 9]).drain()), (12, 9));
}
