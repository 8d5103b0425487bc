//! Job: tests of the parent module.

use proc_macro2::TokenStream;
use quote::quote;

use super::expand;

fn expanded(item: TokenStream) -> String {
    expand(quote!(), item).unwrap().to_string()
}

#[test]
fn each_round_of_each_loop_begins_with_a_check() {
    let item = quote! {
        pub fn f(n: u64) -> u64 {
            for i in 0..n { 'inner: while i < g(|_| loop { break 1 }) { break 'inner; } }
            n
        }
    };
    let expected = quote! {
        pub fn f(n: u64) -> u64 {
            for i in 0..n {
                ::gusty::check_preempt();
                'inner: while i < g(|_| loop { ::gusty::check_preempt(); break 1 }) {
                    ::gusty::check_preempt();
                    break 'inner;
                }
            }
            n
        }
    };
    assert_eq!(expanded(item), expected.to_string());
}

#[test]
fn the_crate_may_have_another_name() {
    let expansion = expand(
        quote!(crate = my::gusty),
        quote!(
            fn f() {
                loop {}
            }
        ),
    )
    .unwrap();
    assert!(expansion.to_string().contains("my :: gusty :: check_preempt () ;"));
}

#[test]
fn what_is_not_the_functions_own_code_stays_as_it_is() {
    let item = quote! {
        fn f() {
            const N: usize = { let mut i = 0; while i < 3 { i += 1; } i };
            fn nested() { loop {} }
            let _ = async { loop {} };
            loop {}
        }
    };
    assert_eq!(expanded(item).matches("check_preempt").count(), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |item, part: &str| {
        let error = expand(quote!(), item).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(
        quote!(
            fn f() {
                g()
            }
        ),
        "no loop here",
    );
    refused(
        quote!(
            const fn f() {
                loop {}
            }
        ),
        "cannot be `const`",
    );
    refused(
        quote!(
            struct S;
        ),
        "belongs on a function",
    );
    let unknown = expand(
        quote!(every = 10),
        quote!(
            fn f() {
                loop {}
            }
        ),
    )
    .unwrap_err()
    .to_string();
    assert!(unknown.contains("every"), "{unknown}");
}
