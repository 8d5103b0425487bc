//! Job: the macros `select!` and `select_biased!`.
//! Layer: L3 (blocking)
//! Not here: parsing the arms (`gusty-macros`), what they expand to calls of (`expand`).

/// Waits until one of several channel operations is possible, performs it and evaluates to its arm.
///
/// ```text
/// select! {
///     recv(receiver) -> pattern => body,
///     send(sender, value) -> pattern => body,
///     default => body,                // or: default(timeout) => body
/// }
/// ```
///
/// Any number of `recv` and `send` arms and at most one `default`, in any order. As in a `match`, the
/// bodies have one type, and a comma is optional after a block. `break`, `continue`, `return` and `?`
/// in a body act on the code around.
///
/// * `recv(receiver)` receives: the pattern gets a
///   `Result<T, `[`RecvError`](crate::chan::RecvError)`>`. Without a pattern the result is dropped.
/// * `send(sender, value)` sends: the pattern gets a
///   `Result<(), `[`SendError`](crate::chan::SendError)`<T>>`. The value is evaluated only if this
///   arm was chosen; a receiver without buffer in between waits that long. If the evaluation panics
///   or leaves the `select!`, nothing is sent.
/// * `default` is chosen if no operation is possible at once, `default(timeout)` if none was possible
///   for that [`Duration`](std::time::Duration).
///
/// Handles may be given by value, by reference or behind a smart pointer; they are evaluated once,
/// from top to bottom, before anything is tried, and then the timeout. Of several possible operations
/// one is chosen at random, each with equal chance; an operation that fails because its channel is
/// closed is possible, too. [`never`](crate::chan::never) stands for an operation that is left out,
/// [`after`](crate::chan::after) for a timeout.
///
/// The choice is atomic: all channels are looked at at one moment, one operation takes place or none,
/// and no value is lost. Waiting parks a goroutine and blocks a plain thread. For a set of operations
/// known only at run time there is [`Select`](crate::chan::Select).
///
/// ```
/// use gusty::{chan, go, select};
///
/// let (numbers, rx) = chan::unbounded();
/// let (quit, done) = chan::bounded::<()>(0);
/// go!(move || {
///     (1..=3).for_each(|n| numbers.send(n).unwrap());
///     drop(quit);
/// });
/// let mut sum = 0;
/// loop {
///     select! {
///         recv(rx) -> n => match n {
///             Ok(n) => sum += n,
///             Err(_) => break,
///         },
///         recv(done) -> _ => {
///             sum += rx.iter().sum::<i32>();
///             break;
///         }
///     }
/// }
/// assert_eq!(sum, 6);
/// ```
#[macro_export]
macro_rules! select {
    ($($arms:tt)*) => {
        $crate::__private::select_arms!($crate, false, $($arms)*)
    };
}

/// As [`select!`]; of several possible operations the first one is chosen.
///
/// ```
/// use gusty::{chan, select_biased};
///
/// let (urgent, first) = chan::unbounded();
/// let (other, second) = chan::unbounded();
/// other.send("other").unwrap();
/// urgent.send("urgent").unwrap();
/// let got = select_biased! {
///     recv(first) -> value => value,
///     recv(second) -> value => value,
/// };
/// assert_eq!(got, Ok("urgent"));
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($arms:tt)*) => {
        $crate::__private::select_arms!($crate, true, $($arms)*)
    };
}
