//! Job: tests of the parent module.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Result;

use super::{expand_main, expand_test};

fn refused(result: Result<TokenStream>, expected: &str) {
    let error = result.expect_err(expected).to_string();
    assert!(error.contains(expected), "refused with: {error}");
}

#[test]
fn main_hands_its_body_over() {
    let expansion = expand_main(
        quote!(),
        quote!(
            fn main() {
                work()
            }
        ),
    )
    .unwrap();
    let expected = quote! {
        fn main() {
            ::gusty::__private::run_main(
                ::gusty::__private::MainOptions {
                    procs: ::core::option::Option::None,
                    stack_size: ::core::option::Option::None
                },
                || -> () { work() }
            )
        }
    };
    assert_eq!(expansion.to_string(), expected.to_string());
}

#[test]
fn main_keeps_attributes_and_return_type_and_takes_options() {
    let options = quote!(stack_size = 1 << 20, crate = crate::rt, procs = n(),);
    let item = quote!(
        #[cold]
        pub(crate) fn main() -> Result<(), Error> {
            work()?;
            Ok(())
        }
    );
    let expected = quote! {
        #[cold]
        pub(crate) fn main() -> Result<(), Error> {
            crate::rt::__private::run_main(
                crate::rt::__private::MainOptions {
                    procs: ::core::option::Option::Some(n()),
                    stack_size: ::core::option::Option::Some(1 << 20)
                },
                || -> Result<(), Error> { work()?; Ok(()) }
            )
        }
    };
    assert_eq!(expand_main(options, item).unwrap().to_string(), expected.to_string());
}

#[test]
fn test_keeps_attributes_and_passes_its_name() {
    let item = quote!(
        #[should_panic(expected = "no")]
        fn fails() {
            panic!("no")
        }
    );
    let expected = quote! {
        #[::core::prelude::v1::test]
        #[should_panic(expected = "no")]
        fn fails() {
            ::gusty::__private::run_test(::core::stringify!(fails), || -> () { panic!("no") })
        }
    };
    assert_eq!(expand_test(quote!(), item).unwrap().to_string(), expected.to_string());
}

#[test]
fn an_opaque_return_type_is_left_to_inference() {
    let item = quote!(
        fn main() -> impl Termination {
            3
        }
    );
    let expansion = expand_main(quote!(), item).unwrap().to_string();
    assert!(expansion.contains("|| { 3 }"), "{expansion}");
}

#[test]
fn functions_that_cannot_be_an_entry_are_refused_with_a_reason() {
    let main_rows = [
        ("async fn main() {}", "remove `async`"),
        ("fn main(x: u8) {}", "takes no arguments"),
        ("fn main<T>() {}", "cannot be generic"),
        ("fn main() where u8: Copy {}", "cannot be generic"),
        ("unsafe fn main() {}", "cannot be `unsafe`"),
        ("const fn main() {}", "cannot be `const`"),
        ("extern \"C\" fn main() {}", "cannot be `extern`"),
        ("fn start() {}", "belongs on `fn main`"),
        ("struct Main;", "belongs on a function"),
    ];
    let test_rows = [
        ("async fn t() {}", "remove `async`"),
        ("fn t(x: u8) {}", "takes no arguments"),
        ("#[test] fn t() {}", "remove this one"),
    ];
    let tokens = |item: &str| item.parse::<TokenStream>().expect("test input is tokens");
    for (item, expected) in main_rows {
        refused(expand_main(quote!(), tokens(item)), expected);
    }
    for (item, expected) in test_rows {
        refused(expand_test(quote!(), tokens(item)), expected);
    }
}

#[test]
fn wrong_options_are_refused_with_a_reason() {
    let main = |options| {
        expand_main(
            options,
            quote!(
                fn main() {}
            ),
        )
    };
    refused(main(quote!(threads = 4)), "the options are `procs`, `stack_size`, `crate`");
    refused(main(quote!(procs = 1, procs = 2)), "option `procs` is given twice");
    refused(main(quote!(4)), "expected an option: `procs = ..`, `stack_size = ..`, `crate = ..`");
    refused(main(quote!(procs = 1 stack_size = 2)), "expected `,`");
    refused(main(quote!(crate = 1)), "expected identifier");
    refused(
        expand_test(
            quote!(procs = 1),
            quote!(
                fn t() {}
            ),
        ),
        "the options are `crate`",
    );
}
