//! What the log says of a webhook that is not taken.

use std::{
    io,
    sync::{Arc, Mutex},
};

use paramedic::server::intake::Outcome;
use reqwest::StatusCode;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::house::{FIRING, House, Mood, Plan};

/// What was logged on this thread, on which the whole story runs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn taken(&self) -> Vec<String> {
        let text = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn what_is_not_taken_has_a_line_that_names_who_sent_it_and_why() {
    let lines = Lines::default();
    let log =
        tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).with_env_filter(EnvFilter::new("info"));
    let _logged = tracing::subscriber::set_default(log.finish());

    let house = House::build("told", Plan::default()).await;
    assert_eq!(house.post(Some("alpha"), FIRING).await.status(), StatusCode::OK);
    assert_eq!(lines.taken(), [""; 0], "what is taken has none");

    let other = FIRING.replace("team", "else\\nwhere");
    let endless = format!("{}{FIRING}", " ".repeat(100 << 10));
    for (body, status, said) in [
        ("{}", 400, &["source=\"prod\"", "not an Alertmanager notification"][..]),
        (&endless, 413, &["source=\"prod\"", "bodyLimit"]),
        (&other, 403, &["source=\"prod\"", "receiver=\"else where\"", "may not post as receiver"]),
    ] {
        assert_eq!(house.post(Some("alpha"), body).await.status().as_u16(), status);
        let told = lines.taken();
        let [line] = &told[..] else { panic!("{status}: {told:?}") };
        assert!(line.contains(" WARN ") && line.contains("client=127.0.0.1"), "{line}");
        assert!(line.contains(&format!("status={status}")) && said.iter().all(|said| line.contains(said)), "{line}");
    }
    for (mood, outcome) in [(Mood::NotDurable, Outcome::NotDurable.as_str()), (Mood::NotReady, "not synced")] {
        let house = House::build("told-later", Plan { mood, ..Plan::default() }).await;
        assert_eq!(house.post(Some("alpha"), FIRING).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        let told = lines.taken();
        assert!(told.len() == 1 && told[0].contains("status=503") && told[0].contains(outcome), "{told:?}");
    }

    let house = House::build("told-browser", Plan { open: true, ..Plan::default() }).await;
    assert_eq!(house.post_as_browser(FIRING).await.status(), StatusCode::FORBIDDEN);
    let told = lines.taken();
    assert!(told.len() == 1 && told[0].contains("status=403") && told[0].contains("a browser sent this"), "{told:?}");
}

#[tokio::test]
async fn a_sender_that_comes_again_and_again_does_not_fill_the_log() {
    let lines = Lines::default();
    let log =
        tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).with_env_filter(EnvFilter::new("info"));
    let _logged = tracing::subscriber::set_default(log.finish());

    let house = House::build("told-often", Plan::default()).await;
    for _ in 0..30 {
        assert_eq!(house.post(Some("alpha"), "{}").await.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(lines.taken().len(), 10);
    let other = FIRING.replace("team", "elsewhere");
    assert_eq!(house.post(Some("alpha"), &other).await.status(), StatusCode::FORBIDDEN);
    let told = lines.taken();
    assert!(told[0].contains("untold=20"), "{told:?}");
}
