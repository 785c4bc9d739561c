//! AWS Secrets Manager: `aws:NAME`. Values are kept for a minute, so that pushes do not ask for each; whoever saw one
//! refused asks anew. While AWS cannot be reached they serve for longer. Of a rotation AWS itself keeps the previous value, as AWSPREVIOUS.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::types::Tag;
use chrono::{DateTime, Utc};
use domain::secret::SecretRef;
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{ROTATION_GRACE, Secret, SecretError, same};

/// How long a value is used without asking again.
pub const KEPT_FOR: Duration = Duration::from_secs(60);
/// Where AWS was out of reach just now, a kept value is given without asking again for so long: to ask in vain takes long, and
/// pushes would do so one after another.
const IN_VAIN_FOR: Duration = Duration::from_secs(5);
/// Values that are kept at the same time.
const KEPT: usize = 10_000;
/// The mark of secrets that we made, and may delete.
const OURS: (&str, &str) = ("created-by", "distribution");
/// A deleted secret can be restored for this long, the least that AWS takes.
const RECOVERY_DAYS: i64 = 7;

/// A value that was asked for.
struct Known {
    asked_at: Instant,
    value: Secret,
    /// When it was last known that it could not be asked for again.
    in_vain: Option<Instant>,
}

impl Known {
    /// Whether it may be given where AWS cannot say what holds now.
    fn serves(&self) -> bool {
        self.asked_at.elapsed() < ROTATION_GRACE
    }

    /// Whether it is given without asking.
    fn is_enough(&self, kept_for: Duration) -> bool {
        let was_in_vain = self.in_vain.is_some_and(|at| at.elapsed() < IN_VAIN_FOR);
        self.asked_at.elapsed() < kept_for || (was_in_vain && self.serves())
    }
}

type Kept = Arc<Mutex<Option<Known>>>;

/// The secrets of one AWS account and region.
pub struct AwsSecrets {
    client: Client,
    kept_for: Duration,
    /// The lock is held over a request, so that any number of pushes that wait for a value cause one.
    kept: Cache<String, Kept>,
}

impl fmt::Debug for AwsSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSecrets").finish_non_exhaustive()
    }
}

impl AwsSecrets {
    /// Over a client that is set up already; a value is used for `kept_for` without asking again.
    pub fn new(client: Client, kept_for: Duration) -> Self {
        Self { client, kept_for, kept: Cache::new(KEPT) }
    }

    /// Region and credentials as the AWS SDK finds them: environment, profile, container, instance.
    pub async fn from_environment(endpoint: Option<&str>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(12))
            .build();
        let found = aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts).load().await;
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&found);
        config.set_endpoint_url(endpoint.map(str::to_owned).or_else(|| found.endpoint_url().map(str::to_owned)));
        Self::new(Client::from_conf(config.build()), KEPT_FOR)
    }

    /// Keeps a new secret, marked as ours.
    pub async fn create(&self, secret: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
        self.make(secret, value, None).await
    }

    /// The same, with an id of ours for its first version.
    pub async fn create_as(&self, secret: &SecretRef, value: &SecretString, put: Uuid) -> Result<(), SecretError> {
        self.make(secret, value, Some(put)).await
    }

    async fn make(&self, secret: &SecretRef, value: &SecretString, put: Option<Uuid>) -> Result<(), SecretError> {
        let ours = Tag::builder().key(OURS.0).value(OURS.1).build();
        let request = self.client.create_secret().name(secret.name()).secret_string(value.expose_secret()).tags(ours);
        let request = request.set_client_request_token(put.map(|put| put.to_string()));
        request.send().await.map_err(|error| failed(secret, &error))?;
        self.kept.remove(secret.name());
        Ok(())
    }

    /// The values, as they were asked for a short time ago; at most [`ROTATION_GRACE`] ago where AWS cannot be reached.
    pub async fn read(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        let kept = self.kept(secret)?;
        let mut kept = kept.lock().await;
        if let Some(known) = kept.as_ref().filter(|known| known.is_enough(self.kept_for)) {
            return Ok(known.value.clone());
        }
        let asked = self.renew(secret, &mut kept).await;
        let is_unreachable = matches!(asked, Err(SecretError::Unreachable { .. }));
        match kept.as_ref().filter(|known| is_unreachable && known.serves()) {
            Some(known) => Ok(known.value.clone()),
            None => asked,
        }
    }

    /// The values as they are now.
    pub async fn read_anew(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        let oldest = Instant::now();
        let kept = self.kept(secret)?;
        let mut kept = kept.lock().await;
        if let Some(known) = kept.as_ref().filter(|known| known.asked_at > oldest) {
            return Ok(known.value.clone());
        }
        self.renew(secret, &mut kept).await
    }

    fn kept(&self, secret: &SecretRef) -> Result<Kept, SecretError> {
        self.kept.get_or_insert_with(secret.name(), || Ok(Kept::default()))
    }

    /// Asks, and keeps what was told.
    async fn renew(&self, secret: &SecretRef, kept: &mut Option<Known>) -> Result<Secret, SecretError> {
        let asked_at = Instant::now();
        let asked = self.ask(secret).await;
        match &asked {
            Ok(value) => *kept = Some(Known { asked_at, value: value.clone(), in_vain: None }),
            // Others go on with what is kept.
            Err(SecretError::Unreachable { .. }) => {
                if let Some(known) = kept {
                    known.in_vain = Some(Instant::now());
                }
            }
            Err(_) => *kept = None,
        }
        asked
    }

    async fn ask(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        let request = self.client.get_secret_value().secret_id(secret.name());
        let current = request.clone().send().await.map_err(|error| failed(secret, &error))?;
        let since = current.created_date().and_then(|date| SystemTime::try_from(*date).ok());
        let current = text(secret, current)?;
        // Where our clock is behind, there is no age yet.
        let rotated = since.is_some_and(|since| since.elapsed().map_or(true, |age| age < ROTATION_GRACE));
        if !rotated {
            return Ok(Secret::of(current));
        }
        let previous = request.version_stage("AWSPREVIOUS").send().await.map_err(|error| failed(secret, &error));
        match previous {
            Ok(previous) => Ok(Secret::replacing(text(secret, previous).ok(), current)),
            Err(SecretError::Missing { .. }) => Ok(Secret::of(current)),
            Err(error) => Err(error),
        }
    }

    /// Makes the value the AWSCURRENT one; AWS makes the previous one AWSPREVIOUS. Put a second time, it would be both.
    pub async fn rotate(&self, secret: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
        self.rotate_to(secret, value, None).await
    }

    /// The same, with an id of ours for the new version.
    pub async fn rotate_as(&self, secret: &SecretRef, value: &SecretString, put: Uuid) -> Result<(), SecretError> {
        self.rotate_to(secret, value, Some(put)).await
    }

    async fn rotate_to(&self, secret: &SecretRef, value: &SecretString, put: Option<Uuid>) -> Result<(), SecretError> {
        match self.read_anew(secret).await {
            Ok(now) if same(&now.current, value) => return Ok(()),
            Err(error @ (SecretError::Missing { .. } | SecretError::Unreachable { .. })) => return Err(error),
            // One that cannot be used may be replaced.
            Ok(_) | Err(_) => {}
        }
        let request = self.client.put_secret_value().secret_id(secret.name()).secret_string(value.expose_secret());
        // Of a request that came twice AWS knows by it that it was one.
        let request = request.set_client_request_token(put.map(|put| put.to_string()));
        request.send().await.map_err(|error| failed(secret, &error))?;
        self.kept.remove(secret.name());
        Ok(())
    }

    /// Makes the AWSPREVIOUS one the AWSCURRENT one again, where that has this id. One that was made as this stays: deleted, its name would be
    /// nobody's for a week.
    pub async fn take_back(&self, secret: &SecretRef, put: Uuid) -> Result<bool, SecretError> {
        if !has_stage(&self.describe(secret).await?, put, "AWSCURRENT") {
            return Ok(false);
        }
        let request = self.client.get_secret_value().secret_id(secret.name()).version_stage("AWSPREVIOUS");
        let previous = match request.send().await.map_err(|error| failed(secret, &error)) {
            Err(SecretError::Missing { .. }) => return Ok(false),
            found => text(secret, found?)?,
        };
        // Its version has one id, so that of two who take it back at once the later one puts nothing over what came since.
        let back = Uuid::new_v5(&put, b"taken back");
        self.rotate_to(secret, &previous, Some(back)).await.map(|()| true)
    }

    /// Deletes one that was made as this, where no other value was put there since.
    pub async fn delete_as(&self, secret: &SecretRef, put: Uuid) -> Result<bool, SecretError> {
        let described = self.describe(secret).await?;
        let versions = described.version_ids_to_stages().map_or(0, HashMap::len);
        if versions != 1 || !has_stage(&described, put, "AWSCURRENT") {
            return Ok(false);
        }
        self.delete(secret).await.map(|()| true)
    }

    /// Deletes one that we made; it can be restored for a week.
    pub async fn delete(&self, secret: &SecretRef) -> Result<(), SecretError> {
        let described = self.describe(secret).await?;
        if !described.tags().iter().any(|tag| (tag.key(), tag.value()) == (Some(OURS.0), Some(OURS.1))) {
            let reason = "it was not made by this service (its tag created-by is not distribution): delete it at AWS";
            return Err(SecretError::ReadOnly { secret: secret.clone(), reason });
        }
        let request = self.client.delete_secret().secret_id(secret.name()).recovery_window_in_days(RECOVERY_DAYS);
        request.send().await.map_err(|error| failed(secret, &error))?;
        self.kept.remove(secret.name());
        Ok(())
    }

    /// When its value was put there last, or anything else of it was changed.
    pub async fn put_at(&self, secret: &SecretRef) -> Result<DateTime<Utc>, SecretError> {
        let described = self.describe(secret).await?;
        let at = described.last_changed_date().or(described.created_date());
        let at = at.and_then(|date| SystemTime::try_from(*date).ok());
        at.map(DateTime::from).ok_or_else(|| SecretError::unusable(secret, "AWS does not say when it was put there"))
    }

    /// What is known of it but for its value. One that is deleted and can be restored yet is not there.
    async fn describe(&self, secret: &SecretRef) -> Result<DescribeSecretOutput, SecretError> {
        let described = self.client.describe_secret().secret_id(secret.name()).send().await;
        let described = described.map_err(|error| failed(secret, &error))?;
        if described.deleted_date().is_some() { Err(missing(secret)) } else { Ok(described) }
    }
}

/// Whether this version has this label.
fn has_stage(described: &DescribeSecretOutput, version: Uuid, label: &str) -> bool {
    let stages = described.version_ids_to_stages().and_then(|stages| stages.get(&version.to_string()));
    stages.is_some_and(|stages| stages.iter().any(|stage| stage == label))
}

fn missing(secret: &SecretRef) -> SecretError {
    let place = format!("{} in AWS Secrets Manager", secret.name());
    SecretError::Missing { secret: secret.clone(), place }
}

fn text(secret: &SecretRef, output: GetSecretValueOutput) -> Result<SecretString, SecretError> {
    match output.secret_string.map(Zeroizing::new) {
        Some(text) if !text.is_empty() => Ok(SecretString::from(text.as_str())),
        _ => Err(SecretError::unusable(secret, "it holds no text")),
    }
}

/// The SDK's own words for an error show whole requests and answers; these name the cause alone.
fn failed<E, R>(secret: &SecretRef, error: &SdkError<E, R>) -> SecretError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    let SdkError::ServiceError(refused) = error else {
        let mut innermost: &dyn Error = error;
        while let Some(cause) = innermost.source() {
            innermost = cause;
        }
        let reason = format!("AWS Secrets Manager cannot be reached: {error}: {innermost}");
        return SecretError::Unreachable { secret: secret.clone(), reason };
    };
    let (code, message) =
        (refused.err().code().unwrap_or("error"), refused.err().message().unwrap_or("no reason given"));
    let reason = format!("AWS Secrets Manager: {code}: {message}");
    match code {
        "ResourceNotFoundException" => missing(secret),
        "ResourceExistsException" => SecretError::Exists { secret: secret.clone() },
        "InternalServiceError" | "InternalFailure" | "ServiceUnavailable" | "ThrottlingException" => {
            SecretError::Unreachable { secret: secret.clone(), reason }
        }
        _ => SecretError::Unusable { secret: secret.clone(), reason },
    }
}
