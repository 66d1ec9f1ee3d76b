//! Owned messages for clients, servers and tests of Dubbo.
