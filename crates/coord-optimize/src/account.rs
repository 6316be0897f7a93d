//! What the streams of a topic share: settings that change, and a ledger.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::Settings;
use crate::ledger::{Ledger, LedgerHandle};

/// What became of the events of one topic, in all its streams that there are and have been; or of the
/// items of streams that are [watched](crate::EventStreamOptimizer::watch) under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamStats {
    /// The topic's name, or the name of what is watched.
    pub topic: String,
    /// The sum of its streams' ledgers: what three streams took counts three times.
    pub ledger: Ledger,
}

#[derive(Debug)]
pub(crate) struct Account<E> {
    settings: Mutex<Arc<Settings<E>>>,
    /// Another one whenever the settings are, so that streams see it without the lock.
    version: AtomicU64,
    pub(crate) ledger: LedgerHandle,
}

impl<E> Account<E> {
    pub(crate) fn new(ledger: LedgerHandle) -> Self {
        Self {
            settings: Mutex::default(),
            version: AtomicU64::new(0),
            ledger,
        }
    }

    /// Changes the settings, unless `change` refuses.
    pub(crate) fn update<Error>(
        &self,
        change: impl FnOnce(&Settings<E>) -> Result<Settings<E>, Error>,
    ) -> Result<(), Error> {
        let mut settings = self.settings();
        *settings = Arc::new(change(&settings)?);
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Arc<Settings<E>>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's view of a topic's settings.
#[derive(Debug)]
pub(crate) struct Follower<E> {
    account: Arc<Account<E>>,
    version: u64,
    settings: Arc<Settings<E>>,
}

impl<E> Follower<E> {
    pub(crate) fn new(account: Arc<Account<E>>) -> Self {
        // In this order: what changes in between is seen at the next look.
        let version = account.version.load(Ordering::Acquire);
        let settings = Arc::clone(&account.settings());
        Self {
            account,
            version,
            settings,
        }
    }

    /// The settings as they are now.
    pub(crate) fn look(&mut self) -> &Settings<E> {
        let version = self.account.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            self.settings = Arc::clone(&self.account.settings());
        }
        &self.settings
    }

    /// The settings as they were at the last look.
    pub(crate) fn settings(&self) -> &Arc<Settings<E>> {
        &self.settings
    }
}
