//! How much memory the process really uses.

use std::fs;

/// Resident bytes of this process, or `None` where there is no Linux `/proc` to ask.
pub(crate) fn resident_bytes() -> Option<u64> {
    // Not `statm`: that counts pages, and the size of a page cannot be asked for without unsafe code or another crate.
    in_status(&fs::read_to_string("/proc/self/status").ok()?)
}

fn in_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_line() {
        assert_eq!(in_status("Name:\tdemo-app\nVmHWM:\t    9000 kB\nVmRSS:\t    4096 kB\n"), Some(4096 * 1024));
    }

    #[test]
    fn says_so_when_there_is_none() {
        assert_eq!(in_status("Name:\tkthreadd\n"), None);
        assert_eq!(in_status("VmRSS:\tmany kB\n"), None);
    }
}
