//! `portlid man`: the manual, made of the same words as `--help`. Needs neither specs nor an engine.

use std::{fs, io, path::Path};

use clap::CommandFactory;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{cli::Cli, exit::Exit, foreign::shown, output};

/// Prints the whole manual, or writes each of its pages into a folder.
pub(super) fn man(folder: Option<&Path>) -> Exit {
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => {
            output::line(&format!("error: cannot make the manual: {error}"));
            return Exit::Internal;
        }
    };
    let Some(folder) = folder else {
        let whole: Vec<String> = pages.into_iter().map(|(_, page)| page).collect();
        output::result(&whole.concat());
        return Exit::Pass;
    };
    for (name, page) in pages {
        let path = folder.join(name);
        if let Err(error) = fs::create_dir_all(folder).and_then(|()| fs::write(&path, page)) {
            output::line(&format!(
                "error: cannot write `{}`: {error}\n  help: name a folder that can be written to",
                shown(&path.display().to_string(), 200)
            ));
            return Exit::Usage;
        }
        output::result(&format!("{}\n", path.display()));
    }
    Exit::Pass
}

/// Every page with its file's name: that of the program first, then one for each command.
fn pages() -> io::Result<Vec<(String, String)>> {
    let mut whole = Cli::command()
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .subcommand_value_name("COMMAND");
    // Only then does each command know its whole name, and the flags that all have.
    whole.build();
    let commands: Vec<clap::Command> = whole.get_subcommands().cloned().collect();
    let names: Vec<String> = commands.iter().map(page_name).collect();
    let mut pages = vec![(format!("{}.1", page_name(&whole)), page(whole, &names)?)];
    for command in commands {
        pages.push((format!("{}.1", page_name(&command)), page(command, &["portlid".to_owned()])?));
    }
    Ok(pages)
}

/// `portlid-test` for `portlid test`.
fn page_name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// One page. `others` are the pages to see as well.
fn page(command: clap::Command, others: &[String]) -> io::Result<String> {
    let has_commands = command.has_subcommands();
    // An empty date, for every build must make the same page. It must be there: what follows it would
    // be taken for one.
    let title = format!(
        ".TH \"{}\" \"1\" \"\" \"portlid {}\" \"User Commands\"\n",
        page_name(&command).to_uppercase(),
        env!("CARGO_PKG_VERSION"),
    );
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command);
    let mut parts: Vec<String> = Vec::new();
    let mut add = |render: &dyn Fn(&mut dyn io::Write) -> io::Result<()>| {
        let mut bytes = Vec::new();
        render(&mut bytes)?;
        parts.push(String::from_utf8(bytes).map_err(io::Error::other)?);
        io::Result::Ok(())
    };
    add(&|out| man.render_name_section(out))?;
    add(&|out| man.render_synopsis_section(out))?;
    add(&|out| man.render_description_section(out))?;
    add(&|out| man.render_options_section(out))?;
    if has_commands {
        add(&|out| man.render_subcommands_section(out))?;
    }
    add(&|out| explained(&help).to_writer(out))?;
    add(&|out| see_also(others).to_writer(out))?;
    // Each part begins with the same definition, of which one will do.
    let preamble = Roff::new().render();
    let text: String =
        parts.iter().map(|part| part.strip_prefix(&preamble).unwrap_or(part)).collect();
    Ok(preamble + &title + &text)
}

/// What stands behind the options in `--help`: examples, exit codes, and whatever else.
fn explained(help: &str) -> Roff {
    let mut roff = Roff::new();
    let mut has_notes = false;
    let (mut sections, mut notes): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for paragraph in help.split("\n\n").filter(|it| !it.trim().is_empty()) {
        match paragraph.split_once(':') {
            Some(("Examples", lines)) => sections.push(("EXAMPLES", lines)),
            Some(("Exit codes", text)) => sections.push(("EXIT STATUS", text)),
            _ => notes.push(paragraph),
        }
    }
    for (name, text) in sections {
        roff.control("SH", [name]);
        lines(&mut roff, text);
    }
    for note in notes {
        roff.control(
            if has_notes { "PP" } else { "SH" },
            if has_notes { None } else { Some("NOTES") },
        );
        has_notes = true;
        lines(&mut roff, note);
    }
    roff
}

/// A paragraph, in which lines that are indented stay as they are.
fn lines(roff: &mut Roff, text: &str) {
    let mut is_verbatim = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        // The words behind a heading are part of its paragraph, wherever they begin.
        let code = line.strip_prefix("  ");
        if code.is_some() != is_verbatim {
            is_verbatim = code.is_some();
            let controls = if is_verbatim { ["RS", "nf"] } else { ["fi", "RE"] };
            for control in controls {
                roff.control(control, None);
            }
        }
        roff.text([roman(code.unwrap_or_else(|| line.trim_start()))]);
    }
    if is_verbatim {
        roff.control("fi", None);
        roff.control("RE", None);
    }
}

fn see_also(others: &[String]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let pages: Vec<String> = others.iter().map(|name| format!("{name}(1)")).collect();
    roff.text([roman(pages.join(", "))]);
    roff
}
