//! What people ask of Paramedic and tell it: from a terminal and over HTTP alike, always as the person who asks.
//!
//! Every read and write is one of the Kubernetes API's, with the rights of that person; so it is the API server that
//! permits, and its audit log that says who it was. Nothing here is done in Paramedic's own name, but for asking who
//! somebody is.

pub mod cluster;
pub mod deeds;
mod error;
pub mod http;
pub mod status;

pub use self::{
    cluster::{Cluster, ClusterError},
    error::{OperatorError, asking},
};
