//! Leases beside a model of them: for each name, the newest grant and its end.

use std::collections::BTreeMap;
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::{Fence, Grant, Lease, LeaseError, MemoryLeases};
use proptest::prelude::*;

/// Each index counts round the grants that there ever were, the newest first.
#[derive(Debug, Clone)]
enum Operation {
    Acquire {
        name: usize,
        holder: usize,
        ttl: Duration,
    },
    Renew(usize, Duration),
    Release(usize),
    /// Shows a token to the fence of what the lease guards.
    Write(usize),
    Pass(Duration),
}

const NAMES: [&str; 3] = ["one", "two", "one.more"];
const HOLDERS: [&str; 2] = ["holder 1", "holder 2"];

fn operation() -> impl Strategy<Value = Operation> {
    let time = || (0..40_u64).prop_map(Duration::from_millis);
    let recent = || prop_oneof![3 => 0..3_usize, 1 => any::<usize>()];
    let acquire = (0..NAMES.len(), 0..HOLDERS.len(), time());
    prop_oneof![
        4 => acquire.prop_map(|(name, holder, ttl)| Operation::Acquire { name, holder, ttl }),
        2 => (recent(), time()).prop_map(|(index, ttl)| Operation::Renew(index, ttl)),
        1 => recent().prop_map(Operation::Release),
        2 => recent().prop_map(Operation::Write),
        3 => time().prop_map(Operation::Pass),
    ]
}

#[derive(Default)]
struct Model {
    leases: MemoryLeases,
    /// Who holds each name, and until when.
    held: BTreeMap<&'static str, (Grant, Instant)>,
    /// All that there were, the newest last.
    grants: Vec<Grant>,
    /// The newest that wrote, by name.
    fences: BTreeMap<String, (Fence, u64)>,
}

impl Model {
    async fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Acquire { name, holder, ttl } => {
                self.acquire(NAMES[name], HOLDERS[holder], ttl).await;
            }
            Operation::Pass(time) => tokio::time::advance(time).await,
            Operation::Renew(index, _) | Operation::Release(index) | Operation::Write(index) => {
                if let Some(index) = index.checked_rem(self.grants.len()) {
                    let grant = self.grants[self.grants.len() - 1 - index].clone();
                    self.use_grant(grant, operation).await;
                }
            }
        }
        let now = Instant::now();
        self.held.retain(|_, (_, until)| *until > now);
        for name in NAMES {
            let current = self.leases.current(name).await.unwrap();
            let current = current.map(|held| (held.by, held.token, held.expires_in));
            let expected = self.held.get(name).map(|(grant, until)| {
                let expires_in = until.duration_since(now);
                (grant.holder.clone(), grant.token, expires_in)
            });
            assert_eq!(current, expected, "after {operation:?}");
        }
    }

    async fn acquire(&mut self, name: &'static str, holder: &str, ttl: Duration) {
        let held = self.held.get(name);
        match self.leases.acquire(name, holder, ttl).await {
            Ok(grant) => {
                assert!(held.is_none());
                assert_eq!((&*grant.name, &*grant.holder), (name, holder));
                let earlier = self.grants.iter().filter(|each| each.name == name);
                assert!(earlier.into_iter().all(|each| each.token < grant.token));
                self.grants.push(grant.clone());
                self.held.insert(name, (grant, Instant::now() + ttl));
            }
            Err(LeaseError::Held { held: told, .. }) => {
                let (grant, _) = held.expect("somebody holds it");
                assert_eq!((&told.by, told.token), (&grant.holder, grant.token));
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn use_grant(&mut self, grant: Grant, operation: &Operation) {
        if let Operation::Write(_) = operation {
            let guarded = self.fences.entry(grant.name).or_default();
            let (fence, newest) = guarded;
            assert_eq!(fence.admit(grant.token).is_ok(), grant.token >= *newest);
            *newest = grant.token.max(*newest);
            return;
        }
        let held = self.held.get_mut(&*grant.name);
        let held = held.filter(|(newest, _)| newest.token == grant.token);
        let name = grant.name.clone();
        let used = match *operation {
            Operation::Renew(_, ttl) => self.leases.renew(&grant, ttl).await,
            _ => self.leases.release(grant).await,
        };
        let Some((_, until)) = held else {
            assert!(matches!(used, Err(LeaseError::Stale { .. })));
            return;
        };
        used.unwrap();
        match *operation {
            Operation::Renew(_, ttl) => *until = Instant::now() + ttl,
            _ => drop(self.held.remove(&*name)),
        }
    }
}

proptest! {
    #[test]
    fn leases_do_what_their_model_does(
        operations in prop::collection::vec(operation(), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut model = Model::default();
            for operation in &operations {
                model.apply(operation).await;
            }
        });
    }
}
