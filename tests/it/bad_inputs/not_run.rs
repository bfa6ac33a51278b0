//! Owns the numbers of the list that no row runs, each with its reason.

/// Numbers without a row. 93 does not exist; those from 119 on are of endpoints that this release does not have.
pub(super) const NOT_RUN: &[(&str, &str)] = &[
    ("31", "the list has no such number"),
    ("55", "manual adjustments are not of this release"),
    ("66", "the list has no such number"),
    ("67", "reversals are not of this release"),
    ("79", "needs a listener that asks for client certificates: tests/it/api/tls.rs"),
    ("80", "needs an outside issuer: tests/it/api/outside_issuer.rs"),
    ("109", "there is one version of the envelope so far"),
    ("114", "the list has no such number"),
];
