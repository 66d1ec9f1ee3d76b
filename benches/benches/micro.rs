//! Times of single steps: `cargo bench --package heptad-benches`, with a name for some only.
#![allow(missing_docs, reason = "what criterion's macros make has no place for any")]

use criterion::{Criterion, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    for mut case in heptad_benches::cases() {
        criterion.bench_function(&case.name, |bencher| bencher.iter(|| (case.step)()));
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
