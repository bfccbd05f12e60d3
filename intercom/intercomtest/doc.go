// Package intercomtest is a fake Intercom for tests and local development: an
// [http.Handler] with a workspace in memory. It answers as Intercom's
// documentation says Intercom does, goes wrong on demand, and keeps a log of
// what was created, when and how often, which is what a test of deliveries has
// to look at.
//
// A test of a service starts it with [httptest.NewServer], points the service
// at its URL, and asks the log:
//
//	fake := intercomtest.New(intercomtest.Config{Token: "secret"})
//	defer fake.Close()
//	server := httptest.NewServer(fake)
//	defer server.Close()
//
// It shares no code with this module's client, so that a mistake of the one is
// not also a mistake of the other.
//
// # What it answers
//
// POST /messages, POST /conversations/search, GET /conversations/{id}, GET /me,
// POST /contacts, GET /contacts/{id} and GET /admins/{id}; everything else is a 404.
// Requests need a bearer token, an Accept header that takes JSON, and with POST a
// Content-Type of application/json. Without an Intercom-Version header the version
// is 2.14. Answers are held against Intercom's OpenAPI descriptions in tests, but
// for GET /admins/{id}, which the parts at hand do not have.
//
// Where the documentation leaves something open, the fake does this:
//
//   - A message without from comes from the first admin.
//   - An unknown admin is a 404 whose error names the field from; an unknown
//     contact is a 404 "User Not Found" without a field, and so is a lead that is
//     addressed as a user.
//   - A message has one conversation, which holds the contacts of to and cc.
//   - A conversation's created_at is when it was opened, not the message's.
//   - A body that holds no tag is text: it is escaped, its lines become
//     paragraphs and its addresses links. Otherwise it is HTML, of which a short
//     list of tags and the attributes href, src and alt stay.
//   - Search compares case only in fields other than source.body, and refuses
//     a value of another type than the field's.
//   - Search orders by created_at, the newest first.
//   - Notifications about a conversation have the new part only.
//   - A contact that was merged away is out of all conversations, old ones included:
//     the other one has taken its place, also as the author of what it wrote.
//     Contacts of any role can be merged.
//   - An archived contact gets no messages (404 "User Not Found"), but can answer,
//     and GET /contacts/{id} finds it. One that was deleted stays in its
//     conversations.
//   - Ids of two workspaces are the same, as they may be with Intercom.
//
// # Faults
//
// [Server.InjectFault] lets requests fail: answered with another status, slowly,
// or not at all, before or after the message was created. This loses the answer
// to the third message, which exists all the same:
//
//	fake.InjectFault(intercomtest.Fault{Nth: 3, Cut: intercomtest.CutAfterCreate})
//
// # Notifications
//
// They are signed, and sent to [Config.WebhookURL] as Intercom sends them: one more
// time a minute later if the first delivery fails. [Server.Reply], [Server.AddPart]
// and the methods that change contacts send the fitting ones, [Server.Notify] any
// other. To let them come late and in another order, hold them back:
//
//	fake.HoldNotifications(true)
//	first, err := fake.Reply(ctx, id, "One")
//	second, err := fake.Reply(ctx, id, "Two")
//	err = fake.Release(ctx, second.NotificationID, first.NotificationID)
//
// [Server.Redeliver] repeats one.
//
// # Time
//
// [Server.RoundTripper] reaches the fake without a socket, so that everything
// that waits can be tested in a bubble of [testing/synctest]. There the Server
// must be created and closed within the bubble.
//
// # The control API
//
// A fake that runs as a server of its own is controlled under /_fake/, without
// a token and outside the rate limit. Bodies are JSON, unknown fields are
// refused with 400 and {"error": "…"}, and durations are strings such as "500ms".
//
//	GET    /_fake/log       {"arrived": 1, "created": […], "requests": […],
//	                         "replies": […], "deliveries": […]}, with the fields
//	                        of CreatedMessage, Request (and duration_ms),
//	                        ReplyInfo and Delivery in snake_case.
//	                        ?created=3&timeout=10s waits for three messages, or
//	                        until the timeout (10 s by default) is over.
//	POST   /_fake/contacts  {"id", "role", "name", "email", "phone",
//	                         "external_id", "messageable_in",
//	                         "unsubscribed_from_emails", "announce"}; 201
//	                        {"id": …}. announce sends the notification of it.
//	POST   /_fake/contacts/{id}/merge      {"into"}; 204
//	POST   /_fake/contacts/{id}/archive    and unarchive; 204
//	DELETE /_fake/contacts/{id}            204
//	POST   /_fake/replies   {"message_id", "text", "contact_id"}; 201 with the
//	                        reply. contact_id is the first recipient by default.
//	POST   /_fake/parts     {"message_id", "type", "author_type", "author_id",
//	                         "text", "topic"}, as in Part; 201 with the part
//	POST   /_fake/notifications            {"topic", "item", "app_id"}; 201
//	                        {"id": …}. app_id is the workspace's by default.
//	POST   /_fake/notifications/hold       {"hold": true}; 204
//	GET    /_fake/notifications/held       {"held": [{"id", "topic", "created_at"}]}
//	POST   /_fake/notifications/release    {"ids": […]}, all without ids; 204
//	POST   /_fake/notifications/{id}/redeliver  {"forged": false}; 200 with the
//	                        delivery
//	POST   /_fake/faults    {"name", "method", "path", "contact", "nth", "every",
//	                         "chance", "times", "latency", "status", "body",
//	                         "no_body", "header", "no_rate_headers",
//	                         "after_create", "cut"}, as in Fault; cut is
//	                        "before_create", "after_create" or "in_body"; 201
//	DELETE /_fake/faults    removes all faults; 204
//	POST   /_fake/token     {"token"}; 204
//	POST   /_fake/webhook   {"url"}; 204
package intercomtest
