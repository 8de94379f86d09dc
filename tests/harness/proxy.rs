//! A network between the service and its database that can be cut.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// The state of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
    LosesAnswersToCommits,
}

/// Forwards connections to a server, until they are cut.
pub struct Proxy {
    url: String,
    state: Arc<watch::Sender<State>>,
}

impl Proxy {
    /// Starts before the server of a database's URL.
    pub async fn before(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        let (address, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::channel(State::Whole).0);
        tokio::spawn(carry(listener, address.to_owned(), Arc::clone(&state)));
        Self {
            url: format!("{scheme}://{user}@127.0.0.1:{port}/{name}"),
            state,
        }
    }

    /// The URL that the service connects to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Breaks all connections, and accepts no new ones.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Forwards everything but the server's answer to a commit.
    pub fn lose_answers_to_commits(&self) {
        self.state.send_replace(State::LosesAnswersToCommits);
    }

    /// Accepts connections, and forwards everything, again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn carry(listener: TcpListener, address: String, state: Arc<watch::Sender<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        if *state.borrow() == State::Cut {
            continue;
        }
        let (address, mut is_cut) = (address.clone(), state.subscribe());
        tokio::spawn(async move {
            let server = TcpStream::connect(address).await?;
            let (mut from_server, to_server) = server.into_split();
            let (from_client, mut to_client) = client.into_split();
            let (deaf, mut is_deaf) = watch::channel(false);
            let asked = carry_questions(from_client, to_server, is_cut.clone(), deaf);
            let answered = async {
                let carried = tokio::select! {
                    carried = copy(&mut from_server, &mut to_client) => Some(carried),
                    _ = is_deaf.wait_for(|deaf| *deaf) => None,
                };
                match carried {
                    Some(carried) => carried.map(drop),
                    // The last answer is lost, and the connection stays open.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                carried = asked => carried,
                carried = answered => carried,
                _ = is_cut.wait_for(|state| *state == State::Cut) => Ok(()),
            }
        });
    }
}

async fn carry_questions(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    state: watch::Receiver<State>,
    deaf: watch::Sender<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = client.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        let question = &bytes[..length];
        // MySQL's statement ends with its packet, PostgreSQL's with a NUL.
        let commits = question.ends_with(b"COMMIT") || question.ends_with(b"COMMIT\0");
        if commits && *state.borrow() == State::LosesAnswersToCommits {
            deaf.send_replace(true);
        }
        server.write_all(question).await?;
    }
}
