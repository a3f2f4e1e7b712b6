//! The simulated 123pan cloud.
