//! Measurements, small, on real servers: not how fast, but that they count right, prove the books and clean up.

mod below_http;
mod servers;

use std::process::{Command, Output};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_hpts");

/// Runs `hpts bench` without a setting from outside.
fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    let ours = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("HPTS_"));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command.arg("bench").args(arguments).output().unwrap()
}

/// Runs a measurement that must be good; answers its report.
fn measured(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat());
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "hpts bench {arguments:?}: {told}\n{errors}");
    serde_json::from_str(&told).unwrap()
}
