//! The body of `DeleteObjects`: which keys, read so strictly that no other reader can find other ones.
//!
//! ```xml
//! <Delete><Object><Key>a</Key><VersionId>1</VersionId></Object><Quiet>true</Quiet></Delete>
//! ```

use super::S3Error;
use super::document::{Reader, check_space, refuse};

/// An object to delete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Doomed {
    pub(super) key: String,
    pub(super) version: Option<String>,
}

/// Reads the list.
pub(super) fn read(body: &[u8]) -> Result<Vec<Doomed>, S3Error> {
    let mut reader = Reader::new(body, "Delete")?;
    let mut doomed = Vec::new();
    loop {
        if reader.closes("Delete") {
            break;
        }
        match reader.open()? {
            "Object" => doomed.push(object(&mut reader)?),
            "Quiet" => {
                reader.text_until("Quiet")?;
            }
            _ => return refuse("an element is none of Object and Quiet"),
        }
        if doomed.len() > OBJECTS_MAX {
            return refuse("it names more than 1,000 keys");
        }
    }
    reader.end()?;
    if doomed.is_empty() {
        return refuse("it names no key");
    }
    Ok(doomed)
}

fn object(reader: &mut Reader<'_>) -> Result<Doomed, S3Error> {
    let (mut key, mut version) = (None, None);
    let mut others: Vec<&str> = Vec::new();
    loop {
        if reader.closes("Object") {
            break;
        }
        let name = reader.open()?;
        let text = reader.text_until(name)?;
        let twice = match name {
            "Key" => key.replace(text).is_some(),
            "VersionId" => version.replace(text).is_some(),
            // Conditions of the deletion: they only narrow it.
            "ETag" | "LastModifiedTime" | "Size" => {
                let twice = others.contains(&name);
                others.push(name);
                twice
            }
            _ => return refuse("an element of an object is none that S3 knows"),
        };
        if twice {
            return refuse("an element of an object stands twice");
        }
    }
    let Some(key) = key else {
        return refuse("an object has no key");
    };
    for text in [Some(&key), version.as_ref()].into_iter().flatten() {
        check_space(text)?;
    }
    Ok(Doomed {
        key,
        version: version.filter(|version| !version.is_empty()),
    })
}

/// The most keys of one request, as S3 has it.
const OBJECTS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(body: &str) -> Result<Vec<String>, &'static str> {
        match read(body.as_bytes()) {
            Ok(doomed) => Ok(doomed.into_iter().map(|object| object.key).collect()),
            Err(S3Error::Body { reason }) => Err(reason),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_clients_write_is_read() {
        let namespace = r#"<?xml version="1.0" encoding="UTF-8"?>
            <Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Object><Key>a/b</Key></Object>
              <Object><Key>c &amp; d&#233;</Key><VersionId>7</VersionId></Object>
              <Quiet>true</Quiet>
            </Delete>
            "#;
        assert_eq!(keys(namespace).unwrap(), ["a/b", "c & dé"]);
        assert_eq!(
            keys("<Delete><Object><Key>x</Key></Object></Delete>").unwrap(),
            ["x"]
        );
        let versions =
            read(b"<Delete><Object><VersionId>v</VersionId><Key>k</Key></Object></Delete>");
        assert_eq!(
            versions.unwrap(),
            [Doomed {
                key: "k".into(),
                version: Some("v".into())
            }]
        );
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for body in [
            "",
            "<Delete/>",
            "<Delete></Delete>",
            "<Delete><Object/></Delete>",
            "<Delete><Object></Object></Delete>",
            "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
            "<Delete><Object><Key>a<!-- --></Key></Object></Delete>",
            "<Delete><Object><Key><![CDATA[a]]></Key></Object></Delete>",
            "<Delete><Object><Key> a</Key></Object></Delete>",
            "<Delete><Object><Key>a\n</Key></Object></Delete>",
            "<Delete><Object><Key>a&b;</Key></Object></Delete>",
            "<Delete><Object><Key>a&amp</Key></Object></Delete>",
            "<Delete><Object><Key>&#xD800;</Key></Object></Delete>",
            "<Delete><Object><Key>&#+65;</Key></Object></Delete>",
            "<Delete><Object><Key a='b'>a</Key></Object></Delete>",
            "<Delete><Object><key>a</key></Object></Delete>",
            "<Delete><Object><Key>a</Key></Object></Delete><x>",
            "<!DOCTYPE d [<!ENTITY e 'b'>]><Delete><Object><Key>&e;</Key></Object></Delete>",
            "<Delete xmlns='http://else'><Object><Key>a</Key></Object></Delete>",
            "<?xml version='1.0' encoding='latin-1'?><Delete><Object><Key>a</Key></Object></Delete>",
            "<?xml version='1.0' encoding='latin-1' x='utf-8'?><Delete><Object><Key>a</Key></Object></Delete>",
            "<?xml version='1.0' encoding = 'latin-1'?><Delete><Object><Key>a</Key></Object></Delete>",
        ] {
            assert!(keys(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_thousand_keys_are_the_most() {
        let list = |count| {
            let object = "<Object><Key>k</Key></Object>".repeat(count);
            format!("<Delete>{object}</Delete>")
        };
        assert_eq!(keys(&list(1000)).unwrap().len(), 1000);
        assert_eq!(keys(&list(1001)), Err("it names more than 1,000 keys"));
        assert_eq!(
            keys(&" ".repeat(2 * 1024 * 1024 + 1)),
            Err("it is longer than 2 MiB")
        );
    }
}
