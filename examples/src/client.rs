//! Job: an HTTP/1.1 client for one keep-alive connection, on anything that is `Read + Write`.
//! Not here: connecting.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::time::Instant;

use httparse::{EMPTY_HEADER, Status};

/// The request that [`Client::load`] repeats.
pub const PLAINTEXT: &str = "GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A response; its body borrows the client's buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The body, without any transfer coding.
    pub body: &'a [u8],
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
    /// What of `buffer` has come and was not given out.
    used: Range<usize>,
}

impl<S: Read + Write> Client<S> {
    /// A client on a connected stream.
    pub fn new(stream: S) -> Client<S> {
        Client { stream, buffer: vec![0; 16 * 1024], used: 0..0 }
    }

    /// Sends requests as they are, one or many.
    ///
    /// # Errors
    /// The stream's.
    pub fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.write_all(requests)
    }

    /// Waits for the next response. `head_only` says that it answers HEAD and has no body.
    ///
    /// # Errors
    /// The stream's, `UnexpectedEof` if it ends, `InvalidData` for what is no response.
    pub fn receive(&mut self, head_only: bool) -> io::Result<Response<'_>> {
        let (status, length) = loop {
            match parse(&self.buffer[self.used.clone()])? {
                Some((status, head, length)) => {
                    self.used.start += head;
                    break (status, if head_only { 0 } else { length });
                }
                None => self.fill(1)?,
            }
        };
        if self.used.len() < length {
            self.fill(length - self.used.len())?;
        }
        let start = self.used.start;
        self.used.start += length;
        Ok(Response { status, body: &self.buffer[start..start + length] })
    }

    /// Waits for the server to close the connection.
    ///
    /// # Errors
    /// The stream's, or it says more.
    pub fn receive_end(&mut self) -> io::Result<()> {
        match self.fill(1) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("the server says more than was asked")),
        }
    }

    /// Asks for [`PLAINTEXT`] until `deadline`, `depth` requests at a time, and checks each
    /// answer. Returns how many were answered.
    ///
    /// # Errors
    /// The stream's, or an answer is wrong.
    pub fn load(&mut self, depth: usize, deadline: Instant) -> io::Result<u64> {
        let batch = PLAINTEXT.repeat(depth);
        let mut answered = 0;
        while Instant::now() < deadline {
            self.send(batch.as_bytes())?;
            for _ in 0..depth {
                let response = self.receive(false)?;
                if response != (Response { status: 200, body: b"Hello, World!" }) {
                    return Err(io::Error::other(format!("wrong answer: {response:?}")));
                }
            }
            answered += depth as u64;
        }
        Ok(answered)
    }

    /// Reads at least `wanted` bytes more.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        self.buffer.copy_within(self.used.clone(), 0);
        self.used = 0..self.used.len();
        let enough = self.used.end + wanted;
        if enough > self.buffer.len() {
            self.buffer.resize(enough.next_power_of_two(), 0);
        }
        while self.used.end < enough {
            match self.stream.read(&mut self.buffer[self.used.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.used.end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Status, length of the head, length of the body; `None` for a head that is not complete.
fn parse(input: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut headers = [EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(input) {
        Ok(Status::Complete(head)) => head,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(bad(&error.to_string())),
    };
    let status = response.code.unwrap_or_default();
    let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        None if status < 200 => 0, // an interim response
        None => return Err(bad("a response without a length")),
        Some(header) => {
            let digits = str::from_utf8(header.value).ok();
            digits.and_then(|text| text.parse().ok()).ok_or_else(|| bad("a bad length"))?
        }
    };
    Ok(Some((status, head, length)))
}
