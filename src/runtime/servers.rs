//! The doors of the relay: NG over UDP and HTTP, bound before anything is promised.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::hook::Control;
use crate::hook::http::server::{self, Limits};
use crate::hook::http::{self, Gate, Settings, Token};
use crate::hook::ng::allow::{AllowList, Allowed};
use crate::hook::ng::counters::Counters;
use crate::hook::ng::udp;
use crate::sys::clock::Clock;

/// Servers that are bound and have not begun to serve.
#[derive(Debug)]
pub(super) struct Servers<C> {
    ng: udp::Server<C>,
    http: Http,
}

/// HTTP sockets that are bound and not served yet.
#[derive(Debug)]
pub(super) struct Http {
    listeners: Vec<TcpListener>,
    /// What clients must show.
    pub(super) settings: Settings,
    limits: Limits,
}

impl Http {
    /// Binds all addresses of the section `[http]`.
    pub(super) async fn bind(config: &Config) -> Result<Self> {
        Self::take_over(config, Vec::new()).await
    }

    /// The same with sockets that another process has bound, where there is one.
    async fn take_over(config: &Config, mut bound: Vec<StdListener>) -> Result<Self> {
        let mut listeners = Vec::new();
        for address in &config.http.listen {
            let is_it = |socket: &StdListener| socket.local_addr().ok() == Some(*address);
            let listener = match bound.iter().position(is_it) {
                Some(place) => adopt(bound.swap_remove(place)),
                None => TcpListener::bind(address).await,
            };
            let listener = listener.map_err(|error| {
                let hint = hint(&error);
                anyhow!("http.listen: cannot listen on {address}: {error}{hint}")
            });
            listeners.push(listener?);
        }
        let token = config
            .http
            .token()
            .map_err(|text| anyhow!("http.token_file: {text}"))?;
        let settings = Settings {
            gate: Gate::new(token.map(|token| Token::new(&token))),
            ..Settings::default()
        };
        let limits = Limits {
            connections: config.http.max_connections,
            ..Limits::default()
        };
        Ok(Self {
            listeners,
            settings,
            limits,
        })
    }

    /// Addresses of the sockets.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners.iter();
        listeners
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Serves until told to stop, each socket in a task of its own.
    pub(super) fn serve(
        self,
        app: &Router,
        stopping: &watch::Receiver<bool>,
        running: &mut JoinSet<()>,
    ) {
        for listener in self.listeners {
            let stopped = until(stopping.clone());
            running.spawn(server::serve(listener, app.clone(), self.limits, stopped));
        }
    }
}

impl<C: Control> Servers<C> {
    /// Binds all addresses of the configuration, but for sockets that another process has bound.
    pub(super) async fn bind(
        config: &Config,
        (bound_ng, bound_http): (Vec<UdpSocket>, Vec<StdListener>),
        control: C,
        clock: Clock,
    ) -> Result<Self> {
        let wanted = udp::Config {
            listen: config.ng.udp.clone(),
            allow: AllowList::only(config.ng.allow.iter().copied()),
            ..udp::Config::default()
        };
        let now = Arc::new(move || clock.now());
        let ng = udp::Server::take_over(wanted, bound_ng, control, now);
        let ng = ng.map_err(|error| match &error {
            udp::BindError::Bind { source, .. } => anyhow!("{error}{}", hint(source)),
            udp::BindError::Wildcard(_) => error.into(),
        })?;
        let http = Http::take_over(config, bound_http).await?;
        Ok(Self { ng, http })
    }

    /// The sockets, for another process that is to go on with them.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn sockets(&self) -> io::Result<(Vec<UdpSocket>, Vec<StdListener>)> {
        let http = self.http.listeners.iter();
        let http = http.map(|listener| Ok(listener.as_fd().try_clone_to_owned()?.into()));
        Ok((self.ng.sockets()?, http.collect::<io::Result<_>>()?))
    }

    /// Addresses of the NG sockets.
    pub(super) fn ng(&self) -> Vec<SocketAddr> {
        self.ng.local_addrs().to_vec()
    }

    /// Addresses of the HTTP sockets.
    pub(super) fn http(&self) -> Vec<SocketAddr> {
        self.http.addresses()
    }

    /// Who may send NG requests, to be changed.
    pub(super) fn allowed(&self) -> Allowed {
        self.ng.allowed()
    }

    /// What HTTP clients must show, to be changed.
    pub(super) fn gate(&self) -> Gate {
        self.http.settings.gate.clone()
    }

    /// What the NG server counts.
    pub(super) fn ng_counters(&self) -> Arc<Counters> {
        self.ng.counters()
    }

    /// Serves until told to stop, and drains. `protected` and `open` are further HTTP routes,
    /// behind the token and for everybody.
    pub(super) async fn run(
        self,
        control: C,
        protected: Router,
        open: Router,
        stopping: watch::Receiver<bool>,
    ) {
        let app = http::app(control, &self.http.settings, protected, open);
        let mut running = JoinSet::new();
        self.http.serve(&app, &stopping, &mut running);
        running.spawn(self.ng.run(until(stopping)));
        while running.join_next().await.is_some() {}
    }
}

fn adopt(listener: StdListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// What to do about an address that cannot be listened on.
fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        "; stop the program that has it, or set another port"
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        "; it is no address of this machine"
    } else {
        ""
    }
}

/// Waits until told to stop.
pub(super) async fn until(mut stopping: watch::Receiver<bool>) {
    // An error means that whoever could tell us to go on is gone.
    drop(stopping.wait_for(|stop| *stop).await);
}
