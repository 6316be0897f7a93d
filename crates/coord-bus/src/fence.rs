//! The fence: what a guarded resource keeps, so that nobody who has lost it can still change it.

/// Admits who comes with the newest token, and refuses older ones.
///
/// A lease or a claim runs out by time, and who holds it may not notice: it was suspended, or its
/// last request is still on its way. So no check by the holder is enough. The resource itself must
/// remember the newest token that it has seen, and refuse an older one, also from a holder who does
/// not know that it is stale.
///
/// Keep it where the resource is, under the same lock or in the same transaction as what it guards:
/// admission and change must be one. That is why it takes `&mut self`. One fence guards what one
/// name of a [`Lease`](crate::Lease) stands for, or one item of a [`WorkQueue`](crate::WorkQueue):
/// tokens of different names say nothing about each other.
///
/// ```
/// use coord_bus::Fence;
///
/// let mut fence = Fence::new();
/// fence.admit(7)?;
/// fence.admit(9)?; // whoever got the lease next
/// fence.admit(9)?; // and writes again
/// let refused = fence.admit(7).unwrap_err();
/// assert_eq!((refused.token, refused.newest), (7, 9));
/// # Ok::<(), coord_bus::Fenced>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fence {
    newest: u64,
}

impl Fence {
    /// A fence that has seen no token yet, and admits any.
    pub const fn new() -> Self {
        Self::at(0)
    }

    /// A fence that has seen this token: for a resource that is read back from where it lasts.
    pub const fn at(newest: u64) -> Self {
        Self { newest }
    }

    /// The newest token that it has seen; 0 if it has seen none.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Admits a token that is not older than the newest seen, and remembers it.
    ///
    /// # Errors
    ///
    /// [`Fenced`], which names both: then leave the resource as it is.
    pub fn admit(&mut self, token: u64) -> Result<(), Fenced> {
        if token < self.newest {
            return Err(Fenced {
                token,
                newest: self.newest,
            });
        }
        self.newest = token;
        Ok(())
    }
}

/// A token was refused by a [`Fence`]: somebody else has come since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "token {token} is refused, because token {newest} has been here since: what it stood for was \
     lost, so stop, and acquire it anew"
)]
#[non_exhaustive]
pub struct Fenced {
    /// The token that was refused.
    pub token: u64,
    /// The newest that the fence has seen.
    pub newest: u64,
}
