//! The recording: what a real API server answered, a file a theme.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

const HEAD: &str = "# What a real API server answered. Written by `make conformance-record`; not to be edited.";

/// Transcripts by (theme, case).
pub type Transcripts = BTreeMap<(String, String), String>;

/// The recording, and the version of Kubernetes that it is of.
pub struct Recording {
    /// As the API server says it.
    pub version: String,
    /// All that was recorded.
    pub transcripts: Transcripts,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/recorded"))
}

/// Reads all of it.
pub fn read() -> Recording {
    let mut recording = Recording { version: String::new(), transcripts: Transcripts::new() };
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder()).expect("the folder is there").map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
        let theme = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).expect("the recording can be read");
        let mut parts = text.split("\n== ");
        let head = parts.next().unwrap_or_default();
        let version = head.lines().find_map(|line| line.strip_prefix("# Kubernetes ")).unwrap_or("unknown");
        assert!(recording.version.is_empty() || recording.version == version, "{theme}: recorded of another version");
        version.clone_into(&mut recording.version);
        for part in parts {
            let (name, transcript) = part.split_once('\n').expect("a case has a name");
            let transcript = format!("{}\n", transcript.trim_end());
            let before = recording.transcripts.insert((theme.clone(), name.to_owned()), transcript);
            assert!(before.is_none(), "{theme}: {name} is there twice");
        }
    }
    recording
}

/// Writes all of it, the cases in the given order; a theme without a case loses its file.
pub fn write(recording: &Recording, order: &[(String, String)]) {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for key in order {
        let Some(transcript) = recording.transcripts.get(key) else { continue };
        let text = files.entry(&key.0).or_insert_with(|| format!("{HEAD}\n# Kubernetes {}\n", recording.version));
        let _ = write!(text, "\n== {}\n{transcript}", key.1);
    }
    for file in fs::read_dir(folder()).expect("the folder is there").map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "txt") {
            fs::remove_file(file).expect("the folder can be written to");
        }
    }
    for (theme, text) in files {
        fs::write(folder().join(format!("{theme}.txt")), text).expect("the folder can be written to");
    }
}
