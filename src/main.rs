//! The `homeward` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    homeward::cli::main()
}
