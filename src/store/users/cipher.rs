//! Access data at rest: XChaCha20-Poly1305 with a key from a file. Each ciphertext is bound to its
//! user, profile and partner system, so that none can be put in another one's place.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::migration::identity::SystemName;
use crate::migration::profile::UserId;
use crate::migration::secret::Secret;

/// One key, and the name by which ciphertexts refer to it.
pub struct Key {
    cipher: XChaCha20Poly1305,
    id: [u8; ID],
}

impl Key {
    /// Reads a file that holds 32 octets as base64 (RFC 4648 4) or in hexadecimal, and that nobody
    /// but its owner may read.
    ///
    /// # Errors
    /// What is wrong with the file; the text does not show what it holds.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| format!("cannot read the key in {shown}: {error}");
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(format!(
                "others may read the key in {shown} (mode {:o}): chmod 600 it",
                mode & 0o777
            ));
        }
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE));
        file.take(MAX_FILE as u64)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        Self::parse(&text).ok_or_else(|| {
            format!("{shown} must hold a key of 32 octets, as base64 or in hexadecimal")
        })
    }

    /// A key as text.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let key = Zeroizing::new(match text.len() {
            HEX => unhex(text)?,
            _ => STANDARD.decode(text).ok()?,
        });
        let cipher = XChaCha20Poly1305::new_from_slice(&key).ok()?;
        let hash = blake3::derive_key("homeward users.sqlite key id v1", &key);
        let (id, _) = hash.split_first_chunk()?;
        Some(Self { cipher, id: *id })
    }

    /// Encrypts access data.
    pub(super) fn seal(&self, secret: &Secret, place: &Place<'_>) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE] = rand::random();
        let aad = place.bytes();
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: &aad,
        };
        let text = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([&[VERSION], &self.id[..], &nonce, &text].concat())
    }

    fn open(&self, nonce: [u8; NONCE], text: &[u8], place: &Place<'_>) -> Option<Secret> {
        let aad = place.bytes();
        let payload = Payload {
            msg: text,
            aad: &aad,
        };
        let plain = self.cipher.decrypt(&XNonce::from(nonce), payload).ok()?;
        Secret::new(String::from_utf8(plain).ok()?)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The key that encrypts, and former ones that still decrypt.
#[derive(Debug, Default)]
pub struct Keyring {
    /// Encrypts; without one there can be no access data.
    pub current: Option<Key>,
    /// What they have encrypted is encrypted anew at the start.
    pub previous: Vec<Key>,
}

/// What a ciphertext turned out to be.
#[derive(Debug)]
pub(super) enum Opened {
    /// Good, and under the current key.
    Current,
    /// Good, under a former key.
    Former(Secret),
    /// Under a key that is not there.
    OtherKey,
    /// Under a key that is there, and yet it does not decrypt; or no ciphertext of ours.
    Damaged,
}

impl Keyring {
    /// Decrypts a ciphertext to see whether it is good.
    pub(super) fn open(&self, sealed: &[u8], place: &Place<'_>) -> Opened {
        let parts = || {
            let (version, rest) = sealed.split_first()?;
            let (id, rest) = rest.split_first_chunk::<ID>()?;
            let (nonce, text) = rest.split_first_chunk::<NONCE>()?;
            (*version == VERSION).then_some((*id, *nonce, text))
        };
        let Some((id, nonce, text)) = parts() else {
            return Opened::Damaged;
        };
        if let Some(key) = self.current.as_ref().filter(|key| key.id == id) {
            return match key.open(nonce, text, place) {
                Some(_) => Opened::Current,
                None => Opened::Damaged,
            };
        }
        match self.previous.iter().find(|key| key.id == id) {
            None => Opened::OtherKey,
            Some(key) => match key.open(nonce, text, place) {
                Some(secret) => Opened::Former(secret),
                None => Opened::Damaged,
            },
        }
    }
}

/// Where access data belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) user: &'a UserId,
    pub(super) profile: u32,
    pub(super) partner: &'a SystemName,
}

impl Place<'_> {
    /// Associated data: neither name can hold a line break, so no two places look the same.
    fn bytes(&self) -> Vec<u8> {
        let (user, profile, partner) = (self.user, self.profile, self.partner);
        format!("homeward access data v1\n{user}\n{profile}\n{partner}").into_bytes()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

const VERSION: u8 = 1;
const ID: usize = 8;
const NONCE: usize = 24;
/// Hexadecimal digits of a key.
const HEX: usize = 64;
const MAX_FILE: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_base64_or_hexadecimal() {
        let hex = "00".repeat(31) + "ff\n";
        let base64 = STANDARD.encode([&[0; 31][..], &[0xff]].concat());
        let (a, b) = (Key::parse(&hex).unwrap(), Key::parse(&base64).unwrap());
        assert_eq!(a.id, b.id);
        let bad = [
            "".into(),
            "00".into(),
            "zz".repeat(32),
            "A".repeat(43),
            STANDARD.encode([1; 31]),
        ];
        for text in bad {
            assert!(Key::parse(&text).is_none(), "{text}");
        }
        assert_eq!(format!("{a:?}"), "Key(..)");
    }

    #[test]
    fn what_is_moved_or_altered_does_not_open() {
        let key = || Key::parse(&"0a".repeat(32)).unwrap();
        let (user, other) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let (partner, far) = ("q.example".parse().unwrap(), "r.example".parse().unwrap());
        let place = Place {
            user: &user,
            profile: 1,
            partner: &partner,
        };
        let secret = Secret::new("hunter2".into()).unwrap();
        let sealed = key().seal(&secret, &place).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(sealed, key().seal(&secret, &place).unwrap());
        let ring = Keyring {
            current: Some(key()),
            previous: Vec::new(),
        };
        assert!(matches!(ring.open(&sealed, &place), Opened::Current));
        let elsewhere = [
            Place {
                user: &other,
                ..place
            },
            Place {
                profile: 2,
                ..place
            },
            Place {
                partner: &far,
                ..place
            },
        ];
        for place in elsewhere {
            assert!(matches!(ring.open(&sealed, &place), Opened::Damaged));
        }
        for at in 33..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(matches!(ring.open(&altered, &place), Opened::Damaged));
        }
        for length in 0..sealed.len() {
            let opened = ring.open(&sealed[..length], &place);
            assert!(matches!(opened, Opened::Damaged), "{length}");
        }
        let later = Keyring {
            current: Key::parse(&"0b".repeat(32)),
            previous: vec![key()],
        };
        let Opened::Former(found) = later.open(&sealed, &place) else {
            panic!("a former key opens it");
        };
        assert_eq!(found, secret);
        let opened = Keyring::default().open(&sealed, &place);
        assert!(matches!(opened, Opened::OtherKey));
    }
}
