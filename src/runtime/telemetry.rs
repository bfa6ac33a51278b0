//! Owns logs and metrics: the names, the recorder and the output format.
