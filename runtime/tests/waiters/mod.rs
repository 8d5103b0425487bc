//! Job: what the tests of things that are waited for share.

#![allow(dead_code, reason = "every test file uses some of it")]

use std::collections::HashSet;

use crate::common::{until, watched};

/// Runs `f` on a plain thread and on a goroutine.
pub(crate) fn everywhere(name: &str, f: fn()) {
    watched(name, || {
        f();
        gusty::spawn(f).join().unwrap();
    });
}

/// Waits until all these goroutines are parked, for whatever reason.
pub(crate) fn until_parked<'a, T: 'a>(
    handles: impl IntoIterator<Item = &'a gusty::JoinHandle<T>> + Clone,
) {
    until(|| {
        let dump = gusty::runtime::dump();
        let parked: HashSet<&str> = dump
            .lines()
            .filter(|line| !line.contains("[running]") && !line.contains("[runnable]"))
            .filter_map(|line| line.strip_prefix("goroutine ")?.split(' ').next())
            .collect();
        let mut handles = handles.clone().into_iter();
        handles.all(|handle| parked.contains(handle.goroutine().id().to_string().as_str()))
    });
}

/// Runs `f` with 1, 2, 4, 8 and 64 Ps: on a plain thread, on a goroutine, and on both at once.
pub(crate) fn sweep(name: &str, f: fn()) {
    let _alone = crate::common::alone();
    watched(name, || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            f();
            gusty::spawn(f).join().unwrap();
            let other = gusty::spawn(f);
            f();
            other.join().unwrap();
        }
        gusty::runtime::gomaxprocs(before);
    });
}
