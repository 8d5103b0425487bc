//! A TCP echo server: one goroutine per connection, written as for threads.
//!
//! Usage: `echo [address]` serves until it is stopped (127.0.0.1:7777 by default);
//! `echo --self-test` serves 200 clients of its own and ends.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;

use gusty::go;
use gusty::net::{TcpListener, TcpStream};
use gusty_examples::cli::{self, Outcome, grouped};
use gusty_examples::server;

const CLIENTS: usize = 200;
const MESSAGES: usize = 50;

/// Sends back what comes, until the peer has no more to say.
fn echo(mut stream: &TcpStream) -> io::Result<u64> {
    let mut buffer = [0; 16 * 1024];
    let mut total = 0;
    loop {
        let n = stream.read(&mut buffer)?; // parks this goroutine, no thread
        if n == 0 {
            return Ok(total);
        }
        stream.write_all(&buffer[..n])?;
        total += n as u64;
    }
}

/// Serves for as long as the process lives.
fn serve(listener: TcpListener) -> io::Result<()> {
    server::accept(&listener, |stream| {
        // A peer that goes away in the middle is its own affair.
        let _ = echo(&stream);
    })
}

/// Says `MESSAGES` messages of different lengths and checks each byte that comes back.
fn client(address: SocketAddr, id: usize) -> io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    let mut total = 0;
    for message in 0..MESSAGES {
        let length = 1 + (id * 37 + message * 211) % 4000;
        let sent: Vec<u8> = (0..length).map(|i| (id + message * 7 + i * 13) as u8).collect();
        stream.write_all(&sent)?;
        let mut echoed = vec![0; length];
        stream.read_exact(&mut echoed)?;
        if echoed != sent {
            return Err(io::Error::other(format!(
                "client {id}: message {message} came back wrong"
            )));
        }
        total += length as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0; 1])? {
        0 => Ok(total),
        _ => Err(io::Error::other(format!("client {id}: more came back than was sent"))),
    }
}

fn self_test() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    go!(serve(listener)); // ends with the process
    let clients: Vec<_> = (0..CLIENTS).map(|id| go!(client(address, id))).collect();
    let mut bytes = 0;
    for client in clients {
        bytes += client.join().map_err(|_| "a client panicked")??;
    }
    println!("echo self-test: {CLIENTS} clients, {} bytes, ok", grouped(bytes));
    Ok(())
}

fn run() -> Outcome {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("--self-test") {
        return self_test();
    }
    let address = argument.as_deref().unwrap_or("127.0.0.1:7777");
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    println!("echo: listening on {}", listener.local_addr()?);
    Ok(serve(listener)?)
}

#[gusty::main]
fn main() -> ExitCode {
    cli::exit(run())
}
