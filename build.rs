//! Tells a release build which commit it is of: `HPTS_GIT_SHA` where set, else what git says, else nothing. Other
//! builds are told nothing, so that a commit does not make everything compile again.

#![expect(clippy::disallowed_methods, reason = "a build script is configured by its environment")]

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=HPTS_GIT_SHA");
    let told = std::env::var("HPTS_GIT_SHA").ok().filter(|sha| !sha.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release
        && let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    let asked = || is_release.then(|| git(&["rev-parse", "--short=12", "HEAD"])).flatten();
    if let Some(sha) = told.or_else(asked) {
        println!("cargo:rustc-env=HPTS_GIT_SHA={sha}");
    }
}
