//! The bar of long work: how far, how fast, how long still.

use std::fmt::Write;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar over `files` files on the error stream; where that is no terminal, it stays silent.
pub fn bar(files: usize) -> ProgressBar {
    bar_of(files, "files")
}

/// The same over other things.
pub fn bar_of(count: usize, things: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = format!("{{bar:40}} {{pos}}/{{len}} {things}, {{rate}}, {{eta}} left  {{msg}}");
    let style = ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.with_key("rate", move |state: &ProgressState, out: &mut dyn Write| {
        // Where the bar cannot be drawn, nobody misses it.
        let _ = write!(out, "{:.1} {things}/s", state.per_sec());
    }));
    bar
}
