//! Why a request over HTTP is not answered as it wants to be: problem details as RFC 9457 has them.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::{ObjectKey, Phase},
    people::OperatorError,
    telemetry::chain,
};

/// The type of such an answer.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What `Retry-After` says, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why not. One variant a cause; what is answered is told in one place.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nobody who is known.
    #[error(
        "send a bearer token that the cluster's API server takes: that of `kubectl create token`, or of your login"
    )]
    Unauthenticated {
        /// The client has had too many of these answers.
        throttled: bool,
    },
    /// No certificate, where one has to be shown.
    #[error("show a certificate of the authority that is configured (api.tls.clientCaFile)")]
    NoCertificate,
    /// The person lacks a right.
    #[error("{user} may not {what}{why}; a cluster administrator can give that right (docs/operations.md, People)")]
    Forbidden {
        /// Who.
        user: String,
        /// Verb, resource and place.
        what: String,
        /// What the API server said, where it said something.
        why: String,
    },
    /// The request cannot mean anything.
    #[error("{0}")]
    Malformed(String),
    /// Its body is too long.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The most.
        limit: usize,
    },
    /// There is no such object.
    #[error("there is no {what}")]
    NotFound {
        /// Which.
        what: String,
    },
    /// There is no such path.
    #[error("there is nothing at this path; /api/v1/openapi.json says what there is")]
    NoSuchPath,
    /// The path has no such method.
    #[error("this path has no such method; /api/v1/openapi.json says which it has")]
    NoSuchMethod,
    /// A list's `continue` is too old.
    #[error("the list has changed too much since its first page; begin again without `continue`")]
    Gone,
    /// Nobody is asked about it.
    #[error("remediation {key} awaits no answer: it is {phase}", phase = .phase.as_str())]
    AwaitsNoAnswer {
        /// Which.
        key: ObjectKey,
        /// What it is instead.
        phase: Phase,
    },
    /// What was seen is not what would be done.
    #[error("the plan of {key} is another one now; look at it, and answer with its planHash. Nothing was answered")]
    PlanChanged {
        /// Which.
        key: ObjectKey,
    },
    /// It has ended.
    #[error("remediation {key} has ended already: it is {phase}", phase = .phase.as_str())]
    Ended {
        /// Which.
        key: ObjectKey,
        /// As what.
        phase: Phase,
    },
    /// The API server refused a write.
    #[error("the cluster refused to {what}: {why}")]
    Refused {
        /// The status that it answered.
        status: u16,
        /// Verb, resource and place.
        what: String,
        /// What it said.
        why: String,
    },
    /// The API server did not answer, or with an error of its own; or Paramedic may not ask it.
    #[error("the cluster did not {what}: {why}")]
    Unavailable {
        /// Verb, resource and place.
        what: String,
        /// What went wrong.
        why: String,
    },
    /// Too many at the same time.
    #[error("too many requests at the same time")]
    Overloaded,
    /// It took too long.
    #[error("the cluster did not answer in time; whether anything was changed is not known")]
    Late,
}

impl Problem {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated { .. } | Self::NoCertificate => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound { .. } | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Gone => StatusCode::GONE,
            Self::AwaitsNoAnswer { .. }
            | Self::PlanChanged { .. }
            | Self::Ended { .. }
            | Self::Refused { status: 409, .. } => StatusCode::CONFLICT,
            Self::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable { .. } | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The cause in one word, for programs.
    const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated { .. } => "Unauthenticated",
            Self::NoCertificate => "NoCertificate",
            Self::Forbidden { .. } => "Forbidden",
            Self::Malformed(_) => "Malformed",
            Self::TooLarge { .. } => "TooLarge",
            Self::NotFound { .. } => "NotFound",
            Self::NoSuchPath => "NoSuchPath",
            Self::NoSuchMethod => "NoSuchMethod",
            Self::Gone => "Gone",
            Self::AwaitsNoAnswer { .. } => "AwaitsNoAnswer",
            Self::PlanChanged { .. } => "PlanChanged",
            Self::Ended { .. } => "Ended",
            Self::Refused { .. } => "Refused",
            Self::Unavailable { .. } => "Unavailable",
            Self::Overloaded => "Overloaded",
            Self::Late => "Late",
        }
    }

    /// Of an error of the Kubernetes API, which was asked as that user: "delete pause shop/stop".
    pub fn of(error: kube::Error, user: &str, what: String) -> Self {
        let status = match error {
            kube::Error::Api(status) => status,
            other => return Self::Unavailable { what, why: chain(&other) },
        };
        let why = status.message.trim_end_matches('.').to_owned();
        match status.code {
            // The token was good a moment ago.
            401 => Self::Unauthenticated { throttled: false },
            403 => Self::Forbidden { user: user.to_owned(), what, why: format!(": {why}") },
            404 if status.details.as_ref().is_some_and(|details| !details.name.is_empty()) => {
                Self::NotFound { what: what.split_once(' ').map_or(what.clone(), |(_, object)| object.to_owned()) }
            }
            404 => Self::Unavailable { what, why: format!("{why}; is Paramedic installed in it?") },
            410 => Self::Gone,
            code @ (400 | 405..=409 | 413..=422) => Self::Refused { status: code, what, why },
            _ => Self::Unavailable { what, why },
        }
    }

    /// Of what a look at everything came to, as that user.
    pub fn of_operator(error: OperatorError, user: &str) -> Self {
        match error {
            OperatorError::Forbidden { what, why } => {
                Self::Forbidden { user: user.to_owned(), what, why: format!(": {why}") }
            }
            OperatorError::Refused { what, why } => Self::Refused { status: 422, what, why },
            OperatorError::NotInstalled { what, why } | OperatorError::Unanswered { what, why } => {
                Self::Unavailable { what, why }
            }
            OperatorError::Usage(why) | OperatorError::NotSo(why) => Self::Malformed(why),
            other @ (OperatorError::Connect(_) | OperatorError::Print(_)) => {
                Self::Unavailable { what: "answer".to_owned(), why: other.to_string() }
            }
        }
    }
}

/// What is answered.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProblemDetails {
    /// The phrase of the status.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The cause in one word, for programs: `Forbidden`, `PlanChanged`.
    code: &'static str,
    /// What is wrong, and what to do about it, for people.
    detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let details = ProblemDetails {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code: self.code(),
            detail: self.to_string(),
        };
        let mut response = (status, Json(details)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"paramedic\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        // The rest of the body is not wanted, or nothing more of that client is.
        if matches!(self, Self::Unauthenticated { throttled: true } | Self::TooLarge { .. } | Self::Late) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, name: &str) -> Problem {
        let status = serde_json::json!({ "code": code, "message": "no.", "reason": "", "details": { "name": name } });
        let error = kube::Error::Api(serde_json::from_value(status).unwrap());
        Problem::of(error, "kim", "delete pause shop/stop".to_owned())
    }

    #[test]
    fn what_the_cluster_says_becomes_a_status_and_what_to_do() {
        let status = |code, name| answered(code, name).status().as_u16();
        let answers = [401, 403, 404, 409, 410, 422, 429, 500].map(|code| status(code, "stop"));
        assert_eq!(answers, [401, 403, 404, 409, 410, 422, 503, 503]);
        assert_eq!(status(404, ""), 503, "the kind, and not one object");
        assert_eq!(answered(404, "stop").to_string(), "there is no pause shop/stop");
        assert_eq!(
            answered(403, "stop").to_string(),
            "kim may not delete pause shop/stop: no; a cluster administrator can give that right (docs/operations.md, \
             People)"
        );
    }
}
