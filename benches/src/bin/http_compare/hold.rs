//! Job: many keep-alive connections at once, a goroutine for each.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gusty::net::TcpStream;

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";
const BODY: &[u8] = b"Hello, World!";
/// Requests on each connection.
const REQUESTS: usize = 3;
/// How many may be connecting at the same time: fewer than a listener's usual backlog.
const CONNECTING: usize = 100;

/// Opens `n` connections to `address`; an error says how many requests went wrong.
pub(crate) fn run(address: &str, n: usize) -> Result<(), String> {
    let address: Arc<str> = address.into();
    let answered = gusty::spawn(move || hold(&address, n)).join().map_err(|_| "panicked")?;
    println!("{n} connections open at once, {answered} of {} answers", n * REQUESTS);
    match n * REQUESTS - answered {
        0 => Ok(()),
        missing => Err(format!("{missing} requests went wrong")),
    }
}

/// Returns the number of good answers.
fn hold(address: &Arc<str>, n: usize) -> usize {
    let settled = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut all = Vec::with_capacity(n);
    for started in 0..n {
        while started - settled.load(Ordering::Acquire) >= CONNECTING {
            gusty::sleep(std::time::Duration::from_micros(100));
        }
        let (address, settled) = (Arc::clone(address), Arc::clone(&settled));
        let answered = Arc::clone(&answered);
        all.push(gusty::spawn(move || {
            let connected = TcpStream::connect(&*address).and_then(|stream| ask(stream, &answered));
            settled.fetch_add(1, Ordering::Release);
            let mut stream = connected?;
            gusty::park(); // until all are connected
            for _ in 1..REQUESTS {
                stream = ask(stream, &answered)?;
            }
            io::Result::Ok(())
        }));
    }
    while settled.load(Ordering::Acquire) < n {
        gusty::sleep(std::time::Duration::from_millis(1));
    }
    all.iter().for_each(|one| one.goroutine().unpark());
    for one in all {
        if let Ok(Err(error)) = one.join() {
            eprintln!("a connection: {error}");
        }
    }
    answered.load(Ordering::Relaxed)
}

/// One request and its answer.
fn ask(mut stream: TcpStream, answered: &AtomicUsize) -> io::Result<TcpStream> {
    stream.write_all(REQUEST)?;
    let mut answer = [0; 512];
    let mut length = 0;
    while !answer[..length].ends_with(BODY) {
        match stream.read(&mut answer[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => length += n,
        }
    }
    answered.fetch_add(1, Ordering::Relaxed);
    Ok(stream)
}
