//! Job: jemalloc without `gusty::Alloc` works, and the runtime says at its start what it costs.

#[path = "../../tests/tls/battery.rs"]
mod battery;
#[path = "../../tests/common/mod.rs"]
mod common;
mod stopped;

use battery::{Needs, on_many, survives};
use common::Child;

#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[test]
fn it_is_warned_about_once() {
    let ended = Child::of("it_is_warned_about_once").run(|| drop(on_many(10, |i| vec![i; 10])));
    ended.succeeded().says(&["jemalloc", "gusty::Alloc"]);
    assert_eq!(ended.count("gusty::Alloc"), 1, "{}", ended.stderr);
}

#[test]
fn nobody_is_warned_where_thread_locals_are_shared() {
    let child = Child::of("nobody_is_warned_where_thread_locals_are_shared");
    let ended = child.env("GUSTY_TLS", "shared").run(|| drop(on_many(10, |i| vec![i; 10])));
    ended.succeeded();
    assert_eq!(ended.count("gusty::Alloc"), 0, "{}", ended.stderr);
}

#[test]
fn goroutines_allocate() {
    survives("goroutines_allocate", Needs::Nothing, || {
        for _ in 0..5 {
            on_many(50, |i| {
                let words: Vec<_> = (0..100)
                    .map(|k| {
                        if k % 10 == 0 {
                            gusty::yield_now();
                        }
                        vec![i; k * 7]
                    })
                    .collect();
                assert!(words.iter().flatten().all(|word| *word == i));
            });
        }
    });
}
