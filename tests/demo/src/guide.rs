//! Where to look and what to try: commands that work as they are pasted.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::Context as _;
use demo::listening;
use demo::villas::ORG;

use crate::postgres;
use crate::progress::tell;
use crate::run::Run;
use crate::stage::Stage;
use crate::targets::Target;

const COMMAND: &str = "distribution";
/// How long the API is waited for: without it the rest can be tried all the same.
const PATIENCE: Duration = Duration::from_secs(15);

/// How the service's command line is called for this demo.
pub fn command(stage: &Stage) -> String {
    Stage::shown(&stage.folder.join(COMMAND))
}

/// Where the service logs.
pub fn log(stage: &Stage) -> String {
    Stage::shown(&stage.log_file("distribution"))
}

/// Where the service's API is. A service that was started just now tells it in a moment.
async fn api(stage: &Stage) -> Option<String> {
    let begins = std::fs::read_to_string(stage.log_begins(COMMAND)).ok().and_then(|begins| begins.trim().parse().ok());
    listening::api(&stage.log_file(COMMAND), begins.unwrap_or(0), PATIENCE).await
}

/// A script that is the service's command line with the demo's addresses set.
pub fn write_command(stage: &Stage) -> anyhow::Result<()> {
    let mut script = "#!/bin/sh\n# The command line of the service that the demo runs.\n".to_owned();
    for (name, value) in stage.environment() {
        writeln!(script, "export {name}={}", quoted(&value))?;
    }
    writeln!(script, "exec {} \"$@\"", quoted(&stage.program(COMMAND)?.display().to_string()))?;
    let path = stage.folder.join(COMMAND);
    std::fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

/// A link to the dashboard.
fn sign_in_link(stage: &Stage, api: &str) -> Vec<String> {
    let run = || {
        let mut command = std::process::Command::new(stage.program(COMMAND).ok()?);
        command.args(["sign-in", "--org", ORG, "--role", "owner", "--url", api]).envs(stage.environment());
        let output = command.output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    run().map_or_else(Vec::new, |link| vec![link.trim().to_owned()])
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Prints all of it. What a command does stands above it, not behind it: not every shell takes a comment there.
pub async fn print(run: &Run) -> anyhow::Result<()> {
    let listings = postgres::listings(&run.pool).await?;
    let target = &run.targets[1];
    let of_target = |listing: &&postgres::Listing| listing.target_id == target.target_id;
    let listing = listings.iter().find(of_target).context("there are no listings")?;
    let guide = Guide { run, target, listing, command: command(&run.stage), api: api(&run.stage).await };
    for (title, entries) in [("Where to look", guide.look()), ("What to try", guide.attempt())] {
        tell(&format!("\n{title}"));
        for (what, commands) in entries {
            tell(&format!("  {what}:"));
            commands.iter().for_each(|command| tell(&format!("      {command}")));
        }
    }
    tell("\nLive changes, one a second; ctrl-c ends them.");
    Ok(())
}

type Entry = (String, Vec<String>);

struct Guide<'a> {
    run: &'a Run,
    target: &'a Target,
    listing: &'a postgres::Listing,
    command: String,
    /// Where the API answers.
    api: Option<String>,
}

impl Guide<'_> {
    /// A command of the service's command line.
    fn distribution(&self, arguments: &str) -> String {
        format!("{} {arguments}", self.command)
    }

    /// A call of the sandbox's inspection API.
    fn sandbox(&self, options: &str, path: &str) -> String {
        format!("curl -s {options}'http://{}/_sandbox/{path}'", self.run.sandbox.address)
    }

    fn fault(&self, rule: &str) -> String {
        format!("{} -H 'Content-Type: application/json' -d '{rule}'", self.sandbox("", "faults"))
    }

    fn look(&self) -> Vec<Entry> {
        let (id, unit) = (self.listing.listing_id, &self.listing.unit_id);
        let account = self.target.role().channel_account;
        let logs = ["distribution", "sandbox"].map(|name| Stage::shown(&self.run.stage.log_file(name)));
        let entry = |what: &str, commands: &[&str]| {
            (what.to_owned(), commands.iter().map(|arguments| self.distribution(arguments)).collect())
        };
        let mut entries = vec![
            entry("The targets, and what waits for them", &["target list", "queue"]),
            entry("Every sync, as it happens", &["audit tail --follow"]),
            entry(
                &format!("The listing of {unit}, and everything that happened to it"),
                &[&format!("listing show {id}"), &format!("listing history {id}")],
            ),
            entry(
                &format!(
                    "Why {unit} stands as it does, what would be sent now, and whether somebody edited it at the channel"
                ),
                &[&format!("explain {id}"), &format!("listing preview {id}"), &format!("listing drift {id}")],
            ),
            entry("Whether all is well", &["doctor", "projections list"]),
            ("What the channel saw".to_owned(), vec![self.sandbox("", "summary?window_ms=10000")]),
            ("What it has".to_owned(), vec![self.sandbox("", &format!("accounts/{account}/listings"))]),
            ("The logs".to_owned(), vec![format!("tail -F {}", logs.join(" "))]),
        ];
        if let Some(api) = &self.api {
            let token = format!("$({} token --subject me --org {ORG} --role owner)", self.command);
            entries.extend([
                ("The dashboard: open this once, within 15 minutes".to_owned(), sign_in_link(&self.run.stage, api)),
                ("The HTTP API, to browse and to try".to_owned(), vec![format!("{api}/api/docs")]),
                entry("Another such link", &[&format!("sign-in --org {ORG} --role owner --url {api}")]),
                (
                    "The same listing by the API".to_owned(),
                    vec![format!("curl -s -H \"Authorization: Bearer {token}\" {api}/api/channels/listings/{id}")],
                ),
            ]);
        } else {
            entries.push(("The API and the dashboard do not answer; its log may say why".to_owned(), Vec::new()));
        }
        entries
    }

    fn attempt(&self) -> Vec<Entry> {
        let (id, target, role) = (self.listing.listing_id, self.target.target_id, self.target.role());
        let (name, account, position) = (role.name, role.channel_account, self.listing.position);
        let pid = Stage::shown(&self.run.stage.pid_file("distribution"));
        let entry = |what: &str, commands: Vec<String>| (what.to_owned(), commands);
        vec![
            entry(
                &format!("Let changes pile up at {name}, look, and let them go"),
                vec![
                    self.distribution(&format!("target pause {target} --reason 'let it pile up'")),
                    self.distribution("queue"),
                    self.distribution(&format!("target resume {target}")),
                ],
            ),
            entry(
                "Send a listing once more: the newest snapshot before a position of the journal",
                vec![self.distribution(&format!("listing replay {id} --position {position} --reason 'once more'"))],
            ),
            entry(
                "Publish a unit of an organisation that nobody knows, and see where it ends",
                vec![
                    format!(
                        "tr -d '\\n' <nats/examples/unit-changed.v1.json | {}",
                        self.distribution("unit publish -")
                    ),
                    self.distribution("dead-letters list"),
                ],
            ),
            entry(
                "Faults at the channel: errors, answers that are lost after the write, slowness",
                vec![
                    self.fault(&format!(r#"{{"kind":"status","code":503,"account":{account},"count":20}}"#)),
                    self.fault(&format!(r#"{{"kind":"cut_after","account":{account},"method":"PUT","count":3}}"#)),
                    self.fault(r#"{"kind":"latency","min_ms":1,"max_ms":300}"#),
                ],
            ),
            entry("No more faults", vec![self.sandbox("-X DELETE ", "faults")]),
            entry(
                "Kill the service; it goes on where it was",
                vec![format!("kill -9 $(cat {pid})"), "./justw demo".to_owned()],
            ),
            entry("Stop everything", vec!["./justw down".to_owned()]),
        ]
    }
}
