//! Every benchmark still runs, and draws what it promises: `bench smoke` with the tools that `dev/bench-tools` finds or
//! fetches.

use std::process::Command;

/// The picture of each benchmark.
const PICTURES: [&str; 18] = [
    "api",
    "dashboard",
    "fairness",
    "floor",
    "growth",
    "growth-events",
    "journal",
    "latency",
    "memory",
    "pressure-full-nats-windows",
    "pressure-hanging-channel",
    "pressure-slow-postgres",
    "rebuild",
    "scale",
    "sync",
    "sync-windows",
    "telemetry",
    "window",
];

#[test]
fn heavy_every_benchmark_still_runs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the checkout");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut smoke = Command::new(root.join("dev/bench-tools"));
    smoke.arg(env!("CARGO_BIN_EXE_bench")).args(["smoke", "--save"]).arg(folder.path());
    // Figures mean nothing here, and Postgres starts a process for each connection.
    smoke.env("DISTRIBUTION_POOL", "8");
    let output = smoke.output().expect("dev/bench-tools can be run");
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{said}\n{printed}");
    let last = printed.lines().last().expect("figures are printed");
    let figures: serde_json::Value = serde_json::from_str(last).expect("the last line is JSON");
    assert_eq!(figures["bench"], "smoke");
    for name in PICTURES {
        let path = folder.path().join(name);
        let file = |kind: &str| std::fs::read_to_string(path.with_extension(kind)).unwrap_or_default();
        let (picture, figures) = (file("svg"), file("json"));
        assert!(picture.contains("<text") && picture.trim_end().ends_with("</svg>"), "{name} draws nothing: {picture}");
        let figures: serde_json::Value = serde_json::from_str(&figures).expect("figures beside a picture are JSON");
        assert!(figures["machine"]["commit"].is_string(), "{name} does not say of which build it is: {figures}");
    }
}
