//! So much in trouble at once that no single repair can be the answer. Pure.

use super::{Candidate, Refusal};
use crate::{
    api::{Reason, Storm},
    target::Resolved,
};

/// How much is in trouble, against how much there is: in the subject's namespace and in the cluster. A share of what
/// nobody could count is not known to be small.
pub(super) fn storm(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let limit = candidate.world.bounds.storm;
    let namespace = &resolved.target.namespace;
    let crowd = candidate.world.crowd;
    let workloads = candidate.scene.workloads.as_ref();
    let scopes = [
        (crowd.in_namespace(namespace), workloads.map(|all| &all.in_namespace), format!("namespace {namespace}")),
        (crowd.in_all(), workloads.map(|all| &all.in_all), "the cluster".to_owned()),
    ];
    for (in_trouble, there_are, place) in scopes {
        if !may_be(limit, in_trouble) {
            continue;
        }
        let of = match there_are {
            Some(Ok(number)) => *number,
            Some(Err(why)) => return Err(unknown(in_trouble, &place, why)),
            None => return Err(unknown(in_trouble, &place, "it was not asked for yet")),
        };
        // What is in trouble is there, however it is counted.
        let of = of.max(in_trouble);
        let most = limit.subjects.of(u32::try_from(of).unwrap_or(u32::MAX));
        if u32::try_from(in_trouble).unwrap_or(u32::MAX) >= most {
            let message = format!(
                "{in_trouble} of {of} workloads in {place} are in trouble at once; nothing new is begun while as many as \
                 {most} are"
            );
            return Err(Refusal::wait(Reason::Storm, message));
        }
    }
    Ok(())
}

/// Whether so many may be a storm, so that it matters how many there are in all.
pub(super) fn may_be(limit: Storm, in_trouble: usize) -> bool {
    u32::try_from(in_trouble).unwrap_or(u32::MAX) >= limit.least
}

fn unknown(in_trouble: usize, place: &str, why: &str) -> Refusal {
    let message =
        format!("{in_trouble} workloads in {place} are in trouble at once; of how many cannot be told: {why}");
    Refusal::wait(Reason::Storm, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Phase, remediation::fixtures::*};

    /// So many workloads in trouble, in the namespace of the usual one, which is one of them.
    fn in_trouble(number: usize) -> WorldFixture {
        let others = (1..number).map(|number| a_record().about(&format!("app{number}-1")));
        let records: Vec<_> = others.chain([a_record()]).collect();
        a_world().among(&records)
    }

    fn state(world: &WorldFixture) -> (Phase, Option<Reason>) {
        world.next(&a_record(), 0).state()
    }

    const STORM: (Phase, Option<Reason>) = (Phase::Waiting, Some(Reason::Storm));
    const ACTS: (Phase, Option<Reason>) = (Phase::Acting, Some(Reason::InProgress));

    #[test]
    fn a_storm_is_a_share_and_at_least_so_many() {
        assert_eq!(state(&in_trouble(9)), ACTS, "nine are too few, whatever there is beside them");
        assert_eq!(state(&in_trouble(10).workloads(Ok(20), Ok(100))), STORM, "half of the namespace");
        assert_eq!(state(&in_trouble(10).workloads(Ok(21), Ok(100))), ACTS);
        assert_eq!(state(&in_trouble(10).workloads(Ok(21), Ok(20))), STORM, "half of the cluster");
        let message = in_trouble(10).workloads(Ok(20), Ok(100)).next(&a_record(), 0).message().to_owned();
        let said =
            "10 of 20 workloads in namespace shop are in trouble at once; nothing new is begun while as many as 10 are";
        assert_eq!(message, said);
    }

    #[test]
    fn how_many_there_are_must_be_known() {
        assert_eq!(state(&in_trouble(10)), STORM, "not asked for");
        assert_eq!(state(&in_trouble(10).workloads(Err("forbidden"), Ok(100))), STORM);
        assert_eq!(state(&in_trouble(10).workloads(Ok(100), Err("forbidden"))), STORM);
        assert_eq!(state(&in_trouble(9).workloads(Err("forbidden"), Err("forbidden"))), ACTS);
    }

    #[test]
    fn what_is_counted_late_is_not_less_than_what_is_in_trouble() {
        assert_eq!(state(&in_trouble(10).workloads(Ok(0), Ok(0))), STORM);
    }

    #[test]
    fn an_administrator_says_what_a_storm_is() {
        let two = |world: WorldFixture| world.bounds(|bounds| bounds.storm.least = 2);
        assert_eq!(state(&two(in_trouble(2)).workloads(Ok(4), Ok(100))), STORM);
        assert_eq!(state(&two(in_trouble(2)).workloads(Ok(5), Ok(100))), ACTS);
    }
}
