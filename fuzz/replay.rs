//! Tries the inputs that fuzzing kept for a target, as a test of the crate that has its property.

use std::{fs, path::Path};

/// Holds a property against each input of a target's corpus.
pub(crate) fn replay(target: &str, property: impl Fn(&[u8])) {
    let corpora = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus"));
    let inputs = fs::read_dir(corpora.join(target)).unwrap();
    let mut count = 0;
    for input in inputs {
        let path = input.unwrap().path();
        // The last line that is captured names the input that fails.
        println!("{}", path.display());
        property(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}
