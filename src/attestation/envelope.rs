//! A file -> the statements in it, whatever they are wrapped in.
//!
//! Known are: the statement as the report writes it; a DSSE envelope, as `cosign verify-attestation`
//! prints it; a Sigstore bundle, as `gh attestation download` writes it; and what `gh attestation
//! verify --format json` prints. Several may follow each other. Signatures are not looked at.

use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};

use super::{
    LARGEST_FILE,
    json::{Json, documents},
};
use crate::foreign::shown;

/// What the payload of an envelope must be.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const HINT: &str = "name what `portlid test --report intoto=FILE` wrote, or what \
                    `cosign verify-attestation` or `gh attestation download` gave out";

/// What is in a file.
#[derive(Debug)]
pub struct File {
    pub(super) statements: Vec<Found>,
}

/// A statement and how it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) statement: Json,
    /// Whether it was in an envelope. Then its subjects may be those of whoever signed it.
    pub(super) is_wrapped: bool,
}

/// Why a file cannot be read. Safe to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ReadError {
    /// What is wrong with it.
    pub what: String,
    /// What to try.
    pub hint: String,
}

impl ReadError {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: HINT.to_owned() }
    }
}

/// Finds every statement of a file.
///
/// # Errors
///
/// If the text is too large, is not JSON throughout, has a key twice, or holds anything that is
/// neither a statement nor a known wrapping of one: what is not understood might say otherwise.
pub fn read(bytes: &[u8]) -> Result<File, ReadError> {
    if bytes.len() > LARGEST_FILE {
        return Err(ReadError::new(format!("it is larger than {} MiB", LARGEST_FILE >> 20)));
    }
    let documents = documents(bytes).map_err(|error| not_json("it is no sound JSON", &error))?;
    let mut statements = Vec::new();
    for document in documents {
        // `gh attestation verify` prints one list of all.
        let items = match document {
            Json::List(items) => items,
            document => vec![document],
        };
        for item in items {
            statements.push(unwrapped(item)?);
        }
    }
    if statements.is_empty() {
        return Err(ReadError::new("it holds no statement"));
    }
    Ok(File { statements })
}

fn not_json(what: &str, error: &serde_json::Error) -> ReadError {
    ReadError::new(format!("{what}: {}", shown(&error.to_string(), 200)))
}

fn unwrapped(item: Json) -> Result<Found, ReadError> {
    if item.get("_type").is_some() {
        return Ok(Found { statement: item, is_wrapped: false });
    }
    let bundle = item.get("attestation").and_then(|it| it.get("bundle")).unwrap_or(&item);
    let envelope = bundle.get("dsseEnvelope").unwrap_or(bundle);
    if envelope.get("payload").is_none() {
        return Err(ReadError::new(
            "it holds something that is neither a statement nor an envelope",
        ));
    }
    Ok(Found { statement: opened(envelope)?, is_wrapped: true })
}

/// The payload of a DSSE envelope.
fn opened(envelope: &Json) -> Result<Json, ReadError> {
    let Json::Object(entries) = envelope else {
        return Err(ReadError::new("an envelope is an object"));
    };
    if let Some((key, _)) = entries
        .iter()
        .find(|(key, _)| !["payload", "payloadType", "signatures"].contains(&key.as_str()))
    {
        let what = format!("an envelope has no key `{}`", shown(key, 60));
        return Err(ReadError::new(what));
    }
    match envelope.get("payloadType").map(Json::text) {
        Some(Some(PAYLOAD_TYPE)) => {}
        Some(Some(other)) => {
            let what = format!("an envelope holds `{}`, not `{PAYLOAD_TYPE}`", shown(other, 80));
            return Err(ReadError::new(what));
        }
        _ => return Err(ReadError::new("an envelope does not say what it holds (`payloadType`)")),
    }
    // It is not checked, but an envelope without one is none.
    if !matches!(envelope.get("signatures"), Some(Json::List(signatures)) if !signatures.is_empty())
    {
        return Err(ReadError::new("an envelope has no signature"));
    }
    let Some(payload) = envelope.get("payload").and_then(Json::text) else {
        return Err(ReadError::new("the payload of an envelope is not text"));
    };
    let bytes = decoded(payload)
        .ok_or_else(|| ReadError::new("the payload of an envelope is not base64"))?;
    let mut found = documents(&bytes)
        .map_err(|error| not_json("the payload of an envelope is no sound JSON", &error))?;
    match (found.pop(), found.is_empty()) {
        (Some(statement), true) if statement.get("_type").is_some() => Ok(statement),
        _ => Err(ReadError::new("the payload of an envelope is not one statement")),
    }
}

/// The standard asks readers for both alphabets.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [base64::alphabet::STANDARD, base64::alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
}
