//! The stories, by what they are about.

mod access;
mod approval;
mod audit_log;
mod consent;
mod crashes;
mod deliveries;
mod episodes;
mod evidence;
mod http_api;
mod ladder;
mod limits;
mod memory;
mod outage;
mod restart;
mod storm;
mod targets;
mod whole_loop;

use crate::harness::Entry;

/// All of them. Those that run alone do so in this order, and the last one judges the whole run.
pub fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(whole_loop::stories());
    entries.extend(deliveries::stories());
    entries.extend(consent::stories());
    entries.extend(approval::stories());
    entries.extend(http_api::stories());
    entries.extend(evidence::stories());
    entries.extend(targets::stories());
    entries.extend(limits::stories());
    entries.extend(memory::stories());
    entries.extend(ladder::stories());
    entries.extend(audit_log::stories());
    entries.extend(restart::stories());
    entries.extend(crashes::stories());
    entries.extend(outage::stories());
    entries.extend(episodes::stories());
    entries.extend(storm::stories());
    entries.extend(access::stories());
    entries
}
