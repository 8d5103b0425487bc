//! Job: Go's tests of goroutines, panics and Goexit that have a meaning here. (Nothing ends a goroutine
//!   but its return and a panic, so what Goexit does is what a panic does.)

mod common;

use common::{Child, OnDrop};
use gusty::spawn;
use gusty::sync::WaitGroup;
use std::panic::{catch_unwind, panic_any};
use std::sync::{Arc, Mutex};

/// Row 71 (TestGoexitDefer): whatever a goroutine owns is destroyed when it ends early, the last
/// made first.
#[gusty::test]
fn an_early_end_runs_destructors_in_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let theirs = order.clone();
    let ended = spawn(move || {
        let _first = OnDrop(|| theirs.lock().unwrap().push(1));
        let _second = OnDrop(|| theirs.lock().unwrap().push(2));
        panic_any("expected by the test");
    });
    assert!(ended.join().is_err());
    assert_eq!(*order.lock().unwrap(), [2, 1]);
}

/// Row 71 (TestRecoveredPanicAfterGoexit): a panic that is caught while another unwinds the
/// goroutine does not stop that one.
#[gusty::test]
fn a_panic_caught_while_unwinding_does_not_cancel_the_first() {
    let ended = spawn(|| {
        let _catches = OnDrop(|| assert!(catch_unwind(|| panic_any("inner")).is_err()));
        panic_any("outer");
    });
    assert_eq!(ended.join().unwrap_err().downcast_ref(), Some(&"outer"));
}

mod main_of_row_72 {
    #[gusty::main]
    pub(super) fn main() {
        assert_eq!(gusty::current().id().as_u64().get(), 1);
        let alive = gusty::runtime::dump();
        let goroutines: Vec<_> =
            alive.lines().filter(|line| line.starts_with("goroutine ")).collect();
        assert_eq!(goroutines.len(), 1, "{alive}");
    }
}

/// Row 72 (TestMainGoroutineID, TestNoHelperGoroutines): main is number 1, and alone at first.
#[test]
fn main_is_number_one_and_alone() {
    Child::of("main_is_number_one_and_alone").run(main_of_row_72::main).succeeded();
}

/// Row 73 (TestPanicRace): many panics at once, each printed in full and once.
#[test]
fn panics_at_once_are_printed_in_full() {
    const PANICS: usize = 50;
    let ended = Child::of("panics_at_once_are_printed_in_full").run(|| {
        let group = Arc::new(WaitGroup::new());
        for i in 0..PANICS {
            group.go(move || panic!("panic number {i} of the race"));
        }
        group.wait();
    });
    ended.succeeded();
    for i in 0..PANICS {
        assert_eq!(ended.count(&format!("panic number {i} of the race")), 1, "{}", ended.stderr);
    }
}
