//! The findings of a check-up: printed as they come, or at the end as JSON.

use serde::Serialize;
use serde_json::json;

use crate::cli::output::Out;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

pub(super) struct Report {
    out: Out,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(out: Out) -> Self {
        Self { out, findings: Vec::new() }
    }

    /// It is as it should be.
    pub(super) fn ok(&mut self, check: &'static str, detail: impl Into<String>) -> anyhow::Result<()> {
        self.add(Finding { check, status: Status::Ok, detail: detail.into(), advice: None })
    }

    /// It works, but somebody should look.
    pub(super) fn warn(
        &mut self,
        check: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> anyhow::Result<()> {
        self.add(Finding { check, status: Status::Warn, detail: detail.into(), advice: Some(advice.into()) })
    }

    /// It does not work like this.
    pub(super) fn fail(
        &mut self,
        check: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> anyhow::Result<()> {
        self.add(Finding { check, status: Status::Fail, detail: detail.into(), advice: Some(advice.into()) })
    }

    fn add(&mut self, finding: Finding) -> anyhow::Result<()> {
        if !self.out.is_json() {
            let word = match finding.status {
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            let advice = finding.advice.as_ref().map(|advice| format!("\n{:24}{advice}", "")).unwrap_or_default();
            self.out.line(&format!("{word:<5} {:<17} {}{advice}", finding.check, finding.detail))?;
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Whether nothing failed.
    pub(super) fn finish(self) -> anyhow::Result<bool> {
        let healthy = self.findings.iter().all(|finding| finding.status != Status::Fail);
        if self.out.is_json() {
            self.out.json(&json!({ "ok": healthy, "checks": self.findings }))?;
        }
        Ok(healthy)
    }
}
