//! The state of a database that has several servers: a primary and its replicas.

use std::time::Duration;

/// The state of a database server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatus {
    /// The host and the port.
    pub name: String,
    /// True if writes go to this server.
    pub is_primary: bool,
    /// True if the server answers.
    pub is_reachable: bool,
    /// True if reads may go to this server: the primary, or a replica in sync with it.
    pub is_readable: bool,
    /// The upper bound of the lag behind the primary; `None` if the server was never known to be in
    /// sync.
    pub lag: Option<Duration>,
}

/// The state of all servers of the database.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaSetStatus {
    /// The servers, in the order of the settings.
    pub servers: Vec<ServerStatus>,
    /// The number of statements that replicas answered.
    pub reads_from_replicas: u64,
    /// The number of statements that the primary answered although replicas may answer them.
    pub reads_from_primary: u64,
}
