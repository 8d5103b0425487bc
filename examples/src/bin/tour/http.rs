//! Job: an HTTP server and its clients in this process, on goroutines, then on threads.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use gusty::{go, net};
use gusty_examples::cli::{Outcome, grouped};
use gusty_examples::client::Client;
use gusty_examples::{http1, server};

use crate::term::{Row, Term, Who, each, time};
use crate::usage;

const CLIENTS: usize = if cfg!(debug_assertions) { 16 } else { 128 };
const DURATION: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 1500 });

pub(crate) fn section(term: &Term) -> Outcome {
    let about = format!("{CLIENTS} keep-alive clients, {:.1} s", DURATION.as_secs_f64());
    term.section(6, "An HTTP server and its clients", &about);
    let start = usage::cpu_time();
    let goroutines = goroutines()?;
    let middle = usage::cpu_time();
    let (threads, refusal) = threads()?;
    let end = usage::cpu_time();
    if let Some(error) = refusal {
        term.remark(format!("not all clients got an OS thread: {error}"));
    }
    let rate = |answered: u64| answered as f64 / DURATION.as_secs_f64();
    // Requests per second depend on who else uses the CPUs, the cost of one much less.
    let row = |who, label: &str, answered, cpu| {
        let rate = rate(answered);
        let note = format!("{} of CPU each", time(each(cpu, answered as usize)));
        Row::new(who, label, format!("{}/s", grouped(rate as u64)), rate).note(note)
    };
    term.rows(&[
        row(Who::Goroutine, "goroutines", goroutines, middle.saturating_sub(start)),
        row(Who::Thread, "OS threads", threads, end.saturating_sub(middle)),
    ]);
    term.remark("client and server together; the threads run the same code on std");
    Ok(())
}

/// Requests answered to one client until the time is over.
fn client(stream: impl Read + Write, deadline: Instant) -> io::Result<u64> {
    Client::new(stream).load(1, deadline)
}

fn goroutines() -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Ends with the process; its connections end with their clients.
    go!(move || server::accept(&listener, |stream| drop(server::http(&stream))));
    let deadline = Instant::now() + DURATION;
    let run = move || client(net::TcpStream::connect(address)?, deadline);
    let clients: Vec<_> = (0..CLIENTS).map(|_| go!(run)).collect();
    let mut answered = 0;
    for client in clients {
        answered += client.join().map_err(|_| "a client panicked")??;
    }
    Ok(answered)
}

/// The same with a thread for each connection and each client, as many as the system allows.
fn threads() -> Result<(u64, Option<io::Error>), Box<dyn std::error::Error + Send + Sync>> {
    let address = thread_server()?;
    let deadline = Instant::now() + DURATION;
    let run = move || client(std::net::TcpStream::connect(address)?, deadline);
    let (mut clients, mut refusal) = (Vec::new(), None);
    for _ in 0..CLIENTS {
        match thread::Builder::new().spawn(run) {
            Ok(client) => clients.push(client),
            Err(error) => refusal = Some(error),
        }
    }
    let mut answered = 0;
    for client in clients {
        match client.join().map_err(|_| "a client panicked")? {
            Ok(n) => answered += n,
            Err(error) => refusal = Some(error), // the server had no thread for it
        }
    }
    Ok((answered, refusal))
}

/// Starts a server on std's sockets and threads, with the same HTTP core.
fn thread_server() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serve = |stream: std::net::TcpStream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(server::IDLE))?;
        stream.set_write_timeout(Some(server::IDLE))?;
        http1::serve(&stream, thread::sleep)
    };
    thread::Builder::new().spawn(move || {
        for stream in listener.incoming().flatten() {
            // No thread for it: the connection is closed, and its client sees that.
            let _ = thread::Builder::new().spawn(move || serve(stream));
        }
    })?;
    Ok(address)
}
