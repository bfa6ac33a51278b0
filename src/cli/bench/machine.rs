//! Owns the line that says on what a figure was measured.

use serde::Serialize;

/// This machine.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    memory_mib: u64,
    kernel: String,
}

impl Machine {
    /// Reads what the kernel says; zero or empty where it does not.
    pub(super) fn read() -> Self {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kib_of(&memory, "MemTotal:").unwrap_or(0) >> 10,
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cores, memory_mib, kernel } = self;
        write!(f, "{cores} cores, {memory_mib} MiB, Linux {kernel}")
    }
}

/// The number of KiB after a label, as `/proc` writes it: `MemTotal:  24689764 kB`.
pub(super) fn kib_of(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label))?.split_whitespace().next()?.parse().ok()
}
