//! Owns the configuration.
