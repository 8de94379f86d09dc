//! The metrics of a process that serves nothing else.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{App, HttpResponse, HttpServer, web};
use telemetry::{Metrics, metrics::MEDIA_TYPE};

use crate::server::StartError;

/// Serves the metrics at `/metrics`, to every client that can reach the address.
///
/// # Errors
///
/// If the address cannot be listened on.
pub fn serve_metrics(listen: SocketAddr, metrics: Arc<Metrics>) -> Result<(), StartError> {
    let metrics = web::Data::from(metrics);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(metrics.clone())
            .route("/metrics", web::get().to(answer))
    })
    .workers(1)
    .disable_signals()
    .bind(listen)
    .map_err(|error| StartError::Listen(listen, error))?;
    for address in server.addrs() {
        tracing::info!(%address, "listening");
    }
    actix_web::rt::spawn(server.run());
    Ok(())
}

async fn answer(metrics: web::Data<Metrics>) -> HttpResponse {
    match metrics.encode().await {
        Ok(metrics) => HttpResponse::Ok().content_type(MEDIA_TYPE).body(metrics),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
