//! The rooms of the library and of `cargo pkg`: which may take from which.

use std::collections::BTreeSet;

use super::graph::{Arrow, files, read, rings};

/// Rooms in order: each takes from those before it, and from its neighbours as long as no ring comes of it.
struct House {
    /// Where its files lie.
    folder: &'static str,
    /// Where its order is written for people.
    sentence: &'static str,
    order: &'static [&'static [&'static str]],
    /// Rooms that take from the order up to this one, and that nobody takes from.
    aside: &'static [&'static str],
    highest: &'static str,
}

/// THE order of the library. `src/lib.rs` says it in a sentence, which is held against this.
const LIBRARY: House = House {
    folder: "src",
    sentence: "src/lib.rs",
    order: &[
        &["error", "prediction", "math", "movements", "config"],
        &["tensors", "evidence"],
        &["bundle", "preprocess", "model"],
        &["face", "engine"],
        &["session"],
        &["wasm"],
    ],
    aside: &["train", "import", "metrics"],
    highest: "engine",
};

/// The order of `cargo pkg`.
const TOOL: House = House {
    folder: "pkg-build/src",
    sentence: "pkg-build/src/main.rs",
    order: &[
        &["project", "files"],
        &["media"],
        &["build"],
        &["data"],
        &["bundles"],
        &["evaluation"],
        &["packaging"],
        &["training"],
        &["commands"],
    ],
    aside: &[],
    highest: "commands",
};

impl House {
    fn floor(&self, room: &str) -> Option<usize> {
        self.order.iter().position(|rooms| rooms.contains(&room))
    }

    /// As the documentation has it.
    fn in_words(&self) -> String {
        self.order.iter().map(|rooms| rooms.join(", ")).collect::<Vec<_>>().join(" <- ")
    }

    /// The arrows that run back up, and the rings.
    fn complaints(&self) -> Vec<String> {
        let modules = Modules::of(self.folder);
        let arrows: Vec<Arrow> = modules.arrows().into_iter().filter(|arrow| arrow.from != arrow.to).collect();
        let rooms = |arrow: &Arrow| Arrow { from: room(&arrow.from), to: room(&arrow.to), place: arrow.place.clone() };
        let between: Vec<Arrow> = arrows.iter().map(rooms).filter(|arrow| arrow.from != arrow.to).collect();
        let mut complaints: Vec<String> = between.iter().filter_map(|arrow| self.complaint(arrow)).collect();
        complaints.extend(rings(&between));
        // Within a room a folder's mod.rs and its files name each other by nature.
        let within: Vec<Arrow> = arrows.into_iter().filter(|arrow| !modules.is_folder(&arrow.to)).collect();
        let within: Vec<Arrow> = within.into_iter().filter(|arrow| !modules.is_folder(&arrow.from)).collect();
        complaints.extend(rings(&within));
        complaints
    }

    fn complaint(&self, Arrow { place, from, to }: &Arrow) -> Option<String> {
        let highest = self.floor(if self.aside.contains(&from.as_str()) { self.highest } else { from });
        let why = match (highest, self.floor(to)) {
            (None, _) => format!("the room `{from}` stands in no order; add it"),
            (_, None) if self.aside.contains(&to.as_str()) => {
                format!("`{from}` takes from `{to}`, which only hangs on the others")
            }
            (_, None) => format!("the room `{to}` stands in no order; add it"),
            (Some(highest), Some(floor)) if floor > highest => {
                format!("`{from}` takes from `{to}`, which stands above it")
            }
            _ => return None,
        };
        Some(format!("{place}: {why}"))
    }
}

fn room(module: &str) -> String {
    module.split("::").next().unwrap_or_default().into()
}

/// The modules of a crate, by the files they stand in.
struct Modules {
    /// Path and module of every file but the root.
    files: Vec<(String, String)>,
    /// `Name` -> the room that the root takes it from.
    exported: Vec<(String, String)>,
}

impl Modules {
    fn of(folder: &str) -> Self {
        let (mut found, mut exported) = (Vec::new(), Vec::new());
        for path in files(folder, ".rs") {
            let inner = path.trim_start_matches(&format!("{folder}/")).trim_end_matches(".rs");
            match inner {
                "lib" | "main" => {
                    for (_, statement) in statements(&read(&path)) {
                        let Some(names) = statement.strip_prefix("pub use ") else { continue };
                        exported.extend(
                            paths(names).into_iter().map(|path| (path[path.len() - 1].clone(), path[0].clone())),
                        );
                    }
                }
                _ => found.push((path.clone(), inner.trim_end_matches("/mod").replace('/', "::"))),
            }
        }
        Self { files: found, exported }
    }

    fn is_folder(&self, module: &str) -> bool {
        self.files.iter().any(|(path, name)| name == module && path.ends_with("/mod.rs"))
    }

    /// The deepest module of a path from the crate's root.
    fn module(&self, path: &[String]) -> Option<String> {
        if let Some((_, room)) = self.exported.iter().find(|(name, _)| name == &path[0]) {
            return Some(room.clone());
        }
        let modules: BTreeSet<&str> = self.files.iter().map(|(_, module)| module.as_str()).collect();
        (1..=path.len()).rev().map(|length| path[..length].join("::")).find(|module| modules.contains(module.as_str()))
    }

    /// What each file takes from another.
    fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (file, module) in &self.files {
            let own: Vec<String> = module.split("::").map(String::from).collect();
            let mut inner = Vec::new();
            for (line, statement) in statements(&read(file)) {
                // Modules within the file: rustfmt closes them at the column where they began.
                let column = statement.len() - statement.trim_start().len();
                let text = statement.trim();
                if text.starts_with('}') {
                    inner.retain(|&opened| opened < column);
                }
                if text.ends_with('{') && text.trim_start_matches("pub ").starts_with("mod ") {
                    inner.push(column);
                }
                for path in taken(text, &own, inner.len()) {
                    if let Some(to) = self.module(&path) {
                        arrows.push(Arrow { place: format!("{file}:{line}"), from: module.clone(), to });
                    }
                }
            }
        }
        arrows
    }
}

/// The lines of a source without comments; a `use` over several lines is one.
fn statements(source: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (index, line) in source.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        match found.last_mut().filter(|_| is_open) {
            Some((_, statement)) => statement.push_str(line.trim()),
            None => found.push((index + 1, line.into())),
        }
        let statement = found.last().map_or("", |(_, statement)| statement.trim());
        let visible = ["pub ", "pub(crate) ", "pub(super) "].iter().find_map(|word| statement.strip_prefix(word));
        is_open = visible.unwrap_or(statement).starts_with("use ") && !statement.ends_with(';');
    }
    found
}

/// The paths of a line that begin at the crate's root, from there on: `crate::a::B`, and `super::` as far as it climbs.
fn taken(text: &str, own: &[String], inner: usize) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("crate::").filter(|(start, _)| begins_word(text, *start)) {
        found.extend(paths(&text[start + "crate::".len()..]));
    }
    for (start, _) in text.match_indices("super::").filter(|(start, _)| begins_word(text, *start)) {
        let mut rest = &text[start..];
        let mut climbed = 0usize;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, climbed) = (after, climbed + 1);
        }
        // Out of the modules within the file first, then out of the file.
        let Some(climbed) = climbed.checked_sub(inner).filter(|&climbed| 0 < climbed && climbed <= own.len()) else {
            continue;
        };
        let base = &own[..own.len() - climbed];
        found.extend(paths(rest).into_iter().map(|path| [base, path.as_slice()].concat()));
    }
    found
}

fn begins_word(text: &str, start: usize) -> bool {
    !text[..start].ends_with(|letter: char| letter.is_alphanumeric() || "_:$".contains(letter))
}

/// `a::{B, c::D}` -> `a::B` and `a::c::D`: as much of the text as is a path.
fn paths(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
        for (index, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    parts.push(&group[from..index]);
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(&group[from..index]);
                    from = index + 1;
                }
                _ => {}
            }
        }
        return parts.into_iter().flat_map(paths).collect();
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    if end == 0 {
        return Vec::new();
    }
    let name = text[..end].to_owned();
    match text[end..].strip_prefix("::").map(paths) {
        Some(inner) if !inner.is_empty() => {
            inner.into_iter().map(|path| [std::slice::from_ref(&name), path.as_slice()].concat()).collect()
        }
        _ => vec![vec![name]],
    }
}

#[test]
fn arrows_of_the_library_run_one_way() {
    let complaints = LIBRARY.complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn arrows_of_the_tool_run_one_way() {
    let complaints = TOOL.complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn commands_take_nothing_from_each_other() {
    let modules = Modules::of(TOOL.folder);
    let between = modules.arrows().into_iter().filter(|arrow| {
        let [from, to] = [&arrow.from, &arrow.to].map(|module| module.starts_with("commands::"));
        from && to && arrow.from != arrow.to
    });
    let places: Vec<String> =
        between.map(|arrow| format!("{}: {} takes from {}", arrow.place, arrow.from, arrow.to)).collect();
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn the_documentation_says_the_same_order() {
    for house in [LIBRARY, TOOL] {
        let source = read(house.sentence);
        let words: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let sentence = format!("Arrows run one way: `{}`", house.in_words());
        assert!(words.join(" ").contains(&sentence), "{} does not say: {sentence}", house.sentence);
        for room in house.aside {
            assert!(words.join(" ").contains(&format!("`{room}`")), "{} does not name `{room}`", house.sentence);
        }
    }
}

#[test]
fn paths_are_read_as_they_are_written() {
    let own = ["engine", "cpu", "gemm"].map(String::from);
    let read =
        |text: &str, inner| -> Vec<String> { taken(text, &own, inner).iter().map(|path| path.join("::")).collect() };
    assert_eq!(read("use crate::{a::B, c::{D, e::F}};", 0), ["a::B", "c::D", "c::e::F"]);
    assert_eq!(read("let x: crate::model::Y = $crate::z();", 0), ["model::Y"]);
    assert_eq!(
        read("use super::memory::{Rows, Output};", 0),
        ["engine::cpu::memory::Rows", "engine::cpu::memory::Output"]
    );
    assert_eq!(read("use super::super::burn::Cliper;", 0), ["engine::burn::Cliper"]);
    assert_eq!(read("use super::*;", 1), Vec::<String>::new());
    assert_eq!(read("use super::super::linear::X;", 1), ["engine::cpu::linear::X"]);
    let lines = statements("// use crate::a;\nuse b::{\n    C,\n    D,\n};\nfn e() {}");
    assert_eq!(lines, [(2, "use b::{C,D,};".to_owned()), (6, "fn e() {}".to_owned())]);
}
