//! Who changes a setting wants to see what comes of it. A screen that follows its file of settings, its
//! theme and the size of its terminal: what has changed, however much at once, is in its next frame.
//!
//! ```console
//! $ cargo run --example live_settings --features dynamic-ui app.toml
//! ```
//!
//! The file says `greeting = "good evening"` and, under `[ui]`, `theme = "dark"`: change them while
//! this runs. Ctrl-C ends it.

use std::error::Error;
use std::io::{Stdout, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use coord_bus::vocabulary::{Appearance, UI_UPDATE};
use coord_bus::{BusExt, LocalBus};
use coord_patterns::pattern::IntegrationPatterns;
use coord_patterns::ui::{DynamicUi, DynamicUiConfig};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::style::{Color, Style};
use ratatui::widgets::{Block, Paragraph};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let bus = Arc::new(LocalBus::new());
    let mut updates = bus.subscribe(&UI_UPDATE)?;
    let patterns = IntegrationPatterns::new(bus);
    let mut config = DynamicUiConfig::default();
    config.file = Some(file.ok_or("name a file of settings, such as app.toml")?);
    let ui = patterns.create_dynamic_ui_pattern(config)?;
    patterns.enable("dynamic-ui").await?;

    // Before there is anything to be seen, so that whoever sees it can interrupt it.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut screen = Screen::open()?;
    loop {
        screen.draw(&ui)?;
        tokio::select! {
            update = updates.recv() => if update.is_none() { break },
            _ = interrupts.recv() => break,
        }
        // What came with it is in the same frame: the settings and the theme, of one file.
        while updates.try_recv().is_ok() {}
    }
    Ok(())
}

/// A terminal, which is given back as it was.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    frames: usize,
}

impl Screen {
    fn open() -> Result<Self, Box<dyn Error>> {
        execute!(stdout(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(Self {
            terminal,
            frames: 0,
        })
    }

    fn draw(&mut self, ui: &DynamicUi) -> Result<(), Box<dyn Error>> {
        self.frames += 1;
        let greeting: Option<String> = ui.setting("greeting")?;
        let theme = ui.theme();
        let (ground, colors) = match theme.appearance {
            Appearance::Light => ("light", (Color::Black, Color::White)),
            Appearance::Dark => ("dark", (Color::White, Color::Black)),
        };
        let style = match theme.colors {
            true => Style::new().fg(colors.0).bg(colors.1),
            false => Style::new(),
        };
        self.terminal.draw(|frame| {
            let area = frame.area();
            let title = format!("frame {}", self.frames);
            let below = format!("{ground}, {} x {}", area.width, area.height);
            let block = Block::bordered().title(title).title_bottom(below);
            let text = Paragraph::new(greeting.unwrap_or_default()).block(block);
            frame.render_widget(text.style(style), area);
        })?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        let _ = execute!(stdout(), LeaveAlternateScreen);
    }
}
