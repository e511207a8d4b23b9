//! What watches the cluster and tells Paramedic: rules over real memory, and Alertmanager's part, played here or by the
//! real ones.

pub mod alertmanager;
pub mod inbox;
pub mod prometheus;
pub mod rule;
