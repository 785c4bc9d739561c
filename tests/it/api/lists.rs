//! Lists that are asked for by what stands in them.

use domain::ids::TargetId;
use domain::target::{Health, TargetCommand};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

/// Ids in the order of the list, two a page.
async fn listed(api: &Api, filter: &str) -> anyhow::Result<Vec<String>> {
    let pages = api.pages(&format!("/api/channels/targets?limit=2{filter}"), "target_id").await?;
    assert!(pages.iter().all(|page| page.len() <= 2), "{pages:?}");
    Ok(pages.concat().iter().filter_map(|id| id.as_str().map(str::to_owned)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_listed_by_state_and_health() -> anyhow::Result<()> {
    let accounts: Vec<u64> = (8180..8190).collect();
    let world = World::new(&accounts).await?;
    let commands = world.syncing.commands();
    let mut targets: Vec<TargetId> = Vec::new();
    for account in accounts {
        targets.push(world.target(account, RateLimit::default()).await?);
    }
    let refused = || TargetCommand::ReportHealth {
        health: Health::Unauthorised,
        reason: "refused".to_owned(),
        credential_epoch: 0,
    };
    let pause = || TargetCommand::Pause { reason: "x".to_owned() };
    let delete = || TargetCommand::Delete { reason: "x".to_owned() };
    // Three of each kind, and one that is both paused and refused: it is paused.
    let done = [
        (0, pause()),
        (3, pause()),
        (6, pause()),
        (1, refused()),
        (4, refused()),
        (7, refused()),
        (2, delete()),
        (5, refused()),
        (5, delete()),
        (9, refused()),
        (9, pause()),
    ];
    for (index, command) in done {
        let target = targets[index];
        commands.target(target, command, &world.metadata(target)?).await?;
    }
    let service = world.serve("api,projector,relay")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let head = world.count("SELECT max(position) FROM events").await?;
    api.get(&format!("/api/channels/targets?min_position={head}")).await?.expect(200)?;
    let ids = |indexes: &[usize]| indexes.iter().map(|index| targets[*index].to_string()).collect::<Vec<_>>();
    for (flags, filter, wanted) in [
        (vec![], "", vec![0, 1, 3, 4, 6, 7, 8, 9]),
        (vec!["--deleted"], "&deleted=true", vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (vec!["--state", "active"], "&state=active", vec![8]),
        (vec!["--state", "needs_credentials"], "&state=needs_credentials", vec![1, 4, 7]),
        (vec!["--state", "paused"], "&state=paused", vec![0, 3, 6, 9]),
        (vec!["--state", "deleted"], "&state=deleted", vec![2, 5]),
        (vec!["--state", "deleted", "--health", "unauthorised"], "&state=deleted&health=unauthorised", vec![5]),
        (vec!["--state", "paused", "--health", "healthy"], "&state=paused&health=healthy", vec![]),
        (vec!["--health", "unauthorised"], "&health=unauthorised", vec![1, 4, 7, 9]),
    ] {
        assert_eq!(listed(&api, filter).await?, ids(&wanted), "{filter}");
        let (code, printed, said) = world.run(&[&["--output", "json", "target", "list"][..], &flags].concat())?;
        let printed: Vec<Value> = serde_json::from_str(&printed)?;
        let by_command: Vec<String> =
            printed.iter().filter_map(|target| target["target_id"].as_str().map(str::to_owned)).collect();
        assert_eq!((code, by_command), (0, ids(&wanted)), "{flags:?} {said}");
        // What is asked for is what is told.
        let states = printed.iter().map(|target| target["state"].as_str().unwrap_or_default());
        if let Some(state) = flags.iter().position(|flag| *flag == "--state").map(|at| flags[at + 1]) {
            assert!(states.clone().all(|told| told == state), "{flags:?}: {printed:?}");
        }
    }
    let unknown = api.get("/api/channels/targets?state=gone").await?.expect(400)?.json();
    assert_eq!(unknown["field"], json!("state"));
    let preview = format!("/api/channels/listings/{}/preview?force", targets[0]);
    for (switch, field) in [("/api/channels/targets?deleted", "deleted"), (&*preview, "force")] {
        for given in ["TRUE", "1", "yes", ""] {
            let refused = api.get(&format!("{switch}={given}")).await?.expect(400)?.json();
            let told = (&refused["field"], &refused["detail"]);
            assert_eq!(told, (&json!(field), &json!("is true or false")), "{given:?}");
        }
    }
    let (code, _, said) = world.run(&["target", "list", "--state", "gone"])?;
    assert!(code == 2 && said.contains("needs_credentials"), "{said}");
    drop(service);
    world.close().await
}
