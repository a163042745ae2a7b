//! Exit codes, the one list of them.

use std::fmt;
use std::process::ExitCode;

/// How a command ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As wished: 0.
    Done,
    /// The answer is no (a rejected request, a refused webhook, a failed check): 1.
    Refused,
}

impl Outcome {
    /// Its exit code.
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Refused => ExitCode::from(FAILED),
        }
    }
}

/// Failed or refused.
pub(crate) const FAILED: u8 = 1;

/// A flag, a variable or the configuration file is wrong.
pub(crate) const USAGE: u8 = 2;

/// What the help says about them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed, or the answer is no (rejected, refused, a check failed)
  2  a flag, a variable or the configuration file is wrong";

/// A flag, a variable or the configuration file is wrong.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    /// Says what is wrong and what would be right.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
