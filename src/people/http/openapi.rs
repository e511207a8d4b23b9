//! The description of the HTTP API: `OpenAPI` 3.1. Its paths come from the routes themselves, its schemas from the types and
//! from the custom resource definitions.

use std::borrow::Cow;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema},
};

use super::{
    deeds::{Answer, Cancellation, NewPause},
    described,
    problem::ProblemDetails,
};
use crate::{
    api::{Pause, Phase, Remediation, RemediationApproval, crds},
    people::status::Report,
};

/// A page of remediations.
pub(super) struct RemediationList;
/// A page of policies.
pub(super) struct RemediationPolicyList;
/// A page of cluster policies.
pub(super) struct ClusterRemediationPolicyList;
/// A page of pauses.
pub(super) struct PauseList;

/// Gives types the names under which [`schemas`] describes them.
macro_rules! named {
    ($($type:ty => $name:literal),* $(,)?) => {
        $(
            impl PartialSchema for $type {
                fn schema() -> RefOr<Schema> {
                    // What is under the name is put there by `document`.
                    ObjectBuilder::new().into()
                }
            }

            impl ToSchema for $type {
                fn name() -> Cow<'static, str> {
                    $name.into()
                }
            }
        )*
    };
}

named! {
    Answer => "Answer",
    Cancellation => "Cancellation",
    NewPause => "NewPause",
    ProblemDetails => "Problem",
    Report => "Status",
    Remediation => "Remediation",
    RemediationApproval => "RemediationApproval",
    Pause => "Pause",
    RemediationList => "RemediationList",
    RemediationPolicyList => "RemediationPolicyList",
    ClusterRemediationPolicyList => "ClusterRemediationPolicyList",
    PauseList => "PauseList",
}

/// The document.
pub fn document() -> Value {
    let (_, paths) = described().split_for_parts();
    let mut document = serde_json::to_value(paths).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Paramedic",
        "description": "What people ask of Paramedic and tell it. Every request is made with the bearer token of a person, \
            as the cluster's API server takes it, and does what that person may do by kubectl, and no more.",
        "version": crate::VERSION,
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["security"] = json!([{ "bearer": [] }]);
    document["components"] = json!({
        "schemas": schemas(),
        "securitySchemes": { "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "A token that the cluster's API server takes for its own: a service account's, or that of a login",
        }},
        "responses": { "Problem": {
            "description": "Why not: 400 the request is wrong, 401 the token is nobody's, 403 a right is lacking, 404 there is \
                no such object, 409 it is not in a state for that, 410 the list has to be begun again, 413 the body is too \
                long, 422 the cluster refuses the object, 503 and 504 the cluster does not answer",
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        }},
    });
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        operation["responses"]["default"] = json!({ "$ref": "#/components/responses/Problem" });
    }
    let parameters = document["paths"]["/api/v1/remediations"]["get"]["parameters"].as_array_mut();
    for phase in parameters.into_iter().flatten().filter(|parameter| parameter["name"] == "phase") {
        phase["schema"] = of::<Phase>();
    }
    document["paths"]["/api/v1/openapi.json"] = json!({ "get": {
        "operationId": "getDescription",
        "summary": "This document. Needs no token.",
        "security": [],
        "responses": { "200": {
            "description": "This document",
            "content": { "application/json": { "schema": { "type": "object" } } },
        }},
    }});
    document
}

/// Everything that goes over the wire.
fn schemas() -> Map<String, Value> {
    let mut schemas: Map<String, Value> = crds()
        .into_iter()
        .filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            let mut schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            let text = || json!({ "type": "string" });
            schema["properties"]["apiVersion"] = text();
            schema["properties"]["kind"] = text();
            schema["properties"]["metadata"] =
                json!({ "type": "object", "description": "As of any object of Kubernetes." });
            Some((crd.spec.names.kind, schema))
        })
        .collect();
    for kind in ["Remediation", "RemediationPolicy", "ClusterRemediationPolicy", "Pause"] {
        let items = json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{kind}") } });
        let again =
            json!({ "type": "string", "description": "What to ask for the next page with; absent on the last one." });
        let list = json!({
            "type": "object", "required": ["items"], "properties": { "items": items, "continue": again },
        });
        schemas.insert(format!("{kind}List"), list);
    }
    schemas.insert("Status".to_owned(), of::<Report>());
    schemas.insert("Problem".to_owned(), of::<ProblemDetails>());
    schemas.insert("Answer".to_owned(), of::<Answer>());
    schemas.insert("Cancellation".to_owned(), of::<Cancellation>());
    schemas.insert("NewPause".to_owned(), of::<NewPause>());
    schemas
}

/// The schema of a type, in one piece.
fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` in a value.
    fn refs(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| refs(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
            _ => {}
        }
    }

    #[test]
    fn what_is_named_is_described_and_what_is_described_is_named() {
        let document = document();
        let mut named = BTreeSet::new();
        refs(&document, &mut named);
        assert!(named.len() > 10, "{named:?}");
        for name in &named {
            let place = name.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some_and(Value::is_object), "{name} is described nowhere");
        }
        for schema in document["components"]["schemas"].as_object().unwrap().keys() {
            let place = format!("#/components/schemas/{schema}");
            assert!(named.contains(&place), "{schema} is used nowhere");
        }
    }

    #[test]
    fn every_operation_says_what_it_is_and_how_it_fails() {
        let document = document();
        let mut seen = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let what = format!("{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{what}");
                assert!(seen.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}");
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|code| code.starts_with('2')), "{what}");
                if operation["security"] != json!([]) {
                    assert!(responses.contains_key("default"), "{what}");
                }
                for (code, response) in responses {
                    assert!(code == "default" || response["description"].is_string(), "{what}: {code}");
                }
            }
        }
        assert_eq!(seen.len(), 12, "{seen:?}");
    }
}
