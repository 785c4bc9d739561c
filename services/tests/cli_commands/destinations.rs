//! Base URLs that lead into one's own network: refused by name of the field, unless the operator allows them.

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
