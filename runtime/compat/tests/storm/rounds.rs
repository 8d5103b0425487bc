//! Job: what the goroutines of a storm do, one round after the other, each checked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, RwLock};

use crate::common::{OnDrop, Rng};

/// What one goroutine has of its own.
pub(crate) struct Mine {
    who: usize,
    lines: usize,
    map: HashMap<u64, u64>,
}

impl Mine {
    pub(crate) fn new(who: usize) -> Mine {
        Mine { who, lines: 0, map: HashMap::new() }
    }

    /// How many it has printed.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }
}

/// What all of them use.
pub(crate) struct Shared {
    std: Mutex<[u64; 4]>,
    parking_lot: parking_lot::Mutex<[u64; 4]>,
    words: RwLock<Vec<u64>>,
    /// Passed on to be freed by others.
    boxes: Mutex<Vec<Box<[u64]>>>,
    sections: [AtomicU64; 2],
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            std: Mutex::default(),
            parking_lot: parking_lot::Mutex::default(),
            words: RwLock::default(),
            boxes: Mutex::default(),
            sections: [const { AtomicU64::new(0) }; 2],
        }
    }

    /// At the end: nothing was lost.
    pub(crate) fn check(&self) {
        let [std, parking_lot] = self.sections.each_ref().map(|n| n.load(Ordering::Relaxed));
        assert_eq!(*self.std.lock().expect("nobody panicked with it"), [std; 4]);
        assert_eq!(*self.parking_lot.lock(), [parking_lot; 4]);
    }
}

/// The payload of the panics that belong to it.
pub(crate) struct Expected(pub(crate) u64);

pub(crate) type Round = fn(&mut Rng, &mut Mine, &Shared);

pub(crate) const ROUNDS: [Round; 10] = [
    allocates,
    grows_a_map,
    prints,
    panics,
    borrows_its_thread_local,
    locks_std,
    locks_parking_lot,
    searches,
    reads_and_writes_json,
    computes,
];

fn allocates(rng: &mut Rng, _: &mut Mine, shared: &Shared) {
    let made: Vec<Box<[u64]>> =
        (0..50).map(|_| vec![rng.next(); 1 + rng.below(200)].into_boxed_slice()).collect();
    let whole = |words: &[u64]| words.iter().all(|word| *word == words[0]);
    assert!(made.iter().all(|words| whole(words)));
    let theirs = std::mem::replace(&mut *shared.boxes.lock().unwrap(), made);
    assert!(theirs.iter().all(|words| whole(words)));
    let texts: Vec<String> = (0..50).map(|n| format!("{n:>width$}", width = 1 + n)).collect();
    assert!(texts.iter().enumerate().all(|(n, text)| text.trim() == n.to_string()));
}

fn grows_a_map(rng: &mut Rng, mine: &mut Mine, _: &Shared) {
    if mine.map.len() > 20_000 {
        mine.map = HashMap::new();
    }
    for _ in 0..500 {
        let key = rng.next();
        mine.map.insert(key, !key);
    }
    assert!(mine.map.iter().take(200).all(|(key, value)| *value == !*key));
}

/// What a goroutine prints as its line of this number.
pub(crate) fn line(who: usize, number: usize) -> String {
    format!("storm {who} {number} {:?} {}", (who, number), "=".repeat(number % 60))
}

fn prints(rng: &mut Rng, mine: &mut Mine, _: &Shared) {
    for _ in 0..1 + rng.below(10) {
        let (who, number) = (mine.who, mine.lines);
        // In pieces, as programs print.
        println!("storm {who} {number} {:?} {}", (who, number), "=".repeat(number % 60));
        mine.lines += 1;
    }
}

fn panics(rng: &mut Rng, _: &mut Mine, _: &Shared) {
    fn deeper(levels: usize, number: u64) {
        let text = format!("{number} {levels}");
        let _checks = OnDrop(|| {
            assert!(std::thread::panicking());
            assert_eq!(text, format!("{number} {levels}"));
            if levels.is_multiple_of(4) {
                gusty::yield_now();
            }
        });
        if levels == 0 {
            std::panic::panic_any(Expected(number));
        }
        deeper(levels - 1, number);
        black_box(&text); // so that no frame is replaced by the next
    }
    let number = rng.next();
    let caught = std::panic::catch_unwind(|| deeper(rng.clone().below(20), number));
    let payload = caught.expect_err("it panics").downcast::<Expected>();
    assert_eq!(payload.map(|expected| expected.0).ok(), Some(number));
    assert!(!std::thread::panicking());
}

thread_local! {
    static BORROWED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    #[expect(clippy::vec_box, reason = "many small allocations")]
    static TAKEN: Cell<Vec<Box<u64>>> = const { Cell::new(Vec::new()) };
    static LAZY: RefCell<HashMap<u64, String>> = RefCell::new(HashMap::new());
}

fn borrows_its_thread_local(rng: &mut Rng, _: &mut Mine, _: &Shared) {
    BORROWED.with_borrow_mut(|words| {
        words.clear();
        for number in 0..2_000 {
            words.push(number);
        }
        assert!(words.iter().zip(0..).all(|(word, number)| *word == number));
    });
    let mut boxes = TAKEN.take();
    if boxes.len() > 100 {
        boxes.clear();
    }
    boxes.push(Box::new(rng.next()));
    let count = boxes.len();
    TAKEN.set(boxes);
    gusty::yield_now();
    let boxes = TAKEN.take();
    assert_eq!(boxes.len(), count);
    TAKEN.set(boxes);
    LAZY.with_borrow_mut(|map| {
        let key = rng.next() % 500;
        assert_eq!(*map.entry(key).or_insert_with(|| key.to_string()), key.to_string());
    });
}

fn locks_std(rng: &mut Rng, _: &mut Mine, shared: &Shared) {
    for _ in 0..200 {
        let mut words = shared.std.lock().expect("nobody panics with it");
        assert!(words.iter().all(|word| *word == words[0]));
        words.iter_mut().for_each(|word| *word = black_box(*word + 1));
        shared.sections[0].fetch_add(1, Ordering::Relaxed);
    }
    if rng.below(10) == 0 {
        let mut words = shared.words.write().unwrap();
        words.clear();
        words.resize(1 + rng.below(300), rng.next());
    }
    let words = shared.words.read().unwrap();
    assert!(words.iter().all(|word| *word == words[0]));
}

fn locks_parking_lot(_: &mut Rng, _: &mut Mine, shared: &Shared) {
    for _ in 0..200 {
        let mut words = shared.parking_lot.lock();
        assert!(words.iter().all(|word| *word == words[0]));
        words.iter_mut().for_each(|word| *word = black_box(*word + 1));
        shared.sections[1].fetch_add(1, Ordering::Relaxed);
    }
}

fn searches(rng: &mut Rng, _: &mut Mine, _: &Shared) {
    static NUMBERS: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"\b([a-z]+)=(\d+);").expect("a pattern"));
    let pairs: Vec<(usize, u64)> = (0..100).map(|_| (rng.below(9), rng.next())).collect();
    let text: String = pairs
        .iter()
        .map(|(name, number)| format!("{}={number}; ", &"abcdefghij"[..=*name]))
        .collect();
    let found = NUMBERS.captures_iter(&text).map(|found| {
        let [name, number] = found.extract().1;
        (name.len() - 1, number.parse().expect("digits"))
    });
    assert_eq!(found.collect::<Vec<_>>(), pairs);
}

fn reads_and_writes_json(rng: &mut Rng, _: &mut Mine, _: &Shared) {
    let mut value = serde_json::Value::Null;
    for depth in 0..20 {
        value = serde_json::json!({ "depth": depth, "inner": value, "number": rng.next() });
    }
    let text = serde_json::to_string(&value).expect("a value");
    let again: serde_json::Value = serde_json::from_str(&text).expect("what was written");
    assert_eq!(again, value);
}

/// In registers, those of vectors included.
fn computes(rng: &mut Rng, _: &mut Mine, _: &Shared) {
    let words: Vec<u64> = (0..1_024).map(|_| rng.next()).collect();
    let hash = |words: &[u64]| {
        use sha2::Digest;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        sha2::Sha256::digest(bytes)
    };
    let sum = |words: &[u64]| words.iter().map(|word| (*word >> 11) as f64 / 3.0).sum::<f64>();
    let (first, total) = (hash(&words), sum(&words));
    for _ in 0..10 {
        assert_eq!(hash(black_box(&words)), first);
        assert_eq!(sum(black_box(&words)).to_bits(), total.to_bits());
    }
}
