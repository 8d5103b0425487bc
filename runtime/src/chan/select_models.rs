//! Job: the loom models of sends in two steps: decided first, completed or given up then.
//! Layer: L3 (blocking)
//! Not here: which of several operations is decided (`choose`); here there is one.

use std::mem::ManuallyDrop;

use super::channel::Outcome;
use super::channel_models::{Model, check, spawn};
use super::late::{Grant, Partner};
use crate::sched::claim::{FIRST_TOKEN, Wait};
use crate::sched::g::WaitReason;
use crate::sched::park;
use crate::wait::{self, Node, OUTCOME_SERVED, Until};

/// A bound of one, and none.
const CAPACITIES: [usize; 2] = [0, 1];

impl Model {
    /// Waits as a select does until its send is decided.
    fn decide(&self) -> Grant {
        loop {
            if let Some(grant) = self.channel.decide_send() {
                return grant;
            }
            let wait = Wait::new(park::current());
            let mut partner = Partner::new();
            let node = Node::new(&wait, partner.as_data(), FIRST_TOKEN, false).late();
            let mut state = self.channel.state.lock();
            // SAFETY: locked.
            if unsafe { self.channel.can_send() } {
                continue;
            }
            // SAFETY: on this frame until it was popped, or is removed below.
            let outcome = unsafe {
                state.senders.push_back(&node);
                let state_lock = &self.channel.state;
                wait::park_in(state_lock, state, &wait, Until::FOREVER, WaitReason::ChanSend)
            };
            self.channel.state.lock().senders.remove(&node);
            if outcome == OUTCOME_SERVED {
                return partner.grant();
            }
        }
    }

    fn complete(&self, grant: Grant, n: usize) -> Outcome {
        let value = ManuallyDrop::new(self.value(n));
        // SAFETY: given away if the outcome is `Done`, and else dropped.
        let outcome = unsafe { self.channel.complete_send(grant, &raw const *value) };
        if outcome != Outcome::Done {
            drop(ManuallyDrop::into_inner(value));
        }
        outcome
    }
}

#[test]
fn loom_a_decided_send_reaches_a_receiver() {
    for capacity in CAPACITIES {
        check(capacity, |model| {
            let selects = spawn(&model, |m| m.complete(m.decide(), 1));
            assert_eq!(model.recv(Until::FOREVER), Ok(1));
            assert_eq!(selects.join().unwrap(), Outcome::Done);
            1
        });
    }
}

#[test]
fn loom_a_decided_send_that_is_given_up_keeps_nobody_waiting() {
    for capacity in CAPACITIES {
        check(capacity, move |model| {
            let selects = spawn(&model, |m| {
                m.channel.give_up(m.decide());
            });
            let sends = spawn(&model, |m| m.send(2, Until::FOREVER));
            assert_eq!(model.recv(Until::FOREVER), Ok(2));
            assert_eq!(sends.join().unwrap(), Outcome::Done);
            if capacity == 0 {
                // It may have met nobody: the close ends its wait.
                model.channel.close();
            }
            selects.join().unwrap();
            1
        });
    }
}

/// Nobody receives: only the place that comes back lets the sender in.
#[test]
fn loom_a_place_that_comes_back_lets_a_sender_in() {
    check(1, |model| {
        let grant = model.decide();
        assert!(matches!(grant, Grant::Room));
        let sends = spawn(&model, |m| m.send(2, Until::FOREVER));
        model.channel.give_up(grant);
        assert_eq!(sends.join().unwrap(), Outcome::Done);
        assert_eq!(model.recv(Until::FOREVER), Ok(2));
        1
    });
}

#[test]
fn loom_a_promised_place_is_kept_from_others() {
    check(1, |model| {
        let selects = spawn(&model, |m| m.complete(m.decide(), 1));
        let sends = spawn(&model, |m| m.send(2, Until::FOREVER));
        let got = [(); 2].map(|()| model.recv(Until::FOREVER).unwrap());
        assert_eq!(got[0] + got[1], 3);
        assert_eq!(selects.join().unwrap(), Outcome::Done);
        assert_eq!(sends.join().unwrap(), Outcome::Done);
        2
    });
}

#[test]
fn loom_a_close_between_the_two_steps_gives_the_value_back() {
    for capacity in CAPACITIES {
        check(capacity, |model| {
            let selects = spawn(&model, |m| m.complete(m.decide(), 1));
            let closes = spawn(&model, |m| m.channel.close());
            let got = model.recv_all();
            let sent = selects.join().unwrap() == Outcome::Done;
            assert!(closes.join().unwrap());
            assert_eq!(got, usize::from(sent));
            1
        });
    }
}
