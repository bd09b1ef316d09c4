//! How much memory this process has needed, as every command tells it.

/// The most memory that this process has held, in MB of 10⁶ bytes; 0 where the system does not tell.
pub fn peak_rss_mb() -> f64 {
    of_status(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// By the text of proc(5)'s `status`, which counts in KiB and calls them kB.
fn of_status(status: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
    kib * 1024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabyte_is_a_million_bytes() {
        assert_eq!(of_status("Name:\tmedilink\nVmHWM:\t  125000 kB\nVmRSS:\t 9 kB\n"), 128.0);
        assert_eq!(of_status("Name:\tmedilink\n"), 0.0);
    }
}
