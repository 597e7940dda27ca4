//! What holds of the sources and of what they are built from: the arrows between rooms, and licences.

mod graph;
mod licences;
mod rust;
mod typescript;
