//! `libchan`: the command-line tool.

fn main() -> std::process::ExitCode {
    libchan_cli::libchan()
}
