//! Bounded waits. A story never sleeps for what it can wait for, and a wait that ends in vain says what it saw last.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How long a thing may take that normally takes a few seconds, on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How long it is watched that a thing does not happen: there is no event to wait for.
pub const WATCHED: Duration = Duration::from_secs(3);

const INTERVAL: Duration = Duration::from_millis(100);

/// Looks again and again until it is so; `Err` says what is seen instead. Panics when the time is up.
pub async fn until<T, F, Fut>(limit: Duration, what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let begun = Instant::now();
    loop {
        let seen = match look().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(begun.elapsed() < limit, "{what}: not within {}s. Seen last: {seen}", limit.as_secs());
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks again and again, and panics as soon as it is not so.
pub async fn throughout<F, Fut>(span: Duration, what: &str, mut look: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let begun = Instant::now();
    while begun.elapsed() < span {
        if let Err(seen) = look().await {
            panic!("{what}: not so after {} ms. Seen: {seen}", begun.elapsed().as_millis());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
