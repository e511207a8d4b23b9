//! Ports on loopback: the usual one where it is free, else another.

use std::io;

use tokio::net::TcpListener;

/// A port that was taken, and is held.
pub struct Taken {
    /// It.
    pub listener: TcpListener,
    /// The usual port, where somebody else has it.
    pub instead_of: Option<u16>,
}

/// Takes the usual port, or any.
pub async fn take(usual: u16) -> io::Result<Taken> {
    match TcpListener::bind(("127.0.0.1", usual)).await {
        Ok(listener) => Ok(Taken { listener, instead_of: None }),
        Err(_) => Ok(Taken { listener: TcpListener::bind(("127.0.0.1", 0)).await?, instead_of: Some(usual) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_named_and_another_one_is_had() {
        let first = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let second = take(port).await.unwrap();
        assert_eq!(second.instead_of, Some(port));
        assert_ne!(second.listener.local_addr().unwrap().port(), port);
        drop(first);
        assert!(take(port).await.unwrap().instead_of.is_none());
    }
}
