//! Reading, deciding and erasing, over a real PostgreSQL.
