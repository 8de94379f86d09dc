//! A body whose upload takes its place with the first byte, so that idle connections hold none.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{dev::Payload, error::PayloadError, web::Bytes};
use domain::Owner;
use futures_util::Stream;

use super::upload_slots::{NoSlot, UploadPermit, UploadSlots};

/// A body whose first byte needs a slot. It ends with [`NoSlot`] if there is none.
pub(crate) struct PlacedBody {
    payload: Payload,
    place: Rc<RefCell<Place>>,
}

/// Keeps the slot that a body has taken, until its request has been answered.
pub(crate) struct PlaceGuard(#[expect(dead_code, reason = "it is only held")] Rc<RefCell<Place>>);

enum Place {
    /// No byte has come.
    Wanted(UploadSlots, Owner),
    Taken {
        #[expect(dead_code, reason = "it is only held")]
        permit: UploadPermit,
    },
    Refused,
}

impl PlacedBody {
    /// Wraps the body of an upload of an owner.
    pub(crate) fn wrap(
        payload: Payload,
        slots: &UploadSlots,
        owner: &Owner,
    ) -> (Payload, PlaceGuard) {
        let place = Place::Wanted(slots.clone(), owner.clone());
        let place = Rc::new(RefCell::new(place));
        let guard = PlaceGuard(Rc::clone(&place));
        let payload = Box::pin(Self { payload, place });
        (Payload::Stream { payload }, guard)
    }
}

impl Stream for PlacedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut place = this.place.borrow_mut();
        if matches!(*place, Place::Refused) {
            return Poll::Ready(None);
        }
        let polled = ready!(Pin::new(&mut this.payload).poll_next(context));
        if let (Place::Wanted(slots, owner), Some(Ok(bytes))) = (&*place, &polled)
            && !bytes.is_empty()
        {
            match slots.take(owner) {
                Ok(permit) => *place = Place::Taken { permit },
                Err(refused) => {
                    *place = Place::Refused;
                    let error = PayloadError::Io(io::Error::other(refused));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(polled)
    }
}

/// The reason why a body got no slot, if it is one.
pub(crate) fn refusal(error: &PayloadError) -> Option<NoSlot> {
    match error {
        PayloadError::Io(error) => error.get_ref()?.downcast_ref().copied(),
        _ => None,
    }
}
