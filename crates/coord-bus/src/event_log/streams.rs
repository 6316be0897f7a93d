//! Which streams there are: what is asked, and what is answered.

use jiff::Timestamp;

/// Which streams to list, in which order, and how many.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # use coord_bus::{AppendTo, Record};
/// use coord_bus::{EventLog, MemoryEventLog, StreamQuery};
///
/// let log = MemoryEventLog::new();
/// # for name in ["a", "b", "c"] {
/// #     log.append(AppendTo::stream(name).record(Record::new("began", ""))).await?;
/// # }
/// let mut query = StreamQuery::newest_first().open().limit(2);
/// let mut names = Vec::new();
/// loop {
///     let page = log.streams(&query).await?;
///     let Some(last) = page.last() else { break };
///     query = query.after(last);
///     names.extend(page.into_iter().map(|stream| stream.name));
/// }
/// assert_eq!(names, ["c", "b", "a"]);
/// # Ok::<(), coord_bus::EventLogError>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamQuery {
    /// In which order, and from where on.
    pub order: StreamOrder,
    /// Whether to leave out those that are closed; `false` by default.
    pub only_open: bool,
    /// How many at most; [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) by default.
    pub limit: usize,
}

/// In which order streams are listed, and from where on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamOrder {
    /// Sorted by the bytes of their names.
    Name {
        /// Only those that come after this name, which no stream need have.
        after: Option<String>,
    },
    /// Those that began last come first.
    NewestFirst {
        /// Only those whose number is smaller.
        before: Option<u64>,
    },
}

impl StreamQuery {
    /// How many streams are listed at most where nothing else is said: a page of some 100 kilobytes.
    pub const DEFAULT_LIMIT: usize = 1_000;

    /// All streams, sorted by the bytes of their names.
    pub fn by_name() -> Self {
        Self::in_order(StreamOrder::Name { after: None })
    }

    /// All streams, those that began last first.
    pub fn newest_first() -> Self {
        Self::in_order(StreamOrder::NewestFirst { before: None })
    }

    fn in_order(order: StreamOrder) -> Self {
        Self {
            order,
            only_open: false,
            limit: Self::DEFAULT_LIMIT,
        }
    }

    /// Only those that are not closed.
    pub fn open(mut self) -> Self {
        self.only_open = true;
        self
    }

    /// At most so many.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Only those that come after this one in the order asked for: with the last one of a page,
    /// what belongs on the next. It need not be there any more.
    pub fn after(mut self, last: &StreamInfo) -> Self {
        self.order = match self.order {
            StreamOrder::Name { .. } => StreamOrder::Name {
                after: Some(last.name.clone()),
            },
            StreamOrder::NewestFirst { .. } => StreamOrder::NewestFirst {
                before: Some(last.number),
            },
        };
        self
    }
}

/// A stream, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// Larger than the number of every stream in the log that began before it. Of a stream that was forgotten it may
    /// be another's later, also of one with the same name.
    pub number: u64,
    /// The number of its last record.
    pub version: u64,
    /// When that was appended, by the log's clock.
    pub at: Timestamp,
    /// Whether that finished it.
    pub is_closed: bool,
    /// The stream that [needs](crate::AppendTo::needed_by) it, if one does.
    pub needed_by: Option<String>,
}
