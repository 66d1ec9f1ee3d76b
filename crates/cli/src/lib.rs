//! The heptad command line as a library, and the binary.
