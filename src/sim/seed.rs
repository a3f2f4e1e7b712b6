//! What a new drive holds, for people to enjoy.

use super::Cloud;

impl Cloud {
    /// Fills the drive with a small tree.
    pub fn seed(&self) {
        self.add_file("/Documents/readme.txt", "hello\n");
    }
}

impl Cloud {
    /// A share of the seeded tree: its key and password.
    pub fn seeded_share(&self) -> (String, Option<String>) {
        (String::new(), None)
    }

    /// The list of the seeded tree's direct links, as folders and `size:mtime:URL` lines.
    pub fn seeded_links(&self) -> String {
        String::new()
    }

    /// The percent-encoded path of a film in the seeded tree, without a slash at its beginning.
    pub fn seeded_film(&self) -> Option<String> {
        None
    }
}
