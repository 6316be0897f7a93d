//! A screen that follows its file of settings: each change is drawn within a frame of being told.
//!
//! ```console
//! $ cargo run --example live_settings --features dynamic-ui
//! ```
//!
//! It draws into memory and prints that, so that it can run anywhere; on a terminal, only the
//! backend is another. Two changes are made here, as an editor would.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs;
use std::sync::Arc;

use coord_bus::time::Instant;
use coord_bus::vocabulary::{Appearance, UI_UPDATE};
use coord_bus::{BusExt, LocalBus};
use coord_patterns::pattern::IntegrationPatterns;
use coord_patterns::ui::{DynamicUi, DynamicUiConfig};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Style};
use ratatui::widgets::{Block, Paragraph};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("live-settings-{}", std::process::id()));
    fs::create_dir(&file)?;
    let file = file.join("app.toml");
    fs::write(&file, "greeting = 'good evening'\n[ui]\ntheme = 'dark'\n")?;

    let bus = Arc::new(LocalBus::new());
    let mut updates = bus.subscribe(&UI_UPDATE)?;
    let patterns = IntegrationPatterns::new(bus);
    let mut config = DynamicUiConfig::default();
    config.file = Some(file.clone());
    let ui = patterns.create_dynamic_ui_pattern(config)?;
    patterns.enable("dynamic-ui").await?;

    let mut terminal = Terminal::new(TestBackend::new(30, 3))?;
    draw(&mut terminal, &ui)?;
    fs::write(&file, "greeting = 'good morning'\n[ui]\ntheme = 'light'\n")?;
    // The text, and then the theme.
    for _ in 0..2 {
        let Some(update) = updates.recv().await else {
            break;
        };
        let told = Instant::now();
        println!("{} changed", update.component);
        draw(&mut terminal, &ui)?;
        println!("drawn within a frame: {}", told.elapsed().as_millis() < 16);
    }
    fs::remove_dir_all(file.parent().unwrap_or(&file))?;
    Ok(())
}

fn draw(terminal: &mut Terminal<TestBackend>, ui: &DynamicUi) -> Result<(), Box<dyn Error>> {
    let greeting: Option<String> = ui.setting("greeting")?;
    let (letters, ground) = match ui.theme().appearance {
        Appearance::Light => (Color::Black, Color::White),
        Appearance::Dark => (Color::White, Color::Black),
    };
    terminal.draw(|frame| {
        let text = Paragraph::new(greeting.unwrap_or_default());
        let block = Block::bordered().title(format!("{letters} on {ground}"));
        let style = Style::new().fg(letters).bg(ground);
        frame.render_widget(text.block(block).style(style), frame.area());
    })?;
    println!("{}", terminal.backend());
    Ok(())
}
