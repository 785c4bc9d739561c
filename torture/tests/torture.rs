//! A short run whose seed never changes, and in the integration server's pipeline one with a new seed each time.

use std::process::Command;

use serde_json::Value;

/// Runs the machine; gives its last line, and all that it printed.
fn torture(arguments: &[&str]) -> (Value, String) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the checkout");
    let program = env!("CARGO_BIN_EXE_torture");
    let run = Command::new(root.join("dev/torture")).arg(program).args(arguments).output();
    let output = run.expect("dev/torture can be run");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = printed.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let summary: Value =
        last.unwrap_or_else(|| panic!("no JSON at the end: {printed}\n{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.success(), summary["violations"] == 0, "{printed}");
    (summary, printed)
}

#[test]
fn heavy_nothing_is_lost_or_doubled_by_faults_of_a_fixed_seed() {
    let arguments = ["--seed", "267", "--seconds", "15", "--units", "45", "--faults", "16"];
    let plan = Command::new(env!("CARGO_BIN_EXE_torture")).arg("--plan").args(arguments).output();
    let plan = String::from_utf8(plan.expect("it can be run").stdout).expect("a plan is text");
    // A seed that hits little would prove little.
    for kind in [
        "kill-api",
        "kill-intake",
        "kill-dispatcher",
        "stop-",
        "roll-",
        "crash-postgres",
        "wipe-nats",
        "fill-nats",
        "fill-disk",
    ] {
        assert!(plan.contains(kind), "{kind} is not in the plan: choose another seed");
    }
    let (summary, printed) = torture(&arguments);
    println!("{printed}");
    assert_eq!(
        (&summary["violations"], &summary["seed"], &summary["runs"]),
        (&0.into(), &267.into(), &1.into()),
        "{printed}"
    );
    assert!(summary["faults"].as_u64() > Some(10), "{printed}");
    assert!(summary["faults"].as_u64() <= summary["faults_planned"].as_u64(), "{printed}");
    assert_eq!(summary["verdict"], "holds", "{printed}");
    for class in ["kill", "stop", "cut", "crash", "wipe", "fill"] {
        let took = &summary["recovery_by_class_s"][class];
        assert!(took["count"] == 1 && took["p50"].as_f64() > Some(0.0), "{class}: {took}\n{printed}");
        assert!(printed.contains(&format!("recovery from {class}: p50")), "{printed}");
    }
}

/// Only there: a new seed may find something new, which is for those who look at the pipeline.
#[test]
fn heavy_nothing_is_lost_or_doubled_by_faults_of_a_new_seed() {
    if std::env::var_os("CI").is_none() {
        return;
    }
    let (summary, printed) = torture(&["--seconds", "15", "--units", "45"]);
    println!("{printed}");
    assert_eq!(summary["violations"], 0, "{printed}");
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_one_another() {
    let plan = |seed: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_torture")).args(["--plan", "--seconds", "20", "--seed", seed]).output();
        String::from_utf8(output.expect("it can be run").stdout).expect("a plan is text")
    };
    assert_eq!(plan("1"), plan("1"));
    assert_ne!(plan("1"), plan("2"));
    assert!(plan("1").lines().count() > 200, "{}", plan("1"));
}
