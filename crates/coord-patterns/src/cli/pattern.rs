//! The pattern: what can be asked of a line, and how it is run.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{ArgMatches, Command};
use coord_bus::time::{self, Clock, Instant, SystemClock};
use coord_bus::vocabulary::{CLI_COMMAND, CLI_PARSE, CliFault, CliParse, CliState, UI_UPDATE};
use coord_bus::{BoxFuture, BusExt, CancellationToken, Failure, catch};
use tokio::select;
use tokio::task::unconstrained;

use super::check::{parse, path, while_typed};
use super::complete::complete;
use super::history::History;
use super::position::Position;
use super::run::{Progress, RunningCommand, Voice, was_long};
use super::words::until;
use super::{CliError, Completions, InteractiveCliConfig};
use crate::pattern::{Claim, Counter, Pattern, PatternContext};

/// How long a command that is cancelled has to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// An interactive command line: see the [module](super). Cheap to clone. It has `commands`,
/// `failed`, `cancelled` and `faulty` in its statistics, and `history_errors`.
#[derive(Clone)]
pub struct InteractiveCli {
    shared: Arc<Shared>,
}

struct Shared {
    config: InteractiveCliConfig,
    command: Command,
    history: Mutex<History>,
    /// While the pattern is enabled.
    open: Mutex<Option<Open>>,
    last: Mutex<Option<CliParse>>,
    runs: AtomicU64,
    clock: Mutex<Arc<dyn Clock>>,
}

#[derive(Clone)]
struct Open {
    voice: Voice,
    token: CancellationToken,
    cancel: CancellationToken,
    context: PatternContext,
}

/// What can be said of the place where somebody types.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CliHelp {
    /// The command there: `remote add`; empty, for the program.
    pub command: String,
    /// What it does, if it says so.
    pub about: Option<String>,
    /// How it is used.
    pub usage: String,
    /// The argument that comes next, and what it is for.
    pub argument: Option<(String, Option<String>)>,
}

impl InteractiveCli {
    /// A command line for this command, whose own name is not typed. Its history is read from its
    /// file, if it has one.
    ///
    /// # Errors
    ///
    /// [`CliError::History`].
    pub fn new(mut command: Command, config: InteractiveCliConfig) -> Result<Self, CliError> {
        // Gives subcommands what they have from those above them.
        command.build();
        let file = config.history_file.clone().filter(|_| config.remember);
        let mut history = History::new(file, config.history_limit);
        history.load().map_err(|source| CliError::History {
            file: config.history_file.clone().unwrap_or_default(),
            source,
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                command,
                history: Mutex::new(history),
                open: Mutex::default(),
                last: Mutex::default(),
                runs: AtomicU64::new(0),
                clock: Mutex::new(Arc::new(SystemClock)),
            }),
        })
    }

    /// What may stand at this place of a line, in bytes. Directories are read for it, at once.
    pub fn complete(&self, line: &str, cursor: usize) -> Completions {
        let directory = self.shared.config.directory.as_deref();
        let directory = directory.unwrap_or(Path::new("."));
        complete(&self.shared.command, directory, line, cursor)
    }

    /// What is wrong with a line that is being typed; told in `cli-parse` too, if it is another
    /// answer than the last. What is typed last is wrong only if nothing begins with it.
    pub fn typed(&self, line: &str) -> Vec<CliFault> {
        let (command, faults) = while_typed(&self.shared.command, line);
        if let Some(open) = locked(&self.shared.open).as_ref() {
            let parse = CliParse {
                at: open.voice.clock.now(),
                line: line.to_owned(),
                command,
                faults: faults.clone(),
            };
            let mut last = locked(&self.shared.last);
            let said = |parse: &CliParse| (parse.command.clone(), parse.faults.clone());
            if last.as_ref().map(said) != Some(said(&parse)) {
                // The next answer says all that this one would have.
                let _ = open.voice.parses.try_publish(parse.clone());
                *last = Some(parse);
            }
        }
        faults
    }

    /// What can be said of this place of a line.
    pub fn help(&self, line: &str, cursor: usize) -> CliHelp {
        let (words, _) = until(line, cursor);
        let mut position = Position::start(&self.shared.command);
        for word in &words {
            // What is wrong before does not keep the rest from being explained.
            let _ = position.step(word);
        }
        let argument = position.value_of.or_else(|| position.next_positional());
        CliHelp {
            about: position.command.get_about().map(ToString::to_string),
            usage: position.command.clone().render_usage().to_string(),
            argument: argument
                .map(|arg| (arg.to_string(), arg.get_help().map(ToString::to_string))),
            command: position.path,
        }
    }

    /// The line that most likely becomes of one that begins so.
    pub fn predict(&self, begin: &str) -> Option<String> {
        let now = locked(&self.shared.clock).now().as_second();
        let history = locked(&self.shared.history);
        history.predict(begin, now).map(str::to_owned)
    }

    /// What a whole line gives.
    ///
    /// # Errors
    ///
    /// [`CliError::Faults`] says what is wrong, where, and what was meant.
    pub fn parse(&self, line: &str) -> Result<ArgMatches, CliError> {
        parse(&self.shared.command, line).map_err(|faults| CliError::Faults {
            line: line.to_owned(),
            faults,
        })
    }

    /// Parses a line, remembers it, and runs what it gives. A panic of that is a failure.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the command is dropped where it awaits, and told as cancelled.
    ///
    /// # Errors
    ///
    /// [`CliError`]. A history that cannot be written is counted, makes the pattern
    /// [degraded](crate::pattern::PatternState::Degraded) until it can, and keeps no command from running;
    /// what was run stays in memory, and is written with the next one.
    pub async fn run<T, F, Fut, X>(&self, line: &str, command: F) -> Result<T, CliError>
    where
        F: FnOnce(RunningCommand) -> Fut,
        Fut: Future<Output = Result<T, X>>,
        X: Into<Failure>,
    {
        let Some(open) = locked(&self.shared.open).clone() else {
            let pattern = self.shared.config.name.clone();
            return Err(CliError::NotEnabled { pattern });
        };
        let matches = self.parse(line).inspect_err(|_| open.count("faulty"))?;
        let path = path(&self.shared.command, line);
        self.remember(line, &open);
        open.count("commands");
        let run = self.shared.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let (progress, begun) = (Progress::default(), Instant::now());
        let mut telling = Telling {
            open: &open,
            command: &path,
            run,
            begun,
            progress: &progress,
            is_told: false,
        };
        open.voice.command(&path, run, CliState::Started);
        let cancelled = open.cancel.child_token();
        let running = RunningCommand {
            matches,
            progress: progress.clone(),
            cancelled: cancelled.clone(),
        };
        let stop = async {
            select! {
                () = open.cancel.cancelled() => {}
                () = open.token.cancelled() => cancelled.cancel(),
            }
            time::sleep(GRACE).await;
        };
        let result = select! {
            biased;
            result = catch(async { command(running).await }) => Some(result),
            // The command may use up what tokio lets a task do in one go.
            () = unconstrained(stop) => None,
            never = open.voice.follow(&path, &progress, begun) => never,
        };
        let was_asked = cancelled.is_cancelled();
        let result = match result {
            Some(Ok(Ok(value))) => Ok(value),
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(panic)) => Err(Failure::panicked(&*panic)),
            None => Err(Failure::message("cancelled")),
        };
        let duration = begun.elapsed();
        let line = line.to_owned();
        match result {
            Ok(value) => {
                telling.end(CliState::Completed { duration });
                Ok(value)
            }
            Err(_) if was_asked => {
                drop(telling);
                Err(CliError::Cancelled { line })
            }
            Err(failure) => {
                open.count("failed");
                let error = failure.to_string();
                telling.end(CliState::Failed { error, duration });
                Err(CliError::Failed { line, failure })
            }
        }
    }

    /// Cancels all commands that run now. One that has not ended a second later is dropped.
    pub fn cancel(&self) {
        if let Some(open) = locked(&self.shared.open).as_mut() {
            open.cancel.cancel();
            open.cancel = CancellationToken::new();
        }
    }

    fn remember(&self, line: &str, open: &Open) {
        if self.shared.config.remember {
            let now = open.voice.clock.now().as_second();
            let mut history = locked(&self.shared.history);
            let was_behind = history.is_behind();
            match history.record(line, now) {
                Ok(()) if was_behind => open.context.recovered(),
                Ok(()) => {}
                Err(error) => {
                    open.count("history_errors");
                    let file = self.shared.config.history_file.clone().unwrap_or_default();
                    let file = file.display();
                    let reason = format!("the history in {file} cannot be written: {error}");
                    open.context.degraded(reason);
                }
            }
        }
    }
}

impl Pattern for InteractiveCli {
    fn name(&self) -> &str {
        &self.shared.config.name
    }

    fn claims(&self) -> Vec<Claim> {
        let file = self.shared.config.history_file.as_ref();
        let claim = file.map(|file| Claim::new("file", file.display().to_string()));
        claim.into_iter().collect()
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let bus = context.bus();
            let voice = Voice {
                commands: bus.publisher(&CLI_COMMAND)?,
                parses: bus.publisher(&CLI_PARSE)?,
                updates: bus.publisher(&UI_UPDATE)?,
                clock: Arc::clone(context.clock()),
            };
            let token = context.token();
            *locked(&self.shared.clock) = Arc::clone(context.clock());
            *locked(&self.shared.open) = Some(Open {
                voice,
                token: token.clone(),
                cancel: CancellationToken::new(),
                context: context.clone(),
            });
            for name in [
                "commands",
                "failed",
                "cancelled",
                "faulty",
                "history_errors",
            ] {
                let _: Counter = context.counter(name);
            }
            let shared = Closing(Arc::clone(&self.shared));
            context.spawn("close", async move {
                token.cancelled().await;
                drop(shared);
            });
            Ok(())
        })
    }
}

/// Closes the command line when the pattern ends, in whatever way.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        *locked(&self.0.open) = None;
    }
}

impl Open {
    fn count(&self, name: &'static str) {
        self.context.counter(name).add(1);
    }
}

/// Tells how a command ends; as cancelled, where nothing else was said.
struct Telling<'a> {
    open: &'a Open,
    command: &'a str,
    run: u64,
    begun: Instant,
    progress: &'a Progress,
    is_told: bool,
}

impl Telling<'_> {
    fn end(&mut self, state: CliState) {
        self.is_told = true;
        let voice = &self.open.voice;
        if was_long(self.begun) {
            voice.progress(self.command, self.progress, self.begun);
        }
        voice.command(self.command, self.run, state);
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.open.count("cancelled");
            let duration = self.begun.elapsed();
            self.end(CliState::Cancelled { duration });
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for InteractiveCli {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InteractiveCli")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
