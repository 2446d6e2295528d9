//! Which certificate a client is shown: by the name that it asks for (SNI, RFC 6066 section 3), and
//! by what it can verify.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::acme::Challenges;
use crate::config::model::Certificate;

/// The certificates with the same name, best first.
type Keys = Vec<Arc<CertifiedKey>>;

/// The certificates of a forwarding rule. Immutable.
#[derive(Default)]
pub(super) struct Certificates {
    exact: HashMap<String, Keys>,
    /// By what follows the `*.`
    wildcard: HashMap<String, Keys>,
    /// For who asks for no name, or for one that is not there. Empty where that is refused.
    default: Keys,
    /// What is shown to an authority that asks whose a name is.
    challenges: Arc<Challenges>,
}

impl Certificates {
    /// In the order written: of several for the same name and of the same kind the first counts,
    /// and the first of all is the default, with others for the same names.
    pub(super) fn new(certificates: &[&Certificate], is_strict: bool) -> Self {
        let mut in_order = certificates.to_vec();
        // Signing with RSA takes far longer.
        in_order.sort_by_key(|one| one.key.key.algorithm() == SignatureAlgorithm::RSA);
        let mut all = Certificates::default();
        for certificate in &in_order {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut all.wildcard, parent),
                    None => (&mut all.exact, name.as_str()),
                };
                let keys = names.entry(name.to_owned()).or_default();
                keys.push(Arc::clone(&certificate.key));
            }
        }
        if let Some(first) = certificates.first().filter(|_| !is_strict) {
            let twins = in_order.iter().filter(|other| other.names == first.names);
            all.default = twins.map(|twin| Arc::clone(&twin.key)).collect();
        }
        all
    }

    /// The same, with answers to these challenges.
    pub(super) fn answering(self, challenges: &Arc<Challenges>) -> Self {
        Certificates {
            challenges: Arc::clone(challenges),
            ..self
        }
    }

    /// The best for a name that `fits`: exact, then wildcard for one label (RFC 9525 section 6.3),
    /// then the default. A dot at the name's end does not count.
    fn find(
        &self,
        name: Option<&str>,
        fits: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        let exact = name.and_then(|name| self.exact.get(name));
        let parent = name.and_then(|name| name.split_once('.'));
        let wildcard = parent.and_then(|(_, parent)| self.wildcard.get(parent));
        let keys = [exact, wildcard, Some(&self.default)];
        let mut keys = keys.into_iter().flatten().flatten();
        keys.find(|key| fits(key)).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(shown) = self.challenges.shown(&hello) {
            return shown;
        }
        let offered = hello.signature_schemes();
        let fits = |key: &CertifiedKey| key.key.choose_scheme(offered).is_some();
        self.find(hello.server_name(), fits)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rustls::SignatureScheme;
    use rustls::sign::{Signer, SigningKey};

    use super::*;
    use crate::config::model::Source;

    /// A key that only says of which kind it is.
    #[derive(Debug)]
    struct Kind(SignatureAlgorithm);

    impl SigningKey for Kind {
        fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            None
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            self.0
        }
    }

    const RSA: SignatureAlgorithm = SignatureAlgorithm::RSA;
    const ECDSA: SignatureAlgorithm = SignatureAlgorithm::ECDSA;

    fn certificate(names: &[&str], kind: SignatureAlgorithm) -> Certificate {
        Certificate {
            source: Source::File,
            name: String::new(),
            files: None,
            acme: None,
            stands_in: false,
            key: Arc::new(CertifiedKey::new(Vec::new(), Arc::new(Kind(kind)))),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            not_after: SystemTime::UNIX_EPOCH,
        }
    }

    /// The places of the certificates that are chosen for these names, by clients that can verify
    /// these kinds.
    fn chosen(
        certificates: &[Certificate],
        is_strict: bool,
        name: Option<&str>,
        kinds: &[SignatureAlgorithm],
    ) -> Option<usize> {
        let all: Vec<&Certificate> = certificates.iter().collect();
        let fits = |key: &CertifiedKey| kinds.contains(&key.key.algorithm());
        let found = Certificates::new(&all, is_strict).find(name, fits)?;
        let is_found = |one: &Certificate| Arc::ptr_eq(&one.key, &found);
        certificates.iter().position(is_found)
    }

    #[test]
    fn exact_comes_before_wildcard_and_that_before_the_default() {
        let certificates = [
            certificate(&["first.example"], ECDSA),
            certificate(&["*.example.com"], ECDSA),
            certificate(&["a.example.com", "example.com"], ECDSA),
            certificate(&["a.example.com"], ECDSA),
        ];
        for (name, lax, strict) in [
            (Some("first.example"), 0, Some(0)),
            (Some("a.example.com"), 2, Some(2)),
            (Some("example.com"), 2, Some(2)),
            (Some("b.example.com"), 1, Some(1)),
            (Some("a.example.com."), 2, Some(2)),
            (Some("b.example.com."), 1, Some(1)),
            (Some("a.b.example.com"), 0, None),
            (Some("example.org"), 0, None),
            (Some("com"), 0, None),
            (None, 0, None),
        ] {
            let found = |is_strict| chosen(&certificates, is_strict, name, &[ECDSA]);
            assert_eq!((found(false), found(true)), (Some(lax), strict), "{name:?}");
        }
    }

    #[test]
    fn of_two_for_the_same_name_a_client_is_shown_the_cheaper_that_it_can_verify() {
        let certificates = [
            certificate(&["a.example"], RSA),
            certificate(&["a.example"], ECDSA),
            certificate(&["b.example"], RSA),
            certificate(&["*.example"], ECDSA),
        ];
        for (name, kinds, expected) in [
            (Some("a.example"), &[RSA, ECDSA][..], Some(1)),
            (Some("a.example"), &[ECDSA], Some(1)),
            (Some("a.example"), &[RSA], Some(0)),
            (Some("a.example"), &[], None),
            (Some("b.example"), &[RSA, ECDSA], Some(2)),
            (Some("b.example"), &[ECDSA], Some(3)),
            (None, &[RSA, ECDSA], Some(1)),
            (None, &[RSA], Some(0)),
        ] {
            let found = chosen(&certificates, false, name, kinds);
            assert_eq!(found, expected, "{name:?} {kinds:?}");
        }
    }
}
