//! Events, cleaning steps, and the runners of processor and sink tasks.
