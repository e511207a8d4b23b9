//! UIDs and generated names, from the seed.

use super::State;

/// What a generated name ends in: no vowels, and nothing that looks like another one.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl State {
    /// A UID that nobody has yet.
    pub(crate) fn new_uid(&mut self) -> String {
        let bits = (self.random.u128(..) & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// A name that begins like this.
    pub(crate) fn new_name(&mut self, prefix: &str) -> String {
        let mut name: String = prefix.chars().take(58).collect();
        for _ in 0..5 {
            name.push(char::from(LETTERS[self.random.usize(..LETTERS.len())]));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn uids_and_names_follow_from_the_seed() {
        let made = |seed| {
            let mut state = State::new(Clock::system(), seed, 1, true);
            (state.new_uid(), state.new_name("web-"))
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        let (uid, name) = made(3);
        assert_eq!((uid.len(), &uid[14..15]), (36, "4"));
        assert!(matches!(&uid[19..20], "8" | "9" | "a" | "b"), "{uid}");
        assert_eq!(name.len(), 9);
    }
}
