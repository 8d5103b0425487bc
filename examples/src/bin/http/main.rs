//! A keep-alive HTTP/1.1 server: one goroutine per connection, blocking reads and writes.
//!
//! | request | answer |
//! |---|---|
//! | `GET /plaintext` | `Hello, World!` |
//! | `GET /json` | `{"message":"Hello, World!"}` |
//! | `GET /slow?ms=N` | after N milliseconds, without holding others up |
//!
//! What it says is in `gusty_examples::http1`, which knows no sockets; how it accepts, times out
//! and closes is in `gusty_examples::server`.
//!
//! Usage: `http [address]` serves until it is stopped (127.0.0.1:8080 by default); `http
//! --self-test` is its own client and ends.

mod self_test;

use std::io;
use std::process::ExitCode;

use gusty::net::TcpListener;
use gusty_examples::cli::{self, Outcome};
use gusty_examples::server;

/// Serves for as long as the process lives.
fn serve(listener: TcpListener) -> io::Result<()> {
    server::accept(&listener, |stream| {
        // A peer that goes away in the middle is its own affair.
        let _ = server::http(&stream);
    })
}

fn run() -> Outcome {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("--self-test") {
        return self_test::run();
    }
    let address = argument.as_deref().unwrap_or("127.0.0.1:8080");
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    println!("http: listening on http://{}", listener.local_addr()?);
    Ok(serve(listener)?)
}

#[gusty::main]
fn main() -> ExitCode {
    cli::exit(run())
}
