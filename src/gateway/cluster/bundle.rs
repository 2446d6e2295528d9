//! Of which version the definitions of the API are that a cluster has.

use std::pin::pin;

use futures_util::StreamExt as _;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::sleep;

use super::client::Clients;
use super::raw::Raw;
use super::resources::definitions;
use super::shared::Shared;
use super::told::{status_of, why};
use super::watch::{Pauses, restarted};

/// The definition that is asked, and its annotation.
const DEFINITION: &str = "metadata.name=gatewayclasses.gateway.networking.k8s.io";
const VERSION: &str = "gateway.networking.k8s.io/bundle-version";
const WHAT: &str = "CustomResourceDefinition";

/// Follows the version for as long as the process lives.
pub(super) async fn follow(shared: &Shared, clients: Clients) {
    let mut restarts = shared.restarts.subscribe();
    let mut pauses = Pauses::default();
    loop {
        let api: Api<PartialObjectMeta<Raw>> = Api::all_with(clients.now(), &definitions());
        let config = watcher::Config::default().fields(DEFINITION);
        let mut events = pin!(watcher(api, config));
        let mut found = None;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = restarted(&mut restarts) => break,
            };
            match event {
                None => break,
                Some(Ok(Event::Init)) => found = None,
                Some(Ok(Event::InitApply(one) | Event::Apply(one))) => {
                    let annotations = one.metadata.annotations.unwrap_or_default();
                    found = annotations.get(VERSION).cloned();
                    shared.inbox.put_bundle(found.clone());
                }
                Some(Ok(Event::InitDone)) => {
                    shared.inbox.trouble(WHAT, None);
                    shared.inbox.put_bundle(found.clone());
                }
                Some(Ok(Event::Delete(_))) => shared.inbox.put_bundle(None),
                Some(Err(error)) => {
                    if matches!(status_of(&error), Some(401 | 403 | 404)) {
                        shared.inbox.put_bundle(None);
                    }
                    // It begins anew by itself.
                    if status_of(&error) != Some(410) {
                        shared.inbox.trouble(WHAT, Some(why(&error)));
                    }
                    sleep(pauses.next()).await;
                }
            }
        }
    }
}
