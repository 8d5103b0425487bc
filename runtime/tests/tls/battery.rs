//! Job: which level of thread-local storage promises what, and running a test at each that does.
//!
//! A killer is a scenario that goes wrong where a level keeps less than it needs. It runs in child
//! processes, at every level that promises it, on 2, 4 and 8 Ps, with each park sending the goroutine
//! through the global queue, so that goroutines change threads and threads change goroutines.

#![allow(dead_code, reason = "every test file uses some of it")]

use gusty::runtime::features;

use super::common::Child;

/// What a killer needs. The text says what goes wrong at a level that does not have it.
#[derive(Clone, Copy)]
pub(crate) enum Needs {
    /// It holds at every level.
    Nothing,
    /// The goroutine finds the same thread-locals after a park; others may have used them.
    SamePlace(&'static str),
    /// Whoever blocks its thread does not stop the goroutine that it waits for.
    FreeThreads(&'static str),
    /// A panic that unwinds shows on its goroutine only.
    OwnPanics(&'static str),
    /// The thread-locals are the goroutine's alone.
    OwnBlock(&'static str),
}

/// One value of `GUSTY_TLS`, and what it promises.
struct Level {
    name: &'static str,
    same_place: bool,
    free_threads: bool,
    own_panics: bool,
    own_block: bool,
}

const LEVELS: [Level; 4] = [
    Level { name: "own", same_place: true, free_threads: true, own_panics: true, own_block: true },
    Level {
        name: "pthread",
        same_place: true,
        free_threads: true,
        own_panics: true,
        own_block: true,
    },
    Level {
        name: "pinned",
        same_place: true,
        free_threads: false, // those who belong to a blocked thread wait with it
        own_panics: false,   // others on the thread see it
        own_block: false,
    },
    Level {
        name: "shared",
        same_place: false,
        free_threads: true,
        own_panics: true, // who waits while a panic unwinds its stack keeps its thread
        own_block: false,
    },
];

impl Level {
    /// Why the level does not promise a killer with these needs.
    fn excuse(&self, needs: Needs) -> Option<&'static str> {
        match needs {
            Needs::SamePlace(why) if !self.same_place => Some(why),
            Needs::FreeThreads(why) if !self.free_threads => Some(why),
            Needs::OwnPanics(why) if !self.own_panics => Some(why),
            Needs::OwnBlock(why) if !self.own_block => Some(why),
            _ => None,
        }
    }
}

/// Runs the killer `scenario` of the calling test at each level that promises it.
pub(crate) fn survives(test: &'static str, needs: Needs, scenario: impl Fn()) {
    for level in &LEVELS {
        if let Some(why) = level.excuse(needs) {
            println!("{test} is not promised at GUSTY_TLS={}: {why}", level.name);
            continue;
        }
        for procs in [2, 4, 8] {
            let child = Child::of(test)
                .env("GUSTY_TLS", level.name)
                .env("GUSTYDEBUG", "migrate=1")
                .env("GOMAXPROCS", procs);
            let ended = child.run(|| {
                assert_level();
                scenario();
            });
            println!("{test}: GUSTY_TLS={} GOMAXPROCS={procs}", level.name);
            ended.succeeded();
        }
    }
}

/// This process has the level that it was started for: nothing fell back.
fn assert_level() {
    let wanted = std::env::var("GUSTY_TLS").expect("set by `survives`");
    let level = format!("{:?}", features().tls).to_lowercase();
    assert_eq!(level, wanted, "{}", features().tls_reason);
}

/// How many goroutines may block their threads at the same time, and one can still run.
pub(crate) fn blockable() -> usize {
    gusty::runtime::gomaxprocs(0) - 1
}

/// Runs `f` on `count` goroutines at once and waits for all.
pub(crate) fn on_many<R: Send + 'static>(
    count: usize,
    f: impl Fn(usize) -> R + Clone + Send + 'static,
) -> Vec<R> {
    let start = |i| {
        let f = f.clone();
        gusty::spawn(move || f(i))
    };
    let handles: Vec<_> = (0..count).map(start).collect();
    handles.into_iter().map(|handle| handle.join().expect("a goroutine panicked")).collect()
}
