//! Job: panic messages that name the goroutine.
//! Layer: L2 (sched)
//! Not here: catching panics (`task`).
//!
//! A line `goroutine 42 [name] created at src/main.rs:7:5:` goes before whatever hook was
//! installed, std's or the application's; one installed later replaces both, as usual.

use std::io::Write;
use std::panic;

use super::m;
use crate::sys::section::Section;

/// Puts the line in front of the present panic hook.
pub(crate) fn install() {
    if std::thread::panicking() {
        return; // std refuses to change hooks now; the messages will lack the line
    }
    let previous = panic::take_hook();
    let current = || {
        let _section = Section::enter_if_outside(); // M3
        m::current().and_then(m::M::cur)
    };
    panic::set_hook(Box::new(move |info| {
        if let Some(g) = current() {
            let name = g.with_name(|name| name.map_or(String::new(), |name| format!(" [{name}]")));
            let site = g.site.get().map_or(String::new(), |site| format!(" created at {site}"));
            // One write, so that the lines of goroutines that panic together stay whole.
            let line = format!("goroutine {}{name}{site}:\n", g.id());
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        previous(info);
    }));
}
