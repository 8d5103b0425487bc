//! Job: HTTP/1.1 as a server speaks it: what to answer to the bytes that came, and when to close.
//! Not here: sockets, threads, goroutines (`server`).
//!
//! [`Connection`] does no I/O: it takes bytes and gives bytes, so blocking code, goroutines and
//! async code can all drive it, and all send the same responses. [`serve`] is the driver for
//! anything that is `Read + Write`.
//!
//! A connection owns one input and one output buffer, used again for every request. All requests
//! that one read brought are answered by one write; no request allocates.

mod date;
mod head;
mod reply;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::time::Duration;

use date::Date;
use head::{Head, Parsed};
use reply::{Page, Persist, Reply};

/// The most bytes of one request line and its headers; also the size of the input buffer.
pub const HEAD_LIMIT: usize = 8 * 1024;
/// The most bytes of a request's body. Bodies are read and dropped.
pub const BODY_LIMIT: u64 = 1 << 20;
/// The longest pause that `/slow?ms=` grants, in milliseconds.
pub const SLOW_LIMIT: u64 = 60_000;

/// What to do once [`Connection::advance`] has returned: first send what [`Connection::output`]
/// holds, then this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read into [`Connection::space`], then advance.
    Read,
    /// Pause so long, then advance.
    Wait(Duration),
    /// Close.
    Close,
}

/// A server's side of one connection.
#[derive(Debug)]
pub struct Connection {
    input: Box<[u8]>,
    /// What of `input` has come and is not used up.
    start: usize,
    end: usize,
    output: Vec<u8>,
    /// The answer to the request whose body is coming, and how much of the body is missing.
    pending: Option<Reply>,
    body_left: u64,
    date: Date,
}

impl Default for Connection {
    fn default() -> Connection {
        Connection::new()
    }
}

impl Connection {
    /// A connection on which nothing has been said.
    pub fn new() -> Connection {
        Connection {
            input: vec![0; HEAD_LIMIT].into_boxed_slice(),
            start: 0,
            end: 0,
            output: Vec::with_capacity(1024),
            pending: None,
            body_left: 0,
            date: Date::new(),
        }
    }

    /// Where to read to; never empty after [`Step::Read`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.input[self.end..]
    }

    /// Takes the first `n` bytes of [`Connection::space`] as read.
    pub fn received(&mut self, n: usize) {
        self.end = (self.end + n).min(self.input.len());
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Takes all output as sent.
    pub fn sent(&mut self) {
        self.output.clear();
    }

    /// Answers everything that has come.
    pub fn advance(&mut self) -> Step {
        self.date.refresh();
        loop {
            if !self.skip_body() {
                return Step::Read;
            }
            if let Some(reply) = &mut self.pending {
                if let Some(pause) = reply.pause.take() {
                    return Step::Wait(pause);
                }
                let persist = reply.persist;
                reply.write(&mut self.output, self.date.text());
                self.pending = None;
                if persist == Persist::Close {
                    return Step::Close;
                }
            }
            match self.next_head() {
                Parsed::Head(head) => self.begin(head),
                Parsed::Partial => return Step::Read,
                Parsed::Refused(page) => self.pending = Some(Reply::refusal(page)),
            }
        }
    }

    fn next_head(&self) -> Parsed {
        let input = &self.input[self.start..self.end];
        match head::parse(input) {
            // A head that trickles in is parsed anew each time; the limit bounds what that costs.
            Parsed::Partial if input.len() == HEAD_LIMIT => Parsed::Refused(Page::HeadTooLarge),
            parsed => parsed,
        }
    }

    fn begin(&mut self, head: Head) {
        self.start += head.bytes;
        self.body_left = head.body;
        if head.expects_continue && self.body_left > (self.end - self.start) as u64 {
            self.output.extend_from_slice(reply::CONTINUE);
        }
        self.pending = Some(head.reply);
    }

    /// Drops what has come of the body; true if that was all of it.
    fn skip_body(&mut self) -> bool {
        let here = (self.end - self.start) as u64;
        let skipped = self.body_left.min(here);
        self.start += skipped as usize;
        self.body_left -= skipped;
        self.body_left == 0
    }
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer closed it, or was silent for longer than the stream's read timeout.
    Peer,
    /// The server did. The peer may still be sending: see [`discard`].
    Server,
}

/// Serves one connection on a blocking stream to its end. `sleep` makes the caller's kind of
/// thread pause.
///
/// # Errors
/// The stream's, except that a read that times out is a normal end.
pub fn serve(mut stream: impl Read + Write, sleep: impl Fn(Duration)) -> io::Result<End> {
    let mut connection = Connection::new();
    loop {
        let step = connection.advance();
        if !connection.output().is_empty() {
            stream.write_all(connection.output())?;
            connection.sent();
        }
        match step {
            Step::Read => match stream.read(connection.space()) {
                Ok(0) => return Ok(End::Peer),
                Ok(n) => connection.received(n),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(End::Peer),
                    _ => return Err(error),
                },
            },
            Step::Wait(pause) => sleep(pause),
            Step::Close => return Ok(End::Server),
        }
    }
}

/// Reads and drops what a peer still sends, within limits. Closing a socket with unread input
/// makes the kernel send a reset, which can overtake the last response; so a server that closes
/// first shuts down its writing half, then does this, then closes.
pub fn discard(mut stream: impl Read) {
    let mut buffer = [0; 4096];
    for _ in 0..64 {
        if !matches!(stream.read(&mut buffer), Ok(1..)) {
            return;
        }
    }
}
