//! `bowline presign`: a URL that reads or writes one object of S3 for a while.

use bowline_service::{format_time, presigned_url};
use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::commands::credentials::{Traded, Whose};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::home::variable;
use crate::times;

/// Presign a URL: whoever has it may make that one S3 request until it ends
///
/// Trades the certificate for credentials, as `bowline credentials` does, and signs the URL with them. The URL ends at
/// the earlier of --expires and the end of the credentials, and at once when the certificate is revoked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline presign web-1 s3://data/report.csv --expires 15m --endpoint-url https://s3.example
  bowline presign web-1 s3://data/in/today.csv --method put --endpoint-url http://127.0.0.1:9000
  export AWS_ENDPOINT_URL_S3=https://s3.example
  curl -T today.csv \"$(bowline presign web-1 s3://data/in/today.csv --method put)\"")]
pub(crate) struct Presign {
    #[command(flatten)]
    whose: Whose,

    /// The object: s3://BUCKET/KEY
    #[arg(value_name = "s3://BUCKET/KEY", value_parser = object)]
    object: Object,

    /// How long the URL shall be good: 1s to 7d
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = expires)]
    expires: u32,

    /// What the URL does with the object
    #[arg(long, value_name = "METHOD", default_value = "get", ignore_case = true)]
    method: Method,

    /// Where the objects are: the URL of a server that honours these credentials; the bucket becomes the first part of
    /// its path [env: AWS_ENDPOINT_URL_S3, then AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,

    /// The region to sign for [env: AWS_REGION, then AWS_DEFAULT_REGION] [default: the home's]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    /// Reads the object.
    Get,
    /// Asks for its facts.
    Head,
    /// Writes the object.
    Put,
    /// Deletes the object.
    Delete,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    bucket: String,
    key: String,
}

fn object(text: &str) -> Result<Object, String> {
    let parts = text
        .strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = parts.filter(|(_, key)| !key.is_empty()) else {
        return Err(format!(
            "{text:?} does not name an object, as in s3://data/report.csv"
        ));
    };
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
        });
    if !is_bucket {
        return Err(format!(
            "{bucket:?} is not the name of a bucket: 3 to 63 of lower-case letters, digits, . and -"
        ));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(format!(
            "the key has {} bytes, over S3's limit of {KEY_BYTES_MAX}",
            key.len()
        ));
    }
    Ok(Object {
        bucket: bucket.into(),
        key: key.into(),
    })
}

fn expires(text: &str) -> Result<u32, String> {
    let seconds = times::seconds(text)?;
    match seconds {
        1..=EXPIRES_MAX => Ok(seconds),
        _ => Err(format!(
            "{seconds} s is not between 1 s and {EXPIRES_MAX} s (7 d)"
        )),
    }
}

/// A URL for programs.
#[derive(Serialize)]
struct Presigned<'a> {
    url: &'a str,
    method: &'a str,
    /// When it ends: its own end, or the credentials'.
    expires: String,
}

impl Presign {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let endpoint = match &self.endpoint_url {
            Some(url) => Some(url.clone()),
            None => told(context, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])?,
        };
        let address = address(&self.object, endpoint.as_deref())?;
        let now = context.now();
        // The credentials shall last as long as the URL, if they may.
        let lasting = self.expires.clamp(SESSION_MIN, SESSION_MAX);
        let Traded {
            credentials,
            region,
        } = self.whose.trade(context, Some(lasting))?;
        let region = match &self.region {
            Some(region) => region.clone(),
            None => told(context, &["AWS_REGION", "AWS_DEFAULT_REGION"])?.unwrap_or(region),
        };
        let length = TimeDelta::seconds(self.expires.into());
        let method = self.method.as_str();
        let url = presigned_url(method, &address, &credentials, &region, "s3", length, now)?;

        let end = (now + length).min(credentials.expiration);
        if end < now + length {
            context.hint(format_args!(
                "the URL ends with its credentials at {}, before the {} s asked for",
                format_time(end),
                self.expires
            ));
        }
        let presigned = Presigned {
            url: &url,
            method,
            expires: format_time(end),
        };
        context.print(&presigned, format_args!("{url}\n"))
    }
}

/// What the environment tells, by the first name that says something.
fn told(context: &mut Context<'_>, names: &[&str]) -> Result<Option<String>, Error> {
    let variables = &context.environment().variables;
    let value = names
        .iter()
        .find_map(|name| Some((name, variable(variables, name)?)));
    match value {
        None => Ok(None),
        Some((name, value)) => match value.to_str() {
            Some(value) => Ok(Some(value.into())),
            None => Err(Error::Usage(format!("{name} is not UTF-8"))),
        },
    }
}

/// Where the object is, without a signature.
fn address(object: &Object, endpoint: Option<&str>) -> Result<String, Error> {
    let Some(endpoint) = endpoint else {
        return Err(Error::Usage(
            "say where the objects are: --endpoint-url URL, or AWS_ENDPOINT_URL_S3; S3 of AWS does not know these credentials".into(),
        ));
    };
    let base = endpoint.trim_end_matches('/');
    let host = base
        .strip_prefix("https://")
        .or_else(|| base.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['?', '#', ' ', '@']) => {
            Ok(format!("{base}/{}/{}", object.bucket, encoded(&object.key)))
        }
        Some(_) | None => Err(Error::Usage(format!(
            "{endpoint:?} is not the URL of a server, as in http://127.0.0.1:9000"
        ))),
    }
}

/// A key in the path of a URL (RFC 3986 §2.3): its slashes stay.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The longest life of a presigned URL in seconds: a week (SigV4).
const EXPIRES_MAX: u32 = 604_800;
/// Bytes of an object's key (S3).
const KEY_BYTES_MAX: usize = 1_024;
/// The shortest session in seconds (IAM Roles Anywhere).
const SESSION_MIN: u32 = 900;
/// The longest session in seconds (IAM Roles Anywhere).
const SESSION_MAX: u32 = 43_200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_bucket_and_a_key() {
        let data = object("s3://data/a/b c.csv").unwrap();
        assert_eq!(
            (data.bucket.as_str(), data.key.as_str()),
            ("data", "a/b c.csv")
        );
        for text in [
            "data/a",
            "s3://data",
            "s3://data/",
            "s3:///a",
            "s3://Data/a",
            "s3://da/a",
        ] {
            assert!(object(text).is_err(), "{text}");
        }
        assert!(object(&format!("s3://data/{}", "a".repeat(1_025))).is_err());
    }

    #[test]
    fn a_bucket_is_the_first_part_of_the_path() {
        let data = object("s3://data/a/b c+é").unwrap();
        assert_eq!(
            address(&data, Some("http://127.0.0.1:9000/")).unwrap(),
            "http://127.0.0.1:9000/data/a/b%20c%2B%C3%A9"
        );
    }

    #[test]
    fn an_address_that_nobody_named_is_not_made_up() {
        let refused = address(&object("s3://data/a").unwrap(), None).unwrap_err();
        assert!(refused.to_string().contains("--endpoint-url"), "{refused}");
    }

    #[test]
    fn an_endpoint_is_a_url_of_a_server() {
        let data = object("s3://data/a").unwrap();
        for endpoint in [
            "127.0.0.1:9000",
            "ftp://a",
            "https://",
            "http://a?b",
            "http://u@a",
        ] {
            assert!(address(&data, Some(endpoint)).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn a_url_lasts_a_second_to_a_week() {
        assert_eq!(expires("15m"), Ok(900));
        assert_eq!(expires("7d"), Ok(EXPIRES_MAX));
        assert!(expires("0").is_err() && expires("8d").is_err());
    }
}
