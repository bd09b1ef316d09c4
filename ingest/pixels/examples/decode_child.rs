//! A decoding process for the tests: what the binary's hidden subcommand runs.

fn main() -> std::io::Result<()> {
    pixels::run_child()
}
