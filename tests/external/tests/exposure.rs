//! The whole of a test of the specs under `specs/`.

fn main() -> std::process::ExitCode {
    portlid::harness::main()
}
