//! Ports of a plain RTP logger. To be written.
