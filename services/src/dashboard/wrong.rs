//! What went wrong, as a page: what it is, and what helps now. A form is never sent once more by itself: its page is shown instead, as
//! it stands now.

use adapters::identity::path_on_this_host;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use domain::counted::counted;
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::public;
use crate::api::problem::ProblemKind;

const OVERVIEW: &str = "/";
const SIGN_IN: &str = "/sign-in";
/// The fields that say that a form is not of this session.
const CSRF: [&str; 2] = ["X-CSRF-Token", "csrf_token"];

/// Where one can go from the end of a request.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// To the same again, where that is safe.
    again: Option<String>,
    /// To the page of what it was about.
    about: Option<String>,
    /// To the page that it came from.
    from: Option<String>,
    /// It came from the identity provider, at the end of a sign-in.
    ends_sign_in: bool,
    /// By a program, which has given a token.
    has_token: bool,
    /// Something was to be changed.
    is_change: bool,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let uri = request.uri();
        let own = uri.path_and_query().map_or(OVERVIEW, |path| path.as_str());
        // The code of a link is good for nothing any more, and a provider's answer neither: both begin anew.
        if is_of_sign_in(own) {
            let again = request.method().is_safe().then(|| SIGN_IN.to_owned());
            let ends_sign_in = uri.path() == "/sign-in/callback";
            return Self { again, ends_sign_in, is_change: !request.method().is_safe(), ..Self::default() };
        }
        Self {
            again: request.method().is_safe().then(|| path_on_this_host(own).to_owned()),
            about: about(uri.path()),
            from: from(request.headers()).filter(|from| from != own),
            ends_sign_in: false,
            has_token: request.headers().contains_key(header::AUTHORIZATION),
            is_change: !request.method().is_safe(),
        }
    }

    /// What helps, and how that is called.
    fn way(&self, status: StatusCode) -> Option<(&str, &'static str)> {
        let (again, about) = (self.again.as_deref(), self.about.as_deref());
        let back = self.from.as_deref().or(about).map(|page| (page, "Go back"));
        let now = |page| (page, "See how it stands now");
        if self.ends_sign_in {
            return Some((SIGN_IN, "Sign in again"));
        }
        let once_more = again.map(|page| (page, "Try again"));
        match status {
            StatusCode::NOT_FOUND => None,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => about.or(again).map(now),
            // Nothing was done.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => once_more.or(back),
            // A change may have been made.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                once_more.or(about.map(now)).or(back)
            }
            _ => back,
        }
    }
}

fn is_of_sign_in(path: &str) -> bool {
    path.starts_with("/sign-in") || path.starts_with("/sign-out")
}

/// The page of the thing to which a path below it does something.
fn about(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    match parts.as_slice() {
        ["dead-letters", _, _] => Some("/dead-letters".to_owned()),
        [kind @ ("targets" | "listings"), id, _] | [kind @ "listings", id, "at", _] => Some(format!("/{kind}/{id}")),
        _ => None,
    }
}

/// The page of this site that a request came from.
fn from(headers: &HeaderMap) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (host, path) = text(header::REFERER)?.split_once("://")?.1.split_once('/')?;
    let path = format!("/{path}");
    let is_ours = text(header::HOST) == Some(host) && !is_of_sign_in(&path);
    is_ours.then(|| path_on_this_host(&path).to_owned())
}

/// Where to sign in, to come back to this page.
pub(super) fn sign_in_from(page: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", page).finish();
    format!("/sign-in?{query}")
}

/// What a page tells of a problem.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wrong {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
    field: Option<String>,
    retry_after_s: Option<u64>,
}

impl Wrong {
    pub(super) fn page(&self, status: StatusCode, asked: &Asked) -> Response {
        public(&self.title, &self.body(status, asked))
    }

    /// Its form came without the token of the session that the browser has now.
    fn is_of_another_session(&self) -> bool {
        self.field.as_deref().is_some_and(|field| CSRF.contains(&field))
    }

    /// What helps, or nothing. Whoever only looked knows that nothing was changed.
    fn hint(&self, status: StatusCode, is_change: bool) -> &'static str {
        match status {
            StatusCode::UNAUTHORIZED if is_change => "Nothing was changed. Sign in, and try again.",
            StatusCode::UNAUTHORIZED => "Sign in, and try again.",
            // Its words say all.
            StatusCode::FORBIDDEN if self.kind == ProblemKind::SignInFailed.name() => "",
            StatusCode::FORBIDDEN if self.is_of_another_session() => {
                "Nothing was changed. Open the page anew, and try again there."
            }
            StatusCode::FORBIDDEN if is_change => "Whoever runs this service gives out roles. Nothing was changed.",
            StatusCode::FORBIDDEN => "Whoever runs this service gives out roles.",
            StatusCode::NOT_FOUND => "It may have another address, or belong to somebody else.",
            status if status.is_server_error() => "It is not your doing. The log of the service says more.",
            _ if is_change => "Nothing was changed.",
            _ => "",
        }
    }

    fn body(&self, status: StatusCode, asked: &Asked) -> Markup {
        let back_to = asked.about.as_deref().or(asked.again.as_deref()).or(asked.from.as_deref()).unwrap_or(OVERVIEW);
        let signing_in = sign_in_from(back_to);
        let way = match status {
            StatusCode::UNAUTHORIZED => Some((signing_in.as_str(), "Sign in")),
            _ if self.is_of_another_session() => asked.way(status).map(|(page, _)| (page, "Open the page anew")),
            _ => asked.way(status),
        };
        html! {
            div.problem {
                p.code { (status.as_u16()) }
                h1 { (self.title) }
                @if status == StatusCode::UNAUTHORIZED && !asked.has_token {
                    p.detail { "Your session has ended, or you have signed out in another tab." }
                } @else if self.is_of_another_session() {
                    p.detail {
                        "You have signed in anew since this page was opened, as in another tab; "
                        "or it is no page of this service."
                    }
                } @else {
                    p.detail { @if let Some(field) = &self.field { code { (field) } ": " } (self.detail) }
                }
                @let hint = self.hint(status, asked.is_change);
                @if !hint.is_empty() || self.retry_after_s.is_some() { p.quiet {
                    (hint)
                    @if let Some(seconds) = self.retry_after_s { " Try again in " (counted(seconds, "second")) "." }
                } }
                @if status == StatusCode::NOT_FOUND { (search()) }
                p.ways {
                    @if let Some((page, what)) = way { a.button.strong href=(page) { (what) } }
                    @if status != StatusCode::UNAUTHORIZED && way.is_none_or(|(page, _)| page != OVERVIEW) {
                        a.button.strong[way.is_none()] href=(OVERVIEW) { "To the overview" }
                    }
                }
            }
        }
    }
}

/// What is not there may be found by something else that is known of it.
fn search() -> Markup {
    html! {
        form.search role="search" method="get" action="/search" {
            label.unseen for="search" { "Search by unit, target, external id, sync id or trace id" }
            input #search type="search" name="q" placeholder="Unit, target, external id, sync, trace" autocomplete="off" required;
            button { "Search" }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Method;

    use super::*;

    fn asked(method: Method, path: &str, referer: Option<&str>) -> Asked {
        let mut request = Request::builder().method(method).uri(path).header("host", "here.example");
        if let Some(referer) = referer {
            request = request.header("referer", referer);
        }
        Asked::of(&request.body(Body::empty()).expect("a request"))
    }

    #[test]
    fn what_may_have_been_done_is_looked_at_and_what_is_safe_is_tried_again() {
        let (get, post) = (Method::GET, Method::POST);
        let cases = [
            (&get, "/listings?state=paused", 503, Some(("/listings?state=paused", "Try again"))),
            (&get, "/listings?state=paused", 429, Some(("/listings?state=paused", "Try again"))),
            (&get, "/listings/1/at/7", 412, Some(("/listings/1", "See how it stands now"))),
            (&get, "/nowhere", 404, None),
            (&get, "/sign-in", 503, Some(("/sign-in", "Try again"))),
            (&get, "/sign-in/callback?code=1&state=2", 503, Some(("/sign-in", "Sign in again"))),
            (&get, "/sign-in/callback?error=access_denied", 403, Some(("/sign-in", "Sign in again"))),
            (&post, "/targets/1/pause", 409, Some(("/targets/1", "See how it stands now"))),
            (&post, "/targets/1/pause", 412, Some(("/targets/1", "See how it stands now"))),
            (&post, "/targets/1/pause", 504, Some(("/targets/1", "See how it stands now"))),
            (&post, "/targets/1/pause", 429, Some(("/targets/1", "Go back"))),
            (&post, "/targets/1/credential", 400, Some(("/targets/1", "Go back"))),
            (&post, "/dead-letters/7/replay", 409, Some(("/dead-letters", "See how it stands now"))),
            (&post, "/sign-in", 400, None),
        ];
        for (method, path, status, way) in cases {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(asked(method.clone(), path, None).way(status), way, "{method} {path} {status}");
        }
    }

    #[test]
    fn no_page_leads_elsewhere() {
        let back = |referer| {
            let asked = asked(Method::POST, "/listings/1/retry", Some(referer));
            asked.way(StatusCode::FORBIDDEN).map(|(page, _)| page.to_owned())
        };
        assert_eq!(back("https://here.example/syncs/2?fields=all").as_deref(), Some("/syncs/2?fields=all"));
        for elsewhere in ["https://there.example/syncs/2", "https://here.example:81/syncs/2", "no address", ""] {
            assert_eq!(back(elsewhere).as_deref(), Some("/listings/1"), "{elsewhere}");
        }
        // Nor back to a link that was used.
        assert_eq!(back("https://here.example/sign-in?code=1").as_deref(), Some("/listings/1"));
        for other_host in ["https://here.example//there.example", "https://here.example/\\there.example"] {
            assert_eq!(back(other_host).as_deref(), Some("/"), "{other_host}");
        }
        let again = asked(Method::GET, "//there.example/", None);
        assert_eq!(again.way(StatusCode::TOO_MANY_REQUESTS), Some(("/", "Try again")));
    }
}
