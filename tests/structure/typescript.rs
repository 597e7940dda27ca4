//! The rooms of `www/src`: page and worker share `shared` alone, elements see the entry, and no file that a worker imports starts that worker.

use super::graph::{Arrow, files, read, rings};

const FOLDER: &str = "www/src";

/// What a file names: a module that it imports, or a script that it starts.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    Import,
    Address,
}

/// The scripts that a file names by relative addresses, as paths from the repository's root.
fn named(file: &str, names: Names) -> Vec<Arrow> {
    let mut found = Vec::new();
    for (index, line) in read(file).lines().enumerate() {
        if line.trim_start().starts_with("//") || line.trim_start().starts_with('*') {
            continue;
        }
        let before: &[&str] = if names == Names::Import { &["from '", "import('", "import '"] } else { &["new URL('"] };
        for (start, word) in before.iter().flat_map(|word| line.match_indices(word)) {
            let address = line[start + word.len()..].split('\'').next().unwrap_or_default();
            let Some(script) = address.strip_suffix(".js").filter(|script| script.starts_with('.')) else { continue };
            // Made by the build.
            if script.ends_with("/cliper") {
                continue;
            }
            let to = format!("{}.ts", resolve(file, script));
            found.push(Arrow { place: format!("{file}:{}", index + 1), from: file.into(), to });
        }
    }
    found
}

fn resolve(file: &str, address: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in address.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// `page`, `worker`, `shared`, or none of the entry `index.ts`.
fn room(file: &str) -> &str {
    file.strip_prefix("www/src/").and_then(|inner| inner.split_once('/')).map_or("", |(room, _)| room)
}

fn sources() -> Vec<String> {
    files(FOLDER, ".ts").into_iter().filter(|file| !file.ends_with(".d.ts")).collect()
}

#[test]
fn page_and_worker_share_shared_alone() {
    let imports: Vec<Arrow> = sources().iter().flat_map(|file| named(file, Names::Import)).collect();
    assert!(imports.len() > 50, "imports are not found any more");
    let is_fine = |Arrow { from, to, .. }: &&Arrow| match room(from) {
        "shared" => room(to) == "shared",
        "" => ["page", "shared"].contains(&room(to)),
        // As every page does.
        "element" => ["element", ""].contains(&room(to)),
        own => [own, "shared"].contains(&room(to)),
    };
    let wrong: Vec<String> = imports
        .iter()
        .filter(|arrow| !is_fine(arrow))
        .map(|arrow| format!("{}: imports {}", arrow.place, arrow.to))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_imports_or_starts_what_reaches_it() {
    let both = |file: &String| [named(file, Names::Import), named(file, Names::Address)].concat();
    let arrows: Vec<Arrow> = sources().iter().flat_map(both).collect();
    let started = |script: &str| arrows.iter().any(|arrow| arrow.to.ends_with(script));
    assert!(
        started("worker/worker.ts") && started("worker/thread.ts"),
        "the workers' addresses are not found any more"
    );
    let found = rings(&arrows);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_demo_sees_the_library_s_entry_alone() {
    let imports: Vec<Arrow> = files("www/demo", ".ts").iter().flat_map(|file| named(file, Names::Import)).collect();
    let wrong: Vec<String> = imports
        .iter()
        .filter(|arrow| arrow.to.starts_with(FOLDER) && arrow.to != "www/src/index.ts")
        .map(|arrow| format!("{}: imports {}", arrow.place, arrow.to))
        .collect();
    assert!(imports.iter().any(|arrow| arrow.to == "www/src/index.ts") && wrong.is_empty(), "{}", wrong.join("\n"));
}
