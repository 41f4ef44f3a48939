//! Reading the configuration again while calls are up (`crate::manual::operations`).
//!
//! The file is read and checked aside, with all files that it refers to; what it changes is
//! decided by [`changes`], and only then anything is applied, all of it at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tracing::{error, info, warn};

use super::changes::{self, Changes};
use super::control::Mailbox;
use super::engine::Reconfiguration;
use super::loggers::{self, Maker};
use super::servers::until;
use super::setup;
use super::signals::Hangups;
use super::users;
use crate::config::{self, Config, LoadError};
use crate::hook::http::{Gate, Token};
use crate::hook::ng::allow::{AllowList, Allowed};
use crate::hook::{Fault, Reload, ReloadFailure, Reloaded};
use crate::logger::service::Handle;
use crate::logger::users::{Access, Primary};
use crate::migration::identity::SystemName;
use crate::telemetry;

/// Where a service has its configuration from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The file; `None`: defaults, and nothing can be read again.
    pub file: Option<PathBuf>,
    /// The log filter was given on the command line: that of the file does not count.
    pub own_filter: bool,
    /// SIGHUP reads the file again.
    pub on_hangup: bool,
}

/// Reads the configuration of a running service again. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Reloader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Origin,
    /// In force now; held while one is read, so that two do not mix.
    force: Mutex<Config>,
    gate: Gate,
    parts: Parts,
}

/// What there is to be told.
#[derive(Debug)]
pub(super) enum Parts {
    /// A relay.
    Relay {
        /// The way to its engine.
        mailbox: Mailbox,
        /// Who may send NG requests.
        allowed: Allowed,
        /// Makes loggers for its mirrors.
        maker: Maker,
    },
    /// A logger that runs alone.
    Logger {
        /// The logger itself.
        handle: Handle,
        /// The users of this system, if they are kept.
        users: Option<Primary>,
    },
}

/// A file that is good, with what it refers to.
struct Fresh {
    config: Config,
    /// The token of the HTTP door.
    token: Option<String>,
    loggers: loggers::Tokens,
    /// Tokens of partners, for a logger that keeps users.
    partners: users::Tokens,
}

impl Reloader {
    /// For a service that was started with this configuration.
    pub(super) fn new(origin: Origin, config: Config, gate: Gate, parts: Parts) -> Self {
        Self(Arc::new(Inner {
            origin,
            force: Mutex::new(config),
            gate,
            parts,
        }))
    }

    /// Reads the file again at each SIGHUP until told to stop.
    pub(super) async fn at(self, mut hangups: Hangups, stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = until(stopping.clone()) => return,
                () = hangups.next() => {
                    info!("SIGHUP: reading the configuration again");
                    // Said in the log already.
                    drop(self.reload().await);
                }
            }
        }
    }

    async fn read_and_apply(&self) -> Result<Reloaded, ReloadFailure> {
        let mut force = self.0.force.lock().await;
        let path = self.0.origin.file.clone().ok_or(ReloadFailure::NoFile)?;
        let users = self.users().is_some();
        let reading = tokio::task::spawn_blocking(move || read(&path, users));
        let fresh = reading.await.map_err(|_| ReloadFailure::Busy)??;
        let (config, Changes { applied, restart }) = match &self.0.parts {
            Parts::Relay { .. } => changes::of_relay(&force, &fresh.config),
            Parts::Logger { .. } => changes::of_logger(&force, &fresh.config),
        };
        let mut reloaded = Reloaded { applied, restart };
        let access = self.access(&config, &fresh)?;
        self.apply(&force, &config, &fresh, &mut reloaded).await?;
        if let (Some(primary), Some(access)) = (self.users(), access) {
            let same_file =
                |system: &SystemName| file_of(&force, system) == file_of(&config, system);
            let renewed = access.renewed(&primary.access()).into_iter();
            let renewed = renewed.filter(same_file);
            let renewed = renewed.map(|system| format!("partner[{system}].token_file: read"));
            reloaded.applied.extend(renewed);
            primary.renew(users::terms(&config.partners), access);
        }
        *force = config;
        Ok(reloaded)
    }

    fn users(&self) -> Option<&Primary> {
        match &self.0.parts {
            Parts::Relay { .. } => None,
            Parts::Logger { users, .. } => users.as_ref(),
        }
    }

    /// Whom the doors for partners know from now on, if there are any.
    fn access(&self, new: &Config, fresh: &Fresh) -> Result<Option<Access>, ReloadFailure> {
        let Some(primary) = self.users() else {
            return Ok(None);
        };
        let in_force = |(system, _): &&(SystemName, String)| file_of(new, system).is_some();
        let partners = fresh.partners.iter().filter(in_force).cloned();
        let partners: users::Tokens = partners.collect();
        let access = match new.http.token_file == fresh.config.http.token_file {
            true => Access::new(fresh.token.as_deref(), &partners),
            // That of the operator waits for a start.
            false => primary.access().with_partners(&partners),
        };
        let file = self.0.origin.file.as_ref();
        let access = access.map_err(|text| ReloadFailure::Mistakes {
            file: file.map_or_else(String::new, |file| file.display().to_string()),
            faults: vec![fault("partner.token_file".to_owned(), text)],
        });
        access.map(Some)
    }

    /// Tells all parts. Nothing here can fail but for a service that stops.
    async fn apply(
        &self,
        old: &Config,
        new: &Config,
        fresh: &Fresh,
        reloaded: &mut Reloaded,
    ) -> Result<(), ReloadFailure> {
        match &self.0.parts {
            Parts::Relay {
                mailbox,
                allowed,
                maker,
            } => {
                let wanted = Reconfiguration {
                    // The core keeps its instance.
                    core: setup::core_settings(new, String::new()),
                    system: new.relay.system.clone(),
                    agreements: new.agreements.clone(),
                    loggers: loggers::wanted(&new.loggers, &fresh.loggers),
                    maker: maker.clone(),
                };
                let told = mailbox.with(move |engine| engine.reconfigure(wanted));
                let renewed = told.await.map_err(|_| ReloadFailure::Busy)?;
                let renewed = renewed.into_iter();
                let renewed =
                    renewed.map(|name| format!("logger[{name}].announce_token_file: read"));
                reloaded.applied.extend(renewed);
                allowed.set(AllowList::only(new.ng.allow.iter().copied()));
            }
            Parts::Logger { handle, .. } => {
                if old.archive.relays != new.archive.relays {
                    handle.hear_only(setup::logger_settings(new, true).relays);
                }
            }
        }
        // What the file in force does not name (it waits for a start) is not taken over.
        let same_file = new.http.token_file == fresh.config.http.token_file;
        let token = fresh.token.as_deref().map(Token::new);
        if same_file && self.0.gate.set(token) && old.http.token_file == new.http.token_file {
            reloaded.applied.push("http.token_file: read".to_owned());
        }
        if !self.0.origin.own_filter {
            // The check of the file has read it.
            drop(telemetry::log::refilter(&new.log.filter));
        }
        Ok(())
    }
}

impl Reload for Reloader {
    async fn reload(&self) -> Result<Reloaded, ReloadFailure> {
        let reloader = self.clone();
        // To its end, even if the client that asked for it goes away in between.
        let whole = tokio::spawn(async move { reloader.read_and_apply().await });
        let outcome = whole.await.unwrap_or(Err(ReloadFailure::Busy));
        log(&outcome);
        outcome
    }
}

fn log(outcome: &Result<Reloaded, ReloadFailure>) {
    match outcome {
        Ok(Reloaded { applied, restart }) => {
            info!(
                applied = applied.len(),
                at_next_start = restart.len(),
                "configuration reloaded"
            );
            for change in applied {
                info!("in force now: {change}");
            }
            for change in restart {
                warn!("takes effect at the next start: {change}");
            }
        }
        Err(ReloadFailure::Mistakes { file, faults }) => {
            let mistakes = faults.len();
            error!(
                file,
                mistakes, "configuration not reloaded, nothing was changed"
            );
            for fault in faults {
                error!("mistake: {fault}");
            }
        }
        Err(failure @ (ReloadFailure::NoFile | ReloadFailure::Busy)) => {
            warn!("configuration not reloaded: {failure}");
        }
    }
}

/// The token file of a partner.
fn file_of<'a>(config: &'a Config, system: &SystemName) -> Option<&'a Path> {
    let mut partners = config.partners.iter();
    let found = partners.find(|partner| partner.terms.system == *system);
    found.map(|partner| partner.token_file.as_path())
}

/// Reads a file and all that it refers to, with `users` also what partners show; every mistake is
/// named.
fn read(path: &Path, users: bool) -> Result<Fresh, ReloadFailure> {
    let mistakes = |faults| ReloadFailure::Mistakes {
        file: path.display().to_string(),
        faults,
    };
    let config = config::load(path).map_err(|error| mistakes(faults(error)))?;
    let mut wrong = Vec::new();
    let token = config.http.token().unwrap_or_else(|text| {
        wrong.push(fault("http.token_file".to_owned(), text));
        None
    });
    let loggers = loggers::tokens(&config.loggers).unwrap_or_else(|faults| {
        wrong.extend(faults.into_iter().map(|(key, text)| fault(key, text)));
        loggers::Tokens::default()
    });
    let partners = match users {
        true => users::tokens(&config.partners),
        false => Ok(users::Tokens::new()),
    };
    let partners = partners.unwrap_or_else(|faults| {
        wrong.extend(faults.into_iter().map(|(key, text)| fault(key, text)));
        users::Tokens::new()
    });
    match wrong.is_empty() {
        true => Ok(Fresh {
            config,
            token,
            loggers,
            partners,
        }),
        false => Err(mistakes(wrong)),
    }
}

fn faults(error: LoadError) -> Vec<Fault> {
    match error {
        LoadError::Mistakes { mistakes, .. } => mistakes
            .into_iter()
            .map(|mistake| Fault {
                line: mistake.line,
                key: mistake.key,
                text: mistake.text,
            })
            .collect(),
        LoadError::Read { .. } => vec![fault(String::new(), error.to_string())],
    }
}

fn fault(key: String, text: String) -> Fault {
    Fault {
        line: None,
        key,
        text,
    }
}
