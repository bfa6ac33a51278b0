//! Owns measuring a running system.

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {}
impl BenchError {
    pub(super) fn exit_code(&self) -> u8 {
        3
    }
}
/// Args.
#[derive(Debug, clap::Args)]
pub struct BenchSingle {}
/// Runs.
pub async fn run(_: BenchSingle) -> Result<(), BenchError> {
    Ok(())
}
