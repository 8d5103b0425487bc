//! Job: the responses, byte for byte.

use std::time::Duration;

/// The interim response to `Expect: 100-continue`.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Everything this server can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Plaintext,
    Json,
    Slow,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    LengthRequired,
    BodyTooLarge,
    HeadTooLarge,
}

/// Head of a response up to the date's value, and its body.
macro_rules! page {
    ($status:literal, $kind:literal, $length:literal, $body:literal $(, $header:literal)?) => {
        (
            concat!(
                "HTTP/1.1 ", $status, "\r\nServer: gusty\r\nContent-Type: ", $kind,
                "\r\nContent-Length: ", $length, "\r\n", $($header, "\r\n",)? "Date: "
            ),
            $body,
        )
    };
}

impl Page {
    #[cfg(test)]
    pub(super) const ALL: [Page; 9] = [
        Page::Plaintext,
        Page::Json,
        Page::Slow,
        Page::BadRequest,
        Page::NotFound,
        Page::MethodNotAllowed,
        Page::LengthRequired,
        Page::BodyTooLarge,
        Page::HeadTooLarge,
    ];

    pub(super) fn parts(self) -> (&'static str, &'static str) {
        match self {
            Page::Plaintext => page!("200 OK", "text/plain", 13, "Hello, World!"),
            Page::Json => {
                page!("200 OK", "application/json", 27, r#"{"message":"Hello, World!"}"#)
            }
            Page::Slow => page!("200 OK", "text/plain", 7, "waited\n"),
            Page::BadRequest => page!("400 Bad Request", "text/plain", 12, "bad request\n"),
            Page::NotFound => page!("404 Not Found", "text/plain", 10, "not found\n"),
            Page::MethodNotAllowed => page!(
                "405 Method Not Allowed",
                "text/plain",
                19,
                "method not allowed\n",
                "Allow: GET, HEAD"
            ),
            Page::LengthRequired => {
                page!("411 Length Required", "text/plain", 16, "length required\n")
            }
            Page::BodyTooLarge => {
                page!("413 Content Too Large", "text/plain", 15, "body too large\n")
            }
            Page::HeadTooLarge => page!(
                "431 Request Header Fields Too Large",
                "text/plain",
                18,
                "headers too large\n"
            ),
        }
    }
}

/// What the response says about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persist {
    /// Nothing: it goes on, as HTTP/1.1 does.
    Implied,
    /// It goes on, as an HTTP/1.0 client asked.
    KeepAlive,
    Close,
}

/// A response that has been decided on.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) page: Page,
    /// The answer to HEAD: without the body.
    pub(super) head_only: bool,
    pub(super) persist: Persist,
    /// To be waited before it is sent.
    pub(super) pause: Option<Duration>,
}

impl Reply {
    /// The answer to what cannot be read on after: it closes the connection.
    pub(super) fn refusal(page: Page) -> Reply {
        Reply { page, head_only: false, persist: Persist::Close, pause: None }
    }

    pub(super) fn write(&self, output: &mut Vec<u8>, date: &[u8]) {
        let (head, body) = self.page.parts();
        output.extend_from_slice(head.as_bytes());
        output.extend_from_slice(date);
        output.extend_from_slice(match self.persist {
            Persist::Implied => b"\r\n\r\n",
            Persist::KeepAlive => b"\r\nConnection: keep-alive\r\n\r\n",
            Persist::Close => b"\r\nConnection: close\r\n\r\n",
        });
        if !self.head_only {
            output.extend_from_slice(body.as_bytes());
        }
    }
}
