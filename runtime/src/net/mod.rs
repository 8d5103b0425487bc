//! Networking as in [`std::net`]: blocking calls that park the goroutine instead of the thread.
//!
//! Names and signatures are std's, so code moves by changing one `use`, and crates that work on
//! `Read`/`Write` (rustls, httparse, tungstenite) work on these. Error kinds are std's too, but for
//! one: a read or write whose timeout has passed returns [`TimedOut`](std::io::ErrorKind::TimedOut)
//! where std returns [`WouldBlock`](std::io::ErrorKind::WouldBlock). On a plain thread the same
//! calls block the thread. Host names are resolved by the system's resolver, which blocks the
//! calling thread for as long as it takes.
//!
//! What std has not: [`TcpStream::close`] and [`TcpListener::close`] end a descriptor for all its
//! users at once, waking those who wait on it with an error; calls whose names end in `_ctx` end with
//! a [`Context`](crate::context::Context).
// Job: the public face of networking.
// Layer: L3 (blocking)

mod fd;
mod tcp;
mod tcp_ctx;

pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, ToSocketAddrs};
pub use tcp::{Incoming, TcpListener, TcpStream};
