//! Job: tests of the parent module.

use quote::quote;

use super::expand;

/// What the attribute makes of `item`.
fn expanded(item: &str) -> Result<String, String> {
    let item = item.parse().expect("test input is tokens");
    expand(quote!(), item).map(|tokens| tokens.to_string()).map_err(|error| error.to_string())
}

/// Holds the expansion to `expected`, in which `CHECK;` stands for the check; spaces do not count.
fn check(item: &str, expected: &str) {
    let expected = expected.replace("CHECK", "::gusty::check_preempt()");
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(bare(&expanded(item).unwrap()), bare(&expected));
}

#[test]
fn every_kind_of_loop_is_instrumented() {
    check(
        "fn f(n: u32) { for i in 0..n { a(i) } while go() { b() } loop { break; } }",
        "fn f(n: u32) { for i in 0..n { CHECK; a(i) } while go() { CHECK; b() }
            loop { CHECK; break; } }",
    );
    check(
        "fn f() -> u8 { 'out: while let Some(x) = next() { if x > 3 { break 'out; } } 7 }",
        "fn f() -> u8 { 'out: while let Some(x) = next() { CHECK; if x > 3 { break 'out; } } 7 }",
    );
    check("fn f() { loop {} }", "fn f() { loop { CHECK; } }");
}

#[test]
fn loops_are_found_wherever_they_are() {
    check(
        "fn f() { let x = match y { 1 => loop { break 2; }, _ => 3 }; g(|| for _ in z { h() }) }",
        "fn f() { let x = match y { 1 => loop { CHECK; break 2; }, _ => 3 };
            g(|| for _ in z { CHECK; h() }) }",
    );
    check(
        "fn f() { while { loop { break true; } } { loop { inner() } } }",
        "fn f() { while { loop { CHECK; break true; } } { CHECK; loop { CHECK; inner() } } }",
    );
    check(
        "fn f() { let Some(x) = y else { loop { g() } }; [unsafe { loop { h() } }; 3]; }",
        "fn f() { let Some(x) = y else { loop { CHECK; g() } }; [unsafe { loop { CHECK; h() } }; 3]; }",
    );
}

#[test]
fn what_cannot_or_need_not_be_is_left_alone() {
    let inner = "fn g() { loop {} } const N: usize = { loop {} };
        let a = [0; { let mut i = 0; while i < 3 { i += 1; } i }];
        let b = async { loop { t().await } }; const { loop {} } m!(loop {});";
    check(
        &format!("fn f() {{ {inner} loop {{ h() }} }}"),
        &format!("fn f() {{ {inner} loop {{ CHECK; h() }} }}"),
    );
}

#[test]
fn the_signature_and_attributes_stay() {
    check(
        "#[inline] pub unsafe extern \"C\" fn f<T: Copy>(&mut self, t: T) -> impl Iterator<Item = T>
            where T: Send { loop { #![allow(unused)] self.g(t) } }",
        "#[inline] pub unsafe extern \"C\" fn f<T: Copy>(&mut self, t: T) -> impl Iterator<Item = T>
            where T: Send { loop { #![allow(unused)] CHECK; self.g(t) } }",
    );
    let item = quote!(
        fn f() {
            loop {}
        }
    );
    let found = expand(quote!(crate = my::rt), item).unwrap().to_string();
    assert!(found.contains("my :: rt :: check_preempt ()"), "{found}");
}

#[test]
fn what_it_does_not_belong_on_is_refused_with_a_reason() {
    let rows = [
        ("async fn f() { loop {} }", "an `async fn` yields by `.await`"),
        ("const fn f() { loop {} }", "cannot put a check into a `const fn`"),
        ("fn f() { g() }", "finds no loop"),
        ("fn f() { fn g() { loop {} } }", "finds no loop"),
        ("fn f();", "belongs on a function with a body"),
        ("struct S;", "belongs on a function with a body"),
        ("impl S { fn f() { loop {} } }", "belongs on a function with a body"),
    ];
    for (item, expected) in rows {
        let error = expanded(item).expect_err(item);
        assert!(error.contains(expected), "refused with: {error}");
    }
    let error = expand(quote!(every = 256), quote!()).unwrap_err().to_string();
    assert!(error.contains("the options are `crate`"), "{error}");
}
