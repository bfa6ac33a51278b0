//! Owns which names a piece of code uses: words, modules of this crate, other crates.

use std::collections::BTreeSet;

use super::source::Source;

/// The crate's modules that a file names, with the line of each.
pub(super) fn modules_named(file: &Source) -> BTreeSet<(usize, String)> {
    let mut named = BTreeSet::new();
    let depth = module_depth(&file.path);
    for start in ["crate::", "hpts::", "super::"] {
        for (at, _) in file.code.match_indices(start) {
            let (before, from) = file.code.split_at(at);
            if ends_in_name(before) || before.ends_with("::") {
                continue;
            }
            let path = from.trim_start_matches(start);
            let ups = from.len().saturating_sub(path.len()).checked_div(start.len()).unwrap_or(0);
            if start == "super::" && ups < depth {
                continue;
            }
            let number = before.lines().count().max(1);
            named.extend(first_names(path).into_iter().map(|name| (number, name)));
        }
    }
    named
}

/// How many modules deep a file is: `src/core/money.rs` is 2, `src/core/mod.rs` is 1.
fn module_depth(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    if inside == "lib" || inside == "main" { 0 } else { inside.split('/').count() }
}

/// The first name of a path, or of each path of a group in braces.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.trim_start().strip_prefix('{') else {
        return vec![path.chars().take_while(|character| is_name(*character)).collect()];
    };
    let mut names = vec![String::new()];
    let mut depth: usize = 1;
    let mut in_first_name = true;
    for character in group.chars() {
        match character {
            '{' => depth = depth.saturating_add(1),
            '}' if depth <= 1 => break,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 1 => {
                names.push(String::new());
                in_first_name = true;
            }
            _ if character.is_whitespace() => {}
            _ if !is_name(character) => in_first_name = false,
            _ if in_first_name && depth == 1 => {
                if let Some(name) = names.last_mut() {
                    name.push(character);
                }
            }
            _ => {}
        }
    }
    names
}

/// Whether a line names an outside crate; a module or a variable of the same name does not count.
pub(super) fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, from) = line.split_at(at);
        let after = from.strip_prefix(name).unwrap_or_default();
        let local = before.strip_suffix("::").is_some_and(|path| ends_in_name(path) || path.ends_with('>'));
        let imported = ["use", "extern crate", "#["].iter().any(|word| before.trim_end().ends_with(word));
        let is_path = after.trim_start().starts_with("::") || (imported && !after.starts_with(is_name));
        !ends_in_name(before) && !local && is_path
    })
}

/// Whether a character may stand in a name.
pub(super) fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether a text ends in the middle or at the end of a name.
pub(super) fn ends_in_name(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_name)
}

/// Whether a line holds a word that is not part of a longer name.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, from) = line.split_at(at);
        let after = from.strip_prefix(word).unwrap_or_default();
        !ends_in_name(before) && (!ends_in_name(word) || !after.starts_with(is_name))
    })
}

#[test]
fn a_floor_is_found_however_it_is_named() {
    let named = |path: &str, text: &str| -> Vec<String> {
        modules_named(&Source::new(path, text)).into_iter().map(|(number, name)| format!("{number} {name}")).collect()
    };
    assert_eq!(named("src/core/money.rs", "//! x\nuse crate::store::Store;"), ["2 store"]);
    assert_eq!(
        named("src/core/money.rs", "use crate::{ids::A, store::{B, api::C}, broker};"),
        ["1 broker", "1 ids", "1 store"]
    );
    assert_eq!(named("src/core/money.rs", "use super::super::runtime::Clock;"), ["1 runtime"]);
    assert_eq!(named("src/core/mod.rs", "pub use super::worker;"), ["1 worker"]);
    assert!(named("src/core/money.rs", "use super::ids; // crate::store\nlet a = \"crate::api\";").is_empty());
}

#[test]
fn a_crate_is_found_however_it_is_named() {
    for line in [
        "use sqlx::Row;",
        "use sqlx;",
        "x: ::sqlx::Row",
        "#[derive(sqlx::FromRow)]",
        "#[sqlx(rename)]",
        "use {a, sqlx::b}",
    ] {
        assert!(names_crate(line, "sqlx"), "{line}");
    }
    for line in ["use crate::sqlx::x", "my_sqlx::x()", "sqlx.run()", "sqlx_core::x", "use sqlx_core;"] {
        assert!(!names_crate(line, "sqlx"), "{line}");
    }
}
