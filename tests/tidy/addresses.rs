//! `DATABASE_URL` leads the scripts of a backup and a restore where it leads the service: what libpq is given is what the
//! service's own driver reads.

use std::collections::BTreeMap;
use std::process::Command;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

use crate::tree::root;

/// libpq's variables of an address, or why there are none.
fn of_scripts(url: &str) -> Result<BTreeMap<String, String>, String> {
    let evaluated = "address=$(dev/postgres-address) || exit 1; eval \"$address\"; env";
    let mut command = Command::new("bash");
    command.args(["-c", evaluated]).current_dir(root()).env_clear().env("DATABASE_URL", url);
    let output = command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).output().expect("bash is there");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = lines.lines().filter(|line| line.starts_with("PG")).filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[test]
fn an_address_leads_the_scripts_where_it_leads_the_service() {
    for (url, password) in [
        ("postgres://ann:p%40%23%2Fx@Db.example.org:6543/shop-1", Some("p@#/x")),
        ("postgresql://ann:100%@db/shop?sslmode=require", Some("100%")),
        ("postgres://%C3%BCte:%27%22%24%60%5C@[::1]:5433/sh%C3%B6p", Some("'\"$`\\")),
        ("postgres:///shop?host=/var/run/Pg&port=5433&user=ann&user=bob&password=a+b", Some("a b")),
        ("postgres://ann@db/shop?ssl-mode=prefer&statement-cache-capacity=3&options=-c%20work_mem%3D7MB", None),
        ("postgres://ann@%2Fvar%2Frun%2FPg/shop#here", None),
    ] {
        let ours = PgConnectOptions::from_str(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let theirs = of_scripts(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let said = |name: &str| theirs.get(name).map(String::as_str);
        assert_eq!(said("PGDATABASE"), ours.get_database(), "{url}");
        assert_eq!(said("PGUSER"), Some(ours.get_username()), "{url}");
        assert_eq!(said("PGPASSWORD"), password, "{url}");
        let socket = ours.get_socket().map(|socket| socket.display().to_string());
        let host = socket.unwrap_or_else(|| ours.get_host().trim_matches(['[', ']']).to_owned());
        assert_eq!(said("PGHOST"), Some(host.as_str()), "{url}");
        assert_eq!(said("PGPORT").unwrap_or("5432"), ours.get_port().to_string(), "{url}");
    }
    for refused in ["mysql://db/shop", "postgres://db", "postgres://db:port/shop", "postgres://db/shop?unheard=of"] {
        assert!(of_scripts(refused).is_err_and(|error| error.starts_with("error: ")), "{refused}");
    }
}
