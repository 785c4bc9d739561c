//! The files of secrets stay the service's, whoever runs `secret`, and the doctor tells where they are not. Only root can be several
//! accounts: for anybody else there is nothing to see here.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::{Ran, World};

/// Accounts that this machine has no name for.
const SERVICE: u32 = 61_234;
const OTHER: u32 = 61_235;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A world whose folder of secrets is the service's.
fn of_the_service(world: World) -> World {
    chown(world.secrets.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    std::fs::set_permissions(world.secrets.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    world
}

fn secret(mut command: Command, arguments: &[&str]) -> Ran {
    command.args(["--output", "json", "secret"]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A refusal may come before the value is read.
    let _ = child.stdin.take().unwrap().write_all(b"s3cret");
    child.wait_with_output().unwrap().into()
}

/// Every file with its account and what is in it.
fn files(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let (path, about) = (entry.as_ref().unwrap().path(), entry.unwrap().metadata().unwrap());
        let content = if about.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        found.push((path.display().to_string(), about.uid(), content));
        if about.is_dir() {
            found.extend(files(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn what_root_puts_rotates_and_deletes_stays_the_services() {
    if !is_root() {
        return;
    }
    let world = of_the_service(World::new());
    for arguments in [&["put", "one"][..], &["put", "two"], &["rotate", "one"], &["delete", "two", "--force"]] {
        secret(world.command(), arguments).ok();
        let found = files(world.secrets.path());
        assert_eq!(found.len(), 4, "the store, key, lock and sealed values: {found:?}");
        assert!(found.iter().all(|(_, account, _)| *account == SERVICE), "{arguments:?}: {found:?}");
    }
    let made = world.run(&["token", "--org", "sunstay", "--subject", "ci", "--role", "viewer"]);
    let key = world.secrets.path().join(".signing-key");
    assert_eq!(key.metadata().map(|key| key.uid()).ok(), Some(SERVICE), "{made:?}");

    let warned = || {
        let report = world.json(&["doctor"]).json();
        let warns = |check: &&serde_json::Value| check["check"] == "secrets" && check["status"] == "warn";
        report["checks"].as_array().unwrap().iter().find(warns).map(ToString::to_string)
    };
    assert_eq!(warned(), None);
    // As an older build left it.
    let sealed = world.secrets.path().join(".store/secrets.json");
    chown(&sealed, Some(0), Some(0)).unwrap();
    let warning = warned().unwrap();
    assert!(warning.contains("1 file belongs to another account"), "{warning}");
    assert!(warning.contains(&format!("`chown {SERVICE}:{SERVICE} {}`", sealed.display())), "{warning}");
}

/// The program where every account may run it, and what runs it as one.
fn as_account(world: &World, account: u32) -> (tempfile::TempDir, impl Fn() -> Command + use<>) {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("distribution");
    std::fs::copy(env!("CARGO_BIN_EXE_distribution"), &program).unwrap();
    let command = world.command();
    let settings = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let settings: Vec<_> = settings.collect();
    let command = move || {
        let mut command = Command::new(&program);
        for (name, value) in &settings {
            command.env(name, value);
        }
        command.env_remove("RUST_LOG").uid(account).gid(account).current_dir("/").stdin(Stdio::null());
        command
    };
    (place, command)
}

/// As after a restore of the folder as somebody else, or of a volume that is mounted to be read.
#[test]
fn a_folder_in_which_the_service_can_make_no_signing_key_fails_with_the_doctor_which_makes_none() {
    if !is_root() {
        return;
    }
    let world = of_the_service(World::new());
    let (_place, command) = as_account(&world, SERVICE);
    let told = || {
        let ran: Ran = command().args(["--output", "json", "doctor"]).output().unwrap().into();
        let report = ran.json();
        let of_key = |check: &&serde_json::Value| check["check"] == "signing key";
        report["checks"].as_array().unwrap().iter().find(of_key).cloned().unwrap()
    };
    assert_eq!(told()["status"], "ok");
    chown(world.secrets.path(), Some(0), Some(0)).unwrap();
    let check = told();
    assert_eq!(check["status"], "fail", "{check}");
    let (detail, advice) = (check["detail"].as_str().unwrap(), check["advice"].as_str().unwrap());
    assert!(detail.contains("cannot be written: Permission denied"), "{check}");
    assert!(advice.contains("let the account that `serve` runs as write there"), "{check}");
    assert!(!world.secrets.path().join(".signing-key").exists(), "none is made");
}

#[test]
fn whoever_is_neither_root_nor_the_service_is_told_whose_the_store_is_and_changes_nothing() {
    if !is_root() {
        return;
    }
    let world = of_the_service(World::empty());
    secret(world.command(), &["put", "one"]).ok();
    let before = files(world.secrets.path());
    let (_place, as_other) = as_account(&world, OTHER);
    for arguments in [["put", "two"], ["rotate", "one"]] {
        let refused = secret(as_other(), &arguments);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.error_message().contains(&format!("uid {SERVICE}")), "{refused:?}");
        assert!(refused.error_message().contains("run this as that account"), "{refused:?}");
    }
    assert_eq!(files(world.secrets.path()), before);
}
