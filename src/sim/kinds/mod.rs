//! The table of what is served: for each resource its names, its rules, and the functions that read, complete and check
//! its objects.

mod builtin;
mod check;
mod decode;
mod defaults;
mod meta;
mod prepare;
mod rules;
mod schema;
mod validate;

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::status::{Cause, Of, Status};
pub(crate) use meta::{label_value, qualified_name};
pub use schema::Schema;

/// When an object's generation grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Never: there is none.
    None,
    /// With the spec.
    Spec,
    /// With the spec or the annotations.
    SpecOrAnnotations,
    /// With whatever is not metadata, nor status where that is a subresource.
    Custom,
}

/// What becomes of an object's dependents when the one who deletes it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependents {
    /// They are deleted afterwards.
    Deleted,
    /// They stay, without their owner.
    Orphaned,
    /// It never has any.
    None,
}

/// A served resource.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table")]
pub struct KindInfo {
    /// The API group; empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind: `Deployment`.
    pub kind: String,
    /// The resource: `deployments`.
    pub plural: String,
    /// What kubectl calls one.
    pub singular: String,
    /// What kubectl calls it in short.
    pub short_names: Vec<String>,
    /// The groups of resources that it belongs to for kubectl: `all`.
    pub categories: Vec<String>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Its subresources: `status`, `scale`, `eviction`, `log`.
    pub subresources: Vec<&'static str>,
    /// What can be done with it: `get`, `list`, ….
    pub verbs: &'static [&'static str],
    /// Whether a PUT may lack the resourceVersion.
    pub unconditional_update: bool,
    /// Whether a PUT creates what is not there.
    pub create_on_update: bool,
    /// When its generation grows.
    pub generation: Generation,
    /// What becomes of its dependents.
    pub dependents: Dependents,
    /// Whether a DELETE answers with the object, where others answer with a Status.
    pub returns_deleted: bool,
    /// The schema, where it is one of our own kinds.
    pub schema: Option<Schema>,
    /// The definition, where it is one of our own kinds.
    pub definition: Option<Box<CustomResourceDefinition>>,
    /// Where in the state its objects are; kinds that share a number share the objects.
    pub(crate) storage: usize,
    /// Reads an object through its type, which drops what that does not know.
    pub(crate) codec: decode::Codec,
}

/// The verbs of a resource that is held.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

static KINDS: LazyLock<Vec<KindInfo>> = LazyLock::new(builtin::table);

/// Every served resource, the built-in ones first.
pub fn all() -> &'static [KindInfo] {
    &KINDS
}

/// The resource of that group, version and plural.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|kind| kind.plural == plural && kind.group == group && kind.version == version)
}

/// The resource of that group and kind.
pub fn of_kind(group: &str, kind: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind == kind && info.group == group)
}

/// The resource of a type.
pub fn of<K: kube::Resource<DynamicType = ()>>() -> Option<&'static KindInfo> {
    of_kind(&K::group(&()), &K::kind(&()))
}

/// How many different sets of objects there are.
pub(crate) fn storages() -> usize {
    KINDS.iter().map(|kind| kind.storage + 1).max().unwrap_or_default()
}

impl KindInfo {
    /// Group and version as objects write them: `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether it comes from a definition.
    pub fn is_custom(&self) -> bool {
        self.schema.is_some()
    }

    /// Whether it has that subresource.
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.contains(&subresource)
    }

    /// The resource as refusals name it.
    pub fn resource(&self) -> Of<'_> {
        Of { group: &self.group, name: &self.plural }
    }

    /// The kind as refusals name it: events are those of the core group.
    pub fn named(&self) -> Of<'_> {
        let group = if self.kind == "Event" { "" } else { self.group.as_str() };
        Of { group, name: &self.kind }
    }

    /// Reads an object: through its type, with its defaults. Gives the object and the fields that were not known.
    ///
    /// Refuses what is not of the type, with 400; what makes no sense is found by [`Self::check_new`].
    pub fn read(&self, object: Value) -> Result<(Value, Vec<String>), Status> {
        decode::read(self, object)
    }

    /// Makes an object that was read ready to be created: what only the server says is not taken from the client.
    pub(crate) fn prepare_new(&self, object: &mut Value) {
        prepare::create(self, object);
    }

    /// The same for an object that is to replace another one, or its status.
    pub(crate) fn prepare_changed(&self, object: &mut Value, old: &Value, subresource: Option<&str>) {
        prepare::update(self, object, old, subresource);
    }

    /// What is wrong with a new object.
    pub(crate) fn check_new(&self, object: &Value) -> Vec<Cause> {
        validate::create(self, object)
    }

    /// What is wrong with an object that is to replace another one, or its status.
    pub(crate) fn check_changed(&self, object: &Value, old: &Value, subresource: Option<&str>) -> Vec<Cause> {
        validate::update(self, object, old, subresource)
    }

    /// The columns that its definition prints.
    pub fn printer_columns(&self) -> Vec<Value> {
        let version = self.definition.as_ref().and_then(|definition| definition.spec.versions.first());
        let columns = version.and_then(|version| version.additional_printer_columns.clone()).unwrap_or_default();
        columns.into_iter().filter_map(|column| serde_json::to_value(column).ok()).collect()
    }
}
