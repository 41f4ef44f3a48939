//! The NG control protocol.
