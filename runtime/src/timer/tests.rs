//! Job: tests of the parent module.

use std::{collections::BTreeMap, ptr::NonNull};

use super::{NEVER, Storage, TimerHeap, TimerNode};

/// Owns the nodes of one test; they are never freed while a heap may hold them.
struct Nodes(Vec<NonNull<TimerNode>>);

impl Nodes {
    fn new(count: usize) -> Nodes {
        let node = |data| NonNull::from(Box::leak(Box::new(TimerNode::new(data))));
        Nodes((0..count).map(node).collect())
    }

    fn get(&self, id: usize) -> &TimerNode {
        // SAFETY: the boxes live until `self` drops; tests use one thread.
        unsafe { self.0[id].as_ref() }
    }

    fn insert(&self, heap: &mut TimerHeap, id: usize, when: u64) -> bool {
        self.get(id).set_when(when);
        make_room(heap, 1);
        // SAFETY: TH1, TH2: the box stays put, one thread; callers insert unqueued nodes only.
        let earlier = unsafe { heap.insert(self.0[id]) };
        heap.check();
        earlier
    }

    fn remove(&self, heap: &mut TimerHeap, id: usize) -> bool {
        // SAFETY: alive; each test names the heap the node is in.
        let removed = unsafe { heap.remove(self.0[id]) };
        heap.check();
        removed
    }

    fn pop(&self, heap: &mut TimerHeap, now: u64) -> Option<usize> {
        let popped = heap.pop_expired(now);
        heap.check();
        // SAFETY: one of our boxes.
        let timer = unsafe { popped?.as_ref() };
        assert!(!timer.is_queued());
        Some(timer.data())
    }

    fn drain(&self, heap: &mut TimerHeap) -> Vec<usize> {
        std::iter::from_fn(|| self.pop(heap, NEVER)).collect()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in self.0.drain(..) {
            // SAFETY: leaked in `new`, freed once; the heap of the test is not used any more.
            drop(unsafe { Box::from_raw(node.as_ptr()) });
        }
    }
}

fn make_room(heap: &mut TimerHeap, more: usize) {
    if heap.len() + more > heap.capacity() {
        drop(heap.adopt(storage(heap.len() + more)));
    }
}

fn storage(capacity: usize) -> Storage {
    Storage::with_capacity(capacity).unwrap()
}

/// SplitMix64: seeded, so a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

#[test]
fn random_operations_agree_with_a_sorted_map() {
    const NODES: u64 = 300;
    for seed in 0..4 {
        let mut random = Random(seed);
        let nodes = Nodes::new(NODES as usize);
        let mut heap = TimerHeap::new();
        let mut model = BTreeMap::new(); // (when, order of insertion) -> id
        let mut keys = vec![None; NODES as usize];
        let mut now = 0;
        for step in 0..25_000_u64 {
            let id = random.below(NODES) as usize;
            match (random.below(8), keys[id]) {
                (0..=3, None) => {
                    let when = now + random.below(50); // few distinct values: many ties
                    let first = model.keys().next().copied();
                    let earlier = nodes.insert(&mut heap, id, when);
                    assert_eq!(earlier, first.is_none_or(|(earliest, _)| when < earliest));
                    keys[id] = Some((when, step));
                    model.insert((when, step), id);
                }
                (0..=3, Some(_)) | (4..=5, _) => {
                    assert_eq!(nodes.remove(&mut heap, id), keys[id].is_some());
                    if let Some(key) = keys[id].take() {
                        model.remove(&key);
                    }
                }
                _ => {
                    now += random.below(4);
                    let first = model.first_key_value().map(|(&key, &id)| (key, id));
                    let expected = first.filter(|((when, _), _)| *when <= now);
                    assert_eq!(nodes.pop(&mut heap, now), expected.map(|(_, id)| id));
                    if let Some((key, id)) = expected {
                        model.remove(&key);
                        keys[id] = None;
                    }
                }
            }
            assert_eq!(heap.len(), model.len());
            assert_eq!(heap.next(), model.keys().next().map(|key| key.0));
        }
        let rest: Vec<usize> = model.into_values().collect();
        assert_eq!(nodes.drain(&mut heap), rest);
    }
}

#[test]
fn any_one_of_them_can_be_removed() {
    for victim in 0..40 {
        let nodes = Nodes::new(40);
        let mut heap = TimerHeap::new();
        for id in 0..40 {
            nodes.insert(&mut heap, id, (id as u64 * 17) % 40);
        }
        assert!(nodes.remove(&mut heap, victim));
        assert!(!nodes.remove(&mut heap, victim), "it is gone");
        let mut rest: Vec<usize> = (0..40).filter(|&id| id != victim).collect();
        rest.sort_by_key(|&id| (id * 17) % 40);
        assert_eq!(nodes.drain(&mut heap), rest);
    }
}

#[test]
fn what_was_removed_takes_no_room_for_long() {
    let nodes = Nodes::new(1000);
    let mut heap = TimerHeap::new();
    let _ = heap.adopt(storage(2100));
    let capacity = heap.capacity();
    for round in 0..4 {
        for id in 0..1000 {
            nodes.insert(&mut heap, id, (id as u64 * 7) % 1000);
        }
        let (kept, gone): (Vec<usize>, Vec<usize>) = (0..1000).partition(|id| id % 10 == round);
        for id in gone {
            assert!(nodes.remove(&mut heap, id));
            assert!(heap.used() <= 2 * heap.len() + super::FEW + 1);
            nodes.insert(&mut heap, id, 2000);
            assert!(nodes.remove(&mut heap, id));
        }
        assert_eq!((heap.len(), heap.capacity()), (100, capacity), "slots are used again");
        let mut order = kept;
        order.sort_by_key(|id| (id * 7) % 1000);
        assert_eq!(nodes.drain(&mut heap), order);
        assert_eq!(heap.used(), 0);
    }
}

#[test]
fn equal_deadlines_expire_in_the_order_of_insertion() {
    let nodes = Nodes::new(100);
    let mut heap = TimerHeap::new();
    for id in 0..100 {
        assert_eq!(nodes.insert(&mut heap, id, 7), id == 0, "an equal deadline is not earlier");
    }
    assert!(nodes.remove(&mut heap, 50));
    nodes.insert(&mut heap, 50, 7); // now the last
    let order: Vec<usize> = (0..50).chain(51..100).chain([50]).collect();
    assert_eq!(nodes.drain(&mut heap), order);
}

#[test]
fn nothing_expires_before_its_deadline() {
    let nodes = Nodes::new(1);
    let mut heap = TimerHeap::new();
    assert_eq!(nodes.pop(&mut heap, NEVER), None);
    nodes.insert(&mut heap, 0, 10);
    assert_eq!(nodes.pop(&mut heap, 9), None);
    assert_eq!(nodes.pop(&mut heap, 10), Some(0));
    assert!(!nodes.remove(&mut heap, 0));
}

#[test]
fn merging_keeps_order_and_puts_ties_behind() {
    let nodes = Nodes::new(60);
    let (mut dying, mut heir) = (TimerHeap::new(), TimerHeap::new());
    for id in 0..30 {
        nodes.insert(&mut heir, id, 5 + id as u64 % 3);
    }
    for id in 30..60 {
        nodes.insert(&mut dying, id, 5 + id as u64 % 3);
    }
    assert!(!dying.merge_into(&mut heir), "5 is there already");
    heir.check();
    assert_eq!((dying.len(), dying.next(), heir.len()), (0, None, 60));
    let mut order: Vec<usize> = (0..60).collect();
    order.sort_by_key(|id| id % 3); // stable: the heir's own ids are the lower ones
    assert_eq!(nodes.drain(&mut heir), order);

    nodes.insert(&mut heir, 0, 5);
    nodes.insert(&mut dying, 1, 4);
    assert!(dying.merge_into(&mut heir), "4 is earlier than 5");
    assert_eq!(heir.next(), Some(4));
    assert!(nodes.remove(&mut heir, 1), "a merged node is removed from its new heap");
}

#[test]
fn never_is_queued_but_does_not_expire() {
    let nodes = Nodes::new(2);
    let mut heap = TimerHeap::new();
    assert!(!nodes.insert(&mut heap, 0, NEVER));
    assert_eq!((heap.len(), heap.next()), (1, None));
    assert_eq!(nodes.pop(&mut heap, NEVER), None);
    assert!(nodes.insert(&mut heap, 1, NEVER - 1), "a deadline that comes is earlier");
    assert_eq!(nodes.drain(&mut heap), [1]);
    assert!(nodes.remove(&mut heap, 0));
}

#[test]
fn adopted_storage_replaces_a_smaller_one_and_nothing_else_changes() {
    const FEW: usize = 200;
    let mut heap = TimerHeap::new();
    assert_eq!(heap.capacity(), 0);
    drop(heap.adopt(storage(FEW)));
    let few = heap.capacity();
    let many = 3 * few;
    let nodes = Nodes::new(many);
    for id in 0..FEW {
        nodes.insert(&mut heap, id, (many - id) as u64);
    }
    assert_eq!(heap.capacity(), few, "there was room");
    let old = heap.adopt(storage(many));
    heap.check();
    assert_eq!(old.capacity(), few);
    assert!(heap.capacity() >= many);

    let capacity = heap.capacity();
    let refused = heap.adopt(storage(3));
    assert!(heap.capacity() == capacity && refused.capacity() < capacity);
    for id in FEW..many {
        nodes.insert(&mut heap, id, (many - id) as u64);
    }
    assert_eq!(heap.capacity(), capacity, "there was room");
    assert_eq!(nodes.drain(&mut heap), (0..many).rev().collect::<Vec<_>>());
}

#[test]
fn a_node_remembers_what_it_is_for() {
    let node = TimerNode::new(7);
    node.set_when(3);
    let mut heap = TimerHeap::new();
    make_room(&mut heap, 1);
    // SAFETY: TH1, TH2: the node outlives the heap's use of it, one thread.
    unsafe { heap.insert(NonNull::from(&node)) };
    let mut seen = 0;
    heap.for_each(|queued| {
        assert_eq!(queued, NonNull::from(&node));
        seen += 1;
    });
    assert!(heap.pop_expired(3).is_some());
    assert_eq!((seen, node.when(), node.data()), (1, 3, 7));
    node.set_data(8);
    assert_eq!(node.data(), 8);
}
