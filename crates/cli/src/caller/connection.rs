//! One way to run an operation, wherever the home is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bowline_server::{Endpoint, TransportError, operations};
use bowline_service::{
    Caller, Clock, Entropy, Operation, Progress, READ_OPERATIONS, Service, Sink, Store, Transfer,
};
use bowline_store_sled::{Action, SledOptions};

use crate::caller::Server;
use crate::error::Error;
use crate::home::{Home, Opened};

/// Runs operations.
pub(crate) struct Connection {
    place: RefCell<Place>,
}

#[derive(Clone)]
enum Place {
    /// In this process.
    Here(Arc<Service>),
    /// In the server that has the home.
    Served(Endpoint, Arc<Local>),
    /// In a server reached over the network.
    At(Rc<Server>),
}

/// What it takes to open a home on this machine.
pub(crate) struct Local {
    /// The home.
    pub(crate) home: Home,
    /// The clock of the service.
    pub(crate) clock: Arc<dyn Clock>,
    /// Its randomness.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The file with the passphrase, if one was named.
    pub(crate) password_file: Option<PathBuf>,
    /// The environment, for the passphrase that a service manager gives.
    pub(crate) variables: BTreeMap<OsString, OsString>,
}

impl Connection {
    /// Opens a home on this machine. The notes tell what opening had to repair.
    pub(crate) fn local(
        local: Local,
        options: &SledOptions,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<(Connection, Vec<String>), Error> {
        let (place, notes) = open(&Arc::new(local), options, watch)?;
        Ok((
            Connection {
                place: RefCell::new(place),
            },
            notes,
        ))
    }

    /// Runs operations in a service of this process.
    pub(crate) fn here(service: Arc<Service>) -> Connection {
        Connection {
            place: RefCell::new(Place::Here(service)),
        }
    }

    /// Talks to a server.
    pub(crate) fn remote(server: Server) -> Connection {
        Connection {
            place: RefCell::new(Place::At(Rc::new(server))),
        }
    }

    /// Runs an operation.
    pub(crate) fn call<O: Operation>(&self, operation: O) -> Result<O::Answer, Error> {
        for _ in 0..REOPENINGS_MAX {
            let place = self.place.borrow().clone();
            match place {
                Place::Here(service) => {
                    let answer = operation.perform(&service, &Caller::Operator);
                    if !READ_OPERATIONS.contains(&O::NAME) {
                        // Refusals of strangers are counted in memory, and this process ends. What cannot be
                        // written now is no reason to fail otherwise.
                        let _ = service.settle();
                    }
                    return Ok(answer?);
                }
                Place::At(server) => return server.call(&operation),
                Place::Served(endpoint, local) => {
                    match operations::call(&endpoint, None, &operation) {
                        // The server ended since it was found. It heard nothing, so asking again asks once.
                        Err(TransportError::Connect { .. }) => {
                            let (place, _) = open(&local, &SledOptions::one_shot(), &mut |_| {})?;
                            self.place.replace(place);
                        }
                        answered => return Ok(answered?),
                    }
                }
            }
        }
        Err(Error::Service(bowline_service::Error::Busy))
    }

    /// Runs a transfer; what it gives goes to `sink`.
    pub(crate) fn transfer<T: Transfer>(
        &self,
        transfer: T,
        sink: &mut dyn Sink,
    ) -> Result<T::Answer, Error> {
        for _ in 0..REOPENINGS_MAX {
            let place = self.place.borrow().clone();
            match place {
                Place::Here(service) => {
                    return Ok(transfer.run(&service, &Caller::Operator, sink)?);
                }
                Place::At(server) => return server.transfer(&transfer, sink),
                Place::Served(endpoint, local) => {
                    match operations::transfer(&endpoint, None, &transfer, sink) {
                        // As above: nothing was given to the sink yet.
                        Err(TransportError::Connect { .. }) => {
                            let (place, _) = open(&local, &SledOptions::one_shot(), &mut |_| {})?;
                            self.place.replace(place);
                        }
                        answered => return Ok(answered?),
                    }
                }
            }
        }
        Err(Error::Service(bowline_service::Error::Busy))
    }

    /// Whether a server on this machine has the home.
    pub(crate) fn is_served(&self) -> bool {
        matches!(&*self.place.borrow(), Place::Served(_, _))
    }

    /// The server somewhere else, if that is where operations run.
    pub(crate) fn server(&self) -> Option<Rc<Server>> {
        match &*self.place.borrow() {
            Place::At(server) => Some(server.clone()),
            Place::Here(_) | Place::Served(_, _) => None,
        }
    }
}

fn open(
    local: &Arc<Local>,
    options: &SledOptions,
    watch: &mut dyn FnMut(Progress),
) -> Result<(Place, Vec<String>), Error> {
    match local.home.open(options, watch)? {
        Opened::Served(socket) => Ok((
            Place::Served(Endpoint::ControlSocket(socket), local.clone()),
            Vec::new(),
        )),
        Opened::Here(store) => {
            let notes = repairs(&store.opening().actions);
            Ok((Place::Here(Arc::new(local.service(store)?)), notes))
        }
    }
}

impl Local {
    /// The service over the home's store.
    pub(crate) fn service(&self, store: Arc<dyn Store>) -> Result<Service, Error> {
        let unseal = self
            .home
            .unseal_key(self.password_file.as_deref(), &self.variables)?;
        Ok(Service::new(
            store,
            self.clock.clone(),
            self.entropy.clone(),
            unseal,
        ))
    }
}

/// What an operator wants to hear of an opening; that the index caught up is nothing new.
pub(crate) fn repairs(actions: &[Action]) -> Vec<String> {
    let told = actions.iter().filter(|action| match action {
        Action::Replayed { .. } => false,
        Action::RebuiltIndex { .. }
        | Action::DamagedCheckpoint { .. }
        | Action::DamagedHistory { .. }
        | Action::RemovedUnfinishedCheckpoint { .. }
        | Action::CutTornTail { .. }
        | Action::RemovedUnfinishedSnapshot { .. } => true,
    });
    told.map(ToString::to_string).collect()
}

/// How often a home is opened anew because the server that had it ended.
const REOPENINGS_MAX: usize = 5;
