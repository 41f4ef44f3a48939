//! Configuration: TOML in, checked values out, every mistake named at once.
