//! The command line's entry: reads the environment once, parses, runs, and turns an error into one line.

#![expect(clippy::print_stderr, reason = "errors of a command line go to stderr")]

use std::process::ExitCode;

use clap::Parser;
use hpts::cli::Cli;
use hpts::runtime::config::arguments_from_files;

fn main() -> ExitCode {
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        Some((name, value))
    });
    let from_files = match arguments_from_files(environment) {
        Ok(arguments) => arguments,
        Err(error) => return failed(&hpts::runtime::telemetry::chain(&error), 2),
    };
    let arguments = std::env::args_os().chain(from_files.into_iter().map(Into::into));
    let cli = Cli::parse_from(arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}"), 1),
    };
    match runtime.block_on(cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.line(), error.exit_code()),
    }
}

fn failed(line: &str, code: u8) -> ExitCode {
    eprintln!("hpts: {line}");
    ExitCode::from(code)
}
