//! Job: jemalloc as the global allocator of a program with goroutines.

#[path = "allocators/mod.rs"]
mod allocators;
#[path = "../../tests/tls/battery.rs"]
mod battery;
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/tls/fork.rs"]
mod fork;
mod stopped;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOC: gusty::Alloc<Jemalloc> = gusty::Alloc::new(Jemalloc);
