//! What a goroutine that has allocated holds, with mimalloc: see `shared/allocating.rs`.

#[path = "shared/allocating.rs"]
mod allocating;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOC: gusty::Alloc<MiMalloc> = gusty::Alloc::new(MiMalloc);

fn main() {
    allocating::main("mimalloc");
}
