//! The HTTP peer: tokio serving what gusty's example `http` serves, byte for byte.
//!
//! Both drive `gusty_examples::http1`, which does no I/O: the same parser, the same responses, the
//! same buffers, one write for all requests that one read brought, TCP_NODELAY. What differs is the
//! runtime below. This server sets no timeouts, gusty's does; the difference is in tokio's favour.
//!
//! Usage: `tokio_http address`. Threads as GOMAXPROCS says: the current-thread runtime for one.

use std::io;
use std::process::ExitCode;

use gusty_examples::http1::{Connection, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Speaks HTTP on one connection to its end.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new();
    loop {
        let step = connection.advance();
        if !connection.output().is_empty() {
            stream.write_all(connection.output()).await?;
            connection.sent();
        }
        match step {
            Step::Read => match stream.read(connection.space()).await? {
                0 => return Ok(()),
                n => connection.received(n),
            },
            Step::Wait(pause) => tokio::time::sleep(pause).await,
            Step::Close => return stream.shutdown().await,
        }
    }
}

async fn accept(address: String) -> io::Result<()> {
    let listener = TcpListener::bind(&address).await?;
    println!("tokio_http: listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // A peer that goes away in the middle is its own affair.
        tokio::spawn(async move { drop(serve(stream).await) });
    }
}

fn run() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let threads = std::env::var("GOMAXPROCS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads.max(1)).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(accept(address)).await? })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio_http: {error}");
            ExitCode::FAILURE
        }
    }
}
