//! What the server does without being asked: it renews its certificate, and does what time asks for.

use std::sync::Arc;
use std::time::Duration;

use bowline_service::{Error, Service};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::commits::Commits;
use crate::tls::OwnCertificate;

/// Renews the server's certificate when two thirds of its life are over.
pub(crate) async fn keep_certificate_fresh(
    certificate: Arc<OwnCertificate>,
    service: Arc<Service>,
    check_every: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(check_every) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let (certificate, service) = (certificate.clone(), service.clone());
        let refreshed = tokio::task::spawn_blocking(move || certificate.refresh(&service)).await;
        if let Ok(Err(reason)) = refreshed {
            tracing::error!(%reason, "the server's certificate could not be renewed; the old one goes on until it ends");
        }
    }
}

/// Does what time asks for, one after the other, on a thread that may block.
#[derive(Clone)]
pub(crate) struct Ticker {
    service: Arc<Service>,
    commits: Arc<Commits>,
    /// The code of the last failure, until a tick succeeds. Held while one goes on.
    failing: Arc<Mutex<Option<String>>>,
}

impl Ticker {
    pub(crate) fn new(service: Arc<Service>, commits: Arc<Commits>) -> Ticker {
        Ticker {
            service,
            commits,
            failing: Arc::default(),
        }
    }

    /// Ticks until the server stops. While one tick takes longer than the time between two, the next are left out.
    pub(crate) async fn run(self, every: Duration, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.commits.hope() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            if let Ok(turn) = self.failing.clone().try_lock_owned() {
                // Not waited for: a disk that does not answer must not hold up the stop.
                self.spawn(turn, Service::tick);
            }
        }
    }

    /// The last tick, after everything else has ended.
    pub(crate) async fn last(self) {
        let turn = self.failing.clone().lock_owned().await;
        // What goes wrong is in the log by then.
        let _ = self.spawn(turn, Service::settle).await;
    }

    fn spawn(
        &self,
        mut failing: OwnedMutexGuard<Option<String>>,
        work: fn(&Service) -> Result<(), Error>,
    ) -> tokio::task::JoinHandle<()> {
        let (service, commits) = (self.service.clone(), self.commits.clone());
        tokio::task::spawn_blocking(move || match attempt(&service, &commits, work) {
            Ok(()) => {
                if failing.take().is_some() {
                    tracing::info!("summaries and checkpoints of the log are written again");
                }
            }
            Err(error) => {
                // Once: what fails now fails every few seconds.
                let code = error.code().into_owned();
                if failing.as_ref() != Some(&code) {
                    tracing::error!(error = ?error.to_string(), "summaries and checkpoints of the log could not be written; they are tried again");
                    *failing = Some(code);
                }
            }
        })
    }
}

/// One tick. While commits are refused, it has something to write, so that it tells whether they still are: whoever
/// asks `/readyz` sends nobody who would find out.
fn attempt(
    service: &Service,
    commits: &Commits,
    work: fn(&Service) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(code) = commits.refused() else {
        return work(service).inspect_err(|error| {
            commits.refuse(error);
        });
    };
    service.note_refusal(None, code);
    // All that was counted is written, before anything else is done.
    let result = service.settle();
    match &result {
        Err(error) if commits.refuse(error) => {}
        Ok(()) | Err(_) => commits.accept(),
    }
    result
}
