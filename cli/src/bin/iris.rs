//! `iris`: a relay, started as the original was.

fn main() -> std::process::ExitCode {
    libchan_cli::iris()
}
