//! What a caller hears when nothing better is to be said: sentences that an agent can speak,
//! without a cause that would help nobody on the telephone.

use hookgate_core::tool::Reply;

/// Nobody knows such a tool.
pub(crate) fn unknown_tool() -> Reply {
    Reply::sorry("unknown_tool", "I am sorry, I cannot do that.")
}

/// The tenant does not let its agents do this.
pub(crate) fn not_allowed() -> Reply {
    Reply::sorry("not_allowed", "I am sorry, I am not able to do that on this call.")
}

/// The arguments are no JSON object.
pub(crate) fn unreadable() -> Reply {
    Reply::sorry("unreadable_arguments", "I did not get that. Could you say it once more?")
}

/// What the tenant's settings say cannot be used.
pub(crate) fn not_configured() -> Reply {
    Reply::sorry("not_configured", "I am sorry, this is not set up yet. Please call the shop.")
}

/// The record of the call cannot be kept, so nothing is done.
pub(crate) fn unavailable() -> Reply {
    Reply::sorry("unavailable", "I cannot do that right now. Please try again in a moment.")
}

/// Something broke.
pub(crate) fn broken() -> Reply {
    Reply::sorry("failed", "Something went wrong on my side. Please try again in a moment.")
}

/// The caller has waited long enough. What was begun goes on.
pub(crate) fn late(writes: bool) -> Reply {
    if writes {
        let message = "That is taking longer than usual, and I cannot confirm it yet. \
                       Please ask me again in a moment.";
        Reply::sorry("pending", message)
    } else {
        Reply::sorry("timeout", "I could not reach the calendar just now. Shall I try once more?")
    }
}
