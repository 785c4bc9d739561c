//! The rows that a batch touches, in memory: loaded once, changed by the fold, stored once.

use std::collections::HashMap;

use uuid::Uuid;

struct Slot<R> {
    now: Option<R>,
    stored: bool,
    changed: bool,
}

/// Rows by key, with what the fold did to them.
pub(crate) struct Working<R> {
    slots: HashMap<Uuid, Slot<R>>,
}

/// What is to be stored.
pub(crate) struct Changes<R> {
    /// Rows that are new or differ.
    pub(crate) upserts: Vec<R>,
    /// Keys of stored rows that are gone.
    pub(crate) deletes: Vec<Uuid>,
}

impl<R> Working<R> {
    /// Rows as the database has them.
    pub(crate) fn loaded(rows: impl IntoIterator<Item = (Uuid, R)>) -> Self {
        let slot = |row| Slot { now: Some(row), stored: true, changed: false };
        Self { slots: rows.into_iter().map(|(key, row)| (key, slot(row))).collect() }
    }

    /// The row, to look at.
    pub(crate) fn get(&self, key: Uuid) -> Option<&R> {
        self.slots.get(&key).and_then(|slot| slot.now.as_ref())
    }

    /// The row, to change.
    pub(crate) fn change(&mut self, key: Uuid) -> Option<&mut R> {
        let slot = self.slots.get_mut(&key)?;
        slot.changed = true;
        slot.now.as_mut()
    }

    /// Every row, to change those that `of` picks.
    pub(crate) fn change_where(&mut self, of: impl Fn(&R) -> bool, mut change: impl FnMut(&mut R)) {
        for slot in self.slots.values_mut() {
            if let Some(row) = slot.now.as_mut().filter(|row| of(row)) {
                change(row);
                slot.changed = true;
            }
        }
    }

    /// Puts a row in place of what was there.
    pub(crate) fn put(&mut self, key: Uuid, row: R) {
        let stored = self.slots.get(&key).is_some_and(|slot| slot.stored);
        self.slots.insert(key, Slot { now: Some(row), stored, changed: true });
    }

    /// Takes a row away.
    pub(crate) fn remove(&mut self, key: Uuid) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.now = None;
            slot.changed = true;
        }
    }

    /// Takes away every row that `of` picks.
    pub(crate) fn remove_where(&mut self, of: impl Fn(&R) -> bool) {
        for slot in self.slots.values_mut() {
            if slot.now.as_ref().is_some_and(&of) {
                slot.now = None;
                slot.changed = true;
            }
        }
    }

    /// What is to be stored.
    pub(crate) fn into_changes(self) -> Changes<R> {
        let mut changes = Changes { upserts: Vec::new(), deletes: Vec::new() };
        for (key, slot) in self.slots.into_iter().filter(|(_, slot)| slot.changed) {
            match slot.now {
                Some(row) => changes.upserts.push(row),
                None if slot.stored => changes.deletes.push(key),
                None => {}
            }
        }
        changes
    }
}
