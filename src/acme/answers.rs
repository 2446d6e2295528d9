//! Has challenges answered while they are looked at, and takes the answers back.

use std::sync::Arc;

use instant_acme::{AuthorizationHandle, ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::challenges::{self, Challenges, is_token};
use super::command::{self, Record};
use super::folder::Folder;
use crate::config::model::{Acme, Challenge};

/// The answers of one order; dropping them takes them back.
pub(super) struct Answers {
    name: String,
    acme: Arc<Acme>,
    challenges: Arc<Challenges>,
    folder: Folder,
    given: Vec<Given>,
}

enum Given {
    Token(String),
    Certificate(String),
    Record(Record),
}

impl Answers {
    /// None yet, for a certificate of this name. Errors name a folder.
    pub(super) fn new(
        name: &str,
        acme: &Arc<Acme>,
        challenges: &Arc<Challenges>,
    ) -> Result<Self, String> {
        let folder = Folder::at(&acme.state_directory)?.inner(challenges::FOLDER)?;
        folder.tidy();
        Ok(Answers {
            name: name.to_owned(),
            acme: Arc::clone(acme),
            challenges: Arc::clone(challenges),
            folder,
            given: Vec::new(),
        })
    }

    /// The challenge that is answered.
    pub(super) fn kind(&self) -> ChallengeType {
        match self.acme.challenge {
            Challenge::Http => ChallengeType::Http01,
            Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
            Challenge::Dns(_) => ChallengeType::Dns01,
        }
    }

    /// Has this answer given to who asks for the token or the name.
    pub(super) async fn give(
        &mut self,
        name: &str,
        token: &str,
        answer: &KeyAuthorization,
    ) -> Result<(), String> {
        match &self.acme.challenge {
            Challenge::Http => {
                if !is_token(token) {
                    return Err(format!("{name}: a token that is none"));
                }
                self.given.push(Given::Token(token.to_owned()));
                self.folder.write(token, answer.as_str().as_bytes())?;
                self.challenges.put_token(token, answer.as_str());
            }
            Challenge::TlsAlpn => {
                let key = certificate(name, answer)?;
                self.given.push(Given::Certificate(name.to_owned()));
                self.challenges.put_certificate(name, key);
            }
            Challenge::Dns(command) => {
                let record = Record {
                    name: format!("_acme-challenge.{name}"),
                    value: answer.dns_value(),
                    certificate: self.name.clone(),
                };
                self.given.push(Given::Record(record.clone()));
                command::run(command, "add", &record).await?;
            }
        }
        Ok(())
    }

    /// Takes all of them back.
    pub(super) async fn take_back(mut self) {
        for record in self.forget() {
            remove(&self.acme, record).await;
        }
    }

    /// Takes back what is ours to take; returns the records that are left.
    fn forget(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for given in self.given.drain(..) {
            match given {
                Given::Token(token) => {
                    self.challenges.take_token(&token);
                    self.folder.remove(&token);
                }
                Given::Certificate(name) => self.challenges.take_certificate(&name),
                Given::Record(record) => records.push(record),
            }
        }
        records
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let records = self.forget();
        if records.is_empty() {
            return;
        }
        let acme = Arc::clone(&self.acme);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                for record in records {
                    remove(&acme, record).await;
                }
            });
        }
    }
}

async fn remove(acme: &Acme, record: Record) {
    if let Challenge::Dns(command) = &acme.challenge
        && let Err(why) = command::run(command, "remove", &record).await
    {
        log::warn!("certificate {:?}: {why}", record.certificate);
    }
}

/// What is wrong with an authorization, as far as its directory says.
pub(super) fn why(authorization: &AuthorizationHandle<'_>) -> Option<String> {
    let name = authorization.identifier().to_string();
    let mut problems = authorization.challenges.iter();
    let problem = problems.find_map(|one| one.error.as_ref())?;
    let detail = problem.detail.as_deref().unwrap_or("invalid");
    let kind = problem.r#type.as_deref().unwrap_or("no type");
    Some(format!("{name}: {detail} ({kind})"))
}

/// What is shown in TLS-ALPN-01 (RFC 8737 section 3).
fn certificate(name: &str, answer: &KeyAuthorization) -> Result<Arc<CertifiedKey>, String> {
    let text = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(text)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(text)?;
    params.distinguished_name = DistinguishedName::new();
    let extension = CustomExtension::new_acme_identifier(answer.digest().as_ref());
    params.custom_extensions.push(extension);
    let certificate = params.self_signed(&key).map_err(text)?;
    let signing = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let signing = any_supported_type(&signing).map_err(|error| error.to_string())?;
    let chain = vec![certificate.der().clone()];
    Ok(Arc::new(CertifiedKey::new(chain, signing)))
}
