//! The conformance suite of the log contract.
