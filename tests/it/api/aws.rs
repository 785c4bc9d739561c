//! The API with its secrets at AWS Secrets Manager, spoken by moto: a real server of the real protocol.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use domain::ids::TargetId;
use domain::target::TargetCommand;
use end_to_end::api::Api;
use end_to_end::process::Process;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

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
        wait_until("moto answers", Duration::from_secs(60), || async move {
            let open = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            Ok(open.map(drop).map_err(|error| error.to_string()))
        })
        .await?;
        Ok(moto)
    }

    /// The names and values of the secrets that are there now.
    async fn secrets(&self) -> anyhow::Result<Vec<(String, String)>> {
        let listed = self.ask("ListSecrets", &json!({})).await?;
        let mut secrets = Vec::new();
        for name in listed["SecretList"].as_array().into_iter().flatten().filter_map(|one| one["Name"].as_str()) {
            let value = self.ask("GetSecretValue", &json!({ "SecretId": name })).await?;
            secrets.push((name.to_owned(), value["SecretString"].as_str().unwrap_or_default().to_owned()));
        }
        Ok(secrets)
    }

    async fn ask(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        let request = reqwest::Client::new().post(&self.url).body(body.to_string());
        let request = request
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{operation}"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/secretsmanager/aws4_request",
            );
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_targets_secret_lives_and_goes_at_the_secrets_manager() -> anyhow::Result<()> {
    let moto = Moto::start().await?;
    let world = World::new(&[8151]).await?;
    let mut environment = world.environment()?;
    environment.extend([
        ("AWS_ENDPOINT_URL", moto.url.clone()),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("DISTRIBUTION_KEEP_SECRETS_IN", "aws".to_owned()),
    ]);
    let start = |log: &str| Process::start("distribution", &["serve".to_owned()], &environment, &world.path(log));
    let service = start("serve.log")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let ready = api.get("/health/ready").await?.expect(200)?.json();
    assert_eq!(ready["secret_store"], json!(true), "{ready}");
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
    let service = start("again.log")?;
    wait_until("the next start takes it away", Duration::from_secs(30), || async {
        let left = moto.secrets().await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await?;
    assert!(!service.printed().contains("could not be deleted"), "the first one had gone: {}", service.printed());
    drop(service);
    world.close().await
}
