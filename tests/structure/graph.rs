//! Files, the arrows between them, and rings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// One file takes something from another place, named in its line.
#[derive(Debug, Clone)]
pub struct Arrow {
    /// `file:line`.
    pub place: String,
    pub from: String,
    pub to: String,
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder and below it, as paths from the repository's root, in order.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.expect("a folder's entry");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => found.extend(files(&path, ending)),
            false if path.ends_with(ending) => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// One sentence for every ring: the arrows of a shortest one through each place that is in any.
pub fn rings(arrows: &[Arrow]) -> Vec<String> {
    let mut next: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for Arrow { place, from, to } in arrows.iter().filter(|arrow| arrow.from != arrow.to) {
        next.entry(from).or_default().entry(to).or_insert(place);
    }
    let (mut told, mut seen) = (Vec::new(), BTreeSet::new());
    for &start in next.keys() {
        let Some(ring) = ring_through(start, &next) else { continue };
        if ring.iter().any(|node| !seen.insert(*node)) {
            continue;
        }
        let way = ring.iter().zip(ring.iter().cycle().skip(1));
        let steps: Vec<String> = way.map(|(from, to)| format!("{from} takes from {to} ({})", next[from][to])).collect();
        told.push(format!("a ring: {}", steps.join(", ")));
    }
    told
}

/// The shortest way from a place back to it.
fn ring_through<'a>(start: &'a str, next: &BTreeMap<&'a str, BTreeMap<&'a str, &str>>) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for &to in next.get(way[way.len() - 1]).into_iter().flat_map(BTreeMap::keys) {
                if to == start {
                    return Some(way);
                }
                if seen.insert(to) {
                    longer.push([way.as_slice(), &[to]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

#[test]
fn a_ring_is_found_and_a_chain_is_none() {
    let arrow = |from: &str, to: &str| Arrow { place: format!("{from}:1"), from: from.into(), to: to.into() };
    let mut arrows = vec![arrow("a", "b"), arrow("b", "c"), arrow("a", "c"), arrow("d", "d")];
    assert_eq!(rings(&arrows), Vec::<String>::new());
    arrows.push(arrow("c", "a"));
    let told = rings(&arrows);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("c takes from a (c:1)"), "{told:?}");
}
