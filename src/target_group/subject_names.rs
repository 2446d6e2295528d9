//! Whom a target's certificate may be for, where that is not the name that it was asked for: one of
//! several DNS names or URIs among the subject's alternative names.

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::config::model::SubjectName;

/// Errors: the certificate is for none of these, or cannot be read.
pub(super) fn check(certificate: &CertificateDer<'_>, wanted: &[SubjectName]) -> Result<(), Error> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let extension = parsed.subject_alternative_name();
    let extension = extension.map_err(|_| CertificateError::BadEncoding)?;
    let names = extension.map(|found| found.value.general_names.as_slice());
    let mut names = names.unwrap_or_default().iter();
    match names.any(|name| wanted.iter().any(|one| is(one, name))) {
        true => Ok(()),
        false => Err(CertificateError::NotValidForName.into()),
    }
}

fn is(wanted: &SubjectName, name: &GeneralName) -> bool {
    match (wanted, name) {
        (SubjectName::Host(wanted), GeneralName::DNSName(name)) => is_host(wanted, name),
        (SubjectName::Uri(wanted), GeneralName::URI(name)) => wanted == name,
        _ => false,
    }
}

/// A wildcard on either side is one label.
fn is_host(wanted: &str, name: &str) -> bool {
    let covers = |wildcard: &str, other: &str| {
        let rest = wildcard.strip_prefix("*.");
        let below = other.split_once('.').map(|(_, rest)| rest);
        rest.zip(below)
            .is_some_and(|(rest, below)| rest.eq_ignore_ascii_case(below))
    };
    wanted.eq_ignore_ascii_case(name) || covers(wanted, name) || covers(name, wanted)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn is_for(names: &[SanType], wanted: &[SubjectName]) -> bool {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        check(certificate.der(), wanted).is_ok()
    }

    #[test]
    fn one_name_among_those_of_the_certificate_is_enough_and_each_has_its_kind() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let uri = |name: &str| SanType::URI(name.try_into().unwrap());
        let host = |name: &str| SubjectName::Host(name.to_owned());
        let id = |name: &str| SubjectName::Uri(name.to_owned());
        for (names, wanted, expected) in [
            (vec![dns("a.example")], vec![host("a.example")], true),
            (vec![dns("A.Example")], vec![host("a.example")], true),
            (vec![dns("b.example")], vec![host("a.example")], false),
            (vec![dns("*.example")], vec![host("a.example")], true),
            (vec![dns("*.example")], vec![host("a.b.example")], false),
            (vec![dns("a.example")], vec![host("*.example")], true),
            (vec![dns("*.example")], vec![host("*.example")], true),
            (vec![dns("a.b.example")], vec![host("*.example")], false),
            (vec![uri("spiffe://a/b")], vec![id("spiffe://a/b")], true),
            (vec![uri("spiffe://a/b")], vec![id("spiffe://a/c")], false),
            (vec![dns("a.example")], vec![id("a.example")], false),
            (
                vec![dns("a.example"), uri("spiffe://a/b")],
                vec![host("b.example"), id("spiffe://a/b")],
                true,
            ),
            (Vec::new(), vec![host("a.example")], false),
        ] {
            assert_eq!(is_for(&names, &wanted), expected, "{names:?} {wanted:?}");
        }
    }
}
