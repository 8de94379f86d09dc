//! Attempts: every statement and transaction runs in bounded time and is retried after a lost race.

use std::{any::type_name_of_val, pin::pin, sync::Arc, time::Duration};

use domain::Backoff;
use sea_orm::{DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions};
use tokio::time::timeout;

use crate::{
    connection::Connection,
    error::{Error, Result},
    meter::{Operation, measured, note_retry},
};

/// The time limit of an operation with all its retries; after it, the database counts as
/// unreachable.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// The waits between retries after a deadlock or a lost race.
const RETRIES: Backoff = Backoff {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(400),
    tries: 12,
};

/// SQLite refuses a write in a transaction that began as a reader when another transaction has
/// written since; so the transaction begins as a writer. The other databases need no option.
pub(crate) const WRITING: TransactionOptions = TransactionOptions {
    isolation_level: None,
    access_mode: None,
    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
};

/// Runs a transaction: commits it if `work` succeeds, and rolls it back otherwise.
///
/// Begins again from the start after a lost race. `work` and the commit have a time limit each: a
/// commit that ran into its limit may still take effect.
///
/// `work` gets a shared handle rather than a reference: a future that borrows from the argument of a
/// closure cannot be proven to be `Send`. It must have dropped the handle when it completes.
pub(crate) async fn transact<T, W>(
    connection: &Connection,
    work: impl Fn(Arc<DatabaseTransaction>) -> W,
) -> Result<T>
where
    W: Future<Output = Result<T>>,
{
    let closure = type_name_of_val(&work);
    let run = || async {
        let transaction = Arc::new(connection.begin(WRITING).await?);
        let outcome = work(Arc::clone(&transaction)).await;
        let transaction = Arc::into_inner(transaction).ok_or_else(|| {
            let reason = "the work of a transaction must not keep its handle";
            DbErr::Custom(reason.to_owned())
        })?;
        Ok((transaction, outcome))
    };
    // Pinned here: each function that passes the future on would make room for it again.
    let retried = pin!(retried(Operation::Transaction, || async {
        let run = timeout(OPERATION_TIMEOUT, run()).await;
        let (transaction, outcome) = run.unwrap_or(Err(Error::TimedOut))?;
        end(transaction, outcome).await
    }));
    measured(Operation::Transaction, closure, retried).await
}

async fn end<T>(transaction: DatabaseTransaction, outcome: Result<T>) -> Result<T> {
    match outcome {
        Ok(value) => match timeout(OPERATION_TIMEOUT, transaction.commit()).await {
            Ok(Ok(())) => Ok(value),
            Ok(Err(error)) => Err(commit_error(error)),
            Err(_) => Err(Error::CommitUnknown(Box::new(Error::TimedOut))),
        },
        Err(error) => {
            // Nothing is left to do if the rollback fails: the server rolls back a transaction
            // that its client has abandoned.
            let _ = timeout(OPERATION_TIMEOUT, transaction.rollback()).await;
            Err(error)
        }
    }
}

/// Runs an operation in bounded time; begins again from the start after a lost race.
pub(crate) async fn attempt<T, E, O>(operation: impl Fn() -> O) -> Result<T>
where
    O: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    let closure = type_name_of_val(&operation);
    let bounded = pin!(async {
        timeout(OPERATION_TIMEOUT, retried(Operation::Statement, operation))
            .await
            .unwrap_or(Err(Error::TimedOut))
    });
    measured(Operation::Statement, closure, bounded).await
}

async fn retried<T, E, O>(kind: Operation, operation: impl Fn() -> O) -> Result<T>
where
    O: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    let mut failed = 0;
    loop {
        let error = match operation().await.map_err(Into::into) {
            Err(error) if error.is_lost_race() => error,
            outcome => return outcome,
        };
        failed += 1;
        let Some(wait) = RETRIES.wait(failed, getrandom::u32().unwrap_or(u32::MAX)) else {
            return Err(error);
        };
        note_retry(kind, failed);
        tracing::debug!(failed, ?wait, %error, "the database is busy, retrying");
        tokio::time::sleep(wait).await;
    }
}

fn commit_error(error: DbErr) -> Error {
    match Error::from(error) {
        // The database itself reported that it did not commit.
        refused @ (Error::Busy(_) | Error::Full(_)) => refused,
        unclear => Error::CommitUnknown(Box::new(unclear)),
    }
}
