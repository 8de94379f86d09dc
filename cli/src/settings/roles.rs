//! Which part of the work a process of `serve` does.

use clap::{Args, ValueEnum};

use super::SettingsError;

/// Which part of the work a process does.
#[derive(Args, Clone)]
pub(crate) struct Roles {
    /// What `serve` does: it answers requests about files (`api`), takes what is uploaded
    /// (`upload`), gives what is downloaded (`download`), and does what is done for no request
    /// (`worker`); several, separated by commas; unless given, all. Other requests are answered 421.
    #[arg(
        long,
        env = "FILESERVER_ROLE",
        global = true,
        value_delimiter = ',',
        value_name = "ROLES"
    )]
    role: Vec<Role>,

    /// Let other processes do what is not done for a request: copies, purging, sweeping; as
    /// `--role api,upload,download`.
    #[arg(long, env = "FILESERVER_NO_WORKER", global = true)]
    no_worker: bool,
}

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Requests about files.
    Api,
    /// Requests that upload one.
    Upload,
    /// Requests that download one.
    Download,
    /// What is done for no request.
    Worker,
}

impl Roles {
    /// Whether a process has a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        if role == Role::Worker && self.no_worker {
            return false;
        }
        self.role.is_empty() || self.role.contains(&role)
    }

    /// Whether it answers other requests than those about itself.
    pub(crate) fn serves(&self) -> bool {
        [Role::Api, Role::Upload, Role::Download]
            .into_iter()
            .any(|role| self.has(role))
    }

    /// The roles that answer requests.
    pub(crate) fn roles(&self) -> api::Roles {
        [
            (Role::Api, api::Role::Api),
            (Role::Upload, api::Role::Upload),
            (Role::Download, api::Role::Download),
        ]
        .into_iter()
        .filter_map(|(role, answers)| self.has(role).then_some(answers))
        .collect()
    }

    /// Refuses a worker that is both enabled and disabled.
    pub(crate) fn refuse_contradiction(&self) -> Result<(), SettingsError> {
        if self.no_worker && self.role.contains(&Role::Worker) {
            return Err(SettingsError::new(
                "`role` has `worker`, and `no_worker` says the opposite",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(role: &[Role], no_worker: bool) -> Roles {
        Roles {
            role: role.to_vec(),
            no_worker,
        }
    }

    #[test]
    fn a_process_does_everything_unless_told() {
        let all = [Role::Api, Role::Upload, Role::Download, Role::Worker];
        assert!(all.into_iter().all(|role| roles(&[], false).has(role)));
        let without = roles(&[], true);
        assert!(!without.has(Role::Worker) && without.has(Role::Api) && without.serves());
        let worker = roles(&[Role::Worker], false);
        assert!(worker.has(Role::Worker) && !worker.serves());
        let two = roles(&[Role::Api, Role::Upload], true);
        assert!(two.refuse_contradiction().is_ok() && !two.has(Role::Download));
        assert!(roles(&[Role::Worker], true).refuse_contradiction().is_err());
    }
}
