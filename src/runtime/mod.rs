//! Puts the parts together: the control loop, the plane, hooks, logger, signals.
