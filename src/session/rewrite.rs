//! Writing the SDP for the other side (NG reference 12). To be written.
