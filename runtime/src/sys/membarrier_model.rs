//! Job: the asymmetric fence in a model check: a full one on either side, which is what it amounts to.
//! Layer: L0 (machine)

use super::shim::store_load_fence;

/// As the real one.
pub(crate) fn light_where_asymmetric() {
    store_load_fence();
}

/// As the real one.
pub(crate) fn heavy() -> bool {
    store_load_fence();
    true
}

/// As the real one.
pub(crate) fn is_asymmetric() -> bool {
    true
}
