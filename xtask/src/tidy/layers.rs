//! Job: the layers of the runtime: a file uses only lower layers and its own, no crate has an
//!   import cycle, and the crates below the runtime know nothing of it.
//! Not here: how paths are followed to files (`modules`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::manifests::{Manifest, is_ours};
use super::modules::Graph;
use super::source::{Problem, Source};

/// The crates whose files must be free of cycles.
const ACYCLIC: [&str; 3] = ["runtime", "netpoll", "sysmon"];

/// The crates that depend on nothing of ours.
const LEAVES: [&str; 3] = ["netpoll", "sysmon", "runtime-macros"];

/// Which parts of `runtime/src` are in which layer. Whatever is not named is API, the highest.
const TABLE: [(u8, &[&str]); 4] = [
    (0, &["arch", "stack", "sys", "tls", "config"]),
    (1, &["queue", "timer"]),
    (2, &["sched"]),
    (3, &["wait", "goroutine", "task", "builder", "chan", "sync", "time", "context", "net"]),
];
const API: u8 = 4;

/// A layer of the runtime.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layer(u8);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}", self.0)
    }
}

/// The layer of a file, if it is in the runtime's sources.
pub(crate) fn layer_of(path: &str) -> Option<Layer> {
    let top = path.strip_prefix("runtime/src/")?.split('/').next()?.trim_end_matches(".rs");
    let row = TABLE.iter().find(|(_, names)| names.contains(&top));
    Some(Layer(row.map_or(API, |(layer, _)| *layer)))
}

pub(crate) fn check(sources: &[Source], manifests: &[Manifest]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for krate in ACYCLIC {
        let graph = Graph::new(sources, krate);
        let edges = graph.edges();
        check_upward(&graph, &edges, &mut problems);
        check_cycles(&graph, &edges, &mut problems);
    }
    for manifest in manifests.iter().filter(|m| LEAVES.contains(&m.krate())) {
        for dependency in manifest.dependencies().iter().filter(|d| is_ours(&d.name)) {
            let message = format!("{} must not depend on {}", manifest.krate(), dependency.name);
            problems.push(Problem::new(&manifest.path, dependency.line, message));
        }
    }
    problems
}

type Edges = Vec<BTreeMap<usize, usize>>;

fn check_upward(graph: &Graph, edges: &Edges, problems: &mut Vec<Problem>) {
    for (from, targets) in edges.iter().enumerate() {
        for (to, line) in targets {
            let (from, to) = (&graph.files[from].path, &graph.files[*to].path);
            let (Some(low), Some(high)) = (layer_of(from), layer_of(to)) else { continue };
            if low < high {
                let message = format!("upward import: {low} uses {to}, which is {high}");
                problems.push(Problem::new(from, *line, message));
            }
        }
    }
}

/// Reports one shortest cycle for each knot of files that all reach each other.
fn check_cycles(graph: &Graph, edges: &Edges, problems: &mut Vec<Problem>) {
    let mut reported = BTreeSet::new();
    for start in 0..graph.files.len() {
        if reported.contains(&start) {
            continue;
        }
        let Some(cycle) = shortest_cycle(edges, start) else { continue };
        let steps: Vec<String> = cycle
            .iter()
            .zip(cycle.iter().cycle().skip(1))
            .map(|(from, to)| {
                let in_src = |file: &usize| graph.files[*file].in_src().unwrap_or_default();
                format!("{}:{} -> {}", in_src(from), edges[*from][to], in_src(to))
            })
            .collect();
        let line = edges[start][cycle.get(1).unwrap_or(&start)];
        let message = format!("import cycle: {}", steps.join(", "));
        problems.push(Problem::new(&graph.files[start].path, line, message));
        let knot = |file: &usize| reaches(edges, start, *file) && reaches(edges, *file, start);
        reported.extend((0..graph.files.len()).filter(knot));
    }
}

fn reaches(edges: &Edges, from: usize, to: usize) -> bool {
    path(edges, from, to).is_some()
}

fn shortest_cycle(edges: &Edges, start: usize) -> Option<Vec<usize>> {
    path(edges, start, start)
}

/// The shortest path of at least one edge, without its end.
fn path(edges: &Edges, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut came_from = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for &next in edges[at].keys() {
            if next == to {
                let mut path = vec![at];
                while path[path.len() - 1] != from {
                    path.push(came_from[&path[path.len() - 1]]);
                }
                path.reverse();
                return Some(path);
            }
            if next != from && !came_from.contains_key(&next) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&sources, &[])
            .into_iter()
            .map(|p| format!("{}:{}: {}", p.path, p.line, p.message))
            .collect()
    }

    #[test]
    fn the_table_knows_files_and_folders() {
        let layers = [
            "sys/a.rs",
            "config.rs",
            "queue/mod.rs",
            "sched/a.rs",
            "time.rs",
            "chan/a.rs",
            "lib.rs",
        ]
        .map(|path| layer_of(&format!("runtime/src/{path}")).unwrap().to_string());
        assert_eq!(layers, ["L0", "L0", "L1", "L2", "L3", "L3", "L4"]);
        assert!(layer_of("netpoll/src/lib.rs").is_none());
    }

    #[test]
    fn an_upward_import_is_refused() {
        let sched = ("runtime/src/sched/g.rs", "pub(crate) struct G;");
        let up = ("runtime/src/sys/a.rs", "\nfn f() { crate::sched::g::G::new() }");
        let found = messages(&[sched, up]);
        let want =
            "runtime/src/sys/a.rs:2: upward import: L0 uses runtime/src/sched/g.rs, which is L2";
        assert_eq!(found, [want]);
        let in_test = ("runtime/src/sys/a.rs", "#[cfg(test)]\nmod t { use crate::sched::g::G; }");
        assert!(messages(&[sched, in_test]).is_empty());
        let down = ("runtime/src/chan.rs", "use crate::sched::g::G;");
        assert!(messages(&[sched, down]).is_empty());
    }

    #[test]
    fn a_cycle_is_refused_once() {
        let files = [
            ("netpoll/src/a.rs", "use crate::b::B;\npub struct A;"),
            ("netpoll/src/b.rs", "pub struct B;\nuse crate::c::C;"),
            ("netpoll/src/c.rs", "pub struct C;\nfn f(a: crate::a::A) {}"),
            ("netpoll/src/d.rs", "use crate::a::A;"),
        ];
        let want =
            "netpoll/src/a.rs:1: import cycle: a.rs:1 -> b.rs, b.rs:2 -> c.rs, c.rs:2 -> a.rs";
        assert_eq!(messages(&files), [want]);
        assert!(messages(&files[..2]).is_empty());
    }

    #[test]
    fn the_crates_below_the_runtime_know_nothing_of_it() {
        let refused = |path: &str| {
            check(&[], &[Manifest::new(path, "[dependencies]\nmio = \"1\"\ngusty = \"0\"\n")])
        };
        assert_eq!(refused("netpoll/Cargo.toml")[0].message, "netpoll must not depend on gusty");
        assert_eq!(refused("netpoll/Cargo.toml")[0].line, 3);
        assert!(refused("benches/Cargo.toml").is_empty());
    }
}
