//! What a new drive holds, for people to enjoy.

use super::Cloud;

impl Cloud {
    /// Fills the drive with a small tree.
    pub fn seed(&self) {
        self.add_file("/Documents/readme.txt", "hello\n");
    }
}
