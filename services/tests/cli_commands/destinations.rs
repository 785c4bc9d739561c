//! Base URLs that lead into one's own network: refused by name of the field, unless the operator allows them. And such as are spelled otherwise
//! than they are kept now.

use sqlx::{Connection as _, PgConnection};

use crate::service::{Service, eventually};
use crate::world::{NOWHERE, Ran, World};

/// Without the operator's leave, which the other tests have.
fn strictly(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.command();
    command.env_remove("DISTRIBUTION_ALLOW_PRIVATE_CHANNELS").args(["--output", "json"]).args(arguments);
    command.output().unwrap().into()
}

fn create(url: &str) -> Vec<&str> {
    let who = ["target", "create", "--org", "sunstay", "--account", "bali", "--name", "Bali", "--base-url", url];
    [&who[..], &["--channel-account", "10450", "--secret-ref", "env:HOSTAWAY"]].concat()
}

#[test]
fn a_target_inside_of_ones_own_network_is_refused_unless_the_operator_allows_it() {
    let world = World::new();
    let public = strictly(&world, &create("https://1.1.1.1/v1")).ok().json();
    let target = public["target_id"].as_str().unwrap();
    for (url, why) in [
        (NOWHERE, "is not https"),
        ("https://127.0.0.1:9/v1", "127.0.0.1 is no public address"),
        ("https://[::1]/v1", "::1 is no public address"),
        ("https://169.254.169.254/latest", "169.254.169.254 is no public address"),
        ("https://localhost/v1", "localhost is "),
        ("https://nobody-knows-intranet/v1", "nobody-knows-intranet is "),
    ] {
        for arguments in [&create(url)[..], &["target", "configure", target, "--base-url", url]] {
            let ran = strictly(&world, arguments);
            assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("base_url")), "{ran:?}");
            let message = ran.error_message();
            assert!(message.contains(why) && message.contains("--allow-private-channels"), "{message}");
            strictly(&world, &[arguments, &["--allow-private-channels"]].concat()).ok();
        }
    }
    let renamed = strictly(&world, &["target", "configure", target, "--name", "Crete"]).ok();
    assert_eq!(renamed.json()["changed"], true, "what stands there already is not in the way of another change");
    for url in ["ftp://example.org", "https://1.1.1.1:0/v1"] {
        let none = strictly(&world, &create(url));
        assert_eq!((none.code, none.error()["field"].as_str()), (2, Some("base_url")), "{none:?}");
    }
    for url in ["https://me:s3cret@1.1.1.1/v1", "https://1.1.1.1/v1/../s3cret"] {
        let none = strictly(&world, &create(url));
        assert_eq!((none.code != 0, none.error()["field"].as_str()), (true, Some("base_url")), "{none:?}");
        assert!(!none.stderr.contains("s3cret"), "it may be a password: {none:?}");
    }
}

/// As an older build took it: what two targets of one account say of a listing would not be seen together.
#[test]
fn the_doctor_names_an_address_that_makes_another_account_of_one() {
    let world = World::new();
    let _service = Service::start(&world, "relay,projector");
    let target = world.target("Bali");
    let spelled = |url: &str| {
        world.block_on(async {
            let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
            let spell = "UPDATE channel_targets SET base_url = $2 WHERE target_id::text = $1";
            sqlx::query(spell).bind(&target).bind(url).execute(&mut connection).await.unwrap().rows_affected()
        })
    };
    let told = || {
        let report = world.json(&["doctor"]).json();
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["check"] == "channels" && check["status"] == "warn")
    };
    assert_eq!(told(), None);
    eventually("the target was projected", || (spelled("HTTP://127.0.0.1:9/v1/") == 1).then_some(()));
    let warning = told().expect("it is named");
    let (detail, advice) = (warning["detail"].as_str().unwrap(), warning["advice"].as_str().unwrap());
    assert!(detail.starts_with("HTTP://127.0.0.1:9/v1/ ") && detail.contains("Bali"), "{warning}");
    assert!(advice.contains(&format!("--base-url {NOWHERE}`")), "{warning}");

    assert_eq!(spelled("http://localhost.:9/v1"), 1);
    let warning = told().expect("it is named");
    let detail = warning["detail"].as_str().unwrap();
    assert!(detail.contains("without a dot at its end"), "and what is wrong, where it is not taken now: {warning}");
}
