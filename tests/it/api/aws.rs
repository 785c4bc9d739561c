//! The API with its secrets at AWS Secrets Manager, spoken by moto: a real server of the real protocol.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use domain::ids::TargetId;
use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::process::Process;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::lost_secrets::{put_and_lost, visits};

/// It dies with the value.
struct Moto {
    process: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Moto {
    async fn start() -> anyhow::Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0")?;
        let port = free.local_addr()?.port();
        drop(free);
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../dev/moto"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let moto = Self { process: command.spawn()?, url: format!("http://127.0.0.1:{port}") };
        // For its first answer it loads what it can do, longer than the service waits for one.
        wait_until("moto answers", Duration::from_secs(120), || async {
            Ok(moto.ask("ListSecrets", &json!({})).await.map(drop).map_err(|error| error.to_string()))
        })
        .await?;
        Ok(moto)
    }

    /// The names and values of the secrets that are there now.
    async fn secrets(&self) -> anyhow::Result<Vec<(String, String)>> {
        let listed = self.ask("ListSecrets", &json!({})).await?;
        let mut secrets = Vec::new();
        for name in listed["SecretList"].as_array().into_iter().flatten().filter_map(|one| one["Name"].as_str()) {
            let answer = self.answer("GetSecretValue", &json!({ "SecretId": name })).await?;
            let is_ok = answer.status().is_success();
            let value: Value = answer.json().await?;
            if is_ok {
                secrets.push((name.to_owned(), value["SecretString"].as_str().unwrap_or_default().to_owned()));
                continue;
            }
            // It went since it was listed.
            let why = value["__type"].as_str().unwrap_or_default();
            ensure!(["ResourceNotFoundException", "InvalidRequestException"].contains(&why), "{name}: {value}");
        }
        Ok(secrets)
    }

    async fn ask(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        Ok(self.answer(operation, body).await?.error_for_status()?.json().await?)
    }

    async fn answer(&self, operation: &str, body: &Value) -> anyhow::Result<Response> {
        let request = reqwest::Client::new().post(&self.url).body(body.to_string());
        let request = request
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{operation}"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/secretsmanager/aws4_request",
            );
        Ok(request.send().await?)
    }

    /// Starts the service with its secrets there, and with further arguments.
    fn serve(&self, world: &World, further: &[&str], log: &str) -> anyhow::Result<Process> {
        let mut environment = world.environment()?;
        environment.extend([
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("DISTRIBUTION_KEEP_SECRETS_IN", "aws".to_owned()),
        ]);
        let arguments: Vec<String> = ["serve"].iter().chain(further).map(|argument| (*argument).to_owned()).collect();
        Process::start("distribution", &arguments, &environment, &world.path(log))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_targets_secret_lives_and_goes_at_the_secrets_manager() -> anyhow::Result<()> {
    let moto = Moto::start().await?;
    let world = World::new(&[8151]).await?;
    let service = moto.serve(&world, &[], "serve.log")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    // Asked in vain for 2 s, as by a busy machine, it counts as away until the next look.
    wait_until("the store answers", Duration::from_secs(30), || async {
        let ready = api.get("/health/ready").await?.expect(200)?.json();
        Ok(if ready["secret_store"] == json!(true) { Ok(()) } else { Err(ready.to_string()) })
    })
    .await?;
    let wanted = json!({
        "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": "8151", "secret": "secret-8151", "rate_limit": "100/1s",
    });
    let made = api.post("/api/channels/targets", &wanted).await?.expect(201)?.json();
    let target = made["target_id"].as_str().unwrap_or_default().to_owned();
    let name = format!("distribution.{target}");
    assert_eq!(made["credential"], json!(format!("aws:{name}")));
    assert_eq!(moto.secrets().await?, [(name.clone(), "secret-8151".to_owned())]);
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let link = json!({ "target_id": target, "unit_id": "villa-000" });
    api.post("/api/channels/listings", &link).await?.expect(201)?;
    world.drained(Duration::from_secs(30)).await?;
    let accepted = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'accepted'").await?;
    assert_eq!(accepted, 1, "the secret was read there");

    let path = format!("/api/channels/targets/{target}");
    api.post(&format!("{path}/credential"), &json!({ "secret": "another" })).await?.expect(200)?;
    assert_eq!(moto.secrets().await?, [(name, "another".to_owned())]);
    let gone = json!({ "reason": "the account was closed" });
    api.send(Method::DELETE, &path, &[], Some(&gone)).await?.expect(200)?;
    assert_eq!(moto.secrets().await?, []);

    // A crash between the deletion and what follows it.
    let made = api.post("/api/channels/targets", &wanted).await?.expect(201)?.json();
    let target: TargetId = made["target_id"].as_str().unwrap_or_default().parse()?;
    let gone = TargetCommand::Delete { reason: "the account was closed".to_owned() };
    world.commands().target(target, gone, &world.metadata(target)?).await?;
    assert_eq!(moto.secrets().await?.len(), 1);
    drop(service);
    let service = moto.serve(&world, &[], "again.log")?;
    wait_until("the next start takes it away", Duration::from_secs(30), || async {
        let left = moto.secrets().await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await?;
    assert!(!service.printed().contains("could not be deleted"), "the first one had gone: {}", service.printed());
    drop(service);
    world.close().await
}

/// What is deleted at AWS blocks its name for a week: the place of a move that came to nothing stays for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_the_secrets_manager_whose_commit_is_lost_is_made_by_the_next_try() -> anyhow::Result<()> {
    let moto = Moto::start().await?;
    let world = World::new(&[8152]).await?;
    let target = world.target(8152, RateLimit::default()).await?.to_string();
    let service = moto.serve(&world, &["--roles", "api"], "serve.log")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let path = format!("/api/channels/targets/{target}");
    let credential = format!("{path}/credential");
    let told = put_and_lost(&world, &api, &credential, &json!({ "secret": "WRONG" })).await?;
    assert!(told["detail"].to_string().contains("nothing was changed; try again"), "{told}");
    assert_eq!(visits(&api, &target).await?, [(json!("secret_left"), json!("local_token"))]);
    api.post(&credential, &json!({ "secret": "right" })).await?.expect(200)?;
    let name = format!("distribution.{target}");
    assert_eq!(moto.secrets().await?, [(name.clone(), "right".to_owned())]);

    // A value at the same place is put back, as it was never told that it is there.
    let told = put_and_lost(&world, &api, &credential, &json!({ "secret": "WRONG" })).await?;
    assert!(told["detail"].to_string().contains("nothing was changed; try again"), "{told}");
    assert_eq!(moto.secrets().await?, [(name.clone(), "right".to_owned())]);

    // As of a database that was put back: who was told so has the value in force, and its event came after the backup.
    let put = Uuid::now_v7();
    let value = json!({ "SecretId": name, "SecretString": "acknowledged", "ClientRequestToken": put });
    moto.ask("PutSecretValue", &value).await?;
    let row = "INSERT INTO pending_secrets (change_id, put_id, secret, target_id, org_id, account_id, at, kind, created_by, credential)
        VALUES ($1, $1, $2, $3, $4, $5, now() - interval '3 hours', 'rotate', 'somebody', 'session')";
    let row = sqlx::query(row).bind(put).bind(format!("aws:{name}")).bind(target.parse::<Uuid>()?);
    row.bind(ORG).bind(ACCOUNT).execute(&world.pool).await?;
    wait_until("it is looked at", Duration::from_secs(60), || async {
        let left = "SELECT count(*) FROM pending_secrets WHERE state = 'left'";
        Ok(if world.count(left).await? == 2 { Ok(()) } else { Err("nobody has".to_owned()) })
    })
    .await?;
    assert_eq!(moto.secrets().await?, [(name, "acknowledged".to_owned())], "it stays");
    assert!(service.printed().contains("it is left as it is"), "{}", service.printed());
    drop(service);
    world.close().await
}
