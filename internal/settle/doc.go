// Package settle finds the conversation that a message of ours has opened.
//
// It answers for an attempt of which nobody knows whether it created its
// message. Intercom cannot be asked that, but a message that exists may have a
// conversation, which a search finds ([Finder]) or a notification brings
// ([Fits]). A wrong yes loses the message, a wrong no sends it twice. So there
// is a third answer: what cannot be told apart is [ErrUndecided], never "not
// found".
//
// Two messages to one contact may say the same. Which of them a conversation
// belongs to is not visible here: before it settles an attempt, look up the
// conversation's source.id, which may be the id of another message of ours.
//
// Not known, because no source settles it, is what Intercom adds to a body, such as
// the signature of an email: a body that was added to does not fit.
package settle
