//! Logging and metrics.

/// x
pub fn init_logging(_f: &str, _j: bool) -> anyhow::Result<()> { let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(_f).try_init(); Ok(()) }
