//! A case, and how it is told in one place.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, future::LocalBoxFuture};

use crate::{place::Place, talk::Talk};

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(40);

/// A small program over raw requests, whose transcript must be the same everywhere.
pub struct Case {
    /// What it is about: the file that its transcript is recorded in.
    pub theme: &'static str,
    /// What is true.
    pub name: &'static str,
    /// Tells it.
    pub tell: Box<dyn Fn(Talk) -> LocalBoxFuture<'static, ()> + Send + Sync>,
}

/// A case; its theme is that of the list it is in.
pub fn case<F, T>(name: &'static str, tell: F) -> Case
where
    F: Fn(Talk) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + 'static,
{
    Case { theme: "", name, tell: Box::new(move |talk| tell(talk).boxed_local()) }
}

/// What was said and heard.
pub struct Transcript {
    /// The text, with symbols for what differs from run to run.
    pub text: String,
    /// Why the case did not come to its end.
    pub stopped: Option<String>,
}

impl Case {
    /// Theme and name in one word.
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.theme, self.name.replace(' ', "_"))
    }

    /// Tells it in that place, in a namespace of its own, and tidies up.
    pub async fn told(&self, place: Place) -> Transcript {
        let talk = Talk::new(place);
        let telling = async {
            talk.move_in().await;
            (self.tell)(talk.clone()).await;
        };
        let outcome = AssertUnwindSafe(tokio::time::timeout(LIMIT, telling)).catch_unwind().await;
        let stopped = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(format!("not over after {} s", LIMIT.as_secs())),
            Err(panic) => Some(said(&*panic)),
        };
        talk.move_out().await;
        let mut text = talk.transcript();
        if let Some(why) = &stopped {
            text.push_str("stopped: ");
            text.push_str(why.lines().next().unwrap_or_default());
            text.push('\n');
        }
        Transcript { text, stopped }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}
