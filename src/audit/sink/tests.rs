use super::*;
use crate::audit::Event;

fn line(at: Position) -> (Vec<u8>, Position) {
    at.line("2026-01-01T00:00:00Z".parse().unwrap(), "one", &Event::LeadershipWon).unwrap()
}

fn write(file: &mut LogFile, mut at: Position, count: usize) -> Position {
    for _ in 0..count {
        let (text, next) = line(at);
        file.write(&text, false).unwrap();
        at = next;
    }
    at
}

fn refused(path: &Path) -> String {
    LogFile::open(path).err().unwrap().to_string()
}

#[test]
fn a_chain_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut file, at, torn) = LogFile::open(&path).unwrap();
    assert_eq!((at, torn), (Position::START, None));
    let at = write(&mut file, at, 3);
    assert!(refused(&path).contains("another process"), "two writers would break it");
    drop(file);
    let (_, again, _) = LogFile::open(&path).unwrap();
    assert_eq!(again, at);
}

#[test]
fn a_torn_line_is_taken_out_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut file, at, _) = LogFile::open(&path).unwrap();
    let at = write(&mut file, at, 2);
    drop(file);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [whole.clone(), b"{\"seq\":3,\"time".to_vec()].concat()).unwrap();
    let (_, again, torn) = LogFile::open(&path).unwrap();
    assert_eq!(again, at);
    assert_eq!(torn, Some(Torn { bytes: 14, text: "{\"seq\":3,\"time".to_owned() }));
    assert_eq!(fs::read(&path).unwrap(), whole);

    fs::write(&path, "no newline at all").unwrap();
    let (_, again, torn) = LogFile::open(&path).unwrap();
    assert_eq!((again, torn.map(|torn| torn.bytes)), (Position::START, Some(17)));
}

#[test]
fn an_end_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut file, at, _) = LogFile::open(&path).unwrap();
    write(&mut file, at, 3);
    drop(file);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("LeadershipWon", "LeadershipOne", 1)).unwrap();
    let error = refused(&path);
    assert!(error.contains("line 1 ") && error.contains("changed") && error.contains("audit verify"), "{error}");
    let cut: Vec<&str> =
        text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| line).collect();
    fs::write(&path, cut.concat()).unwrap();
    assert!(refused(&path).contains("line 2 "), "{}", refused(&path));
    fs::write(&path, text.split_inclusive('\n').skip(1).collect::<String>()).unwrap();
    assert!(LogFile::open(&path).is_ok(), "the head may be in an older file");
}

#[test]
fn only_the_end_of_a_long_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut file, at, _) = LogFile::open(&path).unwrap();
    let count = usize::try_from(TAIL).unwrap() / line(at).0.len() + 10;
    let at = write(&mut file, at, count);
    drop(file);
    let (_, again, torn) = LogFile::open(&path).unwrap();
    assert_eq!((again, torn), (at, None));
}

#[test]
fn a_file_that_is_moved_away_or_emptied_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut file, at, _) = LogFile::open(&path).unwrap();
    let at = write(&mut file, at, 2);
    assert!(!file.follow().unwrap());
    fs::rename(&path, folder.path().join("audit.jsonl.1")).unwrap();
    assert!(file.follow().unwrap());
    assert!(!file.follow().unwrap());
    let at = write(&mut file, at, 1);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert!(file.follow().unwrap());
    write(&mut file, at, 1);
    assert!(!file.follow().unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[test]
fn what_cannot_be_a_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(&folder.path().join("missing/audit.jsonl")).contains("is its folder there"));
    assert!(refused(Path::new("/dev/null")).contains("not a regular file"));
}
