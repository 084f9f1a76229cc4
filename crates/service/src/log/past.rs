//! What the log signed before. Whoever can write the store can write sizes, roots, tiles and events, but no signature: so
//! the past is what the last note says under the log's key, and that key is the public half of the sealed one.

use bowline_store::{Commit, Value};
use bowline_x509::Signer;

use super::checkpoint::Checkpoint;
use super::note::VerifierKey;
use super::signing::{EVENTS_PAGE, LogCheckpoint, LogRecord, entry_of, missing_event};
use super::tree::{Frontier, Hash, leaf_hash};
use super::verdict::LogError;
use crate::error::Error;
use crate::keys::PrivateKey;
use crate::keyspace;
use crate::record::Record;
use crate::service::{SealedSecret, Service};

/// What a log signed last.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    /// As it is stored. Its note bears the log's signature, and what is beside the note says the same.
    pub(crate) latest: LogCheckpoint,
    /// The root.
    pub(crate) root: Hash,
}

/// The log's private key, as it was sealed.
pub(super) struct OwnKey {
    pub(super) key: PrivateKey,
    /// Whether it was sealed as one that has signed.
    pub(super) has_signed: bool,
}

impl Service {
    /// What a log signed last, if it signed anything, and the record that says so. Refused where the log must have signed,
    /// and what it signed is missing, or forged, or not the last.
    pub(crate) fn last_signed(
        &self,
        log: &LogRecord,
    ) -> Result<(Option<Value>, Option<Signed>), Error> {
        loop {
            let stored = self.store.get(&keyspace::log_checkpoint_latest())?;
            match self.judged(log, stored.as_ref()) {
                Ok(signed) => return Ok((stored, signed)),
                // Reads are no snapshot: somebody may have signed between them.
                Err(_) if self.store.get(&keyspace::log_checkpoint_latest())? != stored => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn judged(&self, log: &LogRecord, stored: Option<&Value>) -> Result<Option<Signed>, Error> {
        // 1. The key.
        let vkey = VerifierKey::parse(&log.vkey).map_err(|error| damaged(error.to_string()))?;
        if vkey.name() != log.origin {
            return Err(damaged(format!(
                "it is called {:?}, and its key is that of {:?}",
                log.origin,
                vkey.name()
            )));
        }
        let mut has_signed = false;
        // Without what opens the keys there is nothing to hold it against.
        if self.sealer().is_ok() {
            let own = self.log_private_key()?;
            if own.key.public_key().key_bits() != vkey.key() {
                return Err(damaged(
                    "the key it is verified with is not that of its sealed private key".into(),
                ));
            }
            has_signed = own.has_signed;
        }

        // 2. The note.
        let signed = match stored {
            Some(value) => Some(opened(&vkey, value)?),
            None => None,
        };
        if has_signed && signed.is_none() {
            return Err(damaged(
                "its last checkpoint is missing, and its key has signed before".into(),
            ));
        }

        // 3. It is the last.
        let size = signed.as_ref().map_or(0, |signed| signed.latest.size);
        let mut after = keyspace::log_checkpoint(size)?;
        loop {
            let page = self
                .store
                .scan(&keyspace::log_checkpoints(), Some(&after), EVENTS_PAGE)?;
            for (key, value) in &page {
                // Other logs signed in this home before it was restored.
                let later = LogCheckpoint::decode(key, value)?;
                if later.origin == log.origin {
                    return Err(damaged(format!(
                        "its last checkpoint is of size {size}, and it signed one of size {}",
                        later.size
                    )));
                }
            }
            match page.into_iter().next_back() {
                Some((key, _)) => after = key,
                None => return Ok(signed),
            }
        }
    }

    /// That no log of this home ever signed. Where it has none that is how it must be.
    pub(crate) fn never_signed(&self) -> Result<(), Error> {
        let latest = self.store.get(&keyspace::log_checkpoint_latest())?;
        let signed = self.store.scan(&keyspace::log_checkpoints(), None, 1)?;
        if latest.is_none() && signed.is_empty() {
            return Ok(());
        }
        Err(damaged(
            "its name and key are missing, and checkpoints were signed".into(),
        ))
    }

    /// Holds the events of a home that was made from a backup against what its log signed. A backup says only that its
    /// bytes are as whoever wrote it left them.
    pub(crate) fn check_backed_up_log(&self) -> Result<(), Error> {
        let key = keyspace::log();
        let held = match self.store.get(&key)? {
            Some(value) => self.held(&LogRecord::decode(&key, &value)?),
            None => self.never_signed(),
        };
        held.map_err(|error| match error {
            Error::LogDamaged { reason } => Error::Log(LogError::RewrittenInBackup { reason }),
            error => error,
        })
    }

    fn held(&self, log: &LogRecord) -> Result<(), Error> {
        // A home restored before, whose next log has not begun: there is nothing that the last one signed.
        if log.ended
            && self
                .store
                .get(&keyspace::log_checkpoint_latest())?
                .is_none()
        {
            return Ok(());
        }
        let Some(signed) = self.last_signed(log)?.1 else {
            return Ok(());
        };
        let (size, mut tree, mut number) = (signed.latest.size, Frontier::new(), 0);
        while number < size {
            let start = keyspace::event(number)?;
            let page = self
                .store
                .scan(&keyspace::events(), Some(&start), EVENTS_PAGE)?;
            if page.is_empty() {
                return Err(damaged(format!(
                    "{size} events were signed, and there are {number}"
                )));
            }
            for (key, value) in page {
                if number == size {
                    break;
                }
                number += 1;
                if key != keyspace::event(number)? {
                    return Err(missing_event(number));
                }
                tree.push(leaf_hash(&entry_of(number, &value)?));
            }
        }
        if tree.root() != signed.root {
            return Err(damaged(format!(
                "one of the events 1 to {size} is not what was signed"
            )));
        }
        Ok(())
    }

    /// Adds to a commit that this home's log ends here. The next to sign is another one, under another name and key: where
    /// a home goes on from a backup, events may follow that the old log's checkpoints contradict.
    ///
    /// Key and last checkpoint stay until that one begins: whoever opens the keys then holds them against each other. Of a
    /// log that was accepted although it is `rewritten` they are nothing to go by.
    pub(crate) fn begin_log_again(&self, commit: Commit, rewritten: bool) -> Result<Commit, Error> {
        let key = keyspace::log();
        let (commit, log) = match self.store.get(&key)? {
            Some(value) => {
                let log = LogRecord::decode(&key, &value)?;
                (commit.expect_equals(key.clone(), value), log)
            }
            None if rewritten => {
                let log = LogRecord {
                    origin: String::new(),
                    vkey: String::new(),
                    created: self.now(),
                    ended: true,
                };
                (commit.expect_absent(key.clone()), log)
            }
            None => return Ok(commit),
        };
        let commit = commit.put(key, LogRecord { ended: true, ..log }.encode()?);
        // The new log makes every tile again: it promises nothing but what its own events say.
        Ok(match rewritten {
            true => commit
                .delete(keyspace::log_key())
                .delete(keyspace::log_checkpoint_latest()),
            false => commit,
        })
    }

    /// The private key of the log.
    pub(super) fn log_private_key(&self) -> Result<OwnKey, Error> {
        let key = keyspace::log_key();
        let value = self
            .store
            .get(&key)?
            .ok_or_else(|| damaged("its private key is missing".into()))?;
        let sealed = SealedSecret::decode(&key, &value)?;
        let sealer = self.sealer()?;
        let (pkcs8, has_signed) = match sealer.open(key.as_bytes(), &sealed.sealed) {
            Ok(pkcs8) => (pkcs8, false),
            Err(_) => match sealer.open(PLACE_OF_A_KEY_THAT_SIGNED, &sealed.sealed) {
                Ok(pkcs8) => (pkcs8, true),
                Err(_) => return Err(damaged("its private key does not open".into())),
            },
        };
        Ok(OwnKey {
            key: PrivateKey::from_der(&pkcs8)?,
            has_signed,
        })
    }

    /// Adds to the commit of its first checkpoint that the key has signed. The seal says so, and is made with the home's
    /// own key: nobody else makes of this log one that never signed.
    pub(super) fn seal_as_signed(&self, commit: Commit, own: &OwnKey) -> Result<Commit, Error> {
        let sealed = SealedSecret {
            sealed: self.sealer()?.seal(
                PLACE_OF_A_KEY_THAT_SIGNED,
                own.key.pkcs8(),
                &*self.entropy,
            ),
        };
        Ok(commit.put(keyspace::log_key(), sealed.encode()?))
    }
}

/// Reads a note and what is stored beside it, which says the same.
fn opened(vkey: &VerifierKey, value: &Value) -> Result<Signed, Error> {
    let latest = LogCheckpoint::decode(&keyspace::log_checkpoint_latest(), value)?;
    let checkpoint = Checkpoint::open(&latest.note, vkey)
        .map_err(|error| damaged(format!("its last checkpoint is forged: {error}")))?;
    let beside = (&latest.origin, latest.size, &latest.root);
    if beside
        != (
            &checkpoint.origin,
            checkpoint.size,
            &hex::encode(checkpoint.root),
        )
    {
        return Err(damaged(format!(
            "its last checkpoint is forged: size {} and root {} were not signed",
            latest.size, latest.root
        )));
    }
    Ok(Signed {
        latest,
        root: checkpoint.root,
    })
}

fn damaged(reason: String) -> Error {
    Error::LogDamaged { reason }
}

/// What the seal of a key is bound to once it has signed; before, to the place of its record.
const PLACE_OF_A_KEY_THAT_SIGNED: &[u8] = b"log-key/signed";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bowline_store::{Key, MemoryStore, Progress, Store};

    use super::*;
    use crate::audit::Event;
    use crate::keys::KeySpec;
    use crate::log::note::sign;
    use crate::log::signing::tile_record;
    use crate::log::tile::Edge;
    use crate::operation::{Sink, Transfer};
    use crate::{Caller, Examine, Initialize, Operation, SystemClock, SystemEntropy, UnsealKey};

    struct Home {
        store: Arc<MemoryStore>,
        unseal: UnsealKey,
    }

    impl Home {
        /// A home with a few events, all of which were signed, in two steps.
        fn new() -> Home {
            let home = Home {
                store: Arc::new(MemoryStore::new()),
                unseal: UnsealKey::generate(&SystemEntropy).0,
            };
            let initialize = Initialize {
                name: "Test".into(),
                url: None,
                account: "000000000000".into(),
                region: "us-east-1".into(),
                issuing_p384: false,
                offline_root: None,
            };
            initialize.run(&home.open(), &Caller::Operator).unwrap();
            for _ in 0..2 {
                home.open().sign_log_checkpoint().unwrap();
                home.happen();
            }
            home.open().sign_log_checkpoint().unwrap();
            home
        }

        fn open(&self) -> Service {
            let unseal = Some(self.unseal.clone());
            Service::new(
                self.store.clone(),
                Arc::new(SystemClock),
                Arc::new(SystemEntropy),
                unseal,
            )
        }

        fn happen(&self) {
            let service = self.open();
            let now = service.now();
            let event = Event::ClockAccepted { was: now };
            service
                .commit(Commit::new(), &Caller::Operator, now, event)
                .unwrap();
        }

        fn get(&self, key: &Key) -> Value {
            self.store.get(key).unwrap().unwrap()
        }

        fn put(&self, key: Key, value: Value) {
            self.store.commit(Commit::new().put(key, value)).unwrap();
        }

        fn delete(&self, key: Key) {
            self.store.commit(Commit::new().delete(key)).unwrap();
        }

        fn latest(&self) -> LogCheckpoint {
            let key = keyspace::log_checkpoint_latest();
            LogCheckpoint::decode(&key, &self.get(&key)).unwrap()
        }

        fn log(&self) -> LogRecord {
            LogRecord::decode(&keyspace::log(), &self.get(&keyspace::log())).unwrap()
        }

        /// Changes the first event, and everything that can be computed without a key. Gives the root.
        fn rewrite(&self) -> Hash {
            let first = keyspace::event(1).unwrap();
            let text = String::from_utf8(self.get(&first).into_bytes()).unwrap();
            let edited = text.replace("operator", "somebody");
            assert_ne!(edited, text);
            self.put(first, Value::new(edited).unwrap());
            let mut edge = Edge::new();
            for number in 1..=self.latest().size {
                let value = self.get(&keyspace::event(number).unwrap());
                edge.push(leaf_hash(&value.as_bytes()[1..]), &mut |_, _| {});
            }
            for (tile, hashes) in edge.tiles() {
                let (key, value) = tile_record(tile, hashes).unwrap();
                self.put(key, value);
            }
            edge.root()
        }

        fn put_latest(&self, latest: &LogCheckpoint) {
            let value = latest.encode().unwrap();
            self.put(keyspace::log_checkpoint_latest(), value);
        }

        fn forget(&self, checkpoints: bool) {
            self.delete(keyspace::log_checkpoint_latest());
            if checkpoints {
                let there = self.store.scan(&keyspace::log_checkpoints(), None, 9);
                for (key, _) in there.unwrap() {
                    self.delete(key);
                }
            }
        }

        /// What signing says, with something new to sign.
        fn refused(&self) -> String {
            self.happen();
            let refused = self.open().sign_log_checkpoint().unwrap_err();
            assert_eq!(&*refused.code(), "log_damaged", "{refused}");
            refused.to_string()
        }

        fn found(&self) -> Vec<String> {
            let examination = Examine {}
                .run(&self.open(), &Caller::Operator, &mut Nothing)
                .unwrap();
            let findings = examination.findings.into_iter();
            findings.map(|finding| finding.code).collect()
        }
    }

    struct Nothing;

    impl Sink for Nothing {
        fn progress(&mut self, _progress: Progress) -> Result<(), Error> {
            Ok(())
        }

        fn bytes(&mut self, _bytes: &[u8]) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn a_past_changed_with_all_its_hashes_is_never_signed() {
        // What is beside the note says what was made up.
        let home = Home::new();
        let root = hex::encode(home.rewrite());
        let latest = home.latest();
        home.put_latest(&LogCheckpoint { root, ..latest });
        assert!(home.refused().contains("were not signed"));
        assert_eq!(home.found(), ["log_checkpoint_forged"]);

        // The note says it too, and its signature is another text's.
        let home = Home::new();
        let latest = home.latest();
        let made_up = Checkpoint {
            origin: latest.origin.clone(),
            size: latest.size,
            root: home.rewrite(),
        };
        let (_, signature) = latest.note.rsplit_once("\n\n").unwrap();
        home.put_latest(&LogCheckpoint {
            root: hex::encode(made_up.root),
            note: format!("{}\n{signature}", made_up.text()),
            ..latest.clone()
        });
        assert!(home.refused().contains("did not make"));
        assert_eq!(home.found(), ["log_checkpoint_forged"]);

        // It bears a signature, of a key that was put in the place of the log's.
        let signer = PrivateKey::generate(KeySpec::Ed25519).unwrap();
        let bits = signer.public_key().key_bits().try_into().unwrap();
        home.put_latest(&LogCheckpoint {
            root: hex::encode(made_up.root),
            note: sign(&made_up.text(), &made_up.origin, &signer).unwrap(),
            ..latest
        });
        let vkey = VerifierKey::new(&made_up.origin, bits).unwrap().to_string();
        let log = LogRecord { vkey, ..home.log() };
        home.put(keyspace::log(), log.encode().unwrap());
        assert!(home.refused().contains("sealed private key"));
        assert_eq!(home.found(), ["log_checkpoint_forged"]);
    }

    #[test]
    fn a_log_that_was_made_to_forget_what_it_signed_signs_nothing() {
        let home = Home::new();
        home.rewrite();
        home.forget(false);
        assert!(home.refused().contains("is missing"));
        home.forget(true);
        assert!(home.refused().contains("has signed before"));
        assert_eq!(home.found(), ["log_checkpoint_forged"]);

        // Who cannot open the keys sees it by the checkpoints that are still there.
        let home = Home::new();
        home.forget(false);
        let locked = Service::new(
            home.store.clone(),
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            None,
        );
        let refused = locked.last_signed(&home.log()).unwrap_err();
        assert_eq!(&*refused.code(), "log_damaged", "{refused}");

        // An earlier one in its place.
        let home = Home::new();
        let checkpoints = home.store.scan(&keyspace::log_checkpoints(), None, 9);
        let earlier = checkpoints.unwrap().remove(0).1;
        home.put(keyspace::log_checkpoint_latest(), earlier);
        assert!(home.refused().contains("signed one of size"));
        assert_eq!(home.found(), ["log_checkpoint_forged"]);

        // No log at all: another one does not begin as if it were the first.
        let home = Home::new();
        home.delete(keyspace::log());
        home.delete(keyspace::log_key());
        assert!(home.refused().contains("checkpoints were signed"));
        assert_eq!(home.found(), ["log_checkpoint_forged"]);
    }

    #[test]
    fn a_key_of_an_earlier_program_is_sealed_as_one_that_signed_when_it_signs_again() {
        let home = Home::new();
        let service = home.open();
        let own = service.log_private_key().unwrap();
        assert!(own.has_signed);
        let key = keyspace::log_key();
        let sealed = SealedSecret {
            sealed: service
                .sealer()
                .unwrap()
                .seal(key.as_bytes(), own.key.pkcs8(), &SystemEntropy),
        };
        home.put(key, sealed.encode().unwrap());
        assert!(!service.log_private_key().unwrap().has_signed);
        home.happen();
        service.sign_log_checkpoint().unwrap();
        assert!(service.log_private_key().unwrap().has_signed);
        assert_eq!(home.found(), [] as [&str; 0]);
    }

    #[test]
    fn a_log_that_ended_is_followed_only_if_its_key_is_the_sealed_one() {
        let home = Home::new();
        let signer = PrivateKey::generate(KeySpec::Ed25519).unwrap();
        let bits = signer.public_key().key_bits().try_into().unwrap();
        let latest = home.latest();
        let made_up = Checkpoint {
            origin: latest.origin.clone(),
            size: latest.size,
            root: home.rewrite(),
        };
        home.put_latest(&LogCheckpoint {
            root: hex::encode(made_up.root),
            note: sign(&made_up.text(), &made_up.origin, &signer).unwrap(),
            ..latest
        });
        let vkey = VerifierKey::new(&made_up.origin, bits).unwrap().to_string();
        let log = LogRecord { vkey, ..home.log() };
        home.put(keyspace::log(), log.encode().unwrap());
        // Every checkpoint the true key signed is under the name too, and says nothing more.
        let locked = Service::new(
            home.store.clone(),
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            None,
        );
        locked.check_backed_up_log().unwrap();
        let commit = locked.begin_log_again(Commit::new(), false).unwrap();
        home.store.commit(commit).unwrap();
        assert!(home.refused().contains("sealed private key"));
    }
}
