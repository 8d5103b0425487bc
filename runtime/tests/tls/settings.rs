//! Job: choosing a level, and being told which one it is.

use gusty::runtime::{TlsLevel, features};

use crate::battery::on_many;
use crate::common::Child;

#[test]
fn the_level_is_told() {
    Child::of("settings::the_level_is_told")
        .run(|| assert_eq!((features().tls, features().tls_reason), (TlsLevel::Own, "")))
        .succeeded();
}

#[test]
fn the_level_can_be_lowered() {
    let child = Child::of("settings::the_level_can_be_lowered").env("GUSTY_TLS", "shared");
    let ended = child.run(|| {
        assert_eq!(features().tls, TlsLevel::Shared);
        assert!(!features().tls_reason.is_empty());
        on_many(50, |_| gusty::yield_now());
    });
    ended.succeeded();
}

#[test]
fn bad_settings_are_reported() {
    let child = Child::of("settings::bad_settings_are_reported")
        .env("GUSTY_TLS", "none")
        .env("GUSTY_TLS_SURPLUS", "some");
    let ended = child.run(|| assert_eq!(features().tls, TlsLevel::Own));
    ended.succeeded().says(&["GUSTY_TLS=", "own", "shared"]).says(&["GUSTY_TLS_SURPLUS", "keep"]);
}

#[test]
fn room_for_later_libraries_can_be_kept() {
    let child = Child::of("settings::room_for_later_libraries_can_be_kept")
        .env("GUSTY_TLS_SURPLUS", "keep");
    let ended = child.run(|| {
        assert!(features().tls_surplus);
        on_many(200, |_| gusty::yield_now());
    });
    ended.succeeded();
}
