//! Black-box tests of the lake: real files, a real catalog, injected failures.

mod bounds;
mod catalogs;
mod columns;
mod conflicts;
mod crashes;
mod durability;
mod readers;
mod sink;
mod support;
