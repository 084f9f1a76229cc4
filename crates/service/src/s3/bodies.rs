//! Bodies that say what an object shall have: tags, a retention, a legal hold.
//!
//! Policies ask about it. Headers of the same names mean nothing beside such a body, and answer nothing.

use std::collections::BTreeMap;

use super::S3Error;
use super::document::{Reader, check_space, refuse};
use crate::authorization::ContextValue;

/// The tags of `PutObjectTagging`:
/// `<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`.
pub(super) fn tags(body: &[u8]) -> Result<Vec<(String, String)>, S3Error> {
    let mut reader = Reader::new(body, "Tagging")?;
    let mut tags = Vec::new();
    if !reader.is_empty("TagSet") {
        open(&mut reader, "TagSet")?;
        while !reader.closes("TagSet") {
            open(&mut reader, "Tag")?;
            tags.push(tag(&mut reader)?);
        }
    }
    if !reader.closes("Tagging") {
        return refuse("it has more than one set of tags");
    }
    reader.end()?;
    Ok(tags)
}

fn tag(reader: &mut Reader<'_>) -> Result<(String, String), S3Error> {
    let [key, value] = texts(reader, "Tag", ["Key", "Value"])?;
    match (key, value) {
        (Some(key), Some(value)) => Ok((key, value)),
        _ => refuse("a tag has no key or no value"),
    }
}

/// The condition keys of `PutObjectRetention`.
pub(super) fn retention(
    body: &[u8],
    keys: &mut BTreeMap<String, ContextValue>,
) -> Result<(), S3Error> {
    let [mode, until] = flat(body, "Retention", ["Mode", "RetainUntilDate"])?;
    set(keys, "s3:object-lock-mode", mode);
    set(keys, "s3:object-lock-retain-until-date", until);
    Ok(())
}

/// The condition keys of `PutObjectLegalHold`.
pub(super) fn legal_hold(
    body: &[u8],
    keys: &mut BTreeMap<String, ContextValue>,
) -> Result<(), S3Error> {
    let [status] = flat(body, "LegalHold", ["Status"])?;
    set(keys, "s3:object-lock-legal-hold", status);
    Ok(())
}

fn set(keys: &mut BTreeMap<String, ContextValue>, key: &str, value: Option<String>) {
    if let Some(value) = value {
        keys.insert(key.into(), ContextValue::One(value));
    }
}

/// A document of nothing but texts.
fn flat<const N: usize>(
    body: &[u8],
    root: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], S3Error> {
    let mut reader = Reader::new(body, root)?;
    let found = texts(&mut reader, root, names)?;
    reader.end()?;
    Ok(found)
}

/// The texts inside an element, to its end.
fn texts<const N: usize>(
    reader: &mut Reader<'_>,
    parent: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], S3Error> {
    let mut found = [const { None }; N];
    while !reader.closes(parent) {
        let empty = names.iter().position(|name| reader.is_empty(name));
        let (place, text) = match empty {
            Some(place) => (Some(place), String::new()),
            None => {
                let name = reader.open()?;
                let place = names.iter().position(|known| *known == name);
                (place, reader.text_until(name)?)
            }
        };
        check_space(&text)?;
        let Some(place) = place else {
            return refuse("it holds an element that S3 does not know there");
        };
        if found[place].replace(text).is_some() {
            return refuse("an element stands twice");
        }
    }
    Ok(found)
}

fn open(reader: &mut Reader<'_>, name: &str) -> Result<(), S3Error> {
    match reader.open()? == name {
        true => Ok(()),
        false => refuse("another element stands where one of S3 is due"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Vec<(String, String)>> {
        tags(body.as_bytes()).ok()
    }

    #[test]
    fn tags_are_read_as_clients_write_them() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let body = r#"<?xml version="1.0" encoding="UTF-8"?>
            <Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>
              <Tag><Key>a &amp; b</Key><Value>c d</Value></Tag>
              <Tag><Value /><Key>e</Key></Tag>
            </TagSet></Tagging>"#;
        let expected = vec![pair("a & b", "c d"), pair("e", "")];
        assert_eq!(read(body), Some(expected));
        assert_eq!(read("<Tagging><TagSet /></Tagging>"), Some(Vec::new()));
    }

    #[test]
    fn tags_that_two_readers_could_read_differently_are_refused() {
        for tag in [
            "<Tag><Key>a</Key></Tag>",
            "<Tag><Key>a</Key><Key>b</Key><Value>c</Value></Tag>",
            "<Tag><Key> a</Key><Value>c</Value></Tag>",
            "<Tag><Key>a</Key><Value>c</Value><Other>d</Other></Tag>",
            "<Tag><Key><!-- -->a</Key><Value>c</Value></Tag>",
            "<Key>a</Key>",
        ] {
            let body = format!("<Tagging><TagSet>{tag}</TagSet></Tagging>");
            assert_eq!(read(&body), None, "{tag}");
        }
        let set = "<TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet>";
        assert_eq!(read(&format!("<Tagging>{set}{set}</Tagging>")), None);
        assert_eq!(read(&format!("<Tagging>{set}</Tagging>{set}")), None);
    }
}
