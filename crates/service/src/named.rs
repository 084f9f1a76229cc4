//! Resources that are found by a name, an id or an ARN, and whose names are unique.

use bowline_store::Key;
use bowline_trust::Uuid;
use serde::{Deserialize, Serialize};

use crate::cache::Loaded;
use crate::error::Error;
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;

/// The id that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameRecord {
    pub(crate) id: String,
}

impl Record for NameRecord {
    const WHAT: &'static str = "name";
}

/// A kind of resource: how it is stored, and what its ARN is.
pub(crate) struct Named<R> {
    /// The key of the [`NameRecord`] of a name.
    pub(crate) name_key: fn(&str) -> Result<Key, Error>,
    /// The key of the record with an id.
    pub(crate) key: fn(&str) -> Result<Key, Error>,
    /// What stands between the account and the id in its ARN.
    pub(crate) infix: &'static str,
    /// Its ARN.
    pub(crate) arn: fn(&Settings, &R) -> String,
}

impl Service {
    /// The resource with a name, id or ARN.
    pub(crate) fn find<R: Record + Send + Sync + 'static>(
        &self,
        settings: &Settings,
        kind: &Named<R>,
        reference: &str,
    ) -> Result<Option<Loaded<R>>, Error> {
        if let Some((_, id)) = reference.rsplit_once(kind.infix) {
            let found = self.load::<R>(&(kind.key)(id)?)?;
            return match found {
                // An ARN of another account or region names another resource, whatever its id.
                Some(found) if (kind.arn)(settings, &found) == reference => Ok(Some(found)),
                Some(_) | None => Ok(None),
            };
        }
        match self.load::<NameRecord>(&(kind.name_key)(reference)?)? {
            Some(name) => self.load(&(kind.key)(&name.id)?),
            None => self.load(&(kind.key)(reference)?),
        }
    }
}

/// Refuses a name that would be taken for an id: it would stand before the resource with that id.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    match name.parse::<Uuid>() {
        Ok(_) => Err(Error::NameReadsAsId { name: name.into() }),
        Err(_) => Ok(()),
    }
}
