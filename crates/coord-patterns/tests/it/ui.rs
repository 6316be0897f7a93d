//! The dynamic user interface: a file that changes, a terminal that is resized.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use coord_bus::time::SystemClock;
use coord_bus::vocabulary::{
    Appearance, CONFIG_CHANGE, ConfigChange, ERROR_DETECTED, ErrorDetected, UI_UPDATE, UiChange,
    UiUpdate,
};
use coord_bus::{BusExt, LocalBus, Subscriber};
use coord_patterns::pattern::{PatternError, PatternHandle, PatternState};
use coord_patterns::ui::{DynamicUi, DynamicUiConfig};
use rustix::process::{Signal, getpid, kill_process};

use crate::stage::{until, within};

const SOON: Duration = Duration::from_secs(5);

struct Screen {
    _house: tempfile::TempDir,
    file: PathBuf,
    ui: DynamicUi,
    handle: PatternHandle,
    columns: Arc<AtomicU16>,
    changes: Subscriber<ConfigChange>,
    updates: Subscriber<UiUpdate>,
    errors: Subscriber<ErrorDetected>,
}

impl Screen {
    async fn new(name: &str, text: &str) -> Self {
        let house = tempfile::tempdir().expect("there is room");
        let file = house.path().join(name);
        fs::write(&file, text).expect("there is room");
        let bus = Arc::new(LocalBus::new());
        let mut config = DynamicUiConfig::default();
        config.file = Some(file.clone());
        let columns = Arc::new(AtomicU16::new(80));
        let measured = Arc::clone(&columns);
        let size = move || Some((measured.load(Ordering::SeqCst), 24));
        let ui = DynamicUi::with_size(config, size);
        let handle = PatternHandle::start(&ui, bus.clone(), Arc::new(SystemClock)).await;
        Self {
            _house: house,
            file,
            ui,
            handle: handle.expect("it starts"),
            columns,
            changes: bus.subscribe(&CONFIG_CHANGE).expect("it is open"),
            updates: bus.subscribe(&UI_UPDATE).expect("it is open"),
            errors: bus.subscribe(&ERROR_DETECTED).expect("it is open"),
        }
    }

    async fn change(&mut self) -> Vec<String> {
        let change = within(self.changes.recv()).await.expect("the bus is open");
        change.changes.keys().cloned().collect()
    }

    async fn update(&mut self) -> UiUpdate {
        within(self.updates.recv())
            .await
            .expect("the bus is open")
            .clone()
    }
}

/// As many editors save: a new file in the place of the old one.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("swap");
    fs::write(&new, text).expect("there is room");
    fs::rename(&new, file).expect("it is there");
}

#[tokio::test]
async fn a_file_that_is_written_replaced_or_removed_is_read_anew() {
    let mut screen = Screen::new("app.toml", "port = 1\n[ui]\ntheme = 'dark'").await;
    assert_eq!(screen.ui.setting::<u16>("port").unwrap(), Some(1));
    fs::write(&screen.file, "port = 2\n[ui]\ntheme = 'dark'").unwrap();
    assert_eq!(screen.change().await, ["port"]);
    assert_eq!(
        screen.update().await.change,
        UiChange::Text {
            text: "port".to_owned()
        }
    );
    for (port, theme) in [(3, Appearance::Light), (4, Appearance::Dark)] {
        let name = if theme == Appearance::Light {
            "light"
        } else {
            "dark"
        };
        replace(
            &screen.file,
            &format!("port = {port}\n[ui]\ntheme = '{name}'"),
        );
        assert_eq!(screen.change().await, ["port", "ui.theme"]);
        assert_eq!(screen.ui.setting::<u16>("port").unwrap(), Some(port));
        assert_eq!(screen.update().await.component, "config");
        let update = screen.update().await;
        assert!(matches!(update.change, UiChange::Theme { appearance, .. } if appearance == theme));
    }
    fs::remove_file(&screen.file).unwrap();
    assert_eq!(screen.change().await, ["port", "ui.theme"]);
    assert_eq!(screen.ui.setting::<u16>("port").unwrap(), None);
    let statistics = screen.handle.statistics();
    assert_eq!(
        (statistics["config_changes"], statistics["ui_updates"]),
        (4, 6)
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_understood_changes_nothing_and_is_told_with_its_place() {
    let mut screen = Screen::new("app.json", r#"{"port": 1}"#).await;
    fs::write(&screen.file, "{\"port\":\n  oops}").unwrap();
    let error = within(screen.errors.recv()).await.unwrap().clone();
    assert!(
        error.message.contains("app.json:2:3: "),
        "{}",
        error.message
    );
    assert_eq!(screen.ui.setting::<u16>("port").unwrap(), Some(1));
    assert!(matches!(
        screen.handle.state(),
        PatternState::Degraded { .. }
    ));
    fs::write(&screen.file, r#"{"port": 2}"#).unwrap();
    assert_eq!(screen.change().await, ["port"]);
    assert_eq!(screen.handle.state(), PatternState::Running);
    assert!(screen.ui.setting::<bool>("port").is_err());
}

#[tokio::test]
async fn what_is_wrong_at_the_start_keeps_it_from_starting() {
    let house = tempfile::tempdir().unwrap();
    let file = house.path().join("app.toml");
    fs::write(&file, "a = 1\nb = = 2\n").unwrap();
    let mut config = DynamicUiConfig::default();
    config.file = Some(file);
    let bus = Arc::new(LocalBus::new());
    let start = async |config| {
        let ui = DynamicUi::new(config);
        let clock = Arc::new(SystemClock);
        PatternHandle::start(&ui, bus.clone(), clock)
            .await
            .unwrap_err()
    };
    let PatternError::NotStarted { reason, .. } = start(config.clone()).await else {
        panic!("something else was wrong");
    };
    assert!(reason.contains("app.toml:2:5: "), "{reason}");
    config.file = Some(house.path().join("none/app.toml"));
    assert!(
        start(config)
            .await
            .to_string()
            .contains("none cannot be watched")
    );
}

#[tokio::test]
async fn a_terminal_that_is_resized_in_one_go_is_told_once_and_as_it_is_in_the_end() {
    let mut screen = Screen::new("app.toml", "").await;
    for columns in 81..=120 {
        screen.columns.store(columns, Ordering::SeqCst);
        kill_process(getpid(), Signal::WINCH).unwrap();
    }
    let update = screen.update().await;
    let resized = UiChange::Resized {
        columns: 120,
        rows: 24,
    };
    assert_eq!((&*update.component, update.change), ("terminal", resized));
    // The same size again is no change.
    kill_process(getpid(), Signal::WINCH).unwrap();
    screen.columns.store(60, Ordering::SeqCst);
    kill_process(getpid(), Signal::WINCH).unwrap();
    let update = screen.update().await;
    assert_eq!(
        update.change,
        UiChange::Resized {
            columns: 60,
            rows: 24
        }
    );
    assert!(screen.updates.try_recv().is_err());
}

#[tokio::test]
async fn an_update_for_which_there_is_no_room_is_told_later_and_only_the_newest() {
    let mut screen = Screen::new("app.toml", "").await;
    // Full: somebody publishes, and the subscriber does not read.
    let bus = LocalBus::new();
    let ui = screen.ui.clone();
    let mut slow = bus.subscribe(&UI_UPDATE).unwrap();
    let publisher = bus.publisher(&UI_UPDATE).unwrap();
    let filler = |text: &str| UiUpdate {
        component: "filler".to_owned(),
        at: coord_bus::Timestamp::UNIX_EPOCH,
        change: UiChange::Text {
            text: text.to_owned(),
        },
    };
    while publisher.try_publish(filler("x")).is_ok() {}
    let clock = Arc::new(SystemClock);
    screen.handle.stop(SOON).await;
    let handle = PatternHandle::start(&ui, Arc::new(bus), clock)
        .await
        .unwrap();
    for text in ["a = 1", "a = 1\nb = 2"] {
        fs::write(&screen.file, text).unwrap();
        let reads = || {
            handle
                .statistics()
                .get("config_changes")
                .copied()
                .unwrap_or(0)
        };
        let wanted = text.lines().count() as u64;
        until(|| reads() == wanted).await;
    }
    let mut told = Vec::new();
    while told.is_empty() {
        let update = within(slow.recv()).await.unwrap();
        if update.component == "config" {
            told.push(update.change.clone());
        }
    }
    assert_eq!(
        told,
        [UiChange::Text {
            text: "b".to_owned()
        }]
    );
    assert!(slow.try_recv().is_err());
    assert!(screen.changes.try_recv().is_err());
}

#[tokio::test]
async fn who_is_slow_to_hear_of_settings_holds_up_neither_the_screen_nor_other_settings() {
    let screen = Screen::new("app.toml", "a = 1").await;
    screen.handle.stop(SOON).await;
    let bus = LocalBus::new();
    let mut slow = bus.subscribe(&CONFIG_CHANGE.capacity(1)).unwrap();
    let mut updates = bus.subscribe(&UI_UPDATE).unwrap();
    let clock = Arc::new(SystemClock);
    let handle = PatternHandle::start(&screen.ui, Arc::new(bus), clock).await;
    let handle = handle.unwrap();
    // The first has room, and the others wait.
    for text in ["a = 2", "a = 3", "a = 4\nb = 1", "a = 4"] {
        fs::write(&screen.file, text).unwrap();
        let update = within(updates.recv()).await.unwrap();
        assert_eq!(update.component, "config");
    }
    assert_eq!(handle.statistics()["config_changes"], 1);
    screen.columns.store(60, Ordering::SeqCst);
    kill_process(getpid(), Signal::WINCH).unwrap();
    let update = within(updates.recv()).await.unwrap();
    assert_eq!(update.component, "terminal");
    let mut changes = Vec::new();
    for _ in 0..2 {
        let change = within(slow.recv()).await.unwrap();
        let changed = change.changes.iter();
        changes.extend(changed.map(|(path, value)| format!("{path}: {value:?}")));
    }
    let a = |before: &str, after: &str| {
        format!("a: ConfigValue {{ before: Some(Number({before})), after: Some(Number({after})) }}")
    };
    assert_eq!(changes, [a("1", "2"), a("2", "4")]);
    assert!(slow.try_recv().is_err());
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_watched_in_the_place_of_the_first() {
    let mut screen = Screen::new("app.toml", "").await;
    screen.handle.stop(SOON).await;
    let house = tempfile::tempdir().unwrap();
    for (release, port) in [("41", 1), ("42", 2)] {
        let release = house.path().join(release).join("conf");
        fs::create_dir_all(&release).unwrap();
        fs::write(release.join("app.toml"), format!("port = {port}")).unwrap();
    }
    let link = |release: &str| {
        let new = house.path().join("new");
        std::os::unix::fs::symlink(release, &new).unwrap();
        fs::rename(new, house.path().join("current")).unwrap();
    };
    link("41");
    let mut config = DynamicUiConfig::default();
    config.file = Some(house.path().join("current/conf/app.toml"));
    let ui = DynamicUi::with_size(config, || None);
    let bus = Arc::new(LocalBus::new());
    let mut changes = bus.subscribe(&CONFIG_CHANGE).unwrap();
    let handle = PatternHandle::start(&ui, bus, Arc::new(SystemClock)).await;
    let handle = handle.unwrap();
    let port = || ui.setting::<u16>("port").unwrap();
    assert_eq!(port(), Some(1));
    link("42");
    within(changes.recv()).await.unwrap();
    assert_eq!(port(), Some(2));
    // From now on, that one.
    let directory = house.path().join("42/conf");
    fs::write(directory.join("app.toml"), "port = 3").unwrap();
    within(changes.recv()).await.unwrap();
    assert_eq!(port(), Some(3));
    // Gone, it is missed; and made anew, it is found.
    fs::remove_dir_all(&directory).unwrap();
    within(changes.recv()).await.unwrap();
    assert_eq!(port(), None);
    until(|| matches!(handle.state(), PatternState::Degraded { .. })).await;
    assert!(
        handle
            .state()
            .to_string()
            .contains("conf cannot be watched")
    );
    for value in [4, 5] {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("app.toml"), format!("port = {value}")).unwrap();
        within(changes.recv()).await.unwrap();
        assert_eq!(port(), Some(value));
        until(|| handle.state() == PatternState::Running).await;
    }
    assert!(screen.changes.try_recv().is_err());
}

#[tokio::test]
async fn of_a_file_that_is_a_link_what_it_leads_to_is_watched() {
    let house = tempfile::tempdir().unwrap();
    let file = |name: &str| house.path().join(name);
    for (name, port) in [("one", 1), ("other", 2)] {
        fs::create_dir_all(file(name)).unwrap();
        fs::write(file(name).join("app.toml"), format!("port = {port}")).unwrap();
    }
    fs::create_dir_all(file("home")).unwrap();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, file("new")).unwrap();
        fs::rename(file("new"), file(name)).unwrap();
    };
    // As a program that keeps settings in a repository has them, and as a cluster mounts them.
    link("one", "present");
    link("../present/app.toml", "home/app.toml");
    let mut config = DynamicUiConfig::default();
    config.file = Some(file("home/app.toml"));
    let ui = DynamicUi::with_size(config, || None);
    let bus = Arc::new(LocalBus::new());
    let mut changes = bus.subscribe(&CONFIG_CHANGE).unwrap();
    let handle = PatternHandle::start(&ui, bus, Arc::new(SystemClock)).await;
    let _handle = handle.unwrap();
    let mut is = async |port| {
        within(changes.recv()).await.unwrap();
        assert_eq!(ui.setting::<u16>("port").unwrap(), Some(port));
    };
    fs::write(file("one/app.toml"), "port = 3").unwrap();
    is(3).await;
    fs::write(file("home/app.toml"), "port = 4").unwrap();
    is(4).await;
    link("other", "present");
    is(2).await;
    fs::write(file("other/app.toml"), "port = 5").unwrap();
    is(5).await;
    link("../one/app.toml", "home/app.toml");
    is(4).await;
    fs::write(file("one/app.toml"), "port = 6").unwrap();
    is(6).await;
}

/// A file in a directory that is some levels below the house: `srv/app/conf/app.toml`.
struct Deep {
    house: tempfile::TempDir,
    bus: Arc<LocalBus>,
    ui: DynamicUi,
    handle: PatternHandle,
}

impl Deep {
    async fn new() -> Self {
        let house = tempfile::tempdir().expect("there is room");
        let bus = Arc::new(LocalBus::new());
        let mut config = DynamicUiConfig::default();
        config.file = Some(house.path().join("srv/app/conf/app.toml"));
        let ui = DynamicUi::with_size(config, || None);
        write(&house.path().join("srv/app/conf"), 1);
        let handle = PatternHandle::start(&ui, bus.clone(), Arc::new(SystemClock)).await;
        let handle = handle.expect("it starts");
        Self {
            house,
            bus,
            ui,
            handle,
        }
    }

    async fn is(&self, port: Option<u16>) {
        until(|| self.ui.setting::<u16>("port").expect("it is a port") == port).await;
    }

    /// Puts another in the place of this directory above it.
    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.house.path().join(from), self.house.path().join(to)).expect("it is there");
    }
}

fn write(directory: &Path, port: u16) {
    fs::create_dir_all(directory).expect("there is room");
    fs::write(directory.join("app.toml"), format!("port = {port}")).expect("there is room");
}

#[tokio::test]
async fn where_a_directory_further_above_is_replaced_the_file_in_the_new_one_is_watched() {
    for (name, below) in [("srv/app", "conf"), ("srv", "app/conf")] {
        let deep = Deep::new().await;
        deep.is(Some(1)).await;
        let (old, next) = (format!("{name}.old"), format!("{name}.next"));
        write(&deep.house.path().join(&next).join(below), 2);
        // One after the other, and then with time between the two.
        deep.rename(name, &old);
        deep.rename(&next, name);
        deep.is(Some(2)).await;
        write(&deep.house.path().join("srv/app/conf"), 3);
        deep.is(Some(3)).await;
        deep.rename(name, &next);
        deep.is(None).await;
        until(|| matches!(deep.handle.state(), PatternState::Degraded { .. })).await;
        deep.rename(&old, name);
        deep.is(Some(1)).await;
        until(|| deep.handle.state() == PatternState::Running).await;
        write(&deep.house.path().join("srv/app/conf"), 4);
        deep.is(Some(4)).await;
    }
}

#[tokio::test]
async fn a_directory_is_looked_for_while_nobody_reads_updates() {
    let deep = Deep::new().await;
    let _stuck = deep.bus.subscribe(&UI_UPDATE).unwrap();
    let filler = UiUpdate {
        component: "filler".to_owned(),
        at: coord_bus::Timestamp::UNIX_EPOCH,
        change: UiChange::Text {
            text: String::new(),
        },
    };
    let updates = deep.bus.publisher(&UI_UPDATE).unwrap();
    while updates.try_publish(filler.clone()).is_ok() {}
    // With what is watched above it, so that nothing tells when it is there again.
    fs::remove_dir_all(deep.house.path().join("srv")).unwrap();
    deep.is(None).await;
    until(|| matches!(deep.handle.state(), PatternState::Degraded { .. })).await;
    write(&deep.house.path().join("srv/app/conf"), 2);
    deep.is(Some(2)).await;
}
