//! A self-signed certificate, which is served until an authority has issued the first.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

/// What its subject is called: who looks at it is told what it is.
const SUBJECT: &str = "Culvert, until a certificate is issued";

/// One for these names, with the moment at which it counts as expired: now.
pub(super) fn stand_in(names: &[String]) -> Result<(Arc<CertifiedKey>, SystemTime), String> {
    let text = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(text)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(text)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    let certificate = params.self_signed(&key).map_err(text)?;
    let signing = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let signing = any_supported_type(&signing).map_err(|error| error.to_string())?;
    let chain = vec![certificate.der().clone()];
    let key = Arc::new(CertifiedKey::new(chain, signing));
    Ok((key, SystemTime::now()))
}
