//! The collector from outside: raw sockets on one side, a log in memory on the other.

mod connection;
mod drain;
mod journal;
mod overload;
mod partial;
mod requests;
mod rig;
mod routes;
mod track;
