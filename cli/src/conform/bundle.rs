//! The vectors: those that are built in, or a folder of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::json::{Fields, Json};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../spec/vectors/", $name)))),*]
    };
}

/// Name and text of every file of `spec/vectors`.
const BUILT_IN: &[(&str, &str)] = built_in![
    "frames.json",
    "reject.json",
    "values.cbor.json",
    "values.json.json",
    "values.msgpack.json",
    "values.raw.json",
    "sessions/channels.json",
    "sessions/credit.json",
    "sessions/errors.json",
    "sessions/limits.json",
    "sessions/nested.json",
    "sessions/session.json",
    "sessions/streams.json",
];

/// What else is in the folder: for the tests of a port, or about the vectors.
const NO_VECTORS: [&str; 4] = ["carriers.json", "iris.json", "schema.json", "uncovered.json"];

/// An entry of a file of vectors.
pub(super) struct Vector {
    pub(super) file: String,
    pub(super) entry: Json,
}

impl Vector {
    pub(super) fn id(&self) -> &str {
        self.entry.text("id").unwrap_or_default()
    }
}

/// All vectors: of `folder`, or those built in.
pub(super) fn load(folder: Option<&Path>) -> Result<Vec<Vector>, String> {
    let files = match folder {
        Some(folder) => read_folder(folder)?,
        None => BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    };
    let mut vectors = Vec::new();
    let mut ids = HashSet::new();
    for (file, text) in files {
        let wrong = |why: &dyn std::fmt::Display| format!("the vectors {file}: {why}");
        let entries: Vec<Json> = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        for entry in entries {
            let vector = Vector { file: file.clone(), entry };
            if vector.id().is_empty() || !ids.insert(vector.id().to_owned()) {
                return Err(wrong(&format!("the id \"{}\" is empty or there twice", vector.id())));
            }
            vectors.push(vector);
        }
    }
    Ok(vectors)
}

fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    for below in ["", "sessions"] {
        let path = folder.join(below);
        if !below.is_empty() && !path.is_dir() {
            continue;
        }
        let wrong = |error| format!("{} cannot be read: {error}", path.display());
        let mut names: Vec<PathBuf> = Vec::new();
        for item in std::fs::read_dir(&path).map_err(wrong)? {
            names.push(item.map_err(wrong)?.path());
        }
        names.sort();
        for name in names.iter().filter(|name| name.extension().is_some_and(|kind| kind == "json")) {
            let file = name.strip_prefix(folder).unwrap_or(name).to_string_lossy().into_owned();
            if NO_VECTORS.contains(&file.as_str()) {
                continue;
            }
            let text = std::fs::read_to_string(name)
                .map_err(|error| format!("{} cannot be read: {error}", name.display()))?;
            files.push((file, text));
        }
    }
    if files.is_empty() {
        return Err(format!("there are no vectors in {}", folder.display()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_vectors_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
        let mut there: Vec<String> =
            read_folder(&folder).unwrap().into_iter().map(|(name, _)| name).collect();
        let mut built_in: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        there.sort();
        built_in.sort();
        assert_eq!(built_in, there, "list the file in bundle.rs");
    }

    #[test]
    fn the_built_in_vectors_have_ids_of_their_own() {
        assert!(load(None).unwrap().len() > 100);
    }
}
