//! Job: tests of the parent module.

use proc_macro2::TokenStream;
use quote::quote;

use super::expand;

fn expands(input: TokenStream, expected: TokenStream) {
    let expansion = expand(input.clone());
    let expansion = expansion.unwrap_or_else(|error| panic!("`{input}` is refused: {error}"));
    // Joint and single punctuation print differently: compare without the spaces.
    let text = |tokens: TokenStream| tokens.to_string().replace(' ', "");
    assert_eq!(text(expansion), text(expected), "`{input}`");
}

/// Asserts that the message contains `expected`.
fn refused(input: &str, expected: &str) {
    let tokens: TokenStream = input.parse().expect("test input is tokens");
    let error = expand(tokens).expect_err(input).to_string();
    assert!(error.contains(expected), "`{input}` is refused with: {error}");
}

#[test]
fn closures_and_values_are_passed_on() {
    expands(quote!(move || tx.send(1)), quote!(::gusty::spawn(move || tx.send(1))));
    expands(quote!(|| 7), quote!(::gusty::spawn(|| 7)));
    expands(quote!(job), quote!(::gusty::spawn(job)));
    expands(quote!(serve::forever), quote!(::gusty::spawn(serve::forever)));
    expands(quote!((make_job(7))), quote!(::gusty::spawn(make_job(7))));
    expands(quote!(self.job,), quote!(::gusty::spawn(self.job)));
}

#[test]
fn flags_set_the_builder() {
    expands(
        quote!(unsafe light, pinned, name = "x", job),
        quote!({
            let builder = ::gusty::Builder::new().pinned().name(::std::string::String::from("x"));
            let builder = unsafe { builder.light() };
            ::gusty::__private::go_with(builder, job)
        }),
    );
    expands(quote!(pinned), quote!(::gusty::spawn(pinned)));
    expands(quote!(unsafe { light() }), quote!(::gusty::spawn(move || unsafe { light() })));
    refused("unsafe light, ", "nothing to run");
}

#[test]
fn blocks_become_moving_closures() {
    expands(
        quote!({
            a();
            b()
        }),
        quote!(::gusty::spawn(move || {
            a();
            b()
        })),
    );
    expands(quote!(unsafe { a() }), quote!(::gusty::spawn(move || unsafe { a() })));
    expands(quote!({}), quote!(::gusty::spawn(move || {})));
}

#[test]
fn arguments_are_bound_in_order_before_the_call() {
    expands(quote!(tick()), quote!(::gusty::spawn(move || tick())));
    expands(
        quote!(serve::<u8>(addr, 1 + 2)),
        quote!({
            let argument_0 = addr;
            let argument_1 = 1 + 2;
            ::gusty::spawn(move || serve::<u8>(argument_0, argument_1))
        }),
    );
    expands(
        quote!((self.handler)(x)),
        quote!({
            let function = (self.handler);
            let argument_0 = x;
            ::gusty::spawn(move || function(argument_0))
        }),
    );
}

#[test]
fn only_closures_after_the_last_other_argument_stay_in_place() {
    expands(
        quote!(each(|a| a, list, |b| b, move |c| c)),
        quote!({
            let argument_0 = |a| a;
            let argument_1 = list;
            ::gusty::spawn(move || each(argument_0, argument_1, |b| b, move |c| c))
        }),
    );
}

#[test]
fn a_receiver_is_bound_before_the_arguments() {
    expands(
        quote!(pool.clone().run::<u8>(n)),
        quote!({
            #[allow(unused_mut, reason = "the method may take `&mut self`")]
            let mut receiver = pool.clone();
            let argument_0 = n;
            ::gusty::spawn(move || receiver.run::<u8>(argument_0))
        }),
    );
}

#[test]
fn options_come_first_in_any_order() {
    expands(
        quote!(stack = 4 * K, name = "a", serve(x)),
        quote!({
            let builder =
                ::gusty::Builder::new().stack_size(4 * K).name(::std::string::String::from("a"));
            let argument_0 = x;
            ::gusty::__private::go_with(builder, move || serve(argument_0))
        }),
    );
    expands(quote!(crate = crate, job), quote!(crate::spawn(job)));
    expands(
        quote!(crate = ::renamed::gusty, name = n, || ()),
        quote!({
            let builder = ::renamed::gusty::Builder::new().name(::std::string::String::from(n));

            ::renamed::gusty::__private::go_with(builder, || ())
        }),
    );
}

#[test]
fn names_made_up_are_hygienic() {
    // `to_string` does not show hygiene; tests/go.rs proves it with clashing names. Here: a clash
    // in the text is no error.
    assert!(expand(quote!(f(argument_0, receiver))).is_ok());
}

#[test]
fn what_cannot_run_is_refused_with_a_reason() {
    refused("", "nothing to run");
    refused("name = \"a\"", "nothing to run");
    refused("name = \"a\",", "nothing to run");
    refused("async { f() }", "not a future");
    refused("async move || f()", "not a future");
    refused("f().await", "not a future");
    refused("|x| x", "given no arguments");
    refused("println!(\"x\")", "put it in a block");
    refused("loop { f() }", "put it in a block");
    refused("for x in xs { f(x) }", "put it in a block");
    refused("a.b = 1", "put it in a block");
}

#[test]
fn misplaced_and_wrong_options_are_refused_with_a_reason() {
    refused("nmae = \"a\", f()", "unknown option `nmae`; the options are `name`, `stack`, `crate`");
    refused("name = \"a\", name = \"b\", f()", "option `name` is given twice");
    refused("f(), name = \"a\"", "options come before");
    refused("|| f(), stack = 1", "options come before");
    refused("name = \"a\" f()", "expected `,`");
    refused("f(); g()", "put statements in a block");
    refused("f(), g()", "runs one thing");
}

#[test]
fn a_comparison_is_not_an_option() {
    expands(quote!(a == b), quote!(::gusty::spawn(a == b)));
}
