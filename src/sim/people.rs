//! People who talk to the simulated API with a token of their own, and what they may. Nobody else is told apart: whoever has
//! the kubeconfig may do everything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use super::{
    kinds::KindInfo,
    request::{Request, Verb},
    status::{Of, Status},
};

/// Somebody with rights of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The user's name.
    pub name: String,
    /// What they may.
    pub grants: Vec<Grant>,
}

/// What somebody may, as a rule of a role has it; `*` is everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where; without one, everywhere.
    pub namespace: Option<String>,
    /// The resources.
    pub resources: Vec<String>,
    /// The verbs.
    pub verbs: Vec<String>,
}

impl Grant {
    /// In a namespace: verbs on resources, each with blanks between them.
    pub fn within(namespace: &str, verbs: &str, resources: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::everywhere(verbs, resources) }
    }

    /// The same in the whole cluster.
    pub fn everywhere(verbs: &str, resources: &str) -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Self { namespace: None, resources: words(resources), verbs: words(verbs) }
    }

    fn covers(&self, verb: &str, resource: &str, namespace: Option<&str>) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|one| one == "*" || one == word);
        let there = self.namespace.is_none() || self.namespace.as_deref() == namespace;
        there && has(&self.verbs, verb) && has(&self.resources, resource)
    }
}

impl Person {
    /// Somebody of that name.
    pub fn new(name: &str, grants: impl IntoIterator<Item = Grant>) -> Self {
        Self { name: name.to_owned(), grants: grants.into_iter().collect() }
    }

    fn may(&self, verb: &str, resource: &str, namespace: Option<&str>) -> bool {
        self.grants.iter().any(|grant| grant.covers(verb, resource, namespace.filter(|name| !name.is_empty())))
    }

    /// Whether a request is permitted.
    ///
    /// Refuses with 403 what this person lacks the right for.
    pub(super) fn permit(&self, request: &Request) -> Result<(), Status> {
        let KindInfo { plural, group, .. } = request.kind;
        let resource = match &request.subresource {
            Some(subresource) => format!("{plural}/{subresource}"),
            None => plural.clone(),
        };
        let (verb, namespace) = (word(request.verb), request.namespace.as_deref());
        if self.may(verb, &resource, namespace) {
            return Ok(());
        }
        let place = namespace
            .map_or_else(|| "at the cluster scope".to_owned(), |namespace| format!("in the namespace {namespace:?}"));
        let why = format!("User {:?} cannot {verb} resource {resource:?} in API group {group:?} {place}", self.name);
        Err(Status::forbidden(Of { group, name: plural }, request.name.as_deref().unwrap_or_default(), &why))
    }
}

/// Everybody with a token of their own. Cheap to clone; clones are the same people.
#[derive(Clone, Debug, Default)]
pub struct People(Arc<Mutex<BTreeMap<String, Person>>>);

impl People {
    /// From now on that token is this person's.
    pub fn add(&self, token: &str, person: Person) {
        self.known().insert(token.to_owned(), person);
    }

    /// Whose token that is.
    pub fn with_token(&self, token: &str) -> Option<Person> {
        self.known().get(token).cloned()
    }

    /// Answers a `TokenReview`.
    pub(super) fn token_review(&self, spec: &Value) -> Value {
        match self.with_token(spec["token"].as_str().unwrap_or_default()) {
            Some(person) => json!({
                "authenticated": true,
                "user": { "username": person.name, "groups": ["system:authenticated"] },
                "audiences": ["https://kubernetes.default.svc"],
            }),
            None => json!({ "user": {}, "error": "[invalid bearer token]" }),
        }
    }

    /// Answers a `SubjectAccessReview` about one of them. Nobody else may anything.
    pub(super) fn access_review(&self, spec: &Value) -> Value {
        let asked = &spec["resourceAttributes"];
        let text = |name: &str| asked[name].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            subresource => format!("{}/{subresource}", text("resource")),
        };
        let known = self.known();
        let mut them = known.values().filter(|person| spec["user"] == person.name.as_str());
        json!({ "allowed": them.any(|person| person.may(text("verb"), &resource, asked["namespace"].as_str())) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Person>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A verb, as RBAC has it.
const fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Watch => "watch",
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
        Verb::DeleteCollection => "deletecollection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_may_what_was_granted_where_it_was() {
        let kim = Person::new("kim", [Grant::within("shop", "get list", "remediations pauses")]);
        assert!(kim.may("list", "pauses", Some("shop")));
        assert!(!kim.may("list", "pauses", None), "everywhere is more than in one namespace");
        assert!(!kim.may("list", "pauses", Some("bank")));
        assert!(!kim.may("create", "pauses", Some("shop")));
        let people = People::default();
        people.add("t", kim);
        let asked = |user: &str, verb: &str| {
            let attributes = json!({"verb": verb, "resource": "pauses", "namespace": "shop"});
            people.access_review(&json!({"user": user, "resourceAttributes": attributes}))["allowed"].clone()
        };
        assert_eq!([asked("kim", "get"), asked("kim", "delete"), asked("anna", "get")], [true, false, false]);
        assert_eq!(people.token_review(&json!({"token": "t"}))["user"]["username"], "kim");
        assert!(people.token_review(&json!({"token": "u"}))["authenticated"].is_null());
        assert!(people.token_review(&json!({}))["authenticated"].is_null());
    }
}
