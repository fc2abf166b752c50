//! What was tried of one class, and what of it got through.

/// The cases of one class.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) class: &'static str,
    pub(super) tried: usize,
    /// Those that got through.
    pub(super) through: Vec<String>,
}

impl Tally {
    pub(super) fn of(class: &'static str) -> Self {
        Self { class, tried: 0, through: Vec::new() }
    }

    /// Notes a case.
    pub(super) fn case(&mut self, name: impl Into<String>, is_blocked: bool) {
        self.tried += 1;
        if !is_blocked {
            self.through.push(name.into());
        }
    }
}
