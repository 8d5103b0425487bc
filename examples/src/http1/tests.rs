//! Job: conversations without a socket.

use super::reply::Page;
use super::*;

const HELLO: &str = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n";

/// Says `input` in pieces of `piece` bytes; all output, the pauses, and whether it was closed.
fn converse(input: &[u8], piece: usize) -> (String, Vec<Duration>, bool) {
    let mut connection = Connection::new();
    let (mut output, mut pauses, mut rest) = (Vec::new(), Vec::new(), input);
    loop {
        let step = connection.advance();
        output.extend_from_slice(connection.output());
        connection.sent();
        match step {
            Step::Wait(pause) => pauses.push(pause),
            Step::Close => return (String::from_utf8(output).unwrap(), pauses, true),
            Step::Read if rest.is_empty() => {
                return (String::from_utf8(output).unwrap(), pauses, false);
            }
            Step::Read => {
                let space = connection.space();
                let n = piece.min(rest.len()).min(space.len());
                assert!(n > 0, "there must be space to read to");
                space[..n].copy_from_slice(&rest[..n]);
                connection.received(n);
                rest = &rest[n..];
            }
        }
    }
}

/// The status codes of a conversation.
fn statuses(input: &str) -> (Vec<String>, bool) {
    let (output, _, closed) = converse(input.as_bytes(), usize::MAX);
    let lines = output.split("HTTP/1.1 ").skip(1);
    (lines.map(|text| text[..3].to_owned()).collect(), closed)
}

#[test]
fn lengths_are_those_of_the_bodies() {
    for page in Page::ALL {
        let (head, body) = page.parts();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{page:?}");
    }
}

#[test]
fn any_cut_of_the_input_gives_the_same_answers() {
    let input = format!(
        "{HELLO}POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345{HELLO}\
         HEAD /json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{HELLO}"
    );
    let without_date = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("Date: "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let (whole, _, closed) = converse(input.as_bytes(), usize::MAX);
    assert!(closed && whole.ends_with("Connection: close\r\n\r\n"));
    assert_eq!(whole.matches("HTTP/1.1 200 OK").count(), 3, "{whole}");
    assert_eq!(whole.matches("Hello, World!").count(), 2, "HEAD has no body: {whole}");
    let whole = without_date(whole);
    for piece in 1..input.len() {
        let (output, _, closed) = converse(input.as_bytes(), piece);
        assert!(closed);
        assert_eq!(without_date(output), whole, "in pieces of {piece}");
    }
}

#[test]
fn a_batch_is_answered_at_once() {
    let mut connection = Connection::new();
    let batch = HELLO.repeat(16);
    connection.space()[..batch.len()].copy_from_slice(batch.as_bytes());
    connection.received(batch.len());
    assert_eq!(connection.advance(), Step::Read);
    assert_eq!(connection.output().windows(13).filter(|w| w == b"Hello, World!").count(), 16);
}

#[test]
fn bad_requests_are_refused() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404", false),
        ("POST /plaintext HTTP/1.1\r\nHost: a\r\n\r\n", "405", false),
        ("GET /slow?ms=x HTTP/1.1\r\nHost: a\r\n\r\n", "400", false),
        ("GET /slow?ms=60001 HTTP/1.1\r\nHost: a\r\n\r\n", "400", false),
        ("GET /plaintext HTTP/1.1\r\n\r\n", "400", true),
        ("nonsense\r\n\r\n", "400", true),
        ("GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "400", true),
        (
            "GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400",
            true,
        ),
        ("GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", "413", true),
        ("GET /json HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "411", true),
        (
            "GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
            true,
        ),
    ];
    for (input, status, closes) in cases {
        assert_eq!(statuses(input), (vec![status.to_owned()], closes), "{input}");
    }
    let long = format!("GET /json HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(HEAD_LIMIT));
    assert_eq!(statuses(&long), (vec!["431".to_owned()], true));
    let many = format!("GET /json HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(64));
    assert_eq!(statuses(&many), (vec!["431".to_owned()], true));
}

#[test]
fn a_head_may_fill_the_buffer() {
    let empty = "GET /json HTTP/1.1\r\nHost: a\r\nPadding: \r\n\r\n";
    let padding = "p".repeat(HEAD_LIMIT - empty.len());
    let full = empty.replace("Padding: ", &format!("Padding: {padding}"));
    assert_eq!(statuses(&format!("{full}{full}")).0, ["200", "200"]);
}

#[test]
fn an_old_client_must_ask_to_keep_the_connection() {
    assert_eq!(statuses("GET /json HTTP/1.0\r\n\r\n"), (vec!["200".to_owned()], true));
    let (output, _, closed) =
        converse(b"GET /json HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", usize::MAX);
    assert!(!closed && output.contains("\r\nConnection: keep-alive\r\n"));
}

#[test]
fn a_large_body_is_invited_and_dropped() {
    let head = "GET /plaintext HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n";
    assert_eq!(converse(head.as_bytes(), usize::MAX).0, "HTTP/1.1 100 Continue\r\n\r\n");
    let input = format!("{head}{}{HELLO}", "b".repeat(100_000));
    assert_eq!(statuses(&input).0, ["100", "200", "200"]);
}

#[test]
fn a_slow_page_keeps_its_place() {
    let input = format!("{HELLO}GET /slow?a=b&ms=20 HTTP/1.1\r\nHost: a\r\n\r\n{HELLO}");
    let (output, pauses, closed) = converse(input.as_bytes(), usize::MAX);
    assert_eq!(pauses, [Duration::from_millis(20)]);
    let bodies: Vec<_> = output.split("\r\n\r\n").skip(1).map(|text| &text[..5]).collect();
    assert!(!closed);
    assert_eq!(bodies, ["Hello", "waite", "Hello"]);
}
