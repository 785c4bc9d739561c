//! As much of a browser as a login and a sign-out need: cookies, redirects, and forms that are filled in.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;

/// Where the provider sends people back to. Nothing listens there: the test takes the address.
pub const CALLBACK: &str = "http://127.0.0.1:9/sign-in/callback";

pub struct Browser {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

/// What the provider sent back by the browser.
#[derive(Debug)]
pub struct Returned {
    pub code: String,
    pub state: String,
    /// Who says that it sends it (RFC 9207).
    pub iss: Option<String>,
}

enum Page {
    Elsewhere(Url),
    /// Where it is sent to, and the page that it stands in.
    Form(Url, String),
}

impl Browser {
    pub fn new() -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    /// Signs in as somebody, agrees to everything, and stops where the provider sends the browser back to us.
    pub async fn sign_in(&mut self, start: Url, name: &str) -> Returned {
        let mut page = self.open(self.http.get(start.clone()), &start).await;
        for _ in 0..12 {
            page = match page {
                Page::Elsewhere(url) if url.as_str().starts_with(CALLBACK) => return returned(&url),
                Page::Elsewhere(url) => self.open(self.http.get(url.clone()), &url).await,
                Page::Form(action, _) => {
                    let prompt = if self.cookies.contains_key("_session") { "consent" } else { "login" };
                    let fields = [("prompt", prompt), ("login", name), ("password", "any")];
                    self.open(self.http.post(action.clone()).form(&fields), &action).await
                }
            };
        }
        panic!("the provider never sent the browser back");
    }

    /// Whether the provider asks for credentials, and does not send the browser back to us at once.
    pub async fn is_asked(&mut self, start: Url) -> bool {
        let mut page = self.open(self.http.get(start.clone()), &start).await;
        for _ in 0..4 {
            page = match page {
                Page::Elsewhere(url) if url.as_str().starts_with(CALLBACK) => return false,
                Page::Elsewhere(url) => self.open(self.http.get(url.clone()), &url).await,
                Page::Form(_, body) => return body.contains("name=\"login\""),
            };
        }
        panic!("the provider neither asked nor sent the browser back");
    }

    /// Agrees to be signed out at the provider, and says where the browser is sent then.
    pub async fn sign_out(&mut self, start: Url) -> Url {
        let asked = self.open(self.http.get(start.clone()), &start).await;
        let Page::Form(action, body) = asked else { panic!("the provider asks whether one wants to be signed out") };
        let xsrf = body.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let fields = [("xsrf", xsrf), ("logout", "yes")];
        match self.open(self.http.post(action.clone()).form(&fields), &action).await {
            Page::Elsewhere(url) => url,
            Page::Form(_, body) => panic!("the provider asks again: {body}"),
        }
    }

    async fn open(&mut self, request: reqwest::RequestBuilder, url: &Url) -> Page {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(location) = answer.headers().get(LOCATION) {
            return Page::Elsewhere(url.join(location.to_str().unwrap()).unwrap());
        }
        let body = answer.text().await.unwrap();
        let action = body.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
        let action = url.join(action.unwrap_or_else(|| panic!("no form: {body}"))).unwrap();
        Page::Form(action, body)
    }
}

fn returned(url: &Url) -> Returned {
    let given = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let part = |name: &str| given(name).unwrap_or_else(|| panic!("{url} has no {name}"));
    Returned { code: part("code"), state: part("state"), iss: given("iss") }
}
