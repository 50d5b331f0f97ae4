//! `validate`: every mistake of a configuration file at once.

use std::io::{self, Read as _};
use std::path::Path;

use millstream_model::ByteSize;
use serde_json::json;

use crate::cli::{Format, Global, ValidateArgs};
use crate::config::{Colour, Config, FILE_BYTES_MAX, InvalidConfig, Source};
use crate::exit::{Code, Failure};
use crate::logging::colours_on;
use crate::output;

/// Checks a file and says what is in it.
pub(crate) fn run(global: &Global, args: &ValidateArgs) -> Result<Code, Failure> {
    let source = read(&args.config)?;
    match Config::parse(source, &environment) {
        Ok(config) => {
            let name = args.config.display();
            let counts = [config.topics.len(), config.pipelines.len(), config.sinks.len()];
            match global.format {
                Format::Text => output::print(&format!(
                    "{name} is valid: {} topics, {} pipelines, {} sinks\n",
                    counts[0], counts[1], counts[2],
                ))?,
                Format::Json => output::print_json(&json!({
                    "valid": true, "file": name.to_string(), "problems": [],
                }))?,
            }
            Ok(Code::Done)
        }
        Err(invalid) => {
            report(global.format, &invalid)?;
            Ok(Code::Config)
        }
    }
}

/// Reads and checks the configuration of a node; without a file it is the quickstart.
pub(crate) fn load(format: Format, path: Option<&Path>) -> Result<Option<Config>, Failure> {
    let Some(path) = path else { return Ok(Some(Config::quickstart())) };
    match Config::parse(read(path)?, &environment) {
        Ok(config) => Ok(Some(config)),
        Err(invalid) => {
            report(format, &invalid)?;
            Ok(None)
        }
    }
}

/// Shows what is wrong: to people on stderr, to machines on stdout.
fn report(format: Format, invalid: &InvalidConfig) -> Result<(), Failure> {
    match format {
        Format::Text => {
            let colour = if colours_on(&io::stderr()) { Colour::Ansi } else { Colour::None };
            output::say(invalid.render(colour).trim_end());
            Ok(())
        }
        Format::Json => output::print_json(&json!({
            "valid": false, "file": invalid.source.name, "problems": invalid.rows(),
        })),
    }
}

fn read(path: &Path) -> Result<Source, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    let name = path.display().to_string();
    read.map_err(|error| Failure::io(error, format!("read configuration {name}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let most = ByteSize(FILE_BYTES_MAX);
        let message = format!("configuration {name} is larger than {most}");
        return Err(Failure::message(Code::Config, message));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(&name, &text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let message = format!("configuration {name} is not UTF-8 at byte {at}");
            Err(Failure::message(Code::Config, message))
        }
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
