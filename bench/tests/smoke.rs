//! Every benchmark still runs: `bench smoke` with the tools that `dev/bench-tools` finds or fetches.

use std::process::Command;

#[test]
fn heavy_every_benchmark_still_runs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the checkout");
    let smoke = Command::new(root.join("dev/bench-tools")).arg(env!("CARGO_BIN_EXE_bench")).arg("smoke").output();
    let output = smoke.expect("dev/bench-tools can be run");
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{said}\n{printed}");
    let last = printed.lines().last().expect("figures are printed");
    let figures: serde_json::Value = serde_json::from_str(last).expect("the last line is JSON");
    assert_eq!(figures["bench"], "smoke");
}
