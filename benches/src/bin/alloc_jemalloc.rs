//! What a goroutine that has allocated holds, with jemalloc: see `shared/allocating.rs`.

#[path = "shared/allocating.rs"]
mod allocating;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOC: gusty::Alloc<Jemalloc> = gusty::Alloc::new(Jemalloc);

fn main() {
    allocating::main("jemalloc");
}
