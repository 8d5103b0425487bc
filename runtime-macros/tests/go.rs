//! `go!`, `#[main]` and `#[test]` as a user compiles them, against a stand-in for `gusty` that runs
//! a "goroutine" when it is joined. What is proved here and not by comparing tokens: evaluation
//! order, hygiene, inference, and the location that `#[track_caller]` sees.

use std::{
    cell::RefCell,
    panic::Location,
    process::{ExitCode, Termination},
    rc::Rc,
};

/// The part of `gusty` that expansions call.
mod runtime {
    use std::panic::Location;

    pub(crate) struct JoinHandle<T> {
        job: Box<dyn FnOnce() -> T>,
        pub(crate) builder: Builder,
        pub(crate) spawned_at: &'static Location<'static>,
    }

    impl<T> JoinHandle<T> {
        pub(crate) fn join(self) -> T {
            (self.job)()
        }
    }

    #[derive(Default)]
    pub(crate) struct Builder {
        pub(crate) name: Option<String>,
        pub(crate) stack_size: Option<usize>,
    }

    impl Builder {
        pub(crate) fn new() -> Builder {
            Builder::default()
        }

        pub(crate) fn name(self, name: String) -> Builder {
            Builder { name: Some(name), ..self }
        }

        pub(crate) fn stack_size(self, bytes: usize) -> Builder {
            Builder { stack_size: Some(bytes), ..self }
        }
    }

    #[track_caller]
    pub(crate) fn spawn<T>(job: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        __private::go_with(Builder::new(), job)
    }

    pub(crate) mod __private {
        use super::{Builder, JoinHandle};
        use std::{panic::Location, process::Termination};

        #[track_caller]
        pub(crate) fn go_with<T>(
            builder: Builder,
            job: impl FnOnce() -> T + 'static,
        ) -> JoinHandle<T> {
            JoinHandle { job: Box::new(job), builder, spawned_at: Location::caller() }
        }

        #[derive(Debug, PartialEq)]
        pub(crate) struct MainOptions {
            pub(crate) procs: Option<usize>,
            pub(crate) stack_size: Option<usize>,
        }

        pub(crate) fn run_main<T: Termination>(
            options: MainOptions,
            main: impl FnOnce() -> T,
        ) -> T {
            assert_eq!(options, MainOptions { procs: Some(4), stack_size: None });
            main()
        }

        pub(crate) fn run_test<T: Termination>(name: &str, test: impl FnOnce() -> T) -> T {
            assert!(!name.is_empty());
            test()
        }
    }
}

macro_rules! go {
    ($($input:tt)*) => { gusty_macros::go!(crate = crate::runtime, $($input)*) };
}

type Log = Rc<RefCell<Vec<&'static str>>>;

/// Notes that it was evaluated.
fn noting(log: &Log, what: &'static str) -> &'static str {
    log.borrow_mut().push(what);
    what
}

#[test]
fn every_form_runs_at_the_join() {
    fn triple(n: i32) -> i32 {
        3 * n
    }
    let base = 14;
    assert_eq!(go!(move || base * 3).join(), 42);
    assert_eq!(go!({ base * 3 }).join(), 42);
    assert_eq!(go!(triple(base)).join(), 42);
    assert_eq!(go!(base.wrapping_mul(3)).join(), 42);
    let job = move || triple(base);
    assert_eq!(go!(job).join(), 42);
    let make = |n| move || triple(n);
    assert_eq!(go!((make(base))).join(), 42);
    assert_eq!(go!(make(base)).join()(), 42);
}

#[test]
fn arguments_are_evaluated_here_and_the_call_there() {
    fn call(log: Log, first: &str, second: &str) -> String {
        noting(&log, "call");
        format!("{first} {second}")
    }
    let log = Log::default();
    let name = || noting(&log, "option");
    let handle =
        go!(name = name(), call(log.clone(), noting(&log, "first"), noting(&log, "second")));
    assert_eq!(*log.borrow(), ["option", "first", "second"]);
    assert_eq!(handle.join(), "first second");
    assert_eq!(*log.borrow(), ["option", "first", "second", "call"]);
}

#[test]
fn a_receiver_is_moved_in_and_may_be_mutated() {
    let mut list = vec![3, 1, 2];
    list.push(0);
    assert_eq!(go!(list.pop()).join(), Some(0));
    let shared = Rc::new(7);
    assert_eq!(go!(shared.clone().to_string()).join(), "7");
    assert_eq!(Rc::strong_count(&shared), 1, "the goroutine's clone is gone");
}

#[test]
fn names_of_the_expansion_do_not_capture_those_of_the_user() {
    let (argument_0, argument_1, receiver, builder) = (1, 2, 3, 4);
    fn list(a: i32, b: i32, c: i32, d: i32) -> [i32; 4] {
        [a, b, c, d]
    }
    let handle = go!(name = "x", list(argument_1, argument_0, builder, receiver));
    assert_eq!(handle.join(), [2, 1, 4, 3]);
    assert_eq!(go!(receiver.max(argument_0 + receiver)).join(), 4);
}

#[test]
fn a_closure_in_last_place_has_its_parameters_inferred() {
    fn apply(text: String, f: impl Fn(&str) -> usize) -> usize {
        f(&text)
    }
    let extra = 1;
    assert_eq!(go!(apply("four".into(), move |text| text.len() + extra)).join(), 5);
}

#[test]
fn options_reach_the_builder() {
    let handle = go!(stack = 64 * 1024, name = format!("worker {}", 3), || ());
    assert_eq!(handle.builder.name.as_deref(), Some("worker 3"));
    assert_eq!(handle.builder.stack_size, Some(65536));
    assert_eq!(go!(name = "plain", || ()).builder.stack_size, None);
}

#[test]
fn the_creation_site_is_the_invocation() {
    fn here(_: i32) {}
    #[rustfmt::skip]
    let sites = [
        (gusty_macros::go!(crate = runtime, || ()).spawned_at, line!()),
        (gusty_macros::go!(crate = runtime, {}).spawned_at, line!()),
        (gusty_macros::go!(crate = runtime, here(1)).spawned_at, line!()),
        (gusty_macros::go!(crate = runtime, name = "x", here(1)).spawned_at, line!()),
    ];
    for (site, line) in sites {
        assert_eq!((site.file(), site.line()), (file!(), line));
    }
    let _: &Location<'static> = sites[0].0;
}

/// `fn main` in a module of its own: called like any function.
mod entry {
    use super::ExitCode;

    #[gusty_macros::main(procs = 4, crate = crate::runtime)]
    pub(crate) fn main() -> Result<ExitCode, std::num::ParseIntError> {
        Ok(ExitCode::from("7".parse::<u8>()?))
    }
}

mod diverging {
    #[gusty_macros::main(procs = 4, crate = crate::runtime)]
    pub(crate) fn main() -> ! {
        panic!("never returns")
    }
}

mod opaque {
    use super::{ExitCode, Termination};

    #[gusty_macros::main(crate = crate::runtime, procs = 2 + 2)]
    pub(crate) fn main() -> impl Termination {
        ExitCode::from(3)
    }
}

#[test]
fn main_returns_what_its_body_does() {
    assert_eq!(entry::main(), Ok(ExitCode::from(7)));
    assert_eq!(opaque::main().report(), ExitCode::from(3));
    assert!(std::panic::catch_unwind(|| diverging::main()).is_err());
}

#[gusty_macros::test(crate = crate::runtime)]
fn a_test_runs_as_a_test() -> Result<(), std::num::ParseIntError> {
    assert_eq!("7".parse::<u8>()?, 7);
    Ok(())
}

#[gusty_macros::test(crate = crate::runtime)]
#[should_panic(expected = "as it should")]
fn a_test_may_be_expected_to_panic() {
    panic!("as it should");
}
