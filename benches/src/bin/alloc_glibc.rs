//! What a goroutine that has allocated holds, with glibc's malloc: see `shared/allocating.rs`.

#[path = "shared/allocating.rs"]
mod allocating;

fn main() {
    allocating::main("glibc");
}
