//! The collector from outside: raw sockets on one side, a log in memory on the other.

mod connection;
mod drain;
mod overload;
mod requests;
mod rig;
mod routes;
mod track;
