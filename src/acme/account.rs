//! The account at a directory: the one that is kept, or a new one.

use std::sync::Arc;

use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::client::{Client, Heard};
use super::folder::Folder;
use super::record::hex;
use crate::config::model::Acme;

/// The folder of accounts, in the state directory.
const FOLDER: &str = "accounts";
/// How much of a digest names an account's file.
const DIGITS: usize = 32;

/// An account, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// The file of the account at a directory.
fn file(acme: &Acme) -> String {
    let account = acme.external_account.as_ref();
    let key_id = account.map_or("", |account| &account.key_id);
    let told = digest(&SHA256, format!("{} {key_id}", acme.directory).as_bytes());
    format!("{}.json", &hex(told.as_ref())[..DIGITS])
}

/// The account that is kept; `None` where there is none, or none that can be used.
pub(super) async fn kept(acme: &Acme, heard: &Arc<Heard>) -> Result<Option<Account>, Error> {
    let folder = folder(acme)?;
    let text = folder.read(&file(acme)).map_err(other)?;
    let Some(kept) = text.and_then(|text| serde_json::from_slice::<Kept>(&text).ok()) else {
        return Ok(None);
    };
    let account = Account::builder_with_http(Box::new(client(acme, heard)?));
    let account = account.from_credentials(kept.credentials).await?;
    if kept.contact != acme.contact {
        let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
        if let Err(error) = account.update_contacts(&contact).await {
            log::warn!("{}: the account's contact stays: {error}", acme.directory);
        }
    }
    Ok(Some(account))
}

/// A new account, which is kept.
pub(super) async fn create(acme: &Acme, heard: &Arc<Heard>) -> Result<Account, Error> {
    let folder = folder(acme)?;
    let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = acme.external_account.as_ref();
    let external = external.map(|one| ExternalAccountKey::new(one.key_id.clone(), &one.key));
    let account = Account::builder_with_http(Box::new(client(acme, heard)?));
    let created = account.create(&new, acme.directory.clone(), external.as_ref());
    let (account, credentials) = created.await?;
    let kept = Kept {
        contact: acme.contact.clone(),
        credentials,
    };
    let text = serde_json::to_vec(&kept)?;
    folder.write(&file(acme), &text).map_err(other)?;
    log::info!("{}: an account is there: {}", acme.directory, account.id());
    Ok(account)
}

fn folder(acme: &Acme) -> Result<Folder, Error> {
    let state = Folder::at(&acme.state_directory);
    state.and_then(|state| state.inner(FOLDER)).map_err(other)
}

fn client(acme: &Acme, heard: &Arc<Heard>) -> Result<Client, Error> {
    Client::new(acme, Arc::clone(heard)).map_err(other)
}

fn other(why: String) -> Error {
    Error::Other(why.into())
}
