//! Owns how many streams there may be: in the process, and of one client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::error::ApiError;

/// The most streams of a process. Whoever reads slowly holds a page of 200 KB and what the connection buffers, 400 KB:
/// 150 MB if all of them do.
const STREAMS_MAX: usize = 256;
/// The most streams of one client: a few consumers, and those whose end the network has not told us yet.
const STREAMS_OF_CLIENT_MAX: usize = 8;
/// Seconds after which a client that holds all its places may try again.
const RETRY_AFTER: u32 = 5;

/// The places that are taken, by client. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<String, usize>>>);

/// One place; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    client: String,
}

impl Places {
    /// Takes a place.
    ///
    /// # Errors
    /// The client holds all it may, or the process is full.
    pub(crate) fn take(&self, client: &str) -> Result<Place, ApiError> {
        let mut taken = self.taken();
        let of_client = taken.get(client).copied().unwrap_or(0);
        if of_client >= STREAMS_OF_CLIENT_MAX {
            return Err(ApiError::RateLimited { retry_after: RETRY_AFTER });
        }
        if taken.values().fold(0_usize, |sum, count| sum.saturating_add(*count)) >= STREAMS_MAX {
            return Err(ApiError::Overloaded);
        }
        taken.insert(client.to_owned(), of_client.saturating_add(1));
        drop(taken);
        Ok(Place { places: self.clone(), client: client.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // The map is whole after every statement that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.client) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::default();
        let mut held: Vec<Place> = (0..STREAMS_OF_CLIENT_MAX).map(|_| places.take("a").unwrap()).collect();
        assert!(matches!(places.take("a"), Err(ApiError::RateLimited { .. })));
        held.pop();
        held.push(places.take("a").unwrap());
        held.extend((held.len()..STREAMS_MAX).map(|number| places.take(&format!("client {number}")).unwrap()));
        assert!(matches!(places.take("b"), Err(ApiError::Overloaded)));
        assert!(matches!(places.take("a"), Err(ApiError::RateLimited { .. })), "its own fault first");
        drop(held);
        assert!(places.taken().is_empty());
        assert!(places.take("b").is_ok());
    }
}
