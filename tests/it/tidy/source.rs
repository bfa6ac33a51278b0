//! Owns reading Rust sources for the house rules: which text is code, which is a literal, which is a comment.
//!
//! A rule that looks for a word must not trip over a sentence or a message that holds the same word, so every file
//! comes in three views of equal line numbers. This is a scanner, not a parser: it knows comments (nested ones, too),
//! strings (raw ones, too) and character literals, and nothing else of the language.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file. Line `n` of each view is line `n` of the file; what belongs to another view is blank.
pub(super) struct Source {
    /// Path below the repository's root, with `/`.
    pub(super) path: String,
    /// The file as it is.
    pub(super) text: String,
    /// Neither comments nor the insides of strings.
    pub(super) code: String,
    /// Comments are blank, strings are whole.
    pub(super) code_and_strings: String,
    /// Comments only.
    pub(super) comments: String,
}

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text { raw_hashes: Option<usize> },
}

impl Source {
    /// Sorts the characters of `text` into views.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let mut source = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: String::new(),
            code_and_strings: String::new(),
            comments: String::new(),
        };
        let mut rest = text;
        let mut inside = Inside::Code;
        let mut before = ' ';
        while !rest.is_empty() {
            let (next, taken) = step(inside, rest, before);
            let (piece, remaining) = rest.split_at(taken);
            source.sort(inside, next, piece);
            before = piece.chars().next_back().unwrap_or(' ');
            inside = next;
            rest = remaining;
        }
        source
    }

    fn sort(&mut self, from: Inside, to: Inside, piece: &str) {
        let is_comment = |inside| matches!(inside, Inside::LineComment | Inside::BlockComment { .. });
        let is_text = |inside| matches!(inside, Inside::Text { .. });
        let commented = is_comment(from) || is_comment(to);
        let quoted = is_text(from) && is_text(to);
        for character in piece.chars() {
            let blank = if character == '\n' { '\n' } else { ' ' };
            let show = |shown: bool| if shown { character } else { blank };
            self.code.push(show(!commented && !quoted));
            self.code_and_strings.push(show(!commented));
            self.comments.push(show(commented));
        }
    }
}

/// What the scanner is inside of after the next piece, and how many bytes that piece has.
fn step(inside: Inside, rest: &str, before: char) -> (Inside, usize) {
    let one = rest.chars().next().map_or(1, char::len_utf8);
    match inside {
        Inside::Code => step_in_code(rest, before, one),
        Inside::LineComment if rest.starts_with('\n') => (Inside::Code, 0),
        Inside::LineComment => (inside, rest.find('\n').unwrap_or(rest.len())),
        Inside::BlockComment { depth } if rest.starts_with("/*") => {
            (Inside::BlockComment { depth: depth.saturating_add(1) }, 2)
        }
        Inside::BlockComment { depth } if rest.starts_with("*/") => match depth.saturating_sub(1) {
            0 => (Inside::Code, 2),
            depth => (Inside::BlockComment { depth }, 2),
        },
        Inside::BlockComment { .. } => (inside, one),
        Inside::Text { raw_hashes: None } if rest.starts_with('\\') => {
            let escaped = rest.chars().nth(1).map_or(0, char::len_utf8);
            (inside, escaped.saturating_add(1))
        }
        Inside::Text { raw_hashes } if rest.starts_with('"') => {
            let end = format!("\"{}", "#".repeat(raw_hashes.unwrap_or(0)));
            if rest.starts_with(&end) { (Inside::Code, end.len()) } else { (inside, one) }
        }
        Inside::Text { .. } => (inside, up_to(&['"', '\\'], rest, one)),
    }
}

fn step_in_code(rest: &str, before: char, one: usize) -> (Inside, usize) {
    if rest.starts_with("//") {
        return (Inside::LineComment, 2);
    }
    if rest.starts_with("/*") {
        return (Inside::BlockComment { depth: 1 }, 2);
    }
    if rest.starts_with('"') {
        return (Inside::Text { raw_hashes: None }, 1);
    }
    if let Some(hashes) = raw_string_start(rest, before) {
        return (Inside::Text { raw_hashes: Some(hashes) }, hashes.saturating_add(2));
    }
    if rest.starts_with('\'') {
        return (Inside::Code, character_literal(rest).unwrap_or(1));
    }
    (Inside::Code, up_to(&['/', '"', 'r', '\''], rest, one))
}

/// The length of what stands before the next of some characters, the first `from` bytes taken anyway.
fn up_to(stops: &[char], rest: &str, from: usize) -> usize {
    let next = rest.get(from..).and_then(|tail| tail.find(stops));
    next.map_or(rest.len(), |at| at.saturating_add(from))
}

/// The number of hashes, where a raw string begins: `r"`, `r#"`, and after a `b` or `c`.
fn raw_string_start(rest: &str, before: char) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let is_name = (before.is_alphanumeric() || before == '_') && before != 'b' && before != 'c';
    let quote = after.find(|character| character != '#')?;
    (!is_name && after.get(quote..)?.starts_with('"')).then_some(quote)
}

/// The length of a character literal; `None` for a lifetime.
fn character_literal(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        characters.next();
        return characters.find(|(_, character)| *character == '\'').map(|(at, _)| at.saturating_add(1));
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at.saturating_add(1))
}

/// The repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below the given folders of the repository, in order of path.
pub(super) fn rust_files(folders: &[&str]) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for folder in folders {
        for path in files_below(&root().join(folder), "rs") {
            sources.push(Source::new(&relative(&path), &read(&path)));
        }
    }
    sources
}

/// Every file with this extension below a folder, in order of path; none where the folder does not exist.
pub(super) fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The path below the repository's root.
pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The text of a file.
pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = "let a = \"sqlx::x \\\" y\"; // lapin::z\n/* axum::a /* b */ c */ let b = r#\"tokio::\"q\"#;\n";
    let source = Source::new("a.rs", text);
    for word in ["sqlx", "lapin", "axum", "tokio"] {
        assert!(!source.code.contains(word), "{word} in {:?}", source.code);
    }
    assert!(source.code_and_strings.contains("sqlx::x") && source.code_and_strings.contains("tokio::"));
    assert!(!source.code_and_strings.contains("lapin") && source.comments.contains("lapin::z"));
    assert!(source.code.contains("let b ="), "code goes on after a nested comment: {:?}", source.code);
    assert_eq!(source.code.lines().count(), text.lines().count());
}

#[test]
fn quotes_in_character_literals_open_no_string() {
    let source =
        Source::new("a.rs", "fn f<'a>(x: &'a str) { x.split('\"'); x.split('\\''); x.split('ä'); sqlx::q(); }");
    assert!(source.code.contains("sqlx::q()"), "{:?}", source.code);
}

#[test]
fn a_name_ending_in_r_opens_no_raw_string() {
    let source = Source::new("a.rs", "macro_for!(\"a\"); let number = br\"b\"; sqlx::q();");
    assert!(source.code.contains("sqlx::q()"), "{:?}", source.code);
    assert!(!source.code.contains("br\"b\""), "{:?}", source.code);
}
