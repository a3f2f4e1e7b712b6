//! A QR code as text: two modules, one above the other, in each character.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of light margin. The standard asks for 4; with 2 the usual code fits into 24 lines.
const MARGIN: usize = 2;
/// Black on white, whatever the colours of the terminal are.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// A drawn code.
#[derive(Debug)]
pub struct Drawing {
    /// Its lines, each with its end.
    pub text: String,
    /// How many columns it takes.
    pub columns: usize,
}

/// Draws `text` as a code; `None` where it is too long for one. With `colour` it is black on white; without, the
/// light modules are what is drawn, which is right for a dark screen.
pub fn draw(text: &str, colour: bool) -> Option<Drawing> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let modules = code.to_colors();
    let columns = width + 2 * MARGIN;
    let dark = |x: usize, y: usize| {
        let (Some(x), Some(y)) = (x.checked_sub(MARGIN), y.checked_sub(MARGIN)) else {
            return false;
        };
        x < width && y < width && modules.get(y * width + x) == Some(&Color::Dark)
    };
    let mut text = String::new();
    for y in (0..columns).step_by(2) {
        text.push_str(if colour { BLACK_ON_WHITE } else { "" });
        text.extend(
            (0..columns).map(|x| match (dark(x, y) == colour, dark(x, y + 1) == colour) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            }),
        );
        text.push_str(if colour { RESET } else { "" });
        text.push('\n');
    }
    Some(Drawing { text, columns })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const URL: &str = "https://www.123pan.com/wx-app-login.html?env=production&uniID=0123456789abcdef0123456789abcdef\
                       &source=123pan&type=login";

    /// What a phone would read off a screen: light where the characters have ink, or the other way round.
    fn scan(text: &str, ink_is_dark: bool) -> String {
        let lines: Vec<Vec<char>> = text
            .lines()
            .map(|line| {
                line.replace(BLACK_ON_WHITE, "")
                    .replace(RESET, "")
                    .chars()
                    .collect()
            })
            .collect();
        let (width, scale) = (lines[0].len(), 4);
        assert!(lines.iter().all(|line| line.len() == width));
        let ink = |x: usize, y: usize| match lines[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => !y.is_multiple_of(2),
            _ => false,
        };
        let (columns, rows) = (width * scale, lines.len() * 2 * scale);
        let grey = |x: usize, y: usize| {
            if ink(x / scale, y / scale) == ink_is_dark {
                0
            } else {
                255
            }
        };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(columns, rows, grey);
        image.detect_grids()[0].decode().unwrap().1
    }

    #[test]
    fn the_drawn_code_is_read_back_in_either_form() {
        let coloured = draw(URL, true).unwrap();
        assert_eq!(scan(&coloured.text, true), URL);
        let plain = draw(URL, false).unwrap();
        assert_eq!(scan(&plain.text, false), URL);
        assert!(!plain.text.contains('\x1b'));
        assert_eq!(coloured.columns, plain.columns);
        assert!(plain.columns < 80 && plain.text.lines().count() <= 24);
        assert!(draw(&"x".repeat(8000), true).is_none());
    }
}
