//! What names and ids may be made of.

use hookgate_core::provider;

use super::RegistryError;

/// The longest id at a provider, in bytes: what the core reads out of a body.
pub const EXTERNAL_ID_BYTES_MAX: usize = hookgate_core::json::TEXT_BYTES_MAX;

/// The longest name, in bytes: what fits a line of a list.
pub const NAME_BYTES_MAX: usize = 200;

/// The longest name of a source or a credential, in bytes. It stands in paths.
const WORD_BYTES_MAX: usize = 64;

/// Visible text of at most `bytes_max` bytes.
fn is_visible(text: &str, bytes_max: usize) -> bool {
    !text.trim().is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

/// Checks an id at a provider.
pub(super) fn check_external_id(text: &str) -> Result<(), RegistryError> {
    if is_visible(text, EXTERNAL_ID_BYTES_MAX) {
        return Ok(());
    }
    Err(RegistryError::Invalid(
        "an id at a provider is a visible text of 1 to 512 bytes, without control characters",
    ))
}

/// Checks a name for people.
pub(super) fn check_name(text: &str) -> Result<(), RegistryError> {
    if is_visible(text, NAME_BYTES_MAX) {
        return Ok(());
    }
    Err(RegistryError::Invalid(
        "a name is a visible text of 1 to 200 bytes, without control characters",
    ))
}

/// Checks the name of a tool that was asked for, whether or not there is such a tool.
pub(super) fn check_tool(text: &str) -> Result<(), RegistryError> {
    if is_visible(text, EXTERNAL_ID_BYTES_MAX) {
        return Ok(());
    }
    Err(RegistryError::Invalid(
        "the name of a tool is a visible text of 1 to 512 bytes, without control characters",
    ))
}

/// Checks the name of a source.
pub(super) fn check_source_name(text: &str) -> Result<(), RegistryError> {
    let fits = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(fits) {
        return Ok(());
    }
    Err(RegistryError::Invalid(
        "a source's name has 1 to 64 lower-case letters, digits, `-` and `_`",
    ))
}

/// Checks the name of a credential.
pub(super) fn check_credential_name(text: &str) -> Result<(), RegistryError> {
    let fits = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let begins =
        text.bytes().next().is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
    if begins && text.len() <= WORD_BYTES_MAX && text.bytes().all(fits) {
        return Ok(());
    }
    Err(RegistryError::Invalid(
        "a credential's name has 1 to 64 lower-case letters, digits, `.`, `-` and `_`, and begins with a letter or a digit",
    ))
}

/// The provider of this name.
pub(super) fn check_provider(name: &str) -> Result<&'static str, RegistryError> {
    provider::named(name)
        .map(|it| it.name)
        .ok_or(RegistryError::Invalid("there is no such provider"))
}
