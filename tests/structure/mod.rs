//! The arrows between rooms, read from the sources: a room takes from those before it, and nothing runs in a ring.

mod graph;
mod rust;
mod typescript;
