//! Endpoints, key hashing and balancers.
