//! The tools that come with Hookgate, one row each. What is listed of them anywhere (schemas,
//! paths, documentation, what is masked of their arguments) is derived from here.

/// A tool.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it does, for the model that calls it.
    pub about: &'static str,
    /// Whether it changes anything.
    pub writes: bool,
    /// What it may be told.
    pub arguments: &'static [Argument],
}

/// One argument of a tool.
#[derive(Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Other names that it is known by.
    pub aliases: &'static [&'static str],
    /// What it looks like.
    pub shape: Shape,
    /// Whether a call without it is sent back.
    pub is_required: bool,
    /// Whether it says something about a person: then it is masked wherever it is shown.
    pub is_personal: bool,
    /// What it means, for the model that fills it in.
    pub about: &'static str,
}

/// What an argument looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An id that an earlier answer named.
    Id,
    /// A text for people.
    Text,
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
    /// A date and a time of day.
    Moment,
    /// A date.
    Date,
    /// A whole number, zero or more.
    Count,
}

/// All of them.
pub const ALL: [&Tool; 7] = [
    &BOOKINGS_AVAILABILITY,
    &BOOKINGS_CREATE,
    &BOOKINGS_RESCHEDULE,
    &BOOKINGS_CANCEL,
    &BOOKINGS_LIST,
    &SERVICES_LIST,
    &CUSTOMERS_FIND,
];

/// The tool of this name, with dots or without.
#[must_use]
pub fn named(name: &str) -> Option<&'static Tool> {
    let name = super::canonical(name);
    ALL.into_iter().find(|tool| tool.name == name)
}

/// An argument that may be left out.
const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Argument {
    Argument { name, aliases: &[], shape, is_required: false, is_personal: false, about }
}

/// An argument that is needed.
const fn required(name: &'static str, shape: Shape, about: &'static str) -> Argument {
    Argument { is_required: true, ..optional(name, shape, about) }
}

/// An argument about a person, which may be left out.
const fn personal(name: &'static str, shape: Shape, about: &'static str) -> Argument {
    Argument { is_personal: true, ..optional(name, shape, about) }
}

const BOOKING_ID: Argument =
    required("booking_id", Shape::Id, "The id of the booking, as an earlier answer named it.");

const SERVICE: Argument = Argument {
    aliases: &["service_name"],
    ..optional("service", Shape::Text, "The service by its name, such as \"Haircut\".")
};

const SERVICE_ID: Argument = Argument {
    aliases: &["service_variation_id"],
    ..optional("service_id", Shape::Id, "The service by its id, as services_list names it.")
};

const TEAM_MEMBER_ID: Argument = optional(
    "team_member_id",
    Shape::Id,
    "Who is to do it, by the id that bookings_availability names. Leave it out if it does not matter.",
);

const PHONE: Argument = Argument {
    aliases: &["phone_number", "customer_phone"],
    ..personal(
        "phone",
        Shape::Phone,
        "The customer's telephone number. Leave it out for the number that is calling.",
    )
};

const NAME: Argument = Argument {
    aliases: &["customer_name"],
    ..personal("name", Shape::Text, "The customer's name.")
};

const EMAIL: Argument = Argument {
    aliases: &["customer_email", "email_address"],
    ..personal("email", Shape::Email, "The customer's e-mail address.")
};

const CUSTOMER_ID: Argument =
    optional("customer_id", Shape::Id, "The customer by the id that customers_find names.");

/// Free times.
pub const BOOKINGS_AVAILABILITY: Tool = Tool {
    name: "bookings_availability",
    about: "Finds free times for a service. Use it before booking or moving an appointment.",
    writes: false,
    arguments: &[
        SERVICE,
        SERVICE_ID,
        TEAM_MEMBER_ID,
        Argument {
            aliases: &["start_date", "from"],
            ..optional(
                "date",
                Shape::Date,
                "The first day to look at, YYYY-MM-DD, or \"today\" or \"tomorrow\". Today if left out.",
            )
        },
        optional("days", Shape::Count, "How many days to look at, 7 if left out, 62 at most."),
        optional("booking_id", Shape::Id, "A booking that is to be moved: times that suit it."),
    ],
};

/// A new booking.
pub const BOOKINGS_CREATE: Tool = Tool {
    name: "bookings_create",
    about: "Books an appointment at a time that bookings_availability named.",
    writes: true,
    arguments: &[
        Argument {
            aliases: &["start_time", "start"],
            ..required(
                "start_at",
                Shape::Moment,
                "When it begins: 2026-12-01T15:00, in the shop's time zone unless it says another.",
            )
        },
        SERVICE,
        SERVICE_ID,
        TEAM_MEMBER_ID,
        CUSTOMER_ID,
        PHONE,
        NAME,
        EMAIL,
        Argument {
            aliases: &["customer_note", "notes"],
            ..personal("note", Shape::Text, "What the shop should know.")
        },
    ],
};

/// Another time for a booking.
pub const BOOKINGS_RESCHEDULE: Tool = Tool {
    name: "bookings_reschedule",
    about: "Moves an appointment to another time.",
    writes: true,
    arguments: &[
        BOOKING_ID,
        Argument {
            aliases: &["new_start_at", "start_time", "start", "new_time"],
            ..required(
                "start_at",
                Shape::Moment,
                "When it is to begin: 2026-12-01T15:00, in the shop's time zone unless it says another.",
            )
        },
    ],
};

/// The end of a booking.
pub const BOOKINGS_CANCEL: Tool = Tool {
    name: "bookings_cancel",
    about: "Cancels an appointment.",
    writes: true,
    arguments: &[BOOKING_ID],
};

/// Somebody's bookings.
pub const BOOKINGS_LIST: Tool = Tool {
    name: "bookings_list",
    about: "Lists the coming appointments of the person who is calling.",
    writes: false,
    arguments: &[
        PHONE,
        CUSTOMER_ID,
        optional("limit", Shape::Count, "How many at most, 10 if left out."),
    ],
};

/// What can be booked.
pub const SERVICES_LIST: Tool = Tool {
    name: "services_list",
    about: "Lists the services that can be booked, with their ids, prices and durations.",
    writes: false,
    arguments: &[Argument {
        aliases: &["query", "name"],
        ..optional("search", Shape::Text, "Words that the service's name holds.")
    }],
};

/// A customer, made if need be.
pub const CUSTOMERS_FIND: Tool = Tool {
    name: "customers_find",
    about: "Finds the customer with a telephone number or an e-mail address, and makes one if there is none and a name is given.",
    writes: true,
    arguments: &[PHONE, EMAIL, NAME],
};
