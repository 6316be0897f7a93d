//! `coord validate`: what is wrong with a file; and the part of a run that is the same.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use coordination::workflow::OnFailure;
use miette::Report;
use serde::Serialize;

use crate::args::{Color, DEFAULT_FILE, FileArgs, Told, ValidateArgs};
use crate::exit_code::ExitCode;
use crate::file::{FileFaults, Located, ToldFault, WorkflowFile, environment, located};
use crate::screen::{self, QUIET};
use crate::select::Selection;

/// Parameters and their values.
type Params = BTreeMap<String, String>;

/// A workflow file without faults, with parameters that it has.
pub(crate) struct Checked {
    /// Where the file is, as it was named or found.
    pub(crate) path: PathBuf,
    pub(crate) file: WorkflowFile,
    pub(crate) params: Params,
    /// Whether each unit runs by its condition.
    pub(crate) runs: Vec<bool>,
    /// The ids of the units that are meant; `None`: all of the file. The others are left out.
    pub(crate) selected: Option<Vec<String>>,
    /// The profile that is meant.
    pub(crate) profile: Option<String>,
    /// What becomes of the rest when a step fails, where the command line says.
    on_failure: Option<OnFailure>,
}

impl Checked {
    /// What is to run: each parameter has a value.
    pub(crate) fn load(args: &FileArgs, selection: &Selection) -> Result<Self, Report> {
        Self::load_with(args, selection, WorkflowFile::params_with)
    }

    /// What is only looked at: what needs the value of a parameter that has none is not checked.
    pub(crate) fn look(args: &FileArgs, selection: &Selection) -> Result<Self, Report> {
        Self::load_with(args, selection, WorkflowFile::params_known)
    }

    fn load_with(
        args: &FileArgs,
        selection: &Selection,
        params_of: impl FnOnce(&WorkflowFile, &[(String, String)]) -> Result<Params, FileFaults>,
    ) -> Result<Self, Report> {
        let profile = args.profile.clone();
        let Located { path, is_above } = located(args.file.as_deref())?;
        let mut file = WorkflowFile::load(&path)?.with_profile(profile.as_deref())?;
        file.is_above = is_above;
        let selected = selection.ids(&file)?;
        if let Some(selected) = &selected {
            file.keep(selected)?;
        }
        let file = file.with_dotenv()?;
        let params = params_of(&file, &args.params)?;
        let file = file.with_items(&params)?;
        let runs = file.conditions(&params, &environment())?;
        Ok(Self::of(path, file, params, runs, selected, profile))
    }

    pub(crate) fn of(
        path: PathBuf,
        file: WorkflowFile,
        params: Params,
        runs: Vec<bool>,
        selected: Option<Vec<String>>,
        profile: Option<String>,
    ) -> Self {
        Self {
            path,
            file,
            params,
            runs,
            selected,
            profile,
            on_failure: None,
        }
    }

    /// With this for the rest of a run when a step fails, in place of what the file says.
    pub(crate) fn with_on_failure(mut self, on_failure: Option<OnFailure>) -> Self {
        self.file.on_failure = on_failure.unwrap_or(self.file.on_failure);
        self.on_failure = on_failure;
        self
    }

    /// Says which file it is, where nobody would expect it.
    pub(crate) fn say_where(&self, color: Color) {
        if self.file.is_above {
            let path = self.file.path();
            screen::say(
                color,
                &format!("the file is {path}, as this folder has no {DEFAULT_FILE}"),
            );
        }
    }

    pub(crate) fn on_failure(&self) -> Option<OnFailure> {
        self.on_failure
    }
}

/// What is said of a file, as programs read it.
#[derive(Serialize)]
struct Validity<'c> {
    valid: bool,
    file: &'c str,
    workflow: Option<&'c str>,
    steps: usize,
    services: usize,
    /// How many there are; at most 50 of them are told.
    fault_count: usize,
    faults: Vec<ToldFault>,
    /// The parameters without a value: what needs it is not checked.
    without_value: Vec<&'c str>,
}

/// Says on standard error what is wrong, or else on standard output that nothing is; programs read both
/// there.
pub(crate) fn validate(args: &ValidateArgs) -> ExitCode {
    let ValidateArgs { of, output } = args;
    let checked = Checked::look(of, &Selection::All);
    let checked = match (&checked, output) {
        (Ok(checked), _) => checked,
        (Err(report), Told::Json) => return invalid(of, report),
        (Err(report), Told::Text) => return refuse(of.color, report),
    };
    let file = &checked.file;
    let services = file.units.iter().filter(|unit| unit.service().is_some());
    let services = services.count();
    let steps = file.units.len() - services;
    let without_value = file.params.keys().map(String::as_str);
    let without_value = without_value.filter(|name| !checked.params.contains_key(*name));
    let without_value: Vec<_> = without_value.collect();
    let mut out = screen::out(of.color.into());
    let (path, name) = (file.path(), &*file.name);
    let said = match output {
        Told::Text => writeln!(
            out,
            "{path}: no faults in workflow `{name}`; steps: {steps}, services: {services}",
        )
        .and_then(|()| {
            without_value
                .iter()
                .try_for_each(|name| not_checked(&mut out, name))
        }),
        Told::Json => tell(
            &mut out,
            &Validity {
                valid: true,
                file: path,
                workflow: Some(name),
                steps,
                services,
                fault_count: 0,
                faults: Vec::new(),
                without_value,
            },
        ),
    };
    match said.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::Done,
        Err(_) => ExitCode::OutputLost,
    }
}

fn invalid(of: &FileArgs, report: &Report) -> ExitCode {
    let Some(faults) = report.downcast_ref::<FileFaults>() else {
        return refuse(of.color, report);
    };
    let mut out = screen::out(of.color.into());
    let validity = Validity {
        valid: false,
        file: faults.path(),
        workflow: None,
        steps: 0,
        services: 0,
        fault_count: faults.count(),
        faults: faults.told().collect(),
        without_value: Vec::new(),
    };
    let said = tell(&mut out, &validity);
    match said.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SetUp,
        Err(_) => ExitCode::OutputLost,
    }
}

fn not_checked(out: &mut impl Write, param: &str) -> io::Result<()> {
    writeln!(
        out,
        "{QUIET}what needs a value of `{param}` is not checked: a run is to be given one with --param {param}=…{QUIET:#}"
    )
}

fn tell(out: &mut impl Write, validity: &Validity<'_>) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, validity)?;
    writeln!(out)
}

/// Says on standard error why nothing is done.
pub(crate) fn refuse(color: Color, report: &Report) -> ExitCode {
    match screen::print_report(color, report.as_ref()) {
        Ok(()) => ExitCode::SetUp,
        Err(_) => ExitCode::OutputLost,
    }
}
