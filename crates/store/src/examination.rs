//! What long work tells while it goes on, and what an engine finds when it looks at itself.

/// How far long work has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `rebuilding the index`.
    pub step: &'static str,
    /// How many bytes of it are done.
    pub done: u64,
    /// How many there are; an estimate at times, and never less than what is done.
    pub total: u64,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// It will be trouble.
    Warning,
    /// It is trouble.
    Critical,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name: `index_record_missing`.
    pub code: &'static str,
    /// What was found, and where.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}
