//! Job: the graph of a crate's files: which file uses which, and where.
//! Not here: which of these edges are allowed (`layers`).
//!
//! A path is followed to the file that defines its last item, through the re-exports of facades
//! (`pub(crate) use self::run::schedule` in `sched/mod.rs`), so that a facade does not tie a knot
//! that the code behind it has not. A facade's own re-exports of its children are no edges.

use std::collections::{BTreeMap, HashMap};

use super::scan::{Import, Module, Scan, scan};
use super::source::Source;

/// How many re-exports a path may go through.
const MAX_HOPS: usize = 8;

/// The files of one crate.
pub(crate) struct Graph<'a> {
    pub(crate) files: Vec<&'a Source>,
    scans: Vec<Scan>,
    modules: Vec<Module>,
    by_module: HashMap<Module, usize>,
    macros: HashMap<String, usize>,
}

/// Where a path leads.
struct Target {
    file: usize,
    /// The path names this module itself, not something in it.
    module: Option<Module>,
}

impl<'a> Graph<'a> {
    /// Of the crate in this folder, without files that are tests.
    pub(crate) fn new(sources: &'a [Source], krate: &str) -> Graph<'a> {
        let in_crate =
            |s: &&Source| s.krate() == krate && s.in_src().is_some() && !s.is_test_file();
        let files: Vec<&Source> = sources.iter().filter(in_crate).collect();
        let modules: Vec<Module> =
            files.iter().map(|s| module_of(s.in_src().unwrap_or(""))).collect();
        let scans: Vec<Scan> = files.iter().zip(&modules).map(|(s, m)| scan(s, m)).collect();
        let mut by_module = HashMap::new();
        let mut macros = HashMap::new();
        for (file, (module, scan)) in modules.iter().zip(&scans).enumerate() {
            by_module.insert(module.clone(), file);
            by_module.extend(scan.inline_modules.iter().map(|m| (m.clone(), file)));
            macros.extend(scan.macros.iter().map(|name| (name.clone(), file)));
        }
        Graph { files, scans, modules, by_module, macros }
    }

    /// For each file that uses others of the crate: those, and the first line that does.
    pub(crate) fn edges(&self) -> Vec<BTreeMap<usize, usize>> {
        (0..self.files.len()).map(|file| self.edges_of(file)).collect()
    }

    fn edges_of(&self, file: usize) -> BTreeMap<usize, usize> {
        let scan = &self.scans[file];
        let mut found: Vec<(usize, usize)> = Vec::new();
        for import in &scan.imports {
            let Some(target) = self.resolve(file, &import.module, &import.path, 0) else {
                continue;
            };
            let facade = import.public && self.modules[target.file].starts_with(&import.module);
            // A module taken by name counts where it is used, by what is used of it.
            let is_module = target.module.is_some() && import.name != "*" && !import.public;
            let mentioned = || scan.mentions.iter().any(|m| m.path[0] == import.name);
            if facade || (is_module && mentioned()) {
                continue;
            }
            found.push((target.file, import.line));
        }
        for mention in &scan.mentions {
            if let Some(target) = self.resolve(file, &mention.module, &mention.path, 0) {
                found.push((target.file, mention.line));
            }
        }
        let mut edges = BTreeMap::new();
        for (to, line) in found.into_iter().filter(|(to, _)| *to != file) {
            let first = edges.entry(to).or_insert(line);
            *first = line.min(*first);
        }
        edges
    }

    /// Where a path written in `module` of `file` leads; None if out of the crate.
    fn resolve(
        &self,
        file: usize,
        module: &Module,
        path: &[String],
        hops: usize,
    ) -> Option<Target> {
        if hops > MAX_HOPS {
            return None;
        }
        let absolute = self.absolute(file, module, path, hops)?;
        let known = |depth: &usize| self.by_module.contains_key(&absolute[..*depth]);
        let depth = (0..=absolute.len()).rev().find(known)?;
        let inner = absolute[..depth].to_vec();
        let at = *self.by_module.get(&inner)?;
        let Some(name) = absolute.get(depth) else {
            return Some(Target { file: at, module: Some(inner) });
        };
        let home = Some(Target { file: at, module: None });
        if self.scans[at].items.contains(name) {
            return home;
        }
        let rest = &absolute[depth + 1..];
        let mut imports = self.imports_in(at, &inner);
        if let Some(import) = imports.find(|import| import.name == *name) {
            let path: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            return self.resolve(at, &inner, &path, hops + 1).or(home);
        }
        for glob in self.imports_in(at, &inner).filter(|import| import.name == "*") {
            if let Some(from) = self.resolve(at, &inner, &glob.path, hops + 1)
                && self.scans[from.file].items.contains(name)
            {
                return Some(Target { file: from.file, module: None });
            }
        }
        let by_macro = self.macros.get(name).map(|&file| Target { file, module: None });
        by_macro.or(home)
    }

    fn imports_in<'s>(
        &'s self,
        file: usize,
        module: &'s Module,
    ) -> impl Iterator<Item = &'s Import> {
        self.scans[file].imports.iter().filter(move |import| import.module == *module)
    }

    /// The path from the crate's root; None if it begins with another crate.
    fn absolute(
        &self,
        file: usize,
        module: &Module,
        path: &[String],
        hops: usize,
    ) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut start = module.clone();
        match first.as_str() {
            "crate" => start.clear(),
            "self" => {}
            "super" => {
                start.pop()?;
                let supers = rest.iter().take_while(|part| *part == "super").count();
                start.truncate(start.len().checked_sub(supers)?);
                return Some(start.into_iter().chain(rest[supers..].iter().cloned()).collect());
            }
            name => {
                start.push(name.to_owned());
                if !self.by_module.contains_key(&start) {
                    let mut imports = self.imports_in(file, module);
                    let import = imports.find(|i| i.name == name && i.path[0] != name)?;
                    if hops > MAX_HOPS {
                        return None;
                    }
                    start = self.absolute(file, module, &import.path, hops + 1)?;
                }
            }
        }
        Some(start.into_iter().chain(rest.iter().cloned()).collect())
    }
}

/// `sched/mod.rs` and `sched.rs` are module `sched`; `lib.rs` and `main.rs` are the root.
fn module_of(in_src: &str) -> Module {
    let path = in_src.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" | "main" => Vec::new(),
        _ => path.split('/').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges among planted files, as `a.rs:line b.rs`.
    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(&format!("runtime/src/{path}"), text))
            .collect();
        let graph = Graph::new(&sources, "runtime");
        let name = |file: usize| graph.files[file].in_src().unwrap();
        let mut out = Vec::new();
        for (from, edges) in graph.edges().iter().enumerate() {
            out.extend(
                edges.iter().map(|(to, line)| format!("{}:{line} {}", name(from), name(*to))),
            );
        }
        out
    }

    #[test]
    fn paths_lead_to_files() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\nuse std::fmt;"),
            ("a.rs", "use crate::b::{C, d};\nfn f() { d::g() }"),
            ("b/mod.rs", "pub(crate) struct C;\npub(crate) mod d;"),
            ("b/d.rs", "fn g() { super::C::new() }"),
        ];
        assert_eq!(edges(&files), ["a.rs:1 b/mod.rs", "a.rs:2 b/d.rs", "b/d.rs:1 b/mod.rs"]);
    }

    #[test]
    fn facades_are_looked_through() {
        let files = [
            ("s/mod.rs", "mod x;\nmod y;\npub(crate) use self::x::X;\npub(crate) use y::*;"),
            ("s/x.rs", "pub(crate) struct X;\nuse crate::s::Y;"),
            ("s/y.rs", "pub(crate) struct Y;"),
            ("u.rs", "use crate::s;\nfn f() { s::X::new(); }"),
        ];
        assert_eq!(edges(&files), ["s/x.rs:2 s/y.rs", "u.rs:2 s/x.rs"]);
    }

    #[test]
    fn a_facade_with_code_of_its_own_does_depend() {
        let files = [
            ("s/mod.rs", "mod x;\nuse self::x::X;\nfn f() { x::g() }"),
            ("s/x.rs", "pub(crate) struct X;"),
            ("t.rs", "pub(crate) use crate::s::x::X;"),
        ];
        assert_eq!(edges(&files), ["s/mod.rs:2 s/x.rs", "t.rs:1 s/x.rs"]);
    }

    #[test]
    fn macros_lead_to_their_file_not_to_the_root() {
        let files = [
            ("lib.rs", "mod m;\nmod u;"),
            ("m.rs", "#[macro_export]\nmacro_rules! go { () => { $crate::u::f() } }"),
            ("u.rs", "fn f() { crate::go!() }"),
        ];
        assert_eq!(edges(&files), ["u.rs:1 m.rs"]);
    }

    #[test]
    fn other_crates_and_self_named_imports_are_no_edges() {
        let files = [
            ("a.rs", "use mio;\nuse mio::Token;\nfn f() { mio::x(); Token::y() }"),
            ("b.rs", "use a::x as a;\nuse c::b as c;\nfn f() { a::d(); c::d() }"),
        ];
        let found = edges(&files);
        assert!(found.is_empty(), "{found:?}");
    }
}
