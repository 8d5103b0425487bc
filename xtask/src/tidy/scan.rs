//! Job: what one file says about modules: its `use` trees, its other paths, the names it defines.
//! Not here: which file a path leads to (`modules`).
//!
//! Test code is left out: a test may use what the code beside it may not.

use std::collections::HashSet;

use super::source::{Source, is_word, past_match};

/// Absolute path of a module in its crate; the root is empty.
pub(crate) type Module = Vec<String>;

/// One leaf of a `use` tree.
#[derive(Debug)]
pub(crate) struct Import {
    /// As written; a glob without its star.
    pub(crate) path: Vec<String>,
    /// The name it gives, `*` for a glob.
    pub(crate) name: String,
    /// `pub use`, `pub(crate) use`: it re-exports.
    pub(crate) public: bool,
    /// The module it stands in.
    pub(crate) module: Module,
    pub(crate) line: usize,
}

/// A path of two or more parts outside `use`.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) module: Module,
    pub(crate) line: usize,
}

/// Everything one file says.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
    /// Names of its functions, types, constants ...
    pub(crate) items: HashSet<String>,
    /// Names of its `macro_rules!`.
    pub(crate) macros: Vec<String>,
    /// Modules with a body in this file.
    pub(crate) inline_modules: Vec<Module>,
}

/// What introduces the name of an item.
const ITEM_WORDS: [&str; 9] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];

pub(crate) fn scan(source: &Source, module: &Module) -> Scan {
    let tokens = tokens(&source.code);
    let mut out = Scan::default();
    // Inline modules around the token, with the offset where each ends.
    let mut around: Vec<(usize, String)> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let Token { text, at } = tokens[i];
        around.retain(|(end, _)| at < *end);
        let here = || -> Module {
            module.iter().cloned().chain(around.iter().map(|(_, name)| name.clone())).collect()
        };
        let line = source.line_of(at);
        let next = |n: usize| tokens.get(i + n).map_or("", |t| t.text);
        if source.is_test(line) {
            i += 1;
        } else if text == "use" && !matches!(next(1), "<" | "") {
            let public = i > 0 && is_visibility(&tokens[..i]);
            let (leaves, past) = use_tree(&tokens, i + 1, &[]);
            out.imports.extend(leaves.into_iter().map(|(path, name)| Import {
                path,
                name,
                public,
                module: here(),
                line,
            }));
            i = past;
        } else if text == "mod" && next(2) == "{" {
            let end = past_match(&source.code, tokens[i + 2].at);
            around.push((end, next(1).to_owned()));
            out.inline_modules.push(
                module.iter().cloned().chain(around.iter().map(|(_, name)| name.clone())).collect(),
            );
            i += 3;
        } else if ITEM_WORDS.contains(&text) {
            let name = if text == "macro_rules" { next(2) } else { next(1) };
            let name = if name == "mut" { next(2) } else { name }.to_owned();
            if text == "macro_rules" {
                out.macros.push(name.clone());
            }
            out.items.insert(name);
            i += 1;
        } else if starts_path(&tokens, i) {
            let mut path = vec![text.to_owned()];
            while next(path.len() * 2 - 1) == "::" && is_ident(next(path.len() * 2)) {
                path.push(next(path.len() * 2).to_owned());
            }
            i += path.len() * 2 - 1;
            out.mentions.push(Mention { path, module: here(), line });
        } else {
            i += 1;
        }
    }
    out
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    at: usize,
}

/// Words, `::`, and single characters.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let bytes = code.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = match bytes[at] {
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b':' if bytes.get(at + 1) == Some(&b':') => 2,
            b if is_word(b) => bytes[at..].iter().take_while(|&&b| is_word(b)).count(),
            _ => 1,
        };
        out.push(Token { text: &code[at..at + len], at });
        at += len;
    }
    out
}

fn is_ident(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| is_word(b) && !b.is_ascii_digit())
}

/// Does a path of two parts or more begin at token `i`? Not `$crate::`, `::std::`, `pub(in a::b)`.
fn starts_path(tokens: &[Token], i: usize) -> bool {
    let text = |n: usize| tokens.get(n).map_or("", |t| t.text);
    let before = i.checked_sub(1).map_or("", text);
    is_ident(text(i))
        && text(i + 1) == "::"
        && is_ident(text(i + 2))
        && !matches!(before, "::" | "$" | "in" | ".")
}

/// Do the tokens end in `pub` or `pub(...)`?
fn is_visibility(tokens: &[Token]) -> bool {
    let last = tokens.len() - 1;
    match tokens[last].text {
        "pub" => true,
        ")" => {
            let open = tokens.iter().rposition(|t| t.text == "(").unwrap_or(0);
            open > 0 && tokens[open - 1].text == "pub"
        }
        _ => false,
    }
}

/// The leaves of the tree that begins at token `i`, as (path, name), and the token after it.
fn use_tree(
    tokens: &[Token],
    mut i: usize,
    prefix: &[String],
) -> (Vec<(Vec<String>, String)>, usize) {
    let text = |i: usize| tokens.get(i).map_or(";", |t| t.text);
    let mut path = prefix.to_vec();
    loop {
        match text(i) {
            "::" => i += 1,
            "*" => return (vec![(path, "*".to_owned())], i + 1),
            "{" => {
                let mut leaves = Vec::new();
                i += 1;
                while !matches!(text(i), "}" | ";") {
                    let (more, past) = use_tree(tokens, i, &path);
                    leaves.extend(more);
                    i = past + usize::from(text(past) == ",");
                }
                return (leaves, i + 1);
            }
            word if is_ident(word) && word != "as" => {
                // `a::{self}` names `a`.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                i += 1;
            }
            word => {
                let (name, past) = match word {
                    "as" => (text(i + 1).to_owned(), i + 2),
                    _ => (path.last().cloned().unwrap_or_default(), i),
                };
                // A token that no tree has (a macro's `$x`): step over it.
                let past = if matches!(text(past), "," | "}" | ";") { past } else { past + 1 };
                return (vec![(path, name)], past);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> Scan {
        scan(&Source::new("runtime/src/a.rs", text), &vec!["a".to_owned()])
    }

    #[test]
    fn use_trees_are_flattened() {
        let out =
            scanned("pub(crate) use self::b::{self, c::*, d as e};\nuse crate::{f::{G, H}, i};");
        let got: Vec<String> = out
            .imports
            .iter()
            .map(|i| format!("{} = {} {}", i.name, i.path.join("::"), i.public))
            .collect();
        let want = [
            "b = self::b true",
            "* = self::b::c true",
            "e = self::b::d true",
            "G = crate::f::G false",
            "H = crate::f::H false",
            "i = crate::i false",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn paths_know_their_module() {
        let text = "fn f() { crate::b::c(); }\nmod m { fn g() -> super::D<E> { X::<u8>::y } }\n$crate::no::no; pub(in crate::no) fn h() {} ::std::no()";
        let got: Vec<String> = scanned(text)
            .mentions
            .iter()
            .map(|m| format!("{} in {}", m.path.join("::"), m.module.join("::")))
            .collect();
        assert_eq!(got, ["crate::b::c in a", "super::D in a::m"]);
    }

    #[test]
    fn tests_comments_and_strings_say_nothing() {
        let text = "// crate::b::c\nconst S: &str = \"crate::b\";\n#[cfg(test)]\nmod t { use crate::b; fn f() { crate::c::d() } }";
        let out = scanned(text);
        assert!(out.imports.is_empty() && out.mentions.is_empty());
        assert!(out.items.contains("S"));
    }

    #[test]
    fn items_and_macros_are_found() {
        let out = scanned("pub(crate) struct A; static mut B: u8 = 0; macro_rules! c { () => {} }");
        assert!(["A", "B", "c"].iter().all(|name| out.items.contains(*name)));
        assert_eq!(out.macros, ["c"]);
    }
}
