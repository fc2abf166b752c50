//! What is wrong with a config bundle, on the wire.

use musher_core::BundleError;
use musher_protocol::ErrorCode;

use super::{Fault, runtime::internal};

impl From<BundleError> for Fault {
    fn from(error: BundleError) -> Self {
        let message = error.to_string();
        let plain = |code| Self::new(code, message.clone());
        // Places are in the bundle, which is a member of the body.
        let at = |code, field: &str| plain(code).at(format!("/bundle{field}"));
        match &error {
            BundleError::Json(source) => {
                Self::new(ErrorCode::InvalidJson, format!("`/bundle`: {source}")).at("/bundle")
            }
            BundleError::TooLarge { limit } => plain(ErrorCode::PayloadTooLarge).over(*limit as u64),
            BundleError::Wrong { field, .. } => at(ErrorCode::InvalidRequest, field),
            BundleError::Selector { field, .. } => at(ErrorCode::InvalidProfileSelector, field),
            BundleError::UnsupportedDeclaration(field) => at(ErrorCode::UnsupportedConfigDeclaration, field),
            BundleError::DigestMismatch { .. } => {
                at(ErrorCode::ConfigBundleDigestMismatch, "/metadata/digest")
            }
            BundleError::Conflict { .. } => plain(ErrorCode::ConfigBundleConflict),
            BundleError::TooMany { limit } => plain(ErrorCode::Overloaded).over(*limit as u64),
            BundleError::Missing(_) => plain(ErrorCode::ConfigBundleMissing),
            BundleError::NoRevision { .. } => plain(ErrorCode::ConfigBundleDigestMismatch),
            BundleError::NoProfile { .. } | BundleError::NotNamed => {
                plain(ErrorCode::InvalidProfileSelector).at("/profile")
            }
            BundleError::Unavailable { missing, .. } => {
                let mut fault = plain(ErrorCode::WorkerExecutionUnavailable);
                fault.0.missing.clone_from(missing);
                fault
            }
            // As for the runtime's own errors.
            _ => internal(&error),
        }
    }
}
