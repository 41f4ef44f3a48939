//! Gathers the figures of all parts for `/metrics`, and says whether the relay is well.
