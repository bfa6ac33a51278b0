//! Owns the house rules that a machine can check, each as a test named for its law.
//!
//! The rules read the source tree as text and need neither the crate nor a server. A finding names file and line. An
//! exception is a row of a table here, with its reason; a row that is no longer needed is a finding, too.

mod names;
mod source;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use names::{ends_in_name, has_word, is_name, modules_named, names_crate};
use source::{Source, files_below, read, relative, root, rust_files};

/// The most lines of a file. A longer one is more than a reader keeps in mind.
const FILE_LINES_MAX: usize = 500;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Variables named where configuration is not read, and why.
const VARIABLES_ELSEWHERE: &[(&str, &str, &str)] = &[
    ("src/runtime/telemetry.rs", "HPTS_GIT_SHA", "what the build was told, fixed at compile time"),
    ("src/cli", "HPTS_CLIENT_ID", "an argument of `hpts token`, the caller's, not the server's"),
    ("src/cli", "HPTS_CLIENT_SECRET", "an argument of `hpts token`, the caller's, not the server's"),
    ("src/cli", "HPTS_CLIENT_SECRET_FILE", "an argument of `hpts token`, the caller's, not the server's"),
];

/// Where metric names are defined.
const METRIC_FILES: &[&str] = &["src/runtime/telemetry.rs", "src/api/metrics.rs"];

/// Every module of the crate above the domain.
const ABOVE_CORE: &[&str] = &["store", "broker", "runtime", "api", "worker", "cli", "console"];
/// The modules of floor 2.
const FLOOR_TWO: &[&str] = &["api", "worker", "cli", "console"];

#[test]
fn core_names_no_other_floor() {
    hold("the domain stands on nothing: hand it what it needs as an argument", &floors_named("src/core", ABOVE_CORE));
}

#[test]
fn floor_one_names_nothing_above_it() {
    let mut findings = Vec::new();
    for folder in ["src/store", "src/broker", "src/runtime"] {
        findings.extend(floors_named(folder, FLOOR_TWO));
    }
    hold("store, broker and runtime serve the floor above without knowing it: move the type down", &findings);
}

#[test]
fn worker_and_api_do_not_name_each_other() {
    let mut findings = floors_named("src/worker", &["api", "cli"]);
    findings.extend(floors_named("src/api", &["worker", "cli"]));
    hold("api and worker meet in the store and the broker only, so that each can run alone", &findings);
}

#[test]
fn core_names_no_crate_that_does_io_or_logs() {
    let mut findings = Vec::new();
    for name in ["sqlx", "lapin", "axum", "tokio", "tracing", "metrics"] {
        findings.extend(crate_named(name, |path| !path.starts_with("src/core")));
    }
    hold("the domain is pure: no I/O, no async, no logging", &findings);
}

#[test]
fn only_the_stores_name_sqlx() {
    let allowed = |path: &str| path.starts_with("src/store/postgres") || path.starts_with("src/store/sqlite");
    hold("SQL lives in src/store/postgres and src/store/sqlite", &crate_named("sqlx", allowed));
}

#[test]
fn only_the_rabbitmq_broker_names_lapin() {
    let findings = crate_named("lapin", |path| path.starts_with("src/broker/rabbitmq"));
    hold("AMQP lives in src/broker/rabbitmq", &findings);
}

#[test]
fn only_api_and_console_name_axum() {
    let allowed = |path: &str| path.starts_with("src/api") || path.starts_with("src/console");
    hold("HTTP lives in src/api and src/console", &crate_named("axum", allowed));
}

#[test]
fn only_the_command_line_prints() {
    let printers = ["print!", "println!", "eprint!", "eprintln!", "dbg!", "io::stdout"];
    let mut findings = Vec::new();
    for file in rust_files(&["src"]) {
        if file.path == "src/main.rs" || file.path.starts_with("src/cli") {
            continue;
        }
        findings.extend(matches(&file, &file.code, |line| printers.iter().any(|word| has_word(line, word))));
    }
    hold("a server logs through tracing; only src/main.rs and src/cli talk to a terminal", &findings);
}

#[test]
fn a_file_has_at_most_500_lines() {
    let mut findings = Vec::new();
    for file in all_rust() {
        let lines = file.text.lines().count();
        let reason = LONG_FILES.iter().find(|(path, _)| *path == file.path);
        match reason {
            None if lines > FILE_LINES_MAX => findings.push(format!("{}:{lines}: split by responsibility", file.path)),
            Some(_) if lines <= FILE_LINES_MAX => findings.push(format!("{}:{lines}: needs no exception", file.path)),
            _ => {}
        }
    }
    hold("a file fits a reader's head, or LONG_FILES says why not", &findings);
}

#[test]
fn a_file_begins_with_what_it_owns() {
    let undocumented = all_rust().into_iter().filter(|file| !file.text.trim_start().starts_with("//!"));
    let findings: Vec<String> = undocumented.map(|file| format!("{}:1: no //! at the top", file.path)).collect();
    hold("a module says in its first line what it owns", &findings);
}

#[test]
fn nothing_is_left_to_do_without_an_issue() {
    let mut findings = Vec::new();
    for file in all_rust() {
        let unfinished = |line: &str| has_word(line, "todo!") || has_word(line, "unimplemented!");
        findings.extend(matches(&file, &file.code, unfinished));
        findings.extend(matches(&file, &file.comments, |line| has_word(line, "FIXME") || todo_without_issue(line)));
    }
    hold("finish it, or write TODO(#123) with the issue that will", &findings);
}

#[test]
fn lints_are_expected_and_never_allowed() {
    let mut findings = Vec::new();
    for file in all_rust() {
        findings.extend(matches(&file, &file.code, |line| {
            let squeezed: String = line.chars().filter(|character| !character.is_whitespace()).collect();
            squeezed.contains("#[allow") || squeezed.contains("#![allow") || cfg_attr_allows(&squeezed)
        }));
    }
    hold("write #[expect(lint, reason = \"...\")]: it complains once it is not needed", &findings);
}

#[test]
fn configuration_is_read_in_one_place() {
    let mut findings = Vec::new();
    for file in rust_files(&["src"]) {
        if file.path != "src/runtime/config.rs" {
            findings.extend(matches(&file, &file.code_and_strings, |line| reads_environment(&file.path, line)));
        }
    }
    hold("settings are read, checked together and documented in runtime::config", &findings);
}

#[test]
fn a_metric_is_defined_once_and_used_by_its_constant() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut findings = Vec::new();
    let files = rust_files(&["src"]);
    for file in files.iter().filter(|file| METRIC_FILES.contains(&file.path.as_str())) {
        for (number, name) in metric_constants(file) {
            defined.entry(name).or_default().push(format!("{}:{number}", file.path));
        }
    }
    for (name, places) in &defined {
        if places.len() > 1 {
            findings.push(format!("{}: {name} is defined more than once", places.join(" and ")));
        }
    }
    for file in &files {
        findings.extend(unnamed_metrics(file));
        if !METRIC_FILES.contains(&file.path.as_str()) {
            findings.extend(matches(file, &file.code_and_strings, |line| {
                literals(line).any(|literal| defined.contains_key(literal))
            }));
        }
    }
    assert!(!defined.is_empty(), "no metric found: this rule looks in the wrong place");
    hold("a metric's name is a constant of runtime/telemetry.rs or api/metrics.rs, in one of them", &findings);
}

#[test]
fn a_migration_begins_with_its_purpose() {
    let mut findings = Vec::new();
    for path in files_below(&root().join("migrations"), "sql") {
        let text = read(&path);
        let first = text.lines().next().unwrap_or_default();
        if first.strip_prefix("--").is_none_or(|purpose| purpose.trim().is_empty()) {
            findings.push(format!("{}:1: {first}", relative(&path)));
        }
    }
    hold("a migration has one purpose and a comment on its first line that tells it", &findings);
}

#[test]
fn a_dependency_has_its_reason_above_its_line() {
    let manifest = read(&root().join("Cargo.toml"));
    let findings: Vec<String> = dependencies_without_reason(&manifest)
        .into_iter()
        .map(|(number, line)| format!("Cargo.toml:{number}: {line}"))
        .collect();
    hold("say in a comment above the line what we need the crate for", &findings);
}

#[test]
fn the_readme_names_every_setting_and_metric() {
    let readme = read(&root().join("README.md"));
    let mut findings = Vec::new();
    for file in rust_files(&["src/runtime"]) {
        for (number, line) in numbered(&file.code_and_strings) {
            let setting = line.split_once("env = \"").and_then(|(_, name)| name.split('"').next());
            if let Some(name) = setting.filter(|name| !readme.contains(&format!("`{name}`"))) {
                findings.push(format!("{}:{number}: {name}", file.path));
            }
        }
        for (number, name) in metric_constants(&file) {
            if !readme.contains(&format!("`{name}")) {
                findings.push(format!("{}:{number}: {name}", file.path));
            }
        }
    }
    hold("an operator finds every setting and metric in README.md", &findings);
}

#[test]
fn dashboards_and_alerts_name_metrics_that_exist() {
    let files = rust_files(&["src/runtime"]);
    let defined: Vec<String> = files.iter().flat_map(metric_constants).map(|(_, name)| name).collect();
    let mut findings = Vec::new();
    for path in
        files_below(&root().join("deploy"), "json").into_iter().chain(files_below(&root().join("deploy"), "yml"))
    {
        for (number, line) in numbered(&read(&path)) {
            for name in line.split(|character| !is_name(character)).filter(|name| name.starts_with("hpts_")) {
                let sample = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
                if !defined.iter().any(|metric| metric == name || Some(metric.as_str()) == sample) {
                    findings.push(format!("{}:{number}: {name}", relative(&path)));
                }
            }
        }
    }
    hold("what operators look at is what the processes record", &findings);
}

#[test]
fn the_runbook_has_a_row_for_every_alert() {
    let runbook = read(&root().join("docs/operations.md"));
    let alerts = read(&root().join("deploy/prometheus/alerts.yml"));
    let mut findings = Vec::new();
    for (number, line) in numbered(&alerts) {
        let alert = line.trim().strip_prefix("- alert: ");
        if let Some(name) = alert.filter(|name| !runbook.contains(&format!("| `{name}` |"))) {
            findings.push(format!("deploy/prometheus/alerts.yml:{number}: {name}"));
        }
    }
    hold("who is called finds in docs/operations.md what to do", &findings);
}

/// Fails with the law and every place that breaks it.
#[track_caller]
fn hold(law: &str, findings: &[String]) {
    let mut message = format!("{law}\n");
    for finding in findings {
        // Writing to a string cannot fail.
        let _written = writeln!(message, "  {finding}");
    }
    assert!(findings.is_empty(), "{message}");
}

fn all_rust() -> Vec<Source> {
    rust_files(&["src", "tests", "benches"])
}

fn numbered(view: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(view.lines())
}

/// The lines of a view that a rule finds, as file, line and the line's text.
fn matches(file: &Source, view: &str, rule: impl Fn(&str) -> bool) -> Vec<String> {
    let whole: Vec<&str> = file.text.lines().collect();
    let found = numbered(view).filter(|(_, line)| rule(line));
    found
        .map(|(number, _)| {
            let text = whole.get(number.saturating_sub(1)).copied().unwrap_or_default();
            format!("{}:{number}: {}", file.path, text.trim())
        })
        .collect()
}

fn todo_without_issue(line: &str) -> bool {
    line.match_indices("TODO").any(|(at, mark)| {
        let (before, from) = line.split_at(at);
        let after = from.strip_prefix(mark).unwrap_or_default();
        let issue = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
        let has_issue = issue.is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        !ends_in_name(before) && !after.starts_with(is_name) && !has_issue
    })
}

fn cfg_attr_allows(squeezed: &str) -> bool {
    squeezed.contains("cfg_attr(") && has_word(squeezed, "allow(")
}

/// Where files name one of the modules as `crate::module`, in groups as well, or through `super`.
fn floors_named(folder: &str, forbidden: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in rust_files(&[folder]) {
        for (number, module) in modules_named(&file) {
            if forbidden.contains(&module.as_str()) {
                findings.push(format!("{}:{number}: names crate::{module}", file.path));
            }
        }
    }
    findings
}

/// Where files name an outside crate, other than the allowed ones.
fn crate_named(name: &str, allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for file in rust_files(&["src"]) {
        if !allowed(&file.path) {
            findings.extend(matches(&file, &file.code, |line| names_crate(line, name)));
        }
    }
    findings
}

/// Whether a line reads the environment in a way no row of the table excuses.
fn reads_environment(path: &str, line: &str) -> bool {
    let read = ["env::var(", "env::var_os(", "env!(\"HPTS_", "option_env!(\"HPTS_", "env = \"HPTS_"];
    let excused =
        |literal: &str| VARIABLES_ELSEWHERE.iter().any(|(place, name, _)| path.starts_with(place) && *name == literal);
    read.iter().any(|word| line.contains(word)) && !literals(line).any(excused)
}

/// The names that constants of a file give to metrics.
fn metric_constants(file: &Source) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (number, line) in numbered(&file.code_and_strings) {
        if line.contains("const ") {
            let metrics = literals(line).filter(|literal| literal.starts_with("hpts_"));
            names.extend(metrics.map(|name| (number, name.to_owned())));
        }
    }
    names
}

/// Where a metric is recorded under a name written on the spot.
fn unnamed_metrics(file: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for record in ["counter!(", "gauge!(", "histogram!("] {
        for (at, _) in file.code_and_strings.match_indices(record) {
            let (before, from) = file.code_and_strings.split_at(at);
            if from.trim_start_matches(record).trim_start().starts_with('"') {
                findings.push(format!("{}:{}: {record}\"...\")", file.path, before.lines().count().max(1)));
            }
        }
    }
    findings
}

/// What stands between the quotes of a line; a string over several lines is not seen.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

/// The dependencies of a manifest whose line has no comment above it.
fn dependencies_without_reason(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut above = "";
    let mut in_section = false;
    let mut open_brackets: usize = 0;
    for (number, line) in numbered(manifest) {
        let header = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let entry = match header {
            Some(name) => {
                in_section = name.ends_with("dependencies");
                name.contains("dependencies.")
            }
            None => in_section && open_brackets == 0 && line.contains('=') && !line.starts_with('#'),
        };
        if entry && !above.starts_with('#') {
            found.push((number, line));
        }
        let opened = line.matches(['[', '{']).count();
        let closed = line.matches([']', '}']).count();
        open_brackets =
            if line.starts_with('#') { 0 } else { open_brackets.saturating_add(opened).saturating_sub(closed) };
        above = line;
    }
    found
}

#[test]
fn the_small_rules_see_what_they_look_for() {
    assert!(todo_without_issue("// TODO later") && todo_without_issue("// TODO(me) later"));
    assert!(!todo_without_issue("// TODO(#12) later") && !todo_without_issue("// AUTODOC"));
    assert!(has_word("    println!(", "println!") && !has_word("eprintln!(", "println!"));
    assert!(cfg_attr_allows("#[cfg_attr(test,allow(dead_code))]") && !cfg_attr_allows("fnallow(x)"));
    assert!(reads_environment("src/api/mod.rs", "std::env::var(\"HPTS_LOG\")"));
    assert!(reads_environment("src/cli/mod.rs", "#[arg(env = \"HPTS_OTHER\")]"));
    assert!(!reads_environment("src/cli/token.rs", "#[arg(long, env = \"HPTS_CLIENT_ID\")]"));
    let manifest = "[dependencies]\n# Why.\na = \"1\"\nb = { version = \"1\", features = [\n  \"x\" ] }\n\n[lints.rust]\nc = \"warn\"\n";
    assert_eq!(dependencies_without_reason(manifest).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [4]);
    let recorded = unnamed_metrics(&Source::new("a.rs", "counter!(NAME);\nmetrics::gauge!(\n    \"hpts_x\");"));
    assert_eq!(recorded, ["a.rs:2: gauge!(\"...\")"]);
}
