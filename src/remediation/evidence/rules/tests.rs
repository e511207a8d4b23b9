//! What an evaluation proves, and how it goes together with what the Alertmanagers say.

use super::*;
use crate::{clients::QueryResult, remediation::fixtures::*};

/// A rule with `for: 2m`, evaluated every 30 s and 10 s ago, that found these.
fn rule(alerts: &[RuleAlert]) -> AlertingRule {
    AlertingRule {
        labels: labels(&[]),
        pending_for: Duration::from_mins(2),
        interval: Duration::from_secs(30),
        health: Ok(()),
        evaluated_at: Some(at(-10)),
        alerts: alerts.to_vec(),
    }
}

fn knows(rules: &[AlertingRule]) -> RulesAnswer {
    RulesAnswer { url: "http://prometheus".to_owned(), rules: Ok(rules.to_vec()), started_at: Some(at(-DAY)) }
}

fn silent() -> RulesAnswer {
    RulesAnswer { rules: Err("http://other did not answer".to_owned()), ..knows(&[]) }
}

fn fires(labels: Labels) -> RuleAlert {
    RuleAlert { labels, firing: true, active_at: at(-300) }
}

fn pending(labels: Labels) -> RuleAlert {
    RuleAlert { firing: false, ..fires(labels) }
}

fn about_cart(answers: &[RulesAnswer]) -> Evaluated {
    let cart = leak_of("cart-1");
    evaluated(answers, &cart, same_labels(&cart), at(0))
}

fn unknown(why: &str) -> Evaluated {
    Evaluated::Unknown(why.to_owned())
}

#[test]
fn a_healthy_evaluation_without_the_alert_says_that_it_is_over() {
    assert_eq!(about_cart(&[knows(&[rule(&[])])]), Evaluated::Clear);
    assert_eq!(about_cart(&[knows(&[rule(&[fires(leak_of("cart-2"))])])]), Evaluated::Clear, "another pod's");
    assert_eq!(about_cart(&[knows(&[rule(&[fires(leak_of("cart-1"))])])]), Evaluated::Firing);
    assert_eq!(about_cart(&[]), Evaluated::Unasked);
}

#[test]
fn an_evaluation_that_went_wrong_or_is_old_says_nothing() {
    let said = |rule: AlertingRule| about_cart(&[knows(&[rule])]);
    let wrong = AlertingRule { health: Err("many-to-many".to_owned()), ..rule(&[]) };
    assert_eq!(said(wrong), unknown("http://prometheus could not evaluate the rule of the alert: many-to-many"));
    let never = AlertingRule { evaluated_at: None, ..rule(&[]) };
    assert_eq!(said(never), unknown("http://prometheus has not evaluated the rule of the alert yet"));
    let at_least = AlertingRule { evaluated_at: Some(at(-120)), ..rule(&[]) };
    assert_eq!(said(at_least), Evaluated::Clear, "three intervals and half a minute");
    let late = AlertingRule { evaluated_at: Some(at(-121)), ..rule(&[]) };
    let text = "http://prometheus evaluated the rule of the alert at 2026-03-01T11:57:59Z for the last time, which is too \
                long ago";
    assert_eq!(said(late), unknown(text));
}

#[test]
fn a_rule_that_nobody_has_says_nothing() {
    let missing = unknown("no Prometheus that can be asked has the rule of the alert");
    assert_eq!(about_cart(&[knows(&[])]), missing);
    let of_another_severity = AlertingRule { labels: labels(&[("severity", "warning")]), ..rule(&[]) };
    let critical = labels(&[("alertname", "MemoryLeak"), ("severity", "critical")]);
    let said = evaluated(&[knows(&[of_another_severity])], &critical, same_labels(&critical), at(0));
    assert_eq!(said, missing, "of that name there may be several");
    let templated = AlertingRule { labels: labels(&[("severity", "{{ if true }}critical{{ end }}")]), ..rule(&[]) };
    let said = evaluated(&[knows(&[templated])], &critical, same_labels(&critical), at(0));
    assert_eq!(said, Evaluated::Clear, "a template may have come to anything");
}

#[test]
fn each_prometheus_has_to_answer_and_those_that_have_the_rule_to_agree() {
    let (clear, other) = (|| knows(&[rule(&[])]), || knows(&[]));
    assert_eq!(about_cart(&[clear(), other()]), Evaluated::Clear, "they may have rules of their own each");
    let firing = || knows(&[rule(&[fires(leak_of("cart-1"))])]);
    for answers in [[firing(), clear()], [clear(), firing()], [silent(), firing()], [other(), firing()]] {
        assert_eq!(about_cart(&answers), Evaluated::Firing, "one that finds it is enough");
    }
    for answers in [[clear(), silent()], [silent(), clear()]] {
        assert_eq!(about_cart(&answers), unknown("http://other did not answer"));
    }
}

#[test]
fn a_prometheus_that_was_started_lately_may_not_have_found_it_again() {
    let started = |seconds: Option<i64>| RulesAnswer { started_at: seconds.map(at), ..knows(&[rule(&[])]) };
    assert_eq!(about_cart(&[started(Some(-180))]), Evaluated::Clear, "its `for` and two evaluations");
    let young = "http://prometheus has not been up for 180s yet, so it may not have found the alert again";
    assert_eq!(about_cart(&[started(Some(-179))]), unknown(young));
    assert_eq!(about_cart(&[started(None)]), unknown("http://prometheus does not say how long it has been up"));
    let quick = AlertingRule { pending_for: Duration::ZERO, interval: Duration::from_secs(1), ..rule(&[]) };
    let answer = RulesAnswer { started_at: Some(at(-119)), ..knows(&[quick]) };
    assert!(matches!(about_cart(&[answer]), Evaluated::Unknown(_)), "it has to scrape first, whatever the rule");
}

#[test]
fn an_alert_that_is_pending_is_neither_over_nor_firing() {
    let again = "the alert is pending again at http://prometheus".to_owned();
    assert_eq!(about_cart(&[knows(&[rule(&[pending(leak_of("cart-1"))])])]), Evaluated::Pending(again));
    assert_eq!(about_cart(&[knows(&[rule(&[pending(leak_of("cart-2"))])])]), Evaluated::Clear, "another pod's");
}

#[test]
fn labels_that_come_or_go_on_the_way_to_alertmanager_do_not_hide_it() {
    let with = |name: &str| {
        let mut labels = leak_of("cart-1");
        labels.0.insert(name.to_owned(), "a".to_owned());
        labels
    };
    let sent = with("cluster");
    let answers = [knows(&[rule(&[fires(leak_of("cart-1"))])])];
    assert_eq!(evaluated(&answers, &sent, same_labels(&sent), at(0)), Evaluated::Firing, "external_labels");
    let answers = [knows(&[rule(&[fires(with("replica"))])])];
    assert_eq!(about_cart(&answers), Evaluated::Firing, "alert_relabel_configs with labeldrop");
}

#[test]
fn the_quiet_that_a_rule_asks_for_is_its_for_and_two_evaluations() {
    let cart = leak_of("cart-1");
    let quiet = |answers: &[RulesAnswer]| quiet_for(answers, &cart).map(|quiet| quiet.as_secs());
    assert_eq!(quiet(&[knows(&[rule(&[])])]), Some(180));
    let slower = AlertingRule { interval: Duration::from_mins(1), ..rule(&[]) };
    assert_eq!(quiet(&[knows(&[rule(&[])]), knows(&[slower]), silent()]), Some(240), "the longest of them");
    assert_eq!((quiet(&[]), quiet(&[silent()]), quiet(&[knows(&[])])), (None, None, None));
    let ages = AlertingRule { pending_for: Duration::from_hours(5), ..rule(&[]) };
    assert_eq!(quiet(&[knows(&[ages])]), Some(45 * MINUTE), "a remediation has to end");
}

#[test]
fn after_an_action_the_living_and_what_is_new_are_heard_of() {
    let record = a_record();
    let counts = |alert: &RuleAlert, living: &[&str]| {
        let pods = living.iter().copied().map(str::to_owned).collect();
        let subject = LivingSubject { namespace: "shop".to_owned(), name: "cart".to_owned(), pods };
        rule_about_subject(&record.spec, &subject, at(100))(&rule(&[]), alert)
    };
    assert!(counts(&fires(leak_of("cart-1")), &["cart-1"]), "its own alert, though it began before the action");
    assert!(!counts(&fires(leak_of("cart-1")), &["cart-4"]), "a series of a pod that is gone");
    let since = |seconds: i64| RuleAlert { active_at: at(seconds), ..fires(leak_of("cart-4")) };
    assert!(counts(&since(-19), &["cart-4"]), "it fires after the action, though it was pending before");
    assert!(!counts(&since(-20), &["cart-4"]), "a sibling's older alert has its own record");
    let another = labels(&[("alertname", "Restarting"), ("namespace", "shop"), ("pod", "cart-4")]);
    assert!(
        !counts(&RuleAlert { labels: another, ..since(50) }, &["cart-4"]),
        "an alert that the policy does not match"
    );
}

// ---- together with the Alertmanagers

const CLEAR: Evidence = Evidence::Clear { confirmed: true };

fn nobody_knows(why: &str) -> Evidence {
    Evidence::Unknown(why.to_owned())
}

fn silenced() -> Evidence {
    Evidence::Suppressed("the alert is silenced by 42".to_owned())
}

fn pending_again() -> Evaluated {
    Evaluated::Pending("pending".to_owned())
}

#[test]
fn only_an_alertmanager_says_that_there_is_something_to_act_on_where_one_can_be_asked() {
    let before = before_acting;
    let all = || [Evaluated::Firing, pending_again(), Evaluated::Clear, unknown("u"), Evaluated::Unasked];
    for rules in all() {
        assert_eq!(before(Evidence::Firing, rules.clone()), Evidence::Firing);
        assert_eq!(before(silenced(), rules), silenced());
    }
    let fires_unheard = nobody_knows("it fires at Prometheus, and no Alertmanager knows of it");
    assert_eq!(all().map(|rules| before(CLEAR, rules)), [fires_unheard, CLEAR, CLEAR, CLEAR, CLEAR]);
    assert_eq!(before(nobody_knows("a"), Evaluated::Clear), CLEAR, "a healthy evaluation is enough");
    let not_silenced = "a; it fires at Prometheus, which does not know of silences";
    assert_eq!(before(nobody_knows("a"), Evaluated::Firing), nobody_knows(not_silenced));
    assert_eq!(before(nobody_knows("a"), unknown("b")), nobody_knows("a; b"));
    assert_eq!(before(nobody_knows("a"), pending_again()), nobody_knows("a"));
}

#[test]
fn where_only_prometheus_can_be_asked_it_speaks_alone() {
    for together in [before_acting, after_acting] {
        let alone = |rules: Evaluated| together(Evidence::Unasked, rules);
        assert_eq!(alone(Evaluated::Firing), Evidence::Firing);
        assert_eq!(alone(Evaluated::Clear), CLEAR);
        assert_eq!(alone(pending_again()), nobody_knows("pending"));
        assert_eq!(alone(unknown("u")), nobody_knows("u"));
        assert_eq!(alone(Evaluated::Unasked), Evidence::Unasked);
    }
}

#[test]
fn after_an_action_it_is_not_over_while_anybody_says_that_it_fires_or_is_about_to() {
    assert_eq!(after_acting(CLEAR, Evaluated::Firing), Evidence::Firing);
    assert_eq!(after_acting(nobody_knows("a"), Evaluated::Firing), Evidence::Firing);
    assert_eq!(after_acting(CLEAR, pending_again()), nobody_knows("pending"));
    assert_eq!(after_acting(CLEAR, unknown("u")), CLEAR, "the absence at every Alertmanager is enough");
    assert_eq!(after_acting(nobody_knows("a"), Evaluated::Clear), CLEAR);
    assert_eq!(after_acting(silenced(), Evaluated::Clear), silenced());
}

// ---- a step's query

#[expect(clippy::unnecessary_wraps, reason = "an answer, as those that are none")]
fn left(values: &[f64]) -> Result<QueryResult, String> {
    Ok(QueryResult::Vector(values.to_vec()))
}

#[test]
fn a_query_holds_where_series_are_left_and_nothing_else_is_a_success() {
    let asked = |answers: Vec<Result<QueryResult, String>>| query_now(answers, false);
    assert_eq!(asked(vec![left(&[3.0])]), QueryNow::Holds);
    assert_eq!(asked(vec![left(&[0.0])]), QueryNow::Holds, "`x == 0` leaves a zero");
    let nothing = QueryNow::Unknown("it left no series: it does not hold, or there is no data".to_owned());
    assert_eq!(asked(vec![left(&[])]), nothing);
    assert_eq!(asked(vec![]), nothing);
    assert_eq!(asked(vec![left(&[]), left(&[1.0])]), QueryNow::Holds, "one of them has the series");
    let error = || Err("http://other did not answer".to_owned());
    for answers in [vec![error(), left(&[1.0])], vec![left(&[1.0]), error()]] {
        assert_eq!(asked(answers), QueryNow::Unknown("http://other did not answer".to_owned()));
    }
    let scalar = asked(vec![Ok(QueryResult::Other("scalar".to_owned()))]);
    assert_eq!(
        scalar,
        QueryNow::Unknown("it gives a scalar, not series; compare what it gives with a number".to_owned())
    );
}

#[test]
fn with_bool_a_query_can_say_no() {
    let asked = |answers: Vec<Result<QueryResult, String>>| query_now(answers, true);
    assert_eq!(asked(vec![left(&[1.0, 1.0])]), QueryNow::Holds);
    assert_eq!(asked(vec![left(&[1.0, 0.0])]), QueryNow::No("it holds for 1 of 2 series".to_owned()));
    assert_eq!(asked(vec![left(&[1.0]), left(&[0.0])]), QueryNow::No("it holds for 0 of 1 series".to_owned()));
    assert!(matches!(asked(vec![left(&[])]), QueryNow::Unknown(_)), "no data is no answer");
    assert_eq!(asked(vec![left(&[f64::NAN])]), QueryNow::No("it holds for 0 of 1 series".to_owned()));
}
