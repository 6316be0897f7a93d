//! Checksums: the chain over the records of a stream, and a seal on every other entry.
//!
//! Each is BLAKE3 over a mark of what it is about and over all of its parts, each with its length
//! before it, so that no two different things are hashed as the same bytes.

use crate::leases::Counters;
use crate::streams::Entry;

/// A checksum.
pub(crate) type Hash = [u8; 32];

/// What the first record of a stream follows on.
pub(crate) const BEGINNING: Hash = [0; 32];

/// The checksum of a record: over the one before it in its stream, so over all of them.
pub(crate) fn record(
    before: &Hash,
    stream: &str,
    version: u64,
    at: i64,
    kind: &str,
    payload: &[u8],
) -> Hash {
    hash(
        b"record",
        &[
            before,
            stream.as_bytes(),
            &version.to_le_bytes(),
            &at.to_le_bytes(),
            kind.as_bytes(),
            payload,
        ],
    )
}

/// The seal on what is kept apart of a stream: its end, whether it is closed, and which one needs it. Where none
/// does it is that of schema version 2.
pub(crate) fn stream(entry: &Entry) -> Hash {
    let (number, version) = (entry.number.to_le_bytes(), entry.version.to_le_bytes());
    let (at, is_closed) = (entry.at.to_le_bytes(), [u8::from(entry.is_closed)]);
    let name = entry.name.as_bytes();
    let parts: [&[u8]; 6] = [&number, name, &version, &at, &entry.head, &is_closed];
    match &entry.needed_by {
        None => hash(b"stream", &parts),
        Some(by) => hash(b"stream", &[&parts[..], &[by.as_bytes()]].concat()),
    }
}

/// The seal on a lease. Without a handle it is that of schema version 1.
pub(crate) fn lease(
    name: &str,
    holder: &str,
    token: u64,
    until: i64,
    handle: Option<&[u8; 16]>,
) -> Hash {
    let (token, until) = (token.to_le_bytes(), until.to_le_bytes());
    let parts: [&[u8]; 4] = [name.as_bytes(), holder.as_bytes(), &token, &until];
    match handle {
        None => hash(b"lease", &parts),
        Some(handle) => {
            let [name, holder, token, until] = parts;
            hash(b"lease", &[name, holder, token, until, handle])
        }
    }
}

/// The seal on the counters. Where nothing was removed it is that of schema version 3.
pub(crate) fn counters(counters: &Counters) -> Hash {
    let newest_token = counters.newest_token.to_le_bytes();
    let forgotten_token = counters.forgotten_token.to_le_bytes();
    let (latest, removed) = (
        counters.latest.to_le_bytes(),
        counters.removed.to_le_bytes(),
    );
    let parts: [&[u8]; 4] = [&newest_token, &forgotten_token, &latest, &removed];
    match counters.removed {
        0 => hash(b"counters", &parts[..3]),
        _ => hash(b"counters", &parts),
    }
}

/// As much as this is put together before it is hashed: many short parts by themselves take twice as long.
const TOGETHER: usize = 512;

fn hash(about: &[u8], parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    let mut together = [0; TOGETHER];
    let mut filled = 0;
    let mut add = |bytes: &[u8]| {
        if TOGETHER - filled < bytes.len() {
            hasher.update(&together[..filled]);
            filled = 0;
        }
        match together[filled..].get_mut(..bytes.len()) {
            Some(free) => {
                free.copy_from_slice(bytes);
                filled += bytes.len();
            }
            None => {
                hasher.update(bytes);
            }
        }
    };
    for part in [about].iter().chain(parts) {
        add(&(part.len() as u64).to_le_bytes());
        add(part);
    }
    hasher.update(&together[..filled]);
    hasher.finalize().into()
}
