//! `coord flows`, and `--flows` of a run: how events flow between the topics inside `coord`.

use std::io;
use std::sync::Arc;

use anstream::AutoStream;
use coordination::bus::LocalBus;
use coordination::flow::{EventChoreographer, FlowGraph};
use coordination::{CoordinationError, CoordinationModule};

use crate::args::{Color, FlowsArgs, GraphFormat};
use crate::exit_code::ExitCode;
use crate::graph::{Drawing, draw};
use crate::run::{SetUpError, config, on_runtime};
use crate::screen;
use crate::validate::refuse;

impl Drawing for FlowGraph {
    fn mermaid(&self) -> String {
        self.to_mermaid()
    }

    fn dot(&self) -> String {
        self.to_dot()
    }
}

/// Draws the flows that a run has, on standard output.
pub(crate) fn flows(args: &FlowsArgs) -> ExitCode {
    let graph = on_runtime(async |_| {
        let module = CoordinationModule::start(Arc::new(LocalBus::new()), config());
        let graph = module.and_then(|module| of(&module));
        Ok(graph.map_err(SetUpError::Module)?)
    });
    let graph = match graph {
        Ok(graph) => graph,
        Err(report) => return refuse(args.color, &report),
    };
    match draw(&mut screen::out(args.color.into()), &graph, args.format) {
        Ok(()) => ExitCode::Done,
        Err(_) => ExitCode::OutputLost,
    }
}

/// The flows as they are now, with how much has gone through them.
pub(crate) fn of(module: &CoordinationModule) -> Result<FlowGraph, CoordinationError> {
    module.choreographer().map(EventChoreographer::graph)
}

/// Draws the flows of a run that is over, on standard error: standard output is the run's.
pub(crate) fn tell(color: Color, graph: &FlowGraph, format: GraphFormat) {
    let mut out = AutoStream::new(io::stderr(), color.into());
    // Where nobody can be told, nobody is.
    let _ = draw(&mut out, graph, format);
}
