//! A pluggable layer-7 protocol framework: registry, builder, embedding.
