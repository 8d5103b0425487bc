//! Job: panics are counted where they are, whoever else runs meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::thread::panicking;

use crate::battery::{Needs, on_many, survives};

const ALONE: Needs =
    Needs::OwnPanics("std counts panics by thread, and others run on it meanwhile");

/// Parks while it is dropped.
struct Parks {
    unwinding: bool,
}

impl Drop for Parks {
    fn drop(&mut self) {
        for _ in 0..5 {
            assert_eq!(panicking(), self.unwinding);
            gusty::yield_now();
        }
        assert_eq!(panicking(), self.unwinding);
    }
}

#[test]
fn destructors_park_while_a_panic_unwinds() {
    survives("panics::destructors_park_while_a_panic_unwinds", ALONE, || {
        on_many(100, |i| {
            for _ in 0..10 {
                if i % 2 == 0 {
                    drop(Parks { unwinding: false });
                    continue;
                }
                let caught = catch_unwind(|| {
                    let _parks = Parks { unwinding: true };
                    gusty::yield_now();
                    resume_unwind(Box::new(i));
                });
                assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), i);
                assert!(!panicking());
            }
        });
    });
}

#[test]
fn a_panic_is_caught_within_a_panic() {
    struct Catches(usize);
    impl Drop for Catches {
        fn drop(&mut self) {
            gusty::yield_now();
            let inner = catch_unwind(AssertUnwindSafe(|| {
                let _parks = Parks { unwinding: true };
                resume_unwind(Box::new(self.0 + 1));
            }));
            assert_eq!(*inner.unwrap_err().downcast::<usize>().unwrap(), self.0 + 1);
            assert!(panicking());
        }
    }
    survives("panics::a_panic_is_caught_within_a_panic", ALONE, || {
        on_many(50, |i| {
            for _ in 0..5 {
                let outer = catch_unwind(|| {
                    let _catches = Catches(i);
                    gusty::yield_now();
                    resume_unwind(Box::new(i));
                });
                assert_eq!(*outer.unwrap_err().downcast::<usize>().unwrap(), i);
                gusty::yield_now();
                assert!(!panicking());
            }
        });
    });
}

#[test]
fn a_panic_poisons_the_mutex_of_its_goroutine_only() {
    survives("panics::a_panic_poisons_the_mutex_of_its_goroutine_only", ALONE, || {
        on_many(60, |i| {
            for _ in 0..10 {
                let own = Mutex::new(());
                let result = catch_unwind(AssertUnwindSafe(|| {
                    let _guard = own.lock();
                    let _parks = Parks { unwinding: i % 2 == 0 };
                    gusty::yield_now();
                    if i % 2 == 0 {
                        resume_unwind(Box::new(()));
                    }
                }));
                assert_eq!((result.is_err(), own.is_poisoned()), (i % 2 == 0, i % 2 == 0));
            }
        });
    });
}
