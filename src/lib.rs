//! dav123: a WebDAV server for the 123pan cloud drive.

pub mod sim;
