//! Stories over the real server on a port of its own: what a sender is told, and when.

#![allow(clippy::unwrap_used, reason = "what cannot be set up fails the story")]

mod encrypted;
mod house;
mod people;
mod told;

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use house::{FIRING, House, Mood, Plan};
use paramedic::{audit::Chain, clock::Clock};
use reqwest::StatusCode;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn only_a_credential_opens_and_a_new_one_replaces_the_old() {
    let house = House::build("credential", Plan::default()).await;
    let without = house.post(None, FIRING).await;
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    assert!(without.headers().contains_key("www-authenticate"));
    assert_eq!(house.post(Some("wrong"), FIRING).await.status(), StatusCode::UNAUTHORIZED);

    let answer = house.post(Some("alpha"), FIRING).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["outcomes"]["Created"], 1, "{body}");
    assert_eq!(body["alerts"][0]["remediations"][0], "paramedic/one", "{body}");

    house.write_token("beta\n");
    let end = Instant::now() + Duration::from_secs(10);
    while house.post(Some("beta"), FIRING).await.status() != StatusCode::OK {
        assert!(Instant::now() < end, "the new token was not read");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(house.post(Some("alpha"), FIRING).await.status(), StatusCode::UNAUTHORIZED);

    house.remove_token();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(house.post(Some("beta"), FIRING).await.status(), StatusCode::OK, "the last good one holds");
    assert!(house.metrics().await.contains(r#"paramedic_credentials_reload_failures_total{source="prod"} "#));
}

#[tokio::test]
async fn a_good_sender_is_not_silenced_by_a_bad_one_behind_the_same_address() {
    let house = House::build("throttle", Plan::default()).await;
    for _ in 0..10 {
        assert_eq!(house.post(Some("guess"), FIRING).await.status(), StatusCode::UNAUTHORIZED);
    }
    let began = Instant::now();
    let throttled = house.post(Some("guess"), FIRING).await;
    assert_eq!(throttled.status(), StatusCode::UNAUTHORIZED, "never 429");
    assert!(began.elapsed() >= Duration::from_millis(900), "the answer was held back");
    let began = Instant::now();
    assert_eq!(house.post(Some("alpha"), FIRING).await.status(), StatusCode::OK);
    assert!(began.elapsed() < Duration::from_millis(500));
    assert!(house.metrics().await.contains("paramedic_auth_failures_total 11"));
}

#[tokio::test]
async fn what_can_never_be_is_final_and_what_may_yet_be_is_not() {
    let house = House::build("answers", Plan::default()).await;
    assert_eq!(house.post(Some("alpha"), "{}").await.status(), StatusCode::BAD_REQUEST);
    let other = FIRING.replace("team", "elsewhere");
    assert_eq!(house.post(Some("alpha"), &other).await.status(), StatusCode::FORBIDDEN);
    let long = format!("{}{}", " ".repeat(100 << 10), FIRING);
    assert_eq!(house.post(Some("alpha"), &long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let house = House::build("answers-later", Plan { mood: Mood::NotDurable, ..Plan::default() }).await;
    let later = house.post(Some("alpha"), FIRING).await;
    assert_eq!(later.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(later.headers().contains_key("retry-after"));

    let house = House::build("answers-unready", Plan { mood: Mood::NotReady, ..Plan::default() }).await;
    let unready = house.post(Some("alpha"), FIRING).await;
    assert_eq!(unready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(unready.headers().contains_key("retry-after"));
    assert!(unready.text().await.unwrap().contains("not synced"));
    assert_eq!(house.post(None, FIRING).await.status(), StatusCode::UNAUTHORIZED, "strangers learn nothing");
    assert_eq!(house.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(house.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_chunked_body_without_a_length_is_bounded_too() {
    let house = House::build("chunked", Plan::default()).await;
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    let head = "POST /webhook HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alpha\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 8 << 10, " ".repeat(8 << 10));
    for _ in 0..9 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    assert!(house::answer(&mut stream).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_slow_sender_is_cut_off_and_may_come_again() {
    let house = House::build("slow", Plan::default()).await;
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    let head = "POST /webhook HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alpha\r\ncontent-length: 1000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let answer = house::answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "the connection is closed");
}

#[tokio::test]
async fn a_request_under_way_is_answered_while_the_server_drains() {
    let house = House::build("drain", Plan { takes: Duration::from_millis(700), ..Plan::default() }).await;
    let (under_way, took) = tokio::join!(house.post(Some("alpha"), FIRING), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        house.stop(Duration::from_secs(5)).await
    });
    assert_eq!(under_way.status(), StatusCode::OK, "it was under way before");
    assert!(took < Duration::from_secs(2), "it waited for no more than that: {took:?}");
    assert!(TcpStream::connect(house.address()).await.is_err(), "nothing new is taken");
}

#[tokio::test]
async fn a_request_that_takes_too_long_does_not_hold_up_the_end() {
    let plan = Plan { takes: Duration::from_secs(30), ..Plan::default() };
    let house = House::build("deadline", plan).await;
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    // Its body never comes.
    let head = "POST /webhook HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alpha\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let took = house.stop(Duration::from_millis(500)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn an_intake_that_panics_takes_nobody_with_it() {
    let house = House::build("panic", Plan { mood: Mood::Panics, ..Plan::default() }).await;
    assert_eq!(house.post(Some("alpha"), FIRING).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(house.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_happened_shows_in_the_metrics() {
    let house = House::build("metrics", Plan::default()).await;
    let truncated = FIRING.replacen('{', r#"{"truncatedAlerts":7,"#, 1);
    assert_eq!(house.post(Some("alpha"), &truncated).await.status(), StatusCode::OK);
    let metrics = house.metrics().await;
    for line in [
        r#"paramedic_alerts_received_total{source="prod",outcome="Created"} 1"#,
        r#"paramedic_alerts_truncated_total{source="prod"} 7"#,
        r#"paramedic_webhook_requests_total{code="200"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn each_delivery_has_its_line_and_none_is_taken_in_while_there_can_be_none() {
    let house = House::build("audit", Plan { audited: true, ..Plan::default() }).await;
    assert_eq!(house.post(Some("alpha"), FIRING).await.status(), StatusCode::OK);
    let end = Instant::now() + Duration::from_secs(5);
    while !house
        .audit_log()
        .1
        .contains(r#""event":"Delivered","source":"prod","receiver":"team","outcomes":{"Created":1}"#)
    {
        assert!(Instant::now() < end, "{}", house.audit_log().1);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!house.audit_log().1.contains("alpha"), "no secret is in it");

    house.audit_folder(false);
    let status = async |wanted: StatusCode| {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = house.post(Some("alpha"), FIRING).await;
            if answer.status() == wanted {
                return answer.text().await.unwrap();
            }
            assert!(Instant::now() < end, "it is {} still", answer.status());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let refused = status(StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(refused.contains("the audit log cannot be written"), "{refused}");
    assert!(house.metrics().await.contains("paramedic_audit_failing 1"));
    house.audit_folder(true);
    status(StatusCode::OK).await;
    let (path, text) = house.audit_log();
    assert!(text.contains(r#""event":"Resumed""#), "{text}");
    let mut chain = Chain::whole();
    text.lines().for_each(|line| chain.check(line.as_bytes()).unwrap());
    assert!(chain.lines() >= 4, "{}: {text}", path.display());
}

#[tokio::test]
async fn a_body_that_grafana_signed_opens_and_another_does_not() {
    let house = House::build("signed", Plan::default()).await;
    let sign = |secret: &[u8], time: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{time}:{FIRING}").as_bytes());
        let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap());
        mac.finalize().into_bytes().iter().flat_map(digits).collect::<String>()
    };
    let now = Clock::system().now().as_second().to_string();
    let good = sign(b"gamma", &now);
    let answer = house.post_signed(&good, &now, FIRING).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(house.metrics().await.contains(r#"paramedic_alerts_received_total{source="grafana",outcome="Created"} 1"#));
    let other = FIRING.replace("Leak", "Other");
    assert_eq!(house.post_signed(&good, &now, &other).await.status(), StatusCode::UNAUTHORIZED, "another body");
    assert_eq!(house.post_signed(&sign(b"delta", &now), &now, FIRING).await.status(), StatusCode::UNAUTHORIZED);
    let hour_ago = (now.parse::<i64>().unwrap() - 3600).to_string();
    let old = sign(b"gamma", &hour_ago);
    assert_eq!(house.post_signed(&old, &hour_ago, FIRING).await.status(), StatusCode::UNAUTHORIZED, "too old");
    let long = format!("{}{}", " ".repeat(100 << 10), FIRING);
    assert_eq!(house.post_signed(&good, &now, &long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn without_sources_a_page_in_a_browser_cannot_post() {
    let house = House::build("browser", Plan { open: true, ..Plan::default() }).await;
    assert_eq!(house.post(None, FIRING).await.status(), StatusCode::OK);
    assert_eq!(house.post_as_browser(FIRING).await.status(), StatusCode::FORBIDDEN);
    let house = House::build("browser-credential", Plan::default()).await;
    assert_eq!(house.post_as_browser(FIRING).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_what_changes_it() {
    let house = House::build("port", Plan::default()).await;
    let error = house.bind_again().await;
    assert!(error.contains("listen") && error.contains("--listen"), "{error}");
}
