//! Live lines at the bottom of a terminal: what each spec that runs is doing, and for how long.
//!
//! They are drawn below the cursor, which stays where it is: whatever is printed next, by libtest
//! too, takes their place, and they are drawn again below it. They never appear where nobody watches:
//! in CI, in a pipe, without colours.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::termios::tcgetwinsize;

use crate::progress::Event;

/// How often they are drawn.
const TICK: Duration = Duration::from_millis(100);
/// How long they stay away when a spec is over, so that its result is printed first.
const PAUSE: Duration = Duration::from_millis(150);
/// More of them would push the results off the screen.
const MOST: usize = 8;
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// What is on the screen.
struct Board {
    /// What each spec does, and since when.
    specs: BTreeMap<String, (String, Instant)>,
    from: Instant,
    is_drawn: bool,
    not_before: Instant,
}

static BOARD: Mutex<Option<Board>> = Mutex::new(None);

fn board() -> MutexGuard<'static, Option<Board>> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Live lines, until this is dropped.
#[derive(Debug)]
pub struct Live {
    drawing: Option<JoinHandle<()>>,
}

impl Live {
    /// Begins, where somebody watches.
    #[must_use]
    pub fn start() -> Option<Self> {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let is_watched = std::io::stderr().is_terminal() && !is_set("CI");
        if !is_watched || is_set("NO_COLOR") || is_dumb {
            return None;
        }
        let now = Instant::now();
        let specs = BTreeMap::new();
        *board() = Some(Board { specs, from: now, is_drawn: false, not_before: now });
        let draw = || {
            while tick() {
                thread::sleep(TICK);
            }
        };
        let drawing = thread::Builder::new().name("portlid-live".to_owned()).spawn(draw).ok();
        Some(Self { drawing })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        erase(&mut board());
        *board() = None;
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
    }
}

/// Takes the live lines away until what is returned is dropped, so that something can be printed.
pub(super) fn aside() -> impl Drop {
    let mut board = board();
    erase(&mut board);
    board
}

/// Notes what a spec does.
pub(super) fn note(spec: &str, event: Event<'_>) {
    let mut guard = board();
    let Some(board) = guard.as_mut() else { return };
    match event {
        Event::Line(text) | Event::Now(text) if !spec.is_empty() => {
            board.specs.insert(spec.to_owned(), (text.to_owned(), Instant::now()));
        }
        Event::Line(_) | Event::Now(_) => {}
        Event::Over => {
            board.specs.remove(spec);
            board.not_before = Instant::now() + PAUSE;
            erase(&mut guard);
        }
    }
}

fn erase(board: &mut Option<Board>) {
    if let Some(board) = board
        && std::mem::take(&mut board.is_drawn)
    {
        write("\r\u{1b}[J");
    }
}

/// Draws once; whether to go on.
fn tick() -> bool {
    let mut guard = board();
    let Some(board) = guard.as_mut() else { return false };
    let now = Instant::now();
    if now >= board.not_before && !board.specs.is_empty() {
        let (width, height) = size();
        let lines = lines(board, now, width, height.saturating_sub(2).min(MOST));
        let mut text = "\r\u{1b}[J".to_owned();
        for line in &lines {
            let _ = writeln!(text, "{line}");
        }
        if !lines.is_empty() {
            let _ = write!(text, "\u{1b}[{}A", lines.len());
        }
        write(&text);
        board.is_drawn = true;
    }
    true
}

/// At most `most` lines of at most `width` characters.
fn lines(board: &Board, now: Instant, width: usize, most: usize) -> Vec<String> {
    let since = |from: Instant| now.saturating_duration_since(from);
    let turn = usize::try_from(since(board.from).as_millis() / TICK.as_millis()).unwrap_or(0);
    let frame = FRAMES[turn % FRAMES.len()];
    let mut lines: Vec<String> = board
        .specs
        .iter()
        .take(most)
        .map(|(spec, (what, from))| {
            let seconds = since(*from).as_secs_f64();
            let line = format!("{frame} {spec}: {what} ({seconds:.1} s)");
            line.chars().take(width.saturating_sub(1)).collect()
        })
        .collect();
    if let (Some(more @ 1..), true) = (board.specs.len().checked_sub(most), most > 0) {
        lines.pop();
        lines.push(format!("  and {} more", more + 1));
    }
    lines
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    let size = tcgetwinsize(std::io::stderr()).ok().filter(|size| size.ws_col > 0);
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_screen() {
        let from = Instant::now();
        let specs = |count: usize| {
            (0..count).map(|at| (format!("spec-{at}"), ("watching".to_owned(), from))).collect()
        };
        let drawn = |count, width, most| {
            let board = Board { specs: specs(count), from, is_drawn: false, not_before: from };
            lines(&board, from + Duration::from_millis(1250), width, most)
        };
        assert_eq!(drawn(1, 80, 8), ["⠹ spec-0: watching (1.2 s)"]);
        assert_eq!(drawn(3, 80, 2), ["⠹ spec-0: watching (1.2 s)", "  and 2 more"]);
        assert_eq!(drawn(1, 10, 8), ["⠹ spec-0:"]);
        assert_eq!(drawn(2, 80, 0), Vec::<String>::new());
    }
}
