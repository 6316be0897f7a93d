//! Actors that are asked.

use std::convert::Infallible;

use kameo::actor::Spawn;
use kameo::message::{Context, Message};
use kameo::{Actor, mailbox};
use ractor::rpc::CallResult;
use ractor::{ActorProcessingErr, RpcReplyPort};

use super::Peer;
use crate::bus::peers::CAPACITY;

#[derive(Clone)]
pub(super) struct Kameo(kameo::actor::ActorRef<Successor>);

pub(super) struct Successor;

impl Actor for Successor {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(this: Self, _: kameo::actor::ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(this)
    }
}

impl Message<u64> for Successor {
    type Reply = u64;

    async fn handle(&mut self, number: u64, _: &mut Context<Self, u64>) -> u64 {
        number + 1
    }
}

impl Peer for Kameo {
    const NAME: &'static str = "kameo ask";
    type Answering = ();

    async fn open() -> (Self, ()) {
        let mailbox = mailbox::bounded(CAPACITY);
        (Self(Successor::spawn_with_mailbox(Successor, mailbox)), ())
    }

    async fn ask(&self, number: u64) -> u64 {
        self.0.ask(number).await.expect("it is answered")
    }
}

/// Its mailbox has no bound.
#[derive(Clone)]
pub(super) struct Ractor(ractor::ActorRef<Asked>);

pub(super) struct Asked(u64, RpcReplyPort<u64>);

struct Answering;

impl ractor::Actor for Answering {
    type Msg = Asked;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<Asked>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<Asked>,
        Asked(number, reply): Asked,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        reply.send(number + 1)?;
        Ok(())
    }
}

impl Peer for Ractor {
    const NAME: &'static str = "ractor call";
    type Answering = ();

    async fn open() -> (Self, ()) {
        let spawned = ractor::Actor::spawn(None, Answering, ()).await;
        let (actor, _task) = spawned.expect("it starts");
        (Self(actor), ())
    }

    async fn ask(&self, number: u64) -> u64 {
        match self.0.call(|reply| Asked(number, reply), None).await {
            Ok(CallResult::Success(reply)) => reply,
            _ => panic!("it is answered"),
        }
    }
}
