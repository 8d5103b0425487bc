//! Job: the server tested by its own clients: every kind of answer once, then many clients at the
//!   same time.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gusty::go;
use gusty::net::{TcpListener, TcpStream};
use gusty_examples::cli::{Outcome, grouped};
use gusty_examples::client::{Client, Response};

const CLIENTS: usize = 64;
const BATCHES: usize = 20;
const DEPTH: usize = 8;

/// How long a client waits before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    go!(super::serve(listener)); // ends with the process
    let mut answered = answers(address)?;
    answered += slow(address)?;
    let clients: Vec<_> = (0..CLIENTS).map(|id| go!(load(address, id))).collect();
    for client in clients {
        answered += client.join().map_err(|_| "a client panicked")??;
    }
    println!("http self-test: {} requests ok", grouped(answered));
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<Client<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(Client::new(stream))
}

/// Receives one answer and compares.
fn expect(
    client: &mut Client<TcpStream>,
    head_only: bool,
    status: u16,
    body: &str,
) -> io::Result<()> {
    let expected = Response { status, body: body.as_bytes() };
    let response = client.receive(head_only)?;
    if response != expected {
        return Err(io::Error::other(format!("{response:?} instead of {expected:?}")));
    }
    Ok(())
}

/// Every kind of answer, and which of them end the connection.
fn answers(address: SocketAddr) -> io::Result<u64> {
    const HELLO: &str = "Hello, World!";
    const JSON: &str = r#"{"message":"Hello, World!"}"#;
    let keeping = [
        ("GET /plaintext", "", 200, HELLO),
        ("GET /json", "", 200, JSON),
        ("GET /json?a=b", "Content-Length: 3\r\n\r\nabc", 200, JSON),
        ("GET /slow?ms=1", "", 200, "waited\n"),
        ("GET /slow", "", 400, "bad request\n"),
        ("GET /nowhere", "", 404, "not found\n"),
        ("DELETE /json", "", 405, "method not allowed\n"),
    ];
    let long = format!("Padding: {}", "p".repeat(9000));
    let ending = [
        ("GET /plaintext", "Connection: close", 200, HELLO),
        ("GET /plaintext", "Content-Length: -1", 400, "bad request\n"),
        ("GET /plaintext", "Transfer-Encoding: chunked", 411, "length required\n"),
        ("GET /plaintext", "Content-Length: 999999999", 413, "body too large\n"),
        ("GET /plaintext", &long, 431, "headers too large\n"),
    ];
    let mut client = connect(address)?;
    for (line, rest, status, body) in keeping {
        let end = if rest.is_empty() { "\r\n" } else { "" };
        client.send(format!("{line} HTTP/1.1\r\nHost: test\r\n{rest}{end}").as_bytes())?;
        expect(&mut client, false, status, body)?;
    }
    client.send(b"HEAD /json HTTP/1.1\r\nHost: test\r\n\r\n")?;
    expect(&mut client, true, 200, "")?;
    for (line, header, status, body) in ending {
        let mut client = connect(address)?;
        client.send(format!("{line} HTTP/1.1\r\nHost: test\r\n{header}\r\n\r\n").as_bytes())?;
        expect(&mut client, false, status, body)?;
        client.receive_end()?;
    }
    Ok((keeping.len() + 1 + ending.len()) as u64)
}

/// As many slow requests as clients: together they take no longer than one.
fn slow(address: SocketAddr) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    const PAUSE: Duration = Duration::from_millis(100);
    let one = move || {
        let mut client = connect(address)?;
        let line = format!("GET /slow?ms={}", PAUSE.as_millis());
        client.send(format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())?;
        expect(&mut client, false, 200, "waited\n")
    };
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|_| go!(one)).collect();
    for client in clients {
        client.join().map_err(|_| "a slow client panicked")??;
    }
    let took = start.elapsed();
    if took < PAUSE || took > PAUSE * CLIENTS as u32 / 2 {
        return Err(format!("{CLIENTS} slow requests of {PAUSE:?} took {took:?}").into());
    }
    Ok(CLIENTS as u64)
}

/// Batches of pipelined requests of both kinds.
fn load(address: SocketAddr, id: usize) -> io::Result<u64> {
    let mut client = connect(address)?;
    for batch in 0..BATCHES {
        let is_json = |i: usize| (id + batch + i).is_multiple_of(3);
        let path = |i| if is_json(i) { "/json" } else { "/plaintext" };
        let request = |i| format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", path(i));
        client.send((0..DEPTH).map(request).collect::<String>().as_bytes())?;
        for i in 0..DEPTH {
            let body = if is_json(i) { r#"{"message":"Hello, World!"}"# } else { "Hello, World!" };
            expect(&mut client, false, 200, body)?;
        }
    }
    Ok((BATCHES * DEPTH) as u64)
}
