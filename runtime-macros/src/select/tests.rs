//! Job: tests of the parent module: what is accepted, and what is refused with which words.
//! Not here: what an expansion does (`tests/chan_select.rs` of `gusty`).

use proc_macro2::TokenStream;

use super::expand;

fn expansion(arms: &str) -> Result<String, String> {
    let tokens: TokenStream = format!("gusty, false, {arms}").parse().expect("tokens");
    expand(tokens).map(|tokens| tokens.to_string()).map_err(|error| error.to_string())
}

fn accepted(arms: &str) -> String {
    expansion(arms).unwrap_or_else(|error| panic!("`{arms}` is refused: {error}"))
}

#[test]
fn every_form_of_an_arm_is_accepted() {
    for arms in [
        "recv(rx) -> value => value",
        "recv(rx) => {}",
        "recv(rx,) -> _ => loop {} recv(rx2) -> Ok(n) | Err(n) => n,",
        "send(tx, f(1, 2)) -> sent => sent.unwrap(), default => ()",
        "send(tx, 1,) -> _ => { 1 } default() => 2",
        "default(timeout) => return, recv(self.rx) -> x => x?,",
        "default(timeout,) => {}, , recv(a.b()) -> _ => if a { 1 } else { 2 } recv(rx) => match x {}",
        "recv(S { rx }.rx) -> _ => |a, b| f::<A, B>(a, b), default => panic!()",
    ] {
        accepted(arms);
    }
}

#[test]
fn handles_come_first_and_values_when_they_are_chosen() {
    let text =
        accepted("send(tx, value()) -> _ => {}, recv(rx()) -> _ => {}, default(time()) => {}");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no `{what}` in {text}"));
    assert!(at("(tx)") < at("(rx ())") && at("(rx ())") < at("time ()"));
    assert!(at("time ()") < at("value ()"));
}

#[test]
fn a_single_receive_needs_no_choice() {
    assert!(accepted("recv(rx) -> x => x").contains(". recv ()"));
    assert!(accepted("recv(rx) -> x => x, default => y").contains(". try_recv ()"));
    assert!(accepted("recv(rx) -> x => x, default(t) => y").contains(". recv_timeout (t)"));
    assert!(accepted("send(tx, 1) -> x => x").contains(":: select ("));
}

#[test]
fn what_is_wrong_is_said() {
    for (arms, words) in [
        ("", "empty `select!`"),
        ("receive(rx) -> x => x", "expected an arm"),
        ("7 => x", "expected an arm"),
        ("recv => x", "expected `recv(receiver)`"),
        ("send -> x => x", "expected `send(sender, value)`"),
        ("recv() -> x => x", "`recv` takes one receiver"),
        ("recv(a, b) -> x => x", "`recv` takes one receiver"),
        ("send(tx) -> x => x", "`send` takes a sender and a value"),
        ("recv(rx) -> => x", "missing pattern after `->`"),
        ("recv(rx) -> x", "expected `=>`"),
        ("recv(rx) -> x = x", "expected `=>`"),
        ("recv(rx) -> x => x recv(rx) -> y => y", "expected `,` after the arm's body"),
        ("default => {} default => {}", "one `default` arm at most"),
        ("default -> x => x", "`default` has no result"),
        ("default(a, b) => x", "`default` takes one timeout"),
    ] {
        let error = expansion(arms).expect_err(arms);
        assert!(error.contains(words), "`{arms}` is refused with: {error}");
    }
}
