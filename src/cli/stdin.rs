//! Standard input as the end of a leash: a pipe that whoever started this process holds, and that the kernel closes when
//! that one ends, however it does.

use std::{
    io::{self, Read},
    thread,
};

use tokio::sync::oneshot;

/// Ready when standard input is closed. What comes in before that is thrown away.
pub async fn closed() {
    let (tell, told) = oneshot::channel();
    // Not tokio's own: its reads are of a pool whose threads a runtime waits for at its end. Nobody waits for this one.
    let reader = thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut bytes = [0; 512];
        loop {
            match io::stdin().lock().read(&mut bytes) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                Ok(_) | Err(_) => {}
            }
        }
        // Where nobody listens any more, the process is at its end already.
        let _ = tell.send(());
    });
    if reader.is_err() {
        // Without a thread there is no leash: better to end than to be left behind.
        return;
    }
    let _ = told.await;
}

/// [`closed`] where it is wanted, else never ready.
pub async fn closed_if(wanted: bool) {
    if wanted { closed().await } else { std::future::pending().await }
}
