//! Job: refuses a dependency without a reason, a version without its changelog heading, and
//!   manifests that disagree about the version.
//! Not here: which crate may depend on which (`layers`).

use super::source::Problem;

/// A Cargo.toml, read by lines.
pub(crate) struct Manifest {
    pub(crate) path: String,
    text: String,
}

/// One dependency of a manifest.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// A comment on its line, directly above its group, or above its table says why.
    reasoned: bool,
    /// `x.workspace = true`: the reason stands in the workspace's manifest.
    inherited: bool,
    value: String,
}

/// Is it a crate of this workspace?
pub(crate) fn is_ours(name: &str) -> bool {
    name == "xtask" || name == "gusty" || name.starts_with("gusty-")
}

impl Manifest {
    pub(crate) fn new(path: &str, text: &str) -> Manifest {
        Manifest { path: path.to_owned(), text: text.to_owned() }
    }

    /// The crate's folder, empty for the workspace.
    pub(crate) fn krate(&self) -> &str {
        self.path.trim_end_matches("Cargo.toml").trim_end_matches('/')
    }

    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        let mut found = Vec::new();
        let mut in_table = false;
        let mut reasoned = false;
        let mut depth = 0i32;
        for (line, text) in (1..).zip(self.text.lines().map(str::trim)) {
            let inside_value = depth > 0;
            let brackets = |open, close| {
                text.matches(open).count() as i32 - text.matches(close).count() as i32
            };
            if inside_value {
                depth += brackets(['[', '{'], [']', '}']);
            } else if text.is_empty() {
                reasoned = false;
            } else if text.starts_with('#') {
                reasoned = true;
            } else if let Some(table) = text.strip_prefix('[') {
                let table = table.split(']').next().unwrap_or_default();
                let (parent, last) = table.rsplit_once('.').unwrap_or(("", table));
                in_table = last.ends_with("dependencies");
                if parent.ends_with("dependencies") {
                    let (name, value) = (last.to_owned(), String::new());
                    found.push(Dependency { name, line, reasoned, inherited: false, value });
                }
            } else if let (true, Some((key, value))) = (in_table, text.split_once('=')) {
                depth += brackets(['[', '{'], [']', '}']);
                let (name, sub) = key.trim().split_once('.').unwrap_or((key.trim(), ""));
                found.push(Dependency {
                    name: name.trim_matches('"').to_owned(),
                    line,
                    reasoned: reasoned || value.contains(" #"),
                    inherited: sub == "workspace" || value.contains("workspace = true"),
                    value: value.to_owned(),
                });
            }
        }
        found
    }

    /// The value of `version = "..."` under `[workspace.package]`.
    fn workspace_version(&self) -> Option<&str> {
        let (_, package) = self.text.split_once("[workspace.package]")?;
        package
            .lines()
            .skip(1)
            .take_while(|l| !l.starts_with('['))
            .find_map(|l| quoted(l, "version"))
    }
}

/// `x` of `... key = "x" ...`.
fn quoted<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(key)?;
    rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?.split('"').next()
}

/// `changelog` is the text of CHANGELOG.md, if there is one.
pub(crate) fn check(manifests: &[Manifest], changelog: Option<&str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for manifest in manifests {
        for dependency in manifest.dependencies() {
            let Dependency { name, line, reasoned, inherited, .. } = dependency;
            if !is_ours(&name) && !reasoned && !inherited {
                let message =
                    format!("{name}: say why, in a comment on the line or above its group");
                problems.push(Problem::new(&manifest.path, line, message));
            }
        }
    }
    let Some(root) = manifests.iter().find(|m| m.krate().is_empty()) else { return problems };
    let Some(version) = root.workspace_version() else {
        problems.push(Problem::new(&root.path, 1, "no version under [workspace.package]"));
        return problems;
    };
    for own in root.dependencies().iter().filter(|d| is_ours(&d.name)) {
        if quoted(&own.value, "version").is_some_and(|said| said != version) {
            let message = format!("{}: its version is not the workspace's, {version}", own.name);
            problems.push(Problem::new(&root.path, own.line, message));
        }
    }
    match latest_heading(changelog.unwrap_or_default()) {
        Some((_, said)) if said == version => {}
        Some((line, said)) => {
            let message =
                format!("the newest version here is {said}, the workspace's is {version}");
            problems.push(Problem::new("CHANGELOG.md", line, message));
        }
        None => {
            let message = format!("no heading `## [{version}]`");
            problems.push(Problem::new("CHANGELOG.md", 1, message));
        }
    }
    problems
}

/// Line and version of the first `## [x.y.z]` or `## x.y.z`.
fn latest_heading(changelog: &str) -> Option<(usize, &str)> {
    (1..).zip(changelog.lines()).find_map(|(line, text)| {
        let version = text.strip_prefix("## ")?.trim_start_matches('[').split([']', ' ']).next()?;
        version.starts_with(|c: char| c.is_ascii_digit()).then_some((line, version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace.package]\nversion = \"0.2.0\"\n[workspace.dependencies]\n";
    const LOG: &str = "# Changes\n## [Unreleased]\n## [0.2.0] - soon\n## [0.1.0]\n";

    fn messages(path: &str, text: &str, log: &str) -> Vec<String> {
        check(&[Manifest::new(path, text)], Some(log)).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn a_dependency_needs_a_reason() {
        let good = "[dependencies]\n# Why.\na = \"1\"\nb = { version = \"1\", features = [\n  \"c\",\n] }\n\nd = \"1\" # why\ngusty = \"1\"\ne.workspace = true\nf = { workspace = true }\n# Why.\n[dev-dependencies.g]\nversion = \"1\"\n[features]\nh = []\n";
        assert!(messages("benches/Cargo.toml", good, "").is_empty());
        let bad = "[target.'cfg(loom)'.dependencies]\n# Why.\na = \"1\"\n\nb = \"1\"\n\n[dependencies.c]\nversion = \"1\"\n";
        let found = check(&[Manifest::new("benches/Cargo.toml", bad)], None);
        assert_eq!(found.iter().map(|p| p.line).collect::<Vec<_>>(), [5, 7]);
    }

    #[test]
    fn versions_agree() {
        assert!(messages("Cargo.toml", ROOT, LOG).is_empty());
        let other = LOG.replace("0.2.0", "0.1.1");
        assert!(messages("Cargo.toml", ROOT, &other)[0].contains("newest version here is 0.1.1"));
        assert!(messages("Cargo.toml", ROOT, "# Changes")[0].contains("no heading `## [0.2.0]`"));
        let own = format!("{ROOT}gusty = {{ path = \"runtime\", version = \"0.1.0\" }}\n");
        assert!(messages("Cargo.toml", &own, LOG)[0].contains("gusty: its version"));
    }
}
