//! Job: the values that a context carries: a list from the newest to the oldest.
//! Layer: L3 (blocking)

use std::any::Any;
use std::sync::Arc;

pub(super) struct Values {
    newest: Box<dyn Any + Send + Sync>,
    older: Option<Arc<Values>>,
}

impl Values {
    pub(super) fn push<T: Any + Send + Sync>(older: Option<Arc<Values>>, value: T) -> Arc<Values> {
        Arc::new(Values { newest: Box::new(value), older })
    }

    /// The newest value of type `T`.
    pub(super) fn find<T: Any>(&self) -> Option<&T> {
        let mut at = Some(self);
        while let Some(values) = at {
            if let Some(found) = values.newest.downcast_ref() {
                return Some(found);
            }
            at = values.older.as_deref();
        }
        None
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        // A list that nobody else holds is freed one by one, without recursion.
        let mut older = self.older.take();
        while let Some(mut values) = older.and_then(Arc::into_inner) {
            older = values.older.take();
        }
    }
}
