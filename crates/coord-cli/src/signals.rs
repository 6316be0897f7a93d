//! Ctrl-C and its like: the first ends the run with grace, the second at once, the third also what
//! is being undone. And Ctrl-Z, which suspends `coord` with all that it runs; and SIGUSR1, which asks what
//! that is.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;

use coordination::CoordinationModule;
use coordination::bus::CancellationToken;
use coordination::patterns::process::HeldStarts;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGTSTP};
use signal_hook::flag::{register_conditional_default, register_conditional_shutdown};
use signal_hook::low_level::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::exit_code::ExitCode;
use crate::job_control;

/// What there is to say of a run that is up for its services, to who looks on.
const STANDING_ELSEWHERE: &str =
    "all steps are over, and the services run on; `coord cancel RUN` ends them";

/// What has been asked for, and how far the run has got for that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts {
    /// The first: no step starts any more, those that run get SIGTERM.
    pub(crate) end: CancellationToken,
    /// The second: what runs is killed.
    pub(crate) kill: CancellationToken,
    /// The third: what is being undone is killed, too.
    pub(crate) abandon: CancellationToken,
    /// Cancelled when all steps are done and only services are left, until the first of these.
    pub(crate) standing: CancellationToken,
    /// Somebody wants `coord` to be suspended.
    pub(crate) suspend: Arc<Notify>,
    /// Somebody wants to know what runs, and why.
    pub(crate) why: Arc<Notify>,
    /// Somebody wants the run to be paused, or, if it is, to go on.
    pub(crate) pause: Arc<Notify>,
    /// Whether it is paused.
    pub(crate) paused: Arc<watch::Sender<bool>>,
    /// A key on the screen was the first of them.
    pub(crate) by_key: CancellationToken,
    /// Whether they are those of somebody who looks on, and end nothing.
    pub(crate) look_on: bool,
}

impl Interrupts {
    /// One more, by a key.
    pub(crate) fn next_by_key(&self) {
        if !self.end.is_cancelled() {
            self.by_key.cancel();
        }
        self.next();
    }

    /// One more.
    pub(crate) fn next(&self) {
        let requests = [&self.end, &self.kill, &self.abandon];
        if let Some(request) = requests.iter().find(|request| !request.is_cancelled()) {
            request.cancel();
        }
    }

    /// What the last of them does, or how the run goes on.
    pub(crate) fn said(&self) -> Option<&'static str> {
        if self.look_on {
            match self.end.is_cancelled() {
                true => Some("leaving: the run goes on"),
                false => self.standing.is_cancelled().then_some(STANDING_ELSEWHERE),
            }
        } else if self.abandon.is_cancelled() {
            Some("leaving")
        } else if self.kill.is_cancelled() {
            Some("killed what ran; once more leaves at once, with nothing else undone")
        } else if self.end.is_cancelled() {
            Some("ending: what runs has its grace to stop; once more kills it")
        } else if self.standing.is_cancelled() {
            Some("all steps are over, and the services run on; Ctrl-C ends them")
        } else {
            None
        }
    }
}

/// The signals that end a run: Ctrl-C, a polite request, a terminal that was closed, Ctrl-\. The
/// processes have groups of their own, so none of these reaches them but through this program.
const ENDING: [SignalKind; 4] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
    SignalKind::quit(),
];

/// What a signal asks for.
enum Asked {
    End,
    HangUp,
    Suspend,
    Why,
}

/// For as long as these are there, signals are requests, or wait to be. When they are dropped, whatever is left
/// to be said has nothing to clean up: from then on signals end and suspend the program as they come,
/// whatever a write to somebody who does not read is waiting for.
pub(crate) struct Signals {
    ending: Vec<(SignalKind, Signal)>,
    suspending: Signal,
    asking: Signal,
}

/// Whether nobody waits for signals any more; `None`, before anybody has. It is one for all runs of this
/// program, as what it is asked by stays for as long as the program does.
static ARE_DROPPED: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

impl Signals {
    /// Takes them over from the system, which would end or stop the program. Within the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let is_heard = |kind: &SignalKind| *kind != SignalKind::hangup() || !ignores_hangups();
        let ending: Vec<_> = ENDING.into_iter().filter(is_heard).collect();
        let signals = Self {
            ending: ending
                .iter()
                .copied()
                .map(|kind| Ok((kind, signal(kind)?)))
                .collect::<io::Result<_>>()?,
            suspending: signal(SignalKind::from_raw(SIGTSTP))?,
            asking: signal(SignalKind::user_defined1())?,
        };
        let mut are_dropped = ARE_DROPPED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(are_dropped) = &*are_dropped {
            are_dropped.store(false, Ordering::SeqCst);
            return Ok(signals);
        }
        let asked = Arc::new(AtomicBool::new(false));
        for kind in ending {
            let code = ExitCode::Interrupted as i32;
            register_conditional_shutdown(kind.as_raw_value(), code, Arc::clone(&asked))?;
        }
        register_conditional_default(SIGTSTP, Arc::clone(&asked))?;
        continue_starts()?;
        *are_dropped = Some(asked);
        Ok(signals)
    }

    /// Turns signals into requests, for as long as this is polled.
    pub(crate) async fn watch(&mut self, interrupts: &Interrupts) -> Infallible {
        loop {
            let asked = poll_fn(|cx| {
                let mut ending = self.ending.iter_mut();
                match ending
                    .find_map(|(kind, signal)| signal.poll_recv(cx).is_ready().then_some(*kind))
                {
                    Some(kind) if kind == SignalKind::hangup() => {
                        return Poll::Ready(Asked::HangUp);
                    }
                    Some(_) => return Poll::Ready(Asked::End),
                    None => {}
                }
                if self.suspending.poll_recv(cx).is_ready() {
                    return Poll::Ready(Asked::Suspend);
                }
                self.asking.poll_recv(cx).map(|_| Asked::Why)
            });
            match asked.await {
                Asked::End => interrupts.next(),
                // Of one terminal that is closed, the system tells and its shell, too.
                Asked::HangUp => interrupts.end.cancel(),
                Asked::Suspend if job_control::take_own() => {}
                Asked::Suspend => interrupts.suspend.notify_one(),
                Asked::Why => interrupts.why.notify_one(),
            }
        }
    }
}

/// Continues what is just being started when this program is stopped or continued: on a thread of its own, for
/// until then the one that starts it hears nothing.
fn continue_starts() -> io::Result<()> {
    let (mut heard, hears) = UnixStream::pair()?;
    pipe::register(SIGTSTP, hears.try_clone()?)?;
    pipe::register(SIGCONT, hears)?;
    let continues = move || {
        // They are as good as one, however many came.
        while let Ok(1..) = heard.read(&mut [0; 64]) {
            HeldStarts::continue_under_way();
        }
    };
    let thread = thread::Builder::new().name("starts".to_owned());
    thread.spawn(continues).map(drop)
}

/// Whether this program was started not to end with its terminal, as `nohup` does. Only Linux tells.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ignored.is_some_and(|bits| bits >> (SIGHUP - 1) & 1 == 1)
}

impl Drop for Signals {
    fn drop(&mut self) {
        let are_dropped = ARE_DROPPED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(are_dropped) = &*are_dropped {
            are_dropped.store(true, Ordering::SeqCst);
        }
    }
}

/// Suspends what runs and then, by `stop`, this program, and lets it all go on when the program is continued.
/// The clocks go on meanwhile: what was to be over by then is over.
pub(crate) fn suspend(module: &CoordinationModule, stop: impl FnOnce()) {
    // What was half started would not be suspended, and keep the program from being stopped.
    let _held = HeldStarts::hold();
    let processes = module.processes();
    if let Ok(processes) = &processes {
        processes.suspend();
    }
    stop();
    if let Ok(processes) = &processes {
        processes.resume();
    }
}
