//! Streams of a log by their names.

use coord_bus::{EventLog, EventLogError, StreamInfo, StreamOrder, StreamQuery};

/// A stream as it is listed, if it is there. Its number it does not share with one that had its name before.
pub(crate) async fn find(
    log: &dyn EventLog,
    stream: &str,
) -> Result<Option<StreamInfo>, EventLogError> {
    let mut query = StreamQuery::by_name().limit(1);
    query.order = StreamOrder::Name {
        after: Some(before(stream)),
    };
    let found = log.streams(&query).await?.into_iter().next();
    Ok(found.filter(|found| found.name == stream))
}

/// A name that comes before this one, and after every other that does.
pub(crate) fn before(name: &str) -> String {
    let mut before = name.to_owned();
    // Names are letters, digits and a few signs, and no other one is between.
    if let Some(last) = before.pop() {
        before.extend([(u32::from(last) - 1).try_into().unwrap_or(last), '\u{7f}']);
    }
    before
}
