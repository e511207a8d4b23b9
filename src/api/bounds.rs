//! What an administrator bounds everything with, whatever the policies say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Breaker, CountOrPercent, GiveUp, Limits, PolicyLimits, PositiveDuration, Rate, Schedule, limits::positive,
};

/// What bounds all policies together. Part of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Bounds {
    /// How many actions may be started in all, in a sliding window of at most a day. Default: no such bound.
    pub rate: Option<Rate>,
    /// How many actions may be started in one namespace, in a sliding window of at most a day. Default: no such bound.
    pub rate_per_namespace: Option<Rate>,
    /// When any policy may act, whatever its own schedule says. Default: at any time.
    pub schedule: Schedule,
    /// When so much is in trouble that no single repair can be the answer.
    pub storm: Storm,
    /// What holds where a policy leaves a limit out, as in its own `limits`.
    pub defaults: PolicyLimits,
    /// The most that a policy gets, as in its own `limits`: a cooldown and `minAvailable` at least so large, the others at
    /// most. What is left out is not bounded.
    pub ceilings: PolicyLimits,
}

/// So many workloads in trouble at once that nothing new is begun: in the workload's namespace, or in the cluster. A
/// workload is in trouble while a remediation is open for it that may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Storm {
    /// So many workloads, or such a share of the Deployments, StatefulSets and DaemonSets. Default `50%`.
    pub subjects: CountOrPercent,
    /// Not before so many are in trouble. Default 10.
    #[serde(deserialize_with = "positive")]
    pub least: u32,
}

impl Default for Storm {
    fn default() -> Self {
        Self { subjects: CountOrPercent::Percent(50), least: 10 }
    }
}

/// What holds for a policy. Where two limits of a kind have no order (a number and a share, five an hour and a hundred a
/// day), both hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveLimits {
    /// How long a subject is left alone after an action on it.
    pub cooldown: PositiveDuration,
    /// How many actions the policy may start in a sliding window.
    #[schemars(length(max = 2))]
    pub rates: Vec<Rate>,
    /// How many of the policy's remediations may act or be verified at the same time.
    pub concurrency: u32,
    /// How many of the subject's pods must be ready after the action.
    #[schemars(length(max = 2))]
    pub min_available: Vec<CountOrPercent>,
    /// Whether the only replica of a workload may be restarted.
    pub allow_single_replica: bool,
    /// When a subject is left to people.
    pub give_up: GiveUp,
    /// When the policy stops everywhere.
    #[schemars(length(max = 2))]
    pub breakers: Vec<Breaker>,
}

/// A limit that asks for more than the administrator's ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// Which limit.
    pub limit: &'static str,
    /// What was asked for.
    pub asked: String,
    /// The ceiling.
    pub ceiling: String,
}

impl std::fmt::Display for Above {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, asked, ceiling } = self;
        write!(f, "limits.{limit}: {asked} is more than the administrator permits, which is {ceiling}")
    }
}

impl EffectiveLimits {
    /// The stricter of what a policy has and the ceilings.
    pub fn of(limits: &Limits, ceilings: &PolicyLimits) -> Self {
        let mut effective = Self {
            cooldown: limits.cooldown.max(ceilings.cooldown.unwrap_or(limits.cooldown)),
            rates: vec![limits.rate],
            concurrency: limits.concurrency.min(ceilings.concurrency.unwrap_or(u32::MAX)),
            min_available: vec![limits.min_available],
            allow_single_replica: limits.allow_single_replica && ceilings.allow_single_replica.unwrap_or(true),
            give_up: ceilings.give_up.map_or(limits.give_up, |ceiling| limits.give_up.stricter(ceiling)),
            breakers: vec![limits.breaker],
        };
        // What is within the ceiling keeps it by itself.
        effective.rates.extend(ceilings.rate.filter(|ceiling| !limits.rate.is_within(*ceiling)));
        effective
            .min_available
            .extend(ceilings.min_available.filter(|least| !limits.min_available.is_at_least(*least)));
        effective.breakers.extend(ceilings.breaker.filter(|ceiling| *ceiling != limits.breaker));
        effective
    }
}

impl Bounds {
    /// What a policy has that asks for this.
    pub fn limits(&self, asked: &PolicyLimits) -> Limits {
        asked.or(&self.defaults)
    }

    /// What is asked for and not permitted. A default that is above a ceiling is the administrator's own contradiction,
    /// see [`Self::contradictions`].
    pub fn above(&self, asked: &PolicyLimits) -> Vec<Above> {
        above(asked, &self.ceilings)
    }

    /// The defaults that are above the ceilings.
    pub fn contradictions(&self) -> Vec<Above> {
        above(&self.defaults, &self.ceilings)
    }
}

fn above(asked: &PolicyLimits, ceilings: &PolicyLimits) -> Vec<Above> {
    fn one<T: Copy>(
        limit: &'static str,
        asked: Option<T>,
        ceiling: Option<T>,
        within: impl Fn(T, T) -> bool,
        say: impl Fn(T) -> String,
    ) -> Option<Above> {
        let (asked, ceiling) = (asked?, ceiling?);
        (!within(asked, ceiling)).then(|| Above { limit, asked: say(asked), ceiling: say(ceiling) })
    }
    let rate = |rate: Rate| format!("{} in {}", rate.actions, rate.per);
    let give_up =
        |limit: GiveUp| format!("{} failures, or {} recurrences, in {}", limit.failures, limit.recurrences, limit.per);
    let breaker = |limit: Breaker| format!("{} of at least {} in {}", limit.failed, limit.least, limit.per);
    let found = [
        one("cooldown", asked.cooldown, ceilings.cooldown, |own, most| own >= most, |value| value.to_string()),
        one("rate", asked.rate, ceilings.rate, Rate::is_within, rate),
        one("concurrency", asked.concurrency, ceilings.concurrency, |own, most| own <= most, |value| value.to_string()),
        one("minAvailable", asked.min_available, ceilings.min_available, CountOrPercent::is_at_least, |value| {
            value.to_string()
        }),
        one(
            "allowSingleReplica",
            asked.allow_single_replica,
            ceilings.allow_single_replica,
            |own, most| most || !own,
            |value| value.to_string(),
        ),
        one("giveUp", asked.give_up, ceilings.give_up, |own, most| own.stricter(most) == own, give_up),
        one("breaker", asked.breaker, ceilings.breaker, Breaker::is_within, breaker),
    ];
    found.into_iter().flatten().collect()
}

impl Rate {
    /// Whether whoever keeps this rate keeps the other one as well, whenever its window begins.
    pub fn is_within(self, ceiling: Self) -> bool {
        let windows = ceiling.per.get().as_nanos().div_ceil(self.per.get().as_nanos().max(1));
        u128::from(self.actions).saturating_mul(windows) <= u128::from(ceiling.actions)
    }
}

impl CountOrPercent {
    /// Whether it asks for as much, whatever it is of. A number and a share have no order.
    fn is_at_least(self, least: Self) -> bool {
        match (self, least) {
            (Self::Count(own), Self::Count(least)) | (Self::Percent(own), Self::Percent(least)) => own >= least,
            (Self::Percent(own), Self::Count(least)) => own == 100 && least == 1,
            (Self::Count(_), Self::Percent(_)) => false,
        }
    }
}

impl GiveUp {
    /// The stricter of both, in each of its parts.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self {
            failures: self.failures.min(other.failures),
            recurrences: self.recurrences.min(other.recurrences),
            per: self.per.max(other.per),
        }
    }
}

impl Breaker {
    /// Whether it opens whenever the other one would, for as long, as far as that can be told from their parts.
    fn is_within(self, ceiling: Self) -> bool {
        ceiling.failed.is_at_least(self.failed) && self.least <= ceiling.least && self.per == ceiling.per
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(yaml: &str) -> Bounds {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn asked(yaml: &str) -> PolicyLimits {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn what_is_left_out_is_the_administrators_and_then_ours() {
        let limits = bounds("defaults: {cooldown: 30m, concurrency: 3}").limits(&asked("{concurrency: 2}"));
        assert_eq!((limits.cooldown.to_string(), limits.concurrency), ("30m".to_owned(), 2));
        assert_eq!(limits.rate, Limits::default().rate);
        assert_eq!(bounds("{}").limits(&PolicyLimits::default()), Limits::default());
        assert_eq!(serde_json::to_string(&PolicyLimits::default()).unwrap(), "{}");
        assert_eq!(PolicyLimits::from(limits.clone()).or(&PolicyLimits::default()), limits);
    }

    #[test]
    fn a_limit_is_zero_nowhere() {
        for bad in [
            "concurrency: 0",
            "cooldown: 25h",
            "cooldown: 0s",
            "giveUp: {failures: 0}",
            "breaker: {least: 0}",
            "breaker: {failed: 0%}",
            "giveUp: {per: 25h}",
            "rate: {actions: 0, per: 1h}",
        ] {
            assert!(serde_saphyr::from_str::<PolicyLimits>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn above_a_ceiling_the_ceiling_holds_and_is_named() {
        let strict = bounds(
            "ceilings: {cooldown: 15m, rate: {actions: 10, per: 1h}, concurrency: 2, minAvailable: 60%,
                        allowSingleReplica: false, giveUp: {failures: 2}, breaker: {failed: 40%}}",
        );
        let greedy = asked(
            "{cooldown: 5m, rate: {actions: 11, per: 1h}, concurrency: 3, minAvailable: 50%, allowSingleReplica: true,
              giveUp: {failures: 3}, breaker: {failed: 50%}}",
        );
        let above = strict.above(&greedy);
        let limits: Vec<_> = above.iter().map(|above| above.limit).collect();
        let all = ["cooldown", "rate", "concurrency", "minAvailable", "allowSingleReplica", "giveUp", "breaker"];
        assert_eq!(limits, all);
        assert_eq!(
            above[1].to_string(),
            "limits.rate: 11 in 1h is more than the administrator permits, which is 10 in 1h"
        );
        let effective = EffectiveLimits::of(&strict.limits(&greedy), &strict.ceilings);
        assert_eq!((effective.cooldown.to_string().as_str(), effective.concurrency), ("15m", 2));
        assert_eq!((effective.rates.len(), effective.min_available.len(), effective.breakers.len()), (2, 2, 2));
        assert_eq!((effective.allow_single_replica, effective.give_up.failures), (false, 2));
    }

    #[test]
    fn what_is_within_the_ceilings_is_what_it_was() {
        let roomy = bounds("ceilings: {cooldown: 1m, rate: {actions: 10, per: 1h}, concurrency: 9, minAvailable: 50%}");
        let modest = asked("{cooldown: 5m, rate: {actions: 5, per: 1h}, minAvailable: 80%}");
        assert_eq!(roomy.above(&modest), []);
        let effective = EffectiveLimits::of(&roomy.limits(&modest), &roomy.ceilings);
        let unbounded = EffectiveLimits::of(&roomy.limits(&modest), &PolicyLimits::default());
        assert_eq!(effective, unbounded);
        assert_eq!(effective.rates, [modest.rate.unwrap()]);
    }

    #[test]
    fn a_rate_is_within_another_one_whenever_its_window_begins() {
        let within = |own: &str, ceiling: &str| {
            let rate = |text: &str| serde_saphyr::from_str::<Rate>(text).unwrap();
            rate(own).is_within(rate(ceiling))
        };
        assert!(within("{actions: 5, per: 1h}", "{actions: 5, per: 1h}"));
        assert!(within("{actions: 5, per: 2h}", "{actions: 5, per: 1h}"));
        assert!(within("{actions: 1, per: 1h}", "{actions: 24, per: 24h}"));
        assert!(!within("{actions: 1, per: 1h}", "{actions: 23, per: 24h}"));
        assert!(!within("{actions: 6, per: 24h}", "{actions: 5, per: 1h}"), "six at once");
    }

    #[test]
    fn defaults_that_no_policy_could_have_are_a_contradiction() {
        let found = bounds("{defaults: {concurrency: 3}, ceilings: {concurrency: 2}}").contradictions();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].limit, "concurrency");
    }
}
