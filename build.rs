//! Tells the build which commit it is of: `HPTS_GIT_SHA` where set, else what git says, else nothing.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=HPTS_GIT_SHA");
    println!("cargo:rerun-if-changed=.git/HEAD");
    let told = std::env::var("HPTS_GIT_SHA").ok().filter(|sha| !sha.is_empty());
    let asked = || {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
    };
    if let Some(sha) = told.or_else(asked) {
        println!("cargo:rustc-env=HPTS_GIT_SHA={}", sha.trim());
    }
}
