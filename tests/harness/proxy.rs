//! A network between the service and its database that can be cut.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Carries connections to a server, until it is told not to.
pub struct Proxy {
    url: String,
    cut: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// Stands before the server of a database's URL.
    pub async fn before(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        let (address, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(watch::channel(false).0);
        tokio::spawn(carry(listener, address.to_owned(), Arc::clone(&cut)));
        Self {
            url: format!("{scheme}://{user}@127.0.0.1:{port}/{name}"),
            cut,
        }
    }

    /// What the service connects to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Breaks all connections, and takes no new ones.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

async fn carry(listener: TcpListener, address: String, cut: Arc<watch::Sender<bool>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        if *cut.borrow() {
            continue;
        }
        let (address, mut is_cut) = (address.clone(), cut.subscribe());
        tokio::spawn(async move {
            let mut server = TcpStream::connect(address).await?;
            tokio::select! {
                carried = copy_bidirectional(&mut client, &mut server) => carried.map(drop),
                _ = is_cut.wait_for(|cut| *cut) => Ok(()),
            }
        });
    }
}
