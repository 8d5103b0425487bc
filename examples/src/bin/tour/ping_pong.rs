//! Job: a ball thrown to and fro over two unbuffered channels.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gusty::{chan, go};
use gusty_examples::cli::{Outcome, grouped};

use crate::scaled;
use crate::term::{Row, Term, Who, each, time, times};

const GOROUTINE_ROUNDS: usize = scaled(200_000);
const THREAD_ROUNDS: usize = scaled(20_000);

pub(crate) fn section(term: &Term) -> Outcome {
    let about = format!("{} round trips, unbuffered channels", grouped(GOROUTINE_ROUNDS as u64));
    term.section(3, "Ping-pong", &about);
    let goroutine = each(goroutines()?, GOROUTINE_ROUNDS);
    let thread = each(threads()?, THREAD_ROUNDS);
    let factor = times(thread.as_secs_f64(), goroutine.as_secs_f64());
    term.rows(&[
        Row::new(Who::Goroutine, "goroutines", time(goroutine), goroutine.as_secs_f64())
            .note(format!("{factor} faster")),
        Row::new(Who::Thread, "OS threads", time(thread), thread.as_secs_f64())
            .note("std's sync_channel(0)"),
    ]);
    Ok(())
}

fn goroutines() -> Result<Duration, Box<dyn std::error::Error + Send + Sync>> {
    let (ping, pinged) = chan::bounded(0);
    let (pong, ponged) = chan::bounded(0);
    go!(move || pinged.iter().all(|ball: usize| pong.send(ball + 1).is_ok()));
    let start = Instant::now();
    let mut ball = 0;
    for _ in 0..GOROUTINE_ROUNDS {
        ping.send(ball)?;
        ball = ponged.recv()?;
    }
    if ball != GOROUTINE_ROUNDS {
        return Err("the ball was lost".into());
    }
    Ok(start.elapsed())
}

/// The same with two threads, neither of which is a goroutine.
fn threads() -> Result<Duration, Box<dyn std::error::Error + Send + Sync>> {
    let (ping, pinged) = mpsc::sync_channel(0);
    let (pong, ponged) = mpsc::sync_channel(0);
    thread::spawn(move || pinged.iter().all(|ball: usize| pong.send(ball + 1).is_ok()));
    let play = move || {
        let start = Instant::now();
        let mut ball = 0;
        for _ in 0..THREAD_ROUNDS {
            ping.send(ball).map_err(|_| "nobody plays")?;
            ball = ponged.recv().map_err(|_| "nobody plays")?;
        }
        if ball == THREAD_ROUNDS { Ok(start.elapsed()) } else { Err("the ball was lost") }
    };
    Ok(thread::spawn(play).join().map_err(|_| "a thread panicked")??)
}
