//! Makes a picture of what a terminal shows: colours on standard input, SVG on standard output.
//!
//! For `.ci/pictures`, which keeps the README's pictures true.

use std::io::{Read as _, Write as _};

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let svg = anstyle_svg::Term::new().render_svg(&text);
    std::io::stdout().write_all(svg.as_bytes())
}
