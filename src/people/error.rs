//! Why somebody was not answered, or what they wanted was not done.

use super::cluster::ClusterError;

/// Why an operator's command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There is no way to a cluster.
    #[error(transparent)]
    Connect(#[from] ClusterError),
    /// The API answered that this user may not.
    #[error("you may not {what}: {why}; a cluster administrator can give you that right (docs/operations.md, Rights)")]
    Forbidden {
        /// Verb, resource and place.
        what: String,
        /// What the API said.
        why: String,
    },
    /// The API does not know the kind.
    #[error("this cluster does not know {what}; is Paramedic installed in it (kubectl apply -k k8s/base)? {why}")]
    NotInstalled {
        /// Verb, resource and place.
        what: String,
        /// What the API said.
        why: String,
    },
    /// The API did not answer, or answered with an error.
    #[error("the cluster did not {what}: {why}; is this the right context (--context, --kubeconfig)?")]
    Unanswered {
        /// Verb, resource and place.
        what: String,
        /// What went wrong.
        why: String,
    },
    /// The API refused a write.
    #[error("the cluster refused to {what}: {why}")]
    Refused {
        /// Verb, resource and place.
        what: String,
        /// What the API said.
        why: String,
    },
    /// What was named is not there, or not in a state in which that can be done.
    #[error("{0}")]
    NotSo(String),
    /// The arguments cannot mean anything.
    #[error("{0}")]
    Usage(String),
    /// The answer cannot be printed.
    #[error("standard output: {0}")]
    Print(#[from] std::io::Error),
}

/// Says of an error of the API what was asked of it: "list pauses in namespace shop".
pub fn asking(what: impl Into<String>) -> impl FnOnce(kube::Error) -> OperatorError {
    let what = what.into();
    move |error| match error {
        kube::Error::Api(status) => {
            let why = status.message.trim_end_matches('.').to_owned();
            match status.code {
                401 | 403 => OperatorError::Forbidden { what, why },
                404 if status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                    OperatorError::NotInstalled { what, why }
                }
                400..=499 => OperatorError::Refused { what, why },
                _ => OperatorError::Unanswered { what, why },
            }
        }
        other => OperatorError::Unanswered { what, why: crate::telemetry::chain(&other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, name: &str) -> OperatorError {
        let status = serde_json::json!({ "code": code, "message": "no.", "reason": "", "details": { "name": name } });
        asking("list pauses in namespace shop")(kube::Error::Api(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn what_the_api_says_becomes_what_to_do_about_it() {
        assert!(matches!(answered(403, ""), OperatorError::Forbidden { .. }));
        assert!(matches!(answered(404, ""), OperatorError::NotInstalled { .. }));
        assert!(matches!(answered(404, "freeze"), OperatorError::Refused { .. }), "one object, not the kind");
        assert!(matches!(answered(422, "freeze"), OperatorError::Refused { .. }));
        assert!(matches!(answered(500, ""), OperatorError::Unanswered { .. }));
        assert_eq!(
            answered(403, "").to_string(),
            "you may not list pauses in namespace shop: no; a cluster administrator can give you that right \
             (docs/operations.md, Rights)"
        );
    }
}
