//! The values that the API's document describes are those that the running service takes: what is outside of them is
//! refused by the name of its field, and what is at their ends is taken.

use domain::text::LINE_PATTERN;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use services::api::document;

/// Cases that there are at least.
const FEWEST: usize = 150;

fn is(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|all| all.contains(&json!(kind)))
}

/// Values just outside of what a schema describes.
fn wrong(schema: &Value) -> Vec<Value> {
    let mut values = Vec::new();
    if is(schema, "integer") {
        values.extend(schema["minimum"].as_i64().map(|least| json!(least - 1)));
        values.extend(schema["maximum"].as_i64().map(|most| json!(most + 1)));
        values.push(json!("seven"));
    }
    if is(schema, "boolean") {
        values.push(json!("maybe"));
    }
    if is(schema, "string") {
        if let Some(most) = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()) {
            values.extend([json!("1".repeat(most + 1)), json!("x".repeat(most + 1))]);
        }
        if schema["minLength"].as_u64().is_some_and(|least| least > 0) || schema.get("enum").is_some() {
            values.push(json!(""));
        }
        match schema["pattern"].as_str() {
            Some(LINE_PATTERN) => {
                values.extend(
                    ["   ", "a\u{1b}b", "a\nb", "a\u{202e}b", "a\u{200b}b", "\u{200d}"].map(|text| json!(text)),
                );
            }
            Some(pattern) if pattern.starts_with("^[^") => values.push(json!("a\u{1}b")),
            // Neither a digit nor a name nor an address begins so.
            Some(_) => values.push(json!("!?")),
            None => values.push(json!("none-of-these")),
        }
    }
    values
}

/// Values at the ends of what a schema describes, where they can be told from it alone.
fn right(schema: &Value) -> Vec<Value> {
    let mut values: Vec<Value> = schema["enum"].as_array().cloned().unwrap_or_default();
    if is(schema, "integer") {
        values.extend([&schema["minimum"], &schema["maximum"]].into_iter().filter(|end| end.is_i64()).cloned());
    }
    values
}

fn query(path: &str, name: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let url = reqwest::Url::parse_with_params("http://x", [(name, text)]).expect("it is an address");
    format!("{path}?{}", url.query().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_says_of_values_is_what_the_service_holds_them_to() -> anyhow::Result<()> {
    let world = World::new(&[8170]).await?;
    let target = world.target(8170, RateLimit::default()).await?;
    let service = world.serve_with("api,projector,relay,intake", &["--api-rate", "100000"])?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let document = serde_json::to_value(document())?;
    let shared = |parameter: &Value| match parameter["$ref"].as_str() {
        Some(at) => document.pointer(at.trim_start_matches('#')).cloned().unwrap_or_default(),
        None => parameter.clone(),
    };
    let bodies = json!({
        "CreateTarget": document["components"]["schemas"]["CreateTarget"]["example"],
        "LinkListing": { "target_id": target.to_string(), "unit_id": "villa-000" },
        "Retry": { "reason": "x" }, "Reason": {}, "RotateCredential": {}, "ConfigureTarget": {},
    });
    let (mut cases, before) = (0, world.count("SELECT count(*) FROM events").await?);
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let path = path.replace("{target_id}", &target.to_string()).replace("{listing_id}", &listing.to_string());
        let path = path.replace("{sync_id}", &uuid::Uuid::nil().to_string()).replace("{number}", "1");
        for (method, operation) in item.as_object().into_iter().flatten() {
            let method: Method = method.to_uppercase().parse()?;
            for parameter in operation["parameters"].as_array().into_iter().flatten().map(shared) {
                let (name, schema) = (parameter["name"].as_str().unwrap_or_default(), &parameter["schema"]);
                let in_query = parameter["in"] == "query";
                for value in if in_query { wrong(schema) } else { Vec::new() } {
                    let answer = api.send(method.clone(), &query(&path, name, &value), &[], None).await?;
                    let case = format!("{method} {path} {name}={value}: {}", answer.text);
                    assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (400, &json!(name)), "{case}");
                    cases += 1;
                }
                for value in if in_query && name != "position" { right(schema) } else { Vec::new() } {
                    let answer = api.send(method.clone(), &query(&path, name, &value), &[], None).await?;
                    assert_ne!(answer.status.as_u16(), 400, "{method} {path} {name}={value}: {}", answer.text);
                    cases += 1;
                }
                // An id or a trace that cannot be used is not: the request is all right without.
                let held = ["if-match", "Idempotency-Key", "Min-Position"].contains(&name);
                for value in if held { wrong(schema) } else { Vec::new() } {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    // Within its length every visible text is a key.
                    if name == "Idempotency-Key" && text == "!?" {
                        continue;
                    }
                    let body = operation.get("requestBody").is_some().then(|| json!({ "reason": "x" }));
                    let answer = api.send(method.clone(), &path, &[(name, &text)], body.as_ref()).await?;
                    let field = answer.json()["field"].as_str().unwrap_or_default().to_lowercase();
                    let case = format!("{method} {path} {name}: {text}: {}", answer.text);
                    assert_eq!((answer.status.as_u16(), field), (400, name.to_lowercase()), "{case}");
                    cases += 1;
                }
            }
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(name) = body.as_str().and_then(|at| at.rsplit('/').next()) else { continue };
            for (field, schema) in
                document["components"]["schemas"][name]["properties"].as_object().into_iter().flatten()
            {
                for value in wrong(schema) {
                    let mut body = bodies[name].clone();
                    body[field] = value;
                    let answer = api.send(method.clone(), &path, &[], Some(&body)).await?;
                    let case = format!("{method} {path} {body}: {}", answer.text);
                    assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (400, &json!(field)), "{case}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, before, "a refused request wrote something");
    println!("{cases} values were tried");
    assert!(cases >= FEWEST, "{cases}");
    // At the ends of its texts.
    let longest = json!({ "account_id": "a".repeat(64), "name": "ü".repeat(120), "channel_account": "1".repeat(64),
        "base_url": format!("http://127.0.0.1/{}", "x".repeat(2_048 - 17)), "secret": "ü".repeat(4_096),
        "rate_limit": "10000/3600000ms", "account_rate_limit": "1/100ms" });
    api.post("/api/channels/targets", &longest).await?.expect(201)?;
    let reason = json!({ "reason": "ü".repeat(500) });
    api.post(&format!("/api/channels/targets/{target}/pause"), &reason).await?.expect(200)?;
    drop(service);
    world.close().await
}
