//! Job: the macros of `gusty` that must understand Rust syntax: `go!`, the arms of `select!`,
//!   `#[main]`, `#[test]` and `#[preemptible]`.
//! Not here: anything `macro_rules!` can do, and all behaviour: an expansion consists of calls of
//!   functions of `gusty`.
//!
//! Every macro is a function on `proc_macro2` tokens in its own file, tested there; this file only
//! converts and documents. Use the macros through `gusty`, which re-exports them.

mod entry;
mod go;
mod options;
mod preemptible;
mod select;

use proc_macro::TokenStream;

/// Starts a goroutine and evaluates to its `JoinHandle`.
///
/// ```text
/// go!([option = value,]* what)
/// ```
///
/// Never blocks, except where an argument's own evaluation does. Dropping the handle detaches the
/// goroutine.
///
/// # What to run
///
/// | `what` | runs in the goroutine | evaluated here, before it starts |
/// |---|---|---|
/// | `\|\| ...`, `move \|\| ...` | the closure's body | nothing; captures as written |
/// | `{ ... }`, `unsafe { ... }` | the block | nothing; captures by `move` |
/// | `path(a, b)` | the call | `a`, then `b` |
/// | `recv.method(a)` | the call | `recv`, then `a` |
/// | `f`, `(expression)` | the `FnOnce()` it evaluates to | the expression |
///
/// ```text
/// go!(move || tx.send(fib(30)).unwrap());       // a closure
/// go!({ tx.send(fib(30)).unwrap() });           // a block: the same, shorter
/// go!(serve("127.0.0.1:8080"));                 // a call
/// go!(server.clone().accept_loop());            // a method call: the clone is made here
/// let job = move || 6 * 7;
/// let answer = go!(job).join().unwrap();        // a variable that is a closure
/// go!((make_job(7)));                           // parentheses: run what the call returns
/// ```
///
/// The call forms follow Go's rule: the receiver and the arguments are evaluated **now**, in the
/// caller, from left to right; only the last call runs in the goroutine. So the arguments see the
/// values of this moment, and in `go!(tx.send(1).unwrap())` the `send` happens **here** and only
/// the `unwrap` there: write a block to move both. The receiver is moved into the goroutine like
/// an argument: a receiver that is a reference must be `'static`; clone an `Arc` in place
/// (`go!(shared.clone().work())`).
///
/// A macro call, a loop or an assignment is refused, because it would run here: write a block.
/// What the goroutine runs must be `Send + 'static`, its result too.
///
/// # Options
///
/// In any order, each at most once, before what is to run; evaluated here, from left to right,
/// before receiver and arguments.
///
/// | option | value |
/// |---|---|
/// | `name` | the goroutine's name in dumps and panics: anything `String` is made `From` |
/// | `stack` | the most its stack may grow to, in bytes (`usize`) |
/// | `crate` | the path of `gusty` where it is not `::gusty` |
/// | `pinned` | (no value) it stays on one OS thread: `gusty::Builder::pinned` |
/// | `unsafe light` | (no value) no thread-locals of its own: see `gusty::Builder::light` for the contract |
///
/// ```text
/// go!(name = "accept", serve(listener));
/// go!(unsafe light, tx.send(1)); // keeps nothing of a thread-local over a park
/// go!(name = format!("worker {i}"), stack = 64 * 1024, { work(i) });
/// ```
///
/// # Panics
///
/// With options: where the goroutine cannot be started, as `gusty::spawn` does; use
/// `gusty::Builder::spawn` to handle that error.
#[proc_macro]
pub fn go(input: TokenStream) -> TokenStream {
    expansion(go::expand(input.into()))
}

/// The arms of `gusty::select!`, which passes the path of `gusty` and whether the choice is biased.
#[doc(hidden)]
#[proc_macro]
pub fn select_arms(input: TokenStream) -> TokenStream {
    expansion(select::expand(input.into()))
}

/// Runs `fn main()` as goroutine 1. As in Go, the process ends when it returns.
///
/// The function takes nothing and returns anything `std::process::Termination` accepts: `()`, an
/// exit code, a `Result`. Other attributes on it are kept.
///
/// | option | value |
/// |---|---|
/// | `procs` | how many Ps, that is how many goroutines run at once (`usize`); `GOMAXPROCS` by default |
/// | `stack_size` | the most an ordinary goroutine's stack may grow to, in bytes (`usize`) |
/// | `crate` | the path of `gusty` where it is not `::gusty` |
///
/// ```text
/// #[gusty::main(procs = 4, stack_size = 1048576)]
/// fn main() -> std::io::Result<()> {
///     gusty::go!(serve("127.0.0.1:8080"));
///     wait_for_signal()
/// }
/// ```
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expansion(entry::expand_main(options.into(), item.into()))
}

/// Runs a test on a goroutine. A failure is reported under the test's own name.
///
/// Takes the place of `#[test]`; `#[should_panic]`, `#[ignore]` and other attributes are kept. The
/// function takes nothing and returns anything `std::process::Termination` accepts.
///
/// The only option is `crate = path`, the path of `gusty` where it is not `::gusty`.
///
/// ```text
/// #[gusty::test]
/// fn a_value_arrives() {
///     let (tx, rx) = gusty::chan::bounded(0);
///     gusty::go!(tx.send(7));
///     assert_eq!(rx.recv(), Ok(7));
/// }
/// ```
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expansion(entry::expand_test(options.into(), item.into()))
}

/// Puts a call of `gusty::check_preempt` in front of each round of each loop of a function, closures in
/// it included: for code that computes for long where goroutines cannot be stopped by a signal
/// (`GUSTY_KICK=off`, other levels of thread-local storage), or should let others run sooner.
///
/// Loops in macros and in nested functions are not looked at; a function without any other is refused.
/// The only option is `crate = path`, the path of `gusty` where it is not `::gusty`.
///
/// ```text
/// #[gusty::preemptible]
/// fn checksum(data: &[u8]) -> u32 {
///     let mut sum = 0;
///     for &byte in data {
///         sum = u32::rotate_left(sum, 5) ^ u32::from(byte);
///     }
///     sum
/// }
/// ```
#[proc_macro_attribute]
pub fn preemptible(options: TokenStream, item: TokenStream) -> TokenStream {
    expansion(preemptible::expand(options.into(), item.into()))
}

fn expansion(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(syn::Error::into_compile_error).into()
}
