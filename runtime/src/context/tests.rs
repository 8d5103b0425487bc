//! Job: what a context leaves behind in the one above it: nothing.
//! Layer: L3 (blocking)

use std::sync::Arc;

use super::node::Node;
use super::*;
use crate::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);

fn children(ctx: &Context) -> usize {
    ctx.node.as_deref().map_or(0, Node::children)
}

/// Row 94 (child finishes first).
#[test]
fn children_leave_when_they_end_or_die() {
    let (root, _cancel) = with_cancel(&background());
    let made: Vec<_> = (0..100)
        .map(|i| match i % 3 {
            0 => with_cancel(&root),
            1 => with_timeout(&root, LONG),
            _ => with_deadline(&root, Instant::now()), // over at once
        })
        .collect();
    assert_eq!(children(&root), 67);
    made.iter().take(30).for_each(|(_, cancel)| cancel.cancel());
    assert_eq!(children(&root), 47);
    drop(made);
    assert_eq!(children(&root), 0);

    let stopped = after_func(&root, || ());
    drop(after_func(&root, || ()));
    assert_eq!(children(&root), 2);
    assert!(stopped.stop());
    assert_eq!(children(&root), 1);
    let values = with_value(&root, 1_u8);
    assert_eq!(children(&values), 1, "a value is no child");
}

/// Row 94 (parent finishes the child).
#[test]
fn an_ended_context_has_no_children_and_takes_none() {
    let (root, cancel) = with_cancel(&background());
    let (middle, _middle) = with_cancel(&root);
    let (leaf, _leaf) = with_timeout(&middle, LONG);
    cancel.cancel();
    let (late, _late) = with_cancel(&leaf);
    let begun = after_func(&leaf, || ());
    for ctx in [&root, &middle, &leaf, &late] {
        assert_eq!((children(ctx), ctx.err()), (0, Some(Error::Cancelled)));
    }
    assert!(!begun.stop());
}

#[test]
fn a_context_is_freed_with_its_last_handle() {
    let (root, _cancel) = with_cancel(&background());
    for timeout in [None, Some(LONG)] {
        let (ctx, cancel) = match timeout {
            None => with_cancel(&root),
            Some(timeout) => with_timeout(&root, timeout),
        };
        let weak = Arc::downgrade(ctx.node.as_ref().unwrap());
        let (below, _below) = with_cancel(&ctx);
        drop((ctx, cancel));
        assert_eq!(weak.strong_count(), 1, "held by the one below");
        drop((below, _below));
        assert_eq!(weak.strong_count(), 0);
    }
}

#[test]
fn a_forgotten_handle_is_all_that_keeps_a_deadline_waiting() {
    let (root, _cancel) = with_cancel(&background());
    let (ctx, cancel) = with_timeout(&root, LONG);
    let weak = Arc::downgrade(ctx.node.as_ref().unwrap());
    let below = with_value(&ctx, 0);
    drop(ctx);
    assert_eq!(weak.strong_count(), 2);
    drop(cancel);
    assert_eq!(below.err(), Some(Error::Cancelled));
    drop(below);
    assert_eq!(weak.strong_count(), 0);
}
