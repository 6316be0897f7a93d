//! A journal that is open: its threads, and what it does as an event log and a keeper of leases.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::Clock;
use coord_bus::{
    AppendTo, Appended, BoxFuture, Durability, EventLog, EventLogError, Grant, Held, Lease,
    LeaseError, StoredRecord, StreamInfo, StreamQuery, Tail, check_lease_name, check_stream_name,
};

use rusqlite::config::DbConfig;

use crate::check::{CheckReport, check};
use crate::copied::Copied;
use crate::files::{Connected, Files};
use crate::lease_clock::LeaseClock;
use crate::leases::{self, Counters};
use crate::place::Place;
use crate::presence::Presence;
use crate::readers::Readers;
use crate::reading::Reading;
use crate::retention::Search;
use crate::store::{Access, Fault, Store};
use crate::synced;
use crate::tails::{JournalTail, Tails};
use crate::watch::Watch;
use crate::writer::append::Append;
use crate::writer::lease::{Acquire, Release, Renew};
use crate::writer::tidy::{Forget, Remove, Shrink};
use crate::writer::{Course, Writer};
use crate::{
    Compaction, Damage, JournalError, JournalOptions, Retention, export, records, schema, streams,
};

/// An [`EventLog`] and a keeper of [`Lease`]s in a directory of their own.
///
/// Any number of processes may have the same journal open, and one process any number of times.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use coord_bus::{AppendTo, EventLog, ExpectedVersion, Record};
/// use coord_journal::Journal;
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("journal");
/// let journal = Journal::open(&dir)?;
/// let start = AppendTo::stream("run-1")
///     .expecting(ExpectedVersion::Empty)
///     .record(Record::new("started", "{}"));
/// journal.append(start).await?; // it is on the disk now
/// drop(journal);
///
/// let journal = Journal::open(&dir)?;
/// assert_eq!(journal.read("run-1", 1, 10).await?[0].record.kind, "started");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Leases
///
/// As [`Lease`] says, and more: a lease ends with the journal through which it was acquired, or
/// renewed last. When that is dropped, or its process ends by whatever means, `kill -9` too,
/// [`acquire`](Lease::acquire) and [`current`](Lease::current) say at once that it is free, and the
/// next grant has a larger token. Who asks pays for it with opening and trying to lock a file, and only
/// where another journal holds the lease. Leases of schema version 1 run out by their time alone.
///
/// # Dropping it
///
/// What has been accepted is written, the leases that were acquired through it end, tails give what there is and end, and the threads are joined,
/// which may take as long as a transaction, or as another process writes.
pub struct Journal {
    // In this order they go: what may still write, then what reads.
    watch: Watch,
    /// `None` where the journal is only read.
    writer: Option<Writer>,
    readers: Arc<Readers>,
    tails: Arc<Tails>,
    clock: Arc<dyn Clock>,
    lease_clock: Arc<LeaseClock>,
    presence: Arc<Presence>,
    store: Arc<Store>,
    durability: Durability,
    /// That of the write-ahead log, where what is whole is to be saved.
    damage: Option<Damage>,
    /// Why it is only read, where that is so.
    denied: Option<JournalError>,
}

impl Journal {
    /// Opens the journal in a directory, which is made if it is not there; its parents, too. Tables
    /// of an earlier version are brought up to this one.
    ///
    /// The directory must be the journal's own: it becomes its owner's alone (mode 0700, and 0600
    /// for the files), so one that has other things in it is refused.
    ///
    /// Blocks for a few milliseconds, however much is in the journal; longer while another process
    /// opens it.
    ///
    /// # Errors
    ///
    /// When the directory or the files cannot be made or opened, or are not those of a journal, or
    /// of a later version, or damaged: each has its [`JournalError`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::open_with(dir.as_ref(), &JournalOptions::new())
    }

    pub(crate) fn open_with(dir: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        let place = Place::prepare(dir, options)?;
        let verified = match options.untouched {
            true => Ok((None, None)),
            false => verified(&place.file),
        };
        let (synced, mut damage) = verified.map_err(|source| JournalError::Io {
            file: place.file.clone(),
            source: Arc::new(source),
        })?;
        let mut denied = place.denied().map(|source| JournalError::ReadOnly {
            file: place.file.clone(),
            source,
        });
        let mut store = Store {
            file: place.file.clone(),
            access: match denied {
                None => Access::Whole,
                Some(_) if options.untouched => Access::Untouched,
                Some(_) => Access::ReadOnly,
            },
            busy_timeout: options.busy_timeout,
            keeps_log: damage.is_some() || options.untouched,
            files: Arc::new(Files::of(&place.file)),
        };
        if let (Some(damage), false) = (&damage, options.salvages) {
            return Err(store.error(damage.clone().into()));
        }
        let known = match &damage {
            Some(_) => Known::Damaged,
            None => Known::Synced(synced),
        };
        let opened = match first(&store, known) {
            // Nobody has it open, or its tables are of an earlier version.
            Err(JournalError::ReadOnly { .. }) if denied.is_some() && !options.untouched => {
                copied(&mut store, known)
            }
            // Nobody has it open, and there is no room to be beside those who may come.
            Err(full @ JournalError::DiskFull { .. }) if options.or_read_only => {
                denied = Some(full);
                copied(&mut store, known)
            }
            opened => opened,
        };
        let connection = match opened {
            Err(behind) if options.salvages && behind.is_behind() => {
                damage = behind.damage().cloned();
                store.keeps_log = true;
                // Of a journal that is new, not even the tables may be there.
                first(&store, Known::Damaged).map_err(|_| behind)
            }
            opened => opened,
        }?;
        // Which ones they are, as long as nobody else opens it.
        store.files.look();
        drop(place);
        let store = Arc::new(store);

        let tails = Arc::new(Tails::default());
        let lease_clock = Arc::new(LeaseClock::new(Arc::clone(&options.clock)));
        let presence = Arc::new(Presence::new(store.dir(), !options.untouched));
        let course = Course {
            clock: Arc::clone(&options.clock),
            lease_clock: Arc::clone(&lease_clock),
            presence: Arc::clone(&presence),
            tails: Arc::clone(&tails),
            durability: options.durability,
        };
        let no_thread = |source| JournalError::Io {
            file: store.file.clone(),
            source: Arc::new(source),
        };
        let found = damage.clone();
        let writer = (denied.is_none())
            .then(|| Writer::start(Arc::clone(&store), connection, course, options, found))
            .transpose();
        let readers = Readers::start(Arc::clone(&store)).map_err(no_thread)?;
        Ok(Self {
            watch: Watch::new(Arc::clone(&store), Arc::clone(&tails)),
            writer: writer.map_err(no_thread)?,
            readers: Arc::new(readers),
            tails,
            clock: Arc::clone(&options.clock),
            lease_clock,
            presence,
            durability: options.durability,
            damage,
            denied,
            store,
        })
    }

    /// Whether it is only read, as [`JournalOptions::or_read_only`] allows, or [`JournalOptions::only_to_read`] asks for.
    pub fn is_read_only(&self) -> bool {
        self.denied.is_some()
    }

    fn writer(&self) -> Result<&Writer, JournalError> {
        let denied = || self.denied.clone().unwrap_or_else(|| self.store.closed());
        self.writer.as_ref().ok_or_else(denied)
    }

    /// Looks at everything that is in the journal, and names what is not as it was written: each
    /// record and entry by its checksum, and the file by SQLite's own check.
    ///
    /// Others may go on appending meanwhile. Takes about as long as reading the whole file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read at all. Damage is no error here: it is what the report is about.
    pub async fn check(&self) -> Result<CheckReport, JournalError> {
        let store = Arc::clone(&self.store);
        // What was copied, or is read without a lock, may be behind what others have written since.
        let is_compared =
            self.damage.is_none() && matches!(store.access, Access::Whole | Access::ReadOnly);
        let checked = self.readers.read(move |connection| {
            let synced = match is_compared {
                true => synced::position(&store.file).map_err(Fault::Note)?,
                false => None,
            };
            check(connection, synced)
        });
        let mut report = checked.await?;
        report.extend(self.damage.clone());
        Ok(report)
    }

    /// Writes every record as a line of JSON, stream by stream in the order of their names: `stream`,
    /// `version`, `at`, `kind`, `payload` (or `payload_hex`, where it is not UTF-8) and `hash`. How
    /// many they are. Each is verified before it is written.
    ///
    /// Blocks until it is done: from within async code, call it on a thread of its own.
    ///
    /// # Errors
    ///
    /// When a record is damaged: the first damage, once all that is whole has been written. Of a
    /// stream that is all before the damage. [`check`](Self::check) names every damage. Also when
    /// something cannot be read or written, and then what came before it has been written.
    pub fn export(&self, mut out: impl Write) -> Result<u64, JournalError> {
        let records = export::all(&self.store, &*self.connect_to_read()?, &mut out)?;
        self.undamaged(records)
    }

    /// As [`export`](Self::export), of one stream. No record where there is no such stream.
    ///
    /// # Errors
    ///
    /// As [`export`](Self::export).
    pub fn export_stream(&self, stream: &str, mut out: impl Write) -> Result<u64, JournalError> {
        let records = export::one(&self.store, &*self.connect_to_read()?, stream, &mut out)?;
        self.undamaged(records)
    }

    /// Not where the log is damaged: then it is not all that there was.
    fn undamaged(&self, records: u64) -> Result<u64, JournalError> {
        match &self.damage {
            Some(damage) => Err(self.store.error(damage.clone().into())),
            None => Ok(records),
        }
    }

    fn connect_to_read(&self) -> Result<Connected, JournalError> {
        let connection = self.store.connect_to_read();
        connection.map_err(|fault| self.store.error(fault))
    }

    /// The directory of the journal, from the root: what belongs to it and is not in it may be kept
    /// there, under names that do not begin with `journal` or `holders`.
    pub fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// A copy of the lock by which others see that this journal is open. As long as any process has
    /// it, the leases of this journal are not taken for those of a dead process, though this one was
    /// killed: for a process beside it that has something to end first, and is given this as one of
    /// its standard streams. The leases have their time, as ever.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be made.
    pub fn presence(&self) -> Result<File, JournalError> {
        self.writer()?;
        self.presence.share()
    }

    /// Forgets the closed streams that a retention does not keep, those closed first before others,
    /// a few in each transaction, so that appends go on meanwhile. How many they were. What is closed meanwhile
    /// is for the next time.
    ///
    /// It costs what is forgotten, and what is passed by as it is needed. To find out which are the
    /// [newest](Retention::keep_newest) it goes along those of their names, so by then along those that are kept. No write waits
    /// for the search.
    ///
    /// # Errors
    ///
    /// As for an append. What is forgotten by then is forgotten.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has forgotten some of them; call it again.
    pub async fn retain(&self, retention: Retention) -> Result<u64, JournalError> {
        let (writer, now) = (self.writer()?, self.clock.now());
        let begin = move |connection: &_| Search::begin(connection, retention, now);
        let mut search = self.readers.read(begin).await?;
        let mut forgotten = 0;
        while !search.is_over {
            let (found, next) = self
                .readers
                .read(move |connection| Ok((search.next(connection)?, search)))
                .await?;
            search = next;
            if !found.is_empty() {
                forgotten += writer.submit(Remove(found)).await?;
            }
        }
        Ok(forgotten)
    }

    /// How large the journal is, in bytes: its file, and the write-ahead log.
    ///
    /// # Errors
    ///
    /// When the file system does not say.
    pub fn bytes(&self) -> Result<u64, JournalError> {
        self.store.bytes()
    }

    /// Gives free space back to the file system, a few megabytes in each transaction, so that
    /// appends go on meanwhile, and empties the write-ahead log. For who writes or reads meanwhile it
    /// waits no longer than the [busy timeout](JournalOptions::busy_timeout).
    ///
    /// # Errors
    ///
    /// As for an append.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has given back some of it; call it again.
    pub async fn compact(&self) -> Result<Compaction, JournalError> {
        let bytes_before = self.store.bytes()?;
        let mut left = u64::MAX;
        loop {
            let still = self.writer()?.submit(Shrink).await?;
            // Where others free pages meanwhile, there is no end to wait for.
            if still == 0 || still >= left {
                break;
            }
            left = still;
        }
        let emptied = self.readers.read(|connection| {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            Ok(connection.query_row(sql, (), |row| row.get::<_, i64>(0))?)
        });
        let is_whole = emptied.await? == 0;
        Ok(Compaction {
            bytes_before,
            bytes_after: self.store.bytes()?,
            is_whole,
        })
    }
}

/// What is known of a journal before SQLite sees it.
#[derive(Clone, Copy)]
enum Known {
    /// How far it had come when it was synced, if that was noted.
    Synced(Option<u64>),
    /// That its log is damaged.
    Damaged,
}

/// How far a journal had come when it was synced, and what is wrong in its log.
fn verified(file: &Path) -> io::Result<(Option<u64>, Option<Damage>)> {
    Ok((synced::position(file)?, synced::verify(file)?))
}

/// The first connection to a copy of a journal, to which the store leads from now on.
fn copied(store: &mut Store, known: Known) -> Result<Connected, JournalError> {
    let copied = Copied::of(&store.file).map_err(|source| JournalError::Io {
        file: store.file.clone(),
        source: Arc::new(source),
    })?;
    store.access = Access::Copied(copied);
    first(store, known)
}

/// The first connection to a journal, whose tables are what they are to be then.
fn first(store: &Store, known: Known) -> Result<Connected, JournalError> {
    let mut connection = store.connect().map_err(|fault| store.error(fault))?;
    let prepared = match known {
        Known::Damaged => schema::verify(&connection).map_err(|fault| store.error(fault)),
        _ if matches!(store.access, Access::Untouched) => schema::look(store, &connection),
        Known::Synced(synced) => schema::prepare(store, &mut connection, synced),
    };
    if prepared.as_ref().is_err_and(JournalError::is_behind) {
        // So that what is left of the log is there for who puts the rest back.
        let keeps_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        let _ = connection.set_db_config(keeps_log, true);
    }
    prepared.map(|()| connection)
}

impl EventLog for Journal {
    fn append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async move {
            check_stream_name(&append.stream)?;
            if let Some(by) = &append.needed_by {
                check_stream_name(by)?;
            }
            let bytes = append.records.iter().map(records::bytes).max();
            if let Some(bytes) = bytes.filter(|bytes| *bytes > records::MAX_RECORD_BYTES) {
                let file = self.store.file.clone();
                return Err(JournalError::TooLarge { file, bytes }.into());
            }
            self.writer()?.submit(Append(append)).await?
        })
    }

    fn read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        Box::pin(async move {
            check_stream_name(stream)?;
            let stream = stream.to_owned();
            let read = self.readers.read(move |connection| {
                let page = records::page(connection, &stream, from, limit, usize::MAX)?;
                Ok(page.into_iter().map(|verified| verified.stored).collect())
            });
            Ok(read.await?)
        })
    }

    fn streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>> {
        Box::pin(async move {
            let query = query.clone();
            let list = move |connection: &_| streams::list(connection, &query);
            Ok(self.readers.read(list).await?)
        })
    }

    fn tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError> {
        check_stream_name(stream)?;
        let (tails, readers) = (Arc::clone(&self.tails), Arc::clone(&self.readers));
        let tail = JournalTail::begin(tails, readers, stream.to_owned(), from);
        self.watch.rouse().map_err(|source| EventLogError::Failed {
            source: Box::new(source),
        })?;
        Ok(Box::pin(tail))
    }

    fn forget<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<bool, EventLogError>> {
        Box::pin(async move {
            check_stream_name(stream)?;
            self.writer()?.submit(Forget(stream.to_owned())).await?
        })
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn max_record_bytes(&self) -> Option<usize> {
        Some(records::MAX_RECORD_BYTES)
    }
}

impl Lease for Journal {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        Box::pin(async move {
            check_lease_name(name)?;
            let acquire = Acquire {
                name: name.to_owned(),
                holder: holder.to_owned(),
                ttl,
            };
            self.writer()?.submit(acquire).await?
        })
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move {
            let grant = grant.clone();
            self.writer()?.submit(Renew { grant, ttl }).await?
        })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async move { self.writer()?.submit(Release { grant }).await? })
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        Box::pin(async move {
            check_lease_name(name)?;
            let (name, clock) = (name.to_owned(), Arc::clone(&self.lease_clock));
            let presence = Arc::clone(&self.presence);
            let current = self.readers.read(move |connection| {
                let transaction = Reading::begin(connection)?;
                let now = clock.now_after(Counters::read(&transaction)?.latest);
                let tenure = leases::find(&transaction, &name)?;
                Ok(tenure.and_then(|tenure| tenure.held(now, &presence)))
            });
            Ok(current.await?)
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // What it has accepted is there before the tails are told that there will be no more.
        self.writer = None;
        self.presence.leave();
        self.tails.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Journal")
            .field("file", &self.store.file)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
