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
// # Errors
//
// What Intercom would reject is refused at once with an
// *[intercom.ValidationError] that names the field. Errors of Redis leave open
// whether the message was enqueued: enqueue it again under the same key, which
// [Result] holds also then.
package enqueue
