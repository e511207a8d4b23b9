//! What an Alertmanager knows, and when it tells whom: waits, repeats, and comes again where it was not heard. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::rule::Fired;
use crate::alert::{Fingerprint, Labels, Matcher};

/// Alertmanager's timers, shorter than anybody would set them.
const GROUP_WAIT: SignedDuration = SignedDuration::from_secs(1);
const GROUP_INTERVAL: SignedDuration = SignedDuration::from_secs(1);
const REPEAT_INTERVAL: SignedDuration = SignedDuration::from_secs(8);
/// Its pause after a notice that was not taken, which doubles; as Alertmanager's, but for the longest.
const RETRY_FIRST: SignedDuration = SignedDuration::from_millis(500);
const RETRY_LONGEST: SignedDuration = SignedDuration::from_secs(2);
/// An alert without an end that nobody sends any more is over after this.
pub const RESOLVE_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// Firing or over, as a notice says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

#[derive(Clone, Debug)]
struct Held {
    alert: Fired,
    /// Over from here on, unless it is sent again.
    ends_at: Timestamp,
    updated_at: Timestamp,
    told: Option<(State, Timestamp)>,
    due: Timestamp,
    tries: u32,
}

/// The alerts of one Alertmanager, each a group of its own.
#[derive(Debug, Default)]
pub struct Inbox {
    held: BTreeMap<Fingerprint, Held>,
}

/// One notice that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Which alert.
    pub fingerprint: Fingerprint,
    /// Its labels.
    pub labels: Labels,
    /// Firing or over.
    pub state: State,
    /// Not the first try.
    pub again: bool,
    /// It was told before, and is told once more as it fires still.
    pub repeat: bool,
    /// The webhook's body.
    pub body: Value,
}

impl Inbox {
    /// Takes in what Prometheus, or anybody else, sends.
    pub fn take(&mut self, alert: Fired, now: Timestamp) {
        let ends_at = alert.ends_at.unwrap_or_else(|| add(now, RESOLVE_TIMEOUT));
        let fingerprint = Fingerprint::of(&alert.labels);
        match self.held.get_mut(&fingerprint) {
            // The same episode goes on, or ends.
            Some(held) if held.ends_at > now || ends_at <= now => {
                let starts_at = held.alert.starts_at.min(alert.starts_at);
                held.alert = Fired { starts_at, ..alert };
                if ends_at <= now && held.ends_at > now {
                    held.tries = 0;
                    let pause = if held.told.is_some() { GROUP_INTERVAL } else { SignedDuration::ZERO };
                    held.due = add(now, pause);
                }
                held.ends_at = ends_at;
                held.updated_at = now;
            }
            _ if ends_at <= now => {}
            _ => {
                let due = add(now, GROUP_WAIT);
                self.held.insert(fingerprint, Held { alert, ends_at, updated_at: now, told: None, due, tries: 0 });
            }
        }
    }

    /// The notices that are due.
    pub fn due(&mut self, receiver: &str, url: &str, now: Timestamp) -> Vec<Notice> {
        // What was over before anybody was told of it is nobody's business.
        self.held.retain(|_, held| held.ends_at > now || held.told.is_some());
        let mut due = Vec::new();
        for (fingerprint, held) in &self.held {
            let state = held.state(now);
            let told = held.told.map(|(state, _)| state);
            if held.due > now {
                continue;
            }
            due.push(Notice {
                fingerprint: *fingerprint,
                labels: held.alert.labels.clone(),
                state,
                again: held.tries > 0,
                repeat: told == Some(State::Firing) && state == State::Firing,
                body: held.body(*fingerprint, receiver, url, state),
            });
        }
        due
    }

    /// What came of a notice.
    pub fn told(&mut self, notice: &Notice, taken: bool, now: Timestamp) {
        let Some(held) = self.held.get_mut(&notice.fingerprint) else { return };
        if !taken {
            held.tries = held.tries.saturating_add(1);
            let pause = RETRY_FIRST.checked_mul(1 << held.tries.saturating_sub(1).min(8)).unwrap_or(RETRY_LONGEST);
            held.due = add(now, pause.min(RETRY_LONGEST));
            return;
        }
        held.tries = 0;
        held.told = Some((notice.state, now));
        held.due = add(now, REPEAT_INTERVAL);
        if notice.state == State::Resolved {
            self.held.remove(&notice.fingerprint);
        }
    }

    /// The answer of `GET /api/v2/alerts`: what fires and is matched by all of these.
    pub fn alerts(&self, matchers: &[Matcher], now: Timestamp) -> Value {
        let firing = self.held.iter().filter(|(_, held)| {
            held.ends_at > now && matchers.iter().all(|matcher| matcher.matches(&held.alert.labels))
        });
        let shown = firing.map(|(fingerprint, held)| {
            json!({
                "fingerprint": fingerprint,
                "labels": held.alert.labels,
                "annotations": held.alert.annotations,
                "startsAt": held.alert.starts_at,
                "endsAt": held.ends_at,
                "updatedAt": held.updated_at,
                "generatorURL": "",
                "receivers": [{ "name": "paramedic" }],
                "status": { "state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": [] },
            })
        });
        shown.collect()
    }
}

impl Held {
    fn state(&self, now: Timestamp) -> State {
        if self.ends_at <= now { State::Resolved } else { State::Firing }
    }

    /// The webhook's body, version 4.
    fn body(&self, fingerprint: Fingerprint, receiver: &str, url: &str, state: State) -> Value {
        let Fired { labels, annotations, starts_at, .. } = &self.alert;
        let name = labels.alertname().unwrap_or_default();
        let ends_at = match state {
            State::Firing => "0001-01-01T00:00:00Z".to_owned(),
            State::Resolved => self.ends_at.to_string(),
        };
        json!({
            "version": "4",
            "groupKey": format!("{{}}:{{alertname=\"{name}\", fingerprint=\"{fingerprint}\"}}"),
            "truncatedAlerts": 0,
            "status": state,
            "receiver": receiver,
            "groupLabels": { "alertname": name },
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": url,
            "alerts": [{
                "status": state,
                "labels": labels,
                "annotations": annotations,
                "startsAt": starts_at,
                "endsAt": ends_at,
                "generatorURL": format!("{url}/graph?g0.expr={name}"),
                "fingerprint": fingerprint,
            }],
        })
    }
}

fn add(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.saturating_add(span).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Notification;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
    }

    fn leak(ends_at: Option<i64>) -> Fired {
        Fired {
            labels: [("alertname", "MemoryLeakDetected"), ("pod", "a")].into_iter().collect(),
            annotations: BTreeMap::new(),
            starts_at: at(0),
            ends_at: ends_at.map(at),
        }
    }

    fn states(inbox: &mut Inbox, millis: i64) -> Vec<(State, bool)> {
        inbox.due("paramedic", "http://am", at(millis)).iter().map(|notice| (notice.state, notice.repeat)).collect()
    }

    fn tell(inbox: &mut Inbox, millis: i64, taken: bool) {
        for notice in inbox.due("paramedic", "http://am", at(millis)) {
            inbox.told(&notice, taken, at(millis));
        }
    }

    #[test]
    fn it_waits_tells_repeats_and_says_when_it_is_over() {
        let mut inbox = Inbox::default();
        inbox.take(leak(None), at(0));
        assert_eq!(states(&mut inbox, 900), []);
        assert_eq!(states(&mut inbox, 1000), [(State::Firing, false)]);
        tell(&mut inbox, 1000, true);
        assert_eq!(states(&mut inbox, 8900), []);
        assert_eq!(states(&mut inbox, 9000), [(State::Firing, true)]);
        inbox.take(leak(Some(5000)), at(5000));
        assert_eq!(states(&mut inbox, 6000), [(State::Resolved, false)]);
        tell(&mut inbox, 6000, true);
        assert_eq!(states(&mut inbox, 60_000), []);
    }

    #[test]
    fn a_notice_that_was_not_taken_comes_again_and_later_each_time() {
        let mut inbox = Inbox::default();
        inbox.take(leak(None), at(0));
        tell(&mut inbox, 1000, false);
        assert_eq!(states(&mut inbox, 1400), []);
        tell(&mut inbox, 1500, false);
        assert_eq!(states(&mut inbox, 2400), []);
        assert!(inbox.due("paramedic", "http://am", at(2500))[0].again);
    }

    #[test]
    fn what_was_over_before_anybody_was_told_is_not_told() {
        let mut inbox = Inbox::default();
        inbox.take(leak(None), at(0));
        inbox.take(leak(Some(500)), at(500));
        assert_eq!(states(&mut inbox, 5000), []);
    }

    #[test]
    fn the_body_is_one_that_paramedic_reads() {
        let mut inbox = Inbox::default();
        inbox.take(leak(None), at(0));
        let notice = inbox.due("paramedic", "http://am", at(1000)).remove(0);
        let read = Notification::parse(notice.body.to_string().as_bytes()).unwrap();
        let alert = read.alerts.into_iter().next().unwrap().unwrap();
        assert_eq!((alert.fingerprint, alert.starts_at, alert.ends_at), (notice.fingerprint, at(0), None));
    }

    #[test]
    fn it_can_be_asked_for_what_fires() {
        let mut inbox = Inbox::default();
        inbox.take(leak(None), at(0));
        let matching = |inbox: &Inbox, matcher: &str, millis| {
            inbox.alerts(&[matcher.parse().unwrap()], at(millis)).as_array().unwrap().len()
        };
        assert_eq!(matching(&inbox, "pod=\"a\"", 10), 1);
        assert_eq!(matching(&inbox, "pod=\"b\"", 10), 0);
        inbox.take(leak(Some(20)), at(20));
        assert_eq!(matching(&inbox, "pod=\"a\"", 30), 0);
    }
}
