//! The Iceberg sink, its commits and maintenance, and queries over the tables.
