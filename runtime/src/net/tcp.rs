//! Job: `TcpListener` and `TcpStream` with std's methods.
//! Layer: L3 (blocking)
//! Not here: waiting (`fd`). The system calls are mio's, which opens its sockets non-blocking.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use gusty_netpoll::Direction::{Read as In, Write as Out};

use super::fd::Pollable;
use crate::context::Context;
use crate::sys::clock::{self, NEVER, Nanos};

/// A TCP socket that listens, as [`std::net::TcpListener`]. Share it by reference, or clone it.
pub struct TcpListener(Arc<Pollable<mio::net::TcpListener>>);

/// A TCP connection, as [`std::net::TcpStream`]: `Read` and `Write` also for `&TcpStream`, so that
/// one goroutine reads while another writes.
pub struct TcpStream(Arc<Pollable<mio::net::TcpStream>>);

impl TcpListener {
    /// Listens on the first of the addresses that works.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::bind`].
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        each_address(addr, |addr| {
            let listener = mio::net::TcpListener::bind(addr)?;
            deepen_backlog(&listener)?;
            TcpListener::wrap(listener)
        })
    }

    fn wrap(listener: mio::net::TcpListener) -> io::Result<TcpListener> {
        Ok(TcpListener(Arc::new(Pollable::new(listener)?)))
    }

    /// Takes over a listener of std's.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or watched.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::wrap(mio::net::TcpListener::from_std(listener))
    }

    /// Waits for a connection. Parks the goroutine. Several goroutines may accept at once.
    ///
    /// # Errors
    /// As std's; running out of descriptors (`EMFILE`) leaves the listener in order.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_until(None)
    }

    pub(super) fn accept_until(
        &self,
        ctx: Option<&Context>,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, addr) = self.0.retry(In, ctx, mio::net::TcpListener::accept)?;
        Ok((TcpStream::wrap(stream)?, addr))
    }

    /// Connections as they come; never ends by itself.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// As std's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.io().local_addr()
    }

    /// Another handle to the same socket. Unlike std's, it shares the descriptor.
    ///
    /// # Errors
    /// None; a `Result` for std's sake.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener(self.0.clone()))
    }

    /// Stops listening for all handles; pending and later calls return an error. Who connects from
    /// now on is refused, whatever handles are left.
    pub fn close(&self) {
        self.0.let_go();
    }

    /// How long `accept` waits; `None` is forever, the default.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_accept_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(In, timeout)
    }

    /// The socket's pending error.
    ///
    /// # Errors
    /// As std's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.io().take_error()
    }
}

/// See [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

impl TcpStream {
    /// Connects to the first of the addresses that answers. Parks the goroutine.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::connect`].
    pub fn connect(addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        each_address(addr, |addr| TcpStream::connect_by(addr, NEVER, None))
    }

    /// Connects within `timeout`. Parks the goroutine.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` for a timeout of zero; otherwise as `connect`.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "cannot set a timeout of zero"));
        }
        TcpStream::connect_by(*addr, clock::after(timeout), None)
    }

    pub(super) fn connect_by(
        addr: SocketAddr,
        deadline: Nanos,
        ctx: Option<&Context>,
    ) -> io::Result<TcpStream> {
        let stream = TcpStream::wrap(mio::net::TcpStream::connect(addr)?)?;
        loop {
            // The socket becomes writable when the attempt has ended, one way or the other.
            let seen = stream.0.source().readiness(Out);
            if let Some(error) = stream.0.io().take_error()? {
                return Err(error);
            }
            match stream.0.io().peer_addr() {
                Ok(_) => return Ok(stream),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    stream.0.source().clear_ready(Out, seen);
                    stream.0.wait(Out, seen, deadline, ctx)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wrap(stream: mio::net::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream(Arc::new(Pollable::new(stream)?)))
    }

    /// Takes over a connection of std's.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or watched.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        TcpStream::wrap(mio::net::TcpStream::from_std(stream))
    }

    /// Another handle to the same connection. Unlike std's, it shares the descriptor.
    ///
    /// # Errors
    /// None; a `Result` for std's sake.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream(self.0.clone()))
    }

    /// Ends the connection for all handles; pending and later calls return an error. The other side
    /// learns of it at once, whatever handles are left.
    pub fn close(&self) {
        self.0.close(); // first: who waits is to find it closed, not at its end
        let _ = self.0.io().shutdown(Shutdown::Both); // for copies of the descriptor, too
        self.0.let_go();
    }

    /// Shuts down one or both directions.
    ///
    /// # Errors
    /// As std's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.io().shutdown(how)
    }

    /// How long a read waits; `None` is forever, the default. A read that times out returns
    /// `TimedOut`.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(In, timeout)
    }

    /// How long a write waits; see `set_read_timeout`.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(Out, timeout)
    }

    /// What `set_read_timeout` set.
    ///
    /// # Errors
    /// None; a `Result` for std's sake.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.timeout(In))
    }

    /// What `set_write_timeout` set.
    ///
    /// # Errors
    /// None; a `Result` for std's sake.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.timeout(Out))
    }

    /// Reads without consuming. Parks the goroutine.
    ///
    /// # Errors
    /// As `read`.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.retry(In, None, |io| io.peek(buf))?;
        self.0.ended_by_others(In, n, buf.len())
    }

    pub(super) fn read_until(&self, ctx: Option<&Context>, buf: &mut [u8]) -> io::Result<usize> {
        self.0.transfer(In, ctx, buf.len(), |mut io| io.read(buf))
    }

    pub(super) fn write_until(&self, ctx: Option<&Context>, buf: &[u8]) -> io::Result<usize> {
        self.0.transfer(Out, ctx, buf.len(), |mut io| io.write(buf))
    }
}

/// Methods that std's socket has, passed on.
macro_rules! pass_on {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        impl TcpStream {
            $($(#[$doc])*
            ///
            /// # Errors
            /// As std's.
            pub fn $name(&self, $($arg: $ty),*) -> io::Result<$ret> {
                self.0.io().$name($($arg),*)
            })*
        }
    };
}

pass_on! {
    /// The address of this end.
    local_addr() -> SocketAddr;
    /// The address of the other end.
    peer_addr() -> SocketAddr;
    /// Sends small packets at once (`TCP_NODELAY`).
    set_nodelay(nodelay: bool) -> ();
    /// Whether small packets are sent at once.
    nodelay() -> bool;
    /// Sets the time to live of packets.
    set_ttl(ttl: u32) -> ();
    /// The time to live of packets.
    ttl() -> u32;
    /// The socket's pending error.
    take_error() -> Option<io::Error>;
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_until(None, buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.0.transfer(In, None, len, |mut io| io.read_vectored(bufs))
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_until(None, buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.0.transfer(Out, None, len, |mut io| io.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! as_descriptor {
    ($($name:ident)*) => {$(
        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.io().as_raw_fd()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.io().as_fd()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.0.io(), f)
            }
        }
    )*};
}

as_descriptor!(TcpListener TcpStream);

/// Asks for as many pending connections as the system allows (`net.core.somaxconn`) instead of
/// 128: a burst beyond the backlog costs each client a second, the time to its next SYN.
fn deepen_backlog(listener: &mio::net::TcpListener) -> io::Result<()> {
    // SAFETY: the descriptor is open; listening again only changes the backlog.
    match unsafe { libc::listen(listener.as_raw_fd(), libc::c_int::MAX) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Tries the addresses in turn; the last error if none works.
pub(super) fn each_address<T>(
    addr: impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match f(addr) {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")
    }))
}
