//! The parameters of the query protocol: read from the query and the form together, each given once.
//!
//! Only the form is judged here; what a value may be, the operation itself says. Parameters that an operation does
//! not know are let go, as AWS lets them go. Inside a list nothing is let go: a session policy that was overlooked
//! would be a wider session.

use std::collections::BTreeMap;

use bowline_service::{DoorError, Error, StsError, WireRequest};

/// The parameters of a request.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads the query and the body of a request.
    pub(super) fn read(request: &WireRequest) -> Result<Form, Error> {
        let query = request.target.split_once('?');
        let query = query.map_or("", |(_, query)| query);
        let mut form = Form(BTreeMap::new());
        // In a query a plus sign is itself, as it is for the signature; a form writes a space so.
        form.add(query.as_bytes(), b'+')?;
        form.add(&request.body, b' ')?;
        Ok(form)
    }

    fn add(&mut self, text: &[u8], plus: u8) -> Result<(), Error> {
        for (name, value) in pairs(text, plus).ok_or_else(|| malformed("", NOT_TEXT))? {
            if self.0.contains_key(&name) {
                let parameter = shortened(&name);
                return Err(DoorError::ParameterRepeated { parameter }.into());
            }
            self.0.insert(name, value);
        }
        Ok(())
    }

    /// A parameter that may be left out.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// A parameter that may not.
    pub(super) fn needed(&self, name: &'static str) -> Result<String, Error> {
        let missing = StsError::ParameterMissing { parameter: name };
        self.text(name).ok_or_else(|| missing.into())
    }

    /// A number that may be left out.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u32>, Error> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        // `parse` alone would take a plus sign too.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            Ok(_) | Err(_) => Err(malformed(name, "it is a whole number, of digits only")),
        }
    }

    /// `NAME.member.1`, `NAME.member.2`, …: the texts in the order of their numbers.
    pub(super) fn list(&self, name: &'static str) -> Result<Vec<String>, Error> {
        let mut members = BTreeMap::new();
        for (number, member, value) in self.members(name)? {
            if !member.is_empty() {
                return Err(malformed(name, "its members are single texts"));
            }
            members.insert(number, value.clone());
        }
        Ok(members.into_values().collect())
    }

    /// `NAME.member.1.MEMBER`, …: one text of each member, which has no other.
    pub(super) fn list_of(
        &self,
        name: &'static str,
        member: &'static str,
    ) -> Result<Vec<String>, Error> {
        let mut members = BTreeMap::new();
        for (number, found, value) in self.members(name)? {
            if found != member {
                return Err(malformed(name, "a member of it has another name"));
            }
            members.insert(number, value.clone());
        }
        Ok(members.into_values().collect())
    }

    /// `NAME.member.1.Key` and `NAME.member.1.Value`, ….
    pub(super) fn pairs(&self, name: &'static str) -> Result<Vec<(String, String)>, Error> {
        let mut members: BTreeMap<u32, [Option<String>; 2]> = BTreeMap::new();
        for (number, found, value) in self.members(name)? {
            let place = match found {
                "Key" => 0,
                "Value" => 1,
                _ => return Err(malformed(name, "its members have a Key and a Value")),
            };
            members.entry(number).or_default()[place] = Some(value.clone());
        }
        let pairs = members.into_values().map(|pair| match pair {
            [Some(key), Some(value)] => Ok((key, value)),
            _ => Err(malformed(name, "a member of it lacks its Key or its Value")),
        });
        pairs.collect()
    }

    /// Refuses a parameter or list that no operation here reads, and that would change what the answer means.
    pub(super) fn refuse(&self, name: &'static str, reason: &'static str) -> Result<(), Error> {
        if self.members(name)?.is_empty() {
            return Ok(());
        }
        Err(malformed(name, reason))
    }

    /// Everything below a list: the member's number, what follows it, and the value. An empty list may stand as
    /// `NAME=`. Numbers need not follow each other; they only give the order.
    fn members(&self, name: &'static str) -> Result<Vec<(u32, &str, &String)>, Error> {
        if self.0.get(name).is_some_and(|value| !value.is_empty()) {
            return Err(malformed(name, "a list is written NAME.member.1 and so on"));
        }
        let prefix = format!("{name}.");
        let below = self.0.range(prefix.clone()..);
        let below = below.take_while(|(found, _)| found.starts_with(&prefix));
        let mut members = Vec::new();
        for (found, value) in below {
            let rest = found[prefix.len()..].strip_prefix("member.");
            let rest = rest.ok_or_else(|| malformed(found, "a list is written NAME.member.1"))?;
            let (number, member) = rest.split_once('.').unwrap_or((rest, ""));
            let number = place(number).ok_or_else(|| malformed(found, NOT_A_PLACE))?;
            members.push((number, member, value));
        }
        Ok(members)
    }
}

/// Names and values, decoded, in their order. What stands between two `&&` does not count.
pub(crate) fn pairs(text: &[u8], plus: u8) -> Option<Vec<(String, String)>> {
    let parts = text.split(|byte| *byte == b'&');
    let parts = parts.filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        let end = part.iter().position(|byte| *byte == b'=');
        let (name, value) = part.split_at(end.unwrap_or(part.len()));
        let value = value.get(1..).unwrap_or_default();
        Some((decoded(name, plus)?, decoded(value, plus)?))
    });
    pairs.collect()
}

/// The number of a member: one spelling for each.
fn place(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 4 && !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain && digits)
}

/// Percent-decodes. `None`: an escape is not `%` and two hexadecimal digits, or the bytes are no UTF-8. A guess at
/// either could be another guess than the next reader's.
fn decoded(text: &[u8], plus: u8) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match byte {
            b'+' => plus,
            b'%' => {
                let [high, low, tail @ ..] = tail else {
                    return None;
                };
                rest = tail;
                hex_digit(*high)? << 4 | hex_digit(*low)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    // Cannot be cut off: a hexadecimal digit is under 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn malformed(parameter: &str, reason: &'static str) -> Error {
    let parameter = shortened(parameter);
    DoorError::ParameterMalformed { parameter, reason }.into()
}

/// A name of a stranger's choice, no longer than needed to recognise it.
fn shortened(name: &str) -> String {
    name.chars().take(NAME_SHOWN_MAX).collect()
}

const NOT_TEXT: &str = "parameters are UTF-8, percent-encoded";
const NOT_A_PLACE: &str = "members are numbered from 1, without leading zeros, up to 9999";
/// How much of a parameter's name an error repeats, in characters.
const NAME_SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str, body: &str) -> Result<Form, String> {
        let request = WireRequest {
            method: "POST".into(),
            target: target.into(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        Form::read(&request).map_err(|error| error.code().into_owned())
    }

    fn form(body: &str) -> Form {
        read("/", body).unwrap()
    }

    fn code<T>(result: Result<T, Error>) -> String {
        match result {
            Ok(_) => "read".into(),
            Err(error) => error.code().into_owned(),
        }
    }

    #[test]
    fn parameters_come_from_query_and_form() {
        let value = |target, body| read(target, body).unwrap().text("Action");
        assert_eq!(value("/?Action=A%20b", "").as_deref(), Some("A b"));
        assert_eq!(value("/?Action=a+b", "").as_deref(), Some("a+b"));
        assert_eq!(value("/", "Version=1&Action=a+b").as_deref(), Some("a b"));
        assert_eq!(value("/", "Action=a=b").as_deref(), Some("a=b"));
        assert_eq!(value("/", "&&Action&&").as_deref(), Some(""));
        assert_eq!(value("/", "Version=1"), None);
        assert_eq!(value("/", "action=1"), None);
    }

    #[test]
    fn a_parameter_stands_once_whatever_it_says() {
        for (target, body) in [
            ("/?Action=a", "Action=b"),
            ("/?Action=a", "Action=a"),
            ("/?Action=a&Action=a", ""),
            ("/", "Action=a&%41ction=b"),
            ("/", "Unknown=1&Unknown=2"),
        ] {
            let refused = read(target, body).err();
            assert_eq!(refused.as_deref(), Some("parameter_repeated"), "{body}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_and_not_guessed_at() {
        for body in ["a=%", "a=%4", "a=%zz", "%ff=1", "a=%c3%28", "a=%+1"] {
            let refused = read("/", body).err();
            assert_eq!(refused.as_deref(), Some("parameter_malformed"), "{body}");
        }
        assert_eq!(form("a=%C3%A9").text("a").as_deref(), Some("é"));
    }

    #[test]
    fn numbers_are_digits() {
        let number = |text: &str| form(&format!("D={text}")).number("D");
        assert_eq!(number("900").unwrap(), Some(900));
        assert_eq!(form("").number("D").unwrap(), None);
        for bad in [
            "",
            "%2B900",
            "-1",
            "9e2",
            "0x10",
            "4294967296",
            "+900",
            "9 ",
        ] {
            assert_eq!(code(number(bad)), "parameter_malformed", "{bad:?}");
        }
    }

    #[test]
    fn lists_follow_their_numbers_and_gaps_do_not_matter() {
        let listed = form("K.member.10=c&K.member.2=b&K.member.1=a");
        assert_eq!(listed.list("K").unwrap(), ["a", "b", "c"]);
        let arns = form("P.member.1.arn=x&P.member.3.arn=y");
        assert_eq!(arns.list_of("P", "arn").unwrap(), ["x", "y"]);
        let tags = form("T.member.1.Key=k&T.member.1.Value=&T.member.2.Value=w&T.member.2.Key=l");
        let pairs = [("k", ""), ("l", "w")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(tags.pairs("T").unwrap(), pairs);
    }

    #[test]
    fn an_empty_list_is_absent_or_empty() {
        for body in ["", "K=", "K"] {
            assert!(form(body).list("K").unwrap().is_empty(), "{body:?}");
            assert!(form(body).pairs("K").unwrap().is_empty(), "{body:?}");
        }
    }

    #[test]
    fn nothing_inside_a_list_is_overlooked() {
        for body in [
            "P=x",
            "P.1=x",
            "P.member=x",
            "P.member.=x",
            "P.member.0.arn=x",
            "P.member.01.arn=x",
            "P.member.a.arn=x",
            "P.member.%2B1.arn=x",
            "P.member.10000.arn=x",
            "P.member.1=x",
            "P.member.1.ARN=x",
            "P.member.1.arn.more=x",
            "P.member.1.arn=x&P.member.1.other=y",
            "P.Member.1.arn=x",
        ] {
            let refused = code(form(body).list_of("P", "arn"));
            assert_eq!(refused, "parameter_malformed", "{body}");
        }
        for body in [
            "T.member.1.Key=k",
            "T.member.1.Value=v",
            "T.member.1=k",
            "T.member.1.Key=k&T.member.1.Value=v&T.member.1.Other=o",
        ] {
            assert_eq!(code(form(body).pairs("T")), "parameter_malformed", "{body}");
        }
        // Another list, whose name only begins so.
        assert!(
            form("PX.member.1=x")
                .list_of("P", "arn")
                .unwrap()
                .is_empty()
        );
    }
}
