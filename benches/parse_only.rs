//! What the webhook is compared with: the same HTTP server library and the same parser, and nothing else. What is
//! missing from its rate is the price of all that Paramedic does beside parsing.

use anyhow::Context;
use axum::{Router, body::Bytes, extract::DefaultBodyLimit, http::StatusCode, routing::post};
use paramedic::alert::Notification;

/// Serves until it is killed.
pub async fn serve(port: u16) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("the port cannot be had")?;
    let router = Router::new().route("/webhook", post(parse)).layer(DefaultBodyLimit::disable());
    Ok(axum::serve(listener, router).await?)
}

async fn parse(body: Bytes) -> StatusCode {
    match Notification::parse(&body) {
        Ok(notification) if notification.alerts.iter().all(Result::is_ok) => StatusCode::OK,
        _ => StatusCode::BAD_REQUEST,
    }
}
