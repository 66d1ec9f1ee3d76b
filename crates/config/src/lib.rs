//! The YAML model: validation with source positions, JSON schema.
