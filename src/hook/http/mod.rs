//! HTTP/JSON hooks under `/v1`.
