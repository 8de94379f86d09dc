//! A stand-in for Alibaba Cloud's OSS that the tests use.
//!
//! It has one bucket, verifies every signature, stores the objects in a folder, and injects faults
//! on request. It refuses the operations of OSS that it does not implement, and versions of objects.

mod checksum;
mod error;
mod faults;
mod link;
mod listing;
mod multipart;
mod objects;
mod receive;
mod request;
mod service;
mod signature;
mod store;
mod xml;

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, web};
use clap::Parser;

use crate::{faults::Faults, link::Link, service::Service, signature::Key, store::Store};

/// A stand-in for OSS.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on. Port 0 selects a free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The address to listen on for fault injection.
    #[arg(long)]
    control: Option<SocketAddr>,
    /// The folder for all data.
    #[arg(long)]
    folder: PathBuf,
    /// The access key's ID.
    #[arg(long, env = "OSS_ACCESS_KEY_ID")]
    access_key_id: String,
    /// The access key's secret.
    #[arg(long, env = "OSS_ACCESS_KEY_SECRET", hide_env_values = true)]
    access_key_secret: String,
    /// The bucket's name.
    #[arg(long, default_value = "bucket")]
    bucket: String,
    /// The maximum bytes per second, in each direction. Unlimited by default.
    #[arg(long)]
    bytes_per_second: Option<u32>,
    /// The number of worker threads.
    #[arg(long, default_value_t = 4)]
    workers: usize,
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let faults = Arc::new(Faults::new());
    let service = web::Data::new(Service {
        bucket: arguments.bucket,
        key: Key {
            id: arguments.access_key_id,
            secret: arguments.access_key_secret,
        },
        store: Store::open(&arguments.folder)?,
        faults: Arc::clone(&faults),
        inward: Link::new(arguments.bytes_per_second),
        outward: Link::new(arguments.bytes_per_second),
    });
    let listener = TcpListener::bind(arguments.listen)?;
    let mut lines = format!("listening on http://{}\n", listener.local_addr()?);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(service.clone())
            .default_service(web::to(service::answer))
    })
    .workers(arguments.workers)
    .keep_alive(Duration::from_secs(75))
    .tcp_nodelay(true)
    .shutdown_timeout(0)
    .on_connect(service::connected)
    .listen(listener)?
    .run();
    let control = match arguments.control {
        None => None,
        Some(address) => {
            let listener = TcpListener::bind(address)?;
            lines += "control on http://";
            lines += &listener.local_addr()?.to_string();
            lines.push('\n');
            let faults = web::Data::from(faults);
            let control = HttpServer::new(move || {
                App::new()
                    .app_data(faults.clone())
                    .configure(faults::configure)
            });
            let control = control.workers(1).shutdown_timeout(0).listen(listener)?;
            Some(control.run())
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()?;
    drop(out);
    match control {
        None => server.await,
        Some(control) => tokio::try_join!(server, control).map(drop),
    }
}
