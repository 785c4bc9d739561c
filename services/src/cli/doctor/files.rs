//! How many files may be open: whether there is room for as many connections as the API takes.

use super::report::Report;
use crate::descriptors::{self, CONNECTIONS};

/// What `serve` has where nothing else is said.
const POOL: u32 = 16;
const CALLS: u16 = 256;

pub(super) fn check(report: &mut Report) -> anyhow::Result<()> {
    let files = descriptors::most();
    let connections = descriptors::connections(files, descriptors::reserve(POOL, CALLS));
    let open = files.map_or_else(|| "any number".to_owned(), |files| files.to_string());
    if connections >= CONNECTIONS {
        return report.ok("open files", format!("{open} may be open: enough for {CONNECTIONS} connections to the API"));
    }
    let detail =
        format!("{open} may be open: the API takes {connections} connections at the same time, not {CONNECTIONS}");
    let advice =
        "raise the hard limit where `serve` starts: LimitNOFILE=65536 of systemd, --ulimit nofile=65536 of docker";
    report.warn("open files", detail, advice)
}
