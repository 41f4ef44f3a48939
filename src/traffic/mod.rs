//! The engine that plays and checks calls; the demo and `homeward-load` use it.
