//! The console blocks of the README and of `docs/`, run as they stand.
//!
//! A page is a story: its blocks run one after the other in one empty directory, with the program on the path. A
//! line that begins with `$ ` is a command; the lines after it are what it prints, where `…` stands for anything
//! within a line, and a line that is only `…` for any number of lines. A command succeeds, unless the line before it
//! is `# exit N`.

use bowline_tests::{Home, bowline_binary, clean, workspace_root};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Step {
    line: usize,
    command: String,
    exit: i32,
    output: Vec<String>,
}

#[test]
fn every_console_block_does_what_it_shows() {
    let mut pages = vec![workspace_root().join("README.md")];
    let docs = std::fs::read_dir(workspace_root().join("docs")).expect("docs is a folder");
    pages.extend(
        docs.map(|entry| entry.expect("docs is readable").path())
            .filter(|path| path.extension().is_some_and(|end| end == "md")),
    );
    pages.sort();
    let (mut steps, mut wrong) = (0, Vec::new());
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page is readable");
        let story = steps_of(&text);
        steps += story.len();
        tell(&page, &story, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(
        steps >= 10,
        "only {steps} commands were found in the documents"
    );
}

fn tell(page: &Path, story: &[Step], wrong: &mut Vec<String>) {
    if story.is_empty() {
        return;
    }
    let home = Home::empty();
    for step in story {
        let mut command = Command::new("bash");
        clean(&mut command)
            .args(["-c", &step.command])
            .current_dir(home.work())
            .env("HOME", home.work())
            .env("XDG_DATA_HOME", home.path())
            .env("PATH", path_with_program())
            .stdin(Stdio::null());
        let output = command.output().expect("bash is installed");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let shown: Vec<&str> = step.output.iter().map(String::as_str).collect();
        let lines: Vec<&str> = printed.lines().collect();
        if output.status.code() != Some(step.exit) || !fits(&shown, &lines) {
            wrong.push(format!(
                "{}:{}: $ {}\nexit {:?}, expected {}\n--- shown\n{}\n--- printed\n{printed}",
                page.display(),
                step.line,
                step.command,
                output.status.code(),
                step.exit,
                step.output.join("\n")
            ));
            // What follows rests on this step.
            return;
        }
    }
}

fn path_with_program() -> String {
    let folder = bowline_binary()
        .parent()
        .map(PathBuf::from)
        .expect("a program is in a folder");
    format!(
        "{}:{}",
        folder.display(),
        std::env::var("PATH").unwrap_or_default()
    )
}

/// The commands of all ```console blocks, with what each prints.
fn steps_of(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut exit) = (false, 0);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line.trim_end() == "```console";
        } else if !inside {
            continue;
        } else if let Some(code) = line.strip_prefix("# exit ") {
            exit = code.trim().parse().expect("an exit code is a number");
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                line: number + 1,
                command: command.into(),
                exit,
                output: Vec::new(),
            });
            exit = 0;
        } else if let Some(step) = steps.last_mut().filter(|_| !line.trim().is_empty()) {
            match step.command.strip_suffix('\\').map(str::to_owned) {
                Some(begun) => step.command = begun + line.trim_start(),
                None => step.output.push(line.trim_end().into()),
            }
        }
    }
    steps
}

/// Whether printed lines are what is shown. A step that shows nothing may print anything.
fn fits(shown: &[&str], printed: &[&str]) -> bool {
    shown.is_empty() || lines_fit(shown, printed)
}

fn lines_fit(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.iter().all(|line| line.trim().is_empty()),
        Some((&"…", rest)) => {
            (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..]))
        }
        Some((first, rest)) => match printed.split_first() {
            Some((line, others)) if line.trim().is_empty() => lines_fit(shown, others),
            Some((line, others)) => line_fits(first, line.trim_end()) && lines_fit(rest, others),
            None => false,
        },
    }
}

fn line_fits(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split('…');
    // Cannot fail: splitting gives at least one part.
    let first = parts.next().expect("a first part");
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_shown_line_fits_what_it_stands_for_and_nothing_else() {
    assert!(line_fits("a … c …", "a b c d"));
    assert!(line_fits("exact", "exact"));
    assert!(!line_fits("exact", "exactly"));
    assert!(!line_fits("a … c", "a b d"));
    assert!(lines_fit(&["…", "last"], &["one", "two", "last"]));
    assert!(!lines_fit(&["first", "…", "last"], &["first", "other"]));
    assert!(!lines_fit(&["one"], &["one", "two"]));
}
