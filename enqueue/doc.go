// Package enqueue hands messages for Intercom contacts to the dispatch
// workers. It is all that a backend needs to import.
//
//	client, err := enqueue.New(rdb, enqueue.Config{})
//	…
//	result, err := client.Enqueue(ctx, &intercom.Message{
//		MessageType: intercom.InApp,
//		Body:        "Your order is on its way",
//		From:        intercom.FromAdmin(394051),
//		To:          intercom.ToUser("536e564f316c83104c000020"),
//	}, enqueue.Key("order-1042"), enqueue.Metadata(map[string]string{"order": "1042"}))
//
// # Keys
//
// A key names a message for good. Enqueueing the same message under the same
// key again is not an error and does not send it again: the result says
// [Duplicate], also weeks after the message was sent, until its record
// expires. Another message under a known key is a [ConflictError]. So a
// backend may simply enqueue again whenever it does not know whether it did,
// as after a timeout or a restart, if it chose the key itself. Without a key
// a UUID is generated and returned.
//
// # Order
//
// Messages with the same [OrderKey], say the contact's id, are sent one after the
// other, in the order in which they were enqueued: the next goes when the one
// before it was sent, has failed for good, has expired or was cancelled. All
// others overtake each other. The order is that of a batch, and of calls of which
// each begins after the one before it has returned without an error; among calls
// at the same time it is open. A message whose At is later, that waits for its
// contact or is of a lower priority keeps those behind it waiting all the same.
// One that is held does so until a person has decided about it, unless it says
// [IfHeld] ([Pass]). One that a person sends once more after it had failed,
// expired or was cancelled goes when it goes.
//
// A message that Redis answered with an error, as when its memory is full, and
// that is enqueued again comes behind those that were enqueued meanwhile. Of a
// batch, these are at most those that went to Redis in the same pipeline: what
// follows is not tried.
//
// # Errors
//
// What Intercom would reject is refused at once with an
// *[intercom.ValidationError] that names the field. Errors of Redis leave open
// whether the message was enqueued: enqueue it again under the same key, which
// [Result] holds also then.
package enqueue
