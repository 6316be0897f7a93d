//! What is kept of a run: whether its outputs are written to a journal, and how.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plan::Output;
use crate::{AttemptError, StepError};

/// Runs of a workflow live in memory, and end with their process. Its outputs may be of any type.
#[derive(Debug)]
pub struct Volatile;

/// Runs of a workflow are kept in a journal, and outlive their process. Its outputs are written as
/// JSON, so they are [`Serialize`] and [`DeserializeOwned`].
///
/// What is written is read when a run is taken up, so it is read once at once: a step whose output cannot be
/// fails with [`AttemptError::Unreadable`](crate::AttemptError::Unreadable), and no run is started with such an
/// input. That is so for a number that is none (`f64::NAN`) or infinite, which JSON writes as `null`; for
/// types that serde writes and does not read, as with `skip_serializing` alone; and for what is nested more than 100
/// levels deep. So does one whose output is larger than the journal takes in a record
/// ([`EventLog::max_record_bytes`](coord_bus::EventLog::max_record_bytes)), with
/// [`AttemptError::TooLarge`](crate::AttemptError::TooLarge): what is large is better in a file, and its name in the
/// output. What goes on, to later steps and to the
/// outcome, is what was read, so a type that is not read as it was written, as with `serde(skip)` on a field, is the
/// same whether a run is interrupted or not. `Some(())`, or `Some(None)`, is written as `null` and read as `None`: an
/// enum of one's own is better there.
#[derive(Debug)]
pub struct Durable;

/// What a workflow does with the outputs of its steps: [`Volatile`] takes any, [`Durable`] those
/// that can be written and read.
pub trait Keeps<T>: Sized {
    #[doc(hidden)]
    fn kept() -> Kept;
    /// As one of many, that together become an output.
    #[doc(hidden)]
    fn kept_item() -> Kept;
}

/// How outputs are written and read, if they are. Opaque: for the implementations of [`Keeps`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Kept(pub(crate) Option<Codec>);

impl<T> Keeps<T> for Volatile {
    fn kept() -> Kept {
        Kept(None)
    }

    fn kept_item() -> Kept {
        Kept(None)
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Keeps<T> for Durable {
    fn kept() -> Kept {
        Kept(Some(Codec::of::<T>()))
    }

    fn kept_item() -> Kept {
        Kept(Some(Codec::of_item::<T>()))
    }
}

/// How the outputs of a step are written and read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codec {
    pub(crate) encode: fn(&Output) -> Result<Box<str>, serde_json::Error>,
    pub(crate) decode: Decode,
}

pub(crate) type Decode = fn(&str) -> Result<Output, Misread>;

/// That something that was kept is not of the type that it is read as.
pub(crate) struct Misread {
    pub(crate) type_name: &'static str,
    pub(crate) source: serde_json::Error,
}

pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, Misread> {
    serde_json::from_str(json).map_err(|source| Misread {
        type_name: type_name::<T>(),
        source,
    })
}

/// How many levels what is kept may be nested. JSON is read at most 128 deep, and in a record, or in a list
/// of its like, it is further down.
const LEVELS: usize = 100;

/// Whether what was written like this and could be read can also be read out of a record.
pub(crate) fn check_levels(json: &str) -> Result<(), serde_json::Error> {
    let opened = json.bytes().filter(|byte| matches!(byte, b'[' | b'{'));
    if opened.count() > LEVELS {
        let further = 127 - LEVELS;
        let nested = format!("{}{json}{}", "[".repeat(further), "]".repeat(further));
        drop(serde_json::from_str::<Value>(&nested)?);
    }
    Ok(())
}

pub(crate) fn decode<T: DeserializeOwned + Send + Sync + 'static>(
    json: &str,
) -> Result<Output, Misread> {
    Ok(Arc::new(read::<T>(json)?))
}

impl Codec {
    /// An output, as it is kept, in so many bytes at most, and as it is read from that. What some types write they
    /// do not read, or not as it was: so who goes on with it gets what was read, as who takes up the run will.
    ///
    /// # Errors
    ///
    /// It cannot be written, or not be read again, or is larger, or to do that panics: that will not be better at
    /// another attempt.
    pub(crate) fn keep(
        &self,
        output: &Output,
        max: usize,
    ) -> Result<(Output, Box<str>), StepError> {
        let written = || {
            let written = (self.encode)(output).map_err(AttemptError::unwritable)?;
            if written.len() > max {
                let (bytes, limit) = (written.len(), max);
                return Err(AttemptError::TooLarge { bytes, limit });
            }
            let read = (self.decode)(&written).map_err(|misread| misread.source);
            let read = read.and_then(|read| check_levels(&written).map(|()| read));
            Ok::<_, AttemptError>((read.map_err(AttemptError::unreadable)?, written))
        };
        // How a type is written is somebody's code, too; nothing of it is looked at after a panic.
        match catch_unwind(AssertUnwindSafe(written)) {
            Ok(written) => written.map_err(|error| StepError::from(error).permanent()),
            Err(panic) => Err(StepError::panicked(&*panic).permanent()),
        }
    }

    pub(crate) const fn of<T: Serialize + DeserializeOwned + Send + Sync + 'static>() -> Self {
        Self {
            encode: |output| {
                // Its type is that of the step that it comes from.
                let output = output.downcast_ref::<T>();
                Ok(serde_json::to_string(&output)?.into())
            },
            decode: decode::<T>,
        }
    }

    pub(crate) const fn of_item<T: Serialize + DeserializeOwned + Send + Sync + 'static>() -> Self {
        Self {
            encode: |output| {
                let item = output.downcast_ref::<Item<T>>();
                let item = item.map(|item| item.0.lock().unwrap_or_else(PoisonError::into_inner));
                let item = item.as_ref().and_then(|item| item.as_ref());
                Ok(serde_json::to_string(&item)?.into())
            },
            decode: |json| Ok(Item::output(read::<T>(json)?)),
        }
    }
}

/// What goes on of an output: what was read of it, where it is kept.
#[inline]
pub(crate) fn as_kept(
    output: Output,
    kept: Option<(Output, Box<str>)>,
) -> (Output, Option<Box<str>>) {
    match kept {
        Some((read, written)) => (read, Some(written)),
        None => (output, None),
    }
}

/// The output of one of many, until all are there and it is moved to the others.
pub(crate) struct Item<T>(Mutex<Option<T>>);

impl<T: Send + 'static> Item<T> {
    pub(crate) fn output(value: T) -> Output {
        Arc::new(Self(Mutex::new(Some(value))))
    }

    /// Moves them out: once.
    pub(crate) fn all(items: &[Output]) -> Vec<T> {
        items.iter().filter_map(Self::take).collect()
    }

    fn take(output: &Output) -> Option<T> {
        let item = output.downcast_ref::<Self>()?;
        item.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
