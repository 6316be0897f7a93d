//! Light or dark, and whether in colours at all.

use std::ffi::OsString;

use coord_bus::vocabulary::Appearance;

use super::ThemeChoice;

/// How a screen is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Theme {
    /// On which ground.
    pub appearance: Appearance,
    /// Whether in colours.
    pub colors: bool,
}

impl Theme {
    /// The theme by this choice, in this environment: `std::env::var_os`, usually.
    pub fn detect(choice: ThemeChoice, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = text("TERM").as_deref() == Some("dumb");
        let appearance = match choice {
            ThemeChoice::Dark => Appearance::Dark,
            ThemeChoice::Light => Appearance::Light,
            ThemeChoice::Auto => text("COLORFGBG")
                .and_then(|colors| ground(&colors))
                .unwrap_or_default(),
        };
        Self {
            appearance,
            colors: !no_color && !is_dumb,
        }
    }
}

/// The last of `letters;ground` or `letters;something;ground`.
fn ground(colors: &str) -> Option<Appearance> {
    let (_, ground) = colors.rsplit_once(';')?;
    match ground.parse::<u8>().ok()? {
        7 | 9..=15 => Some(Appearance::Light),
        0..=6 | 8 => Some(Appearance::Dark),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_is_what_was_chosen_or_what_the_terminal_says() {
        use Appearance::{Dark, Light};
        for (choice, variables, appearance, colors) in [
            (ThemeChoice::Auto, &[][..], Dark, true),
            (ThemeChoice::Auto, &[("COLORFGBG", "0;15")], Light, true),
            (
                ThemeChoice::Auto,
                &[("COLORFGBG", "15;default;0")],
                Dark,
                true,
            ),
            (ThemeChoice::Auto, &[("COLORFGBG", "0;default")], Dark, true),
            (ThemeChoice::Dark, &[("COLORFGBG", "0;15")], Dark, true),
            (ThemeChoice::Light, &[("NO_COLOR", "1")], Light, false),
            (ThemeChoice::Auto, &[("NO_COLOR", "")], Dark, true),
            (ThemeChoice::Auto, &[("TERM", "dumb")], Dark, false),
        ] {
            let theme = Theme::detect(choice, |name| {
                let variable = variables.iter().find(|(one, _)| *one == name);
                variable.map(|(_, value)| value.into())
            });
            assert_eq!(
                (theme.appearance, theme.colors),
                (appearance, colors),
                "{variables:?}"
            );
        }
    }
}
