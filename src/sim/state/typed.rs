//! The state as types, for controllers and tests. Writes take the same path as those that come over HTTP.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::State;
use crate::sim::{
    kinds::{self, KindInfo},
    status::Status,
    verbs::{self, Target, Write},
};

/// What the typed access takes: built-in kinds and our own.
pub trait Kind: Resource<DynamicType = ()> + Serialize + DeserializeOwned {}
impl<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned> Kind for K {}

fn info<K: Kind>() -> Result<&'static KindInfo, Status> {
    kinds::of::<K>().ok_or_else(|| Status::not_implemented(&K::kind(&())))
}

fn read<K: Kind>(object: &Value) -> Option<K> {
    K::deserialize(object).ok()
}

impl State {
    /// An object, or `None` where it is not there. The namespace of objects of the cluster is empty.
    pub fn get<K: Kind>(&self, namespace: &str, name: &str) -> Option<K> {
        self.object(kinds::of::<K>()?, namespace, name).and_then(|object| read(object))
    }

    /// All objects, or those of a namespace, in the order (namespace, name).
    pub fn list<K: Kind>(&self, namespace: Option<&str>) -> Vec<K> {
        let kind = kinds::of::<K>();
        kind.into_iter().flat_map(|kind| self.objects(kind, namespace)).filter_map(|object| read(object)).collect()
    }

    /// Creates an object.
    ///
    /// Refuses what a POST refuses.
    pub fn create<K: Kind>(&mut self, object: &K) -> Result<K, Status> {
        self.write(object, None, verbs::create)
    }

    /// Replaces an object, all but its status.
    ///
    /// Refuses what a PUT refuses: with a resourceVersion in it, over another version.
    pub fn update<K: Kind>(&mut self, object: &K) -> Result<K, Status> {
        self.write(object, None, verbs::update)
    }

    /// Replaces an object's status.
    ///
    /// Refuses what a PUT of the status refuses.
    pub fn update_status<K: Kind>(&mut self, object: &K) -> Result<K, Status> {
        self.write(object, Some("status"), verbs::update)
    }

    fn write<K: Kind>(
        &mut self,
        object: &K,
        subresource: Option<&str>,
        verb: fn(&mut Self, &Target<'_>, Value, &Write) -> Result<verbs::Written, Status>,
    ) -> Result<K, Status> {
        let kind = info::<K>()?;
        let meta = object.meta();
        let target = Target {
            kind,
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            subresource,
        };
        let value = serde_json::to_value(object).map_err(|error| Status::bad_request(error.to_string()))?;
        let written = verb(self, &target, value, &Write::by("simulation"))?;
        read(&written.object).ok_or_else(|| Status::internal("an object is not of its type"))
    }

    /// Deletes an object, at once or with grace.
    ///
    /// Refuses what a DELETE refuses.
    pub fn delete<K: Kind>(&mut self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), Status> {
        let target = Target { kind: info::<K>()?, namespace, name, subresource: None };
        verbs::delete(self, &target, options, false).map(drop)
    }
}
