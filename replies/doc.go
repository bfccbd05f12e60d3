// Package replies takes a contact's answer from Intercom to the backend that
// sent the message.
//
// [Receiver] is the webhook: it checks that a notification is Intercom's and
// hands it to a queue before it answers, because Intercom forgets what was
// answered with 200. Everything slower than that, such as finding the message
// that was answered, happens behind the queue.
//
// [Matcher] takes the notifications from the queue and publishes an [Event] for
// each reply. [Poller] finds the same replies by search, where Intercom can call
// nobody, and those that it has told nobody about. Whoever finds a reply first
// publishes it, and nobody does again. [Consume] delivers the events to backends,
// and [Tail] shows them.
package replies
