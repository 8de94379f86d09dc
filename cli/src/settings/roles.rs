//! Settings of the roles of a process.

use clap::{Args, ValueEnum};

use super::SettingsError;

/// The roles of a process.
#[derive(Args, Clone)]
pub(crate) struct Roles {
    /// The roles of `serve`, separated by commas: requests about files (`api`), uploads (`upload`),
    /// downloads (`download`) and background work (`worker`). Other requests are answered with 421.
    /// Default: all roles.
    #[arg(
        long,
        env = "FILESERVER_ROLE",
        global = true,
        value_delimiter = ',',
        value_name = "ROLES"
    )]
    role: Vec<Role>,

    /// Leave background work (copies, purging, sweeping) to other processes, as
    /// `--role api,upload,download` does.
    #[arg(long, env = "FILESERVER_NO_WORKER", global = true)]
    no_worker: bool,
}

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Requests about files.
    Api,
    /// Uploads.
    Upload,
    /// Downloads.
    Download,
    /// Background work.
    Worker,
}

impl Roles {
    /// Returns whether a process has a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        if role == Role::Worker && self.no_worker {
            return false;
        }
        self.role.is_empty() || self.role.contains(&role)
    }

    /// Returns whether a process serves other requests than those about its own state.
    pub(crate) fn serves(&self) -> bool {
        [Role::Api, Role::Upload, Role::Download]
            .into_iter()
            .any(|role| self.has(role))
    }

    /// The roles that serve requests.
    pub(crate) fn roles(&self) -> api::Roles {
        [
            (Role::Api, api::Role::Api),
            (Role::Upload, api::Role::Upload),
            (Role::Download, api::Role::Download),
        ]
        .into_iter()
        .filter_map(|(role, served)| self.has(role).then_some(served))
        .collect()
    }

    /// Refuses a worker that is both enabled and disabled.
    ///
    /// # Errors
    ///
    /// If `role` contains `worker`, and `no_worker` is set.
    pub(crate) fn refuse_contradiction(&self) -> Result<(), SettingsError> {
        if self.no_worker && self.role.contains(&Role::Worker) {
            return Err(SettingsError::new(
                "`role` contains `worker`, and `no_worker` contradicts it",
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
    fn a_process_has_all_roles_by_default() {
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
