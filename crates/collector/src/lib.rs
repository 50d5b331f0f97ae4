//! HTTP intake: admission, validation, acknowledgement after the group commit.
