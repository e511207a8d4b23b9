//! The two ways from an old template to a new one.

use super::{Work, available, size, sum};
use crate::sim::Status;

impl Work<'_, '_> {
    /// One stride of a rolling update: up with the new one if there is room, else down with the old ones.
    pub(super) fn roll(&mut self) -> Result<(), Status> {
        self.make_new()?;
        let has = self.new.as_ref().map(size).unwrap_or_default();
        if has != self.replicas {
            let to = if has > self.replicas { self.replicas } else { self.new_size(has) };
            if to != has && self.resize_at(None, to)? {
                return Ok(());
            }
        }
        if self.shrink_old()? {
            return Ok(());
        }
        if self.is_complete() { self.clean_up() } else { Ok(()) }
    }

    /// Takes pods from the old ReplicaSets, as far as enough are available; whether any.
    fn shrink_old(&mut self) -> Result<bool, Status> {
        if sum(self.old.iter(), size) == 0 {
            return Ok(false);
        }
        let least = self.replicas - self.fences().1;
        let starting = self.new.as_ref().map(|new| size(new) - available(new)).unwrap_or_default();
        let most = sum(self.all(), size) - least - starting;
        if most <= 0 {
            return Ok(false);
        }
        let unhealthy = self.shrink_unhealthy(most)?;
        let healthy = self.shrink_healthy(least)?;
        Ok(unhealthy + healthy > 0)
    }

    /// What is not available is not missed.
    fn shrink_unhealthy(&mut self, most: i32) -> Result<i32, Status> {
        let mut done = 0;
        for at in 0..self.old.len() {
            let (has, healthy) = (size(&self.old[at]), available(&self.old[at]));
            if done >= most || has == 0 || has == healthy {
                continue;
            }
            let fewer = (most - done).min(has - healthy);
            self.resize_at(Some(at), has - fewer)?;
            done += fewer;
        }
        Ok(done)
    }

    fn shrink_healthy(&mut self, least: i32) -> Result<i32, Status> {
        let most = sum(self.all(), available) - least;
        let mut done = 0;
        for at in 0..self.old.len() {
            let has = size(&self.old[at]);
            if done >= most || has == 0 {
                continue;
            }
            let fewer = has.min(most - done);
            self.resize_at(Some(at), has - fewer)?;
            done += fewer;
        }
        Ok(done)
    }

    /// One stride of a replacement: all of the old ones end, and only when the last is gone the new ones begin.
    pub(super) fn recreate(&mut self) -> Result<(), Status> {
        let mut shrunk = false;
        for at in 0..self.old.len() {
            if size(&self.old[at]) > 0 {
                shrunk |= self.resize_at(Some(at), 0)?;
            }
        }
        if shrunk || self.old_pods_run() {
            return Ok(());
        }
        self.make_new()?;
        if self.new.as_ref().is_some_and(|new| size(new) != self.replicas) {
            self.resize_at(None, self.replicas)?;
        }
        if self.is_complete() { self.clean_up() } else { Ok(()) }
    }
}
