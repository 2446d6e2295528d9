//! What is in Secrets, parsed once for each.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::certificates::of_secret;
use super::objects::{Name, Secret};
use crate::config::model::Certificate;

type Parsed = Result<Arc<Certificate>, String>;

/// What is in Secrets that were asked for.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    known: HashMap<Name, (Arc<Secret>, Parsed)>,
    asked: RefCell<HashMap<Name, (Arc<Secret>, Parsed)>>,
}

impl Secrets {
    /// The certificate in this one, or what is wrong with it.
    pub(super) fn certificate(&self, secret: &Arc<Secret>) -> Parsed {
        let name = &secret.meta.name;
        if let Some((_, parsed)) = self.asked.borrow().get(name) {
            return parsed.clone();
        }
        let known = self.known.get(name);
        let known = known.filter(|(known, _)| Arc::ptr_eq(known, secret));
        let parsed = match known {
            Some((_, parsed)) => parsed.clone(),
            None => of_secret(secret).map(Arc::new),
        };
        let entry = (Arc::clone(secret), parsed.clone());
        self.asked.borrow_mut().insert(name.clone(), entry);
        parsed
    }

    /// Keeps what was asked for, and no more.
    pub(super) fn settle(&mut self) {
        self.known = self.asked.take();
    }
}
