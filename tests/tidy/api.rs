//! The document of the HTTP API is the committed one, and the table of permissions names the same routes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use domain::access::Permission;
use services::api::document;
use services::api::policy::{ROUTES, Rule};
use services::api::problem::ProblemKind;

use crate::tree::{read, root};

const DOCUMENT: &str = "services/openapi.json";
/// For people; its tables are made from the code.
const PAGE: &str = "services/API.md";

fn write(path: &str, text: &str) {
    std::fs::write(root().join(path), text).expect("the checkout can be written");
}

/// After a change of the API: `UPDATE_OPENAPI=1 cargo nextest run -p end-to-end --test tidy api`, and look at the difference.
#[test]
fn the_served_document_is_the_committed_one() {
    let served = document().to_pretty_json().expect("a document is JSON") + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        write(DOCUMENT, &served);
    }
    assert!(read(DOCUMENT) == served, "{DOCUMENT} is not what is served: UPDATE_OPENAPI=1 writes it anew");
}

#[test]
fn the_table_of_permissions_names_every_route_of_the_document_and_no_other() {
    let mut described = BTreeSet::new();
    for (path, item) in &document().paths.paths {
        let operations = [("GET", &item.get), ("POST", &item.post), ("PATCH", &item.patch), ("DELETE", &item.delete)];
        described.extend(
            operations
                .iter()
                .filter(|(_, operation)| operation.is_some())
                .map(|(method, _)| format!("{method} {path}")),
        );
        assert!(item.put.is_none() && item.options.is_none() && item.head.is_none() && item.trace.is_none(), "{path}");
    }
    let ruled: BTreeSet<String> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(described, ruled);
    assert_eq!(ruled.len(), ROUTES.len(), "a route stands in the table twice");
}

#[test]
fn every_permission_is_needed_somewhere_and_the_page_says_who_has_it_and_what_problems_there_are() {
    let mut tables = "| permission | roles |\n| --- | --- |\n".to_owned();
    for permission in Permission::ALL {
        let used = ROUTES.iter().any(|route| route.rule == Rule::Needs(permission));
        assert!(used, "{permission} is needed by no route");
        let roles: Vec<String> = permission.roles().iter().map(ToString::to_string).collect();
        let _ = writeln!(tables, "| `{permission}` | {} |", roles.join(", "));
    }
    tables.push_str("\n| route | needs |\n| --- | --- |\n");
    for route in ROUTES {
        let rule = match route.rule {
            Rule::Public => "nothing".to_owned(),
            Rule::SignedIn => "a credential".to_owned(),
            Rule::Needs(permission) => format!("`{permission}`"),
        };
        let _ = writeln!(tables, "| `{} {}` | {rule} |", route.method, route.path);
    }
    tables.push_str(
        "\n## Problems\n\nThe `type` of a problem is the path of a page that says the same, open to everybody.\n\n\
         | type | status | what is wrong | what helps |\n| --- | --- | --- | --- |\n",
    );
    for kind in ProblemKind::ALL {
        let (name, status) = (kind.name(), kind.status());
        let _ = writeln!(tables, "| `{name}` | {status} | {} | {} |", kind.meaning(), kind.remedy());
    }
    // They are the end of the page.
    let page = read(PAGE);
    let (words, _) = page.split_once("| permission | roles |").expect("the page has the tables");
    let made = format!("{words}{tables}");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        write(PAGE, &made);
    }
    assert!(read(PAGE) == made, "{PAGE} has other tables than the code: UPDATE_OPENAPI=1 writes them anew");
}
