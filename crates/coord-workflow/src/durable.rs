//! What is kept of a run: whether its outputs are written to a journal, and how.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::plan::Output;

/// Runs of a workflow live in memory, and end with their process. Its outputs may be of any type.
#[derive(Debug)]
pub struct Volatile;

/// Runs of a workflow are kept in a journal, and outlive their process. Its outputs are written as
/// JSON, so they are [`Serialize`] and [`DeserializeOwned`].
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

pub(crate) type Decode = fn(&str) -> Result<Output, serde_json::Error>;

pub(crate) fn decode<T: DeserializeOwned + Send + Sync + 'static>(
    json: &str,
) -> Result<Output, serde_json::Error> {
    Ok(Arc::new(serde_json::from_str::<T>(json)?))
}

impl Codec {
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
            decode: |json| Ok(Item::output(serde_json::from_str::<T>(json)?)),
        }
    }
}

/// The output of one of many, until all are there and it is moved to the others.
pub(crate) struct Item<T>(Mutex<Option<T>>);

impl<T: Send + 'static> Item<T> {
    pub(crate) fn output(value: T) -> Output {
        Arc::new(Self(Mutex::new(Some(value))))
    }

    /// Moves it out: once.
    pub(crate) fn take(output: &Output) -> Option<T> {
        let item = output.downcast_ref::<Self>()?;
        item.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
