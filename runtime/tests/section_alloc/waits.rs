//! Job: nobody allocates or frees in a runtime section while goroutines wait for each other, for time, or
//!   for the network.
//! Not here: goroutines, threads and the watchdog themselves.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gusty::{chan, context, net, sync};

use crate::common::scaled;
use crate::detector::clean;
use crate::{COUNT, many, on_goroutine, one_more, reaches};

#[test]
fn channels() {
    clean("waits::channels", || {
        for capacity in [Some(0), Some(1), Some(100), None] {
            let (tx, rx) = match capacity {
                Some(n) => chan::bounded(n),
                None => chan::unbounded(),
            };
            for _ in 0..4 {
                let tx = tx.clone();
                gusty::spawn(move || (0..scaled(5_000)).for_each(|i| tx.send(vec![i]).unwrap()));
            }
            drop(tx);
            let from_thread = {
                let rx = rx.clone();
                std::thread::spawn(move || rx.iter().count())
            };
            let counted = on_goroutine(move || rx.iter().count());
            assert_eq!(counted + from_thread.join().unwrap(), 4 * scaled(5_000));
        }
        let (tx, rx) = chan::unbounded();
        (0..100_000).for_each(|i| tx.send(Box::new(i)).unwrap());
        drop(rx);
        drop(tx);
        let (tx, rx) = chan::bounded::<Box<i32>>(1);
        let waiting = gusty::spawn(move || tx.send_timeout(Box::new(1), Duration::from_millis(1)));
        drop(rx);
        drop(waiting.join());
    });
}

#[test]
fn selects() {
    clean("waits::selects", || {
        let (tx, rx) = chan::unbounded();
        let (stop, stopped) = chan::bounded::<()>(0);
        for _ in 0..8 {
            let (tx, stopped) = (tx.clone(), stopped.clone());
            gusty::spawn(move || {
                let (own_tx, own_rx) = chan::bounded(1);
                for i in 0..scaled(2_000) {
                    gusty::select! {
                        send(own_tx, vec![i]) -> _ => {},
                        recv(own_rx) -> got => drop(got),
                        recv(stopped) -> _ => break,
                        default(Duration::from_micros(10)) => {},
                    }
                    let _ = tx.send(i);
                }
            });
        }
        drop(tx);
        let mut seen = 0;
        loop {
            gusty::select! {
                recv(rx) -> got => match got { Ok(_) => seen += 1, Err(_) => break },
                recv(chan::after(Duration::from_secs(60))) -> _ => panic!("late"),
            }
        }
        assert_eq!(seen, 8 * scaled(2_000));
        drop(stop);
        on_goroutine(|| {
            let many: Vec<_> = (0..40).map(|_| chan::bounded::<Vec<u8>>(0)).collect();
            for i in 0..40 {
                let tx = many[i].0.clone();
                gusty::spawn(move || tx.send(vec![1; i + 1]).unwrap());
                let mut select = chan::Select::new();
                many.iter().for_each(|(_, rx)| _ = select.recv(rx));
                assert_eq!(select.ready(), i);
                let operation = select.select();
                let index = operation.index();
                assert_eq!(operation.recv(&many[index].1).unwrap().len(), i + 1);
            }
        });
    });
}

#[test]
fn locks_and_other_waits() {
    clean("waits::locks_and_other_waits", || {
        let mutex = Arc::new(sync::Mutex::new(Vec::new()));
        let rwlock = Arc::new(sync::RwLock::new(Vec::new()));
        let pair = Arc::new((sync::Mutex::new(0), sync::Condvar::new()));
        let (semaphore, notify) =
            (Arc::new(sync::Semaphore::new(2)), Arc::new(sync::Notify::new()));
        let barrier = Arc::new(sync::Barrier::new(50));
        let pool = Arc::new(sync::Pool::new(|| vec![0u8; 100]));
        let once = Arc::new(sync::OnceLock::new());
        let (other, held) = (pair.clone(), mutex.clone());
        many(50, move |i| {
            for k in 0..scaled(300) {
                mutex.lock().unwrap().push(k);
                if k % 10 == 0 {
                    rwlock.write().unwrap().push(k);
                    gusty::yield_now();
                }
                drop(rwlock.read().unwrap());
                let permit = semaphore.acquire();
                gusty::yield_now();
                drop(permit);
                let object = pool.get();
                gusty::yield_now();
                pool.put(object);
                notify.notify_one();
                once.get_or_init(|| {
                    gusty::yield_now();
                    vec![k]
                });
            }
            barrier.wait();
            *pair.0.lock().unwrap() += 1;
            pair.1.notify_all();
            let guard = pair.0.lock().unwrap();
            drop(pair.1.wait_while(guard, |arrived| *arrived < 50).unwrap());
            let guard = mutex.lock().unwrap();
            let _ = pair.1.wait_timeout(pair.0.lock().unwrap(), Duration::from_micros(i as u64));
            drop(guard);
        });
        assert_eq!(*other.0.lock().unwrap(), 50);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let held = held.clone();
                std::thread::spawn(move || (0..1_000).for_each(|i| held.lock().unwrap().push(i)))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_hundred_thousand_timers() {
    clean("waits::a_hundred_thousand_timers", || {
        let count = scaled(100_000);
        COUNT.store(0, Ordering::Relaxed);
        let sleepers: Vec<_> = (0..count)
            .map(|i| {
                gusty::spawn(move || {
                    gusty::sleep(Duration::from_micros(100_000 + (i as u64 * 7919) % 100_000));
                    one_more();
                })
            })
            .collect();
        let funcs: Vec<_> = (0..count)
            .map(|_| gusty::time::after_func(Duration::from_secs(3600), one_more))
            .collect();
        let soon: Vec<_> = (0..1_000)
            .map(|i| gusty::time::after_func(Duration::from_micros(i), one_more))
            .collect();
        sleepers.into_iter().for_each(|handle| handle.join().unwrap());
        reaches(&COUNT, count + soon.len());
        funcs.iter().step_by(2).for_each(|func| assert!(func.stop()));
        drop(funcs);
        many(200, |i| {
            let ticker = gusty::time::Ticker::new(Duration::from_micros(50 + i as u64));
            (0..10).for_each(|_| _ = ticker.chan().recv());
            let timer = gusty::time::Timer::new(Duration::from_micros(10));
            _ = timer.chan().recv();
            timer.reset(Duration::from_secs(1));
        });
    });
}

#[test]
fn contexts() {
    clean("waits::contexts", || {
        many(scaled(500), |i| {
            let (ctx, cancel) = context::with_cancel(&context::background());
            let (timed, _keep) = context::with_timeout(&ctx, Duration::from_micros(i as u64 * 10));
            let children: Vec<_> = (0..50).map(|_| context::with_cancel(&timed)).collect();
            let waits = children[7].0.clone();
            let waiter = gusty::spawn(move || _ = waits.done().recv());
            let func = context::after_func(&timed, one_more);
            let (_tx, rx) = chan::bounded::<()>(0);
            assert!(rx.recv_ctx(&timed).is_err());
            cancel.cancel_with("enough");
            waiter.join().unwrap();
            func.stop();
        });
    });
}

#[test]
fn sockets() {
    clean("waits::sockets", || {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let clients = 150;
        let server = gusty::spawn(move || {
            let all: Vec<_> = (0..clients)
                .map(|_| {
                    let (mut stream, _) = listener.accept().unwrap();
                    gusty::spawn(move || {
                        let mut bytes = [0; 8];
                        while stream.read(&mut bytes).is_ok_and(|n| n != 0) {
                            stream.write_all(&bytes).unwrap();
                        }
                    })
                })
                .collect();
            all.into_iter().for_each(|handle| handle.join().unwrap());
        });
        let barrier = Arc::new(sync::Barrier::new(clients));
        many(clients, move |i| {
            let mut stream = net::TcpStream::connect(at).unwrap();
            barrier.wait();
            stream.set_read_timeout(Some(Duration::from_micros(1))).unwrap();
            assert!(stream.read(&mut [0; 8]).is_err());
            stream.set_read_timeout(None).unwrap();
            for _ in 0..20 {
                stream.write_all(&[i as u8; 8]).unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
            }
        });
        server.join().unwrap();
    });
}
