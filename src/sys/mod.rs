//! System calls: the only place with `unsafe`. Everything exported is safe and takes slices and
//! plain structs.
#![expect(
    unsafe_code,
    reason = "the one place for system calls that std and socket2 lack"
)]
