//! Job: TCP calls that end with a context.
//! Layer: L3 (blocking)
//! Not here: the calls themselves (`tcp`), waiting (`fd`).

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::tcp::{TcpListener, TcpStream, each_address};
use crate::context::Context;
use crate::sys::clock::NEVER;

fn check(ctx: &Context) -> io::Result<()> {
    ctx.err().map_or(Ok(()), |error| Err(error.into()))
}

impl TcpListener {
    /// As [`accept`](TcpListener::accept), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first, even if a connection is there already: an error made from its
    /// [`Error`](crate::context::Error), of kind `TimedOut` if a deadline passed, else `Other`.
    /// Otherwise as `accept`.
    ///
    /// ```
    /// use gusty::{context, go, net::TcpListener};
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// go!(move || cancel.cancel());
    /// let error = listener.accept_ctx(&ctx).unwrap_err();
    /// assert_eq!(error.to_string(), "context cancelled");
    /// ```
    pub fn accept_ctx(&self, ctx: &Context) -> io::Result<(TcpStream, SocketAddr)> {
        check(ctx)?;
        self.accept_until(Some(ctx))
    }
}

impl TcpStream {
    /// As [`connect`](TcpStream::connect), until `ctx` ends at the latest. Looking a name up takes
    /// as long as it takes.
    ///
    /// # Errors
    /// As [`accept_ctx`](TcpListener::accept_ctx) and `connect`.
    ///
    /// ```
    /// use gusty::{context, net::TcpListener, net::TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let address = listener.local_addr().unwrap();
    /// assert!(TcpStream::connect_ctx(&context::background(), address).is_ok());
    /// ```
    pub fn connect_ctx(ctx: &Context, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        check(ctx)?;
        each_address(addr, |addr| {
            check(ctx)?;
            TcpStream::connect_by(addr, NEVER, Some(ctx))
        })
    }

    /// As `read`, until `ctx` ends at the latest. Nothing is lost then: a later read gets what
    /// arrives later. The stream's read timeout counts, too.
    ///
    /// # Errors
    /// As [`accept_ctx`](TcpListener::accept_ctx) and `read`.
    ///
    /// ```
    /// use gusty::{context, net::TcpListener, net::TcpStream, time::Duration};
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// let (ctx, _cancel) = context::with_timeout(&context::background(), Duration::from_millis(1));
    /// let error = stream.read_ctx(&ctx, &mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// ```
    pub fn read_ctx(&self, ctx: &Context, buf: &mut [u8]) -> io::Result<usize> {
        check(ctx)?;
        self.read_until(Some(ctx), buf)
    }

    /// As `write`, until `ctx` ends at the latest: an error means that nothing of `buf` was
    /// written. The stream's write timeout counts, too.
    ///
    /// # Errors
    /// As [`accept_ctx`](TcpListener::accept_ctx) and `write`.
    ///
    /// ```
    /// use gusty::{context, net::TcpListener, net::TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// assert_eq!(stream.write_ctx(&context::background(), b"hello").unwrap(), 5);
    /// ```
    pub fn write_ctx(&self, ctx: &Context, buf: &[u8]) -> io::Result<usize> {
        check(ctx)?;
        self.write_until(Some(ctx), buf)
    }
}
