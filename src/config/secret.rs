//! A secret by value, environment variable or file.
