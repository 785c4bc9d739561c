//! The files in `deploy/` against the code: the roles are the binary's, flags and variables exist, addresses agree, and
//! nothing runs with more rights than it needs.

use std::collections::BTreeSet;

use crate::commands::help;
use crate::tree::{none, paths, read, texts};

const CONTAINER: &str = "deploy/Containerfile";
const UNIT: &str = "deploy/systemd/distribution.service";
const EVERY_POD: &str = "deploy/kubernetes/every-pod.yaml";
const SHARED: &str = "deploy/kubernetes/shared.yaml";
const PROBES: &str = "services/src/api/probes.rs";
/// The longest call to a channel, in seconds: a drain takes so long at most, and a little to record.
const LONGEST_CALL_S: u64 = 20;

/// Lines that are no comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with('#'))
}

/// The number behind a key.
fn number(path: &str, key: &str) -> u64 {
    let text = read(path);
    let value = lines(&text).find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{path} has no {key}"));
    value.trim().parse().unwrap_or_else(|_| panic!("{path}: {key}{value} is no number"))
}

fn roles() -> BTreeSet<String> {
    let (_, help) = help(&["serve"]);
    let (_, values) = help.split_once("--roles").expect("serve has roles");
    let values = values.split("[env").next().unwrap_or_default().lines();
    values.filter_map(|line| line.trim().strip_prefix("- ")?.split(':').next()).map(str::to_owned).collect()
}

#[test]
fn each_role_has_its_deployment() {
    let roles = roles();
    assert!(roles.len() >= 6 && roles.contains("api"), "{roles:?}");
    let mut deployed = BTreeSet::new();
    for (path, text) in texts(".yaml").iter().filter(|(path, _)| path.starts_with("deploy/kubernetes/")) {
        let Some(arguments) = lines(text).find_map(|line| line.strip_prefix("args: [serve, ")) else { continue };
        let role = arguments.trim_end_matches(']').rsplit(' ').next().unwrap_or_default();
        assert_eq!(arguments, format!("--no-migrate, --roles, {role}]"), "{path}");
        for needed in ["kind: Deployment", "kind: PodDisruptionBudget", "startupProbe:", "livenessProbe:", "resources:"]
        {
            assert!(text.contains(needed), "{path} lacks {needed}");
        }
        // Else it would take the place of one that works while it waits for the schema.
        assert!(text.contains("readinessProbe:\n            httpGet: { path: /health/ready,"), "{path}");
        assert!(
            text.contains(&format!("name: distribution-{role}")) && path.ends_with(&format!("/{role}.yaml")),
            "{path}"
        );
        let ours = read("deploy/kubernetes/kustomization.yaml");
        assert!(lines(&ours).any(|line| line == format!("- {role}.yaml")), "kustomization.yaml leaves {path} out");
        deployed.insert(role.to_owned());
    }
    assert_eq!(deployed, roles);
}

#[test]
fn flags_and_variables_are_those_of_the_binary() {
    let helps = ["serve", "sign-in"].map(|command| help(&[command]).1);
    let probes = read(PROBES);
    let known = |name: &str| {
        let ends = ["=", "]"].map(|end| format!("[env: {name}{end}"));
        let at_build = probes.contains(&format!("option_env!(\"{name}\")"));
        at_build || helps.iter().any(|help| ends.iter().any(|end| help.contains(end)))
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths().into_iter().filter(|path| path.starts_with("deploy/")) {
        for (line, text) in (1..).zip(read(&path).lines()) {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for name in
                words.filter(|word| word.starts_with("DISTRIBUTION_") || ["DATABASE_URL", "NATS_URL"].contains(word))
            {
                seen.insert(name.to_owned());
                if !known(name) {
                    found.push(format!("{path}:{line} {name}"));
                }
            }
        }
    }
    assert!(seen.contains("DISTRIBUTION_METRICS_LISTEN") && seen.contains("DATABASE_URL"), "{seen:?}");
    for flag in ["--no-migrate", "--roles"] {
        assert!(helps[0].contains(flag), "serve has no {flag}");
    }
    none("a variable that nothing reads", &found);
}

#[test]
fn addresses_and_probes_agree() {
    let (container, shared, probes) = (read(CONTAINER), read(SHARED), read(PROBES));
    for (variable, port, name) in
        [("DISTRIBUTION_LISTEN", "8080", "http"), ("DISTRIBUTION_METRICS_LISTEN", "9464", "metrics")]
    {
        assert!(container.contains(&format!("{variable}=0.0.0.0:{port}")), "{CONTAINER}: {variable}");
        assert!(lines(&shared).any(|line| line == format!("{variable}: 0.0.0.0:{port}")), "{SHARED}: {variable}");
        assert!(
            read("deploy/kubernetes/api.yaml")
                .contains(&format!("- name: {name}\n              containerPort: {port}\n"))
        );
    }
    assert!(container.contains("EXPOSE 8080 9464") && container.contains("/dev/tcp/127.0.0.1/9464"));
    for (path, text) in texts(".yaml").iter().filter(|(path, _)| path.starts_with("deploy/kubernetes/")) {
        for probe in text.lines().filter_map(|line| line.trim().strip_prefix("httpGet: { path: ")?.split(',').next()) {
            assert!(probe == "/metrics" || probes.contains(&format!("path = \"{probe}\"")), "{path}: {probe}");
        }
    }
}

#[test]
fn a_drain_has_its_time_and_nothing_has_rights_that_it_does_not_need() {
    assert!(number(EVERY_POD, "terminationGracePeriodSeconds:") >= 2 * LONGEST_CALL_S);
    assert!(number(UNIT, "TimeoutStopSec=") >= 2 * LONGEST_CALL_S);
    let every = read(EVERY_POD);
    for needed in
        ["runAsNonRoot: true", "readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false", "drop: [ALL]"]
    {
        assert!(every.contains(needed), "{EVERY_POD} lacks {needed}");
        assert!(read("deploy/kubernetes/migrate.yaml").contains(needed), "the job of the migrations lacks {needed}");
    }
    assert!(read("deploy/kubernetes/migrate.yaml").contains("ttlSecondsAfterFinished: "), "the next one has its name");
    let unit = read(UNIT);
    for needed in ["DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n"] {
        assert!(unit.contains(needed), "{UNIT} lacks {needed}");
    }
    let container = read(CONTAINER);
    let account = lines(&container).find_map(|line| line.strip_prefix("USER ")).expect("the image has an account");
    let (user, group) = account.split_once(':').expect("with a group");
    assert!(
        user != "0" && every.contains(&format!("runAsUser: {user}")) && every.contains(&format!("runAsGroup: {group}"))
    );
    assert!(!container.contains(":latest"), "images are pinned");
}

/// What ON_CALL.md has people do in a cluster is what the manifests make possible.
#[test]
fn whoever_is_on_call_in_a_cluster_finds_what_the_commands_name() {
    let (on_call, every, tools) = (read("ON_CALL.md"), read(EVERY_POD), read("deploy/kubernetes/tools.yaml"));
    assert!(on_call.contains("scale deploy -l app.kubernetes.io/name=distribution --replicas=0"));
    assert!(every.contains("labels: { app.kubernetes.io/name: distribution }\nspec:"), "{EVERY_POD}: no label for it");
    // Scaled or waited for with the others it would keep whoever restores waiting.
    assert!(!tools.contains("app.kubernetes.io/name: distribution"), "tools.yaml is stopped with the service");
    assert!(on_call.contains("deploy/kubernetes/tools.yaml"));
    assert!(!read("deploy/kubernetes/kustomization.yaml").contains("tools.yaml"), "it is made by hand");
    for needed in ["runAsNonRoot: true", "allowPrivilegeEscalation: false", "drop: [ALL]", "image: distribution\n"] {
        assert!(tools.contains(needed), "tools.yaml lacks {needed}");
    }
    for line in ["runAsUser: 10001", "runAsGroup: 10001", "fsGroup: 10001"] {
        assert!(tools.contains(line) && every.contains(line), "the account of the secrets: {line}");
    }
    let shared = read(SHARED);
    assert!(shared.contains("name: distribution-secrets\n") && tools.contains("claimName: distribution-secrets "));
    // The program is the image's, and needs the same libraries.
    assert!(read(CONTAINER).contains("-bookworm AS build") && tools.contains("-bookworm\n"));
}
