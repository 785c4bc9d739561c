//! A short run whose seed never changes, and in the integration server's pipeline one with a new seed each time.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Runs the machine; gives its last line, and all that it printed.
fn torture(arguments: &[&str]) -> (Value, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the checkout");
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

/// Faults by how their names begin: how many the plan has at least, and how many come about at least, those of the recoveries
/// among them, which the seed may have or not. A server is always there to be broken, since each fault of it waits
/// for the one before; but one that is filled may be killed meanwhile. A process may be down already, and a rule may meet no call:
/// more are planned than have to come.
const FAULTS: [(&str, usize, u64); 14] = [
    ("kill-", 6, 4),
    ("kill-api", 1, 0),
    ("kill-intake", 1, 0),
    ("kill-dispatcher", 2, 1),
    ("roll-", 2, 1),
    ("crash-postgres", 1, 1),
    ("restart-postgres", 1, 1),
    ("stop-postgres", 1, 1),
    ("stop-nats", 1, 1),
    ("wipe-nats", 1, 1),
    ("fill-nats", 1, 0),
    ("fill-disk", 1, 1),
    ("silent-", 2, 1),
    ("channel-", 3, 2),
];

/// The fault that a line of a plan tells of; those of the recoveries at its end are not told by their names.
fn planned_fault(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    (words.get(1) == Some(&"s") && words.get(3) == Some(&"for")).then(|| words[2])
}

/// The class of faults that a line at the end of a plan tells of.
fn planned_class(line: &str) -> Option<&str> {
    line.strip_prefix("afterwards  ")?.split_whitespace().next()
}

/// Each class of faults that the plan has for the end has its time to recover.
fn recoveries_are_told(plan: &str, summary: &Value, printed: &str) {
    let classes: Vec<&str> = plan.lines().filter_map(planned_class).collect();
    assert_eq!(classes.len(), 8, "a run has as many: {classes:?}");
    for class in classes {
        let took = &summary["recovery_by_class_s"][class];
        // A disk may not be had, and the channel's calls may all have been made before.
        let lacks_a_disk = class == "disk" && printed.contains("fill-disk is left out");
        if took.is_null() && (lacks_a_disk || class.starts_with("channel")) {
            continue;
        }
        // What breaks for everybody takes its time; where somebody alone is stopped, there may have been nothing to do meanwhile.
        let least = if ["cut", "crash", "wipe", "fill", "disk"].contains(&class) { 0.001 } else { 0.0 };
        assert!(took["count"] == 1 && took["p50"].as_f64() >= Some(least), "{class}: {took}\n{printed}");
        assert!(printed.contains(&format!("recovery from {class}: p50")), "{printed}");
    }
}

#[test]
fn heavy_nothing_is_lost_or_doubled_by_faults_of_a_fixed_seed() {
    let arguments = ["--seed", "159904", "--seconds", "15", "--units", "45", "--faults", "20"];
    let plan = Command::new(env!("CARGO_BIN_EXE_torture")).arg("--plan").args(arguments).output();
    let plan = String::from_utf8(plan.expect("it can be run").stdout).expect("a plan is text");
    // A seed that hits little would prove little.
    for (kind, least, _) in FAULTS {
        let planned = plan.lines().filter_map(planned_fault).filter(|name| name.starts_with(kind)).count();
        assert!(planned >= least, "{planned} of {kind} are in the plan, not {least}: choose another seed");
    }
    let (summary, printed) = torture(&arguments);
    println!("{printed}");
    assert_eq!(
        (&summary["violations"], &summary["seed"], &summary["runs"]),
        (&0.into(), &159_904.into(), &1.into()),
        "{printed}"
    );
    let came = summary["faults_by_name"].as_object().expect("a run tells what came about");
    let came = |kind: &str| {
        came.iter().filter(|(name, _)| name.starts_with(kind)).filter_map(|(_, count)| count.as_u64()).sum::<u64>()
    };
    for (kind, _, least) in FAULTS {
        let is_left_out = kind == "fill-disk" && printed.contains("fill-disk is left out");
        assert!(came(kind) >= least || is_left_out, "{} of {kind} came about, not {least}\n{printed}", came(kind));
    }
    // Of lines that nobody used and rules that met no call there are some.
    let (faults, planned) = (came(""), summary["faults_planned"].as_u64().expect("a run tells what was planned"));
    assert!(faults * 3 >= planned * 2 && faults <= planned, "{faults} of {planned} faults came about\n{printed}");
    assert_eq!(summary["faults"].as_u64(), Some(faults), "{printed}");
    assert_eq!(summary["verdict"], "holds", "{printed}");
    assert!(summary["figures"]["retries"].as_u64() >= Some(1), "nothing was retried: choose another seed\n{printed}");
    assert_eq!(summary["runs_with"]["retries"], 1, "{printed}");
    // Whether the address comes to its limit is up to the machine, too; what is told of it is not.
    let came_to_it = summary["figures"]["full windows of the address"].as_u64() >= Some(1);
    assert_eq!(summary["unshown"].as_array().map(Vec::is_empty), Some(came_to_it), "{printed}");
    assert_eq!(printed.contains("NOT SHOWN that the address keeps to its limit"), !came_to_it, "{printed}");
    recoveries_are_told(&plan, &summary, &printed);
    // The summary names at most 200 of them.
    let unknowable = summary["unknowable"].as_array().map(Vec::len);
    let counted = summary["figures"]["unknowable calls"].as_u64().and_then(|count| usize::try_from(count).ok());
    assert_eq!(unknowable, counted.map(|count| count.min(200)), "{printed}");
}

/// Only there: a new seed may find something new, which is for those who look at the pipeline.
#[test]
fn heavy_nothing_is_lost_or_doubled_by_faults_of_a_new_seed() {
    if std::env::var_os("CI").is_none() {
        return;
    }
    let (summary, printed) = torture(&["--seconds", "10", "--units", "30"]);
    println!("{printed}");
    assert_eq!(summary["violations"], 0, "{printed}");
}

/// No faults: it is about what runs have for themselves.
#[test]
fn heavy_two_runs_side_by_side_are_told_apart_and_summed() {
    let program = Path::new(env!("CARGO_BIN_EXE_torture")).with_file_name("distribution");
    let program = program.display().to_string();
    let side_by_side = ["--runs", "2", "--at-once", "2", "--seed", "700", "--keep", "--distribution", &program];
    let small = ["--faults", "0", "--seconds", "5", "--units", "12"];
    let (summary, printed) = torture(&[&side_by_side[..], &small[..]].concat());
    assert_eq!(
        (&summary["runs"], &summary["seed"], &summary["violations"]),
        (&2.into(), &700.into(), &0.into()),
        "{printed}"
    );
    let lines: Vec<&str> = printed.lines().collect();
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    assert!(first == "seed 700" && last.starts_with('{'), "{printed}");
    let kept = [700, 701].map(|seed| {
        let of = format!("seed {seed}: ");
        let own: Vec<&str> = lines[1..lines.len() - 1].iter().filter_map(|line| line.strip_prefix(&of)).collect();
        assert!(own.iter().any(|line| line.ends_with(": holds")), "{printed}");
        let folder = own.iter().find_map(|line| line.strip_prefix("  logs, database and arrivals: "));
        PathBuf::from(folder.unwrap_or_else(|| panic!("seed {seed} says where its logs are: {printed}")))
    });
    let of_all = ["full windows of the address in ", "retries in ", "NOT SHOWN "];
    let mut between = lines[1..lines.len() - 1].iter().skip_while(|line| line.starts_with("seed 70"));
    assert!(between.all(|line| of_all.iter().any(|begin| line.starts_with(begin))), "{printed}");
    // Each had begun before the other was over.
    let made_at = |folder: &Path, file: &str| std::fs::metadata(folder.join(file)).and_then(|file| file.modified());
    for (one, other) in [(&kept[0], &kept[1]), (&kept[1], &kept[0])] {
        let (began, ended) = (made_at(one, "plan.txt"), made_at(other, "database.sql"));
        assert!(began.expect("a plan is kept") < ended.expect("a database is kept"), "{printed}");
    }
    for folder in kept {
        std::fs::remove_dir_all(folder).expect("what was kept can be removed");
    }
}

#[test]
fn a_program_of_the_service_that_is_not_there_is_told_before_anything_begins() {
    let output = Command::new(env!("CARGO_BIN_EXE_torture")).args(["--distribution", "/nowhere/distribution"]).output();
    let output = output.expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("/nowhere/distribution"), "{said}");
    assert!(output.stdout.is_empty(), "nothing has begun");
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
    assert!(plan("1").contains(": Retry("), "{}", plan("1"));
}
