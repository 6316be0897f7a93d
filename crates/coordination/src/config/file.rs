//! Settings from a TOML file.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::CoordinationConfig;
use super::fault::{ConfigFault, ConfigFaults};
use super::setting::{SETTINGS, Setting, meant};
use super::value::Value;
use crate::CoordinationError;

/// The largest file of settings, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

impl CoordinationConfig {
    /// These settings, with those that a TOML file names as it says. Their names are those of the
    /// fields; times are written `"500ms"`, `"5m"`, `"1h30m"`.
    ///
    /// # Errors
    ///
    /// [`CoordinationError::Config`] with everything that is wrong, each with line, column and caret:
    /// what is no TOML, a setting that there is not (with the one that was probably meant), or one of
    /// a part that is not compiled in; a value of another type, or out of its bounds.
    /// [`CoordinationError::ConfigUnreadable`] where the file is not there, is no text, or is over 1 MiB.
    pub fn with_file(self, file: &Path) -> Result<Self, CoordinationError> {
        let text = read(file).map_err(|source| CoordinationError::ConfigUnreadable {
            file: file.to_owned(),
            source,
        })?;
        self.with_toml(&file.display().to_string(), &text)
    }

    /// [`with_file`](Self::with_file) of a text; faults call it by this name.
    ///
    /// ```
    /// # #[cfg(feature = "workflows")] {
    /// use coordination::CoordinationConfig;
    ///
    /// let refused = CoordinationConfig::default()
    ///     .with_toml("coordination.toml", "workflow_enabled = false\n")
    ///     .unwrap_err();
    /// assert_eq!(
    ///     refused.to_string(),
    ///     "coordination.toml:1:1: there is no setting `workflow_enabled`\n  \
    ///        |\n\
    ///      1 | workflow_enabled = false\n  \
    ///        | ^^^^^^^^^^^^^^^^ did you mean `workflows_enabled`?",
    /// );
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CoordinationError::Config`].
    pub fn with_toml(mut self, name: &str, text: &str) -> Result<Self, CoordinationError> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader {
            config: &mut self,
            source: (name, text),
            faults: Vec::new(),
        };
        for error in &errors {
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            reader.fault(error.span().unwrap_or(0..0), message, None);
        }
        // What stands in a file that is no TOML is not to be judged.
        if errors.is_empty() {
            reader.table("", root.get_ref());
        }
        match reader.faults {
            faults if faults.is_empty() => Ok(self),
            mut faults => {
                faults.sort_by_key(|(at, _)| *at);
                let faults = faults.into_iter().map(|(_, fault)| fault);
                Err(ConfigFaults::new(faults.collect()).into())
            }
        }
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut limited = File::open(file)?.take(MAX_FILE + 1);
    limited.read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        let large = format!("it is larger than {MAX_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, large));
    }
    Ok(text)
}

struct Reader<'r> {
    config: &'r mut CoordinationConfig,
    source: (&'r str, &'r str),
    /// With their places, for they come in the order of names.
    faults: Vec<(usize, ConfigFault)>,
}

impl Reader<'_> {
    fn table(&mut self, above: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = match above {
                "" => name.get_ref().to_string(),
                above => format!("{above}.{}", name.get_ref()),
            };
            self.entry(&path, name.span(), value);
        }
    }

    fn entry(&mut self, path: &str, name: Range<usize>, value: &Spanned<DeValue<'_>>) {
        if let Some(setting) = Setting::find(path) {
            if let Err(message) = setting.set(self.config, Value::Toml(value.get_ref())) {
                self.fault(value.span(), message, None);
            }
        } else if Setting::is_table(path) {
            match value.get_ref().as_table() {
                Some(table) => self.table(path, table),
                None => {
                    let message = format!("`{path}` is a table: buffer_size and rate_limit");
                    self.fault(value.span(), message, None);
                }
            }
        } else {
            let names = SETTINGS.iter().map(|setting| setting.path.to_owned());
            let tables = SETTINGS.iter().filter_map(|setting| {
                let (table, _) = setting.path.split_once('.')?;
                Some(table.to_owned())
            });
            let help = meant(path, names.chain(tables));
            let written: String = path.chars().take(100).collect();
            let written = super::fault::printable(&written);
            self.fault(name, format!("there is no setting `{written}`"), help);
        }
    }

    fn fault(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        let fault = ConfigFault::of_file(self.source, span.clone(), message, help);
        self.faults.push((span.start, fault));
    }
}
