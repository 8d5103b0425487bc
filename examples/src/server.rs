//! Job: TCP servers on goroutines: accepting connections, and HTTP on one of them.
//! Not here: what HTTP says (`http1`).

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use gusty::Builder;
use gusty::net::{TcpListener, TcpStream};

use crate::http1::{self, End};

/// How long to wait when there is nothing to accept a connection with.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an HTTP client may be silent.
pub const IDLE: Duration = Duration::from_secs(30);
/// How long a client may go on sending after its connection was ended.
const LINGER: Duration = Duration::from_secs(1);

/// Accepts connections and starts `serve` on a goroutine for each.
///
/// Running out of descriptors or of memory does not end it: the trouble is reported on stderr
/// once, connections wait in the kernel's backlog, and accepting goes on as others close.
///
/// # Errors
/// The listener itself is broken.
pub fn accept<F>(listener: &TcpListener, serve: F) -> io::Result<()>
where
    F: Fn(TcpStream) + Clone + Send + 'static,
{
    let mut reported = false;
    let mut report = |what: &str, error: &io::Error| {
        if !std::mem::replace(&mut reported, true) {
            eprintln!("{what}: {error}; accepting goes on");
        }
    };
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let serve = serve.clone();
                // Not `go!`, which panics at the limit on goroutines: one connection is dropped,
                // the server stays.
                if let Err(error) = Builder::new().spawn(move || serve(stream)) {
                    report("cannot serve a connection", &error);
                    gusty::sleep(PAUSE);
                }
            }
            Err(error) if is_passing(&error) => {
                report("cannot accept a connection", &error);
                gusty::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether accept may work again later: the fault is not the listener's.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::EINTR
        )
    )
}

/// Speaks HTTP/1.1 on one connection to its end.
///
/// # Errors
/// The stream's: the peer went away in the middle.
pub fn http(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?; // a batch of responses is one write: there is nothing to wait for
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    if http1::serve(stream, gusty::sleep)? == End::Server {
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(LINGER))?;
        http1::discard(stream);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhaustion_passes_and_a_bad_descriptor_does_not() {
        assert!(is_passing(&io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(!is_passing(&io::Error::from_raw_os_error(libc::EBADF)));
        assert!(!is_passing(&io::Error::other("no number")));
    }
}
